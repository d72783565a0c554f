//! One plugin process that serves one request: what is written to it, what it writes, and how it
//! ends, all with a deadline.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::event::{poll, PollFd, PollFlags};

/// A process that was started and not yet waited for.
pub struct Running {
    child: Child,
    sent: Vec<u8>,
    started: Instant,
    /// Bytes for stdin; dropping it closes stdin.
    stdin: Option<Sender<Vec<u8>>>,
    /// Dropping it closes our end of stdout.
    listening: Option<OwnedFd>,
    output: Arc<Output>,
}

#[derive(Default)]
struct Output {
    so_far: Mutex<SoFar>,
    more: Condvar,
}

#[derive(Default)]
struct SoFar {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    ended: u32,
}

/// What a process did.
#[derive(Clone)]
pub struct Answer {
    pub sent: Vec<u8>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// How it ended; `None` where it had to be killed.
    pub status: Option<ExitStatus>,
    /// What the deadline cut off.
    pub overdue: Option<String>,
    /// From the start to the end.
    pub took: Duration,
}

impl Running {
    /// Starts `command` and writes `input` to it; stdin is closed then, unless `hold_stdin`.
    pub fn start(command: &mut Command, input: Vec<u8>, hold_stdin: bool) -> anyhow::Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let mut stdin = child.stdin.take().context("no stdin")?;
        let stdout = child.stdout.take().context("no stdout")?;
        let stderr = child.stderr.take().context("no stderr")?;
        let (sender, receiver) = channel::<Vec<u8>>();
        thread::spawn(move || {
            for bytes in receiver {
                // A plugin that has its object need not read the rest.
                if stdin
                    .write_all(&bytes)
                    .and_then(|()| stdin.flush())
                    .is_err()
                {
                    break;
                }
            }
        });
        let output = Arc::new(Output::default());
        let (wake, listening) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let to_stdout = Arc::clone(&output);
        thread::spawn(move || {
            copy(stdout, Some(&wake), &to_stdout, |so_far| &mut so_far.stdout);
        });
        let to_stderr = Arc::clone(&output);
        thread::spawn(move || copy(stderr, None, &to_stderr, |so_far| &mut so_far.stderr));
        let running = Running {
            child,
            sent: input.clone(),
            started: Instant::now(),
            stdin: hold_stdin.then(|| sender.clone()),
            listening: Some(listening),
            output,
        };
        // Only a broken pipe fails here, and the answer will tell.
        let _ = sender.send(input);
        Ok(running)
    }

    /// Writes more to stdin.
    pub fn feed(&mut self, bytes: Vec<u8>) -> anyhow::Result<()> {
        self.sent.extend_from_slice(&bytes);
        let stdin = self
            .stdin
            .as_ref()
            .context("feed needs a step with \"hold_stdin\": true")?;
        stdin.send(bytes).context("the plugin has closed its stdin")
    }

    /// Closes stdin.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Closes the reading end of stdout.
    pub fn hang_up(&mut self) {
        self.listening = None;
    }

    /// Waits until `enough` holds for what is on stdout; false at the deadline or at the end.
    pub fn wait_for(&self, within: Duration, enough: impl Fn(&[u8]) -> bool) -> bool {
        let so_far = self.output.lock();
        let waiting = |so_far: &mut SoFar| !enough(&so_far.stdout) && so_far.ended < 2;
        let (so_far, _) = self
            .output
            .more
            .wait_timeout_while(so_far, within, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        enough(&so_far.stdout)
    }

    /// Waits for the end of the process and of its output; kills it at the deadline.
    pub fn finish(mut self, within: Duration) -> Answer {
        let deadline = Instant::now() + within;
        let so_far = self.output.lock();
        let (so_far, _) = self
            .output
            .more
            .wait_timeout_while(so_far, within, |so_far| so_far.ended < 2)
            .unwrap_or_else(PoisonError::into_inner);
        let open = so_far.ended < 2;
        drop(so_far);
        let mut status = self.child.try_wait().ok().flatten();
        while status.is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
            status = self.child.try_wait().ok().flatten();
        }
        let overdue = match (open, status) {
            (_, None) => Some(format!("the plugin has not ended after {within:?}; killed")),
            (true, Some(_)) => Some(format!(
                "the plugin has ended, but its stdout or stderr is still open after {within:?}: \
                 somebody inherited it, and every caller that reads to the end hangs"
            )),
            (false, Some(_)) => None,
        };
        if status.is_none() {
            // Nobody has waited for it: it can't be another process.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let took = self.started.elapsed();
        let so_far = self.output.lock();
        Answer {
            sent: std::mem::take(&mut self.sent),
            stdout: so_far.stdout.clone(),
            stderr: so_far.stderr.clone(),
            status,
            overdue,
            took,
        }
    }
}

/// A trial that stops half-way leaves no plugin process behind.
impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, SoFar> {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies `from` to its place until it ends or `wake` is closed at the other end.
fn copy(
    mut from: impl Read + AsFd,
    wake: Option<&OwnedFd>,
    output: &Output,
    place: impl Fn(&mut SoFar) -> &mut Vec<u8>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while listened_to(&from, wake).unwrap_or(false) {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => place(&mut output.lock()).extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
        output.more.notify_all();
    }
    drop(from);
    output.lock().ended += 1;
    output.more.notify_all();
}

/// Waits until there is something to read; false where nobody wants it any more.
fn listened_to(from: &impl AsFd, wake: Option<&OwnedFd>) -> io::Result<bool> {
    let Some(wake) = wake else { return Ok(true) };
    let mut wanted = [
        PollFd::new(from, PollFlags::IN),
        PollFd::new(wake, PollFlags::IN),
    ];
    loop {
        match poll(&mut wanted, None) {
            Ok(_) => return Ok(wanted[1].revents().is_empty()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Everything that there is to know about what went wrong.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "sent:   {}", printed(&self.sent))?;
        writeln!(f, "stdout: {}", printed(&self.stdout))?;
        writeln!(
            f,
            "stderr: {}",
            String::from_utf8_lossy(&self.stderr).trim_end()
        )?;
        match self.status {
            Some(status) => write!(f, "{status}")?,
            None => write!(f, "no exit status")?,
        }
        write!(f, ", after {:?}", self.took)
    }
}

/// Bytes for people: what is not text is escaped, and what is huge is cut.
pub fn printed(bytes: &[u8]) -> String {
    const MOST: usize = 64 * 1024;
    let shown = bytes.get(..MOST).unwrap_or(bytes);
    let mut text = match std::str::from_utf8(shown) {
        Ok(text) if !text.contains(|c: char| c.is_control() && c != '\n') => text.to_owned(),
        _ => shown.escape_ascii().to_string(),
    };
    if shown.len() < bytes.len() {
        text.push_str(&format!("... ({} bytes in all)", bytes.len()));
    }
    text
}
