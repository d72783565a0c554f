//! What carries messages to a router and back: a WebSocket or a RawSocket, plain or encrypted. It keeps the
//! connection alive and notices where it is not.

mod flow;
mod rawsocket;
mod tls;
mod websocket;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::address::{Address, Carrier};
use super::serializer::Serializer;
use crate::lookup;
use flow::{read, write, Reader, Writer};

/// How many messages wait on their way in, and as many on their way out.
const MESSAGES: usize = 64;

/// How a connection is made and kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What is offered, the best first.
    pub serializers: Vec<Serializer>,
    /// Whose certificates are trusted, as PEM; default those of the machine.
    pub ca: Option<PathBuf>,
    /// How long it may take until messages can be sent. Default 2.5 s.
    pub open_timeout: Duration,
    /// How long the router may take to close. Default 1 s.
    pub close_timeout: Duration,
    /// After how much silence the router is asked whether it is there. Default 10 s.
    pub ping_interval: Duration,
    /// How long it may take to answer that. Default 5 s.
    pub ping_timeout: Duration,
    /// The largest message that is taken, in bytes. Default 1 MiB.
    pub max_message: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            serializers: super::serializer::DEFAULT.to_vec(),
            ca: None,
            open_timeout: Duration::from_millis(2500),
            close_timeout: Duration::from_secs(1),
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(5),
            max_message: 1 << 20,
        }
    }
}

/// Why there is no connection, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing listens there, or the network fails.
    #[error("{address} can't be reached")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The router took too long.
    #[error("{0} did not answer within {1:?}")]
    Slow(String, Duration),
    /// Encryption fails.
    #[error("{address} can't be reached over TLS{}", tls::advice(.source))]
    Tls {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The certificates that should be trusted can't be read.
    #[error("the certificates in {path:?} can't be used: {why}")]
    Ca {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The other side does not speak the protocol.
    #[error("{address} is no router: {why}")]
    Handshake {
        /// Where.
        address: String,
        /// Why.
        why: String,
    },
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// The router has closed it.
    #[error("the router has closed the connection{0}")]
    Closed(String),
    /// The router does not answer any more.
    #[error("the router was silent for {0:?}")]
    Silent(Duration),
    /// The router does not take what is sent.
    #[error("the router took nothing for {0:?}")]
    Stuck(Duration),
    /// What came breaks the rules of framing.
    #[error("the router breaks the framing: {0}")]
    Framing(String),
}

/// What crosses a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Frame {
    Message(Bytes),
    Ping(Bytes),
    Pong(Bytes),
    Close,
}

/// Any stream of bytes both ways.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

type Stream = Box<dyn Duplex>;

/// A connection over which messages go. Dropping it breaks it off.
#[derive(Debug)]
pub struct Connection {
    /// How messages are written.
    pub serializer: Serializer,
    /// The largest message that the router takes, in bytes, as far as it says so.
    pub largest: usize,
    /// Messages for the router.
    pub outgoing: mpsc::Sender<Bytes>,
    incoming: mpsc::Receiver<Bytes>,
    lost: watch::Receiver<Option<String>>,
    close_timeout: Duration,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn open(address: &Address, settings: &Settings) -> Result<Connection, Error> {
        let limit = settings.open_timeout;
        let opened = timeout(limit, Connection::open_slowly(address, settings)).await;
        opened.map_err(|_| Error::Slow(address.to_string(), limit))?
    }

    async fn open_slowly(address: &Address, settings: &Settings) -> Result<Connection, Error> {
        if address.carrier == Carrier::WebSocket {
            let stream = connect(address, settings).await?;
            let opened = websocket::open(stream, address, settings).await?;
            let (reader, writer, serializer) = opened;
            let (reader, writer) = (Reader::WebSocket(reader), Writer::WebSocket(writer));
            let kept = Connection::keep(reader, writer, serializer, usize::MAX, settings);
            return Ok(kept);
        }
        // A RawSocket is asked for one serializer at a time.
        let mut refused = None;
        for serializer in settings.serializers.iter().copied() {
            let stream = connect(address, settings).await?;
            match rawsocket::open(stream, address, serializer, settings.max_message).await {
                Ok((reader, writer, largest)) => {
                    let (reader, writer) = (Reader::RawSocket(reader), Writer::RawSocket(writer));
                    let kept = Connection::keep(reader, writer, serializer, largest, settings);
                    return Ok(kept);
                }
                Err(error @ Error::Handshake { .. }) => {
                    refused.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or_else(|| Error::Handshake {
            address: address.to_string(),
            why: "no serializer is offered".to_owned(),
        }))
    }

    fn keep(
        reader: Reader,
        writer: Writer,
        serializer: Serializer,
        largest: usize,
        settings: &Settings,
    ) -> Connection {
        let (outgoing, messages_out) = mpsc::channel(MESSAGES);
        let (messages_in, incoming) = mpsc::channel(MESSAGES);
        let (controls, controls_out) = mpsc::channel(4);
        let (losses, lost) = watch::channel(None);
        let stuck = settings.ping_interval + settings.ping_timeout;
        let writing = write(writer, messages_out, controls_out, stuck);
        let reading = read(reader, messages_in, controls, settings.clone());
        let losses_of_writer = losses.clone();
        Connection {
            serializer,
            largest,
            outgoing,
            incoming,
            lost,
            close_timeout: settings.close_timeout,
            reader: tokio::spawn(async move {
                let error = reading.await;
                // What the writer has noticed first is the reason.
                losses.send_if_modified(|lost| set_first(lost, &error));
            }),
            writer: tokio::spawn(async move {
                if let Err(error) = writing.await {
                    losses_of_writer.send_if_modified(|lost| set_first(lost, &error));
                }
            }),
        }
    }

    /// The next message.
    ///
    /// # Errors
    /// Why there is none any more, in words.
    pub async fn next(&mut self) -> Result<Bytes, String> {
        tokio::select! {
            // What has come before it was lost is taken.
            biased;
            Some(message) = self.incoming.recv() => Ok(message),
            Ok(lost) = self.lost.wait_for(Option::is_some) => {
                Err(lost.clone().unwrap_or_default())
            }
            else => Err("the connection is closed".to_owned()),
        }
    }

    /// Whether it is lost.
    pub fn is_lost(&self) -> bool {
        self.lost.borrow().is_some()
    }

    /// Where it is told why the connection is lost, when it is.
    pub fn loss(&self) -> watch::Receiver<Option<String>> {
        self.lost.clone()
    }

    /// Why it is lost. Returns when it is.
    pub async fn why_lost(&mut self) -> String {
        match self.lost.wait_for(Option::is_some).await {
            Ok(lost) => lost.clone().unwrap_or_default(),
            Err(_) => "the connection is closed".to_owned(),
        }
    }

    /// Closes: what waits goes out, and the router is told.
    pub async fn close(self) {
        let Connection {
            outgoing,
            mut incoming,
            close_timeout,
            reader,
            mut writer,
            ..
        } = self;
        drop(outgoing);
        let closed = async {
            // Both end by themselves.
            let _ = (&mut writer).await;
            while incoming.recv().await.is_some() {}
        };
        // A router that does not close is left.
        let _ = timeout(close_timeout, closed).await;
        reader.abort();
        writer.abort();
    }
}

async fn connect(address: &Address, settings: &Settings) -> Result<Stream, Error> {
    let refused = |source| Error::Connect {
        address: address.to_string(),
        source,
    };
    let connected = lookup::connect(&address.host, address.port).await;
    let tcp = connected.map_err(refused)?;
    // Calls are short, and each is waited for.
    tcp.set_nodelay(true).map_err(refused)?;
    Ok(match address.tls {
        true => Box::new(tls::encrypt(tcp, address, settings).await?),
        false => Box::new(tcp),
    })
}

fn set_first(lost: &mut Option<String>, error: &Error) -> bool {
    let is_first = lost.is_none();
    if is_first {
        *lost = Some(super::words(error));
    }
    is_first
}
