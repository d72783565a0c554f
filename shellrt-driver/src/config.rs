//! What `create` sends: the config from flags, from a file, or from both.

use std::io::Read;
use std::path::Path;
use std::{fs, io};

use serde_json::{json, Value};
use shellrt_api::v0::config::{self, wasm};
use shellrt_api::v0::create;

use crate::args::{Create, WasmFlags};
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
        wasm: flags,
    } = arguments;
    let env = environment::collect(env_file, env)?;
    let file = file.as_deref().map(read).transpose()?;
    let config = match config_type.as_str() {
        wasm::CONFIG_TYPE => build_wasm(file, image.as_deref(), flags)?,
        other => pass_through(other, file, image.as_deref(), flags)?,
    };
    Ok(create::Request {
        name: name.clone(),
        env,
        config_type: config_type.clone(),
        config,
    })
}

fn build_wasm(
    file: Option<Value>,
    image: Option<&str>,
    flags: &WasmFlags,
) -> Result<Value, Failure> {
    let WasmFlags {
        mounts,
        mem_limit,
        cpus,
        timeout,
        fuel,
        stdin,
        restart,
        connect,
        listen,
        dns,
        labels,
        log_max_size,
        log_max_files,
        log_streams,
        command,
    } = flags;
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
    let mut config: wasm::Config =
        config::decode(&file).map_err(|error| Failure::usage(error.message))?;
    if !command.is_empty() {
        config.command.clone_from(command);
    }
    if !mounts.is_empty() {
        config.mounts.clone_from(mounts);
    }
    if !connect.is_empty() {
        config.network.connect.clone_from(connect);
    }
    if listen.is_some() {
        config.network.listen.clone_from(listen);
    }
    config.network.dns |= dns;
    config.mem_limit = mem_limit.or(config.mem_limit);
    config.cpus = cpus.or(config.cpus);
    config.timeout = timeout.or(config.timeout);
    config.fuel = fuel.or(config.fuel);
    config.stdin |= stdin;
    config.restart = restart.unwrap_or(config.restart);
    config.labels.extend(labels.iter().cloned());
    config.log.max_size = log_max_size.unwrap_or(config.log.max_size);
    config.log.max_files = log_max_files.unwrap_or(config.log.max_files);
    if !log_streams.is_empty() {
        config.log.streams = log_streams.iter().copied().map(Into::into).collect();
    }
    serde_json::to_value(config)
        .map_err(|error| Failure::usage(format!("the config can't be written as JSON: {error}")))
}

/// A config type that only the plugin knows: the file as it is, or the image alone.
fn pass_through(
    config_type: &str,
    file: Option<Value>,
    image: Option<&str>,
    flags: &WasmFlags,
) -> Result<Value, Failure> {
    if *flags != WasmFlags::default() {
        return Err(Failure::usage(format!(
            "the options for a \"wasm\" config and the command after \"--\" have no place in a \
             {config_type:?} config; write them into the file of --config"
        )));
    }
    match (file, image) {
        (Some(config), None) => Ok(config),
        (None, Some(image)) => Ok(json!({ "image": image })),
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
