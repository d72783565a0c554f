//! Locks that one process holds and others see, on files.

use rustix::fs::{flock, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use shellrt_api::v0::Code;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A lock on a file, held until it is dropped.
///
/// It is a `flock`: it belongs to the open file, so a forked child that keeps the descriptor keeps
/// the lock, and the kernel releases it when the last of them is gone, however they died. Dropping
/// closes the descriptor and does nothing else: an explicit unlock would take the lock away from the
/// child too.
#[derive(Debug)]
pub struct Lock {
    file: OwnedFd,
    path: PathBuf,
}

impl Lock {
    /// Waits until no other holds the lock on `path`, makes the file where there is none, and takes
    /// the lock. Without a deadline it waits without end.
    ///
    /// # Errors
    /// [`Error::Timeout`] at the deadline (one in the past tries once), [`Error::Os`] for what the
    /// operating system refuses; a symbolic link is refused.
    pub fn exclusive(path: &Path, deadline: Option<Instant>) -> Result<Lock, Error> {
        Lock::take(path, Kind::Exclusive, deadline)
    }

    /// Like [`Lock::exclusive`], but beside other shared locks.
    ///
    /// # Errors
    /// As [`Lock::exclusive`].
    pub fn shared(path: &Path, deadline: Option<Instant>) -> Result<Lock, Error> {
        Lock::take(path, Kind::Shared, deadline)
    }

    /// Takes the lock if nobody holds it, else answers `None` without waiting for whoever does.
    ///
    /// It may take up to 200 ms where there is only a shared lock, because that is most
    /// likely [`Lock::is_held`] looking; without that pause a glance would count as a holder.
    ///
    /// # Errors
    /// [`Error::Os`].
    pub fn try_exclusive(path: &Path) -> Result<Option<Lock>, Error> {
        let patience = Instant::now() + GLANCE;
        let mut pause = Pause::new();
        loop {
            if let Some(lock) = Lock::attempt(path, Kind::Exclusive, false)? {
                return Ok(Some(lock));
            }
            if Instant::now() >= patience || Lock::is_held(path)? {
                return Ok(None);
            }
            pause.sleep(Some(patience));
        }
    }

    /// Whether somebody holds the exclusive lock on `path`; a missing file is held by nobody.
    ///
    /// It makes no file, and followers of the directory don't notice it. The kernel has no question
    /// for this, so a shared lock is tried and released at once; [`Lock::try_exclusive`] allows for
    /// that.
    ///
    /// # Errors
    /// [`Error::Os`].
    pub fn is_held(path: &Path) -> Result<bool, Error> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(Error::os(path, errno)),
        };
        let free = try_flock(&file, Kind::Shared).map_err(|errno| Error::os(path, errno))?;
        Ok(!free)
    }

    /// Deletes the file and releases the lock. Whoever waits for it notices that the file is another
    /// one and takes the lock on that.
    ///
    /// # Errors
    /// [`Error::Os`]; the lock is released all the same.
    pub fn remove(self) -> Result<(), Error> {
        rustix::fs::unlink(&self.path).map_err(|errno| Error::os(&self.path, errno))
    }

    /// The descriptor, which holds the lock as long as it, or a copy in a forked child, is open. It
    /// is closed on `exec`.
    pub fn into_fd(self) -> OwnedFd {
        self.file
    }

    fn take(path: &Path, kind: Kind, deadline: Option<Instant>) -> Result<Lock, Error> {
        let mut pause = Pause::new();
        loop {
            if let Some(lock) = Lock::attempt(path, kind, deadline.is_none())? {
                return Ok(lock);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(Error::Timeout {
                    path: path.to_owned(),
                });
            }
            pause.sleep(deadline);
        }
    }

    /// `None`: somebody holds it, and `wait` is false.
    fn attempt(path: &Path, kind: Kind, wait: bool) -> Result<Option<Lock>, Error> {
        let os = |errno| Error::os(path, errno);
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(os)?;
            if wait {
                wait_flock(&file, kind).map_err(os)?;
            } else if !try_flock(&file, kind).map_err(os)? {
                return Ok(None);
            }
            // While we waited the holder may have deleted the file, and somebody else may have made
            // and locked a new one: then ours protects nothing.
            if names_still(path, &file).map_err(os)? {
                let path = path.to_owned();
                return Ok(Some(Lock { file, path }));
            }
        }
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else held it until the deadline.
    #[error("\"{path}\" was locked by another request until the deadline; try again", path = path.display())]
    Timeout {
        /// The locked file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("can't lock \"{path}\"", path = path.display())]
    Os {
        /// The file to lock.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Error {
    fn os(path: &Path, errno: Errno) -> Error {
        let path = path.to_owned();
        let source = errno.into();
        Error::Os { path, source }
    }

    /// The code for the wire.
    pub fn code(&self) -> Code {
        match self {
            Error::Timeout { .. } => Code::TIMEOUT,
            Error::Os { source, .. } => crate::os::code(source),
        }
    }
}

/// How long [`Lock::try_exclusive`] puts up with shared locks.
const GLANCE: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy)]
enum Kind {
    Exclusive,
    Shared,
}

fn wait_flock(file: &OwnedFd, kind: Kind) -> Result<(), Errno> {
    let operation = match kind {
        Kind::Exclusive => FlockOperation::LockExclusive,
        Kind::Shared => FlockOperation::LockShared,
    };
    rustix::io::retry_on_intr(|| flock(file, operation))
}

fn try_flock(file: &OwnedFd, kind: Kind) -> Result<bool, Errno> {
    let operation = match kind {
        Kind::Exclusive => FlockOperation::NonBlockingLockExclusive,
        Kind::Shared => FlockOperation::NonBlockingLockShared,
    };
    match rustix::io::retry_on_intr(|| flock(file, operation)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn names_still(path: &Path, file: &OwnedFd) -> Result<bool, Errno> {
    let ours = rustix::fs::fstat(file)?;
    match rustix::fs::lstat(path) {
        Ok(now) => Ok((now.st_dev, now.st_ino) == (ours.st_dev, ours.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Sleeps of 1 ms, then longer ones up to 50 ms.
struct Pause(Duration);

impl Pause {
    fn new() -> Pause {
        Pause(Duration::from_millis(1))
    }

    fn sleep(&mut self, deadline: Option<Instant>) {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        sleep(self.0.min(left.unwrap_or(self.0)));
        self.0 = (self.0 * 2).min(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::{Command, Stdio};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    fn soon(ms: u64) -> Option<Instant> {
        Some(Instant::now() + Duration::from_millis(ms))
    }

    #[test]
    fn one_holds_it_and_others_wait() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!Lock::is_held(&path).unwrap());
        assert!(!path.exists());
        let lock = Lock::exclusive(&path, None).unwrap();
        assert!(Lock::is_held(&path).unwrap());
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        let before = Instant::now();
        let refused = Lock::exclusive(&path, soon(100)).unwrap_err();
        assert!(before.elapsed() >= Duration::from_millis(100));
        assert!(matches!(refused, Error::Timeout { .. }));
        assert_eq!(refused.code(), Code::TIMEOUT);
        assert!(Lock::shared(&path, soon(0)).is_err());

        let waiting = {
            let path = path.clone();
            thread::spawn(move || drop(Lock::exclusive(&path, soon(10_000)).unwrap()))
        };
        thread::sleep(Duration::from_millis(20));
        drop(lock);
        waiting.join().unwrap();
        assert!(!Lock::is_held(&path).unwrap());
        assert!(Lock::try_exclusive(&path).unwrap().is_some());
        let mode = fs::metadata(&path).unwrap().permissions();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
            0o600
        );
    }

    #[test]
    fn shared_locks_stand_beside_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let one = Lock::shared(&path, None).unwrap();
        let two = Lock::shared(&path, soon(0)).unwrap();
        assert!(!Lock::is_held(&path).unwrap());
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        drop(one);
        assert!(Lock::exclusive(&path, soon(10)).is_err());
        drop(two);
        assert!(Lock::exclusive(&path, soon(0)).is_ok());
    }

    #[test]
    fn links_and_missing_directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("lock"), dir.path().join("link"));
        fs::write(&path, "").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for path in [&link, &dir.path().join("missing/lock")] {
            let error = Lock::exclusive(path, None).unwrap_err();
            assert!(matches!(error, Error::Os { .. }), "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()));
        }
        assert!(Lock::is_held(&link).is_err());
        assert!(!Lock::is_held(&dir.path().join("missing/lock")).unwrap());
    }

    /// Everybody takes the lock and deletes the file while holding it; never are there two.
    #[test]
    fn deleting_it_lets_no_two_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let inside = AtomicU32::new(0);
        let entered = AtomicU32::new(0);
        thread::scope(|scope| {
            for worker in 0..8 {
                let (path, inside, entered) = (&path, &inside, &entered);
                scope.spawn(move || {
                    for round in 0..300 {
                        let lock = match (worker + round) % 3 {
                            0 => Lock::exclusive(path, None).unwrap(),
                            1 => Lock::exclusive(path, soon(60_000)).unwrap(),
                            _ => match Lock::try_exclusive(path).unwrap() {
                                Some(lock) => lock,
                                None => continue,
                            },
                        };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        entered.fetch_add(1, Ordering::SeqCst);
                        thread::yield_now();
                        assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                        if (worker + round) % 2 == 0 {
                            lock.remove().unwrap();
                        }
                    }
                });
            }
        });
        assert!(entered.into_inner() >= 1600);
    }

    /// Those who only look never make a free lock seem taken.
    #[test]
    fn looking_disturbs_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let done = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while done.load(Ordering::SeqCst) == 0 {
                        Lock::is_held(&path).unwrap();
                    }
                });
            }
            let mut taken = 0;
            for _ in 0..500 {
                let lock = Lock::try_exclusive(&path).unwrap();
                taken += u32::from(lock.is_some());
            }
            done.store(1, Ordering::SeqCst);
            assert_eq!(taken, 500);
        });
    }

    /// A process that holds the lock and is killed, and one that inherited it.
    #[test]
    fn it_lives_and_dies_with_the_processes_that_have_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = Lock::exclusive(&path, None).unwrap();
        // A copy that is the child's stdin, for want of a fork without `unsafe`.
        let fd = lock.into_fd();
        let mut child = Command::new("sleep")
            .arg("100")
            .stdin(Stdio::from(fd))
            .spawn()
            .unwrap();
        assert!(Lock::is_held(&path).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!Lock::is_held(&path).unwrap());
        assert!(Lock::exclusive(&path, soon(0)).is_ok());

        // It is not inherited by a program that is merely started.
        let lock = Lock::exclusive(&path, None).unwrap();
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        drop(lock);
        let held = Lock::is_held(&path).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!held);
    }
}
