//! What a service manager hears.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::*;

/// The socket of a service manager.
fn socket(machine: &Machine) -> UnixDatagram {
    let socket = UnixDatagram::bind(machine.path("notify.sock")).unwrap();
    let patience = Some(Duration::from_secs(20));
    socket.set_read_timeout(patience).unwrap();
    socket
}

fn next(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 1024];
    let length = socket.recv(&mut buffer).expect("a notification");
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[test]
fn it_hears_everything() {
    let machine = Machine::new();
    let socket = socket(&machine);
    let mut command = machine.command(json!({ "shutdown_timeout_sec": 7 }));
    command.env("NOTIFY_SOCKET", machine.path("notify.sock"));
    command.env("WATCHDOG_USEC", "100000");
    let begin = Instant::now();
    let mut edged = Edged::start(command);
    assert_eq!(next(&socket), "READY=1\n");
    for _ in 0..4 {
        assert_eq!(next(&socket), "WATCHDOG=1\n");
    }
    // The first one comes at once, and the others at twice the pace that is needed.
    assert!(
        begin.elapsed() >= Duration::from_millis(150),
        "{:?}",
        begin.elapsed()
    );
    edged.signal(Signal::TERM);
    let stopping = std::iter::repeat_with(|| next(&socket)).find(|it| it != "WATCHDOG=1\n");
    // One second more than the daemon allows itself.
    let expected = "STOPPING=1\nEXTEND_TIMEOUT_USEC=8000000\n";
    assert_eq!(stopping.as_deref(), Some(expected));
    assert_eq!(edged.end(), 0);
}

#[test]
fn the_watchdog_of_another_process_is_not_fed() {
    let machine = Machine::new();
    let socket = socket(&machine);
    let mut command = machine.command(json!({}));
    command.env("NOTIFY_SOCKET", machine.path("notify.sock"));
    command
        .env("WATCHDOG_USEC", "1000")
        .env("WATCHDOG_PID", "1");
    let mut edged = Edged::start(command);
    assert_eq!(next(&socket), "READY=1\n");
    edged.wait_for("the function ");
    edged.signal(Signal::TERM);
    assert!(next(&socket).starts_with("STOPPING=1\n"));
    assert_eq!(edged.end(), 0);
}

#[test]
fn who_is_not_there_is_no_obstacle() {
    let machine = Machine::new();
    let mut command = machine.command(json!({}));
    command.env("NOTIFY_SOCKET", machine.path("notify.sock"));
    let mut edged = Edged::start(command);
    edged.wait_for("the function ");
    edged.signal(Signal::TERM);
    assert_eq!(edged.end(), 0);
}

#[test]
fn the_unit_is_one() {
    let machine = Machine::new();
    let edged = tests::binaries::program("shellrt-edged");
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shellrt-edge/systemd/shellrt-edged@.service"
    );
    let unit = fs::read_to_string(file).unwrap();
    let unit = unit.replace("/usr/local/bin/shellrt-edged", edged.to_str().unwrap());
    let path = machine.path("shellrt-edged@silverline.service");
    fs::write(&path, unit).unwrap();
    let mut verify = Command::new("systemd-analyze");
    let Ok(verified) = verify.arg("verify").arg(&path).output() else {
        assert!(
            std::env::var_os("CI").is_none(),
            "systemd-analyze is missing"
        );
        return eprintln!("ignored: there is no systemd-analyze");
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.is_empty(), "{said}");
}
