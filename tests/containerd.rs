//! What only `shellrt-containerd` can show: that it shares a real containerd with everybody else, and
//! that its modules survive everything.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use serde_json::{json, Value};
use tests::image::Image;
use tests::plugin::until;
use tests::registry::{self, Registry};
use tests::shellrt::Shellrt;

/// A client that speaks v0 and nothing else.
#[path = "containerd/v0.rs"]
mod v0;

/// What goes over containerd's socket.
#[path = "containerd/connection.rs"]
mod connection;

/// Modules whose daemon, shim or monitor goes away.
#[path = "containerd/life.rs"]
mod life;

/// A machine that goes down.
#[path = "containerd/reboot.rs"]
mod reboot;

/// Restart policies.
#[path = "containerd/restarts.rs"]
mod restarts;

/// What is due after a boot.
#[path = "containerd/due.rs"]
mod due;

/// What `ctr` makes of what we have made, and the other way round.
#[path = "containerd/beside_ctr.rs"]
mod beside_ctr;

/// A garbage collector that never rests.
#[path = "containerd/garbage.rs"]
mod garbage;

/// Layers upon layers.
#[path = "containerd/layers.rs"]
mod layers;

/// Registries and networks that break.
#[path = "containerd/network.rs"]
mod network;

/// Modules that find each other by their names.
#[path = "containerd/names.rs"]
mod names;

/// Ports of the machine that lead to modules.
#[path = "containerd/ports.rs"]
mod ports;

/// Networks that fail, and what is left of them.
#[path = "containerd/joining.rs"]
mod joining;

/// Output and input, byte by byte.
#[path = "containerd/streams.rs"]
mod streams;

/// Many clients at once.
#[path = "containerd/load.rs"]
mod load;

/// A plugin that is killed at any moment.
#[path = "containerd/killed.rs"]
mod killed;

/// More requests that are killed, and what is left when nobody repeats them.
#[path = "containerd/kills.rs"]
mod kills;

/// A daemon that is away, that comes back, or that one may not ask.
#[path = "containerd/daemon.rs"]
mod daemon;

/// What a request costs the daemon.
#[path = "containerd/calls.rs"]
mod calls;

/// Everything that a module writes.
#[path = "containerd/output.rs"]
mod output;

/// Docker's create options, as they are found.
#[path = "containerd/docker_bodies.rs"]
mod docker_bodies;

/// Other releases of containerd.
#[path = "containerd/versions.rs"]
mod versions;

/// A plugin, a registry, and the reference of an image in it that has busybox and nothing else.
fn setup() -> Option<(Shellrt, Registry, String)> {
    with(Shellrt::start()?)
}

/// The same with a plugin that is there.
fn with(shellrt: Shellrt) -> Option<(Shellrt, Registry, String)> {
    let registry = Registry::start(&registry::Options::default())?;
    let image = busybox().push(&registry, "busybox", "1");
    Some((shellrt, registry, image))
}

/// An image that has busybox and nothing else.
fn busybox() -> Image {
    Image::busybox().config(json!({"Cmd": ["sh"], "Env": ["PATH=/bin"]}))
}

/// Says that it is up, runs until it is told to end, and ends with 143 then.
const FOREVER: &str = "trap 'exit 143' TERM; echo up; while :; do sleep 1000 & wait $!; done";

/// Writes a line with a number again and again.
const TICKS: &str = "trap 'exit 143' TERM; n=0; while :; do echo $n; n=$((n+1)); sleep 0.02; done";

/// Runs a module of [`FOREVER`] until it listens to signals: before that a container's first process
/// does not get any.
fn run_forever(shellrt: &Shellrt, name: &str, image: &str, config: Value) {
    shellrt.run(name, image, FOREVER, config);
    is_up(shellrt, name, 1);
}

/// Waits until a module of [`FOREVER`] listens to signals, in its so many-th run.
fn is_up(shellrt: &Shellrt, name: &str, run: usize) {
    until("the module is up", || {
        shellrt.logs(name) == b"up\n".repeat(run)
    });
}

/// Removes a module, whatever it does.
fn remove(shellrt: &Shellrt, name: &str) {
    shellrt.ok(&json!({"_type": "remove", "name": name, "force": true}));
}

/// Nothing is left of modules, in the daemon and in the kernel.
fn assert_nothing_left(shellrt: &Shellrt) {
    assert_eq!(shellrt.ok(&json!({"_type": "list"}))["modules"], json!([]));
    let left = shellrt.containerd.left_of_modules();
    assert!(left.is_empty(), "{left:#?}");
}

/// What a script that ends by itself has written.
fn output(shellrt: &Shellrt, image: &str, script: &str) -> String {
    shellrt.run("script", image, script, json!({}));
    let status = shellrt.module("wait", "script");
    let text = String::from_utf8(shellrt.logs("script")).unwrap();
    assert_eq!(status["exit_code"], 0, "{script}: {text}");
    remove(shellrt, "script");
    text
}

/// The lines of a listing of `ctr` without its heading, sorted.
fn listing(shellrt: &Shellrt, arguments: &[&str]) -> Vec<String> {
    let text = shellrt.containerd.ctr(arguments);
    let mut lines: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Everything that the daemon knows in the test's namespace.
fn store(shellrt: &Shellrt) -> Value {
    json!({
        "containers": listing(shellrt, &["containers", "ls"]),
        "content": listing(shellrt, &["content", "ls", "-q"]),
        "images": listing(shellrt, &["images", "ls"]),
        "ingests": listing(shellrt, &["content", "active"]),
        "leases": listing(shellrt, &["leases", "ls"]),
        "snapshots": listing(shellrt, &["snapshots", "ls"]),
        "tasks": listing(shellrt, &["tasks", "ls"]),
    })
}
