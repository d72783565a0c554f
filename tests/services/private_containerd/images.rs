//! The images of the conformance suite, one repository for each kind of program, all with the tag `1`;
//! `lines` has `2` as well.

use anyhow::ensure;
use serde_json::{json, Value};
use tests::image::{busybox, push_index, Compression, Format, Image, Layer};
use tests::registry::Registry;

/// What needs nothing but busybox; `plugins/containerd.json` has the commands.
const PLAIN: [&str; 12] = [
    "args", "binary", "echo", "env", "exit_0", "exit_7", "forever", "large", "late", "memory",
    "partial", "ticks",
];

/// What holds a pod together.
pub const PAUSE: &str = "pause";

/// Pushes all of them.
pub fn push(registry: &Registry) -> anyhow::Result<()> {
    for kind in PLAIN {
        plain(kind).push(registry, kind, "1");
    }
    let pause = "trap exit TERM; while :; do sleep 1000 & wait $!; done";
    Image::busybox()
        .config(json!({"Entrypoint": ["sh", "-c", pause], "Env": [PATH]}))
        .push(registry, PAUSE, "1");
    // What builders push today: several platforms, and what the builder says of each.
    let here = plain("lines").build();
    let there = plain("lines").platform(foreign()).build();
    for tag in ["1", "2"] {
        push_index(registry, "lines", tag, &[&there, &here], true);
    }
    // What docker pushes.
    Image::new(Format::Docker)
        .layer(busybox(), Compression::Gzip)
        .config(json!({"Cmd": ["sh"], "Env": ["KIND=both"]}))
        .push(registry, "both", "1");
    // What an image may bring along.
    Image::busybox()
        .layer(own_files(), Compression::Zstd)
        .config(json!({
            "Entrypoint": ["printf", "<%s>"],
            "Cmd": ["from", "the image"],
            "Env": [PATH, "FROM=image", "ONLY=image"],
            "WorkingDir": "/srv/data",
            "User": "app",
            "StopSignal": "SIGINT",
        }))
        .push(registry, "brings", "1");
    // What a user does with it shows who the user is.
    Image::busybox()
        .layer(own_files(), Compression::None)
        .config(json!({"Cmd": ["id"], "User": "app"}))
        .push(registry, "user", "1");
    Image::busybox()
        .config(json!({"Cmd": ["sh"], "User": "nobody-has-this-name"}))
        .push(registry, "no_user", "1");
    plain("foreign")
        .platform(foreign())
        .push(registry, "foreign", "1");
    push_index(registry, "foreign_index", "1", &[&there], true);
    wrong_diff_id(registry)
}

fn plain(kind: &str) -> Image {
    let mut config = json!({"Cmd": ["sh"], "Env": [PATH, format!("KIND={kind}")]});
    // Their programs wait for no signal, and not every config can name another.
    if ["forever", "ticks"].contains(&kind) {
        config["StopSignal"] = "SIGKILL".into();
    }
    Image::busybox().config(config)
}

/// Most images set it; what has none gets the plugin's.
const PATH: &str = "PATH=/usr/local/bin:/usr/bin:/bin";

/// A platform that the machine is not.
fn foreign() -> &'static str {
    "linux/s390x"
}

/// A user that only the image knows, with a group more, and files of that user.
fn own_files() -> Layer {
    let passwd = b"root:x:0:0:root:/root:/bin/sh\napp:x:1234:2345:app:/srv/data:/bin/sh\n";
    let group = b"root:x:0:\napp:x:2345:\nmore:x:3456:other,app\n";
    Layer::new()
        .file("etc/passwd", 0o644, passwd)
        .file("etc/group", 0o644, group)
        .dir("srv", 0o755)
        .dir("srv/data", 0o755)
        .owner(1234, 2345)
        .file("srv/data/note", 0o600, b"a note\n")
        .owner(1234, 2345)
}

/// An image whose config says something else of its layer than what the layer is.
fn wrong_diff_id(registry: &Registry) -> anyhow::Result<()> {
    let image = plain("damaged").build();
    let mut config: Value = serde_json::from_slice(&image.config)?;
    ensure!(config["rootfs"]["diff_ids"].is_array(), "{config}");
    config["rootfs"]["diff_ids"] = json!([format!("sha256:{}", "0".repeat(64))]);
    let config = config.to_string().into_bytes();
    let layers: Vec<(&str, &[u8])> = image
        .layers
        .iter()
        .map(|layer| {
            let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
            (kind, layer.as_slice())
        })
        .collect();
    let manifest = tests::registry::manifest((Format::Oci.config(), &config), &layers);
    let blobs: Vec<&[u8]> = [config.as_slice()]
        .into_iter()
        .chain(image.layers.iter().map(Vec::as_slice))
        .collect();
    registry.push("damaged", "1", &manifest, &blobs);
    Ok(())
}
