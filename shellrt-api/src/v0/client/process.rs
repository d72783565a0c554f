//! One run of a plugin's executable: started, fed, read to the end, then waited for, in this order,
//! because any other order can hang.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How much of a plugin's stderr is kept for an error, in bytes.
const STDERR_KEPT: usize = 64 << 10;

/// A running plugin. Dropping it ends it and leaves no zombie.
pub(super) struct Process {
    child: Arc<Mutex<Child>>,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Stderr,
    ended: Option<ExitStatus>,
    timed_out: Arc<AtomicBool>,
    timeout: Option<Duration>,
    /// While it exists, the watchdog counts the time.
    watchdog: Option<Sender<()>>,
}

impl Process {
    /// Starts `program` with `env` beside this process's own; after `timeout` it is killed. With
    /// `pass_stderr` its stderr is also written to this process's.
    pub(super) fn start(
        program: &OsStr,
        env: &[(OsString, OsString)],
        timeout: Option<Duration>,
        pass_stderr: bool,
    ) -> io::Result<Self> {
        let mut child = Command::new(program)
            .envs(env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdout = child
            .stdout
            .take()
            .map(|stdout| BufReader::with_capacity(64 << 10, stdout));
        let stderr = Stderr::collect(child.stderr.take(), pass_stderr);
        let mut process = Process {
            child: Arc::new(Mutex::new(child)),
            stdout,
            stderr,
            ended: None,
            timed_out: Arc::new(AtomicBool::new(false)),
            timeout,
            watchdog: None,
        };
        if let Some(timeout) = timeout {
            process.watch(timeout);
        }
        Ok(process)
    }

    /// Writes the request and returns the still open stdin. A plugin that ended or closed its stdin
    /// before it had read everything may have answered all the same, so that is no error here.
    pub(super) fn write(&mut self, payload: &[u8]) -> io::Result<ChildStdin> {
        let stdin = lock(&self.child).stdin.take();
        let mut stdin = stdin.ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        match stdin.write_all(payload) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(stdin),
        }
    }

    /// Its stdout; at the end of file after [`finish`](Self::finish).
    pub(super) fn stdout(&mut self) -> Stdout<'_> {
        Stdout(self.stdout.as_mut())
    }

    /// Its stdout, with what was read from it already.
    #[cfg(unix)]
    pub(super) fn buffered(&self) -> Option<&BufReader<ChildStdout>> {
        self.stdout.as_ref()
    }

    /// Waits for its end. Call it when stdout is at its end.
    pub(super) fn finish(&mut self) {
        // A reader that has heard enough closes its end, so that the plugin can't block on it.
        self.stdout = None;
        if self.ended.is_some() {
            return;
        }
        let is_alone = self.watchdog.is_none() && Arc::strong_count(&self.child) == 1;
        self.ended = match is_alone {
            true => lock(&self.child).wait().ok(),
            // Others need the child now and then, so it must not be held while waiting.
            false => loop {
                match lock(&self.child).try_wait() {
                    Ok(None) => {}
                    Ok(Some(status)) => break Some(status),
                    Err(_) => break None,
                }
                thread::sleep(Duration::from_micros(200));
            },
        };
        self.watchdog = None;
    }

    /// Whether the watchdog killed it.
    pub(super) fn timed_out(&self) -> bool {
        self.timed_out.load(Ordering::SeqCst)
    }

    /// After how long the watchdog kills it.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// How it ended, in words.
    pub(super) fn end(&self) -> String {
        self.ended
            .map_or_else(|| "ended".to_owned(), |status| format!("ended ({status})"))
    }

    /// What it wrote to stderr last.
    pub(super) fn stderr(&mut self) -> String {
        self.stderr.text()
    }

    /// What kills it from another thread.
    pub(super) fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.child))
    }

    fn watch(&mut self, timeout: Duration) {
        let (sender, receiver) = mpsc::channel::<()>();
        let child = Arc::clone(&self.child);
        let timed_out = Arc::clone(&self.timed_out);
        thread::spawn(move || {
            if receiver.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
                timed_out.store(true, Ordering::SeqCst);
                // It may have ended just now; then there is nothing to kill.
                let _ = lock(&child).kill();
            }
        });
        self.watchdog = Some(sender);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = lock(&self.child).kill();
            self.finish();
        }
    }
}

/// Kills a plugin from another thread.
#[derive(Clone)]
pub struct Handle(Arc<Mutex<Child>>);

impl Handle {
    /// Kills it; one that was waited for is left alone.
    pub(super) fn kill(&self) {
        // It may have ended just now; then there is nothing to kill.
        let _ = lock(&self.0).kill();
    }
}

/// A child is only started, killed and waited for, so a panic elsewhere leaves it usable.
fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A plugin's stdout, or nothing once it was closed.
pub(super) struct Stdout<'a>(Option<&'a mut BufReader<ChildStdout>>);

impl Stdout<'_> {
    /// As `BufRead::read_until`.
    pub(super) fn read_until(self, byte: u8, bytes: &mut Vec<u8>) -> io::Result<usize> {
        self.0
            .map_or(Ok(0), |stdout| io::BufRead::read_until(stdout, byte, bytes))
    }

    /// As `Read::read`.
    pub(super) fn read(self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.map_or(Ok(0), |stdout| stdout.read(buffer))
    }
}

/// Reads a plugin's stderr in the background, so that it never blocks on a full pipe, and keeps the
/// end of it.
struct Stderr {
    kept: Arc<Mutex<Vec<u8>>>,
    done: Receiver<()>,
}

impl Stderr {
    fn collect(stderr: Option<ChildStderr>, pass: bool) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (sender, done) = mpsc::channel();
        let collected = Arc::clone(&kept);
        thread::spawn(move || {
            // The sender is dropped when this ends.
            let _sender = sender;
            let Some(mut stderr) = stderr else { return };
            let mut buffer = [0; 4096];
            loop {
                let length = match stderr.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => return,
                };
                if pass {
                    // Where nobody hears it, it is kept all the same.
                    let _ = io::stderr().write_all(&buffer[..length]);
                }
                let mut kept = collected.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..length]);
                let surplus = kept.len().saturating_sub(STDERR_KEPT);
                kept.drain(..surplus);
            }
        });
        Stderr { kept, done }
    }

    fn text(&self) -> String {
        // Something that the plugin left behind may hold stderr open: wait for the last words, but
        // not for ever.
        let _ = self.done.recv_timeout(Duration::from_millis(200));
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }
}
