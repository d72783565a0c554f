//! A router that is broken or wicked: whatever it says, the daemon goes on, says what is wrong, revives its
//! components, and takes no more memory than it should.

mod flood;
mod raw;
mod router;
mod scene;
mod serializer;
mod web;
mod wire;

use std::net::{Ipv4Addr, TcpListener};

use serde_json::json;

use crate::daemon::Place;
use router::Stage;
use scene::Scene;
use serializer::Serializer;
use wire::{Asked, Carrier};

/// How many components play at the same time.
const PLAYERS: usize = 16;

/// The most memory that the daemon may take, whatever comes, in bytes.
const MOST_MEMORY: u64 = 96 << 20;

#[test]
fn whatever_a_router_says_components_are_revived() {
    let mut scenes = Vec::new();
    for serializer in serializer::ALL {
        let all = scene::scenes(serializer);
        scenes.extend(all.into_iter().map(|scene| (serializer, scene)));
    }
    let raw = raw::scenes().into_iter();
    scenes.extend(raw.map(|scene| (serializer::Cbor, scene)));
    assert!(scenes.len() > 300, "{}", scenes.len());
    play(Carrier::RawSocket, scenes);
}

#[test]
fn whatever_a_websocket_brings_components_are_revived() {
    let mut scenes = Vec::new();
    for serializer in [serializer::Json, serializer::MsgPack] {
        let all = web::scenes(serializer);
        scenes.extend(all.into_iter().map(|scene| (serializer, scene)));
    }
    play(Carrier::WebSocket, scenes);
}

fn play(carrier: Carrier, scenes: Vec<(Serializer, Scene)>) {
    let Some(place) = Place::new() else {
        return;
    };
    let Some(echo) = place.echo() else {
        return;
    };
    let mut extras = serde_json::Map::new();
    let names: Vec<String> = (0..PLAYERS).map(|number| format!("c{number}")).collect();
    place.set(|settings| {
        for name in &names {
            settings["components"][name] = json!({"plugin": "wasm", "image": echo});
            extras.insert(name.clone(), json!({"procedure": format!("many.{name}")}));
        }
    });
    let extras = place.extra(&extras.into());
    let aborts = scenes.iter().filter(|(_, scene)| is_violation(scene));
    let aborts = aborts.count();
    let stage = Stage::open(carrier, scenes);
    let url = match carrier {
        Carrier::RawSocket => format!("rs://127.0.0.1:{}", stage.port),
        Carrier::WebSocket => format!("ws://127.0.0.1:{}/", stage.port),
    };
    let mut arguments = vec!["-u", &url, "-r", "realm1", "-e", &extras];
    arguments.extend(["-n", "--necromancy-sleep", "1"]);
    for name in &names {
        arguments.extend(["-c", name]);
    }
    let mut daemon = place.daemon(&arguments);
    let failures = stage.wait_for(PLAYERS);
    assert!(failures.is_empty(), "{failures:#?}");
    let told = daemon.says("the router breaks the protocol");
    assert!(told >= aborts, "{told} of {aborts}");
    let peak = daemon.peak();
    assert!(peak < MOST_MEMORY, "{peak}");
    assert_eq!(daemon.end().code(), Some(0));
}

fn is_violation(scene: &Scene) -> bool {
    matches!(scene.end, scene::End::Abort(reason) if reason.ends_with("protocol_violation"))
}

/// Who is no router at all is told from one, in words, and nothing is started.
#[test]
fn a_handshake_that_is_none() {
    let Some(place) = Place::new() else {
        return;
    };
    let Some(echo) = place.echo() else {
        return;
    };
    let component = format!("wasm:{}", echo.display());
    let refused = |carrier: Carrier, answer: &dyn Fn(&Asked) -> Vec<u8>, why: &str| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = match carrier {
            Carrier::RawSocket => format!("rs://127.0.0.1:{port}"),
            Carrier::WebSocket => format!("ws://127.0.0.1:{port}/"),
        };
        let arguments = ["-c", &component, "-u", &url, "-r", "realm1"];
        let serializers = ["--serializers", "json"];
        let mut daemon = place.daemon(&[&arguments[..], &serializers[..]].concat());
        let (stream, _) = listener.accept().unwrap();
        let asked = Asked::read(stream, carrier).unwrap();
        let bytes = answer(&asked);
        asked.answer(&bytes).unwrap();
        assert_eq!(daemon.status().code(), Some(1), "{}", daemon.log());
        assert!(daemon.log().contains(why), "no {why}: {}", daemon.log());
    };
    for (answer, why) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "no RawSocket"),
        (&[0x7f, 0x10, 0, 0], "does not know the serializer"),
        (&[0x7f, 0x20, 0, 0], "does not take this length"),
        (&[0x7f, 0x40, 0, 0], "too many connections"),
        (&[0x7f, 0xf2, 0, 0], "does not fit what was asked"),
        (&[0x7f, 0xf1, 0, 1], "does not fit what was asked"),
    ] {
        refused(Carrier::RawSocket, &|_| answer.to_vec(), why);
    }
    let protocol = |asked: &Asked, fields: &str| asked.switching(fields).into_bytes();
    let web = Carrier::WebSocket;
    refused(web, &|_| b"HTTP/1.1 404 Not Found\r\n\r\n".to_vec(), "404");
    refused(web, &|_| b"not even HTTP\r\n\r\n".to_vec(), "is no router");
    refused(web, &|it| protocol(it, ""), "is no router");
    let other = "Sec-WebSocket-Protocol: wamp.2.cbor\r\n";
    refused(web, &|it| protocol(it, other), "is no router");
    let own = "Sec-WebSocket-Protocol: wamp.2.json\r\n";
    let deflate = format!("{own}Sec-WebSocket-Extensions: permessage-deflate\r\n");
    refused(web, &|it| protocol(it, &deflate), "is no router");
    let wrong = |asked: &Asked| {
        let head = asked.switching(own);
        let key = "Sec-WebSocket-Accept: ";
        head.replace(key, &format!("{key}x")).into_bytes()
    };
    refused(web, &wrong, "is no router");
}
