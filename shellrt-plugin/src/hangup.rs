//! Noticing that whoever reads our output went away.

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Watches the reader of an output, mostly of stdout, without a thread and without writing.
///
/// A pipe is hung up when nobody has its other end open, a Unix socket when its peer is closed,
/// another socket also when the peer sends no more. Files, `/dev/null` and terminals have no reader
/// that goes away, except that a terminal may be closed.
#[derive(Debug)]
pub struct Hangup {
    output: Output,
    /// What else than an error and a hang-up counts as one.
    also: PollFlags,
}

/// Why [`Hangup::wait`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// One of the descriptors can be read.
    Ready,
    /// The time is over.
    Timeout,
    /// The reader of the output went away.
    HungUp,
}

impl Hangup {
    /// Watches stdout.
    pub fn stdout() -> Hangup {
        Hangup::watch(Output::Stdout)
    }

    /// Watches `output`, which may be closed by the last drop of this value.
    pub fn of(output: OwnedFd) -> Hangup {
        Hangup::watch(Output::Owned(output))
    }

    fn watch(output: Output) -> Hangup {
        let also = output.borrow(half_close);
        Hangup { output, also }
    }

    /// Whether the reader went away; false where the operating system can't say.
    pub fn is_hung_up(&self) -> bool {
        matches!(self.wait(&[], Some(Duration::ZERO)), Ok(Wake::HungUp))
    }

    /// Waits until one of `inputs` can be read (or is at its end), the reader goes away, or `timeout`
    /// is over; `None` waits without end. Where both happened, it is [`Wake::HungUp`].
    ///
    /// # Errors
    /// What `poll` refuses: no memory, too many descriptors.
    pub fn wait(&self, inputs: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<Wake> {
        wait(Some(self), inputs, timeout)
    }
}

/// [`Hangup::wait`] where there may be no output to watch.
pub(crate) fn wait(
    hangup: Option<&Hangup>,
    inputs: &[BorrowedFd<'_>],
    timeout: Option<Duration>,
) -> io::Result<Wake> {
    match hangup {
        Some(hangup) => hangup.output.borrow(|output| {
            let output = PollFd::from_borrowed_fd(output, hangup.also);
            wait_with(Some(output), inputs, timeout)
        }),
        None => wait_with(None, inputs, timeout),
    }
}

fn wait_with(
    output: Option<PollFd<'_>>,
    inputs: &[BorrowedFd<'_>],
    timeout: Option<Duration>,
) -> io::Result<Wake> {
    // A timeout too far away to be an `Instant` never comes.
    let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut all: Vec<PollFd<'_>> = inputs
        .iter()
        .map(|input| PollFd::from_borrowed_fd(*input, PollFlags::IN))
        .collect();
    let first_output = all.len();
    all.extend(output);
    loop {
        let left = end.map(|end| timespec(end.saturating_duration_since(Instant::now())));
        match poll(&mut all, left.as_ref()) {
            Ok(0) => return Ok(Wake::Timeout),
            // Whatever was not asked for but reported (error, hang-up, not open) is one.
            Ok(_) => {
                let (inputs, output) = all.split_at(first_output);
                if output.iter().any(|fd| !fd.revents().is_empty()) {
                    return Ok(Wake::HungUp);
                }
                if inputs.iter().any(|fd| !fd.revents().is_empty()) {
                    return Ok(Wake::Ready);
                }
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[derive(Debug)]
enum Output {
    Stdout,
    Owned(OwnedFd),
}

impl Output {
    fn borrow<T>(&self, act: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        match self {
            Output::Stdout => act(std::io::stdout().as_fd()),
            Output::Owned(fd) => act(fd.as_fd()),
        }
    }
}

/// Whether the peer's "I send no more" means that it is gone.
///
/// Over TCP it is all one gets to hear of a closed peer. On a Unix socket a closed peer is a hang-up
/// of its own, and the half-close says nothing: a client may use it to end its request, and shells
/// that make pipes of socket pairs do it at once. The same holds for any socket that is stdin too.
fn half_close(output: BorrowedFd<'_>) -> PollFlags {
    use rustix::net::{sockopt::socket_domain, AddressFamily};
    let is_stdin = || {
        let (ours, stdin) = (
            rustix::fs::fstat(output),
            rustix::fs::fstat(std::io::stdin()),
        );
        match (ours, stdin) {
            (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
            _ => false,
        }
    };
    match socket_domain(output) {
        Ok(domain) if domain != AddressFamily::UNIX && !is_stdin() => PollFlags::RDHUP,
        _ => PollFlags::empty(),
    }
}
