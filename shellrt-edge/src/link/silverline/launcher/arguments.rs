//! What a request says about a run beside the program: `args` in its four shapes, `resources` and
//! `fault_crash`. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{variables, Error, Program};
use crate::link::silverline::files;

/// The period of `resources` where it is not said, in nanoseconds.
const PERIOD: f64 = 10_000_000.0;

/// The longest limit of a run, in seconds: what is longer is a mistake.
const LONGEST: f64 = 10.0 * 366.0 * 86400.0;

/// What was said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arguments {
    /// The program's arguments, without its name.
    pub argv: Vec<String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// Folders below its own that it may use; the empty text is its own.
    pub dirs: Vec<String>,
    /// How long it may run.
    pub limit: Option<Duration>,
    /// Whether it is started again when it fails.
    pub restarts: bool,
    /// How many processors it may use on average.
    pub cpus: Option<f64>,
}

impl Arguments {
    /// Reads them.
    ///
    /// # Errors
    /// [`Error::Member`].
    pub fn read(program: &Program) -> Result<Arguments, Error> {
        let mut arguments = match &program.args {
            Value::Null => Arguments::default(),
            Value::Object(args) => object(args)?,
            other => Arguments {
                argv: words("args", other)?,
                ..Arguments::default()
            },
        };
        // The newest dialect has these beside the arguments.
        if let Some(restarts) = restarts("fault_crash", &program.fault_crash)? {
            arguments.restarts = restarts;
        }
        if let Some(cpus) = cpus("resources", &program.resources)? {
            arguments.cpus = Some(cpus);
        }
        Ok(arguments)
    }
}

fn object(args: &Map<String, Value>) -> Result<Arguments, Error> {
    let member = |name: &str| args.get(name).unwrap_or(&Value::Null);
    // Several runs in one module are what only benchmarks ask for.
    match member("repeat") {
        Value::Null => {}
        repeat if repeat.as_f64() == Some(1.0) => {}
        _ => return Err(wrong("args.repeat", "can only be 1: a module is one run")),
    }
    Ok(Arguments {
        argv: words("args.argv", member("argv"))?,
        env: variables("args.env", member("env"))?,
        dirs: dirs(member("dirs"))?,
        limit: limit(member("limit"))?,
        restarts: restarts("args.fault_crash", member("fault_crash"))?.unwrap_or(false),
        cpus: cpus("args.resources", member("resources"))?,
    })
}

fn wrong(name: &'static str, reason: &str) -> Error {
    Error::Member(name, reason.to_owned())
}

/// A list of words, or one text that is split at its spaces, as upstream does.
fn words(name: &'static str, value: &Value) -> Result<Vec<String>, Error> {
    let words: Option<Vec<String>> = match value {
        Value::Null => Some(Vec::new()),
        Value::String(text) => Some(text.split_whitespace().map(str::to_owned).collect()),
        Value::Array(items) => items.iter().map(word).collect(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    };
    let words = words.ok_or_else(|| wrong(name, "must be a list of words, or text"))?;
    match words.iter().any(|word| word.contains('\0')) {
        true => Err(wrong(name, "must not have a NUL in it")),
        false => Ok(words),
    }
}

fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is_true) => Some(is_true.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Folders below the program's own; everything else on the machine is nobody's to give.
fn dirs(value: &Value) -> Result<Vec<String>, Error> {
    let dirs = match value {
        Value::String(dir) => vec![dir.clone()],
        other => words("args.dirs", other)?,
    };
    let below = dirs.iter().map(|dir| match files::folder_below(dir) {
        Ok(dir) => Ok(dir),
        Err(_) => Err(Error::Member(
            "args.dirs",
            format!("has {dir:?}, which is not below the program's own folder"),
        )),
    });
    below.collect()
}

fn limit(value: &Value) -> Result<Option<Duration>, Error> {
    if value.is_null() {
        return Ok(None);
    }
    let seconds = value.as_f64().filter(|it| *it > 0.0 && *it <= LONGEST);
    match seconds {
        Some(seconds) => Ok(Some(Duration::from_secs_f64(seconds))),
        None => Err(wrong("args.limit", "must be a number of seconds above 0")),
    }
}

fn restarts(name: &'static str, value: &Value) -> Result<Option<bool>, Error> {
    match value {
        Value::Null => Ok(None),
        value if value == "ignore" || value == "" => Ok(Some(false)),
        value if value == "restart" => Ok(Some(true)),
        _ => Err(wrong(name, "must be \"ignore\" or \"restart\"")),
    }
}

/// A share of a processor: so many nanoseconds in each period.
fn cpus(name: &'static str, value: &Value) -> Result<Option<f64>, Error> {
    let resources = match value {
        Value::Null => return Ok(None),
        Value::Object(resources) => resources,
        _ => {
            return Err(wrong(
                name,
                "must be a table with \"period\" and \"runtime\"",
            ))
        }
    };
    let number = |key: &str| match resources.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64().filter(|number| *number > 0.0) {
            Some(number) => Ok(Some(number)),
            None => Err(wrong(name, "must have nanoseconds above 0 in it")),
        },
    };
    let period = number("period")?.unwrap_or(PERIOD);
    match number("runtime")? {
        None => Ok(None),
        Some(runtime) if runtime <= period => Ok(Some(runtime / period)),
        Some(_) => Err(wrong(
            name,
            "has a \"runtime\" that is longer than its \"period\"",
        )),
    }
}
