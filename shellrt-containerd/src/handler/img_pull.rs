//! `img_pull`.

use shellrt_api::v0::img_pull::Request;
use shellrt_api::v0::plugin::Reply;

use crate::error::Error;
use crate::Context;

/// Nothing yet.
pub fn handle(_context: &Context, _request: Request) -> Result<Reply, Error> {
    Err(Error::HungUp)
}
