//! Web servers: a real one over a folder, and one that says what the test wants.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

/// Python's own web server over a folder.
pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    pub fn start(folder: &Path) -> Server {
        let mut child = Command::new("python3")
            .args([
                "-u",
                "-m",
                "http.server",
                "0",
                "--bind",
                "127.0.0.1",
                "--directory",
            ])
            .arg(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let port = words.iter().position(|word| *word == "port").unwrap() + 1;
        let url = format!("http://127.0.0.1:{}", words[port]);
        Server { child, url }
    }

    /// The same over TLS.
    pub fn start_tls(folder: &Path, cert: &Path, key: &Path) -> Server {
        let script = "import functools,http.server,ssl,sys\n\
            h=functools.partial(http.server.SimpleHTTPRequestHandler,directory=sys.argv[1])\n\
            s=http.server.ThreadingHTTPServer(('127.0.0.1',0),h)\n\
            c=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
            c.load_cert_chain(sys.argv[2],sys.argv[3])\n\
            s.socket=c.wrap_socket(s.socket,server_side=True)\n\
            print('port',s.server_port,flush=True)\n\
            s.serve_forever()\n";
        let mut child = Command::new("python3")
            .args(["-c", script])
            .args([folder, cert, key])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let url = format!(
            "https://127.0.0.1:{}",
            line.trim().trim_start_matches("port ")
        );
        Server { child, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A server that answers each path with bytes as they are, and takes note of what is asked.
pub struct Scripted {
    pub url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    pub fn start(answers: &[(&str, String)]) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answers = answers
            .iter()
            .map(|(path, answer)| ((*path).to_owned(), answer.clone()));
        let answers: BTreeMap<String, String> = answers.collect();
        let log = Arc::clone(&asked);
        // It goes with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (answers, log) = (answers.clone(), Arc::clone(&log));
                thread::spawn(move || answer(stream.unwrap(), &answers, &log));
            }
        });
        Scripted { url, asked }
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(stream: TcpStream, answers: &BTreeMap<String, String>, log: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(&stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let path = head[0].split(' ').nth(1).unwrap().to_owned();
    let authorization = head
        .iter()
        .find(|line| line.to_lowercase().starts_with("authorization:"));
    let noted = match authorization {
        Some(line) => format!("{path} {line}"),
        None => path.clone(),
    };
    log.lock().unwrap().push(noted);
    let none = page("nothing here").replace("200 OK", "404 Not Found");
    let answer = answers.get(&path).unwrap_or(&none);
    // Who breaks off does not read to the end.
    let _ = (&stream).write_all(answer.as_bytes());
}

/// An answer with `body`.
pub fn page(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// An answer that sends to `to`.
pub fn elsewhere(to: &str) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
}
