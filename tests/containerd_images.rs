//! Images of `shellrt-containerd`: what a pull leaves in a real containerd beside what containerd's
//! own client leaves there, broken networks and killed plugins, and what is removed when.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use serde_json::{json, Value};
use tests::containerd::Containerd;
use tests::image::{busybox, Compression, Format, Image, Layer};
use tests::plugin::Plugin;
use tests::registry::proxy::Proxy;
use tests::registry::{Options, Registry};
use tests::shellrt::Shellrt;

#[path = "containerd_images/archive.rs"]
mod archive;

#[path = "containerd_images/collection.rs"]
mod collection;

#[path = "containerd_images/cross.rs"]
mod cross;

#[path = "containerd_images/kills.rs"]
mod kills;

#[path = "containerd_images/layouts.rs"]
mod layouts;

#[path = "containerd_images/network.rs"]
mod network;

#[path = "containerd_images/progress.rs"]
mod progress;

#[path = "containerd_images/removal.rs"]
mod removal;

#[path = "containerd_images/resume.rs"]
mod resume;

#[path = "containerd_images/strange.rs"]
mod strange;

#[path = "containerd_images/trees.rs"]
mod trees;

/// A plugin, a registry, and a proxy before it.
struct World {
    shellrt: Shellrt,
    registry: Registry,
    proxy: Proxy,
}

impl World {
    /// `None`, after saying why, where something is missing.
    fn start() -> Option<World> {
        World::over(Shellrt::start()?)
    }

    fn over(shellrt: Shellrt) -> Option<World> {
        let registry = Registry::start(&Options::default())?;
        let proxy = Proxy::start(registry.host());
        Some(World {
            shellrt,
            registry,
            proxy,
        })
    }

    /// Pushes an image; its reference goes through the proxy.
    fn push(&self, image: &Image, name: &str) -> String {
        image.push(&self.registry, name, "1");
        format!("{}/{name}:1", self.proxy.host())
    }
}

/// A layer with one file of `size` bytes that can't be packed smaller; another `seed` is another file.
fn noise(size: usize, seed: u32) -> Layer {
    Layer::new().file(&format!("noise-{seed}"), 0o644, &bytes(size, seed))
}

fn bytes(size: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(step).collect()
}

/// busybox under layers of these sizes.
fn image(sizes: &[usize]) -> Image {
    let mut image = Image::new(Format::Oci).layer(busybox(), Compression::Gzip);
    for (seed, size) in (1..).zip(sizes) {
        image = image.layer(noise(*size, seed), Compression::Gzip);
    }
    image
}

/// The way in which layers are unpacked here, unless `SHELLRT_CONTAINERD_UNPACK` says another.
fn way() -> String {
    let named = std::env::var("SHELLRT_CONTAINERD_UNPACK");
    named.unwrap_or_else(|_| "direct".to_owned())
}

/// The path of a blob in a registry.
fn blob(bytes: &[u8]) -> String {
    format!("/blobs/{}", tests::registry::digest(bytes))
}

/// The request to pull `image`.
fn pull(image: &str) -> Value {
    json!({"_type": "img_pull", "image": image})
}

/// The code and the message of a pull that fails.
fn refused(plugin: &Plugin, image: &str) -> (u64, String) {
    let answer = plugin.ask(&pull(image)).object;
    assert_eq!(answer["_status"], "err", "{answer:?}");
    let message = answer["message"].as_str().unwrap();
    let causes = &answer["detail"]["caused_by"];
    (
        answer["code"].as_u64().unwrap(),
        format!("{message} {causes}"),
    )
}

/// The references of all images.
fn references(plugin: &Plugin) -> Vec<String> {
    let images = plugin.ok(&json!({"_type": "img_list"}));
    let images = images["images"].as_array().unwrap().iter();
    images
        .map(|image| image["reference"].as_str().unwrap().to_owned())
        .collect()
}

/// Everything in the namespace that belongs to images, as `ctr` lists it, in an order of its own.
fn listing(containerd: &Containerd) -> Vec<String> {
    let mut all = Vec::new();
    for what in ["content", "images", "snapshots", "leases"] {
        for line in containerd.ctr(&[what, "ls"]).lines().skip(1) {
            let mut words: Vec<&str> = line.split_whitespace().collect();
            let mut labels: Vec<&str> = words.pop().unwrap_or_default().split(',').collect();
            labels.sort_unstable();
            // The age of a blob is no property of it.
            if what == "content" {
                words.truncate(2);
            }
            all.push(format!("{what} {} {}", words.join(" "), labels.join(" ")));
        }
    }
    all.sort_unstable();
    all
}

/// What stands in one listing and not in the other.
fn difference(one: &[String], other: &[String]) -> Vec<String> {
    let only = |sign: &str, a: &[String], b: &[String]| -> Vec<String> {
        let lines = a.iter().filter(|line| !b.contains(line));
        lines.map(|line| format!("{sign} {line}")).collect()
    };
    [only("-", one, other), only("+", other, one)].concat()
}

/// What a module of the image prints.
fn output(shellrt: &Shellrt, image: &str, script: &str) -> String {
    let config = json!({"command": ["sh", "-c", script], "network": "none"});
    shellrt.create_only("output", image, config);
    shellrt.module("start", "output");
    shellrt.module("wait", "output");
    let output = shellrt.logs("output");
    shellrt.module("remove", "output");
    String::from_utf8(output).unwrap()
}
