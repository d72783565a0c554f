//! The client's side of `attach`: the module's stdin, and when its output ends.

use std::io::{self, Read};
use std::time::Duration;

use containerd_client::services::v1::CloseIoRequest;
use rustix::fs::{Mode, OFlags};
use shellrt_plugin::attach::copy;
use shellrt_plugin::file;

use super::task::{self, Phase};
use super::{restart, Files, Module};
use crate::containerd::{Containerd, Place};
use crate::error::Error;

/// A module seen from outside, without a connection: it can be taken to another thread.
#[derive(Debug, Clone)]
pub struct Outside {
    files: Files,
    place: Place,
    name: String,
}

impl Module {
    /// The module, for another thread.
    pub fn outside(&self) -> Outside {
        Outside {
            files: self.files.clone(),
            place: self.containerd.place().clone(),
            name: self.name.to_string(),
        }
    }
}

impl Outside {
    /// Whether nothing more will come from the module; its output is in the log and with who is
    /// attached before its end is written down. containerd is asked only where that may be wrong.
    ///
    /// # Errors
    /// What can't be found out.
    pub fn has_ended(&self) -> io::Result<bool> {
        let look = || -> Result<bool, Error> {
            if !self.files.dir().exists() {
                return Ok(true);
            }
            match (self.files.run()?, self.files.end()?) {
                (None, _) => Ok(false),
                (Some(run), Some(end)) if run.number == end.number => {
                    Ok(!restart::is_pending(&self.files, &run, &end)?)
                }
                _ if self.files.is_watched() => Ok(false),
                _ => {
                    let containerd = Containerd::connect(self.place.clone(), None)?;
                    let task = task::get(&containerd, &self.name)?;
                    Ok(task.is_none_or(|task| task.phase == Phase::Stopped))
                }
            }
        };
        look().map_err(io::Error::other)
    }
}

/// Copies `input` to the module's stdin until its end; then, with `close`, closes that for the rest
/// of the run. To be called in a thread of its own: it waits for the module.
///
/// # Errors
/// What the operating system or containerd refuses.
pub fn feed(to: &Outside, input: impl Read, close: bool) -> Result<(), Error> {
    let path = to.files.stdin();
    // Open for reading too, so that opening does not wait for a module that is not started yet.
    let opened = rustix::fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let stdin = opened.map_err(|errno| Error::file("open", &path, errno.into()))?;
    copy(input, &stdin)?;
    let containerd = Containerd::connect(to.place.clone(), None)?;
    // Until the module has opened its end, what was written lives only as long as this end does.
    loop {
        match task::get(&containerd, &to.name)?.map(|task| task.phase) {
            Some(Phase::Running | Phase::Paused) => break,
            Some(Phase::Stopped) => return Ok(()),
            Some(Phase::Created | Phase::Unknown) | None => {
                if !to.files.dir().exists() {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
    if close {
        // Only a later attach looks for the mark, so a full disk is no reason to fail.
        if let Err(error) = file::write_file(&to.files.stdin_closed_mark(), b"") {
            log::warn!("{error}");
        }
        let request = CloseIoRequest {
            container_id: to.name.clone(),
            stdin: true,
            ..Default::default()
        };
        containerd.call("close the stdin", containerd.tasks().close_io(request))?;
    }
    Ok(())
}
