//! `create`: checks everything that can be checked, then makes the module.

use std::collections::BTreeMap;

use serde_json::Value;
use shellrt_api::v0::config::{self, containerd};
use shellrt_api::v0::create::{Request, Response};
use shellrt_plugin::create::{check_env, check_log, unknown_config_type};
use shellrt_plugin::names::{self, ModuleName};

use crate::error::Error;
use crate::image;
use crate::module::create::{create, Wanted};
use crate::Context;

/// The config types of this plugin.
pub const CONFIG_TYPES: [&str; 1] = [containerd::CONFIG_TYPE];

/// Makes a module.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request {
        name,
        env,
        config_type,
        config,
    } = request;
    let name = names::check(&name)?;
    match config_type.as_str() {
        containerd::CONFIG_TYPE => from_containerd(context, &name, env, &config),
        other => Err(unknown_config_type(other, &CONFIG_TYPES).into()),
    }
}

fn from_containerd(
    context: &Context,
    name: &ModuleName,
    env: BTreeMap<String, String>,
    config: &Value,
) -> Result<Response, Error> {
    let config: containerd::Config = config::decode(config)?;
    check_env(&env)?;
    let config_type = containerd::CONFIG_TYPE;
    let wanted = Wanted {
        config_type,
        env,
        config,
    };
    check(&wanted.config)?;
    create(context, name, &wanted)?;
    Ok(Response::default())
}

/// What is wrong with a config on any machine, and with this plugin.
fn check(config: &containerd::Config) -> Result<(), Error> {
    config.check()?;
    check_log(&config.log)?;
    image::canonical(&config.image)?;
    Ok(())
}
