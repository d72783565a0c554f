//! The module's side of `attach`: its output goes to everybody who is there.

use super::{write_all, Wanted};
use crate::file;
use rustix::fs::{Mode, OFlags};
use shellrt_api::v0::logs::Stream;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The attached clients: one FIFO each in a directory.
#[derive(Debug)]
pub struct Listeners {
    dir: PathBuf,
    /// When the directory had changed last at the last look; nothing where it may have changed since
    /// without a trace.
    seen: Option<SystemTime>,
    open: Vec<Listener>,
}

#[derive(Debug)]
struct Listener {
    path: PathBuf,
    fifo: OwnedFd,
    wanted: Wanted,
}

impl Listeners {
    /// Looks who is attached in `dir`, and who comes from now on.
    ///
    /// # Errors
    /// What the operating system refuses; the directory must exist.
    pub fn new(dir: &Path) -> Result<Listeners, file::Error> {
        let mut listeners = Listeners {
            dir: dir.to_owned(),
            seen: None,
            open: Vec::new(),
        };
        listeners
            .look_again()
            .map_err(|source| file::Error::new("watch", dir, source))?;
        Ok(listeners)
    }

    /// Hands `bytes` to everybody who wants them. A slow reader holds the module up and loses
    /// nothing; one that is gone is forgotten.
    pub fn send(&mut self, stream: Stream, bytes: &[u8]) {
        // A directory that is gone has nobody new in it.
        let _ = self.look_again();
        self.open.retain(|listener| {
            let gone = listener.wanted.has(stream) && write_all(&listener.fifo, bytes).is_err();
            if gone {
                let _ = fs::remove_file(&listener.path);
            }
            !gone
        });
    }

    /// Looks who is new, if the directory has changed since the last look. To be told of that would
    /// take the kernel 15 ms at the module's end, to close what tells it.
    fn look_again(&mut self) -> io::Result<()> {
        // Two changes within one tick of the file system's clock have the same time. What changed so
        // shortly before a look may change once more after it and look the same.
        const TICK: Duration = Duration::from_secs(2);
        let changed = fs::metadata(&self.dir)?.modified()?;
        if self.seen == Some(changed) {
            return Ok(());
        }
        let is_old = changed.elapsed().is_ok_and(|age| age > TICK);
        self.seen = is_old.then_some(changed);
        self.look();
        Ok(())
    }

    /// Opens the FIFOs that are new. A FIFO that nobody reads was left behind by a killed client.
    fn look(&mut self) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let Some(wanted) = Wanted::of(&path) else {
                continue;
            };
            if self.open.iter().any(|listener| listener.path == path) {
                continue;
            }
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            match rustix::fs::open(&path, flags, Mode::empty()) {
                Ok(fifo) => {
                    // Writes are to wait for the reader; only the opening was not to.
                    if rustix::fs::fcntl_setfl(&fifo, OFlags::WRONLY).is_ok() {
                        self.open.push(Listener { path, fifo, wanted });
                    }
                }
                Err(_) => {
                    let _ = fs::remove_file(&path);
                }
            }
        }
    }
}
