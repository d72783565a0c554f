//! `create`: checks everything that can be checked, then makes the module.

use std::collections::BTreeMap;

use serde_json::{json, Value};
use shellrt_api::v0::config::{self, containerd, containerd_cri, docker as body};
use shellrt_api::v0::create::{Request, Response};
use shellrt_plugin::create::{check_env, check_log, unknown_config_type};
use shellrt_plugin::names::{self, ModuleName};

use crate::cri;
use crate::docker::{self, Machine};
use crate::error::Error;
use crate::image;
use crate::module::aside;
use crate::module::create::{create, Wanted};
use crate::Context;

/// The config types of this plugin.
pub const CONFIG_TYPES: [&str; 3] = [
    containerd::CONFIG_TYPE,
    containerd_cri::CONFIG_TYPE,
    body::CONFIG_TYPE,
];

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
        containerd_cri::CONFIG_TYPE => from_containerd_cri(context, &name, env, &config),
        body::CONFIG_TYPE => from_docker(context, &name, env, &config),
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

fn from_containerd_cri(
    context: &Context,
    name: &ModuleName,
    env: BTreeMap<String, String>,
    config: &Value,
) -> Result<Response, Error> {
    let config: containerd_cri::Config = config::decode(config)?;
    check_env(&env)?;
    config.check()?;
    check_log(&config.log)?;
    image::canonical(&config.image)?;
    let wanted = cri::create::Wanted { env, config };
    aside::create_pod(context.containerd()?, name.as_str(), &wanted)?;
    Ok(Response::default())
}

/// As [`from_containerd`], with docker's words around it: errors have the places that the request has,
/// and what has no effect is named.
fn from_docker(
    context: &Context,
    name: &ModuleName,
    env: BTreeMap<String, String>,
    body: &Value,
) -> Result<Response, Error> {
    let (options, unknown) = body::decode(body)?;
    let request = json!({ "config": body });
    let mapped = docker::map(options, unknown, &Machine::read());
    let mut mapped = mapped.map_err(|error| docker::place_as_written(&request, error))?;
    check_env(&env)?;
    let mut wanted = Wanted {
        config_type: body::CONFIG_TYPE,
        env: std::mem::take(&mut mapped.env),
        config: std::mem::take(&mut mapped.config),
    };
    wanted.env.extend(env);
    let created = check(&wanted.config).and_then(|()| create(context, name, &wanted));
    match created {
        Ok(()) => Ok(Response {
            ignored: mapped
                .ignored
                .iter()
                .map(|pointer| docker::as_written(&request, pointer))
                .collect(),
        }),
        Err(Error::Wire(error)) => {
            let error = docker::place_as_written(&request, mapped.as_docker(error));
            Err(Error::Wire(error))
        }
        Err(other) => Err(other),
    }
}

/// What is wrong with a config on any machine, and with this plugin.
fn check(config: &containerd::Config) -> Result<(), Error> {
    config.check()?;
    check_log(&config.log)?;
    image::canonical(&config.image)?;
    Ok(())
}
