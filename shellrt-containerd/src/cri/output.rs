//! What comes out of a module, and of commands in it.

use std::time::Instant;

use shellrt_api::v0::plugin::Reply;
use shellrt_api::v0::{attach, exec, logs, Response};
use shellrt_plugin::hangup::Hangup;
use shellrt_plugin::log::{Follow, Query, Streams};

use super::{Module, Now};
use crate::error::Error;
use crate::module::exec::{run, Target};

impl Module {
    /// The answer to `logs`.
    ///
    /// # Errors
    /// [`Error::Log`], [`Error::Runtime`].
    pub fn logs(&self, request: &logs::Request, deadline: Option<Instant>) -> Result<Reply, Error> {
        // All that a container which has ended wrote is there then, and what is too large is rotated.
        self.now()?;
        let (outside, writer) = (self.outside(), self.outside());
        Ok(shellrt_plugin::logs::answer(
            request,
            &self.files.log_dir(),
            self.files.dir(),
            deadline,
            move || outside.has_ended(),
            move || writer.settle(),
        )?)
    }

    /// The answer to `attach`: what is logged from now on.
    ///
    /// # Errors
    /// [`Error::WrongState`] where it has ended, or with `stdin`, which it has none of.
    pub fn attach(
        &self,
        streams: Option<&[logs::Stream]>,
        stdin: bool,
        deadline: Option<Instant>,
    ) -> Result<Reply, Error> {
        let wrong = |what| Error::WrongState {
            name: self.name.to_string(),
            what,
        };
        if let Now::Exited(_) = self.now()? {
            return Err(wrong("has ended; start it first, or read its logs"));
        }
        if stdin {
            let what = "has no stdin; modules of the config type \"containerd\" may have one";
            return Err(wrong(what));
        }
        let has = |stream| streams.is_none_or(|streams| streams.contains(&stream));
        let query = Query {
            tail: Some(0),
            streams: Streams {
                stdout: has(logs::Stream::Stdout),
                stderr: has(logs::Stream::Stderr),
            },
            ..Default::default()
        };
        let (outside, writer) = (self.outside(), self.outside());
        let follow = Follow::open(&self.files.log_dir(), query, move || outside.has_ended())?;
        let mut follow = follow
            .settle_by(move || writer.settle())
            .wake_on(self.files.dir())
            .until_hangup(Hangup::stdout());
        if let Some(deadline) = deadline {
            follow = follow.until_deadline(deadline);
        }
        Ok(Reply::stream(Response::Attach(attach::Response {}), follow))
    }

    /// Runs a command in the module. To be called in a process that nobody kills: see
    /// [`crate::module::aside`].
    ///
    /// # Errors
    /// As [`run`].
    pub fn exec(&self, request: &exec::Request) -> Result<exec::Response, Error> {
        let Now::Running(running) = self.now()? else {
            return Err(Error::WrongState {
                name: self.name.to_string(),
                what: "does not run any more; start it first",
            });
        };
        let target = Target {
            name: self.name.as_str(),
            id: &running.container,
            dir: self.files.dir(),
            containerd: self.containerd(),
        };
        run(&target, request)
    }
}
