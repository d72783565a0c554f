//! `version`: what this plugin is.

use shellrt_api::v0::config::wasm;
use shellrt_api::v0::version::{Request, Response};

use crate::engine;
use crate::error::Error;
use crate::Context;

/// Says what it is.
pub fn handle(_context: &Context, request: Request) -> Result<Response, Error> {
    let Request {} = request;
    let plugin = env!("CARGO_PKG_NAME");
    let version = env!("CARGO_PKG_VERSION");
    Ok(Response {
        info: format!("{plugin} {version} (wasmtime {})", engine::VERSION),
        plugin: Some(plugin.to_owned()),
        plugin_version: Some(version.to_owned()),
        runtime: Some("wasmtime".to_owned()),
        runtime_version: Some(engine::VERSION.to_owned()),
        messages: Some(crate::served().into_iter().map(str::to_owned).collect()),
        config_types: Some(vec![wasm::CONFIG_TYPE.to_owned()]),
    })
}
