//! `create`: checks everything that can be checked, then makes the module.

use std::collections::BTreeMap;

use shellrt_api::v0::config::{self, wasm};
use shellrt_api::v0::create::{Request, Response};
use shellrt_api::v0::events::Kind;
use shellrt_plugin::create::{check_config_type, check_env, check_log};
use shellrt_plugin::event;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::names::{self, ModuleName};

use crate::cgroup::Cgroup;
use crate::engine::{self, Tuning};
use crate::error::Error;
use crate::image;
use crate::module::{Definition, Module};
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
    check_config_type(&config_type, wasm::CONFIG_TYPE)?;
    let config: wasm::Config = config::decode(&config)?;
    check_env(&env)?;
    image::canonical(&config.image)?;
    check_limits(&name, &config)?;

    let store = &context.store;
    let order = Lock::exclusive(&store.module_lock(&name), context.deadline)?;
    let made = make(context, &name, env, config);
    if made.is_err() && !store.module(&name).exists() {
        // The lock's file was made for nothing; whoever waits for it notices.
        order.remove()?;
    }
    made?;
    store.events().record(name.as_str(), Kind::Created, None);
    Ok(Response::default())
}

/// Makes the module, under its lock.
fn make(
    context: &Context,
    name: &ModuleName,
    env: BTreeMap<String, String>,
    config: wasm::Config,
) -> Result<(), Error> {
    let store = &context.store;
    if Module::find(store, name.as_str()).is_ok() {
        return Err(Error::ModuleExists(name.to_string()));
    }
    let record = image::find(store, &config.image)?
        .ok_or_else(|| Error::ImageNotFound(config.image.clone()))?;
    engine::check_config(record.kind, &config)?;
    let tuning = Tuning {
        fuel: config.fuel.is_some(),
    };
    image::compiled(store, &record.program, tuning, context.deadline)?;

    // From the look at the record to the module that holds its program, nobody may remove it.
    let _images = Lock::exclusive(&store.images_lock(), context.deadline)?;
    let image = image::find(store, &config.image)?
        .ok_or_else(|| Error::ImageNotFound(config.image.clone()))?;
    let definition = Definition {
        created_at: event::now(),
        env,
        config,
        image,
    };
    Module::create(store, name.clone(), definition)?;
    Ok(())
}

/// Limits that this machine or the log can't keep are refused, never dropped.
fn check_limits(name: &names::ModuleName, config: &wasm::Config) -> Result<(), Error> {
    if let Some(cpus) = config.cpus {
        if !(cpus.is_finite() && cpus > 0.0) {
            return Err(config::invalid("/cpus", "it must be greater than 0").into());
        }
        drop(Cgroup::new(
            &format!("{}-{name}-check", std::process::id()),
            cpus,
        )?);
    }
    check_log(&config.log)?;
    Ok(())
}
