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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::thread;

    const NOW: Option<Duration> = Some(Duration::ZERO);
    const LONG: Option<Duration> = Some(Duration::from_secs(30));

    #[test]
    fn a_pipe_is_hung_up_when_its_reader_is_closed() {
        let (reader, writer) = std::io::pipe().unwrap();
        let second_reader = reader.try_clone().unwrap();
        let mut full = writer.try_clone().unwrap();
        let hangup = Hangup::of(writer.into());
        assert!(!hangup.is_hung_up());
        full.write_all(b"unread").unwrap();
        drop(reader);
        assert!(!hangup.is_hung_up(), "it has another reader");
        let waiting = thread::spawn(move || hangup.wait(&[], LONG).unwrap());
        thread::sleep(Duration::from_millis(20));
        assert!(!waiting.is_finished());
        drop(second_reader);
        assert_eq!(waiting.join().unwrap(), Wake::HungUp);
    }

    #[test]
    fn a_unix_socket_is_hung_up_when_its_peer_is_closed() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let hangup = Hangup::of(ours.into());
        assert!(!hangup.is_hung_up());
        // A client that ended its request, or a shell that wants a pipe.
        theirs.shutdown(Shutdown::Write).unwrap();
        assert!(!hangup.is_hung_up());
        let waiting = thread::spawn(move || hangup.wait(&[], LONG).unwrap());
        thread::sleep(Duration::from_millis(20));
        assert!(!waiting.is_finished());
        drop(theirs);
        assert_eq!(waiting.join().unwrap(), Wake::HungUp);
    }

    #[test]
    fn a_tcp_socket_is_hung_up_when_its_peer_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        let hangup = Hangup::of(ours.into());
        assert!(!hangup.is_hung_up());
        drop(theirs);
        assert_eq!(hangup.wait(&[], LONG).unwrap(), Wake::HungUp);
    }

    #[test]
    fn files_and_devices_have_no_reader_that_goes_away() {
        let null = File::options().write(true).open("/dev/null").unwrap();
        for file in [null, tempfile::tempfile().unwrap()] {
            let hangup = Hangup::of(file.into());
            assert!(!hangup.is_hung_up());
            let before = Instant::now();
            let timeout = Duration::from_millis(30);
            assert_eq!(hangup.wait(&[], Some(timeout)).unwrap(), Wake::Timeout);
            assert!(before.elapsed() >= timeout);
        }
    }

    #[test]
    fn inputs_are_watched_too() {
        let (_reader, output) = std::io::pipe().unwrap();
        let hangup = Hangup::of(output.into());
        let (first, _first_writer) = std::io::pipe().unwrap();
        let (second, mut writer) = std::io::pipe().unwrap();
        let wait = |timeout| {
            hangup
                .wait(&[first.as_fd(), second.as_fd()], timeout)
                .unwrap()
        };
        assert_eq!(wait(NOW), Wake::Timeout);
        assert_eq!(wait(Some(Duration::from_millis(5))), Wake::Timeout);
        writer.write_all(b"x").unwrap();
        assert_eq!(wait(LONG), Wake::Ready);
        assert_eq!(wait(None), Wake::Ready);
        drop(writer);
        assert_eq!(
            wait(Some(Duration::MAX)),
            Wake::Ready,
            "the end is something to read"
        );
    }

    #[test]
    fn a_hang_up_comes_before_inputs() {
        let (reader, output) = std::io::pipe().unwrap();
        let hangup = Hangup::of(output.into());
        let (input, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"x").unwrap();
        drop(reader);
        assert_eq!(hangup.wait(&[input.as_fd()], LONG).unwrap(), Wake::HungUp);
    }
}
