//! Where the lines go that a runtime and its modules log: the manager's own log, and a file where the
//! manager has a directory for logs.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use jiff::Timestamp;

use crate::link::silverline::slsocket::Log;

/// The log of one runtime.
#[derive(Debug)]
pub struct RuntimeLog {
    name: String,
    file: Option<File>,
}

impl RuntimeLog {
    /// The log of the runtime `name`; lines are also added to the end of `file`.
    ///
    /// # Errors
    /// Where the file can't be opened.
    pub fn open(name: &str, file: Option<&Path>) -> std::io::Result<RuntimeLog> {
        let file = match file {
            Some(path) => Some(File::options().create(true).append(true).open(path)?),
            None => None,
        };
        let name = name.to_owned();
        Ok(RuntimeLog { name, file })
    }

    /// Writes a line of the runtime, or of one of its modules.
    pub fn write(&mut self, module: Option<&str>, line: &Log) {
        let (name, level, text) = (&self.name, line.importance(), line.text.trim_end());
        let whose = match module {
            Some(module) => format!("{name}/{module}"),
            None => name.clone(),
        };
        log::log!(level, "{whose}: {text}");
        if let Some(file) = &mut self.file {
            let now = Timestamp::now();
            if let Err(error) = writeln!(file, "{now:.3} {level} {whose}: {text}") {
                log::warn!("the log of runtime {name:?} can't be written any more: {error}");
                self.file = None;
            }
        }
    }
}
