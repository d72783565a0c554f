//! What the daemon tells the service manager: that it is ready, still alive, or ending. This is the
//! protocol of `sd_notify(3)`: lines in a datagram to the socket that `NOTIFY_SOCKET` names.
//!
//! The variable stays in the environment, so whoever starts a daemon of its own from here takes it out.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The way to the service manager, where there is one.
#[derive(Debug, Default)]
pub struct Notify {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

/// What it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State<'a> {
    /// The daemon does its work.
    Ready,
    /// It reads its settings again; [`State::Ready`] follows.
    Reloading,
    /// It is ending, which may take so long.
    Stopping(Duration),
    /// It is alive.
    Watchdog,
    /// What it is doing, for people.
    Status(&'a str),
}

impl Notify {
    /// What this process's environment says.
    pub fn from_env() -> Notify {
        let socket = std::env::var_os("NOTIFY_SOCKET");
        let socket = socket.and_then(|path| match connect(&path) {
            Ok(socket) => Some(socket),
            Err(error) => {
                log::warn!("the service manager can't be told anything: {path:?}: {error}");
                None
            }
        });
        let usec = std::env::var("WATCHDOG_USEC").ok();
        let pid = std::env::var("WATCHDOG_PID").ok();
        let watchdog = watchdog(usec.as_deref(), pid.as_deref(), std::process::id());
        Notify { socket, watchdog }
    }

    /// How often [`State::Watchdog`] is to be told: half of the time after which the daemon counts as
    /// hanging. Nothing where nobody waits for it.
    pub fn watchdog(&self) -> Option<Duration> {
        self.socket.as_ref().and(self.watchdog)
    }

    /// Tells the service manager. Where there is none, nothing happens.
    pub fn tell(&self, state: State) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(message(state).as_bytes()) {
            log::warn!("the service manager was not told {state:?}: {error}");
        }
    }
}

/// Never waits: a service manager that hangs must not stop the daemon.
fn connect(path: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match path.as_bytes() {
        [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        _ => socket.connect(OsString::from(path))?,
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Half of `WATCHDOG_USEC`, where it is meant for this process.
fn watchdog(usec: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(own)) {
        return None;
    }
    let usec: u64 = usec?.parse().ok()?;
    (usec > 0).then(|| Duration::from_micros(usec) / 2)
}

fn message(state: State) -> String {
    match state {
        State::Ready => "READY=1\n".to_owned(),
        State::Reloading => {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            let usec = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
            format!("RELOADING=1\nMONOTONIC_USEC={usec}\n")
        }
        State::Stopping(time) => {
            format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}\n", time.as_micros())
        }
        State::Watchdog => "WATCHDOG=1\n".to_owned(),
        State::Status(text) => format!("STATUS={}\n", text.replace('\n', " ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_twice_as_often_as_it_bites() {
        let half = Some(Duration::from_millis(1500));
        assert_eq!(watchdog(Some("3000000"), Some("7"), 7), half);
        assert_eq!(watchdog(Some("3000000"), None, 7), half);
        assert_eq!(watchdog(Some("3000000"), Some("8"), 7), None);
        for bad in [None, Some("0"), Some(""), Some("-1"), Some("x")] {
            assert_eq!(watchdog(bad, None, 7), None, "{bad:?}");
        }
    }

    #[test]
    fn a_message_is_lines_of_variables() {
        assert_eq!(message(State::Ready), "READY=1\n");
        assert_eq!(message(State::Watchdog), "WATCHDOG=1\n");
        assert_eq!(message(State::Status("a\nb")), "STATUS=a b\n");
        assert_eq!(
            message(State::Stopping(Duration::from_secs(2))),
            "STOPPING=1\nEXTEND_TIMEOUT_USEC=2000000\n"
        );
        assert!(message(State::Reloading).starts_with("RELOADING=1\nMONOTONIC_USEC="));
    }

    #[test]
    fn an_abstract_socket_is_one_too() {
        let name = format!("shellrt-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let receiver = UnixDatagram::bind_addr(&address).unwrap();
        let notify = Notify {
            socket: Some(connect(OsStr::new(&format!("@{name}"))).unwrap()),
            watchdog: None,
        };
        notify.tell(State::Ready);
        let mut buffer = [0; 64];
        let length = receiver.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1\n");
    }
}
