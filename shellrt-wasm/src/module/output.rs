//! Where a module's output goes: straight from its own write into the log, and to who is attached.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{inotify, Mode, OFlags};
use shellrt_api::v0::logs::Stream;
use shellrt_plugin::log::Writer;

use super::attach::Wanted;
use super::Module;
use crate::engine;
use crate::error::Error;

/// The log and the attached clients of one run.
pub struct ModuleOutput {
    inner: Mutex<Inner>,
}

struct Inner {
    log: Writer,
    logged: Vec<Stream>,
    listeners: Listeners,
}

impl ModuleOutput {
    /// Opens the log and looks who is attached already.
    pub fn open(module: &Module) -> Result<Self, Error> {
        let config = &module.definition.config;
        let log = Writer::open(&module.log_dir(), Module::log_options(config))?;
        let listeners = Listeners::new(module.attach_dir())?;
        let logged = config.log.streams.clone();
        Ok(ModuleOutput {
            inner: Mutex::new(Inner {
                log,
                logged,
                listeners,
            }),
        })
    }

    /// Brings the log to the disk, at the end of a run.
    pub fn finish(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = inner.log.sync() {
            log::warn!("{error}");
        }
    }
}

impl engine::Output for ModuleOutput {
    fn write(&self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let written = match inner.logged.contains(&stream) {
            true => inner.log.write(stream, bytes).map_err(io::Error::other),
            false => Ok(()),
        };
        // A full disk is no reason to keep from an attached client what it can have.
        inner.listeners.send(stream, bytes);
        written
    }
}

/// The attached clients: one FIFO each in the module's `attach` directory.
struct Listeners {
    dir: PathBuf,
    changes: OwnedFd,
    open: Vec<Listener>,
}

struct Listener {
    path: PathBuf,
    fifo: OwnedFd,
    wanted: Wanted,
}

impl Listeners {
    fn new(dir: PathBuf) -> Result<Self, Error> {
        let watch = || -> rustix::io::Result<OwnedFd> {
            let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
            let changes = inotify::init(flags)?;
            inotify::add_watch(&changes, &dir, inotify::WatchFlags::MOVED_TO)?;
            Ok(changes)
        };
        let changes = watch().map_err(|errno| Error::file("watch", &dir, errno.into()))?;
        let mut listeners = Listeners {
            dir,
            changes,
            open: Vec::new(),
        };
        listeners.look();
        Ok(listeners)
    }

    /// Hands `bytes` to everybody who wants them. A slow reader holds the program up and loses
    /// nothing; one that is gone is forgotten.
    fn send(&mut self, stream: Stream, bytes: &[u8]) {
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

fn write_all(fifo: &OwnedFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        let length = rustix::io::retry_on_intr(|| rustix::io::write(fifo, bytes))?;
        bytes = &bytes[length..];
    }
    Ok(())
}
