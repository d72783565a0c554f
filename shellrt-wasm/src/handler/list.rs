//! `list`: names the modules that exist.

use shellrt_api::v0::list::{Request, Response};

use crate::error::Error;
use crate::module::{self, Module};
use crate::Context;

/// Names them.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { details } = request;
    if !details {
        return Ok(Response {
            modules: module::names(&context.store)?,
            details: None,
        });
    }
    let mut all = std::collections::BTreeMap::new();
    for module in Module::all(&context.store)? {
        match module.status() {
            Ok(status) => drop(all.insert(module.name.to_string(), status)),
            // It was removed while we looked.
            Err(_) if !module.dir().exists() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Response {
        modules: all.keys().cloned().collect(),
        details: Some(all),
    })
}
