//! Images on this machine: OCI layout directories, and programs in files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use shellrt_api::v0::img_pull::Phase;
use shellrt_plugin::pull::Patience;
use shellrt_plugin::registry::{self, Descriptor, Digest, Hasher, Index, Manifest};

use super::downloads::{Downloads, Temporary};
use super::origin::{is_index, Blob, Listener};
use crate::engine::ProgramError;
use crate::error::Error;

/// An OCI layout directory.
pub(super) struct Directory<'a> {
    /// The reference, for errors.
    pub(super) reference: &'a str,
    pub(super) path: &'a Path,
    pub(super) tag: Option<&'a str>,
    pub(super) downloads: &'a Downloads,
    pub(super) patience: &'a Patience,
}

/// The largest manifest or index, in bytes, as for registries.
const MANIFEST_MAX: u64 = 4 << 20;

/// The name of an image in a layout directory.
const NAME: &str = "org.opencontainers.image.ref.name";

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

impl Directory<'_> {
    /// The image or index that the tag names; without a tag all that the directory holds, which are
    /// an image's platforms unless it names several images.
    pub(super) fn root(&self) -> Result<Manifest, Error> {
        let bytes = self.index_file()?;
        let digest = Digest::of(&bytes);
        let size = bytes.len() as u64;
        let descriptor = Descriptor::new(INDEX, digest, size);
        let all = Manifest {
            descriptor,
            bytes: bytes.into(),
        };
        let index: Index = all.index()?;
        let mut names: Vec<&str> = index
            .manifests
            .iter()
            .filter_map(|child| child.annotations.get(NAME))
            .map(String::as_str)
            .collect();
        names.dedup();
        let named = |tag: &str| {
            let is_it =
                |child: &&Descriptor| child.annotations.get(NAME).is_some_and(|name| name == tag);
            index.manifests.iter().find(is_it)
        };
        match (self.tag, index.manifests.as_slice()) {
            (_, []) => Err(self.not_there("the directory holds no image".to_owned())),
            (Some(tag), _) => match named(tag) {
                Some(child) => self.child(child),
                None => Err(self.not_there(format!(
                    "the directory has no image named {tag:?}, but {}",
                    if names.is_empty() {
                        "only some without a name".to_owned()
                    } else {
                        names.join(", ")
                    }
                ))),
            },
            (None, [only]) => self.child(only),
            (None, _) if names.len() > 1 => Err(Error::Reference {
                reference: self.reference.to_owned(),
                reason: "the directory holds several images, so one must be named",
            }),
            (None, _) => Ok(all),
        }
    }

    pub(super) fn child(&self, descriptor: &Descriptor) -> Result<Manifest, Error> {
        let bytes = self.bytes(descriptor, MANIFEST_MAX)?;
        let mut descriptor = descriptor.clone();
        if !is_index(&descriptor.media_type) {
            descriptor.media_type = match says_index(&bytes) {
                true => INDEX.to_owned(),
                false => MANIFEST.to_owned(),
            };
        }
        Ok(Manifest {
            descriptor,
            bytes: bytes.into(),
        })
    }

    pub(super) fn bytes(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
        if descriptor.size > limit {
            return Err(Error::ImageInvalid {
                image: self.reference.to_owned(),
                reason: format!(
                    "its document {:?} has {} bytes, and at most {limit} are read",
                    descriptor.digest.to_string(),
                    descriptor.size
                ),
            });
        }
        let mut bytes = Vec::new();
        self.copy(descriptor, &mut bytes, &mut |_, _, _, _| ())?;
        Ok(bytes)
    }

    /// A copy in the downloads: the directory is somebody else's and may change at any time.
    pub(super) fn blob(
        &self,
        descriptor: &Descriptor,
        listener: &mut Listener,
    ) -> Result<Blob, Error> {
        let path = self.downloads.blob(&descriptor.digest);
        let draft = self.downloads.temporary()?;
        self.copy(descriptor, &draft.file, listener)?;
        // Only what is whole on the disk has this name, also after a power loss.
        let finish = || {
            draft.file.sync_all()?;
            std::fs::rename(&draft.path, &path)
        };
        finish().map_err(|source| Error::file("write", &path, source))?;
        Ok(Blob {
            path,
            fetched: descriptor.size,
            resumed: 0,
        })
    }

    fn copy(
        &self,
        descriptor: &Descriptor,
        output: impl Write,
        listener: &mut Listener,
    ) -> Result<(), Error> {
        let digest = &descriptor.digest;
        let path = self
            .path
            .join("blobs")
            .join(digest.algorithm())
            .join(digest.hex());
        let input = open(self.reference, &path)?;
        let mut hasher = digest.hasher();
        let mut tell = |current| listener(digest, current, descriptor.size, Phase::Download);
        let copy = Copy {
            from: &path,
            limit: descriptor.size,
            patience: self.patience,
        };
        let copied = copy.run(input, output, &mut hasher, &mut tell)?;
        let actual = hasher.finish();
        if copied != descriptor.size {
            let (digest, expected) = (digest.clone(), descriptor.size);
            return Err(registry::Error::SizeMismatch {
                digest,
                expected,
                actual: copied,
            }
            .into());
        }
        if actual != *digest {
            return Err(registry::Error::DigestMismatch {
                expected: digest.clone(),
                actual,
            }
            .into());
        }
        Ok(())
    }

    fn index_file(&self) -> Result<Vec<u8>, Error> {
        let path = self.path.join("index.json");
        let mut file = open(self.reference, &path)?.take(MANIFEST_MAX);
        let mut bytes = Vec::new();
        let read = file.read_to_end(&mut bytes);
        read.map_err(|source| Error::file("read", &path, source))?;
        Ok(bytes)
    }

    fn not_there(&self, reason: String) -> Error {
        Error::NotThere {
            reference: self.reference.to_owned(),
            reason,
        }
    }
}

/// A program from a file, in a file of its own, with its digest and its size in bytes. Text is
/// translated, so both are those of the file and not of the program.
pub(super) fn program(
    reference: &str,
    path: &Path,
    limit: u64,
    downloads: &Downloads,
    patience: &Patience,
) -> Result<(Temporary, Digest, u64), Error> {
    let input = open(reference, path)?;
    let mut copy = downloads.temporary()?;
    let mut hasher = Hasher::sha256();
    let run = Copy {
        from: path,
        limit,
        patience,
    };
    let size = run.run(input, &copy.file, &mut hasher, &mut |_| ())?;
    if size > limit {
        return Err(ProgramError::TooLarge { size, limit }.into());
    }
    if !is_binary(&copy.path).map_err(|source| Error::file("read", &copy.path, source))? {
        let text =
            std::fs::read(&copy.path).map_err(|source| Error::file("read", &copy.path, source))?;
        if let Some(wasm) = translated(reference, &text)? {
            let mut rewrite = || -> io::Result<()> {
                copy.file.set_len(0)?;
                io::Seek::rewind(&mut copy.file)?;
                copy.file.write_all(&wasm)
            };
            rewrite().map_err(|source| Error::file("write", &copy.path, source))?;
        }
    }
    Ok((copy, hasher.finish(), size))
}

/// Whether the file begins with a NUL or another byte that no text has: a module, a component, or
/// something that the engine will name.
fn is_binary(path: &Path) -> io::Result<bool> {
    let mut first = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut first)?;
    Ok(first.first().is_none_or(|byte| *byte < 9 || *byte >= 0x7f))
}

/// The program in a text; `None` where it is no text of a program, so that the engine says what it
/// is.
fn translated(reference: &str, text: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let Ok(text) = std::str::from_utf8(text) else {
        return Ok(None);
    };
    let start = text.trim_start();
    if !start.starts_with('(') && !start.starts_with(";;") {
        return Ok(None);
    }
    match wat::parse_str(text) {
        Ok(wasm) => Ok(Some(wasm)),
        Err(error) => Err(Error::ImageInvalid {
            image: reference.to_owned(),
            reason: format!("its text can't be translated: {error}"),
        }),
    }
}

/// Opens a regular file, without waiting for whoever writes to a pipe.
fn open(reference: &str, path: &Path) -> Result<File, Error> {
    let not_there = |reason| Error::NotThere {
        reference: reference.to_owned(),
        reason,
    };
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)
    {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(not_there(format!("there is no file {path:?}")));
        }
        opened => opened.map_err(|source| Error::file("read", path, source))?,
    };
    let found = file
        .metadata()
        .map_err(|source| Error::file("read", path, source))?;
    match found.is_file() {
        true => Ok(file),
        false => Err(not_there(format!("{path:?} is no regular file"))),
    }
}

/// A copy that is bounded and can be given up.
struct Copy<'a> {
    from: &'a Path,
    /// How many bytes there may be; one more is read, so that it shows.
    limit: u64,
    patience: &'a Patience,
}

impl Copy<'_> {
    fn run(
        &self,
        input: File,
        mut output: impl Write,
        hasher: &mut Hasher,
        tell: &mut dyn FnMut(u64),
    ) -> Result<u64, Error> {
        let mut input = input.take(self.limit.saturating_add(1));
        let mut buffer = vec![0; 256 << 10];
        tell(0);
        loop {
            self.patience.check()?;
            let count = input.read(&mut buffer);
            let count = count.map_err(|source| Error::file("read", self.from, source))?;
            if count == 0 {
                return Ok(hasher.seen());
            }
            hasher.update(&buffer[..count]);
            let written = output.write_all(&buffer[..count]);
            written.map_err(|source| Error::file("copy", self.from, source))?;
            tell(hasher.seen());
        }
    }
}

/// Whether a document is an index, where its descriptor does not say so.
fn says_index(bytes: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Fields {
        manifests: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Fields>(bytes).is_ok_and(|fields| fields.manifests.is_some())
}
