//! The plugins, as the daemon calls them: every call is a process of its own and runs off the loop, and
//! not too many run at once.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::thread;

use bytes::{Bytes, BytesMut};
use shellrt_api::v0::client::{self, Plugin};
use shellrt_api::v0::{attach, img_pull, Code, Message};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::{mpsc, Semaphore};

/// How much of a stream is read at once, in bytes.
const PIECE: usize = 16 << 10;

/// How many pieces wait until they are written; then who writes waits.
const PIECES: usize = 4;

/// How many calls that may take long run at the same time, beside the others.
pub const SLOW: usize = 64;

/// Why a plugin did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of this name in the settings.
    #[error("no plugin {0:?} is configured")]
    Unknown(String),
    /// It says no, or there is no answer.
    #[error(transparent)]
    Call(#[from] client::Error),
    /// The daemon is ending.
    #[error("the daemon is ending")]
    Ending,
}

impl Error {
    /// The code of the plugin's own "no".
    pub fn code(&self) -> Option<Code> {
        match self {
            Error::Call(client::Error::Plugin(error)) => Some(error.code),
            Error::Call(_) | Error::Unknown(_) | Error::Ending => None,
        }
    }

    /// Whether the same may succeed later.
    pub fn retryable(&self) -> bool {
        match self {
            Error::Call(client::Error::Plugin(error)) => error.retryable(),
            Error::Call(_) => true,
            Error::Unknown(_) | Error::Ending => false,
        }
    }

    /// The message with its causes, on one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        if let Error::Call(client::Error::Plugin(error)) = self {
            for cause in error.caused_by() {
                text.push_str(": ");
                text.push_str(cause);
            }
        }
        crate::causes::chain_new(text, std::error::Error::source(self))
    }
}

/// The plugins by their names.
#[derive(Debug, Clone)]
pub struct Plugins {
    programs: Arc<BTreeMap<String, Plugin>>,
    running: Arc<Semaphore>,
    slow: Arc<Semaphore>,
}

impl Plugins {
    /// The plugins `programs` by their names. At most `at_once` answer at the same time; the streams that
    /// follow answers do not count.
    pub fn new(programs: impl IntoIterator<Item = (String, Plugin)>, at_once: usize) -> Plugins {
        Plugins {
            programs: Arc::new(programs.into_iter().collect()),
            running: Arc::new(Semaphore::new(at_once.max(1))),
            slow: Arc::new(Semaphore::new(SLOW)),
        }
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.programs.keys().map(String::as_str)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn call<M>(&self, plugin: &str, request: M) -> Result<M::Response, Error>
    where
        M: Message + Send + 'static,
        M::Response: Send + 'static,
    {
        self.run(plugin, move |plugin| plugin.call(&request)).await
    }

    /// As [`call`](Self::call), for a message whose answer takes as long as a module likes: up to
    /// [`SLOW`] of them do not keep the others waiting.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn call_slowly<M>(&self, plugin: &str, request: M) -> Result<M::Response, Error>
    where
        M: Message + Send + 'static,
        M::Response: Send + 'static,
    {
        let call = move |plugin: &Plugin| plugin.call(&request);
        self.run_in(&self.slow, plugin, call).await
    }

    /// Asks, and returns the answer with the stream that follows it.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn open<M>(&self, plugin: &str, request: M) -> Result<(M::Response, Output), Error>
    where
        M: Message + Send + 'static,
        M::Response: Send + 'static,
    {
        let opened = self.run(plugin, move |plugin| plugin.open(&request));
        let (response, stream) = opened.await?;
        Ok((response, Output::of(stream)?))
    }

    /// Attaches to a module, with its stdin.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn attach(
        &self,
        plugin: &str,
        request: attach::Request,
    ) -> Result<(Input, Output), Error> {
        let opened = self.run(plugin, move |plugin| plugin.open_with_input(&request));
        let (attach::Response {}, input, stream) = opened.await?;
        Ok((Input::of(input)?, Output::of(stream)?))
    }

    /// Pulls an image. Dropping the future ends the pull.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn pull(&self, plugin: &str, request: img_pull::Request) -> Result<(), Error> {
        let request = img_pull::Request {
            progress: true,
            ..request
        };
        let (_, mut stream) = self.open(plugin, request).await?;
        if !stream.is_open {
            // A plugin that does not know `progress` answers when it is done.
            return Ok(());
        }
        let mut line = Vec::new();
        while let Some(piece) = stream.next().await {
            for byte in piece {
                if byte != b'\n' {
                    line.push(byte);
                    continue;
                }
                match serde_json::from_slice(&line) {
                    Ok(img_pull::Progress::Done(_)) => return Ok(()),
                    Ok(img_pull::Progress::Error(error)) => {
                        return Err(Error::Call(client::Error::Plugin(error)));
                    }
                    Ok(_) | Err(_) => line.clear(),
                }
            }
        }
        Err(Error::Call(client::Error::CutOff))
    }

    async fn run<T: Send + 'static>(
        &self,
        plugin: &str,
        call: impl FnOnce(&Plugin) -> Result<T, client::Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.run_in(&self.running, plugin, call).await
    }

    async fn run_in<T: Send + 'static>(
        &self,
        room: &Arc<Semaphore>,
        plugin: &str,
        call: impl FnOnce(&Plugin) -> Result<T, client::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let found = self.programs.get(plugin);
        let plugin = found
            .ok_or_else(|| Error::Unknown(plugin.to_owned()))?
            .clone();
        let room = Arc::clone(room);
        let permit = room.acquire_owned().await.map_err(|_| Error::Ending)?;
        let called = tokio::task::spawn_blocking(move || {
            // Held here, so that a caller that goes away does not make room for another process.
            let _permit = permit;
            call(&plugin)
        });
        Ok(called.await.map_err(|_| Error::Ending)??)
    }
}

/// The bytes that follow an answer. Dropping it ends the plugin.
pub struct Output {
    /// What was read and is not taken yet.
    read: BytesMut,
    pipe: Option<Receiver>,
    /// The plugin's process; nothing where another thread waits for its end.
    stream: Option<client::Stream>,
    is_open: bool,
}

impl Output {
    fn of(stream: client::Stream) -> Result<Output, Error> {
        let (mut read, mut pipe) = (BytesMut::new(), None);
        if let Some((fd, already)) = stream.pipe() {
            let fd = fd.try_clone_to_owned().and_then(Receiver::from_owned_fd);
            pipe = Some(fd.map_err(client::Error::Io)?);
            read.extend_from_slice(already);
        }
        Ok(Output {
            read,
            is_open: pipe.is_some(),
            pipe,
            stream: Some(stream),
        })
    }

    /// The next piece; nothing at the end of the stream. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Bytes> {
        while self.read.is_empty() {
            let pipe = self.pipe.as_ref()?;
            let read = match pipe.readable().await {
                Ok(()) => {
                    self.read.reserve(PIECE);
                    pipe.try_read_buf(&mut self.read)
                }
                Err(error) => Err(error),
            };
            match read {
                Ok(0) => return self.end(),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    log::warn!("a plugin's stream broke off: {error}");
                    return self.end();
                }
            }
        }
        Some(self.read.split().freeze())
    }

    /// The plugin ends now, which takes a moment.
    fn end(&mut self) -> Option<Bytes> {
        self.pipe = None;
        if let Some(mut stream) = self.stream.take() {
            thread::spawn(move || {
                if let Err(error) = stream.read(&mut [0]) {
                    log::warn!("a plugin's stream broke off: {error}");
                }
            });
        }
        None
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            // Dropping it kills the plugin and waits for its end, which takes a moment.
            thread::spawn(move || drop(stream));
        }
    }
}

/// What goes to a module's stdin. Dropping it ends the input when all of it was written.
#[derive(Debug, Clone)]
pub struct Input(mpsc::Sender<Bytes>);

impl Input {
    fn of(input: client::Input) -> Result<Input, Error> {
        let mut pipe = Sender::from_owned_fd(input.into()).map_err(client::Error::Io)?;
        let (sender, mut pieces) = mpsc::channel::<Bytes>(PIECES);
        tokio::spawn(async move {
            while let Some(piece) = pieces.recv().await {
                // The module has ended, or the plugin has.
                if pipe.write_all(&piece).await.is_err() {
                    return;
                }
            }
        });
        Ok(Input(sender))
    }

    /// Writes, and waits while the module reads slower. Answers whether anybody still reads.
    pub async fn write(&self, bytes: Bytes) -> bool {
        self.0.send(bytes).await.is_ok()
    }
}
