//! Making a module: what it needs of images, its pod and its container, or nothing of them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use shellrt_api::v0::config::containerd_cri::Config;
use shellrt_api::v0::config::invalid;
use shellrt_api::v0::events::Kind;
use shellrt_plugin::event::{self, Events};
use shellrt_plugin::file;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::names::ModuleName;

use super::client::Cri;
use super::pod::Facts;
use super::record::{Definition, Files};
use super::{definitions, end, program, start};
use crate::containerd::Containerd;
use crate::error::Error;
use crate::image::{self, Image};
use crate::store::Store;
use crate::{module, Context};

/// The snapshotter of containerd's interface, where it does not say it.
const SNAPSHOTTER: &str = "overlayfs";

/// On an image that those who tidy up have to leave alone.
const PINNED: (&str, &str) = ("io.cri-containerd.pinned", "pinned");

/// On an image that containerd's interface knows.
const MANAGED: (&str, &str) = ("io.cri-containerd.image", "managed");

/// How long containerd's interface may take to hear of an image.
const TIME_TO_HEAR: Duration = Duration::from_secs(10);

/// What a module is to be made from. The caller has checked it for what is wrong on any machine.
#[derive(Debug, Serialize, Deserialize)]
pub struct Wanted {
    /// The request's variables.
    pub env: BTreeMap<String, String>,
    /// The request's config.
    pub config: Config,
}

/// Makes the module `name`. To be called in a process that nobody kills: see [`module::aside`].
///
/// # Errors
/// What is wrong with the image, the config or containerd's interface; then there is no module.
pub fn create(context: &Context, name: &ModuleName, wanted: Wanted) -> Result<(), Error> {
    let containerd = context.containerd()?;
    let order = Lock::exclusive(&context.store.module_lock(name), context.deadline)?;
    let made = make(context, containerd, name, wanted);
    if made
        .as_ref()
        .is_err_and(|error| !matches!(error, Error::ModuleExists(_)))
    {
        // The lock's file was made for nothing; whoever waits for it notices.
        order.remove()?;
    }
    made?;
    Events::new(context.store.root()).record(name.as_str(), Kind::Created, None);
    Ok(())
}

fn make(
    context: &Context,
    containerd: &Containerd,
    name: &ModuleName,
    wanted: Wanted,
) -> Result<(), Error> {
    let Wanted { env, config } = wanted;
    clear(context, name)?;
    if module::container(containerd, name.as_str())?
        .is_some_and(|container| container.labels.contains_key(module::LABEL))
    {
        return Err(Error::ModuleExists(name.to_string()));
    }
    let image = image::find(containerd, &config.image, None)?;
    let cri = Cri::of(containerd)?;
    let setup = Setup::of(&cri)?;
    sources(&config)?;
    pause_image(containerd, &cri, &setup)?;
    know(containerd, &cri, &setup, &image, &[MANAGED])?;
    let files = Files::new(&context.store.pod(name));
    let mut definition = Definition {
        uid: uid()?,
        is_made: false,
        created_at: event::now(),
        config,
        env,
        image: image.reference.clone(),
        image_id: image.image_id.to_string(),
        pause_image: setup.pause_image.clone(),
        cgroup_parent: setup.cgroup_parent(containerd.namespace()),
    };
    file::make_dir(&files.log_dir())?;
    files.write_definition(&definition)?;
    let log_dir = files.log_dir();
    let facts = Facts {
        name: name.as_str(),
        namespace: containerd.namespace(),
        definition: &definition,
        log_dir: &log_dir,
    };
    let made = start::run_pod(&cri, facts, 0)
        .and_then(|pod| start::create_container(&cri, facts, &pod, 0, 0))
        .and_then(|_| {
            definition.is_made = true;
            files.write_definition(&definition)
        });
    if made.is_err() {
        if let Err(error) = undo(&cri.to_undo(), &files, &definition.uid) {
            log::warn!("what is left of the create of {name}: {error}");
        }
    }
    made
}

fn undo(cri: &Cri, files: &Files, uid: &str) -> Result<(), Error> {
    end::remove_pods(cri, uid)?;
    Ok(file::remove(files.dir())?)
}

/// Takes away what a `create` of this name has left that was killed. The caller holds the module's
/// lock.
///
/// # Errors
/// [`Error::ModuleExists`] where there is a module of this kind.
pub fn clear(context: &Context, name: &ModuleName) -> Result<(), Error> {
    let files = Files::new(&context.store.pod(name));
    match files.definition()? {
        Some(definition) if definition.is_made => Err(Error::ModuleExists(name.to_string())),
        Some(definition) => undo(&Cri::of(context.containerd()?)?, &files, &definition.uid),
        // Its definition is the last thing that a `remove` takes away.
        None => Ok(file::remove(files.dir())?),
    }
}

/// Takes away what any `create` has left that was killed.
///
/// # Errors
/// [`Error::Runtime`].
pub fn clear_all(context: &Context, store: &Store) -> Result<(), Error> {
    for (name, definition) in definitions(store)? {
        if definition.is_made {
            continue;
        }
        // Somebody may be creating it in this moment.
        let soon = Some(Instant::now());
        let Ok(lock) = Lock::exclusive(&store.module_lock(&name), soon) else {
            continue;
        };
        match clear(context, &name) {
            Err(Error::ModuleExists(_)) => {}
            other => {
                other?;
                lock.remove()?;
            }
        }
    }
    Ok(())
}

/// What containerd's interface is set up with.
struct Setup {
    pause_image: String,
    snapshotter: String,
    systemd_cgroup: bool,
}

impl Setup {
    fn of(cri: &Cri) -> Result<Self, Error> {
        let config = cri.configuration()?;
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let containerd = &config["containerd"];
        let runtime = containerd["defaultRuntimeName"].as_str().unwrap_or("runc");
        let options = &containerd["runtimes"][runtime]["options"];
        let of_program = || program::pause_image(cri.containerd().pid()?);
        let pause_image = text(&config["sandboxImage"])
            .or_else(of_program)
            .unwrap_or_default();
        Ok(Setup {
            pause_image: image::canonical(&pause_image)
                .map_or(pause_image, |reference| reference.to_string()),
            snapshotter: text(&containerd["snapshotter"])
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| SNAPSHOTTER.to_owned()),
            systemd_cgroup: options["SystemdCgroup"].as_bool().unwrap_or_default(),
        })
    }

    /// Where the cgroups of pods are: with systemd in a slice, which has a name of its own form.
    fn cgroup_parent(&self, namespace: &str) -> String {
        match self.systemd_cgroup {
            true => format!("{}.slice", namespace.replace(['-', '.'], "_")),
            false => format!("/{namespace}"),
        }
    }
}

/// Makes sure that the process that holds a pod together has its image.
fn pause_image(containerd: &Containerd, cri: &Cri, setup: &Setup) -> Result<(), Error> {
    // A daemon that does not tell its name has to find it by itself.
    if setup.pause_image.is_empty() || cri.image(&setup.pause_image)?.is_some() {
        return Ok(());
    }
    let missing = || Error::PauseImageMissing(setup.pause_image.clone());
    let image = match image::find(containerd, &setup.pause_image, None) {
        Err(Error::ImageNotFound(_) | Error::Platform { .. }) => return Err(missing()),
        other => other?,
    };
    know(containerd, cri, setup, &image, &[MANAGED, PINNED])
}

/// Makes sure that containerd's interface knows an image that is here.
fn know(
    containerd: &Containerd,
    cri: &Cri,
    setup: &Setup,
    image: &Image,
    labels: &[(&str, &str)],
) -> Result<(), Error> {
    image::share(
        containerd,
        cri.containerd(),
        image,
        &setup.snapshotter,
        labels,
    )?;
    let id = image.image_id.to_string();
    let end = Instant::now() + TIME_TO_HEAR;
    // It hears of images by events.
    while cri.image(&id)?.is_none() || cri.image(&image.reference)?.is_none() {
        if Instant::now() > end {
            return Err(Error::ImageNotFound(image.reference.clone()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// What is mounted has to be there, unless it is wanted made.
fn sources(config: &Config) -> Result<(), Error> {
    for (index, mount) in config.mounts.iter().enumerate() {
        let source = mount.source.as_deref().unwrap_or_default();
        if Path::new(source).exists() {
            continue;
        }
        let path = format!("/mounts/{index}/source");
        let bind = mount.bind.as_ref();
        if !bind.is_some_and(|bind| bind.create_host_path) {
            let reason = format!(
                "{source:?} does not exist; make it, or write \"bind\": {{\"create_host_path\": true}}"
            );
            return Err(invalid(&path, &reason).into());
        }
        let made = fs::create_dir_all(source)
            .and_then(|()| fs::set_permissions(source, fs::Permissions::from_mode(0o755)));
        made.map_err(|error| invalid(&path, &format!("can't make {source:?}: {error}")))?;
    }
    Ok(())
}

/// An id that nothing else has, as Kubernetes has them.
fn uid() -> Result<String, Error> {
    let path = Path::new("/proc/sys/kernel/random/uuid");
    let uid = fs::read_to_string(path).map_err(|source| Error::file("read", path, source))?;
    Ok(uid.trim().to_owned())
}
