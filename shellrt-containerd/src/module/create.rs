//! Making a module: its snapshot, its files and its container, or nothing of them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use containerd_client::services::v1 as api;
use containerd_client::services::v1::container::Runtime;
use containerd_client::services::v1::snapshots::PrepareSnapshotRequest;
use containerd_client::types::Mount;
use prost_types::Any;
use shellrt_api::v0::config::{self, containerd::Config};
use shellrt_api::v0::events::Kind;
use shellrt_plugin::attach::make_fifo;
use shellrt_plugin::event::{self, Events};
use shellrt_plugin::file;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::names::ModuleName;

use super::health::Check;
use super::{
    container, delete_container, etc, remove_snapshot, Definition, Files, EXTENSION, LABEL,
};
use crate::containerd::Containerd;
use crate::cri;
use crate::error::Error;
use crate::image::{self, Image};
use crate::lease;
use crate::network::{self, Cni};
use crate::spec::{self, Host};
use crate::{volume, Context};

/// The runtime unless the config names another.
const RUNTIME: &str = "io.containerd.runc.v2";

/// How containerd knows the runtime specification.
const SPEC_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";

/// The type of runc's options.
const OPTIONS_TYPE: &str = "containerd.runc.v1.Options";

/// The field `systemd_cgroup` of runc's options, set.
const SYSTEMD_CGROUP: [u8; 2] = [9 << 3, 1];

/// The field `binary_name` of runc's options, of bytes.
const BINARY_NAME: u8 = 6 << 3 | 2;

/// The label by which containerd's other clients know the signal that ends a container.
const STOP_SIGNAL_LABEL: &str = "io.containerd.image.config.stop-signal";

/// How long what a killed `create` made is held; the next one of the same name takes it away.
const LEASE: Duration = Duration::from_secs(3600);

/// What a module is to be made from. The caller has checked it for what is wrong on any machine.
#[derive(Debug)]
pub struct Wanted {
    /// The kind of config that it came from.
    pub config_type: &'static str,
    /// The request's variables, which win over the image's.
    pub env: BTreeMap<String, String>,
    /// The config, in the words of `containerd`.
    pub config: Config,
}

/// Makes the module `name`.
///
/// # Errors
/// What is wrong with the image or the config; then there is no module.
pub fn create(context: &Context, name: &ModuleName, wanted: &Wanted) -> Result<(), Error> {
    let containerd = context.containerd()?;
    let order = Lock::exclusive(&context.store.module_lock(name), context.deadline)?;
    cri::create::clear(context, name)?;
    match container(containerd, name.as_str())? {
        Some(found) if found.labels.contains_key(LABEL) => {
            return Err(Error::ModuleExists(name.to_string()))
        }
        Some(_) => return Err(Error::ForeignContainer(name.to_string())),
        None => {}
    }
    let made = Draft::new(context, containerd, name, &wanted.config).and_then(|it| it.make(wanted));
    if made.is_err() {
        // The lock's file was made for nothing; whoever waits for it notices.
        order.remove()?;
    }
    made?;
    Events::new(context.store.root()).record(name.as_str(), Kind::Created, None);
    Ok(())
}

/// The lease that holds what a module is made of until its container does.
pub fn lease_id(name: &ModuleName) -> String {
    format!("shellrt-create-{name}")
}

/// A module that is being made.
struct Draft<'a> {
    context: &'a Context,
    containerd: &'a Containerd,
    name: &'a ModuleName,
    files: Files,
    snapshotter: String,
    lease: String,
}

impl<'a> Draft<'a> {
    fn new(
        context: &'a Context,
        containerd: &'a Containerd,
        name: &'a ModuleName,
        config: &Config,
    ) -> Result<Self, Error> {
        let snapshotter = match &config.snapshotter {
            Some(snapshotter) => snapshotter.clone(),
            None => image::snapshotter(containerd)?,
        };
        Ok(Draft {
            context,
            containerd,
            name,
            files: Files::new(&context.store.module(name)),
            snapshotter,
            lease: lease_id(name),
        })
    }

    fn make(&self, wanted: &Wanted) -> Result<(), Error> {
        let (config, cni) = network::decide(&wanted.config)?;
        if let Some(program) = config.runtime.as_deref().filter(|it| it.starts_with('/')) {
            if !Path::new(program).is_file() {
                let reason = format!("there is no program {program:?} on this machine");
                return Err(config::invalid("/runtime", &reason).into());
            }
        }
        let image = image::find(self.containerd, &config.image, config.platform.as_deref())?;
        let wanted = Wanted {
            config_type: wanted.config_type,
            env: wanted.env.clone(),
            config,
        };
        let labels = labels(&wanted.config.labels)?;
        lease::hold(self.containerd, &self.lease, LEASE)?;
        let made = self.make_leased(&wanted, cni, &image, labels);
        if made.is_err() {
            self.undo();
        }
        made?;
        lease::release(&self.containerd.to_undo(), &self.lease)
    }

    fn make_leased(
        &self,
        wanted: &Wanted,
        cni: Option<Cni>,
        image: &Image,
        mut labels: HashMap<String, String>,
    ) -> Result<(), Error> {
        let Wanted {
            config_type,
            env,
            config,
        } = wanted;
        let leased = self.containerd.with_lease(&self.lease);
        // What a `create` or a `remove` that was killed has left.
        file::remove(self.files.dir())?;
        image::unpack(&leased, image, &self.snapshotter)?;
        let rootfs = self.prepare(&leased, &image.chain_id)?;
        let layers = spec::user::layers(&rootfs);
        let user = spec::user::resolve(config, &image.config.config, layers.as_ref())?;
        make_dirs(&self.files, config)?;
        let volumes = volume::prepare(
            self.context,
            &self.files,
            config,
            &image.config.config,
            layers.as_ref(),
        )?;
        let host = Host::read(self.containerd.pid());
        let stop_signal = stop_signal(config, image);
        labels.insert(LABEL.to_owned(), (*config_type).to_owned());
        labels.insert(STOP_SIGNAL_LABEL.to_owned(), stop_signal.to_string());
        let definition = Definition {
            created_at: event::now(),
            config_type: (*config_type).to_owned(),
            config: config.clone(),
            image: image.reference.clone(),
            image_id: image.image_id.to_string(),
            stop_signal,
            hostname: spec::hostname(config, self.name.as_str(), &host),
            check: Check::of(config.healthcheck.as_ref(), &image.config.config)?,
            cni,
        };
        etc::write(&self.files, &definition)?;
        let network = network::namespace(&self.context.store, self.name.as_str());
        spec::make_sources(config)?;
        let mut document = spec::spec(spec::Facts {
            name: self.name.as_str(),
            namespace: self.containerd.namespace(),
            config,
            env,
            image: &image.config.config,
            user: &user,
            files: spec::Files {
                resolv_conf: &self.files.resolv_conf(),
                hosts: &self.files.hosts(),
                hostname: &self.files.hostname(),
            },
            volumes: &volumes,
            network: definition.cni.as_ref().map(|_| network.as_path()),
            host: &host,
        })?;
        spec::cdi::apply(&mut document, config, &spec::cdi::dirs())?;
        let json = |value: Result<Vec<u8>, serde_json::Error>| {
            value.map_err(|source| Error::system("write the container's record", source))
        };
        let spec = Any {
            type_url: SPEC_TYPE.to_owned(),
            value: json(serde_json::to_vec(&document))?,
        };
        let extension = Any {
            type_url: EXTENSION.to_owned(),
            value: json(serde_json::to_vec(&definition))?,
        };
        let request = api::CreateContainerRequest {
            container: Some(api::Container {
                id: self.name.to_string(),
                labels,
                image: image.reference.clone(),
                runtime: Some(runtime(config, &host)),
                spec: Some(spec),
                snapshotter: self.snapshotter.clone(),
                snapshot_key: self.name.to_string(),
                extensions: HashMap::from([(EXTENSION.to_owned(), extension)]),
                ..Default::default()
            }),
        };
        let create = || {
            leased.call(
                "create the container",
                leased.containers().create(request.clone()),
            )
        };
        match create() {
            Err(error) if error.is_already_exists() => {
                let found = container(self.containerd, self.name.as_str())?;
                if found.is_some_and(|found| !found.labels.contains_key(LABEL)) {
                    return Err(Error::ForeignContainer(self.name.to_string()));
                }
                // We have the module's lock and there was none: a `create` was killed when it had asked for
                // its container, and containerd has made that only now.
                delete_container(self.containerd, self.name.as_str())?;
                create().map(drop)
            }
            created => created.map(drop),
        }
    }

    /// Makes the writable snapshot.
    fn prepare(&self, leased: &Containerd, parent: &str) -> Result<Vec<Mount>, Error> {
        let prepare = || {
            let request = PrepareSnapshotRequest {
                snapshotter: self.snapshotter.clone(),
                key: self.name.to_string(),
                parent: parent.to_owned(),
                ..Default::default()
            };
            leased.call("prepare a snapshot", leased.snapshots().prepare(request))
        };
        match prepare() {
            // No container has this name, so it was left by a `create` that was killed.
            Err(error) if error.is_already_exists() => {
                remove_snapshot(leased, &self.snapshotter, self.name.as_str())?;
                Ok(prepare()?.mounts)
            }
            other => Ok(other?.mounts),
        }
    }

    /// Nothing half-made stays.
    fn undo(&self) {
        let patient = self.containerd.to_undo();
        let undone = || -> Result<(), Error> {
            // Where the answer was lost, the container may be there and is not what was asked for.
            if let Some(found) = container(&patient, self.name.as_str())? {
                if !found.labels.contains_key(LABEL) {
                    return Ok(());
                }
                delete_container(&patient, self.name.as_str())?;
            }
            remove_snapshot(&patient, &self.snapshotter, self.name.as_str())?;
            lease::release(&patient, &self.lease)
        };
        if let Err(error) = undone().and(file::remove(self.files.dir()).map_err(Error::from)) {
            log::warn!("what is left of the create of {}: {error}", self.name);
        }
    }
}

/// Makes the directories of a module, and its FIFOs where it has stdin: what is attached before the
/// first start finds them.
///
/// # Errors
/// What the operating system refuses.
pub fn make_dirs(files: &Files, config: &Config) -> Result<(), Error> {
    for dir in [files.dir().to_owned(), files.log_dir(), files.attach_dir()] {
        file::make_dir(&dir)?;
    }
    if config.stdin {
        for path in [files.stdin(), files.stdout(), files.stderr()] {
            if !path.exists() {
                make_fifo(&path)?;
            }
        }
    }
    Ok(())
}

/// The labels of the container. Some have a meaning for containerd and its other clients, up to
/// starting programs on the machine, so nobody gets these through us.
fn labels(wanted: &BTreeMap<String, String>) -> Result<HashMap<String, String>, Error> {
    let mut labels = HashMap::new();
    for (key, value) in wanted {
        let reserved = [
            "containerd.io/",
            "io.containerd.",
            "io.cri-containerd",
            "nerdctl/",
            "shellrt.",
        ];
        let reason = if key.is_empty() {
            "a label has a name"
        } else if reserved.iter().any(|reserved| key.starts_with(reserved)) {
            "this label has a meaning for containerd or its clients; take another name"
        } else if key.len() + value.len() > 4096 {
            "containerd takes 4096 bytes for a label's name and value together"
        } else {
            labels.insert(key.clone(), value.clone());
            continue;
        };
        let place = key.replace('~', "~0").replace('/', "~1");
        let error = shellrt_api::v0::config::invalid(&format!("/labels/{place}"), reason);
        return Err(error.into());
    }
    Ok(labels)
}

fn runtime(config: &Config, host: &Host) -> Runtime {
    let wanted = config.runtime.as_deref().unwrap_or(RUNTIME);
    let (name, program) = match wanted.starts_with('/') {
        true => (RUNTIME, Some(wanted)),
        false => (wanted, None),
    };
    let mut value = Vec::new();
    // The length of a text is one byte up to here, and a path that long is refused.
    if let Some((program, length)) = program.and_then(|it| Some((it, u8::try_from(it.len()).ok()?)))
    {
        value.extend([BINARY_NAME, length]);
        value.extend(program.as_bytes());
    }
    // Other runtimes have options of their own.
    if name.starts_with("io.containerd.runc.") && host.systemd_cgroup {
        value.extend(SYSTEMD_CGROUP);
    }
    let options = (!value.is_empty()).then(|| Any {
        type_url: OPTIONS_TYPE.to_owned(),
        value,
    });
    Runtime {
        name: name.to_owned(),
        options,
    }
}

/// The config's signal, else the image's, else SIGTERM. A signal of the image that nobody knows must
/// not keep it from being run.
fn stop_signal(config: &Config, image: &Image) -> i32 {
    let of_image = || image.config.config.stop_signal.as_deref()?.parse().ok();
    let signal = config.stop_signal.or_else(of_image);
    signal.map_or(rustix::process::Signal::TERM.as_raw(), |signal| {
        i32::from(signal.0)
    })
}
