//! What goes over containerd's socket for one request.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::thread;

use serde_json::json;

use super::setup;

/// Listens at `path`, hands everything on to the daemon at `daemon`, and tells what clients send: the
/// number of a connection, and how much came in one piece; 0 is a new connection.
fn between(path: &Path, daemon: &Path) -> mpsc::Receiver<(usize, usize)> {
    let listener = UnixListener::bind(path).unwrap();
    let daemon = daemon.to_owned();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for (number, client) in listener.incoming().flatten().enumerate() {
            let _ = tell.send((number, 0));
            let server = UnixStream::connect(&daemon).unwrap();
            let tell = tell.clone();
            let (back, forth) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || hand_on(client, server, number, Some(&tell)));
            thread::spawn(move || hand_on(back, forth, number, None));
        }
    });
    told
}

fn hand_on(
    mut from: UnixStream,
    mut to: UnixStream,
    number: usize,
    tell: Option<&Sender<(usize, usize)>>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if let Some(tell) = tell {
            let _ = tell.send((number, length));
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn a_request_has_one_connection_and_begins_in_one_piece() {
    let Some((mut shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.pull(&image);
    let socket = shellrt.files().join("between.sock");
    let told = between(&socket, &shellrt.containerd.address());
    shellrt.set("CONTAINERD_ADDRESS", &socket);
    for request in [
        json!({"_type": "version"}),
        json!({"_type": "list"}),
        json!({"_type": "list", "details": true}),
        json!({"_type": "create", "name": "a", "config_type": "containerd",
            "config": {"image": image, "network": "none"}}),
        json!({"_type": "status", "name": "a"}),
        json!({"_type": "remove", "name": "a"}),
    ] {
        shellrt.ok(&request);
        // The last of the request before may still be among it.
        let seen: Vec<_> = told.try_iter().collect();
        let new: Vec<_> = seen.iter().filter(|(_, length)| *length == 0).collect();
        let [(number, _)] = new[..] else {
            panic!("{request}: {seen:?}");
        };
        let mut pieces = seen.iter().filter(|(of, _)| of == number).skip(1);
        // The preface alone has 24 bytes; what a call is made of follows at once.
        let is_whole = pieces.next().is_some_and(|(_, length)| *length > 150);
        assert!(is_whole, "{request}: {seen:?}");
    }
}
