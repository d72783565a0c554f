//! Just enough HTTP for fixtures: one request per connection, bodies with a known length.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// A request or a response: its first line, its headers, its body.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The method of a request.
    pub method: String,
    /// The path of a request, with its query.
    pub path: String,
    /// The status of a response.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Message {
    /// A response.
    pub fn response(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Message {
        let headers = headers.iter();
        Message {
            status,
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), (*value).into()))
                .collect(),
            body: body.into(),
            ..Message::default()
        }
    }

    /// The first header of that name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Reads the first line and the headers; `None` for the end and for what is no HTTP, such as
    /// the beginning of TLS.
    pub fn read_head(input: &mut impl BufRead) -> Option<Message> {
        let first = *input.fill_buf().ok()?.first()?;
        if !first.is_ascii_uppercase() {
            return None;
        }
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace();
        let mut message = Message::default();
        let (first, second) = (words.next()?, words.next()?);
        match first.starts_with("HTTP/") {
            true => message.status = second.parse().ok()?,
            false => (message.method, message.path) = (first.to_owned(), second.to_owned()),
        }
        loop {
            line.clear();
            input.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                return Some(message);
            };
            message
                .headers
                .push((name.to_lowercase(), value.trim().to_owned()));
        }
    }

    /// Reads the whole message; the body of a response may go on to the end of the connection.
    pub fn read(input: &mut impl BufRead) -> Option<Message> {
        let mut message = Message::read_head(input)?;
        let length = message
            .header("content-length")
            .and_then(|length| length.parse::<u64>().ok());
        let until = match length {
            Some(length) => length,
            None if message.status > 0 => u64::MAX,
            None => 0,
        };
        input.take(until).read_to_end(&mut message.body).ok()?;
        Some(message)
    }

    /// The head as bytes, without the headers of one connection, and with the end of it.
    pub fn head(&self) -> Vec<u8> {
        let mut text = match self.status {
            0 => format!("{} {} HTTP/1.1\r\n", self.method, self.path),
            status => format!("HTTP/1.1 {status} x\r\n"),
        };
        for (name, value) in &self.headers {
            if name != "connection" {
                text += &format!("{name}: {value}\r\n");
            }
        }
        text += "connection: close\r\n\r\n";
        text.into_bytes()
    }
}

/// Sends one request.
///
/// # Panics
/// Where there is no answer.
pub fn send(
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Message {
    let mut request = Message::response(0, headers, body);
    (request.method, request.path) = (method.to_owned(), path.to_owned());
    request.headers.push(("host".into(), host.into()));
    request
        .headers
        .push(("content-length".into(), body.len().to_string()));
    let mut stream = TcpStream::connect(host).expect("a connection");
    stream.write_all(&request.head()).expect("the request");
    stream.write_all(body).expect("the request's body");
    Message::read(&mut BufReader::new(stream)).expect("an answer")
}

/// A server on a port of its own, one thread per connection, until it is dropped.
pub struct Server {
    port: u16,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Serves connections by `serve`.
    ///
    /// # Panics
    /// Without a free port.
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, serve) = (stop.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let serve = serve.clone();
                std::thread::spawn(move || serve(stream));
            }
        });
        Server { port, stop }
    }

    /// Answers every request by `answer`.
    pub fn answering(answer: impl Fn(&Message) -> Message + Send + Sync + 'static) -> Server {
        Server::start(move |stream| {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let mut input = BufReader::new(stream);
            let Some(request) = Message::read(&mut input) else {
                return;
            };
            let mut answer = answer(&request);
            if answer.header("content-length").is_none() {
                answer
                    .headers
                    .push(("content-length".into(), answer.body.len().to_string()));
            }
            let mut stream = input.into_inner();
            let _ = stream.write_all(&answer.head());
            if request.method != "HEAD" {
                let _ = stream.write_all(&answer.body);
            }
        })
    }

    /// `127.0.0.1:<port>`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // The thread waits for a connection; this one lets it see the flag.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}
