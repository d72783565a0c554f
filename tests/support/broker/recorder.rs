//! Who records what a broker hands on: `mosquitto_sub`, read line by line.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use super::PATIENCE;

/// A message as the broker handed it on.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Whether it was kept for later subscribers.
    pub retained: bool,
}

impl Message {
    /// The payload as text.
    ///
    /// # Panics
    /// Where it is none.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("text")
    }

    /// The payload as JSON.
    ///
    /// # Panics
    /// Where it is none.
    pub fn json(&self) -> serde_json::Value {
        let value = serde_json::from_slice(&self.payload);
        value.unwrap_or_else(|error| panic!("{self:?} is not JSON: {error}"))
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = self.payload.len().min(2000);
        let text = String::from_utf8_lossy(&self.payload[..end]);
        write!(f, "{} {text:?}", self.topic)?;
        match end < self.payload.len() {
            true => write!(f, "... ({} bytes)", self.payload.len()),
            false => Ok(()),
        }
    }
}

/// Everything so far, and whether more can come.
#[derive(Default)]
struct Heard {
    messages: Vec<Message>,
    is_over: bool,
}

type Shared = Arc<(Mutex<Heard>, Condvar)>;

/// Records messages until it is dropped.
pub struct Recorder {
    child: Child,
    shared: Shared,
    errors: PathBuf,
}

impl Recorder {
    /// Runs `command`, a `mosquitto_sub`. `errors` is where its complaints go.
    pub(super) fn start(mut command: Command, errors: PathBuf) -> Recorder {
        let log = std::fs::File::create(&errors).expect("a file for its complaints");
        let mut child = command
            .args(["-F", "%r %x %t"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("mosquitto_sub");
        let stdout = BufReader::new(child.stdout.take().expect("its stdout is piped"));
        let shared = Shared::default();
        let recorder = Recorder {
            child,
            shared: Arc::clone(&shared),
            errors,
        };
        std::thread::spawn(move || listen(stdout, &shared));
        recorder
    }

    /// All messages so far, in their order.
    pub fn messages(&self) -> Vec<Message> {
        let heard = self.shared.0.lock();
        heard
            .unwrap_or_else(PoisonError::into_inner)
            .messages
            .clone()
    }

    /// Those of one topic.
    pub fn on(&self, topic: &str) -> Vec<Message> {
        let messages = self.messages().into_iter();
        messages.filter(|message| message.topic == topic).collect()
    }

    /// Waits until `find` finds what it looks for in all messages so far.
    ///
    /// # Panics
    /// With `what` and all messages, where it does not find it in time.
    pub fn wait<T>(&self, what: &str, find: impl Fn(&[Message]) -> Option<T>) -> T {
        let (heard, changed) = &*self.shared;
        let deadline = Instant::now() + PATIENCE;
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = find(&heard.messages) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || heard.is_over {
                let errors = std::fs::read_to_string(&self.errors).unwrap_or_default();
                let messages = heard.messages.clone();
                // Others that wait must not see it poisoned.
                drop(heard);
                panic!("{what} never came; {errors:?}; there were {messages:#?}");
            }
            let waited = changed.wait_timeout(heard, left);
            heard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the first message on a topic.
    ///
    /// # Panics
    /// Where none comes in time.
    pub fn wait_for(&self, topic: &str) -> Message {
        self.wait_for_nth(topic, 0)
    }

    /// Waits for the message with that number, counted from 0, on a topic.
    ///
    /// # Panics
    /// Where it does not come in time.
    pub fn wait_for_nth(&self, topic: &str, number: usize) -> Message {
        let what = format!("message {number} on {topic:?}");
        self.wait(&what, |messages| {
            let mut on = messages.iter().filter(|message| message.topic == topic);
            on.nth(number).cloned()
        })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(stdout: impl BufRead, shared: &Shared) {
    let (heard, changed) = &**shared;
    let lock = || heard.lock().unwrap_or_else(PoisonError::into_inner);
    for line in stdout.lines() {
        let message = line.ok().and_then(|line| parse(&line));
        let Some(message) = message else { break };
        lock().messages.push(message);
        changed.notify_all();
    }
    lock().is_over = true;
    changed.notify_all();
}

/// Undoes the format.
fn parse(line: &str) -> Option<Message> {
    let mut parts = line.splitn(3, ' ');
    let (retained, digits) = (parts.next()?, parts.next()?);
    Some(Message {
        topic: parts.next()?.to_owned(),
        payload: bytes(digits)?,
        retained: retained == "1",
    })
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    bytes.collect()
}
