//! `create`: checks everything that can be checked, then makes the module.

use shellrt_api::v0::config::{self, containerd, Restart};
use shellrt_api::v0::create::{Request, Response};
use shellrt_plugin::create::{check_config_type, check_env, check_log};
use shellrt_plugin::names;

use crate::error::Error;
use crate::image;
use crate::module;
use crate::Context;

/// Makes a module.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request {
        name,
        env,
        config_type,
        config,
    } = request;
    let name = names::check(&name)?;
    check_config_type(&config_type, containerd::CONFIG_TYPE)?;
    let config: containerd::Config = config::decode(&config)?;
    check_env(&env)?;
    config.check()?;
    check_log(&config.log)?;
    image::canonical(&config.image)?;
    check_offered(&config)?;
    module::create::create(context, &name, env, config)?;
    Ok(Response::default())
}

/// What the config type has and this plugin does not.
fn check_offered(config: &containerd::Config) -> Result<(), Error> {
    if config.restart != Restart::No {
        let reason = "this plugin does not restart modules yet; use \"no\"";
        return Err(config::invalid("/restart", reason).into());
    }
    Ok(())
}
