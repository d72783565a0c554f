//! Getting one file out of an image whose layers are tars, without unpacking them.
//!
//! The layers are read from the topmost down and only as far as needed, each as a stream: what a tar
//! claims to hold is looked at and never written anywhere, apart from the one file. Links are
//! followed within the image, by looking again for where they point.

mod entries;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use shellrt_plugin::pull::Patience;

use self::entries::{Body, Entries, Kind};
use crate::error::Error;

/// What looking for a file needs.
pub(super) struct Search<'a> {
    /// The image, for errors.
    pub(super) reference: &'a str,
    /// The largest program, in bytes.
    pub(super) limit: u64,
    /// When to give up.
    pub(super) patience: &'a Patience,
}

/// How often a link may lead to another.
const LINKS_MAX: usize = 40;

/// How much larger than the largest program a layer may be when unpacked.
const UNPACKED: u64 = 16;

impl Search<'_> {
    /// Copies the file at `path` in the image to `output`. `layer` gives a layer's file by its
    /// number from the bottom, and is asked only for those that are needed.
    ///
    /// # Errors
    /// [`Error::ImageInvalid`] where it is not there or is no file, or a layer can't be read.
    pub(super) fn extract(
        &self,
        path: &str,
        layers: usize,
        mut layer: impl FnMut(usize) -> Result<File, Error>,
        output: &mut File,
    ) -> Result<(), Error> {
        let mut wanted = Name::of(path.as_bytes());
        // The layers below this number are looked at.
        let mut below = layers;
        for _ in 0..LINKS_MAX {
            let mut found = Found::Nothing;
            let mut number = below;
            while number > 0 && matches!(found, Found::Nothing) {
                number -= 1;
                found = self.look(layer(number)?, &wanted, output)?;
            }
            match found {
                Found::Copied => return Ok(()),
                Found::Elsewhere(name) => (wanted, below) = (name, layers),
                // A hard link is to a file of the same layer or of one below.
                Found::Same(name) => (wanted, below) = (name, number + 1),
                Found::NoFile(what) => {
                    return Err(self.refuse(format!("its program {wanted} is {what}")));
                }
                Found::Nothing | Found::Hidden => {
                    let path = path.trim_start_matches('/');
                    return Err(self.refuse(format!("there is no file \"/{path}\" in it")));
                }
            }
        }
        Err(self.refuse(format!("its program {path:?} is a link that leads nowhere")))
    }

    /// Looks at one layer.
    fn look(&self, layer: File, wanted: &Name, output: &mut File) -> Result<Found, Error> {
        // A reading that ends where the patience does is not the tar's fault.
        let broken = |error: io::Error| match self.patience.check() {
            Ok(()) => self.refuse(format!("a layer can't be read: {error}")),
            Err(end) => end.into(),
        };
        let watched = Watched {
            inner: layer,
            patience: self.patience,
        };
        let bytes = decompressed(watched).map_err(broken)?;
        let mut entries = Entries::new(bytes.take(self.limit.saturating_mul(UNPACKED)));
        let mut found = Found::Nothing;
        while let Some(entry) = entries.next().map_err(broken)? {
            let name = Name::of(&entry.name);
            let Some(rest) = wanted.below(&name) else {
                if let Found::Nothing = found {
                    if wanted.is_hidden_by(&name) {
                        found = Found::Hidden;
                    }
                }
                continue;
            };
            // The last entry of a name counts.
            found = match (entry.kind, rest) {
                (Kind::File, []) => {
                    self.copy(entry.size, entries.body(), output)?;
                    Found::Copied
                }
                (Kind::Symlink(target), rest) => Found::Elsewhere(name.link(&target).join(rest)),
                (Kind::Hardlink(target), []) => Found::Same(Name::of(&target)),
                (Kind::Directory, []) => Found::NoFile("a directory"),
                (Kind::Other, []) => Found::NoFile("neither a file nor a link"),
                // Directories on the way are as they should be, and some tars leave them out.
                (Kind::Directory, _) => found,
                (Kind::File | Kind::Hardlink(_) | Kind::Other, _) => Found::Hidden,
            };
        }
        Ok(found)
    }

    fn copy<R: Read>(
        &self,
        size: u64,
        mut body: Body<'_, R>,
        output: &mut File,
    ) -> Result<(), Error> {
        if size > self.limit {
            return Err(crate::engine::ProgramError::TooLarge {
                size,
                limit: self.limit,
            }
            .into());
        }
        let own = |source| Error::system("write the program to a temporary file", source);
        output
            .set_len(0)
            .and_then(|()| io::Seek::rewind(output))
            .map_err(own)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => output.write_all(&buffer[..count]).map_err(own)?,
                Err(error) => {
                    self.patience.check()?;
                    return Err(self.refuse(format!("a layer can't be read: {error}")));
                }
            }
        }
    }

    fn refuse(&self, reason: String) -> Error {
        Error::ImageInvalid {
            image: self.reference.to_owned(),
            reason,
        }
    }
}

/// What a layer says of the file that is looked for.
enum Found {
    /// Nothing: the layers below may.
    Nothing,
    /// It is not there, whatever the layers below say.
    Hidden,
    /// It was there.
    Copied,
    /// It is what this name says, in the whole image.
    Elsewhere(Name),
    /// It is what this name says, in this layer or one below.
    Same(Name),
    /// It is there and no file.
    NoFile(&'static str),
}

/// A path within an image, from its root.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name(Vec<Vec<u8>>);

impl Name {
    /// Reads a path. `..` does not lead out of the root, as in a `chroot`.
    fn of(path: &[u8]) -> Name {
        Name(Vec::new()).join_path(path)
    }

    fn join_path(mut self, path: &[u8]) -> Name {
        for part in path.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    self.0.pop();
                }
                part => self.0.push(part.to_owned()),
            }
        }
        self
    }

    /// Where a symbolic link of this name points to.
    fn link(&self, target: &[u8]) -> Name {
        match target.starts_with(b"/") {
            true => Name::of(target),
            false => {
                let parents = self.0.split_last().map_or(&[][..], |(_, parents)| parents);
                Name(parents.to_vec()).join_path(target)
            }
        }
    }

    fn join(mut self, rest: &[Vec<u8>]) -> Name {
        self.0.extend_from_slice(rest);
        self
    }

    /// What follows `other`, where that is this name or leads to it.
    fn below(&self, other: &Name) -> Option<&[Vec<u8>]> {
        if other.0.is_empty() {
            return None;
        }
        self.0.strip_prefix(other.0.as_slice())
    }

    /// Whether an entry of the name `other` says that this one of lower layers is gone.
    fn is_hidden_by(&self, other: &Name) -> bool {
        let Some((last, parents)) = other.0.split_last() else {
            return false;
        };
        let Some(gone) = last.strip_prefix(b".wh.") else {
            return false;
        };
        match self.0.strip_prefix(parents) {
            None | Some([]) => false,
            // All that was in the directory.
            Some(_) if gone == b".wh..opq" => true,
            Some([first, ..]) => first == gone,
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.0.join(&b'/');
        write!(
            f,
            "{:?}",
            Path::new("/").join(String::from_utf8_lossy(&path).as_ref())
        )
    }
}

/// A layer as it lies on the disk, with an end when the patience has one.
struct Watched<'a> {
    inner: File,
    patience: &'a Patience,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.patience.check() {
            Ok(()) => self.inner.read(buffer),
            Err(error) => Err(io::Error::other(error.to_string())),
        }
    }
}

/// The tar in a layer. How it is compressed is seen in its first bytes: docker's media types say
/// less than there is.
fn decompressed<'a>(mut layer: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut first = Vec::new();
    layer.by_ref().take(4).read_to_end(&mut first)?;
    let kind = first.clone();
    let layer = io::Cursor::new(first).chain(layer);
    Ok(match kind.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(layer)),
        // A zstd frame, or one that its readers skip.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            Box::new(zstd::stream::read::Decoder::new(layer)?)
        }
        _ => Box::new(layer),
    })
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
