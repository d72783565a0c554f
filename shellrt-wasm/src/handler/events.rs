//! `events`: what happened, from the state directory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use shellrt_api::v0::events::{Event, Request, Response};
use shellrt_api::v0::plugin::Reply;
use shellrt_plugin::hangup::{Hangup, Wake};

use crate::error::Error;
use crate::event;
use crate::module::Watch;
use crate::store::Store;
use crate::Context;

/// Opens the stream.
pub fn handle(context: &Context, request: Request) -> Result<Reply, Error> {
    let Request { since, follow } = request;
    // Without a time, whoever follows wants what comes.
    let since = match since {
        Some(since) => since.saturating_mul(1_000_000_000),
        None if follow => event::now(),
        None => i64::MIN,
    };
    let watch = match follow {
        true => Some(Watch::new(context.store.root())?),
        false => None,
    };
    let mut files = VecDeque::new();
    for path in event::files(&context.store) {
        match File::open(&path) {
            Ok(file) => files.push_back(BufReader::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::file("read", &path, source)),
        }
    }
    let stream = Events {
        store: context.store.clone(),
        since,
        watch,
        hangup: Hangup::stdout(),
        deadline: context.deadline,
        files,
        line: Vec::new(),
        ready: VecDeque::new(),
    };
    Ok(Reply::stream(
        shellrt_api::v0::Response::Events(Response {}),
        stream,
    ))
}

struct Events {
    store: Store,
    /// Only what happened at this time or later, in nanoseconds since the epoch.
    since: i64,
    /// Absent where nothing is followed.
    watch: Option<Watch>,
    hangup: Hangup,
    deadline: Option<Instant>,
    /// What is still to be read; the last one may grow.
    files: VecDeque<BufReader<File>>,
    /// A line that is not complete yet.
    line: Vec<u8>,
    /// What is still to be handed out.
    ready: VecDeque<u8>,
}

impl Read for Events {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.ready.is_empty() {
                return self.ready.read(buffer);
            }
            if self.next_line()? {
                continue;
            }
            let Some(watch) = &self.watch else {
                return Ok(0);
            };
            match watch.wait(&self.hangup, None, self.deadline) {
                Ok(Wake::Ready) => self.open_newer()?,
                Ok(Wake::Timeout | Wake::HungUp) => return Ok(0),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

impl Events {
    /// Reads one line, if there is a whole one; a damaged one is skipped.
    fn next_line(&mut self) -> io::Result<bool> {
        while let Some(file) = self.files.front_mut() {
            file.read_until(b'\n', &mut self.line)?;
            if self.line.ends_with(b"\n") {
                let event = serde_json::from_slice::<Event>(&self.line);
                if event.is_ok_and(|event| event.time >= self.since) {
                    self.ready.extend(&self.line);
                }
                self.line.clear();
                return Ok(true);
            }
            if self.files.len() == 1 {
                return Ok(false);
            }
            self.line.clear();
            self.files.pop_front();
        }
        Ok(false)
    }

    /// Opens the current file, if it is another one than the one read last.
    fn open_newer(&mut self) -> io::Result<()> {
        let file = match File::open(self.store.events()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let is_known = match self.files.back() {
            Some(last) => last.get_ref().metadata()?.ino() == file.metadata()?.ino(),
            None => false,
        };
        if !is_known {
            self.files.push_back(BufReader::new(file));
        }
        Ok(())
    }
}
