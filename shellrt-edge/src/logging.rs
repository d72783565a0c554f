//! The daemon's log, on stderr: text where people read it, else one JSON object a line.
//!
//! What the libraries log is never shown below warnings: some of them print whole messages there, and those
//! have passwords in them.

use std::io::{IsTerminal, Write};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use log::{Level, LevelFilter, Record};
use serde::Serialize;

/// How much is logged, by the names that the runtimes of this world use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLevel(LevelFilter);

/// Whether the command line or the environment has said how much is logged.
static IS_ASKED: AtomicBool = AtomicBool::new(false);

/// It is none of the levels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no log level; take critical, error, warning, info, debug or trace")]
pub struct BadLevel(String);

impl FromStr for LogLevel {
    type Err = BadLevel;

    /// In either case.
    fn from_str(text: &str) -> Result<Self, BadLevel> {
        let level = match text.to_ascii_lowercase().as_str() {
            // There is nothing above an error here.
            "critical" | "fatal" | "error" => LevelFilter::Error,
            "warning" | "warn" => LevelFilter::Warn,
            "info" => LevelFilter::Info,
            "debug" => LevelFilter::Debug,
            "trace" => LevelFilter::Trace,
            _ => return Err(BadLevel(text.to_owned())),
        };
        Ok(LogLevel(level))
    }
}

/// Begins to log. `level` is what the command line or the environment asks for; without it `info` holds
/// until [`settle`] says otherwise.
pub fn start(level: Option<LogLevel>) {
    let is_for_people = std::io::stderr().is_terminal();
    let mut builder = env_logger::Builder::new();
    builder
        .filter_level(LevelFilter::Warn)
        // The library and the program.
        .filter_module("shellrt_edge", LevelFilter::Trace)
        .format(move |out, record| {
            let line = match is_for_people {
                true => text(record, Timestamp::now()),
                false => json(record, Timestamp::now()),
            };
            writeln!(out, "{line}")
        });
    builder.init();
    log::set_max_level(level.map_or(LevelFilter::Info, |level| level.0));
    IS_ASKED.store(level.is_some(), Ordering::Relaxed);
    std::panic::set_hook(Box::new(|panic| log::error!("{panic}")));
}

/// What the settings say: from now on `level` holds, unless [`start`] was asked for another.
pub fn settle(level: LogLevel) {
    if !IS_ASKED.load(Ordering::Relaxed) {
        log::set_max_level(level.0);
    }
}

fn text(record: &Record, time: Timestamp) -> String {
    // Several lines would look like several records.
    let message = record.args().to_string().replace('\n', "\n    ");
    format!("{time:.3} {:5} {message}", record.level())
}

fn json(record: &Record, time: Timestamp) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        time: String,
        level: &'a str,
        target: &'a str,
        message: String,
    }
    let line = Line {
        time: format!("{time:.6}"),
        level: match record.level() {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        },
        target: record.target(),
        message: record.args().to_string(),
    };
    // Text alone always becomes JSON.
    serde_json::to_string(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_in_either_case() {
        for (text, level) in [
            ("critical", LevelFilter::Error),
            ("ERROR", LevelFilter::Error),
            ("Warning", LevelFilter::Warn),
            ("warn", LevelFilter::Warn),
            ("INFO", LevelFilter::Info),
            ("debug", LevelFilter::Debug),
        ] {
            assert_eq!(text.parse(), Ok(LogLevel(level)), "{text}");
        }
        assert!("".parse::<LogLevel>().is_err());
        assert!("loud".parse::<LogLevel>().is_err());
    }

    #[test]
    fn a_record_is_one_line_of_json() {
        let time: Timestamp = "2026-11-21T10:36:39.5Z".parse().unwrap();
        let line = json(
            &Record::builder()
                .level(Level::Warn)
                .target("shellrt_edge::daemon")
                .args(format_args!("a \"b\"\nc"))
                .build(),
            time,
        );
        assert_eq!(
            line,
            r#"{"time":"2026-11-21T10:36:39.500000Z","level":"warning","target":"shellrt_edge::daemon","message":"a \"b\"\nc"}"#
        );
    }

    #[test]
    fn a_record_is_one_paragraph_of_text() {
        let time: Timestamp = "2026-11-21T10:36:39.5Z".parse().unwrap();
        let line = text(
            &Record::builder()
                .level(Level::Warn)
                .args(format_args!("a\nb"))
                .build(),
            time,
        );
        assert_eq!(line, "2026-11-21T10:36:39.500Z WARN  a\n    b");
    }
}
