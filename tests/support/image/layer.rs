//! Layers: tars of any entries, packed or not.

use std::io::Write;

use tar::{EntryType, Header};

use super::super::registry::digest;

/// A layer that is being made. Entries stand in the tar in the order in which they were added.
#[derive(Clone, Default)]
pub struct Layer {
    entries: Vec<Entry>,
    /// The whole tar, where it was not made here.
    raw: Option<Vec<u8>>,
}

/// How a layer is transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As a plain tar.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

#[derive(Clone)]
struct Entry {
    path: String,
    kind: EntryType,
    mode: u32,
    owner: (u64, u64),
    link: Option<String>,
    device: (u32, u32),
    bytes: Vec<u8>,
}

impl Layer {
    /// A layer without entries.
    pub fn new() -> Self {
        Layer::default()
    }

    /// A tar that somebody else made.
    pub fn raw(tar: Vec<u8>) -> Self {
        Layer {
            entries: Vec::new(),
            raw: Some(tar),
        }
    }

    /// A regular file.
    pub fn file(self, path: &str, mode: u32, bytes: &[u8]) -> Self {
        self.entry(path, EntryType::Regular, mode, |entry| {
            entry.bytes = bytes.to_vec();
        })
    }

    /// A directory.
    pub fn dir(self, path: &str, mode: u32) -> Self {
        self.entry(&format!("{path}/"), EntryType::Directory, mode, |_| {})
    }

    /// A symbolic link.
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(path, EntryType::Symlink, 0o777, |entry| {
            entry.link = Some(target.to_owned());
        })
    }

    /// A second name of a file that this layer has already.
    ///
    /// # Panics
    /// Where it has not.
    pub fn hard_link(self, path: &str, target: &str) -> Self {
        let file = self.entries.iter().find(|entry| entry.path == target);
        let file = file.expect("the file is there");
        let (mode, owner) = (file.mode, file.owner);
        self.entry(path, EntryType::Link, mode, |entry| {
            entry.link = Some(target.to_owned());
            entry.owner = owner;
        })
    }

    /// A character device.
    pub fn device(self, path: &str, major: u32, minor: u32) -> Self {
        self.entry(path, EntryType::Char, 0o666, |entry| {
            entry.device = (major, minor);
        })
    }

    /// What the layers below have at `path` is not there.
    pub fn whiteout(self, path: &str) -> Self {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let join = if folder.is_empty() { "" } else { "/" };
        self.file(&format!("{folder}{join}.wh.{name}"), 0o644, b"")
    }

    /// A directory of which nothing that the layers below have in it is there.
    pub fn opaque(self, path: &str) -> Self {
        self.dir(path, 0o755)
            .file(&format!("{path}/.wh..wh..opq"), 0o644, b"")
    }

    /// Gives the entry that was added last to a user and a group.
    pub fn owner(mut self, user: u64, group: u64) -> Self {
        self.entries.last_mut().expect("an entry").owner = (user, group);
        self
    }

    /// The tar.
    pub fn tar(&self) -> Vec<u8> {
        if let Some(tar) = &self.raw {
            return tar.clone();
        }
        let mut builder = tar::Builder::new(Vec::new());
        for entry in &self.entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(entry.kind);
            header.set_mode(entry.mode);
            header.set_uid(entry.owner.0);
            header.set_gid(entry.owner.1);
            header.set_mtime(1_700_000_000);
            header.set_size(entry.bytes.len() as u64);
            let written = match &entry.link {
                Some(target) => builder.append_link(&mut header, &entry.path, target),
                None => {
                    if entry.kind == EntryType::Char {
                        header.set_device_major(entry.device.0).expect("a number");
                        header.set_device_minor(entry.device.1).expect("a number");
                    }
                    builder.append_data(&mut header, &entry.path, entry.bytes.as_slice())
                }
            };
            written.expect("an entry of a tar");
        }
        builder.into_inner().expect("a tar")
    }

    /// The diff id, and the bytes as they are transferred.
    pub fn build(&self, compression: Compression) -> (String, Vec<u8>) {
        let tar = self.tar();
        let id = digest(&tar);
        (id, pack(tar, compression))
    }

    fn entry(
        mut self,
        path: &str,
        kind: EntryType,
        mode: u32,
        more: impl FnOnce(&mut Entry),
    ) -> Self {
        let mut entry = Entry {
            path: path.to_owned(),
            kind,
            mode,
            owner: (0, 0),
            link: None,
            device: (0, 0),
            bytes: Vec::new(),
        };
        more(&mut entry);
        self.entries.push(entry);
        self
    }
}

fn pack(tar: Vec<u8>, compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => tar,
        Compression::Gzip => {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(&tar).expect("gzip");
            encoder.finish().expect("gzip")
        }
        Compression::Zstd => zstd::encode_all(tar.as_slice(), 1).expect("zstd"),
    }
}

/// Base64 with padding, as descriptors' `data` has it.
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |word, place| {
            word << 8 | u32::from(chunk.get(place).copied().unwrap_or(0))
        });
        for place in 0..4 {
            text.push(match place > chunk.len() {
                true => '=',
                false => char::from(LETTERS[(word >> (18 - 6 * place) & 63) as usize]),
            });
        }
    }
    text
}
