//! What is served where: the command line and the settings put together. Pure.

use std::collections::BTreeSet;
use std::net::{AddrParseError, IpAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{json, Map, Value};
use shellrt_api::v0::img_pull;

use super::args::Edgeless;
use super::function::Rules;
use crate::order::Spec;
use crate::settings::edgeless::{Function, Settings};
use crate::settings::Daemon;

/// Where a function is served when nothing says it.
const PORT: u16 = 7101;

/// The name of a function when nothing says it.
const NAME: &str = "function";

/// What is served.
#[derive(Debug)]
pub struct Plan {
    /// The functions.
    pub functions: Vec<Served>,
    /// The address that the ports are opened at; nothing for all.
    pub listen: Option<IpAddr>,
    /// What holds for all functions.
    pub rules: Rules,
    /// EDGELESS's file for TLS.
    pub tls: Option<PathBuf>,
    /// What all links share.
    pub daemon: Daemon,
}

/// A function.
#[derive(Debug)]
pub struct Served {
    /// Its name.
    pub name: String,
    /// Its port; 0 for a free one.
    pub port: u16,
    /// Its module; nothing for the sample.
    pub module: Option<Spec>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A name that the settings do not have.
    #[error("there is no function {0:?} in the settings")]
    Unknown(String),
    /// Nobody says where it is served.
    #[error("the function {0:?} has no \"port\", and there are several functions")]
    NoPort(String),
    /// Two functions would be served at one port.
    #[error("two functions are to be served at the port {0}")]
    SamePort(u16),
    /// Two functions have one name.
    #[error("two functions have the name {0:?}")]
    SameName(String),
    /// The address is none.
    #[error("{0:?} is no address to listen at")]
    Listen(String, #[source] AddrParseError),
    /// A time is none.
    #[error("{0} is no time in seconds")]
    Time(String),
    /// Nobody could work.
    #[error("\"max_workers\" must be at least 1")]
    NoWorkers,
    /// The module's config has what the link decides.
    #[error("\"config\" of the function {0:?} can't have {1:?}, which is the link's")]
    Reserved(String, String),
}

/// Puts them together. `here` is the working folder.
///
/// # Errors
/// [`Error`].
pub fn plan(args: &Edgeless, settings: &Settings, here: &Path) -> Result<Plan, Error> {
    let functions = functions(args, settings, here)?;
    let (mut ports, mut names) = (BTreeSet::new(), BTreeSet::new());
    for function in &functions {
        if function.port != 0 && !ports.insert(function.port) {
            return Err(Error::SamePort(function.port));
        }
        if !names.insert(&function.name) {
            return Err(Error::SameName(function.name.clone()));
        }
    }
    let listen = args.listen.as_ref().or(settings.listen.as_ref());
    let listen = listen.map(|text| {
        let address = text.trim_start_matches('[').trim_end_matches(']').parse();
        address.map_err(|error| Error::Listen(text.clone(), error))
    });
    let max_workers = args.max_workers.or(settings.max_workers).unwrap_or(10);
    if max_workers == 0 {
        return Err(Error::NoWorkers);
    }
    let call_timeout = args.call_timeout.or(settings.call_timeout_sec);
    let stop_timeout = args.stop_timeout.or(settings.stop_timeout_sec);
    let call_timeout = time(call_timeout.unwrap_or(0.0))?;
    let mut daemon = settings.edge.clone();
    if args.state_dir.is_some() {
        daemon.state_dir.clone_from(&args.state_dir);
    }
    Ok(Plan {
        functions,
        listen: listen.transpose()?,
        rules: Rules {
            max_workers,
            call_timeout: (!call_timeout.is_zero()).then_some(call_timeout),
            grace: time(stop_timeout.unwrap_or(5.0))?,
            binary: args.binary.or(settings.binary).unwrap_or_default(),
        },
        tls: args.tls_config.clone().or(settings.tls_config.clone()),
        daemon,
    })
}

fn functions(args: &Edgeless, settings: &Settings, here: &Path) -> Result<Vec<Served>, Error> {
    let typed = Function {
        module: args.module.clone(),
        plugin: args.plugin.clone(),
        command: args.command.clone(),
        ..Function::default()
    };
    let served = |name: &str, port: u16, function: &Function| {
        Ok(Served {
            name: name.to_owned(),
            port,
            module: spec(name, function, here)?,
        })
    };
    if !args.functions.is_empty() {
        let named = args.functions.iter().map(|named| {
            let function = match settings.functions.get(&named.name) {
                Some(function) => function,
                None if settings.functions.is_empty() || args.module.is_some() => &typed,
                None => return Err(Error::Unknown(named.name.clone())),
            };
            served(&named.name, named.port, function)
        });
        return named.collect();
    }
    if args.module.is_some() || settings.functions.is_empty() {
        return Ok(vec![served(NAME, args.port.unwrap_or(PORT), &typed)?]);
    }
    let is_single = settings.functions.len() == 1;
    let all = settings.functions.iter().map(|(name, function)| {
        let typed = args.port.filter(|_| is_single);
        let port = typed.or(function.port).or(is_single.then_some(PORT));
        let port = port.ok_or_else(|| Error::NoPort(name.clone()))?;
        served(name, port, function)
    });
    all.collect()
}

/// How the plugin runs the module of a function.
fn spec(name: &str, function: &Function, here: &Path) -> Result<Option<Spec>, Error> {
    let Some(module) = &function.module else {
        return Ok(None);
    };
    let plugin = function.plugin.as_deref().unwrap_or("wasm");
    // As a shell would mean it.
    let image = match module.starts_with("./") || module.starts_with("../") {
        true => format!("file:{}", here.join(module).display()),
        false if module.starts_with('/') => format!("file:{module}"),
        false => module.clone(),
    };
    let mut config = Map::new();
    config.insert("image".to_owned(), json!(image));
    if !function.command.is_empty() {
        config.insert("command".to_owned(), json!(function.command));
    }
    // It speaks lines over both, and only stderr is for its log.
    config.insert("stdin".to_owned(), Value::Bool(true));
    config.insert("log".to_owned(), json!({"streams": ["stderr"]}));
    for (key, value) in &function.config {
        if config.contains_key(key) || key == "labels" || key == "restart" {
            return Err(Error::Reserved(name.to_owned(), key.clone()));
        }
        config.insert(key.clone(), value.clone());
    }
    Ok(Some(Spec {
        plugin: plugin.to_owned(),
        config_type: function
            .config_type
            .clone()
            .unwrap_or_else(|| plugin.to_owned()),
        config,
        env: function.env.clone(),
        image: img_pull::Request {
            image,
            policy: img_pull::Policy::Missing,
            ..img_pull::Request::default()
        },
        remove_image: false,
    }))
}

fn time(seconds: f64) -> Result<Duration, Error> {
    Duration::try_from_secs_f64(seconds).map_err(|_| Error::Time(seconds.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::args::NamedPort;
    use super::*;

    fn settings(yaml: &str) -> Settings {
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn planned(args: &Edgeless, yaml: &str) -> Result<Plan, Error> {
        plan(args, &settings(yaml), Path::new("/here"))
    }

    fn names(plan: &Plan) -> Vec<(&str, u16, bool)> {
        let functions = plan.functions.iter();
        let names = functions.map(|it| (it.name.as_str(), it.port, it.module.is_some()));
        names.collect()
    }

    fn named(list: &[(&str, u16)]) -> Vec<NamedPort> {
        let named = list.iter().map(|(name, port)| NamedPort {
            name: (*name).to_owned(),
            port: *port,
        });
        named.collect()
    }

    const TWO: &str = "functions:\n  a: {port: 1, module: x}\n  b: {port: 2}\nmax_workers: 3\n";

    #[test]
    fn without_anything_it_is_the_sample() {
        let plan = planned(&Edgeless::default(), "{}").unwrap();
        assert_eq!(names(&plan), [("function", 7101, false)]);
        assert_eq!(plan.rules.max_workers, 10);
        assert_eq!(plan.rules.call_timeout, None);
        assert_eq!(plan.rules.grace, Duration::from_secs(5));
        assert_eq!(plan.listen, None);
    }

    #[test]
    fn the_command_line_counts_more() {
        let plan = planned(&Edgeless::default(), TWO).unwrap();
        assert_eq!(names(&plan), [("a", 1, true), ("b", 2, false)]);
        assert_eq!(plan.rules.max_workers, 3);
        let args = Edgeless {
            functions: named(&[("b", 9), ("a", 8)]),
            max_workers: Some(4),
            listen: Some("[::1]".to_owned()),
            ..Edgeless::default()
        };
        let plan = planned(&args, TWO).unwrap();
        assert_eq!(names(&plan), [("b", 9, false), ("a", 8, true)]);
        assert_eq!(plan.rules.max_workers, 4);
        assert_eq!(plan.listen, Some(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])));
        let args = Edgeless {
            functions: named(&[("x", 0), ("y", 0)]),
            module: Some("m".to_owned()),
            ..Edgeless::default()
        };
        let plan = planned(&args, "{}").unwrap();
        assert_eq!(names(&plan), [("x", 0, true), ("y", 0, true)]);
    }

    #[test]
    fn a_module_is_run_so_that_it_can_be_talked_to() {
        let args = Edgeless {
            module: Some("./f.wasm".to_owned()),
            command: vec!["a".to_owned()],
            ..Edgeless::default()
        };
        let plan = planned(&args, "{}").unwrap();
        let spec = plan.functions[0].module.as_ref().unwrap();
        assert_eq!(
            Value::Object(spec.config.clone()),
            json!({
                "image": "file:/here/./f.wasm", "command": ["a"], "stdin": true,
                "log": {"streams": ["stderr"]},
            })
        );
        assert_eq!(
            (spec.plugin.as_str(), spec.config_type.as_str()),
            ("wasm", "wasm")
        );
        assert_eq!(spec.image.image, "file:/here/./f.wasm");
    }

    #[test]
    fn what_can_not_be_is_said() {
        let refused = |args: &Edgeless, yaml: &str| planned(args, yaml).unwrap_err();
        let none = Edgeless::default();
        let functions = |list| Edgeless {
            functions: named(list),
            ..Edgeless::default()
        };
        assert_eq!(
            refused(&functions(&[("c", 1)]), TWO),
            Error::Unknown("c".to_owned())
        );
        assert_eq!(
            refused(&functions(&[("a", 1), ("b", 1)]), TWO),
            Error::SamePort(1)
        );
        assert_eq!(
            refused(&functions(&[("a", 1), ("a", 2)]), TWO),
            Error::SameName("a".to_owned())
        );
        assert_eq!(
            refused(&none, "functions: {a: {}, b: {port: 1}}"),
            Error::NoPort("a".to_owned())
        );
        assert_eq!(refused(&none, "max_workers: 0"), Error::NoWorkers);
        assert!(matches!(
            refused(&none, "call_timeout_sec: -1"),
            Error::Time(_)
        ));
        assert!(matches!(
            refused(&none, "listen: nowhere"),
            Error::Listen(..)
        ));
        for key in ["image", "stdin", "log", "labels", "restart"] {
            let yaml = format!("functions: {{a: {{module: x, config: {{{key}: 1}}}}}}");
            let error = Error::Reserved("a".to_owned(), key.to_owned());
            assert_eq!(refused(&none, &yaml), error);
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        let settings = settings("{x: 1, functions: {a: {y: 1}}}");
        assert_eq!(settings.unknown(), ["x", "functions.a.y"]);
    }
}
