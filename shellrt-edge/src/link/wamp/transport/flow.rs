//! What goes over a connection in both directions, and how it is kept alive.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout, Instant};

use super::{rawsocket, websocket, Error, Frame, Settings};

/// What a ping carries, in bytes.
const PING_LENGTH: usize = 12;

/// Reads frames of one of the two.
pub(super) enum Reader {
    WebSocket(websocket::Reader),
    RawSocket(rawsocket::Reader),
}

impl Reader {
    /// The next frame. May be dropped and called again.
    async fn next(&mut self) -> Result<Frame, Error> {
        match self {
            Reader::WebSocket(reader) => reader.next().await,
            Reader::RawSocket(reader) => reader.next().await,
        }
    }
}

/// Writes frames of one of the two.
pub(super) enum Writer {
    WebSocket(websocket::Writer),
    RawSocket(rawsocket::Writer),
}

impl Writer {
    async fn write(&mut self, frame: Frame) -> Result<(), Error> {
        match self {
            Writer::WebSocket(writer) => writer.write(frame).await,
            Writer::RawSocket(writer) => writer.write(frame).await,
        }
    }
}

/// Reads until the connection is lost, and says why it is. Asks the router whether it is there.
pub(super) async fn read(
    mut reader: Reader,
    messages: mpsc::Sender<Bytes>,
    controls: mpsc::Sender<Frame>,
    settings: Settings,
) -> Error {
    let Settings {
        ping_interval,
        ping_timeout,
        ..
    } = settings;
    let mut ping_at = Instant::now() + ping_interval;
    let mut answer_until = None;
    loop {
        let silent = async {
            match answer_until {
                Some(until) => sleep_until(until).await,
                None => pending().await,
            }
        };
        let frame = tokio::select! {
            biased;
            frame = reader.next() => match frame {
                Ok(frame) => frame,
                Err(error) => return error,
            },
            () = silent => return Error::Silent(ping_interval + ping_timeout),
            () = sleep_until(ping_at) => {
                // Where it can't be sent there will be no answer.
                let _ = controls.try_send(ping());
                let now = Instant::now();
                answer_until.get_or_insert(now + ping_timeout);
                ping_at = now + ping_interval;
                continue;
            }
        };
        match frame {
            Frame::Message(message) => {
                let mut taken = pin!(messages.send(message));
                let sent = loop {
                    match timeout(ping_interval, &mut taken).await {
                        Ok(sent) => break sent,
                        // While nobody takes it nothing is read, and only what is written shows that the
                        // router has gone.
                        Err(_) => drop(controls.try_send(ping())),
                    }
                };
                if sent.is_err() {
                    return Error::Closed(String::new());
                }
            }
            Frame::Ping(payload) => {
                // A router that asks faster than it reads gets fewer answers.
                let _ = controls.try_send(Frame::Pong(payload));
            }
            Frame::Pong(_) => {}
            Frame::Close => return Error::Closed(String::new()),
        }
        // Whatever comes shows that it is there; while nobody took a message, nothing was looked at.
        answer_until = None;
        ping_at = Instant::now() + ping_interval;
    }
}

/// Writes until nobody has anything to send any more, then closes.
pub(super) async fn write(
    mut writer: Writer,
    mut messages: mpsc::Receiver<Bytes>,
    mut controls: mpsc::Receiver<Frame>,
    limit: Duration,
) -> Result<(), Error> {
    loop {
        let frame = tokio::select! {
            biased;
            Some(control) = controls.recv() => control,
            message = messages.recv() => message.map_or(Frame::Close, Frame::Message),
        };
        let is_last = frame == Frame::Close;
        let written = timeout(limit, writer.write(frame)).await;
        written.map_err(|_| Error::Stuck(limit))??;
        if is_last {
            return Ok(());
        }
    }
}

fn ping() -> Frame {
    Frame::Ping(Bytes::from_static(&[0; PING_LENGTH]))
}
