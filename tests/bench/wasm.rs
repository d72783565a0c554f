//! WebAssembly modules: how soon they run, and what they take while they do nothing.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use tests::image::{Compression, Format, Image, Layer};
use tests::plugin::Plugin;
use tests::registry::{self, Registry};
use tests::wasm::Wasm;

use super::floor;
use super::measure::{finish, printed, Side};
use super::memory;
use super::report::Report;

const ROUNDS: usize = 100;

/// Rounds with podman in them.
const SLOW_ROUNDS: usize = 20;

/// How many modules do nothing at the same time.
const IDLE: usize = 500;

/// Measures them.
pub fn measure(report: &mut Report) {
    let wasm = Wasm::new();
    let hello = wasm.guest("lines");
    let empty = floor::program(wasm.files(), "empty", "return 0;");
    wasm.create("m", &hello, json!({}));

    let memory = tempfile::Builder::new()
        .prefix("shellrt-")
        .tempdir_in("/dev/shm");
    let memory = memory.expect("a file system in memory");
    let fast = Plugin::new("shellrt-wasm", &[("SHELLRT_WASM_ROOT", memory.path())]);
    fast.ok(&json!({"_type": "img_pull", "image": hello}));
    let create = json!({
        "_type": "create", "name": "m", "config_type": "wasm", "config": {"image": hello},
    });
    fast.ok(&create);
    for (plugin, target, what) in [
        (&fast, Some(4.0), "WASM: `start`, state in memory"),
        (&*wasm, None, "WASM: `start`, state on the disk"),
    ] {
        let mut ours = Side::prepared(
            "shellrt-wasm",
            || {
                // The one before must have ended.
                let started = plugin.module("status", "m")["started_at"] != 0;
                if started {
                    plugin.module("wait", "m");
                }
            },
            || start(plugin),
        );
        let mut nothing = floor::empty(&empty, "ok");
        report.compare(what, target, ROUNDS, &mut ours, &mut nothing);
    }
    wasm.module("wait", "m");
    wasm.module("remove", "m");

    beside_podman(report, &wasm, &hello);

    let wasm = Wasm::new();
    let forever = wasm.guest("forever");
    wasm.create("m0", &forever, json!({}));
    for number in 0..IDLE {
        if number > 0 {
            wasm.ok(&json!({
                "_type": "create", "name": format!("m{number}"), "config_type": "wasm",
                "config": {"image": forever},
            }));
        }
        wasm.module("start", &format!("m{number}"));
    }
    let mark = format!("SHELLRT_WASM_ROOT={}\0", wasm.root().display());
    let (shares, processes) = memory::shares_of(&mark);
    #[allow(clippy::cast_precision_loss, reason = "a small number")]
    let each = shares / IDLE as f64;
    let what = format!("WASM: one idle module of {IDLE}, all its processes");
    report.megabytes(&what, each, None, Some(0.8));
    report.note(format!(
        "{IDLE} idle WASM modules are {processes} processes."
    ));
}

fn start(plugin: &Plugin) -> String {
    let text = printed(
        &mut plugin.command(),
        r#"{"_version":"0.1.0","_type":"start","name":"m"}"#,
    );
    assert!(text.contains(r#""_status":"ok""#), "{text}");
    "ok".to_owned()
}

fn beside_podman(report: &mut Report, wasm: &Wasm, hello: &str) {
    let Some(registry) = Registry::start(&registry::Options::default()) else {
        return;
    };
    let program = floor::program(
        wasm.files(),
        "hello",
        r#"return puts("one\ntwo\nthree") < 0;"#,
    );
    let layer = Layer::new().file("hello", 0o755, &std::fs::read(program).unwrap());
    let image = Image::new(Format::Oci)
        .layer(layer, Compression::Gzip)
        .config(json!({"Cmd": ["/hello"]}))
        .push(&registry, "hello", "1");
    let podman = Podman::new_in(&std::env::temp_dir());
    finish(
        &mut podman.command(&["pull", "--quiet", "--tls-verify=false", &image]),
        "",
    );
    let peer = || {
        Side::new("podman run --rm", || {
            // podman raises limits, which may be forbidden, as it is in a container.
            let limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"];
            let mut options = vec!["run", "--rm", "--network=none"];
            options.extend(limits);
            options.push(&image);
            let mut command = podman.command(&options);
            printed(&mut command, "")
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned()
        })
    };
    let create = |config_image: &str| {
        wasm.ok(&json!({
            "_type": "create", "name": "m", "config_type": "wasm", "config": {"image": config_image},
        }));
    };
    let mut first_line = Side::prepared(
        "shellrt-wasm",
        || {
            wasm.ask(&json!({"_type": "remove", "name": "m", "force": true}));
            create(hello);
        },
        || {
            wasm.module("start", "m");
            let mut logs = wasm.open(&json!({"_type": "logs", "name": "m", "follow": true}));
            logs.object();
            logs.line().trim_end().to_owned()
        },
    );
    let what = "WASM: `start` to the first line of the log";
    report.compare(what, Some(0.05), SLOW_ROUNDS, &mut first_line, &mut peer());
    wasm.ok(&json!({"_type": "remove", "name": "m", "force": true}));
    let mut life = Side::new("shellrt-wasm", || {
        create(hello);
        wasm.module("start", "m");
        let status = wasm.module("wait", "m");
        assert_eq!(status["exit_code"], 0);
        wasm.module("remove", "m");
        "one".to_owned()
    });
    let what = "WASM: create, start, wait and remove";
    report.compare(what, Some(0.05), SLOW_ROUNDS, &mut life, &mut peer());
}

/// podman with a storage of its own.
pub struct Podman {
    root: tempfile::TempDir,
}

impl Podman {
    /// One that has seen nothing yet, in a new directory below `dir`.
    pub fn new_in(dir: &Path) -> Self {
        let root = tempfile::Builder::new().prefix("podman-").tempdir_in(dir);
        Podman {
            root: root.expect("a directory"),
        }
    }

    /// Its storage.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// A command.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command
            .arg("--root")
            .arg(self.root().join("storage"))
            .arg("--runroot")
            .arg(self.root().join("run"))
            .args(["--storage-driver=overlay", "--cgroup-manager=cgroupfs"])
            .args(["--events-backend=file", "--runtime=runc"])
            .args(arguments);
        command
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // What it has mounted would keep the directory.
        let _ = self.command(&["rmi", "--all", "--force"]).output();
        let overlay = self.root().join("storage/overlay");
        let _ = Command::new("umount").arg("--lazy").arg(overlay).output();
    }
}
