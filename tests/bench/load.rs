//! Load for an EDGELESS function: calls over one HTTP/2 connection, made by as little code as can be, so that
//! it is not the limit. Their bytes are put together before the clock runs.

use std::cell::Cell;
use std::future::Future;
use std::time::Instant;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

/// A connection to a function.
pub struct Load {
    runtime: Runtime,
    tasks: LocalSet,
    sender: SendRequest<Bytes>,
    /// Where each method is.
    uris: [(&'static str, http::Uri); 3],
}

impl Load {
    /// Connects to the function at `port`, boots it and inits it.
    ///
    /// # Panics
    /// Where it refuses.
    pub fn on(port: u16) -> Load {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let tasks = LocalSet::new();
        let authority = format!("127.0.0.1:{port}");
        let sender = tasks.block_on(&runtime, async {
            let stream = TcpStream::connect(&authority).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (sender, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::task::spawn_local(connection);
            sender
        });
        let uri = |method: &str| {
            let uri = format!("http://{authority}/edgeless_api.GuestAPIFunction/{method}");
            uri.parse::<http::Uri>().unwrap()
        };
        let load = Load {
            runtime,
            tasks,
            sender,
            uris: ["Boot", "Init", "Call"].map(|method| (method, uri(method))),
        };
        // It never calls its host.
        let boot = [member(1, b"http://127.0.0.1:1/"), member(2, &instance())].concat();
        for (method, message) in [("Boot", boot), ("Init", Vec::new())] {
            let answer = load.wait(load.ask(method, &framed(&message)));
            assert_eq!(answer, framed(b""), "{method}");
        }
        load
    }

    /// Asks for an echo of `text` `calls` times, `at_once` at a time. Gives the seconds that each took.
    ///
    /// # Panics
    /// Where an answer is another one.
    pub fn echo(&self, text: &str, calls: usize, at_once: usize) -> Vec<f64> {
        let message = [member(1, &instance()), member(2, text.as_bytes())].concat();
        let request = framed(&message);
        // The type of a reply is 1.
        let reply = framed(&[&[0x08, 1][..], &member(2, text.as_bytes())].concat());
        let begun = Cell::new(0);
        let asks = (0..at_once).map(|_| async {
            let mut times = Vec::new();
            while begun.get() < calls {
                begun.set(begun.get() + 1);
                let began = Instant::now();
                let answer = self.ask("Call", &request).await;
                times.push(began.elapsed().as_secs_f64());
                assert_eq!(answer, reply);
            }
            times
        });
        let times = self.wait(futures_util::future::join_all(asks));
        times.concat()
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.tasks.block_on(&self.runtime, work)
    }

    /// One call, with its frame, and the frame of its answer.
    async fn ask(&self, method: &str, request: &Bytes) -> Bytes {
        let (_, uri) = self.uris.iter().find(|(name, _)| *name == method).unwrap();
        let head = http::Request::post(uri.clone())
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let mut sender = self.sender.clone().ready().await.unwrap();
        let (response, mut stream) = sender.send_request(head, false).unwrap();
        stream.send_data(request.clone(), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let mut answer = Bytes::new();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            answer = match answer.is_empty() {
                true => data,
                false => [answer, data].concat().into(),
            };
        }
        let trailers = body.trailers().await.unwrap().unwrap_or_default();
        assert_eq!(trailers["grpc-status"], "0", "{method}: {trailers:?}");
        answer
    }
}

/// A message as gRPC sends it: not compressed, with its length.
fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), message].concat().into()
}

/// A member of a protocol buffer that has a length, which is short here.
fn member(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap();
    assert!(length < 0x80, "longer ones are written otherwise");
    [&[number << 3 | 2, length][..], bytes].concat()
}

/// Who asks, as a node writes it.
fn instance() -> Vec<u8> {
    let ids = [
        "fda6ce79-46df-4f96-a0d2-456f720f606c",
        "cd7240b4-aa46-4885-bb41-f4a2bbb55745",
    ];
    [member(1, ids[0].as_bytes()), member(2, ids[1].as_bytes())].concat()
}
