//! `version`: what this plugin is.

use shellrt_api::v0::config::wasm;
use shellrt_api::v0::version::{Request, Response};
use shellrt_api::v0::{exec, Message, Request as AnyRequest};

use crate::engine;
use crate::error::Error;
use crate::Context;

/// Says what it is.
pub fn handle(_context: &Context, request: Request) -> Result<Response, Error> {
    let Request {} = request;
    let plugin = env!("CARGO_PKG_NAME");
    let version = env!("CARGO_PKG_VERSION");
    let messages = AnyRequest::TYPES
        .into_iter()
        .filter(|&message| message != exec::Request::TYPE);
    Ok(Response {
        info: format!("{plugin} {version} (wasmtime {})", engine::VERSION),
        plugin: Some(plugin.to_owned()),
        plugin_version: Some(version.to_owned()),
        runtime: Some("wasmtime".to_owned()),
        runtime_version: Some(engine::VERSION.to_owned()),
        messages: Some(messages.map(str::to_owned).collect()),
        config_types: Some(vec![wasm::CONFIG_TYPE.to_owned()]),
    })
}
