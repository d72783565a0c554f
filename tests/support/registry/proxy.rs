//! A proxy in front of a registry that breaks what it is told to break and counts everything.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::http::{Message, Server};

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The connection breaks after this many bytes of the body.
    Cut(u64),
    /// Nothing comes any more after this many bytes of the body.
    Stall(u64),
    /// The byte at this place of the body is another one.
    Corrupt(u64),
    /// This is answered instead: a status and a header.
    Status(u16, &'static str, &'static str),
    /// The registry does not see that only a part is wanted.
    WholeOnly,
}

/// A running proxy.
pub struct Proxy {
    server: Server,
    shared: Arc<Shared>,
}

/// A request that went through, and what came of it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `GET`, ...
    pub method: String,
    /// With the query.
    pub path: String,
    /// The `Range` header, or nothing.
    pub range: String,
    /// The `Authorization` header, or nothing.
    pub authorization: String,
    /// How many bytes of the body were given to the client.
    pub bytes: u64,
}

#[derive(Default)]
struct Shared {
    rules: Mutex<Vec<(String, Fault, usize)>>,
    seen: Mutex<Vec<Seen>>,
}

impl Proxy {
    /// A proxy for the registry at `host`.
    pub fn start(host: String) -> Proxy {
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        let server = Server::start(move |stream| {
            // A broken connection is what clients of this proxy are tested with.
            let _ = own.pass(stream, &host);
        });
        Proxy { server, shared }
    }

    /// `127.0.0.1:<port>`.
    pub fn host(&self) -> String {
        self.server.host()
    }

    /// Lets the next `times` requests whose path contains `path` suffer `fault`. Rules are used in
    /// the order in which they are set.
    pub fn fault(&self, path: &str, fault: Fault, times: usize) {
        self.shared
            .rules
            .lock()
            .expect("rules")
            .push((path.to_owned(), fault, times));
    }

    /// The requests so far whose path contains `path`, in the order of their arrival.
    pub fn seen(&self, path: &str) -> Vec<Seen> {
        let seen = self.shared.seen.lock().expect("seen");
        seen.iter()
            .filter(|seen| seen.path.contains(path))
            .cloned()
            .collect()
    }

    /// The bytes of bodies given out for `path`.
    pub fn bytes(&self, path: &str) -> u64 {
        self.seen(path).iter().map(|seen| seen.bytes).sum()
    }
}

impl Shared {
    fn fault(&self, path: &str) -> Option<Fault> {
        let mut rules = self.rules.lock().expect("rules");
        let rule = rules
            .iter_mut()
            .find(|(part, _, times)| *times > 0 && path.contains(part.as_str()))?;
        rule.2 -= 1;
        Some(rule.1.clone())
    }

    fn pass(&self, stream: TcpStream, host: &str) -> Option<()> {
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .ok()?;
        let mut input = BufReader::new(stream);
        let mut request = Message::read(&mut input)?;
        let mut stream = input.into_inner();
        let text = |name: &str| request.header(name).unwrap_or_default().to_owned();
        let place = {
            let mut seen = self.seen.lock().expect("seen");
            seen.push(Seen {
                method: request.method.clone(),
                path: request.path.clone(),
                range: text("range"),
                authorization: text("authorization"),
                bytes: 0,
            });
            seen.len() - 1
        };
        let fault = self.fault(&request.path);
        match fault {
            Some(Fault::Status(status, name, value)) => {
                let answer =
                    Message::response(status, &[(name, value), ("content-length", "0")], "");
                return stream.write_all(&answer.head()).ok();
            }
            Some(Fault::WholeOnly) => request.headers.retain(|(name, _)| name != "range"),
            _ => {}
        }
        let mut upstream = TcpStream::connect(host).ok()?;
        upstream.write_all(&request.head()).ok()?;
        upstream.write_all(&request.body).ok()?;
        let mut upstream = BufReader::new(upstream);
        let head = Message::read_head(&mut upstream)?;
        stream.write_all(&head.head()).ok()?;
        let mut buffer = vec![0; 16 << 10];
        let mut sent = 0u64;
        loop {
            let mut count = upstream.read(&mut buffer).ok()?;
            if count == 0 {
                return Some(());
            }
            let end = sent + count as u64;
            let stop = match fault {
                Some(Fault::Cut(at) | Fault::Stall(at)) if end >= at => Some(at),
                _ => None,
            };
            if let Some(at) = stop {
                count = (at - sent) as usize;
            }
            if let Some(Fault::Corrupt(at)) = fault {
                if (sent..end).contains(&at) {
                    buffer[(at - sent) as usize] ^= 1;
                }
            }
            stream.write_all(&buffer[..count]).ok()?;
            sent += count as u64;
            self.seen.lock().expect("seen")[place].bytes = sent;
            if stop.is_some() {
                if matches!(fault, Some(Fault::Stall(_))) {
                    // It ends when the client has had enough.
                    let _ = stream.read(&mut [0]);
                }
                return stream.shutdown(Shutdown::Both).ok();
            }
        }
    }
}
