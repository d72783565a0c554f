//! `status`: how a module is.

use shellrt_api::v0::status::{Request, Response};

use crate::cri;
use crate::error::Error;
use crate::module::Module;
use crate::Context;

/// Looks.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { name } = request;
    match cri::Module::find(context, &name)? {
        Some(module) => module.status(),
        None => {
            let (module, now) = Module::find_with_now(context, &name)?;
            Ok(module.describe(now))
        }
    }
}
