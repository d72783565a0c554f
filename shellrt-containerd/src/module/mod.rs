//! Modules: containers of ours. The container's record in containerd has the definition and makes the
//! name unique, across processes and for nothing; what happens to a module stands in its directory.

pub mod aside;
pub mod attach;
mod bundle;
pub mod create;
pub mod end;
mod etc;
pub mod exec;
mod files;
mod health;
pub mod monitor;
mod orders;
mod record;
pub mod restart;
mod start;
mod state;
pub mod stop;
pub mod task;
mod wait;

use std::fs;
use std::time::Instant;

use containerd_client::services::v1 as api;
use containerd_client::services::v1::snapshots as snapshots_api;
use futures_util::future::{try_join, try_join_all};
use shellrt_plugin::file;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::names::{self, ModuleName};

use crate::containerd::{ask, known, Containerd};
use crate::error::Error;
use crate::lease;
use crate::network;
use crate::store::Store;
use crate::Context;

pub use aside::start;
pub use files::Files;
pub use record::Definition;
pub use state::{Now, State};

/// The label by which our containers are found.
pub const LABEL: &str = "shellrt.config_type";

/// The extension of a container's record that has the module's [`Definition`].
pub const EXTENSION: &str = "shellrt.module";

/// A module.
#[derive(Debug, Clone)]
pub struct Module {
    /// Its name, and its container's id.
    pub name: ModuleName,
    /// What it was made from.
    pub definition: Definition,
    /// Its files.
    pub files: Files,
    /// Which snapshotter has its root file system.
    pub snapshotter: String,
    /// The key of its snapshot.
    pub snapshot: String,
    /// Where it is.
    pub containerd: Containerd,
    /// The state directory that it is in.
    pub store: Store,
}

impl Module {
    /// Finds a module by its name.
    ///
    /// # Errors
    /// [`Error::ModuleNotFound`], also where the container is not one of ours.
    pub fn find(context: &Context, name: &str) -> Result<Module, Error> {
        let name = names::check(name)?;
        let found = container(context.containerd()?, name.as_str())?;
        Module::of_found(context, name, found)
    }

    /// Finds a module by its name, and looks how it is. To say how a task is, containerd wakes the task's
    /// shim, so it is asked for that only where the module may not be running.
    ///
    /// # Errors
    /// As [`Module::find`].
    pub fn find_with_now(context: &Context, name: &str) -> Result<(Module, Now), Error> {
        let name = names::check(name)?;
        if Files::new(&context.store.module(&name)).is_watched() {
            let module = Module::find(context, name.as_str())?;
            let now = match module.running()? {
                Some(running) => Now::Running(running),
                None => module.now()?,
            };
            return Ok((module, now));
        }
        let containerd = context.containerd()?;
        let (found, task) = containerd.run("look at a module", async {
            let found = look(containerd, name.as_str());
            try_join(found, task::look(containerd, name.as_str())).await
        })?;
        let module = Module::of_found(context, name, found)?;
        let now = module.now_with(task)?;
        Ok((module, now))
    }

    /// Finds a module by its name, and takes the lock of everything that changes it.
    ///
    /// # Errors
    /// As [`Module::find`].
    pub fn find_locked(context: &Context, name: &str) -> Result<(Module, Lock), Error> {
        let checked = names::check(name)?;
        let path = context.store.module_lock(&checked);
        if !path.exists() {
            // Without this look a lock's file would be made for every wrong name.
            Module::find(context, name)?;
        }
        let lock = Lock::exclusive(&path, context.deadline)?;
        match Module::find(context, name) {
            Ok(module) => Ok((module, lock)),
            Err(error) => {
                // It was removed while we waited.
                if matches!(error, Error::ModuleNotFound(_)) {
                    lock.remove()?;
                }
                Err(error)
            }
        }
    }

    fn of_found(
        context: &Context,
        name: ModuleName,
        found: Option<api::Container>,
    ) -> Result<Module, Error> {
        match found {
            Some(container) if container.labels.contains_key(LABEL) => {
                Module::of(context, context.containerd()?, name, container)
            }
            _ => Err(Error::ModuleNotFound(name.to_string())),
        }
    }

    fn of(
        context: &Context,
        containerd: &Containerd,
        name: ModuleName,
        container: api::Container,
    ) -> Result<Module, Error> {
        let record = container.extensions.get(EXTENSION);
        let bytes = record
            .map(|record| record.value.as_slice())
            .unwrap_or_default();
        let definition = serde_json::from_slice(bytes).map_err(|source| Error::Damaged {
            name: name.to_string(),
            source,
        })?;
        Ok(Module {
            files: Files::new(&context.store.module(&name)),
            name,
            definition,
            snapshotter: container.snapshotter,
            snapshot: container.snapshot_key,
            containerd: containerd.clone(),
            store: context.store.clone(),
        })
    }

    /// Removes the module, which does not run: its task, its container, its snapshot, its files, in an
    /// order in which whatever comes between leaves nothing that stays.
    ///
    /// # Errors
    /// [`Error::Runtime`].
    pub fn remove(&self) -> Result<(), Error> {
        let containerd = &self.containerd;
        // Its files may have been lost; then nobody else deletes its task either.
        let lock = match self.files.dir().exists() {
            true => Some(Lock::exclusive(
                &self.files.task_lock(),
                containerd.deadline(),
            )?),
            false => None,
        };
        task::delete(containerd, self.name.as_str())?;
        network::forget(self);
        drop(lock);
        delete_container(containerd, self.name.as_str())?;
        // From here on there is no such module; what is left nobody refers to, so a garbage collection
        // or a later `create` of the same name would get it too.
        remove_snapshot(containerd, &self.snapshotter, &self.snapshot)?;
        // A `create` that was killed when it was all but done has left it.
        lease::release(containerd, &create::lease_id(&self.name))?;
        Ok(file::remove(self.files.dir())?)
    }
}

/// The names of all modules, sorted.
///
/// # Errors
/// [`Error::Runtime`].
pub fn names(context: &Context) -> Result<Vec<String>, Error> {
    let containerd = context.containerd()?;
    let found = containerd.run("list the containers", list(containerd))?;
    let mut names: Vec<String> = found.into_iter().map(|container| container.id).collect();
    names.sort_unstable();
    Ok(names)
}

/// The container with this id, whoever made it.
///
/// # Errors
/// [`Error::Runtime`].
pub fn container(containerd: &Containerd, id: &str) -> Result<Option<api::Container>, Error> {
    containerd.run("look at a container", look(containerd, id))
}

async fn look(containerd: &Containerd, id: &str) -> Result<Option<api::Container>, Error> {
    let request = api::GetContainerRequest { id: id.to_owned() };
    let answer = ask("look at a container", containerd.containers().get(request)).await;
    Ok(known(answer)?.and_then(|answer| answer.container))
}

/// The containers of all modules.
async fn list(containerd: &Containerd) -> Result<Vec<api::Container>, Error> {
    let request = api::ListContainersRequest {
        filters: vec![format!("labels.{LABEL:?}")],
    };
    let answer = ask("list the containers", containerd.containers().list(request)).await?;
    Ok(answer.containers)
}

/// Deletes the record of a container; what is gone is deleted already.
///
/// # Errors
/// [`Error::Runtime`].
pub fn delete_container(containerd: &Containerd, id: &str) -> Result<(), Error> {
    let request = api::DeleteContainerRequest { id: id.to_owned() };
    let deleted = containerd.call(
        "delete the container",
        containerd.containers().delete(request),
    );
    known(deleted).map(drop)
}

/// Removes a snapshot; what is gone is removed already.
///
/// # Errors
/// [`Error::Runtime`].
pub fn remove_snapshot(containerd: &Containerd, snapshotter: &str, key: &str) -> Result<(), Error> {
    let request = snapshots_api::RemoveSnapshotRequest {
        snapshotter: snapshotter.to_owned(),
        key: key.to_owned(),
    };
    let removed = containerd.call("remove a snapshot", containerd.snapshots().remove(request));
    known(removed).map(drop)
}

/// All modules in no order, each with its task. containerd would look at one task after the other; asked
/// for each, it looks at all of them at once, and a shim that does not answer holds up no other one.
///
/// # Errors
/// [`Error::Runtime`].
pub fn all_with_tasks(context: &Context) -> Result<Vec<(Module, Option<task::Task>)>, Error> {
    let containerd = context.containerd()?;
    let (found, tasks) = containerd.run("list the modules", async {
        let found = list(containerd).await?;
        let looks = found.iter().map(|it| task::look(containerd, &it.id));
        let tasks = try_join_all(looks).await?;
        Ok((found, tasks))
    })?;
    let modules = found.into_iter().map(|container| {
        let name = names::check(&container.id)?;
        Module::of(context, containerd, name, container)
    });
    let with_tasks = modules.zip(tasks);
    with_tasks
        .map(|(module, task)| Ok((module?, task)))
        .collect()
}

/// Looks at all modules. By that an end is written that nobody has written down, and what is to be
/// started again and has nobody who does it is started.
///
/// # Errors
/// [`Error::Runtime`].
pub fn look_at_all(context: &Context) -> Result<(), Error> {
    for (module, task) in all_with_tasks(context)? {
        module.now_with(task)?;
    }
    Ok(())
}

/// Removes the directories of modules that containerd does not know, if they have not changed for
/// `age`: a `create` or a `remove` was killed. Takes those that do not run off their networks. Answers
/// the bytes.
///
/// # Errors
/// What the operating system refuses.
pub fn remove_leftovers(context: &Context, age: std::time::Duration) -> Result<u64, Error> {
    let known = names(context)?;
    let mut bytes = 0;
    let dir = context.store.modules();
    let entries = fs::read_dir(&dir).map_err(|source| Error::file("list", &dir, source))?;
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(name) = names::check(&entry.file_name().to_string_lossy()) else {
            continue;
        };
        if known.iter().any(|known| known == name.as_str()) || file::age(&path) < age {
            continue;
        }
        // Somebody may be creating it in this moment.
        let soon = Some(Instant::now());
        let Ok(lock) = Lock::exclusive(&context.store.module_lock(&name), soon) else {
            continue;
        };
        if container(context.containerd()?, name.as_str())?.is_none() {
            bytes += file::size(&path);
            file::remove(&path)?;
            lock.remove()?;
        }
    }
    network::prune(context)?;
    Ok(bytes)
}
