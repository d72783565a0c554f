//! The answer to `img_pull`: a pull on a thread of its own, what it says, and when it is given up.

mod patience;

pub use patience::{Error, Patience};

use crate::hangup::Hangup;
use crate::registry::Digest;
use shellrt_api::v0::img_pull::{Phase, Progress, Response};
use shellrt_api::v0::plugin::Reply;
use shellrt_api::v0::{self, Response as Answer};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Who hears how a pull goes.
pub type Report<'a> = dyn FnMut(Progress) + Send + 'a;

/// Pulls, and answers when that is done. With `progress` the answer is a stream of lines, and the pull
/// begins when that is read: the answer's object is written before, and whatever else the process does
/// at that moment finds no other thread.
///
/// `pull` does the work. It checks its patience wherever it waits, because that ends when the reader
/// of stdout went away. Then it has two seconds to clean up.
///
/// # Errors
/// What `pull` says, [`Error::HungUp`]; with `progress` none.
pub fn answer<E>(
    progress: bool,
    patience: Patience,
    pull: impl FnOnce(&Patience, &mut Report) -> Result<Response, E> + Send + 'static,
) -> Result<Reply, E>
where
    E: From<Error> + Into<v0::Error> + Send + 'static,
{
    if progress {
        let lines = Lines {
            waiting: Some(Box::new(pull)),
            patience,
            running: None,
            stdout: Hangup::stdout(),
            rest: Vec::new(),
        };
        return Ok(Reply::stream(Answer::ImgPull(Response::default()), lines));
    }
    let mut running = Running::start(Box::new(pull), patience);
    let stdout = Hangup::stdout();
    loop {
        match running.next(&stdout) {
            Some(Said::Progress(_)) => {}
            Some(Said::Result(result)) => return Ok(Answer::ImgPull(result?).into()),
            None => return Err(Error::HungUp.into()),
        }
    }
}

/// Reports how a download goes, a few times a second at most for each layer: the first and the last
/// byte of each phase always.
pub fn throttled<'a, 'b: 'a>(
    report: &'a mut Report<'b>,
) -> impl FnMut(&Digest, u64, u64, Phase) + Send + use<'a, 'b> {
    let mut last: BTreeMap<Digest, (Phase, Instant)> = BTreeMap::new();
    move |digest, current, total, phase| {
        let is_news = match last.get(digest) {
            Some((known, time)) => *known != phase || current == total || time.elapsed() >= PAUSE,
            None => true,
        };
        if is_news {
            last.insert(digest.clone(), (phase, Instant::now()));
            report(Progress::Layer {
                digest: digest.to_string(),
                current,
                total,
                phase,
            });
        }
    }
}

/// How long a layer's progress is not reported again.
const PAUSE: Duration = Duration::from_millis(100);

/// What a pull is to do.
type Work<E> = Box<dyn FnOnce(&Patience, &mut Report) -> Result<Response, E> + Send>;

/// What a running pull says.
enum Said<E> {
    /// How far it is.
    Progress(Progress),
    /// The last it says.
    Result(Result<Response, E>),
}

/// A pull on a thread of its own, so that the reader's going away is noticed whatever the pull waits
/// for.
struct Running<E> {
    said: Receiver<Said<E>>,
    patience: Patience,
    thread: Option<JoinHandle<()>>,
}

/// How often the reader is looked after, and how long it takes until a pull that nobody wants notices
/// it.
const LOOK: Duration = Duration::from_millis(50);

/// How long a pull that is given up may take to clean up; the process ends in any case, and every
/// state of the disk is one that the next pull understands.
const GRACE: Duration = Duration::from_secs(2);

impl<E: Send + 'static> Running<E> {
    fn start(pull: Work<E>, patience: Patience) -> Running<E> {
        let (sender, said) = mpsc::channel();
        let own = patience.clone();
        let thread = thread::spawn(move || {
            let progress = sender.clone();
            // Nobody to hear it means that the answer was given up.
            let result = pull(&own, &mut |line| drop(progress.send(Said::Progress(line))));
            drop(sender.send(Said::Result(result)));
        });
        Running {
            said,
            patience,
            thread: Some(thread),
        }
    }

    /// Waits for the next word; `None` when there is none, or nobody to tell it to.
    fn next(&mut self, stdout: &Hangup) -> Option<Said<E>> {
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
                    self.give_up();
                    return None;
                }
                Err(RecvTimeoutError::Timeout) => {}
                // It panicked.
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn give_up(&mut self) {
        self.patience.cancel();
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
struct Lines<E: Send + 'static> {
    /// What has not begun.
    waiting: Option<Work<E>>,
    patience: Patience,
    running: Option<Running<E>>,
    stdout: Hangup,
    /// What was not read yet of a line.
    rest: Vec<u8>,
}

impl<E: Into<v0::Error> + Send + 'static> Lines<E> {
    fn line(&mut self) -> Option<Vec<u8>> {
        if let Some(pull) = self.waiting.take() {
            self.running = Some(Running::start(pull, self.patience.clone()));
        }
        let running = self.running.as_mut()?;
        let line = match running.next(&self.stdout)? {
            Said::Progress(line) => line,
            Said::Result(result) => {
                self.running = None;
                match result {
                    Ok(response) => Progress::Done(response),
                    Err(error) => Progress::Error(error.into()),
                }
            }
        };
        let mut bytes = serde_json::to_vec(&line).ok()?;
        bytes.push(b'\n');
        Some(bytes)
    }
}

impl<E: Into<v0::Error> + Send + 'static> Read for Lines<E> {
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

impl<E: Send + 'static> Drop for Lines<E> {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            running.give_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shellrt_api::v0::Code;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::Arc;

    #[derive(Debug, PartialEq)]
    enum Failure {
        GivenUp(Error),
        Other,
    }

    impl From<Error> for Failure {
        fn from(error: Error) -> Failure {
            Failure::GivenUp(error)
        }
    }

    impl From<Failure> for v0::Error {
        fn from(failure: Failure) -> v0::Error {
            match failure {
                Failure::GivenUp(error) => v0::Error::new(error.code(), &error),
                Failure::Other => v0::Error::message(Code::IMAGE_INVALID, "no image"),
            }
        }
    }

    /// Lines for an output whose reader is the second value.
    fn lines(
        pull: impl FnOnce(&Patience, &mut Report) -> Result<Response, Failure> + Send + 'static,
    ) -> (Lines<Failure>, io::PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        let lines = Lines {
            waiting: Some(Box::new(pull)),
            patience: Patience::default(),
            running: None,
            stdout: Hangup::of(writer.into()),
            rest: Vec::new(),
        };
        (lines, reader)
    }

    fn read(mut lines: Lines<Failure>) -> String {
        let mut text = String::new();
        lines.read_to_string(&mut text).unwrap();
        text
    }

    fn layer(current: u64) -> Progress {
        Progress::Layer {
            digest: "sha256:97".to_owned(),
            current,
            total: 10,
            phase: Phase::Download,
        }
    }

    #[test]
    fn the_last_line_is_the_result() {
        let (good, _reader) = lines(|_, report| {
            report(layer(5));
            let digest = Some("sha256:3f".to_owned());
            Ok(Response {
                digest,
                ..Response::default()
            })
        });
        let begin = r#"{"event":"layer","digest":"sha256:97","current":5,"total":10,"#;
        let expected = format!(
            "{begin}\"phase\":\"download\"}}\n{}\n",
            r#"{"event":"done","digest":"sha256:3f"}"#
        );
        assert_eq!(read(good), expected);
        let (bad, _reader) = lines(|_, _| Err(Failure::Other));
        let text = read(bad);
        let line = text.strip_suffix('\n').unwrap();
        let Progress::Error(error) = serde_json::from_str(line).unwrap() else {
            panic!("{text}");
        };
        assert_eq!(error.code, Code::IMAGE_INVALID);
        assert_eq!(error.message, "no image");
    }

    #[test]
    fn a_pull_begins_when_it_is_read() {
        let begun = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&begun);
        let (lines, _reader) = lines(move |_, _| {
            seen.store(true, Ordering::SeqCst);
            Ok(Response::default())
        });
        assert!(!begun.load(Ordering::SeqCst));
        read(lines);
        assert!(begun.load(Ordering::SeqCst));
    }

    #[test]
    fn it_is_given_up_when_nobody_listens() {
        let given_up = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&given_up);
        let (lines, reader) = lines(move |patience, report| {
            report(layer(0));
            while patience.check().is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
            seen.store(true, Ordering::SeqCst);
            Err(patience.check().unwrap_err().into())
        });
        drop(reader);
        let text = read(lines);
        assert!(given_up.load(Ordering::SeqCst));
        // The last line is missing, so whoever reads on knows that it was cut off.
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn progress_is_throttled_for_each_layer() {
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let mut heard = Vec::new();
        let mut report = |line| {
            if let Progress::Layer {
                digest, current, ..
            } = line
            {
                heard.push((digest, current));
            }
        };
        {
            let report: &mut Report = &mut report;
            let mut tell = throttled(report);
            for current in [0, 1, 2, 9] {
                tell(&one, current, 10, Phase::Download);
                tell(&two, current, 10, Phase::Download);
            }
            tell(&one, 10, 10, Phase::Download);
        }
        let first = heard.iter().take(2).map(|(_, current)| *current);
        assert_eq!(first.collect::<Vec<_>>(), [0, 0]);
        assert_eq!(heard.last(), Some(&(one.to_string(), 10)));
        assert!(heard.len() < 9, "{heard:?}");
    }
}
