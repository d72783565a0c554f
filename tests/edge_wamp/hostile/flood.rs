//! Too much of everything.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use serde_json::json;

use super::scene::{registered, welcome, REGISTRATION};
use super::wire::{Asked, Carrier, Wire};
use super::MOST_MEMORY;
use crate::daemon::{Daemon, Place};

/// The argument of a large call, in bytes.
const LARGE: usize = 64 << 10;

/// A component, and a router in whose hands its connection is.
struct Flooded {
    daemon: Daemon,
    wire: Wire,
}

impl Flooded {
    /// The component `mute.c`, started with `how`, when its procedure is registered.
    fn start(place: &Place, how: &str) -> Option<Flooded> {
        let mute = place.compile("edge_wamp/hostile/mute.c")?;
        place.set(|settings| {
            settings["components"]["mute"] =
                json!({"plugin": "wasm", "image": mute, "command": [how]});
            settings["stop_grace_sec"] = json!(1);
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("rs://{}", listener.local_addr().unwrap());
        let daemon = place.daemon(&["-c", "mute", "-u", &url, "-r", "realm1"]);
        let (stream, _) = listener.accept().unwrap();
        let asked = Asked::read(stream, Carrier::RawSocket).unwrap();
        let serializer = asked.offered[0];
        let mut wire = asked.take(serializer).unwrap();
        let hello = wire.hear().unwrap().unwrap();
        assert_eq!(serializer.kind(&hello), 1);
        welcome(&mut wire).unwrap();
        registered(&mut wire).unwrap();
        Some(Flooded { daemon, wire })
    }

    /// Calls until the daemon has taken nothing for `patience`, or `most` times. Answers how often.
    fn call_until_stuck(&mut self, most: u64, patience: Duration) -> u64 {
        let argument = "x".repeat(LARGE);
        self.wire.give_up_after(patience);
        for number in 1..=most {
            let call = json!([68, number, REGISTRATION, {}, [argument]]);
            match self.wire.say(&call) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return number,
                Err(error) => panic!("call {number}: {error}: {}", self.daemon.log()),
            }
        }
        most
    }

    /// The router goes, and so does the daemon, which has not taken much.
    fn ends_small(self) {
        let Flooded { mut daemon, wire } = self;
        let peak = daemon.peak();
        assert!(peak < MOST_MEMORY, "{peak}");
        drop(wire);
        assert_eq!(daemon.status().code(), Some(1));
    }
}

/// A component that reads nothing is not waited for with memory: the router has to wait.
#[test]
fn a_deaf_component_holds_its_router_up() {
    const MOST: u64 = 8 << 10;
    let Some(place) = Place::new() else {
        return;
    };
    let Some(mut flooded) = Flooded::start(&place, "deaf") else {
        return;
    };
    flooded.daemon.wait("is ready", 1);
    let calls = flooded.call_until_stuck(MOST, Duration::from_secs(3));
    assert!(calls < MOST, "{calls}");
    flooded.ends_small();
}

/// Before a component is ready it hears no calls. What waits for that is limited, the rest is refused.
#[test]
fn a_component_that_is_never_ready_is_not_waited_for_with_memory() {
    const CALLS: u64 = 4 << 10;
    let Some(place) = Place::new() else {
        return;
    };
    let Some(mut flooded) = Flooded::start(&place, "never") else {
        return;
    };
    let mut reader = flooded.wire.twin();
    let refusals = std::thread::spawn(move || {
        let mut refusals = 0;
        while let Ok(Some(message)) = reader.hear() {
            assert_eq!(reader.serializer.kind(&message), 8);
            refusals += 1;
            // A quarter of a gigabyte has come, of which some dozen megabytes may be held.
            if refusals == CALLS / 4 * 3 {
                break;
            }
        }
        refusals
    });
    let patience = Duration::from_secs(60);
    assert_eq!(flooded.call_until_stuck(CALLS, patience), CALLS);
    assert_eq!(refusals.join().unwrap(), CALLS / 4 * 3);
    flooded.ends_small();
}

/// Calls that are never answered are limited too.
#[test]
fn a_mute_component_has_a_limited_number_of_calls() {
    const CALLS: u64 = 100_000;
    /// How many calls of a component may be open.
    const OPEN: u64 = 4096;
    let Some(place) = Place::new() else {
        return;
    };
    let Some(mut flooded) = Flooded::start(&place, "") else {
        return;
    };
    flooded.daemon.wait("is ready", 1);
    let mut reader = flooded.wire.twin();
    let refusals = std::thread::spawn(move || {
        for refusal in 0..CALLS - OPEN {
            let message = reader.hear().unwrap();
            let message = message.unwrap_or_else(|| panic!("the end after {refusal}"));
            assert_eq!(reader.serializer.kind(&message), 8);
        }
    });
    for number in 1..=CALLS {
        let call = json!([68, number, REGISTRATION, {}]);
        flooded.wire.say(&call).unwrap();
    }
    refusals.join().unwrap();
    // The session goes on: an INTERRUPT makes room for another call.
    flooded.wire.say(&json!([69, 1, {}])).unwrap();
    let canceled = json!([8, 68, 1, {}, "wamp.error.canceled"]);
    let serializer = flooded.wire.serializer;
    let answer = flooded.wire.hear().unwrap().unwrap();
    assert_eq!(answer, serializer.encode(&canceled));
    flooded.ends_small();
}
