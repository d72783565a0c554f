//! What every `create` checks alike.

use crate::log;
use shellrt_api::v0::config::{self, Log};
use shellrt_api::v0::{Code, Error};
use std::collections::BTreeMap;

/// Refuses a `config_type` that is not `known`, the plugin's own.
///
/// # Errors
/// [`Code::INVALID_CONFIG`], with the path of `config_type`.
pub fn check_config_type(config_type: &str, known: &str) -> Result<(), Error> {
    if config_type == known {
        return Ok(());
    }
    Err(unknown_config_type(config_type, &[known]))
}

/// The error for a `config_type` that is none of the `known` ones.
pub fn unknown_config_type(config_type: &str, known: &[&str]) -> Error {
    let known: Vec<String> = known.iter().map(|known| format!("{known:?}")).collect();
    let known = known.join(" or ");
    let message = format!("this plugin has no config_type {config_type:?}; use {known}");
    Error::message(Code::INVALID_CONFIG, message).with("path", "/config_type")
}

/// Refuses an environment that no process can have.
///
/// # Errors
/// [`Code::INVALID_REQUEST`], with the path of `env`.
pub fn check_env(env: &BTreeMap<String, String>) -> Result<(), Error> {
    for (key, value) in env {
        let is_wrong = key.is_empty() || key.contains(['=', '\0']) || value.contains('\0');
        if is_wrong {
            let message = format!(
                "the environment variable {key:?} can't be: a name is not empty and has no \"=\", and \
                 neither name nor value has a NUL"
            );
            return Err(Error::message(Code::INVALID_REQUEST, message).with("path", "/env"));
        }
    }
    Ok(())
}

/// Refuses limits that a log can't keep.
///
/// # Errors
/// [`Code::INVALID_CONFIG`], with the path of the key in the config.
pub fn check_log(log: &Log) -> Result<(), Error> {
    log::Options::from(log).check().map_err(|error| {
        let path = match error {
            log::Error::MaxSize => "/log/max_size",
            log::Error::MaxFiles(_) => "/log/max_files",
            log::Error::Open { .. } | log::Error::Write { .. } => "/log",
        };
        config::invalid(path, &error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shellrt_api::v0::config::Bytes;

    fn path(error: Error) -> (Code, String) {
        let path = error.detail.get("path").unwrap().as_str().unwrap();
        (error.code, path.to_owned())
    }

    #[test]
    fn environments_that_can_not_be() {
        let check = |key: &str, value: &str| {
            check_env(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
        };
        for (key, value) in [("A", "b"), ("A", ""), ("a.b-c", "=\n="), ("ä", "ö")] {
            check(key, value).unwrap();
        }
        for (key, value) in [("", "b"), ("A=", "b"), ("A\0", "b"), ("A", "b\0")] {
            let expected = (Code::INVALID_REQUEST, "/env".to_owned());
            assert_eq!(path(check(key, value).unwrap_err()), expected);
        }
    }

    #[test]
    fn limits_of_a_log_that_can_not_be() {
        check_log(&Log::default()).unwrap();
        let mut log = Log {
            max_size: Bytes(0),
            ..Log::default()
        };
        let expected = (Code::INVALID_CONFIG, "/config/log/max_size".to_owned());
        assert_eq!(path(check_log(&log).unwrap_err()), expected);
        log.max_size = Bytes(1);
        check_log(&log).unwrap();
        let expected = (Code::INVALID_CONFIG, "/config/log/max_files".to_owned());
        for max_files in [0, 501] {
            log.max_files = max_files;
            assert_eq!(path(check_log(&log).unwrap_err()), expected);
        }
    }
}
