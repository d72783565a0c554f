//! `raw`: stdin to the plugin as it is, its stdout as it is.

use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value};
use shellrt_api::v0::client;

use crate::call::Call;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{find, output, stream};

/// How much is kept to find out what an answer says, in bytes; the protocol has no longer objects.
const KEPT: usize = 16 << 20;

/// Sends stdin and prints the answer; only the exit status is made from it.
pub fn send(call: &Call) -> Result<Exit, Failure> {
    if call.is_dry_run() {
        io::copy(&mut io::stdin().lock(), &mut io::stdout()).map_err(Failure::Output)?;
        return Ok(Exit::Ok);
    }
    let program = find::find(call.typed())?;
    let mut child = Command::new(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| client::Error::Start {
            program: program.into(),
            source,
        })?;
    stream::watch_reader();
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let sent = Arc::new(Mutex::new(Head::default()));
    if let Some(stdin) = stdin {
        let sent = Arc::clone(&sent);
        // It is not waited for: a plugin may answer while stdin is still open.
        thread::spawn(move || copy(io::stdin().lock(), stdin, &sent));
    }
    let watchdog = Watchdog::new(child, call.limit());
    let answer = Arc::new(Mutex::new(Head::default()));
    let copied = stdout.map_or(Ok(()), |stdout| copy(stdout, io::stdout(), &answer));
    copied.map_err(Failure::Output)?;
    watchdog.wait()?;
    let answer = &lock(&answer).0;
    if call.is_verbose() {
        let redactor = call.redactor();
        output::note(&format!("> {}", redactor.payload(object(&lock(&sent).0))));
        output::note(&format!("< {}", redactor.payload(object(answer))));
    }
    match said(object(answer)) {
        Ok(exit) => Ok(exit),
        Err(reason) => Err(Failure::Client(client::Error::Malformed {
            reason,
            // All of it is on stdout already.
            answer: String::new(),
            stderr: String::new(),
        })),
    }
}

/// The first bytes of a stream.
#[derive(Default)]
struct Head(Vec<u8>);

/// Copies every byte at once and keeps the first ones.
fn copy(mut from: impl Read, mut to: impl Write, head: &Mutex<Head>) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let mut head = lock(head);
        let room = KEPT.saturating_sub(head.0.len());
        head.0.extend_from_slice(&buffer[..length.min(room)]);
        drop(head);
        to.write_all(&buffer[..length])?;
        to.flush()?;
    }
}

/// The bytes up to the first NUL.
fn object(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The exit status that goes with an answer, or what is wrong with it.
fn said(object: &[u8]) -> Result<Exit, String> {
    if object.is_empty() {
        return Err("it is empty".to_owned());
    }
    let object: Map<String, Value> =
        serde_json::from_slice(object).map_err(|error| error.to_string())?;
    if !object.get("_version").is_some_and(Value::is_string) {
        return Err("it has no \"_version\"".to_owned());
    }
    match object.get("_status").and_then(Value::as_str) {
        Some("ok") => Ok(Exit::Ok),
        Some("err") => Ok(Exit::Refused),
        _ => Err("its \"_status\" is neither \"ok\" nor \"err\"".to_owned()),
    }
}

/// Kills a plugin that takes too long.
struct Watchdog {
    child: Arc<Mutex<Child>>,
    killed: Arc<AtomicBool>,
    limit: Option<Duration>,
}

impl Watchdog {
    fn new(child: Child, limit: Option<Duration>) -> Self {
        let watchdog = Watchdog {
            child: Arc::new(Mutex::new(child)),
            killed: Arc::new(AtomicBool::new(false)),
            limit,
        };
        if let Some(limit) = limit {
            let (child, killed) = (Arc::clone(&watchdog.child), Arc::clone(&watchdog.killed));
            thread::spawn(move || {
                thread::sleep(limit);
                killed.store(true, Ordering::SeqCst);
                // It may have ended just now; then there is nothing to kill.
                let _ = lock(&child).kill();
            });
        }
        watchdog
    }

    /// Waits for the end of the plugin.
    fn wait(&self) -> Result<(), Failure> {
        let Some(after) = self.limit else {
            lock(&self.child).wait().map_err(client::Error::Io)?;
            return Ok(());
        };
        // The child must not be held while waiting, or it could not be killed.
        while lock(&self.child)
            .try_wait()
            .map_err(client::Error::Io)?
            .is_none()
        {
            thread::sleep(Duration::from_millis(1));
        }
        if self.killed.load(Ordering::SeqCst) {
            return Err(client::Error::TimedOut { after }.into());
        }
        Ok(())
    }
}

/// What is behind these locks is usable whatever happened to another holder.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{object, said};
    use crate::exit::Exit;

    #[test]
    fn the_object_ends_at_the_nul() {
        assert_eq!(object(b"{}\0abc\0"), b"{}");
        assert_eq!(object(b"{}"), b"{}");
        assert_eq!(object(b""), b"");
    }

    #[test]
    fn exit_status() {
        assert_eq!(
            said(br#"{"_version":"0.1.0","_status":"ok"}"#),
            Ok(Exit::Ok)
        );
        assert_eq!(
            said(br#"{"_version":"0.1.0","_status":"err"}"#),
            Ok(Exit::Refused)
        );
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"_status":"ok"}"#,
            r#"{"_version":"0.1.0"}"#,
        ] {
            assert!(said(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(said(br#"{"_version":"0.1.0","_status":"ok"}{}"#).is_err());
    }
}
