//! One call: the payload to the plugin, the answer back, and what the common options make of both.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use serde_json::{json, Map, Value};
use shellrt_api::v0::client::{self, Input, Plugin, Stream};
use shellrt_api::v0::{self, config, Secret};

use crate::args::{self, Form, Message, Options};
use crate::failure::Failure;
use crate::find;
use crate::output::{self, problem};
use crate::redact::Redactor;

/// How much longer than its deadline a plugin may take to undo what it began and to say so.
const GRACE: Duration = Duration::from_secs(2);

/// An answer's whole object, and what follows it.
type Answer = (Map<String, Value>, Stream);

/// How this run of the driver calls its plugin.
pub struct Call {
    typed: OsString,
    deadline: Option<Duration>,
    form: Form,
    is_terminal: bool,
    is_stream: bool,
    verbose: bool,
    dry_run: bool,
    redactor: Redactor,
    began: Instant,
}

impl Call {
    /// `typed` is the plugin as the user typed it; it is looked for when it is needed.
    pub fn new(
        options: &Options,
        timeout: Option<config::Duration>,
        typed: OsString,
        message: &Message,
    ) -> Self {
        let Options {
            output,
            verbose,
            dry_run,
        } = *options;
        Call {
            typed,
            deadline: timeout.map(|timeout| timeout.0),
            form: output,
            is_terminal: io::stdout().is_terminal(),
            is_stream: args::is_stream(message),
            verbose,
            dry_run,
            redactor: Redactor::default(),
            began: Instant::now(),
        }
    }

    /// Never shows `secrets` from now on.
    pub fn hide(&mut self, secrets: impl IntoIterator<Item = Secret>) {
        self.redactor = Redactor::new(secrets);
    }

    /// Asks and prints the answer: the whole object as JSON, or what `text` makes of it. `None`: it
    /// was a dry run.
    pub fn ask<M: v0::Message>(
        &self,
        request: &M,
        text: impl FnOnce(&M::Response) -> String,
    ) -> Result<Option<M::Response>, Failure> {
        let Some((object, _)) = self.exchange(request)? else {
            return Ok(None);
        };
        let response: M::Response = typed(&object)?;
        if self.is_json() {
            self.print_object(&object)?;
        } else {
            output::write(text(&response).as_bytes())?;
        }
        Ok(Some(response))
    }

    /// Asks for a stream. `None`: it was a dry run.
    pub fn open<M: v0::Message>(&self, request: &M) -> Result<Option<Stream>, Failure> {
        let Some((object, stream)) = self.exchange(request)? else {
            return Ok(None);
        };
        if !stream.is_open() {
            return Err(Failure::malformed("no stream follows it", &object));
        }
        Ok(Some(stream))
    }

    /// Asks for a stream, with an input for the bytes that follow the request. `None`: it was a dry
    /// run.
    pub fn open_with_input(
        &self,
        request: &v0::attach::Request,
    ) -> Result<Option<(Input, Stream)>, Failure> {
        if self.payload(request)?.is_none() {
            return Ok(None);
        }
        let (_, input, stream) = self.plugin()?.open_with_input(request)?;
        if !stream.is_open() {
            return Err(Failure::malformed("no stream follows it", &Map::new()));
        }
        Ok(Some((input, stream)))
    }

    /// Sends `request` and returns the answer as it came. `None`: it was a dry run.
    pub fn exchange<M: v0::Message>(&self, request: &M) -> Result<Option<Answer>, Failure> {
        let Some(payload) = self.payload(request)? else {
            return Ok(None);
        };
        let answer = self.plugin()?.exchange(&payload);
        if self.verbose {
            match &answer {
                Ok((object, _)) => output::note(&format!("< {}", self.redactor.object(object))),
                Err(client::Error::Plugin(error)) => {
                    output::note(&format!("< {}", self.redactor.object(&error_object(error))));
                }
                // What is no answer is printed as a failure.
                Err(_) => {}
            }
        }
        Ok(Some(answer?))
    }

    /// The payload of `request`, shown where that was asked for. `None`: it was a dry run.
    fn payload<M: v0::Message>(&self, request: &M) -> Result<Option<Vec<u8>>, Failure> {
        // The program's name is no part of the payload.
        let mut payload = self
            .with_deadline(Plugin::new(&self.typed))
            .payload(request)?;
        if self.verbose {
            output::note(&format!("> {}", self.redactor.payload(&payload)));
        }
        if self.dry_run {
            payload.push(b'\n');
            output::write(&payload)?;
            return Ok(None);
        }
        Ok(Some(payload))
    }

    fn plugin(&self) -> Result<Plugin, Failure> {
        let mut plugin = self.with_deadline(Plugin::new(find::find(&self.typed)?));
        if std::env::var_os("RUST_LOG").is_some() {
            // Whoever asks for a log wants to see it; plugins write no credentials into theirs.
            plugin = plugin.pass_stderr();
        }
        Ok(match self.limit() {
            Some(limit) => plugin.timeout(limit),
            None => plugin,
        })
    }

    fn with_deadline(&self, plugin: Plugin) -> Plugin {
        match self.deadline {
            Some(deadline) => plugin.deadline(deadline),
            None => plugin,
        }
    }

    /// After how long the plugin is killed.
    pub fn limit(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_add(GRACE))
    }

    /// What follows the end of a stream: a plugin that was killed for its time ends one too.
    pub fn check_time(&self) -> Result<(), Failure> {
        match self.limit() {
            Some(after) if self.began.elapsed() >= after => {
                Err(client::Error::TimedOut { after }.into())
            }
            _ => Ok(()),
        }
    }

    /// Prints the answer's whole object in one line.
    pub fn print_object(&self, object: &Map<String, Value>) -> Result<(), Failure> {
        output::write_line(&json!(object).to_string())
    }

    /// Whether answers are printed as JSON.
    pub fn is_json(&self) -> bool {
        match self.form {
            Form::Auto => !self.is_terminal,
            Form::Text => false,
            Form::Json => true,
        }
    }

    /// Whether nothing may be started.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Whether both payloads are shown.
    pub fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// The plugin as the user typed it.
    pub fn typed(&self) -> &OsString {
        &self.typed
    }

    /// What must not be seen.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Prints why there is no answer: for people on stderr, and a plugin's error as JSON on stdout
    /// too.
    ///
    /// Into a pipe a stream's stdout is for the stream alone: `logs > file` must not leave an error
    /// object in the file.
    pub fn report(&self, failure: &Failure) {
        if failure.is_broken_pipe() {
            return;
        }
        let text = problem::text(failure, &self.typed.to_string_lossy());
        output::note(&self.redactor.text(&text));
        let is_wanted = match self.form {
            Form::Auto => !self.is_terminal && !self.is_stream,
            Form::Text => false,
            Form::Json => true,
        };
        if let Failure::Refused {
            error,
            printed: false,
        } = failure
        {
            if is_wanted {
                // It is on stderr already, and the exit status says the rest.
                let _ = self.print_object(&error_object(error));
            }
        }
    }
}

/// The typed form of an answer.
pub fn typed<T: serde::de::DeserializeOwned>(object: &Map<String, Value>) -> Result<T, Failure> {
    serde_json::from_value(Value::Object(object.clone()))
        .map_err(|error| Failure::malformed(error, object))
}

/// An error as it came over the wire.
fn error_object(error: &v0::Error) -> Map<String, Value> {
    let mut object = match serde_json::to_value(error) {
        Ok(Value::Object(object)) => object,
        // An error is a struct with text as its keys.
        _ => Map::new(),
    };
    object.insert("_version".to_owned(), v0::VERSION.into());
    object.insert("_status".to_owned(), "err".into());
    object
}
