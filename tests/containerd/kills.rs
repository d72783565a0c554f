//! Requests beyond the ones of a plain life that are killed at any moment, of modules with and without
//! stdin: repeated, each brings what was asked for; not repeated, `prune` takes away what it left. And
//! nobody else's module notices.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tests::image::{busybox, Compression, Format, Image, Layer};
use tests::shellrt::Shellrt;

use super::{assert_nothing_left, remove, setup, store, TICKS};

/// How often each request is killed.
const TIMES: u64 = 15;

/// How late containerd may be with what it was asked for.
const LATE: Duration = Duration::from_secs(10);

/// Where the moments come from; the same ones each time.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

#[test]
fn whatever_is_killed_can_be_repeated_or_tidied_up() {
    let Some((shellrt, registry, base)) = setup() else {
        return;
    };
    shellrt.run("other", &base, TICKS, json!({}));
    let other = shellrt.module("status", "other");
    let first_day = store(&shellrt);
    let image = image().push(&registry, "killed", "1");
    let life = Life { image: &image };
    let mut killer = Killer::new(&shellrt, &life);
    for round in 0..TIMES {
        // The one who asked comes back.
        shellrt.pull(&image);
        killer.twice("create", &life.create(round % 2 == 0), &[6]);
        killer.twice("start", &life.ask("start"), &[]);
        let said = killer.twice("exec", &life.exec(), &[]);
        assert_eq!(said["stdout"], "said\n", "round {round}: {said}");
        let before = shellrt.module("status", "a");
        killer.twice("restart", &life.ask("restart"), &[]);
        let after = shellrt.module("status", "a");
        assert_eq!(after["status"], "running", "round {round}: {after}");
        assert_ne!(after["pid"], before["pid"], "round {round}");
        killer.twice("stop", &life.kill(), &[]);
        let status = shellrt.module("status", "a");
        assert_eq!(status["exit_code"], 137, "round {round}: {status}");
        shellrt.module("start", "a");
        killer.twice("remove", &life.remove(), &[5]);
        assert_eq!(names(&shellrt), json!(["other"]), "round {round}");
        shellrt.ok(&json!({"_type": "img_remove", "image": image}));
        assert_eq!(store(&shellrt), first_day, "round {round}");

        // Nobody comes back.
        killer.once("pull", &life.pull());
        shellrt.pull(&image);
        killer.once("create", &life.create(round % 2 == 1));
        if names(&shellrt) != json!(["other"]) {
            killer.once("start", &life.ask("start"));
            killer.once("remove", &life.remove());
            let removed = shellrt.ask(&life.remove()).object;
            let code = removed.get("code").and_then(Value::as_u64);
            assert!(code.is_none_or(|code| code == 5), "{removed:?}");
        }
        killer.twice("prune", &prune(), &[]);
        // containerd may do only now what a request asked for that was killed then.
        let patience = Instant::now() + LATE;
        while names(&shellrt) != json!(["other"]) && Instant::now() < patience {
            shellrt.ask(&life.remove());
            shellrt.ok(&prune());
        }
        assert_eq!(store(&shellrt), first_day, "round {round}, tidied up");
        assert_eq!(left(&shellrt), ["modules/other"], "round {round}");
    }
    // Moments after the answer say nothing.
    let Killer { asked, killed, .. } = killer;
    assert!(2 * killed > asked, "{killed} of {asked} were killed");
    let still = shellrt.module("status", "other");
    for key in ["pid", "started_at", "status"] {
        assert_eq!(still[key], other[key], "{key}");
    }
    assert_whole(&shellrt.logs("other"));
    remove(&shellrt, "other");
    assert_nothing_left(&shellrt);
    shellrt.ok(&prune());
    for (kind, listed) in store(&shellrt).as_object().unwrap() {
        assert_eq!(*listed, json!([]), "{kind}");
    }
    assert_eq!(left(&shellrt), [""; 0]);
}

/// Layers that nothing else has, around one that runs.
fn image() -> Image {
    let mut random = SEED;
    let mut layer = |name: &str| {
        let words = std::iter::repeat_with(|| next(&mut random));
        let bytes: Vec<u8> = words.take(100_000).flat_map(u64::to_le_bytes).collect();
        Layer::new().file(name, 0o644, &bytes)
    };
    Image::new(Format::Oci)
        .layer(layer("srv/below"), Compression::Gzip)
        .layer(busybox(), Compression::Zstd)
        .layer(layer("srv/above"), Compression::None)
        .config(json!({"Env": ["PATH=/bin"]}))
}

/// A module's life, in requests.
struct Life<'a> {
    image: &'a str,
}

impl Life<'_> {
    fn pull(&self) -> Value {
        json!({"_type": "img_pull", "image": self.image})
    }

    fn create(&self, stdin: bool) -> Value {
        // Those with stdin have another monitor than those without.
        let config = json!({
            "image": self.image, "command": ["sh", "-c", "sleep 1000"], "stdin": stdin,
            "stop_grace_period": 0,
        });
        json!({"_type": "create", "name": "a", "config_type": "containerd", "config": config})
    }

    fn ask(&self, kind: &str) -> Value {
        json!({"_type": kind, "name": "a"})
    }

    fn exec(&self) -> Value {
        json!({"_type": "exec", "name": "a", "args": ["echo", "said"]})
    }

    fn kill(&self) -> Value {
        json!({"_type": "stop", "name": "a", "timeout": 0})
    }

    fn remove(&self) -> Value {
        json!({"_type": "remove", "name": "a", "force": true})
    }
}

/// Kills plugins.
struct Killer<'a> {
    shellrt: &'a Shellrt,
    random: u64,
    /// How long requests take, by their names, when they are not killed.
    usual: BTreeMap<&'static str, Duration>,
    asked: u32,
    killed: u32,
}

impl<'a> Killer<'a> {
    /// Goes through a life undisturbed, for how long each request takes.
    fn new(shellrt: &'a Shellrt, life: &Life) -> Self {
        let requests = [
            ("pull", life.pull()),
            ("create", life.create(false)),
            ("start", life.ask("start")),
            ("exec", life.exec()),
            ("restart", life.ask("restart")),
            ("stop", life.kill()),
            ("remove", life.remove()),
            ("prune", prune()),
        ];
        let time = |(what, request)| {
            let begun = Instant::now();
            shellrt.ok(&request);
            (what, begun.elapsed())
        };
        Killer {
            shellrt,
            random: SEED,
            usual: requests.into_iter().map(time).collect(),
            asked: 0,
            killed: 0,
        }
    }

    /// Asks and kills, and asks again: that succeeds, or says that the first had got through.
    fn twice(&mut self, what: &'static str, request: &Value, through: &[u64]) -> Value {
        let moment = self.once(what, request);
        let answer = self.shellrt.ask(request);
        let code = answer.object.get("code").and_then(Value::as_u64);
        assert!(
            code.is_none_or(|code| through.contains(&code)),
            "{what} was killed after {moment:?}; again: {answer:?}"
        );
        Value::Object(answer.object)
    }

    /// Asks, and kills at some moment of the time that the request usually takes.
    fn once(&mut self, what: &'static str, request: &Value) -> Duration {
        let usual = self.usual[what];
        let part = (next(&mut self.random) >> 11) as f64 / (1_u64 << 53) as f64;
        let moment = usual.mul_f64(part);
        let mut open = self.shellrt.open(request);
        drop(open.stdin.take());
        std::thread::sleep(moment);
        open.child.kill().unwrap();
        let status = open.child.wait().unwrap();
        self.asked += 1;
        self.killed += u32::from(status.code().is_none());
        moment
    }
}

/// The next of a row of numbers that look random (xorshift64).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Removes everything that no module uses.
fn prune() -> Value {
    json!({"_type": "prune", "images": true, "older_than": 0})
}

fn names(shellrt: &Shellrt) -> Value {
    shellrt.ok(&json!({"_type": "list"}))["modules"].take()
}

/// The lines of [`TICKS`] are there, each once.
fn assert_whole(log: &[u8]) {
    let text = String::from_utf8_lossy(log);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() > 100, "{} lines", lines.len());
    for (number, line) in lines.into_iter().enumerate() {
        assert_eq!(line, number.to_string());
    }
}

/// What is in the state directory that is one request's or one module's.
fn left(shellrt: &Shellrt) -> Vec<String> {
    let children = |path: &Path| {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let mut left = Vec::new();
    for place in children(shellrt.root())
        .iter()
        .flat_map(|place| children(place))
    {
        for folder in ["modules", "pull", "volumes"] {
            for path in children(&place.join(folder)) {
                let path = path.strip_prefix(&place).unwrap();
                left.push(path.display().to_string());
            }
        }
    }
    left
}
