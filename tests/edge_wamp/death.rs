//! What ends, and what comes back.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tests::plugin::until;
use tests::router::{Options, Peer, Router};
use tests::tcp_proxy::Proxy;

use crate::daemon::{modules, Place};

#[test]
fn without_necromancy_an_end_is_an_end() {
    let Some((place, mut router)) = Place::new().zip(Router::xconn()) else {
        return;
    };
    // It exits.
    let url = router.url();
    let arguments = ["-c", "python", "-u", &url, "-r", "realm1"];
    let mut daemon = place.daemon(&arguments);
    daemon.wait("is ready", 1);
    let mut peer = Peer::join(&router.url());
    peer.tell(&json!({"do": "call", "procedure": "test.die"}));
    assert_eq!(daemon.status().code(), Some(1));
    assert!(
        daemon.log().contains("exited with code 3"),
        "{}",
        daemon.log()
    );
    assert!(
        daemon.log().contains("no component is left"),
        "{}",
        daemon.log()
    );
    // Its router goes away.
    let mut daemon = place.daemon(&arguments);
    daemon.wait("is ready", 1);
    router.kill();
    assert_eq!(daemon.status().code(), Some(1));
    assert!(daemon.log().contains("the connection"), "{}", daemon.log());
    // There is none.
    let mut daemon = place.daemon(&arguments);
    assert_eq!(daemon.status().code(), Some(1));
    assert!(
        daemon.log().contains("can't be reached"),
        "{}",
        daemon.log()
    );
    // One of two goes on.
    router.start();
    let extras = place.extra(&json!({"second": {"prefix": "second"}}));
    let two = [&arguments[..], &["-c", "second", "-e", &extras]].concat();
    let mut daemon = place.daemon(&two);
    daemon.wait("is ready", 2);
    let mut peer = Peer::join(&router.url());
    peer.tell(&json!({"do": "call", "procedure": "test.die"}));
    daemon.wait("is dead", 1);
    assert_eq!(peer.answer()["error"], "wamp.error.canceled");
    assert_eq!(peer.call("second.echo", json!([7]))["result"], 7);
    assert_eq!(daemon.end().code(), Some(0));
    let state = place.dir.path().join("state/modules");
    let left = std::fs::read_dir(state).into_iter().flatten().flatten();
    let left: usize = left
        .map(|owner| std::fs::read_dir(owner.path()).unwrap().count())
        .sum();
    assert_eq!(left, 0, "nothing is remembered of modules that have gone");
}

#[test]
fn necromancy_revives_each_for_ever() {
    let Some((place, mut router)) = Place::new().zip(Router::crossbar(&Options::default())) else {
        return;
    };
    let proxy = Proxy::before(router.port());
    let url = format!("ws://127.0.0.1:{}/ws", proxy.port);
    let extras = place.extra(&json!({"python": {"n": 1}, "second": {"prefix": "second", "n": 2}}));
    let mut daemon = place.daemon(&[
        "-c",
        "python",
        "-c",
        "second",
        "-u",
        &url,
        "-r",
        "realm1",
        "-e",
        &extras,
        "-n",
        "--necromancy-sleep",
        "1",
    ]);
    daemon.wait("is ready", 2);
    let mut peer = Peer::join(&router.url());
    let instance = |peer: &mut Peer, name: &str| {
        peer.call(&format!("{name}.instance"), json!([]))["result"].clone()
    };
    let (first, second) = (instance(&mut peer, "test"), instance(&mut peer, "second"));
    // A component ends: that one alone is revived, as a new instance with the same extra.
    peer.tell(&json!({"do": "call", "procedure": "test.die"}));
    assert_eq!(peer.answer()["error"], "wamp.error.canceled");
    daemon.wait("is ready", 3);
    assert_ne!(instance(&mut peer, "test"), first);
    assert_eq!(instance(&mut peer, "second"), second);
    assert_eq!(
        peer.call("test.extra", json!([]))["result"],
        json!({"n": 1})
    );
    // The network refuses for longer than several periods.
    proxy.refuse();
    daemon.wait("can't be reached", 6);
    proxy.pass();
    daemon.wait("is ready", 5);
    assert_ne!(instance(&mut peer, "second"), second);
    // It is cut.
    proxy.cut();
    daemon.wait("is ready", 7);
    let extra = peer.call("second.extra", json!([]))["result"].clone();
    assert_eq!(extra, json!({"prefix": "second", "n": 2}));
    // It stalls without a word, which pings notice.
    proxy.stall();
    let begin = Instant::now();
    daemon.wait("the router was silent", 2);
    assert!(
        begin.elapsed() < Duration::from_secs(30),
        "{:?}",
        begin.elapsed()
    );
    proxy.cut();
    proxy.pass();
    daemon.wait("is ready", 9);
    // The router itself is killed, and is back later.
    let deaths = daemon.says("is dead");
    router.kill();
    daemon.wait("is dead", deaths + 4);
    router.start();
    daemon.wait("is ready", 11);
    let mut peer = Peer::join(&router.url());
    assert_eq!(peer.call("test.echo", json!([1]))["result"], 1);
    assert_eq!(daemon.end().code(), Some(0), "{}", daemon.log());
}

#[test]
fn a_killed_daemon_leaves_nothing_to_the_next() {
    let Some((place, router)) = Place::new().zip(Router::crossbar(&Options::default())) else {
        return;
    };
    let url = router.url();
    let arguments = ["-c", "python", "-u", &url, "-r", "realm1"];
    let mut daemon = place.daemon(&arguments);
    daemon.wait("is ready", 1);
    daemon.signal(Signal::KILL);
    daemon.status();
    let mut daemon = place.daemon(&arguments);
    daemon.wait("is ready", 1);
    let mut peer = Peer::join(&url);
    assert_eq!(peer.call("test.echo", json!([1]))["result"], 1);
    // The same once more is refused, where it is not called something else.
    let mut second = place.daemon(&arguments);
    assert_eq!(second.status().code(), Some(1));
    for part in ["another daemon", "--name"] {
        assert!(second.log().contains(part), "{}", second.log());
    }
    assert_eq!(daemon.end().code(), Some(0));
    let tag = std::fs::read_dir(place.dir.path().join("state/lock")).unwrap();
    for lock in tag.flatten() {
        let name = lock.file_name().into_string().unwrap();
        let tag = name.rsplit('-').next().unwrap();
        assert!(modules(&place.wasm_root, tag).is_empty(), "{tag}");
    }
}

#[test]
fn fifty_components_in_one_process() {
    const COUNT: usize = 50;
    let Some((place, router)) = Place::new().zip(Router::crossbar(&Options::default())) else {
        return;
    };
    let Some(echo) = place.echo() else {
        return;
    };
    let mut extras = serde_json::Map::new();
    let names: Vec<String> = (0..COUNT).map(|number| format!("c{number}")).collect();
    place.set(|settings| {
        for name in &names {
            settings["components"][name] = json!({"plugin": "wasm", "image": echo});
            extras.insert(name.clone(), json!({"procedure": format!("many.{name}")}));
        }
    });
    let extras = place.extra(&extras.into());
    let url = router.url();
    let mut arguments = vec!["-u", &url, "-r", "realm1", "-e", &extras];
    for name in &names {
        arguments.extend(["-c", name]);
    }
    let mut daemon = place.daemon(&arguments);
    daemon.wait("is ready", COUNT);
    let mut peer = Peer::join(&url);
    for (number, name) in names.iter().enumerate() {
        let echoed = peer.call(&format!("many.{name}"), json!([number]));
        assert_eq!(echoed["result"], number);
    }
    assert_eq!(daemon.end().code(), Some(0), "{}", daemon.log());
}

#[test]
fn every_acknowledged_publication_arrives_over_restarts() {
    let Some((place, mut router)) = Place::new().zip(Router::crossbar(&Options::default())) else {
        return;
    };
    let url = router.url();
    let mut daemon = place.daemon(&[
        "-c",
        "python",
        "-u",
        &url,
        "-r",
        "realm1",
        "-n",
        "--necromancy-sleep",
        "1",
    ]);
    for round in 1..=2 {
        daemon.wait("is ready", round);
        let mut peer = Peer::join(&url);
        peer.ask(&json!({"do": "subscribe", "topic": "test.out"}));
        let before = daemon.says("acknowledged");
        peer.call("test.publish", json!([1_000_000]));
        until("some are published", || {
            daemon.says("acknowledged") > before + 200
        });
        router.kill();
        daemon.wait("is dead", round);
        let acknowledged = daemon.says("acknowledged") - before;
        let heard = || {
            let events = peer.events();
            events
                .iter()
                .filter_map(|event| event[1][0].as_u64())
                .collect::<Vec<u64>>()
        };
        // The next is published when the last is acknowledged, so at most one is lost in the router itself,
        // which may die between its two messages. All others have arrived: once, in order.
        until("all have arrived", || heard().len() + 1 >= acknowledged);
        let heard = heard();
        let expected: Vec<u64> = (0..heard.len() as u64).collect();
        assert_eq!(heard, expected);
        router.start();
    }
    daemon.wait("is ready", 3);
    assert_eq!(daemon.end().code(), Some(0), "{}", daemon.log());
}
