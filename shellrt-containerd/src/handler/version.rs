//! `version`: what this plugin is, and which containerd it talks to.

use shellrt_api::v0::version::{Request, Response};

use crate::error::Error;
use crate::Context;

/// Says what it is, also where no containerd answers: who asks may want to know just that.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request {} = request;
    let plugin = env!("CARGO_PKG_NAME");
    let version = env!("CARGO_PKG_VERSION");
    let runtime = match daemon(context) {
        Ok(runtime) => Some(runtime),
        Err(error) => {
            log::warn!("{error}");
            None
        }
    };
    let words = match &runtime {
        Some(runtime) => format!("containerd {runtime}"),
        None => format!("no containerd at {}", context.place.address.display()),
    };
    Ok(Response {
        info: format!("{plugin} {version} ({words})"),
        plugin: Some(plugin.to_owned()),
        plugin_version: Some(version.to_owned()),
        runtime: Some("containerd".to_owned()),
        runtime_version: runtime,
        messages: Some(crate::served().into_iter().map(str::to_owned).collect()),
        config_types: Some(super::create::CONFIG_TYPES.map(str::to_owned).to_vec()),
    })
}

/// The version of the daemon.
///
/// # Errors
/// [`Error::Unreachable`].
pub fn daemon(context: &Context) -> Result<String, Error> {
    let containerd = context.containerd()?;
    let answer = containerd.call("tell its version", containerd.version().version(()))?;
    Ok(answer.version)
}
