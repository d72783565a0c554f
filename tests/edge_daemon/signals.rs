//! What signals do, and that one daemon has a state directory.

use std::net::TcpListener;

use rustix::process::Signal;
use tests::edged::get;

use super::*;

#[test]
fn each_signal_does_what_it_is_for() {
    for end in [Signal::TERM, Signal::INT] {
        let machine = Machine::new();
        let (mut edged, url) = machine.start();
        edged.signal(Signal::HUP);
        edged.wait_for("told to read the settings again");
        assert_eq!(get(&url, "/healthz").status, 200);
        edged.signal(end);
        assert_eq!(edged.end(), 0, "{:?}", edged.lines());
        // Nothing is left where others would stumble over it.
        assert!(!machine.path("status.sock").exists());
    }
}

#[test]
fn the_second_one_ends_at_once() {
    let machine = Machine::new();
    let (mut edged, _) = machine.start();
    // Both are there when it looks.
    for which in [Signal::STOP, Signal::TERM, Signal::INT, Signal::CONT] {
        edged.signal(which);
    }
    let status = edged.end();
    assert!([128 + 2, 128 + 15].contains(&status), "{status}");
    let messages = edged.messages();
    let last = messages.last().unwrap();
    assert!(last.starts_with("told to end once more"), "{messages:?}");
}

#[test]
fn one_daemon_for_a_state_directory() {
    let machine = Machine::new();
    // The daemons of this link are told apart by their ports.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let start = |address: &str| {
        let state = machine.path("state");
        let state = state.to_str().unwrap();
        Edged::start(Edged::command(&[
            "edgeless",
            "--port",
            &port,
            "--listen",
            address,
            "--state-dir",
            state,
        ]))
    };
    let mut first = start("127.0.0.1");
    first.wait_for("the function ");
    let mut second = start("127.0.0.2");
    assert_eq!(second.end(), 1);
    let error = second.messages().pop().unwrap();
    assert!(error.starts_with("another daemon runs as "), "{error}");
    assert!(
        error.contains(machine.path("state").to_str().unwrap()),
        "{error}"
    );
    first.signal(Signal::KILL);
    assert_eq!(first.end(), 128 + 9);
    start("127.0.0.2").wait_for("the function ");
}
