//! `list`: names the modules that exist. With details it asks containerd twice, whatever their number.

use shellrt_api::v0::list::{Request, Response};

use crate::error::Error;
use crate::module;
use crate::Context;

/// Names them.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { details } = request;
    if !details {
        return Ok(Response {
            modules: module::names(context)?,
            details: None,
        });
    }
    let (modules, mut tasks) = module::all_with_tasks(context)?;
    let mut all = std::collections::BTreeMap::new();
    for module in modules {
        let task = tasks.remove(module.name.as_str());
        let now = module.now_with(task)?;
        all.insert(module.name.to_string(), module.describe(now));
    }
    Ok(Response {
        modules: all.keys().cloned().collect(),
        details: Some(all),
    })
}
