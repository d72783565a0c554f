//! Blobs into files, resumed across processes and power losses.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;

use super::{Client, Descriptor, Digest, Error, Hasher, Reference, Resume};

/// What a [`download`](Client::download) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Downloaded {
    /// Bytes that came over the network now.
    pub bytes_fetched: u64,
    /// Bytes that an earlier, broken download had left and that were used.
    pub bytes_resumed: u64,
    /// Whether the file was there already, complete.
    pub existed: bool,
}

/// See [`Client::download`].
pub(super) async fn download(
    client: &Client,
    reference: &Reference,
    descriptor: &Descriptor,
    partials: &Path,
    path: &Path,
    mut progress: impl FnMut(&Digest, u64, u64) + Send,
) -> Result<Downloaded, Error> {
    let digest = &descriptor.digest;
    let name = format!("{}-{}.partial", digest.algorithm(), digest.hex());
    let Some(mut partial) = Partial::claim(partials.join(name), path, descriptor.size).await?
    else {
        progress(digest, descriptor.size, descriptor.size);
        return Ok(Downloaded {
            bytes_fetched: 0,
            bytes_resumed: 0,
            existed: true,
        });
    };
    let (hasher, mut bytes_resumed) = partial.rehash(descriptor).await?;
    progress(digest, bytes_resumed, descriptor.size);
    let mut blob = client.blob(reference, descriptor, Resume::Hashed(hasher));
    let mut bytes_fetched = 0;
    loop {
        match blob.next().await {
            Ok(Some(chunk)) => {
                partial.write(&chunk)?;
                progress(digest, blob.offset(), descriptor.size);
            }
            Ok(None) => break,
            Err(error) if error.spoils_bytes() => {
                partial.empty()?;
                if bytes_resumed == 0 {
                    return Err(error);
                }
                // What an earlier run left may be what was wrong, for example after a power loss.
                log::warn!("{error}; fetching it once more from the beginning");
                bytes_fetched += blob.fetched();
                bytes_resumed = 0;
                progress(digest, 0, descriptor.size);
                blob = client.blob(reference, descriptor, Resume::Start);
            }
            Err(error) => return Err(error),
        }
    }
    partial.keep(path).await?;
    Ok(Downloaded {
        bytes_fetched: bytes_fetched + blob.fetched(),
        bytes_resumed,
        existed: false,
    })
}

/// An unfinished file, locked as long as this lives. The kernel releases the lock however the
/// process ends.
struct Partial {
    file: File,
    path: PathBuf,
}

impl Drop for Partial {
    /// An empty file is of no use to anybody. It is removed under the lock, so nobody else's is.
    fn drop(&mut self) {
        let is_empty = self.file.metadata().is_ok_and(|file| file.len() == 0);
        if is_empty && self.has_its_name().is_ok_and(|has| has) {
            // It is in nobody's way if it stays.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// How often a waiting process looks whether the lock is free. It polls, because a blocking wait
/// could not be given up when the caller goes away.
const LOCK_POLL: Duration = Duration::from_millis(100);

impl Partial {
    /// Opens and locks the file; `None` where `finished` is there.
    async fn claim(path: PathBuf, finished: &Path, size: u64) -> Result<Option<Partial>, Error> {
        loop {
            if is_there(finished, size)? {
                return Ok(None);
            }
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(Error::file("open", &path))?;
            loop {
                match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => break,
                    Err(rustix::io::Errno::WOULDBLOCK) => tokio::time::sleep(LOCK_POLL).await,
                    Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(Error::file("lock", &path)(error.into())),
                }
            }
            let path = path.clone();
            let partial = Partial { file, path };
            // Whoever had the lock before may have renamed the file or removed it, also between
            // the two first steps here.
            let is_named = partial.has_its_name();
            if is_named.map_err(Error::file("read", &partial.path))? && !is_there(finished, size)? {
                return Ok(Some(partial));
            }
        }
    }

    /// Whether the open file is still the one at its path.
    fn has_its_name(&self) -> std::io::Result<bool> {
        let own = self.file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(named) => Ok((named.dev(), named.ino()) == (own.dev(), own.ino())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads what is there, and leaves the file's position at its end.
    async fn rehash(&mut self, descriptor: &Descriptor) -> Result<(Hasher, u64), Error> {
        let metadata = self.file.metadata();
        let length = metadata.map_err(Error::file("read", &self.path))?.len();
        if length > descriptor.size {
            self.empty()?;
            return Ok((descriptor.digest.hasher(), 0));
        }
        if length == 0 {
            return Ok((descriptor.digest.hasher(), 0));
        }
        let mut file = self.clone_file()?;
        let mut hasher = descriptor.digest.hasher();
        let hashed = blocking(move || {
            file.seek(SeekFrom::Start(0))?;
            let mut buffer = vec![0; 256 << 10];
            while hasher.seen() < length {
                let count = file.read(&mut buffer)?;
                if count == 0 {
                    break;
                }
                hasher.update(&buffer[..count]);
            }
            Ok(hasher)
        })
        .await;
        let hasher = hashed.map_err(Error::file("read", &self.path))?;
        let seen = hasher.seen();
        Ok((hasher, seen))
    }

    fn write(&mut self, chunk: &[u8]) -> Result<(), Error> {
        let written = self.file.write_all(chunk);
        written.map_err(Error::file("write", &self.path))
    }

    fn empty(&mut self) -> Result<(), Error> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(Error::file("write", &self.path))
    }

    /// Syncs the file and gives it its name; after this a power loss does no harm.
    async fn keep(&self, path: &Path) -> Result<(), Error> {
        let file = self.clone_file()?;
        let (from, to) = (self.path.clone(), path.to_owned());
        let kept = blocking(move || {
            file.sync_all()?;
            std::fs::rename(from, &to)?;
            match to.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
                _ => Ok(()),
            }
        })
        .await;
        kept.map_err(Error::file("finish", path))
    }

    /// The same open file for another thread; position and lock are shared.
    fn clone_file(&self) -> Result<File, Error> {
        self.file
            .try_clone()
            .map_err(Error::file("open", &self.path))
    }
}

fn is_there(path: &Path, size: u64) -> Result<bool, Error> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_file() && metadata.len() == size),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::file("read", path)(error)),
    }
}

/// Runs file work that may take seconds on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(std::io::Error::other("the file work was given up")),
    }
}
