//! A program that a test has started. It is killed by its process id when the test is over, and what it
//! wrote to stderr is shown where a test fails.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use tests::plugin::{signal, until};

/// The program.
pub struct Process {
    child: Child,
    stderr: PathBuf,
    _dir: tempfile::TempDir,
}

impl Process {
    /// Starts it.
    pub fn start(mut command: Command) -> Process {
        let dir = tempfile::tempdir().unwrap();
        let stderr = dir.path().join("stderr");
        let file = std::fs::File::create(&stderr).unwrap();
        command.stdin(Stdio::null()).stderr(file);
        let child = command.spawn().unwrap();
        Process {
            child,
            stderr,
            _dir: dir,
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, which: Signal) {
        signal(self.child.id(), which);
    }

    /// Waits for its end: its exit code, unless a signal ended it.
    pub fn end(&mut self) -> Option<i32> {
        let mut status = None;
        until("the program ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }

    /// What it has written to stderr.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            std::io::Write::write_all(&mut std::io::stderr(), log.as_bytes()).unwrap();
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
