//! Where a module's output goes: straight from its own write into the log, and to who is attached.

use std::io;
use std::sync::{Mutex, PoisonError};

use shellrt_api::v0::logs::Stream;
use shellrt_plugin::attach::Listeners;
use shellrt_plugin::log::{Options, Writer};

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
        let log = Writer::open(&module.log_dir(), Options::from(&config.log))?;
        let listeners = Listeners::new(&module.attach_dir())?;
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
