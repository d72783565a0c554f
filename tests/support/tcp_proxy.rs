//! A TCP proxy that cuts, stalls and refuses.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PASS: u8 = 0;
const STALL: u8 = 1;
const REFUSE: u8 = 2;

/// A TCP proxy before a port of this machine.
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    mode: Arc<AtomicU8>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    /// A proxy that passes everything on to `target`.
    pub fn before(target: u16) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let mode = Arc::new(AtomicU8::new(PASS));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (modes, streams) = (Arc::clone(&mode), Arc::clone(&connections));
        std::thread::spawn(move || accept(listener, port, target, &modes, &streams));
        Proxy {
            port,
            mode,
            connections,
        }
    }

    /// Breaks all connections; new ones are taken.
    pub fn cut(&self) {
        for stream in self.connections.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Passes nothing on any more, without a word.
    pub fn stall(&self) {
        self.mode.store(STALL, Ordering::SeqCst);
    }

    /// Breaks all connections and takes no more.
    pub fn refuse(&self) {
        self.mode.store(REFUSE, Ordering::SeqCst);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.cut();
    }

    /// Passes everything on again.
    pub fn pass(&self) {
        self.mode.store(PASS, Ordering::SeqCst);
    }
}

fn accept(
    listener: TcpListener,
    port: u16,
    target: u16,
    mode: &Arc<AtomicU8>,
    connections: &Arc<Mutex<Vec<TcpStream>>>,
) {
    const LOOK: Duration = Duration::from_millis(5);
    let mut listener = Some(listener);
    loop {
        std::thread::sleep(LOOK);
        if mode.load(Ordering::SeqCst) == REFUSE {
            listener = None;
            continue;
        }
        let Some(listening) = &listener else {
            listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
            continue;
        };
        listening.set_nonblocking(true).expect("a socket");
        let Ok((client, _)) = listening.accept() else {
            continue;
        };
        client.set_nonblocking(false).expect("a socket");
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else {
            continue;
        };
        let mut kept = connections.lock().expect("no panic");
        kept.push(client.try_clone().expect("a socket"));
        kept.push(server.try_clone().expect("a socket"));
        drop(kept);
        for (from, to) in [
            (
                client.try_clone().expect("a socket"),
                server.try_clone().expect("a socket"),
            ),
            (server, client),
        ] {
            let mode = Arc::clone(mode);
            std::thread::spawn(move || pass(from, to, &mode));
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mode: &AtomicU8) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        while mode.load(Ordering::SeqCst) == STALL {
            std::thread::sleep(Duration::from_millis(5));
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
