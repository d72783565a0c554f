//! Components in containers: one that speaks lines with the daemon, and a class of Autobahn-Python that
//! connects by itself, unchanged and run by its own runner.

use std::path::{Path, PathBuf};

use serde_json::{json, Value};
use tests::binaries::program;
use tests::image::{Compression, Image, Layer};
use tests::registry::{self, Registry};
use tests::router::{self, Options, Peer, Router};
use tests::shellrt::Shellrt;

use crate::daemon::{Daemon, Place};

/// A daemon's place, with containers.
struct Site {
    place: Place,
    shellrt: Shellrt,
    registry: Registry,
    router: Router,
}

impl Site {
    fn new() -> Option<Site> {
        let place = Place::new()?;
        let shellrt = Shellrt::start()?;
        let registry = Registry::start(&registry::Options::default())?;
        let router = Router::crossbar(&Options::default())?;
        place.set(|settings| {
            settings["edge"]["plugins"] = json!({
                "wasm": program("shellrt-wasm"), "containerd": program("shellrt-containerd"),
            });
        });
        Some(Site {
            place,
            shellrt,
            registry,
            router,
        })
    }

    fn daemon(&self, component: &str, extra: &Value) -> Daemon {
        let environment = self.shellrt.environment.iter();
        let environment: Vec<(&str, &str)> = environment
            .map(|(name, value)| (name.as_str(), value.as_deref().unwrap()))
            .collect();
        let (url, extra) = (self.router.url(), self.place.extra(extra));
        let arguments = ["-c", component, "-u", &url, "-r", "realm1", "-e", &extra];
        let revived = ["-n", "--necromancy-sleep", "1"];
        self.place
            .daemon_with(&[&arguments[..], &revived[..]].concat(), &environment)
    }

    /// The only module is ended by somebody else.
    fn end_module(&self) {
        let listed = self.shellrt.ok(&json!({"_type": "list"}));
        let [name] = &listed["modules"].as_array().unwrap()[..] else {
            panic!("{listed}");
        };
        let stop = json!({"_type": "stop", "name": name, "timeout": 1});
        self.shellrt.ok(&stop);
    }

    fn ends_clean(&self, mut daemon: Daemon) {
        assert_eq!(daemon.end().code(), Some(0), "{}", daemon.log());
        let left = self.shellrt.containerd.left_of_modules();
        assert!(left.is_empty(), "{left:#?}");
    }
}

#[test]
fn a_component_in_a_container_speaks_lines() {
    let Some(site) = Site::new() else {
        return;
    };
    let script = include_bytes!("line_component.sh");
    let layer = Layer::new().file("app.sh", 0o755, script);
    let image = Image::busybox()
        .layer(layer, Compression::Gzip)
        .config(json!({"Cmd": ["/bin/sh", "/app.sh"]}))
        .push(&site.registry, "app", "1");
    let extra = json!({"period": 5, "name": "ä"});
    let mut daemon = site.daemon(&format!("containerd:{image}"), &extra);
    daemon.wait("is ready", 1);
    let mut peer = Peer::join(&site.router.url());
    let answer = peer.call("test.shell", json!([]))["result"].clone();
    assert_eq!(answer[1], extra, "{answer}");
    peer.tell(&json!({"do": "call", "procedure": "test.shell", "args": ["die"]}));
    assert_eq!(peer.answer()["error"], "wamp.error.canceled");
    daemon.wait("exited with 3", 1);
    daemon.wait("is ready", 2);
    let again = peer.call("test.shell", json!([]))["result"].clone();
    assert_eq!(again[1], extra, "{again}");
    site.ends_clean(daemon);
}

#[test]
fn a_class_of_autobahn_runs_unchanged() {
    let Some(runner) = router::program("autobahn", "run_asyncio_component") else {
        return;
    };
    let Some(mut site) = Site::new() else {
        return;
    };
    let image = Image::busybox().push(&site.registry, "runners", "1");
    let python = runner.with_file_name("python");
    site.place.set(|settings| {
        settings["components"]["sensor.Sensor"] = json!({
            "component": "self", "plugin": "containerd", "image": image,
            "command": [python, runner],
            "env": {"PYTHONPATH": "/app"},
            "mounts": mounts(&python),
        });
    });
    let extra = json!({"name": "door", "period": 0.05});
    let mut daemon = site.daemon("sensor.Sensor", &extra);
    let mut peer = Peer::join(&site.router.url());
    let read = "org.example.door.read";
    let wait_for_first = |peer: &mut Peer| {
        peer.ask_until(&json!({"do": "call", "procedure": read}), |answer| {
            answer["result"]["name"] == "door"
        });
    };
    wait_for_first(&mut peer);
    // Its events come.
    peer.ask(&json!({"do": "subscribe", "topic": "org.example.door.value"}));
    tests::plugin::until("events", || peer.events().len() >= 3);
    // Its process ends: the next instance has the same extra.
    site.end_module();
    daemon.wait("it is revived", 1);
    wait_for_first(&mut peer);
    // Its router goes, which the runner does nothing about but idle.
    site.router.kill();
    daemon.wait("it is revived", 2);
    site.router.start();
    let mut peer = Peer::join(&site.router.url());
    wait_for_first(&mut peer);
    site.ends_clean(daemon);
}

/// This machine's Python with its environment, read only and where it is; the rest is the image's.
fn mounts(python: &Path) -> Value {
    let venv = python.ancestors().nth(2).unwrap();
    let real = python.canonicalize().unwrap();
    let home = real.ancestors().nth(2).unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shellrt-edge/examples/wamp");
    let system = ["/usr/lib", "/lib", "/lib64"].map(Path::new);
    let mut binds: Vec<(PathBuf, &Path)> = system
        .into_iter()
        .chain([home, venv])
        .filter(|path| path.exists())
        .map(|path| (path.canonicalize().unwrap(), path))
        .collect();
    binds.push((examples.canonicalize().unwrap(), Path::new("/app")));
    let mounts = binds.iter().map(|(source, target)| {
        json!({"type": "bind", "source": source, "target": target, "read_only": true})
    });
    mounts.collect()
}
