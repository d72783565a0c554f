//! `shellrt-edged edgeless-cli`: plays a node for one function, so that it can be tried by hand. It is as
//! strict as a node: what a node refuses, it refuses.

use std::fmt::Display;
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tonic::Status;

use super::args::Cli;
use super::wire::{
    self, BootData, CallRetType, CallReturn, Channel, DelayedEventData, FunctionClient,
    FunctionInstanceInit, Host, HostService, InputEventData, InstanceId, OutputEventData,
    OutputEventDataRaw, SyncData, TelemetryLogEvent, TelemetryLogLevel, Tls, TlsError,
};

/// For how long the function is looked for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often.
const PAUSE: Duration = Duration::from_millis(200);

const HELP: &str = "\
cast MESSAGE   sends the function something that is not answered
call MESSAGE   asks the function, and prints its answer
stop           stops the function
quit           stops the function, if it was not, and ends
help           prints this";

/// Why the emulator ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its own endpoint can't be used.
    #[error("{endpoint:?} can't be listened at")]
    Listen {
        /// Which.
        endpoint: String,
        /// Why.
        source: io::Error,
    },
    /// TLS can't be set up.
    #[error("TLS can't be set up")]
    Tls(#[from] TlsError),
    /// The function does not do it.
    #[error("the function can't {call}: {}", .status.message())]
    Function {
        /// What.
        call: &'static str,
        /// Why.
        status: Box<Status>,
    },
    /// The result can't be written.
    #[error("the output can't be written")]
    Output(#[from] io::Error),
}

/// A line that was typed.
#[derive(Debug, PartialEq, Eq)]
enum Command<'a> {
    Cast(&'a str),
    Call(&'a str),
    Stop,
    Quit,
    Help,
    Nothing,
    Unknown(&'a str),
}

fn command(line: &str) -> Command<'_> {
    let line = line.trim_end_matches(['\r', '\n']);
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "cast" => Command::Cast(rest),
        "call" => Command::Call(rest),
        "stop" => Command::Stop,
        "quit" => Command::Quit,
        "help" => Command::Help,
        "" => Command::Nothing,
        other => Command::Unknown(other),
    }
}

/// Boots and inits the function, then does what is typed until `quit` or the end of the input.
///
/// # Errors
/// [`Error`].
pub async fn run(args: Cli) -> Result<(), Error> {
    let tls = args
        .tls_config
        .as_ref()
        .map_or_else(|| Ok(Tls::default()), |path: &PathBuf| Tls::read(path))?;
    let (acceptor, connector) = (tls.acceptor()?, tls.connector()?);
    let scheme = |is_tls| if is_tls { "https" } else { "http" };
    let node = Arc::new(Node {
        id: InstanceId {
            node_id: uuid::Uuid::new_v4().to_string(),
            function_id: uuid::Uuid::new_v4().to_string(),
        },
    });
    let listener = listen(&args.host_endpoint).await?;
    let endpoint = format!("{}://{}/", scheme(acceptor.is_some()), args.host_endpoint);
    let served = wire::serve(listener, acceptor, HostService(Arc::clone(&node)));
    let serving = tokio::spawn(served);
    let url = format!(
        "{}://{}",
        scheme(connector.is_some()),
        args.function_endpoint
    );
    let failed = |call| {
        move |status| Error::Function {
            call,
            status: Box::new(status),
        }
    };
    let channel = Channel::new(&url, connector.as_ref()).map_err(failed("be reached"))?;
    let function = FunctionClient(channel);
    let boot = BootData {
        guest_api_host_endpoint: endpoint,
        instance_id: Some(node.id.clone()),
    };
    booted(&function, boot).await.map_err(failed("boot"))?;
    let init = FunctionInstanceInit {
        init_payload: args.init_payload,
        serialized_state: args.serialized_state.into(),
    };
    function.init(init).await.map_err(failed("init"))?;
    say("the function runs")?;
    let ended = converse(&function, &node.id).await;
    serving.abort();
    ended
}

/// Boots as a node does: again and again until that succeeds.
async fn booted(function: &FunctionClient, boot: BootData) -> Result<(), Status> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match function.boot(boot.clone()).await {
            Err(_) if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            done => return done,
        }
    }
}

async fn listen(endpoint: &str) -> Result<tokio::net::TcpListener, Error> {
    let failed = |source| Error::Listen {
        endpoint: endpoint.to_owned(),
        source,
    };
    let found = tokio::net::lookup_host(endpoint).await.map_err(failed)?;
    let addresses: Vec<SocketAddr> = found.collect();
    tokio::net::TcpListener::bind(&addresses[..])
        .await
        .map_err(failed)
}

/// Does what is typed.
async fn converse(function: &FunctionClient, id: &InstanceId) -> Result<(), Error> {
    let mut lines = typed();
    let mut is_stopped = false;
    let input = |message: &str| InputEventData {
        src: Some(id.clone()),
        msg: message.to_owned().into(),
    };
    while let Some(line) = lines.recv().await {
        match command(&line) {
            Command::Cast(message) => match function.cast(input(message)).await {
                Ok(()) => {}
                Err(status) => complain("cast", &status)?,
            },
            Command::Call(message) => match function.call(input(message)).await {
                Ok(returned) => say(answer(&returned))?,
                Err(status) => complain("call", &status)?,
            },
            Command::Stop => match function.stop().await {
                Ok(()) => {
                    is_stopped = true;
                    say("the function is stopped")?;
                }
                Err(status) => complain("stop", &status)?,
            },
            Command::Quit => break,
            Command::Help => say(HELP)?,
            Command::Nothing => {}
            Command::Unknown(word) => say(format_args!("there is no command {word:?}; try help"))?,
        }
    }
    if !is_stopped {
        match function.stop().await {
            Ok(()) => say("the function is stopped")?,
            Err(status) => complain("stop", &status)?,
        }
    }
    Ok(())
}

/// The lines of stdin, read by a thread that nobody waits for.
fn typed() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            match line {
                Ok(line) => {
                    if sender.blocking_send(line).is_err() {
                        return;
                    }
                }
                Err(error) => return log::warn!("stdin can't be read: {error}"),
            }
        }
    });
    lines
}

fn answer(returned: &CallReturn) -> String {
    match CallRetType::try_from(returned.r#type) {
        Ok(CallRetType::Reply) => format!("reply: {}", text(&returned.msg)),
        Ok(CallRetType::NoReply) => "no reply".to_owned(),
        Ok(CallRetType::Err) => "error".to_owned(),
        Err(_) => format!("an answer that does not exist: {}", returned.r#type),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn complain(call: &str, status: &Status) -> io::Result<()> {
    let code = status.code().description();
    say(format_args!(
        "the function refuses {call:?}: {} ({code})",
        status.message()
    ))
}

/// Prints a line of the result.
fn say(line: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// The node that is played.
struct Node {
    id: InstanceId,
}

impl Node {
    /// Prints what the function does, if it says who it is.
    fn show(&self, originator: Option<&InstanceId>, what: impl Display) -> Result<(), Status> {
        let originator =
            originator.ok_or_else(|| Status::invalid_argument("\"originator\" is missing"))?;
        if *originator != self.id {
            return Err(Status::invalid_argument(format!(
                "there is no instance {:?} of {:?}",
                originator.function_id, originator.node_id
            )));
        }
        say(what).map_err(|error| Status::internal(error.to_string()))
    }
}

fn instance(id: Option<&InstanceId>) -> Result<String, Status> {
    let id = id.ok_or_else(|| Status::invalid_argument("\"dst\" is missing"))?;
    Ok(format!("{}/{}", id.node_id, id.function_id))
}

impl Host for Node {
    async fn cast(&self, request: OutputEventData) -> Result<(), Status> {
        let (alias, message) = (request.alias, text(&request.msg));
        self.show(
            request.originator.as_ref(),
            format_args!("cast to {alias}: {message}"),
        )
    }

    async fn cast_raw(&self, request: OutputEventDataRaw) -> Result<(), Status> {
        let (to, message) = (instance(request.dst.as_ref())?, text(&request.msg));
        self.show(
            request.originator.as_ref(),
            format_args!("cast to {to}: {message}"),
        )
    }

    /// Everybody whom the function may call answers with what they are told.
    async fn call(&self, request: OutputEventData) -> Result<CallReturn, Status> {
        let (alias, message) = (request.alias, text(&request.msg));
        self.show(
            request.originator.as_ref(),
            format_args!("call to {alias}: {message}"),
        )?;
        Ok(CallReturn::new(CallRetType::Reply, request.msg))
    }

    async fn call_raw(&self, request: OutputEventDataRaw) -> Result<CallReturn, Status> {
        let (to, message) = (instance(request.dst.as_ref())?, text(&request.msg));
        self.show(
            request.originator.as_ref(),
            format_args!("call to {to}: {message}"),
        )?;
        Ok(CallReturn::new(CallRetType::Reply, request.msg))
    }

    async fn telemetry_log(&self, request: TelemetryLogEvent) -> Result<(), Status> {
        let level = match TelemetryLogLevel::try_from(request.log_level) {
            Ok(TelemetryLogLevel::Error) => "error",
            Ok(TelemetryLogLevel::Warn) => "warn",
            Ok(TelemetryLogLevel::Info) => "info",
            Ok(TelemetryLogLevel::Debug) => "debug",
            Ok(TelemetryLogLevel::Trace) => "trace",
            Err(_) => {
                let why = format!("there is no log level {}", request.log_level);
                return Err(Status::invalid_argument(why));
            }
        };
        let (target, message) = (request.target, request.msg);
        self.show(
            request.originator.as_ref(),
            format_args!("log {level} {target}: {message}"),
        )
    }

    async fn slf(&self) -> Result<InstanceId, Status> {
        Ok(self.id.clone())
    }

    async fn delayed_cast(&self, request: DelayedEventData) -> Result<(), Status> {
        let metadata = request
            .metadata
            .ok_or_else(|| Status::invalid_argument("the serialized metadata field is missing"))?;
        if (metadata.trace_id.len(), metadata.span_id.len()) != (16, 8) {
            return Err(Status::invalid_argument("Mismatched length"));
        }
        let (alias, delay, message) = (request.alias, request.delay, text(&request.msg));
        self.show(
            request.originator.as_ref(),
            format_args!("cast to {alias} in {delay} ms: {message}"),
        )
    }

    async fn sync(&self, request: SyncData) -> Result<(), Status> {
        let state = text(&request.serialized_state);
        self.show(request.originator.as_ref(), format_args!("state: {state}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands() {
        assert_eq!(command("cast a b\n"), Command::Cast("a b"));
        assert_eq!(command("call"), Command::Call(""));
        assert_eq!(command("call  x"), Command::Call(" x"));
        assert_eq!(command("stop"), Command::Stop);
        assert_eq!(command("quit\r\n"), Command::Quit);
        assert_eq!(command("help"), Command::Help);
        assert_eq!(command(""), Command::Nothing);
        assert_eq!(command("Cast a"), Command::Unknown("Cast"));
    }
}
