//! What programs may reach, over real sockets of this machine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};

use serde_json::{json, Value};

use super::{exited, from_rust, Trial};

/// Does what its arguments say, and prints what came of each.
const CLIENT: &str = r#"
use std::io::Read;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
fn main() {
    let mut args = std::env::args().skip(1);
    while let (Some(verb), Some(place)) = (args.next(), args.next()) {
        let mut text = String::new();
        let result = match verb.as_str() {
            "tcp" => TcpStream::connect(&place).and_then(|mut s| s.read_to_string(&mut text)).map(drop),
            "udp" => UdpSocket::bind("0.0.0.0:0").and_then(|s| {
                s.send_to(b"ping", &place)?;
                let mut buffer = [0; 9];
                let (count, _) = s.recv_from(&mut buffer)?;
                text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                Ok(())
            }),
            "listen" => TcpListener::bind(&place).map(drop),
            "look" => place.to_socket_addrs().map(|found| text = format!("{}", found.count() > 0)),
            _ => panic!(),
        };
        match result {
            Ok(()) => println!("{verb} {text}"),
            Err(error) => println!("{verb} {:?}", error.kind()),
        }
    }
}
"#;

/// A server that says `hi` to whoever connects, and `pong` to each datagram.
fn server() -> SocketAddr {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(address).unwrap();
    std::thread::spawn(move || {
        for stream in tcp.incoming() {
            let _ = stream.unwrap().write_all(b"hi");
        }
    });
    std::thread::spawn(move || {
        let mut buffer = [0; 9];
        while let Ok((_, from)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(b"pong", from);
        }
    });
    address
}

#[test]
fn only_what_is_listed() {
    let Some(wasm) = from_rust(CLIENT, "wasm32-wasip2") else {
        return;
    };
    let server = server();
    let other = self::server();
    let (here, there) = (server.to_string(), other.to_string());
    let named = format!("localhost:{}", server.port());
    let say = |network: Value, args: &[&str]| {
        let mut trial = Trial::new(&wasm, json!({"network": network})).args(args);
        let end = trial.end();
        assert!(exited(0)(&end), "{end:?} {}", trial.stderr());
        trial.stdout()
    };
    let denied = "PermissionDenied";
    // Nothing by default, not even a socket.
    let said = say(
        json!({}),
        &[
            "tcp",
            &here,
            "udp",
            &here,
            "listen",
            "127.0.0.1:0",
            "look",
            &named,
        ],
    );
    for line in said.lines() {
        assert!(
            !line.ends_with("hi") && !line.ends_with("pong") && !line.ends_with("true"),
            "{said}"
        );
    }
    assert_eq!(said.lines().count(), 4, "{said}");
    // An address, and no other port.
    let said = say(
        json!({"connect": [here]}),
        &[
            "tcp",
            &here,
            "udp",
            &here,
            "tcp",
            &there,
            "listen",
            "127.0.0.1:0",
        ],
    );
    assert_eq!(
        said,
        format!("tcp hi\nudp pong\ntcp {denied}\nlisten {denied}\n")
    );
    // A range, and an address out of it.
    let said = say(
        json!({"connect": ["127.0.0.1/32"]}),
        &["tcp", &there, "tcp", "127.0.0.2:1"],
    );
    assert_eq!(said, format!("tcp hi\ntcp {denied}\n"));
    // A name, by its address, with and without looking it up.
    let said = say(
        json!({"connect": [named]}),
        &["tcp", &here, "udp", &here, "tcp", &there],
    );
    assert_eq!(said, format!("tcp hi\nudp pong\ntcp {denied}\n"));
    let said = say(
        json!({"connect": [named], "dns": true}),
        &["look", &named, "tcp", &named, "look", "example.com:80"],
    );
    assert!(said.starts_with("look true\ntcp hi\nlook "), "{said}");
    assert!(!said.trim_end().ends_with("true"), "{said}");
    let said = say(
        json!({"connect": ["example.com:80"], "dns": true}),
        &["look", &named],
    );
    assert!(!said.contains("true"), "{said}");
    let said = say(json!({"connect": [named]}), &["look", &named]);
    assert!(!said.contains("true"), "{said}");
}

#[test]
fn outgoing_requests_follow_the_same_list() {
    use http_body_util::{BodyExt, Empty};
    use hyper::Request;
    use std::sync::Arc;
    use wasmtime_wasi_http::{Error, WasiHttpHooks};

    use crate::engine::network::AllowList;
    use crate::engine::outgoing::Outgoing;

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let ask = |listed: String, uri: String| {
        let allowed = AllowList::parse(&[listed]).unwrap_or_else(|_| panic!());
        let mut hooks = Outgoing::new(Arc::new(allowed));
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::get(uri).body(body).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let sent =
                Box::into_pin(hooks.send_request(request, None, Box::new(async { Ok(()) }))).await;
            sent.map(|(response, _)| response.status().as_u16())
        })
    };
    let denied = |result: Result<u16, Error>| matches!(result, Err(Error::HttpRequestDenied));
    assert_eq!(
        ask(
            format!("127.0.0.1:{port}"),
            format!("http://127.0.0.1:{port}/")
        )
        .unwrap(),
        200
    );
    assert_eq!(
        ask(
            format!("localhost:{port}"),
            format!("http://LOCALHOST:{port}/")
        )
        .unwrap(),
        200
    );
    assert_eq!(
        ask(
            "127.0.0.0/8".to_owned(),
            format!("http://127.0.0.1:{port}/")
        )
        .unwrap(),
        200
    );
    assert!(denied(ask(
        "127.0.0.1:80".to_owned(),
        format!("http://127.0.0.1:{port}/")
    )));
    // A name that is not listed is not looked up, wherever it would lead to.
    assert!(denied(ask(
        "127.0.0.0/8".to_owned(),
        format!("http://localhost:{port}/")
    )));
    assert!(denied(ask(
        "example.com:80".to_owned(),
        "https://example.com/".to_owned()
    )));
    let tricked = ask(
        "127.0.0.0/8".to_owned(),
        format!("http://127.0.0.1:{port}@localhost:{port}/"),
    );
    assert!(matches!(tricked, Err(Error::HttpRequestUriInvalid)));
}
