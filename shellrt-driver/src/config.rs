//! What `create` sends: the config from flags, from a file, or from both.

mod containerd;
mod wasm;

use std::io::Read;
use std::path::Path;
use std::{fs, io};

use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::{json, Value};
use shellrt_api::v0::config::{self, Log};
use shellrt_api::v0::create;

use crate::args::{ContainerdFlags, Create, SharedFlags, WasmFlags};
use crate::environment;
use crate::failure::Failure;

/// The request that `arguments` describe.
///
/// # Errors
/// A usage failure for a config that is wrong: nothing is sent then.
pub fn request(arguments: &Create) -> Result<create::Request, Failure> {
    let Create {
        config_type,
        name,
        image,
        env,
        env_file,
        config: file,
        shared,
        wasm,
        containerd,
    } = arguments;
    let env = environment::collect(env_file, env)?;
    let file = file.as_deref().map(read).transpose()?;
    let image = image.as_deref();
    let (no_wasm, no_containerd) = (
        *wasm == WasmFlags::default(),
        *containerd == ContainerdFlags::default(),
    );
    let config = match config_type.as_str() {
        config::wasm::CONFIG_TYPE if no_containerd => wasm::build(file, image, shared, wasm)?,
        config::wasm::CONFIG_TYPE => return Err(misplaced("containerd", config_type)),
        config::containerd::CONFIG_TYPE if no_wasm => {
            containerd::build(file, image, shared, containerd)?
        }
        config::containerd::CONFIG_TYPE => return Err(misplaced("wasm", config_type)),
        other => {
            let no_flags = no_wasm && no_containerd && *shared == SharedFlags::default();
            pass_through(other, file, image, no_flags)?
        }
    };
    Ok(create::Request {
        name: name.clone(),
        env,
        config_type: config_type.clone(),
        config,
    })
}

fn misplaced(options: &str, config_type: &str) -> Failure {
    Failure::usage(format!(
        "the options for a {options:?} config have no place in a {config_type:?} config; \"create \
         --help\" lists which are for which"
    ))
}

/// The config of a known type that `file` holds, with `image` in it if that is given.
fn begin<T: DeserializeOwned>(file: Option<Value>, image: Option<&str>) -> Result<T, Failure> {
    let mut file = file.unwrap_or_else(|| json!({}));
    match (&mut file, image) {
        (Value::Object(fields), Some(image)) => {
            fields.insert("image".to_owned(), image.into());
        }
        (Value::Object(fields), None) if !fields.contains_key("image") => {
            return Err(Failure::usage(
                "the image is missing; write it after the name, or as \"image\" in --config",
            ));
        }
        // Whatever else is wrong with it, decoding says it.
        _ => {}
    }
    config::decode(&file).map_err(|error| Failure::usage(error.message))
}

fn finish(config: impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(config)
        .map_err(|error| Failure::usage(format!("the config can't be written as JSON: {error}")))
}

/// The log of any config, changed by what was given.
fn set_log(log: &mut Log, flags: &SharedFlags) {
    log.max_size = flags.log_max_size.unwrap_or(log.max_size);
    log.max_files = flags.log_max_files.unwrap_or(log.max_files);
    if !flags.log_streams.is_empty() {
        log.streams = flags.log_streams.iter().copied().map(Into::into).collect();
    }
}

/// A list that was given replaces the file's.
fn replace<T: Clone>(list: &mut Vec<T>, given: &[T]) {
    if !given.is_empty() {
        *list = given.to_vec();
    }
}

/// A config type that only the plugin knows: the file as it is, or the image alone; for docker's
/// options both.
fn pass_through(
    config_type: &str,
    file: Option<Value>,
    image: Option<&str>,
    no_flags: bool,
) -> Result<Value, Failure> {
    if !no_flags {
        return Err(Failure::usage(format!(
            "the options for other configs and the command after \"--\" have no place in a \
             {config_type:?} config; write them into the file of --config"
        )));
    }
    match (file, image) {
        (Some(config), None) => Ok(config),
        (None, Some(image)) => Ok(json!({ "image": image })),
        // Manifests keep the image beside docker's options.
        (Some(Value::Object(mut body)), Some(image))
            if config_type == config::docker::CONFIG_TYPE =>
        {
            body.retain(|key, _| !key.eq_ignore_ascii_case("Image"));
            body.insert("Image".to_owned(), image.into());
            Ok(Value::Object(body))
        }
        (Some(_), Some(_)) => Err(Failure::usage(format!(
            "a {config_type:?} config is sent as it stands in --config, so the image belongs there \
             and not after the name"
        ))),
        (None, None) => Err(Failure::usage(
            "the image is missing; write it after the name, or give a whole config with --config",
        )),
    }
}

fn read(path: &Path) -> Result<Value, Failure> {
    let mut text = Vec::new();
    let (place, read) = if path == Path::new("-") {
        let read = io::stdin().lock().read_to_end(&mut text);
        ("the config on stdin".to_owned(), read)
    } else {
        let read = fs::File::open(path).and_then(|mut file| file.read_to_end(&mut text));
        (format!("the config {path:?}"), read)
    };
    read.map_err(|error| Failure::usage(format!("{place} can't be read: {error}")))?;
    serde_json::from_slice(&text)
        .map_err(|error| Failure::usage(format!("{place} is not JSON: {error}")))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
