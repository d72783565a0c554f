//! `img_remove`.

use shellrt_api::v0::img_remove::{Request, Response};

use crate::error::Error;
use crate::Context;

/// Nothing yet.
pub fn handle(_context: &Context, _request: Request) -> Result<Response, Error> {
    Err(Error::HungUp)
}
