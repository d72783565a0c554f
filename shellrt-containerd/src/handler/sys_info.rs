//! `sys_info`: what machine this is, and what its containerd has.

use containerd_client::services::v1::PluginsRequest;
use shellrt_api::v0::sys_info::{Request, Response};
use shellrt_plugin::machine;

use super::version;
use crate::error::Error;
use crate::image;
use crate::Context;

/// Looks.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request {} = request;
    let containerd = context.containerd()?;
    let mut answer = machine::sys_info();
    answer.runtime = "containerd".to_owned();
    answer.runtime_version = version::daemon(context)?;
    let request = PluginsRequest::default();
    let plugins = containerd.call(
        "list its plugins",
        containerd.introspection().plugins(request),
    )?;
    let snapshotters: Vec<String> = plugins
        .plugins
        .into_iter()
        .filter(|plugin| {
            plugin.r#type == "io.containerd.snapshotter.v1" && plugin.init_err.is_none()
        })
        .map(|plugin| plugin.id)
        .collect();
    let root = context.store.root().display().to_string();
    let more = [
        ("address", containerd.address().display().to_string().into()),
        ("namespace", containerd.namespace().into()),
        ("root", root.into()),
        ("snapshotter", image::snapshotter(containerd)?.into()),
        ("snapshotters", snapshotters.into()),
    ];
    answer
        .more
        .extend(more.map(|(name, value)| (name.to_owned(), value)));
    Ok(answer)
}
