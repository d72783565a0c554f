//! `sys_info`: what machine this is.

use shellrt_api::v0::sys_info::{Request, Response};
use shellrt_plugin::machine;

use crate::engine;
use crate::error::Error;
use crate::Context;

/// Looks.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request {} = request;
    let mut answer = machine::sys_info();
    answer.runtime = "wasmtime".to_owned();
    answer.runtime_version = engine::VERSION.to_owned();
    let root = context.store.root().display().to_string();
    answer.more.insert("root".to_owned(), root.into());
    Ok(answer)
}
