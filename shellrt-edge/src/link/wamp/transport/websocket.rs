//! WebSockets (RFC 6455): one message per WebSocket message, the serializer is the subprotocol.

use std::io;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_tungstenite::{client_async_with_config, WebSocketStream};

use super::{Error, Frame, Settings, Stream};
use crate::link::wamp::address::Address;
use crate::link::wamp::serializer::Serializer;

/// How much is read at once, in bytes: there may be many connections.
const BUFFER: usize = 16 << 10;

/// Reads frames.
pub struct Reader {
    stream: SplitStream<WebSocketStream<Stream>>,
    is_text: bool,
}

/// Writes frames.
pub struct Writer {
    sink: SplitSink<WebSocketStream<Stream>, Message>,
    is_text: bool,
}

/// Shakes hands over `stream`.
pub async fn open(
    stream: Stream,
    address: &Address,
    settings: &Settings,
) -> Result<(Reader, Writer, Serializer), Error> {
    let no_router = |why: String| Error::Handshake {
        address: address.to_string(),
        why,
    };
    let uri = address.to_string().parse();
    let uri = uri.map_err(|_| no_router("its URL can't be written".to_owned()))?;
    let mut request = ClientRequestBuilder::new(uri);
    for serializer in &settings.serializers {
        request = request.with_sub_protocol(serializer.subprotocol());
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(settings.max_message))
        .max_frame_size(Some(settings.max_message));
    let (stream, response) = client_async_with_config(request, stream, Some(config))
        .await
        .map_err(|error| no_router(handshake_words(error)))?;
    // None is offered: compressed frames would cost each connection a third of a megabyte.
    if response.headers().contains_key("Sec-WebSocket-Extensions") {
        return Err(no_router(
            "it uses an extension that was not offered".to_owned(),
        ));
    }
    let chosen = response.headers().get("Sec-WebSocket-Protocol");
    let serializer = chosen
        .and_then(|name| name.to_str().ok())
        .and_then(Serializer::of_subprotocol)
        .ok_or_else(|| no_router("it has chosen no serializer that was offered".to_owned()))?;
    let is_text = serializer.is_text();
    let (sink, stream) = stream.split();
    let (reader, writer) = (Reader { stream, is_text }, Writer { sink, is_text });
    Ok((reader, writer, serializer))
}

impl Reader {
    pub async fn next(&mut self) -> Result<Frame, Error> {
        loop {
            let message = match self.stream.next().await {
                Some(message) => message.map_err(failure)?,
                None => return Ok(Frame::Close),
            };
            return Ok(match message {
                Message::Text(text) if self.is_text => Frame::Message(text.into()),
                Message::Binary(bytes) if !self.is_text => Frame::Message(bytes),
                Message::Text(_) | Message::Binary(_) => {
                    let why = "a message has not the form of its serializer";
                    return Err(Error::Framing(why.to_owned()));
                }
                Message::Ping(payload) => Frame::Ping(payload),
                Message::Pong(payload) => Frame::Pong(payload),
                Message::Close(Some(frame)) => return Err(Error::Closed(close_words(&frame))),
                Message::Close(None) => Frame::Close,
                // Only asked for when frames are read one by one.
                Message::Frame(_) => continue,
            });
        }
    }
}

impl Writer {
    pub async fn write(&mut self, frame: Frame) -> Result<(), Error> {
        let message = match frame {
            Frame::Message(bytes) if self.is_text => Message::Text(text(bytes)?),
            Frame::Message(bytes) => Message::Binary(bytes),
            Frame::Ping(payload) => Message::Ping(payload),
            // The library answers by itself, with what is written next.
            Frame::Pong(_) => return self.sink.flush().await.map_err(failure),
            Frame::Close => return self.sink.close().await.map_err(failure),
        };
        self.sink.send(message).await.map_err(failure)
    }
}

fn text(bytes: Bytes) -> Result<Utf8Bytes, Error> {
    let text = Utf8Bytes::try_from(bytes);
    text.map_err(|error| Error::Broken(io::Error::other(error)))
}

fn failure(error: tungstenite::Error) -> Error {
    match error {
        tungstenite::Error::Io(error) => Error::Broken(error),
        tungstenite::Error::ConnectionClosed
        | tungstenite::Error::AlreadyClosed
        | tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Error::Closed(" without a word".to_owned())
        }
        tungstenite::Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            Error::Framing(format!(
                "a message has {size} bytes, and {max_size} is the most"
            ))
        }
        other => Error::Framing(other.to_string()),
    }
}

fn handshake_words(error: tungstenite::Error) -> String {
    match error {
        tungstenite::Error::Http(response) => {
            format!(
                "it answers with the HTTP status {}",
                response.status().as_u16()
            )
        }
        other => other.to_string(),
    }
}

fn close_words(frame: &CloseFrame) -> String {
    match frame.reason.as_str() {
        "" => format!(" with the code {}", u16::from(frame.code)),
        reason => format!(" with the code {}: {reason}", u16::from(frame.code)),
    }
}
