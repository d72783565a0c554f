//! A runtime that is a process of its own and speaks SLSocket, in whatever language it is written.

use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use process_wrap::tokio::{ChildWrapper, CommandWrap, ProcessSession};
use rustix::process::Signal;
use serde_json::{Map, Value};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Cpus, Error, Place, Runtime};
use crate::link::silverline::slsocket::connection::{self, Writer};
use crate::link::silverline::slsocket::{FromRuntime, Header, ToRuntime};

/// How long it may take to connect.
const CONNECTION_TIME: Duration = Duration::from_secs(5);

/// How long it may take to end by the signal, before it is killed.
const END_TIME: Duration = Duration::from_secs(5);

/// How long it may take to end by the message that it should, before it gets a signal.
const STOP_TIME: Duration = Duration::from_secs(1);

/// How many of its messages wait for the manager; then it waits.
const MESSAGES: usize = 64;

/// How such a runtime is started, and what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildSettings {
    /// What a shell runs, the index of the runtime behind it.
    pub command: String,
    /// [`Runtime::runtime_type`].
    pub runtime_type: String,
    /// [`Runtime::apis`].
    pub apis: Vec<String>,
    /// [`Runtime::max_modules`].
    pub max_modules: usize,
    /// [`Runtime::short_name`].
    pub short_name: String,
    /// [`Runtime::profile`].
    pub profile: String,
    /// The header of its frames.
    pub header: Header,
    /// Where its socket is.
    pub socket_dir: PathBuf,
    /// The processors that it may use, with all that it starts. Default all.
    pub cpus: Option<Cpus>,
}

/// The process.
pub struct Child {
    settings: ChildSettings,
    running: Option<Running>,
}

struct Running {
    process: Process,
    socket: Socket,
    writer: Writer,
    messages: mpsc::Receiver<FromRuntime>,
}

impl Child {
    /// Not started yet.
    pub fn new(settings: ChildSettings) -> Child {
        Child {
            settings,
            running: None,
        }
    }
}

impl Runtime for Child {
    fn runtime_type(&self) -> String {
        self.settings.runtime_type.clone()
    }

    fn apis(&self) -> Vec<String> {
        self.settings.apis.clone()
    }

    fn max_modules(&self) -> usize {
        self.settings.max_modules
    }

    fn short_name(&self) -> String {
        self.settings.short_name.clone()
    }

    fn profile(&self) -> String {
        self.settings.profile.clone()
    }

    async fn start(&mut self, place: &Place) -> Result<Map<String, Value>, Error> {
        self.running = None;
        let socket = Socket::listen(&self.settings.socket_dir, place.index)?;
        let command = &self.settings.command;
        let failed = |error| Error::because(format!("{command:?} can't be started"), error);
        let spawn = || Process::spawn(command, place);
        let process = match self.settings.cpus {
            Some(cpus) => cpus.while_on(spawn),
            None => spawn(),
        };
        let process = process.map_err(failed)?;
        let connected = timeout(CONNECTION_TIME, socket.accept()).await;
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Error::because("it can't connect", error)),
            Err(_) => {
                return Err(Error::new(format!(
                    "{command:?} has not connected to {:?} after {} seconds",
                    socket.path,
                    CONNECTION_TIME.as_secs()
                )))
            }
        };
        let (writer, reader) = connection::open(stream, self.settings.header);
        let (sender, messages) = mpsc::channel(MESSAGES);
        tokio::spawn(read(place.name.clone(), reader, sender));
        self.running = Some(Running {
            process,
            socket,
            writer,
            messages,
        });
        Ok(Map::new())
    }

    async fn send(&mut self, message: ToRuntime) -> Result<(), Error> {
        let running = self.running.as_ref();
        let writer = &running.ok_or_else(|| Error::new("it does not run"))?.writer;
        let frame = message.frame();
        let sent = match message {
            ToRuntime::Receive { .. } => writer.data(&frame),
            ToRuntime::Create(..) | ToRuntime::Delete(_) | ToRuntime::Stop => {
                writer.control(&frame)
            }
        };
        sent.map_err(|error| Error::because("it can't be told", error))
    }

    async fn receive(&mut self) -> Option<FromRuntime> {
        self.running.as_mut()?.messages.recv().await
    }

    async fn stop(&mut self) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        drop(running.socket);
        // What it still tells is read, so that it need not wait for that.
        let messages = &mut running.messages;
        let drained = async { while messages.recv().await.is_some() {} };
        let process = &mut running.process;
        let ended = async {
            let stop = ToRuntime::Stop.frame();
            if let Err(error) = running.writer.wait(&stop).await {
                log::debug!("a runtime can't be told to stop: {error}");
            }
            process.ended().await;
        };
        let both = async { tokio::join!(drained, ended) };
        if timeout(STOP_TIME, both).await.is_ok() {
            return;
        }
        // It does not know the message, or needs longer.
        running.process.signal(Signal::TERM);
        let drained = async { while running.messages.recv().await.is_some() {} };
        let both = async { tokio::join!(drained, running.process.ended()) };
        if timeout(END_TIME, both).await.is_err() {
            log::warn!("a runtime did not end when it was told to and is killed");
        }
    }
}

/// Passes on what the runtime tells, until it goes or what it says can't be read.
async fn read(name: String, mut reader: connection::Reader, messages: mpsc::Sender<FromRuntime>) {
    loop {
        match reader.next_frame().await {
            Ok(Some(frame)) => match FromRuntime::parse(frame) {
                Ok(message) => {
                    if messages.send(message).await.is_err() {
                        return;
                    }
                }
                Err(error) => log::warn!("runtime {name:?}: {error}"),
            },
            Ok(None) => return,
            Err(error) => {
                log::error!("runtime {name:?}: {error}");
                return;
            }
        }
    }
}

/// The socket that the runtime connects to. Dropping it removes the file.
struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    fn listen(dir: &Path, index: u8) -> Result<Socket, Error> {
        let path = dir.join(format!("{index:02x}.s"));
        let failed = |what: &str, error: io::Error| {
            Error::because(format!("the socket {path:?} can't be {what}"), error)
        };
        let mut made = std::fs::DirBuilder::new();
        let made = made.recursive(true).mode(0o700).create(dir);
        made.map_err(|error| failed("made", error))?;
        match std::fs::symlink_metadata(&path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(Error::new(format!(
                    "{path:?} is no socket; remove it, or set another \"socket_dir\""
                )));
            }
            Ok(_) if std::os::unix::net::UnixStream::connect(&path).is_ok() => {
                return Err(Error::new(format!(
                    "another manager listens at {path:?}; end it, or set another \"socket_dir\""
                )));
            }
            // One that was killed has left it.
            Ok(_) => std::fs::remove_file(&path).map_err(|error| failed("removed", error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("looked at", error)),
        }
        let listener = UnixListener::bind(&path).map_err(|error| failed("made", error))?;
        Ok(Socket { path, listener })
    }

    /// Waits for the runtime. The directory may be everybody's, so somebody else may connect.
    async fn accept(&self) -> io::Result<UnixStream> {
        let own = rustix::process::geteuid().as_raw();
        loop {
            let (stream, _) = self.listener.accept().await?;
            match stream.peer_cred()?.uid() {
                uid if uid == own || uid == 0 => return Ok(stream),
                uid => log::warn!("user {uid} is not let in at {:?}", self.path),
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Somebody else may have tidied up.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The process with all that it starts. Dropping it kills them.
struct Process(Box<dyn ChildWrapper>);

impl Process {
    fn spawn(command: &str, place: &Place) -> io::Result<Process> {
        let log = match &place.log {
            Some(path) => {
                let mut options = std::fs::OpenOptions::new();
                let file = options.create(true).append(true).open(path)?;
                (file.try_clone()?.into(), file.into())
            }
            // Standard output is not for logs.
            None => (rustix::io::dup(std::io::stderr())?.into(), Stdio::inherit()),
        };
        let (stdout, stderr): (Stdio, Stdio) = log;
        let line = format!("{command} {}", place.index);
        let mut wrapped = CommandWrap::with_new("/bin/sh", |shell| {
            shell.arg("-c").arg(line);
            // The service manager's conversation is with this process.
            shell
                .env_remove("NOTIFY_SOCKET")
                .env_remove("WATCHDOG_USEC");
            shell.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        });
        // A session of its own, so that what ends the manager does not end it half way.
        Ok(Process(wrapped.wrap(ProcessSession).spawn()?))
    }

    fn signal(&self, signal: Signal) {
        // It may have ended.
        let _ = self.0.signal(signal.as_raw());
    }

    async fn ended(&mut self) {
        match self.0.wait().await {
            Ok(status) => log::debug!("a runtime has ended: {status}"),
            Err(error) => log::warn!("a runtime can't be waited for: {error}"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
