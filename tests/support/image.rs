//! Images made byte by byte: layers of any entries, configs, manifests and indexes, in OCI's and in
//! docker's form, without anybody's tools.

use std::path::Path;
use std::sync::OnceLock;

use serde_json::{json, Value};

use super::registry::{descriptor, digest, Registry};

pub mod layer;

pub use layer::{Compression, Layer};

/// Which of the two families of media types an image is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OCI's image specification.
    Oci,
    /// Docker's image manifest, version 2, schema 2.
    Docker,
}

/// An image that is being made.
pub struct Image {
    format: Format,
    platform: String,
    config: Value,
    layers: Vec<(Layer, Compression)>,
    inline: bool,
}

/// An image as its bytes.
pub struct Built {
    /// The manifest.
    pub manifest: Vec<u8>,
    /// The config document.
    pub config: Vec<u8>,
    /// The layers as they are transferred.
    pub layers: Vec<Vec<u8>>,
    /// `sha256:...` of the layers' tars.
    pub diff_ids: Vec<String>,
    /// What an index says of it.
    pub entry: Value,
}

impl Image {
    /// An image for this machine without layers.
    pub fn new(format: Format) -> Self {
        Image {
            format,
            platform: host_platform(),
            config: json!({}),
            layers: Vec::new(),
            inline: false,
        }
    }

    /// An OCI image over [`busybox`], one layer packed with gzip.
    pub fn busybox() -> Self {
        Image::new(Format::Oci).layer(busybox(), Compression::Gzip)
    }

    /// Puts a layer on top.
    pub fn layer(mut self, layer: Layer, compression: Compression) -> Self {
        self.layers.push((layer, compression));
        self
    }

    /// Sets the `config` of the config document: `Env`, `Cmd`, `User`, ...
    pub fn config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    /// Sets `os/architecture[/variant]`.
    pub fn platform(mut self, platform: &str) -> Self {
        platform.clone_into(&mut self.platform);
        self
    }

    /// The manifest carries the config itself, in the descriptor's `data`.
    pub fn inline(mut self) -> Self {
        self.inline = true;
        self
    }

    /// The image's bytes.
    pub fn build(&self) -> Built {
        let packed: Vec<(String, Vec<u8>)> = self
            .layers
            .iter()
            .map(|(layer, compression)| layer.build(*compression))
            .collect();
        let diff_ids: Vec<String> = packed.iter().map(|(id, _)| id.clone()).collect();
        let mut config = platform(&self.platform);
        config["config"] = self.config.clone();
        config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
        let config = config.to_string().into_bytes();
        let mut about_config = descriptor(self.format.config(), &config);
        if self.inline {
            about_config["data"] = layer::base64(&config).into();
        }
        let layers: Vec<Value> = self
            .layers
            .iter()
            .zip(&packed)
            .map(|((_, compression), (_, bytes))| {
                descriptor(&self.format.layer(*compression), bytes)
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": self.format.manifest(),
            "config": about_config,
            "layers": layers,
        });
        let manifest = manifest.to_string().into_bytes();
        let mut entry = descriptor(self.format.manifest(), &manifest);
        entry["platform"] = platform(&self.platform);
        Built {
            manifest,
            config,
            layers: packed.into_iter().map(|(_, bytes)| bytes).collect(),
            diff_ids,
            entry,
        }
    }

    /// Pushes the image, and gives back its reference.
    pub fn push(&self, registry: &Registry, name: &str, tag: &str) -> String {
        self.build().push(registry, name, tag);
        format!("{}/{name}:{tag}", registry.host())
    }
}

impl Built {
    /// Pushes the bytes, and gives back the manifest's digest.
    pub fn push(&self, registry: &Registry, name: &str, tag: &str) -> String {
        let blobs: Vec<&[u8]> = [self.config.as_slice()]
            .into_iter()
            .chain(self.layers.iter().map(Vec::as_slice))
            .collect();
        registry.push(name, tag, &self.manifest, &blobs)
    }

    /// What `status` calls `image_id`.
    pub fn id(&self) -> String {
        digest(&self.config)
    }

    /// What the reference is resolved to.
    pub fn digest(&self) -> String {
        digest(&self.manifest)
    }
}

/// Pushes images and an index over them, and gives back the index's digest. `attested` puts what a
/// builder says about each image behind it, as `docker buildx` does: manifests for no platform.
pub fn push_index(
    registry: &Registry,
    name: &str,
    tag: &str,
    images: &[&Built],
    attested: bool,
) -> String {
    let mut manifests = Vec::new();
    for (number, image) in images.iter().enumerate() {
        image.push(registry, name, &format!("{tag}-{number}"));
        manifests.push(image.entry.clone());
    }
    for (number, image) in images.iter().enumerate().filter(|_| attested) {
        let statement = br#"{"_type":"https://in-toto.io/Statement/v0.1"}"#;
        let config = br#"{"architecture":"unknown","os":"unknown"}"#;
        let layers = [descriptor("application/vnd.in-toto+json", statement)];
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": Format::Oci.manifest(),
            "config": descriptor(Format::Oci.config(), config),
            "layers": layers,
        });
        let manifest = manifest.to_string().into_bytes();
        let blobs: [&[u8]; 2] = [statement, config];
        registry.push(
            name,
            &format!("{tag}-attestation-{number}"),
            &manifest,
            &blobs,
        );
        let mut entry = descriptor(Format::Oci.manifest(), &manifest);
        entry["platform"] = json!({"os": "unknown", "architecture": "unknown"});
        entry["annotations"] = json!({
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image.digest(),
        });
        manifests.push(entry);
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    });
    registry.push(name, tag, index.to_string().as_bytes(), &[])
}

/// `/bin/busybox`, linked statically, under all of its names, and the directories that a root file
/// system has. The users are root and nobody.
///
/// # Panics
/// Where the Debian package busybox-static is missing.
pub fn busybox() -> Layer {
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let path = Path::new("/bin/busybox");
        std::fs::read(path).expect("/bin/busybox; apt-get install busybox-static")
    });
    let mut layer = Layer::new();
    for folder in ["bin", "etc", "home", "root", "run", "srv", "usr", "var"] {
        layer = layer.dir(folder, 0o755);
    }
    layer = layer
        .dir("tmp", 0o1777)
        .file("bin/busybox", 0o755, program)
        .file("etc/passwd", 0o644, PASSWD)
        .file("etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n");
    for name in LINKS {
        layer = layer.symlink(&format!("bin/{name}"), "busybox");
    }
    layer
}

const PASSWD: &[u8] =
    b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n";

/// What the tests' scripts use.
const LINKS: [&str; 45] = [
    "[",
    "awk",
    "cat",
    "chmod",
    "chown",
    "cut",
    "date",
    "dd",
    "df",
    "echo",
    "env",
    "expr",
    "false",
    "find",
    "grep",
    "head",
    "hostname",
    "id",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mknod",
    "mount",
    "mv",
    "nc",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "rm",
    "sed",
    "seq",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "tail",
    "test",
    "touch",
    "tr",
    "true",
    "wc",
    "yes",
];

impl Format {
    /// The media type of manifests.
    pub fn manifest(self) -> &'static str {
        match self {
            Format::Oci => "application/vnd.oci.image.manifest.v1+json",
            Format::Docker => "application/vnd.docker.distribution.manifest.v2+json",
        }
    }

    /// The media type of configs.
    pub fn config(self) -> &'static str {
        match self {
            Format::Oci => "application/vnd.oci.image.config.v1+json",
            Format::Docker => "application/vnd.docker.container.image.v1+json",
        }
    }

    /// The media type of layers.
    pub fn layer(self, compression: Compression) -> String {
        let (tar, join) = match self {
            Format::Oci => ("application/vnd.oci.image.layer.v1.tar", "+"),
            Format::Docker => ("application/vnd.docker.image.rootfs.diff.tar", "."),
        };
        match compression {
            Compression::None => tar.to_owned(),
            Compression::Gzip => format!("{tar}{join}gzip"),
            Compression::Zstd => format!("{tar}{join}zstd"),
        }
    }
}

/// This machine, as images name it.
pub fn host_platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux/{architecture}")
}

/// `os/architecture[/variant]` as configs and indexes write it.
fn platform(text: &str) -> Value {
    let mut parts = text.split('/');
    let mut value = json!({"os": parts.next(), "architecture": parts.next()});
    if let Some(variant) = parts.next() {
        value["variant"] = variant.into();
    }
    value
}
