//! `wasi:http/proxy` components.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::json;
use shellrt_api::v0::{status, Code};

use super::{StartError, Trial};

/// A port that is free, most likely also in a moment.
fn address() -> String {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

/// Sends a request and returns the status of the answer.
fn ask(address: &str, method: &str) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .unwrap_or_else(|| panic!("{answer}"))
        .parse()
        .unwrap()
}

/// One test: the end of a server is a signal to the whole process, and there is one process.
#[test]
fn serves_until_it_is_told_to_stop() {
    let address = address();
    let config = json!({"network": {"listen": address}, "mem_limit": "16m", "fuel": 100_000_000});
    let mut trial = Trial::of_text(include_str!("proxy.wat"), config);
    let output = trial.output.clone();
    let (tell, told) = mpsc::channel();
    let server =
        std::thread::spawn(move || trial.start(|| tell.send(()).map_err(std::io::Error::other)));
    told.recv_timeout(Duration::from_secs(60)).unwrap();

    let said = |words: &str| {
        output
            .text(shellrt_api::v0::logs::Stream::Stderr)
            .contains(words)
    };
    assert_eq!(ask(&address, "GET"), 200);
    assert_eq!(ask(&address, "POST"), 500);
    assert!(said("trapped: unreachable instruction"));
    assert_eq!(ask(&address, "GET"), 200);
    assert_eq!(ask(&address, "DELETE"), 500);
    assert!(said("ended without an answer"));
    assert_eq!(ask(&address, "PUT"), 500);
    assert!(said("reached its memory limit of 16 MiB"));
    // Its memory is free again.
    assert_eq!(ask(&address, "GET"), 200);
    // Fuel is for each request.
    assert_eq!(ask(&address, "HEAD"), 500);
    assert!(said("it used up its fuel"));
    assert_eq!(ask(&address, "GET"), 200);

    // Nobody else can have the address.
    let config = json!({"network": {"listen": address}});
    let error = Trial::of_text(include_str!("proxy.wat"), config).error();
    assert!(matches!(error, StartError::Listen { .. }), "{error:?}");
    assert_eq!(error.code(), Code::OUT_OF_RESOURCES);

    // Several at once, each waiting half a second.
    let begin = Instant::now();
    let many: Vec<_> = (0..20)
        .map(|_| {
            let address = address.clone();
            std::thread::spawn(move || ask(&address, "OPTIONS"))
        })
        .collect();
    for one in many {
        assert_eq!(one.join().unwrap(), 200);
    }
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );

    // The end: a request in flight is answered, an idle connection is closed, a new one refused.
    let mut idle = TcpStream::connect(&address).unwrap();
    let last = {
        let address = address.clone();
        std::thread::spawn(move || ask(&address, "OPTIONS"))
    };
    std::thread::sleep(Duration::from_millis(200));
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM)
        .unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert!(TcpStream::connect(&address).is_err());
    assert_eq!(last.join().unwrap(), 200);
    let end = server.join().unwrap().unwrap();
    assert_eq!((end.end, end.exit_code), (status::End::Exited, 0));
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0);
}
