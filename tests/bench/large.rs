//! A large image of real files: what is installed on this machine, in four layers.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tests::image::{host_platform, Compression, Format};
use tests::registry::{digest, manifest, Registry};

use super::measure::finish;

const LAYERS: usize = 4;

/// Files in each layer, so that there are 18 000.
const FILES: usize = 4500;

/// The bytes of a layer's files: gzip makes about 100 MB of them.
const BYTES: u64 = 290_000_000;

/// Files above this size are few in an image, and fill it.
const LARGE: u64 = 256 << 10;

/// The image in a registry, and its layers as files.
pub struct Large {
    /// Its reference.
    pub reference: String,
    /// Its layers as they are transferred, in files.
    pub layers: Vec<PathBuf>,
    /// Words about it.
    pub description: String,
}

/// The plain layers, made once for all compressions.
pub struct Tars {
    dir: tempfile::TempDir,
}

impl Tars {
    /// Makes them of what lies in /usr.
    pub fn make() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut all = Vec::new();
        walk(Path::new("/usr"), &mut all);
        all.sort();
        let (small, large): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, size)| *size < LARGE);
        let large: Vec<_> = large
            .into_iter()
            .filter(|(_, size)| *size < 40 << 20)
            .collect();
        let (small_step, large_step) = (small.len() / (LAYERS * FILES) + 1, LAYERS);
        for layer in 0..LAYERS {
            let mut files: Vec<&PathBuf> = Vec::new();
            let mut bytes = 0;
            for (path, size) in large.iter().skip(layer).step_by(large_step) {
                if bytes + size < BYTES - FILES as u64 * 15_000 {
                    bytes += size;
                    files.push(path);
                }
            }
            let wanted = FILES - files.len();
            let few = small.iter().skip(layer).step_by(LAYERS * small_step.max(1));
            let chosen: Vec<&PathBuf> = few.map(|(path, _)| path).take(wanted).collect();
            files.extend(chosen);
            // A directory without an entry would have the time of the pull.
            let parents = files.iter().flat_map(|file| file.ancestors().skip(1));
            let mut entries: BTreeSet<&Path> =
                parents.filter(|dir| dir.parent().is_some()).collect();
            entries.extend(files.iter().map(|file| file.as_path()));
            let mut list = Vec::new();
            for entry in entries {
                list.extend_from_slice(entry.as_os_str().as_bytes());
                list.push(0);
            }
            let names = dir.path().join("names");
            fs::write(&names, list).unwrap();
            let mut tar = Command::new("tar");
            tar.args([
                "--create",
                "--null",
                "--hard-dereference",
                "--format=pax",
                "--no-recursion",
                "--directory=/",
            ])
            .arg("--transform=s,^/,,")
            .arg("--file")
            .arg(tar_of(dir.path(), layer))
            .arg("--files-from")
            .arg(&names);
            finish(&mut tar, "");
        }
        Tars { dir }
    }

    /// Pushes them as an image.
    pub fn push(&self, registry: &Registry, compression: Compression) -> Large {
        let mut layers = Vec::new();
        let mut packed = Vec::new();
        let mut diff_ids = Vec::new();
        let mut plain = 0;
        for layer in 0..LAYERS {
            let tar = fs::read(tar_of(self.dir.path(), layer)).unwrap();
            plain += tar.len();
            diff_ids.push(digest(&tar));
            let bytes = pack(&tar, compression);
            let path = self.dir.path().join(format!("{compression:?}-{layer}"));
            fs::write(&path, &bytes).unwrap();
            layers.push(path);
            packed.push(bytes);
        }
        let platform = host_platform();
        let mut platform = platform.split('/');
        let config = json!({
            "os": platform.next(),
            "architecture": platform.next(),
            "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = config.to_string().into_bytes();
        let kind = Format::Oci.layer(compression);
        let described: Vec<(&str, &[u8])> = packed
            .iter()
            .map(|bytes| (kind.as_str(), bytes.as_slice()))
            .collect();
        let manifest = manifest((Format::Oci.config(), &config), &described);
        let name = format!("large-{compression:?}").to_lowercase();
        let mut blobs: Vec<&[u8]> = packed.iter().map(Vec::as_slice).collect();
        blobs.push(&config);
        registry.push(&name, "1", &manifest, &blobs);
        let size: usize = packed.iter().map(Vec::len).sum();
        Large {
            reference: format!("{}/{name}:1", registry.host()),
            layers,
            description: format!(
                "{} MB in {LAYERS} layers, {} files, {} MB unpacked",
                size / 1_000_000,
                LAYERS * FILES,
                plain / 1_000_000
            ),
        }
    }
}

fn tar_of(dir: &Path, layer: usize) -> PathBuf {
    dir.join(format!("{layer}.tar"))
}

fn pack(tar: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::Gzip => {
            let level = flate2::Compression::default();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(tar).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(tar, 3).unwrap(),
        Compression::None => tar.to_vec(),
    }
}

/// All regular files below a directory, with their sizes.
fn walk(dir: &Path, found: &mut Vec<(PathBuf, u64)>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(about) = entry.metadata() else {
            continue;
        };
        if about.is_dir() {
            walk(&entry.path(), found);
        } else if about.is_file() {
            found.push((entry.path(), about.len()));
        }
    }
}
