//! The files of one module, in its directory.
//!
//! ```text
//! run.json, end.json      its last run, and how that ended
//! run.lock                held while one of the two is written
//! task.lock               held while its task is made or deleted
//! attempt                 the number of the last start, whether a run came of it or not, and behind it
//!                         "began" where its program did
//! monitor.json            what its own process has to know
//! monitor.lock            held by its own process, from before its start until its end
//! health.json             what the checks of its last run have said
//! health.lock             held while that is written
//! log/                    what it wrote
//! attach/                 one FIFO for each client that listens
//! stdin, stdout, stderr   FIFOs, where it was created with stdin
//! stopped                 there while an explicit stop holds: the boot in which it came
//! going_down              there where the machine went down during the last run
//! restart.lock            held by whoever starts it again, from before its end is written
//! stdin_closed            an attach closed its stdin for the rest of the run
//! resolv.conf, hosts, hostname    what the container finds under /etc
//! volumes/                volumes without a name
//! ```

use std::path::{Path, PathBuf};

use shellrt_plugin::file;
use shellrt_plugin::lock::Lock;

use super::health::Verdict;
use super::record::{Ended, Run};
use crate::error::Error;

/// The files of one module.
#[derive(Debug, Clone)]
pub struct Files {
    dir: PathBuf,
}

impl Files {
    /// Those in `dir`.
    pub fn new(dir: &Path) -> Self {
        Files {
            dir: dir.to_owned(),
        }
    }

    /// The module's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Brings to the disk which files there are.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn sync(&self) -> Result<(), Error> {
        file::sync_dir(&self.dir).map_err(|source| Error::file("write", &self.dir, source))
    }

    /// Does `work`, and [`Files::sync`] meanwhile.
    ///
    /// # Errors
    /// Those of both.
    pub fn sync_during<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        std::thread::scope(|scope| {
            let synced = scope.spawn(|| self.sync());
            let done = work()?;
            // It does nothing that could panic.
            synced.join().unwrap_or(Ok(()))?;
            Ok(done)
        })
    }

    /// Its last run.
    pub fn run(&self) -> Result<Option<Run>, Error> {
        Ok(file::read_json(&self.run_file())?)
    }

    /// The end that was written last; it may be of the run before.
    pub fn end(&self) -> Result<Option<Ended>, Error> {
        Ok(file::read_json(&self.end_file())?)
    }

    /// The number of the last start. What can't be read was being written when the power went, and
    /// then nothing of that start is left.
    pub fn attempt(&self) -> Option<u64> {
        let text = std::fs::read_to_string(self.attempt_file()).ok()?;
        text.split(' ').next()?.parse().ok()
    }

    /// Writes the number of a start. Nothing of it outlives a reboot, so it need not be on the disk.
    pub fn write_attempt(&self, number: u64) -> Result<(), Error> {
        self.note_attempt(&number.to_string())
    }

    /// Writes that the program of the last start began, and that its number is this.
    pub fn write_begun(&self, number: u64) -> Result<(), Error> {
        self.note_attempt(&begun(number))
    }

    fn note_attempt(&self, text: &str) -> Result<(), Error> {
        let path = self.attempt_file();
        let written = std::fs::write(&path, text);
        written.map_err(|source| Error::file("write", &path, source))
    }

    /// Whether the last start was number `number`, and its program began. Where that could not be written
    /// it is false too.
    pub fn has_begun(&self, number: u64) -> bool {
        let text = std::fs::read_to_string(self.attempt_file());
        text.is_ok_and(|text| text == begun(number))
    }

    fn attempt_file(&self) -> PathBuf {
        self.dir.join("attempt")
    }

    /// What the checks of a run have said; it may be one before the last.
    pub fn verdict(&self) -> Result<Option<Verdict>, Error> {
        Ok(file::read_json(&self.verdict_file())?)
    }

    pub fn verdict_file(&self) -> PathBuf {
        self.dir.join("health.json")
    }

    /// Held while a verdict is written.
    pub fn verdict_lock(&self) -> PathBuf {
        self.dir.join("health.lock")
    }

    pub fn run_file(&self) -> PathBuf {
        self.dir.join("run.json")
    }

    pub fn end_file(&self) -> PathBuf {
        self.dir.join("end.json")
    }

    /// Held while a run or an end is written.
    pub fn run_lock(&self) -> PathBuf {
        self.dir.join("run.lock")
    }

    /// Held while a task is made or deleted.
    pub fn task_lock(&self) -> PathBuf {
        self.dir.join("task.lock")
    }

    /// What the module's own process has to know.
    pub fn monitor_file(&self) -> PathBuf {
        self.dir.join("monitor.json")
    }

    /// Held by the module's own process.
    pub fn monitor_lock(&self) -> PathBuf {
        self.dir.join("monitor.lock")
    }

    /// Whether the module's own process lives.
    pub fn is_watched(&self) -> bool {
        Lock::is_held(&self.monitor_lock()).unwrap_or(false)
    }

    /// The boot in which the module was stopped explicitly, while that holds.
    pub fn stopped_in(&self) -> Option<String> {
        std::fs::read_to_string(self.stop_mark()).ok()
    }

    /// The mark of an explicit stop.
    pub fn stop_mark(&self) -> PathBuf {
        self.dir.join("stopped")
    }

    /// The mark of a run that the machine ended.
    pub fn going_down_mark(&self) -> PathBuf {
        self.dir.join("going_down")
    }

    /// Held by whoever starts the module again.
    pub fn restart_lock(&self) -> PathBuf {
        self.dir.join("restart.lock")
    }

    /// Whether somebody is about to start the module again.
    pub fn is_seen_to(&self) -> bool {
        Lock::is_held(&self.restart_lock()).unwrap_or(false)
    }

    pub fn log_dir(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub fn attach_dir(&self) -> PathBuf {
        self.dir.join("attach")
    }

    pub fn stdin(&self) -> PathBuf {
        self.dir.join("stdin")
    }

    pub fn stdout(&self) -> PathBuf {
        self.dir.join("stdout")
    }

    pub fn stderr(&self) -> PathBuf {
        self.dir.join("stderr")
    }

    /// The mark of a stdin that an attach closed for the rest of the run.
    pub fn stdin_closed_mark(&self) -> PathBuf {
        self.dir.join("stdin_closed")
    }

    pub fn resolv_conf(&self) -> PathBuf {
        self.dir.join("resolv.conf")
    }

    pub fn hosts(&self) -> PathBuf {
        self.dir.join("hosts")
    }

    pub fn hostname(&self) -> PathBuf {
        self.dir.join("hostname")
    }

    /// Volumes that only this module has.
    pub fn volumes(&self) -> PathBuf {
        self.dir.join("volumes")
    }
}

/// What is written of a start whose program began.
fn begun(number: u64) -> String {
    format!("{number} began")
}
