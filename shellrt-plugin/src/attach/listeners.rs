//! The module's side of `attach`: its output goes to everybody who is there.

use super::{write_all, Wanted};
use crate::file;
use rustix::fs::{inotify, Mode, OFlags};
use shellrt_api::v0::logs::Stream;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The attached clients: one FIFO each in a directory.
#[derive(Debug)]
pub struct Listeners {
    dir: PathBuf,
    changes: OwnedFd,
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
        let watch = || -> rustix::io::Result<OwnedFd> {
            let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
            let changes = inotify::init(flags)?;
            inotify::add_watch(&changes, dir, inotify::WatchFlags::MOVED_TO)?;
            Ok(changes)
        };
        let changes = watch().map_err(|errno| file::Error::new("watch", dir, errno))?;
        let mut listeners = Listeners {
            dir: dir.to_owned(),
            changes,
            open: Vec::new(),
        };
        listeners.look();
        Ok(listeners)
    }

    /// Hands `bytes` to everybody who wants them. A slow reader holds the module up and loses
    /// nothing; one that is gone is forgotten.
    pub fn send(&mut self, stream: Stream, bytes: &[u8]) {
        let mut events = [0; 1024];
        if rustix::io::read(&self.changes, &mut events).is_ok_and(|length| length > 0) {
            while rustix::io::read(&self.changes, &mut events).is_ok_and(|length| length > 0) {}
            self.look();
        }
        self.open.retain(|listener| {
            let gone = listener.wanted.has(stream) && write_all(&listener.fifo, bytes).is_err();
            if gone {
                let _ = fs::remove_file(&listener.path);
            }
            !gone
        });
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
