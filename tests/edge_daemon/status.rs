//! The status over HTTP.

use std::io::Write;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tests::edged::{ask, connect, get};

use super::*;

#[test]
fn over_a_unix_socket_and_a_port() {
    let machine = Machine::new();
    let (mut edged, unix) = machine.start();
    let mode = fs::metadata(machine.path("status.sock")).unwrap();
    assert!(mode.file_type().is_socket());
    assert_eq!(mode.permissions().mode() & 0o777, 0o660);
    let other = Machine::new();
    let second = Edged::start(other.command(json!({ "status": "127.0.0.1:0" })));
    let port = second.wait_for("the status is served at ");
    for (daemon, url) in [(&edged, &unix), (&second, &port)] {
        let answer = get(url, "/");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(
            answer.head.contains("content-type: application/json"),
            "{answer:?}"
        );
        let status: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(status["daemon"]["version"], "0.1.0", "{status}");
        assert_eq!(status["daemon"]["pid"], daemon.pid(), "{status}");
        assert_eq!(status["modules"], json!([]), "{status}");
        let links = status["links"].as_array().unwrap();
        assert_eq!(links.len(), 1, "{status}");
        assert!(links[0]["connected"].is_boolean(), "{status}");
        let health = get(url, "/healthz?x=1");
        assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    }
    // One that was killed leaves its socket, and the next one takes its place.
    edged.signal(Signal::KILL);
    edged.end();
    assert!(machine.path("status.sock").exists());
    let (_edged, unix) = machine.start();
    assert_eq!(get(&unix, "/healthz").status, 200);
}

#[test]
fn what_is_not_there_and_what_is_too_much() {
    let machine = Machine::new();
    let (_edged, url) = machine.start();
    assert_eq!(get(&url, "/modules").status, 404);
    let post = ask(
        &url,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\nx",
    );
    assert_eq!(post.status, 405);
    assert!(post.head.contains("allow: get, head"), "{post:?}");
    let head = ask(&url, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let long = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    assert_eq!(ask(&url, &long).status, 431);
    assert_eq!(ask(&url, "\u{1}\u{2}\r\n\r\n").status, 400);
}

#[test]
fn clients_that_say_nothing_keep_nobody_out_for_long() {
    let machine = Machine::new();
    let (_edged, url) = machine.start();
    let begin = Instant::now();
    let mut silent: Vec<_> = (0..40).map(|_| connect(&url)).collect();
    silent[0].write_all(b"GET / HT").unwrap();
    assert_eq!(get(&url, "/healthz").status, 200);
    // They come in sixteens, each of which has five seconds for a request.
    let took = begin.elapsed();
    let expected = Duration::from_secs(9)..Duration::from_secs(19);
    assert!(expected.contains(&took), "{took:?}");
}

#[test]
fn prometheus_reads_it() {
    let machine = Machine::new();
    let (_edged, url) = machine.start();
    let answer = get(&url, "/metrics");
    assert_eq!(answer.status, 200);
    let kind = "content-type: text/plain; version=0.0.4";
    assert!(answer.head.contains(kind), "{answer:?}");
    let value = |name: &str| {
        let line = answer.body.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in {}", answer.body))
            .trim()
            .to_owned()
    };
    assert_eq!(value("shellrt_edge_build_info{version=\"0.1.0\"}"), "1");
    assert_eq!(value("shellrt_edge_modules{stage=\"running\"}"), "0");
    let check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut check) = check else {
        return eprintln!("not checked by promtool, which is not there");
    };
    let mut stdin = check.stdin.take().unwrap();
    stdin.write_all(answer.body.as_bytes()).unwrap();
    drop(stdin);
    let checked = check.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(
        checked.status.success() && said.is_empty(),
        "{said}\n{}",
        answer.body
    );
}

#[test]
fn only_for_this_machine() {
    let machine = Machine::new();
    for (address, why) in [
        ("0.0.0.0:0", "is no address of the loopback device"),
        ("[::]:9464", "is no address of the loopback device"),
        ("example.org:80", "is no address for the status"),
        ("unix:status.sock", "is no address for the status"),
        ("unix:/nowhere/status.sock", "can't be served"),
    ] {
        let mut edged = Edged::start(machine.command(json!({ "status": address })));
        assert_eq!(edged.end(), 1, "{address}");
        let error = edged.messages().pop().unwrap();
        assert!(error.contains(address) && error.contains(why), "{error}");
    }
}

#[test]
fn the_socket_of_a_daemon_that_runs_is_its_own() {
    let machine = Machine::new();
    let (edged, url) = machine.start();
    let mut second = Edged::start(machine.command(json!({ "status": url })));
    assert_eq!(second.end(), 1);
    assert!(second.messages().pop().unwrap().contains("can't be served"));
    assert_eq!(get(&url, "/healthz").status, 200);
    drop(edged);
}
