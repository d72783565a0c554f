//! `list`: names the modules that exist. With details it asks containerd for all tasks at once.

use shellrt_api::v0::list::{Request, Response};

use crate::cri;
use crate::error::Error;
use crate::module;
use crate::Context;

/// Names them.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { details } = request;
    if !details {
        let mut modules = module::names(context)?;
        modules.extend(cri::names(&context.store)?);
        modules.sort_unstable();
        return Ok(Response {
            modules,
            details: None,
        });
    }
    let mut all = std::collections::BTreeMap::new();
    for (module, task) in module::all_with_tasks(context)? {
        let now = module.now_with(task)?;
        all.insert(module.name.to_string(), module.describe(now));
    }
    for module in cri::all(context)? {
        // One of which nothing can be found out must not hide the others.
        let status = module
            .status()
            .unwrap_or_else(|error| module.unknown(&error));
        all.insert(module.name.to_string(), status);
    }
    Ok(Response {
        modules: all.keys().cloned().collect(),
        details: Some(all),
    })
}
