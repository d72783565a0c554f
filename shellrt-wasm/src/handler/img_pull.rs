//! `img_pull`: fetches an image and makes it ready to run.

use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use shellrt_api::v0::img_pull::{Progress, Request, Response};
use shellrt_api::v0::plugin::Reply;
use shellrt_api::v0::{self, Response as Answer};
use shellrt_plugin::hangup::Hangup;

use crate::image::{Patience, Pull};
use crate::{Context, Error};

/// Pulls the image. With `progress` the answer is a stream, and the pull begins when that is read.
///
/// # Errors
/// See [`Error::code`]; with `progress` only what is wrong with the request itself.
pub fn handle(context: &Context, request: Request) -> Result<Reply, Error> {
    let progress = request.progress;
    let pull = Pull::new(&context.store, request)?;
    let patience = Patience::until(context.deadline);
    if progress {
        let lines = Lines {
            waiting: Some(pull),
            patience,
            running: None,
            rest: Vec::new(),
        };
        return Ok(Reply::stream(Answer::ImgPull(Response::default()), lines));
    }
    let mut running = Running::start(pull, patience.clone());
    let stdout = Hangup::stdout();
    loop {
        match running.next(&stdout, &patience) {
            Some(Said::Progress(_)) => {}
            Some(Said::Result(result)) => return Ok(Answer::ImgPull(result?).into()),
            None => return Err(Error::HungUp),
        }
    }
}

/// What a running pull says.
enum Said {
    /// How far it is.
    Progress(Progress),
    /// The last it says.
    Result(Result<Response, Error>),
}

/// A pull on a thread of its own, so that the reader's going away is noticed whatever the pull waits
/// for.
struct Running {
    said: Receiver<Said>,
    thread: Option<JoinHandle<()>>,
}

/// How often the reader is looked after.
const LOOK: Duration = Duration::from_millis(50);

/// How long a pull that is given up may take to clean up; the process ends in any case, and every
/// state of the disk is one that the next pull understands.
const GRACE: Duration = Duration::from_secs(2);

impl Running {
    fn start(pull: Pull, patience: Patience) -> Running {
        let (sender, said) = mpsc::channel();
        let thread = thread::spawn(move || {
            let progress = sender.clone();
            // Nobody to hear it means that the answer was given up.
            let result = pull.run(&patience, &mut |line| {
                drop(progress.send(Said::Progress(line)))
            });
            drop(sender.send(Said::Result(result)));
        });
        Running {
            said,
            thread: Some(thread),
        }
    }

    /// Waits for the next word; `None` when there is none, or nobody to tell it to.
    fn next(&mut self, stdout: &Hangup, patience: &Patience) -> Option<Said> {
        loop {
            match self.said.recv_timeout(LOOK) {
                Ok(said) => {
                    if let Said::Result(_) = said {
                        // It has nothing left to do, and nothing of it should outlive the answer.
                        let _ = self.thread.take().map(JoinHandle::join);
                    }
                    return Some(said);
                }
                Err(RecvTimeoutError::Timeout) if stdout.is_hung_up() => {
                    self.give_up(patience);
                    return None;
                }
                Err(RecvTimeoutError::Timeout) => {}
                // It panicked.
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn give_up(&mut self, patience: &Patience) {
        patience.cancel();
        let end = Instant::now() + GRACE;
        while self
            .thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
        {
            if Instant::now() >= end {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The lines of a pull with `progress`.
struct Lines {
    /// What has not begun. It begins with the first read: the answer's object is written then, and
    /// whatever else the process does at that moment finds no other thread.
    waiting: Option<Pull>,
    patience: Patience,
    running: Option<Running>,
    /// What was not read yet of a line.
    rest: Vec<u8>,
}

impl Lines {
    fn line(&mut self) -> Option<Vec<u8>> {
        if let Some(pull) = self.waiting.take() {
            self.running = Some(Running::start(pull, self.patience.clone()));
        }
        let running = self.running.as_mut()?;
        let line = match running.next(&Hangup::stdout(), &self.patience)? {
            Said::Progress(line) => line,
            Said::Result(result) => {
                self.running = None;
                match result {
                    Ok(response) => Progress::Done(response),
                    Err(error) => Progress::Error(v0::Error::from(error)),
                }
            }
        };
        let mut bytes = serde_json::to_vec(&line).ok()?;
        bytes.push(b'\n');
        Some(bytes)
    }
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = self.line().unwrap_or_default();
        }
        let count = self.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest[..count]);
        self.rest.drain(..count);
        Ok(count)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            running.give_up(&self.patience);
        }
    }
}
