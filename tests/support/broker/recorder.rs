//! Who records what a broker hands on: `mosquitto_sub`, read line by line.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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

/// What a recorder has heard.
pub(super) struct Heard {
    /// The recorder's client id.
    pub(super) name: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    messages: Vec<Message>,
    /// Whether nothing more can come.
    is_over: bool,
}

/// Records messages until it is dropped.
pub struct Recorder {
    child: Child,
    heard: Arc<Heard>,
    errors: PathBuf,
}

impl Heard {
    pub(super) fn new(name: String) -> Heard {
        Heard {
            name,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `find` finds something, and otherwise answers with all messages.
    fn wait<T>(&self, find: impl Fn(&State) -> Option<T>) -> Result<T, Vec<Message>> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        loop {
            if let Some(found) = find(&state) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.is_over {
                return Err(state.messages.clone());
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn listen(&self, stdout: impl BufRead) {
        for line in stdout.lines() {
            let message = line.ok().and_then(|line| parse(&line));
            let Some(message) = message else { break };
            self.lock().messages.push(message);
            self.changed.notify_all();
        }
        self.lock().is_over = true;
        self.changed.notify_all();
    }
}

impl Recorder {
    /// Runs `command`, a `mosquitto_sub`. `errors` is where its complaints go.
    pub(super) fn start(mut command: Command, heard: Arc<Heard>, errors: PathBuf) -> Recorder {
        let log = std::fs::File::create(&errors).expect("a file for its complaints");
        let mut child = command
            .args(["-F", "%r %x %t"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("mosquitto_sub");
        let stdout = BufReader::new(child.stdout.take().expect("its stdout is piped"));
        let heard_too = Arc::clone(&heard);
        std::thread::spawn(move || heard_too.listen(stdout));
        Recorder {
            child,
            heard,
            errors,
        }
    }

    /// All messages so far, in their order.
    pub fn messages(&self) -> Vec<Message> {
        self.heard.lock().messages.clone()
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
        match self.heard.wait(|state| find(&state.messages)) {
            Ok(found) => found,
            Err(messages) => {
                let errors = std::fs::read_to_string(&self.errors).unwrap_or_default();
                panic!("{what} never came; {errors:?}; there were {messages:#?}")
            }
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
