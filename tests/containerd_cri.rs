//! Modules of `config_type` `containerd-cri`: v0's way of making them, and what a kubelet would find.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use serde_json::{json, Value};
use tests::containerd::Options;
use tests::image::Image;
use tests::plugin::until;
use tests::registry::{self, Registry};
use tests::shellrt::Shellrt;

/// The sequence that is in the field, through the driver and as v0's bytes.
#[path = "containerd_cri/v0.rs"]
mod v0;

/// What the Kubernetes interface itself says of pods and containers.
#[path = "containerd_cri/pods.rs"]
mod pods;

/// Ends, attempts, a machine that goes down.
#[path = "containerd_cri/life.rs"]
mod life;

/// Requests that are killed.
#[path = "containerd_cri/killed.rs"]
mod killed;

/// What a module writes, and the log that is rotated.
#[path = "containerd_cri/output.rs"]
mod output;

/// What is wrong with images and the daemon.
#[path = "containerd_cri/images.rs"]
mod images;

/// A plugin whose containerd has the Kubernetes interface, a registry, and the references of a pause
/// image and of an image with busybox in it. Nothing is pulled.
struct World {
    shellrt: Shellrt,
    registry: Registry,
    pause: String,
    image: String,
}

/// A world; `None`, after saying why, where there can't be one.
fn world() -> Option<World> {
    let registry = Registry::start(&registry::Options::default())?;
    let pause = pause_image().push(&registry, "pause", "1");
    let image = busybox().push(&registry, "busybox", "1");
    let options = Options {
        pause_image: Some(pause.clone()),
        ..Options::default()
    };
    Some(World {
        shellrt: Shellrt::start_with(options)?,
        registry,
        pause,
        image,
    })
}

/// The same with both images pulled.
fn ready() -> Option<World> {
    let world = world()?;
    world.shellrt.pull(&world.pause);
    world.shellrt.pull(&world.image);
    Some(world)
}

/// An image that has busybox and nothing else.
fn busybox() -> Image {
    Image::busybox().config(json!({"Cmd": ["sh"], "Env": ["PATH=/bin"]}))
}

/// What holds a pod together: it sleeps.
fn pause_image() -> Image {
    let script = "trap exit TERM; while :; do sleep 1000 & wait $!; done";
    Image::busybox().config(json!({"Entrypoint": ["sh", "-c", script], "Env": ["PATH=/bin"]}))
}

/// Says that it is up, runs until it is told to end, and ends with 143 then.
const FOREVER: &str = "trap 'exit 143' TERM; echo up; while :; do sleep 1000 & wait $!; done";

impl World {
    /// Creates a module that runs a script, with more config.
    fn create(&self, name: &str, script: &str, mut config: Value) {
        config["image"] = self.image.as_str().into();
        config["command"] = json!(["sh", "-c", script]);
        self.shellrt.ok(&json!({
            "_type": "create", "name": name, "config_type": "containerd-cri", "config": config,
        }));
    }

    /// Creates a module that runs a script, and starts it.
    fn run(&self, name: &str, script: &str) {
        self.create(name, script, json!({}));
        self.shellrt.module("start", name);
    }

    /// Runs a module of [`FOREVER`] until it listens to signals.
    fn run_forever(&self, name: &str) {
        self.run(name, FOREVER);
        self.is_up(name, 1);
    }

    /// Waits until a module of [`FOREVER`] listens to signals, in its so many-th run.
    fn is_up(&self, name: &str, run: usize) {
        until("the module is up", || {
            self.shellrt.logs(name) == b"up\n".repeat(run)
        });
    }

    /// Removes a module, whatever it does.
    fn remove(&self, name: &str) {
        self.shellrt.module("remove", name);
    }

    /// Nothing is left of modules, in the daemon and in the kernel.
    fn assert_nothing_left(&self) {
        let list = self.shellrt.ok(&json!({"_type": "list"}));
        assert_eq!(list["modules"], json!([]));
        let left = self.shellrt.containerd.left_of_modules();
        assert!(left.is_empty(), "{left:#?}");
    }
}
