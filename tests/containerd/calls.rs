//! What a request costs the daemon: a client asks every few seconds, on machines with little of
//! everything.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use serde_json::{json, Value};
use tests::shellrt::Shellrt;

use super::{assert_nothing_left, remove, setup, FOREVER};

/// How many modules there are.
const MODULES: usize = 50;

#[test]
fn what_is_asked_for_a_list_and_for_a_status() {
    let Some((mut shellrt, _registry, image)) = setup() else {
        return;
    };
    let counter = Counter::before(&mut shellrt);
    shellrt.run("module-00", &image, FOREVER, json!({}));
    let list = json!({"_type": "list"});
    let details = json!({"_type": "list", "details": true});
    let status = |name: &str| json!({"_type": "status", "name": name});
    assert_eq!(counter.of(&shellrt, &list), 1);
    assert_eq!(counter.of(&shellrt, &details), 2);
    // What runs is seen without its task, which a shim would be woken for.
    assert_eq!(counter.of(&shellrt, &status("module-00")), 1);
    shellrt.containerd.ctr(&["tasks", "pause", "module-00"]);
    assert_eq!(counter.of(&shellrt, &status("module-00")), 2);
    shellrt.containerd.ctr(&["tasks", "resume", "module-00"]);
    assert_eq!(counter.of(&shellrt, &status("module-00")), 1);
    // Most were never started, one runs, one has ended.
    for number in 1..MODULES {
        shellrt.create_only(&name(number), &image, json!({"command": ["true"]}));
    }
    shellrt.module("start", "module-01");
    assert_eq!(shellrt.module("wait", "module-01")["exit_code"], 0);
    assert_eq!(counter.of(&shellrt, &list), 1);
    assert_eq!(counter.of(&shellrt, &details), 1 + MODULES);
    assert_eq!(counter.of(&shellrt, &status("module-01")), 2);
    assert_eq!(counter.of(&shellrt, &status("module-02")), 2);
    let all = shellrt.ok(&details);
    assert_eq!(all["details"].as_object().unwrap().len(), MODULES);
    for (number, state) in ["running", "exited", "created"].into_iter().enumerate() {
        assert_eq!(all["details"][name(number)]["state"], state, "{all}");
    }
    (0..MODULES).for_each(|number| remove(&shellrt, &name(number)));
    assert_nothing_left(&shellrt);
}

fn name(number: usize) -> String {
    format!("module-{number:02}")
}

/// A socket before the daemon's that counts what is asked.
struct Counter {
    calls: Arc<AtomicUsize>,
}

impl Counter {
    /// From here on the plugin's requests go through it; whatever it did before is another state.
    fn before(shellrt: &mut Shellrt) -> Self {
        let socket = shellrt.files().join("counted.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let daemon = shellrt.containerd.address();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, daemon) = (client.unwrap(), UnixStream::connect(&daemon).unwrap());
                let (answers, asker) = (daemon.try_clone().unwrap(), client.try_clone().unwrap());
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || count(client, daemon, &counted));
                std::thread::spawn(move || copy(answers, asker));
            }
        });
        for (name, value) in &mut shellrt.environment {
            if name == "CONTAINERD_ADDRESS" {
                *value = Some(socket.display().to_string());
            }
        }
        Counter { calls }
    }

    /// How many calls a request is, which succeeds.
    fn of(&self, shellrt: &Shellrt, request: &Value) -> usize {
        let before = self.calls.load(Ordering::SeqCst);
        shellrt.ok(request);
        self.calls.load(Ordering::SeqCst) - before
    }
}

/// What a client of HTTP/2 says before its first frame.
const PREFACE: usize = 24;

/// The type of a frame of headers; each call of gRPC begins with one.
const HEADERS: u8 = 1;

/// Copies what a client sends, and counts its calls.
fn count(mut client: UnixStream, mut daemon: UnixStream, calls: &AtomicUsize) {
    let mut forward = |length: usize| {
        let mut bytes = vec![0; length];
        client.read_exact(&mut bytes).ok()?;
        daemon.write_all(&bytes).ok()?;
        Some(bytes)
    };
    if forward(PREFACE).is_none() {
        return;
    }
    // Three bytes of length, one of type, five of flags and stream, then the payload.
    while let Some(head) = forward(9) {
        calls.fetch_add(usize::from(head[3] == HEADERS), Ordering::SeqCst);
        let length = head[..3]
            .iter()
            .fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        if forward(length).is_none() {
            break;
        }
    }
    let _ = daemon.shutdown(Shutdown::Both);
}

fn copy(mut from: UnixStream, mut to: UnixStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}
