//! The pod of a module and the container in it, as the kubelet would ask for them: from the definition
//! alone, without looking at the machine.

use std::collections::HashMap;
use std::path::Path;

use k8s_cri::v1 as api;
use shellrt_api::v0::config::containerd::{capability, Propagation};
use shellrt_api::v0::config::containerd_cri::{
    Capabilities, Config, Mount, NamespaceMode, Network, ProfileType, Resources, SecurityContext,
    SecurityProfile, CONFIG_TYPE,
};

use super::record::Definition;
use crate::module::LABEL;
use crate::spec::{MASKED_PATHS, READONLY_PATHS};

/// The label that has the uid of a module; what belongs to the module is found by it.
pub const UID_LABEL: &str = "shellrt.uid";

/// The label that has the name of a module.
const NAME_LABEL: &str = "shellrt.module";

/// The name of the log in the pod's directory, as the log's reader knows it.
const LOG: &str = "log";

/// What a pod is made from.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The module's name.
    pub name: &'a str,
    /// The plugin's own namespace, which is that of the pod.
    pub namespace: &'a str,
    /// What the module was made from.
    pub definition: &'a Definition,
    /// Where its log goes.
    pub log_dir: &'a Path,
}

/// The `attempt`th pod.
pub fn pod(facts: Facts, attempt: u32) -> api::PodSandboxConfig {
    let Definition { config, .. } = facts.definition;
    let context = &config.linux.security_context;
    // With the machine's network it has the machine's host name.
    let hostname = match config.network {
        Network::Host => String::new(),
        Network::Pod => hostname(facts.name),
    };
    api::PodSandboxConfig {
        metadata: Some(api::PodSandboxMetadata {
            name: facts.name.to_owned(),
            uid: facts.definition.uid.clone(),
            namespace: facts.namespace.to_owned(),
            attempt,
        }),
        hostname,
        log_directory: facts.log_dir.to_string_lossy().into_owned(),
        labels: labels(facts),
        linux: Some(api::LinuxPodSandboxConfig {
            cgroup_parent: facts.definition.cgroup_parent.clone(),
            security_context: Some(api::LinuxSandboxSecurityContext {
                namespace_options: Some(namespaces(config)),
                privileged: context.privileged,
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The `attempt`th container.
pub fn container(facts: Facts, attempt: u32) -> api::ContainerConfig {
    let Definition { config, env, .. } = facts.definition;
    let mut labels = labels(facts);
    let name = facts.name.to_owned();
    labels.insert("io.kubernetes.container.name".to_owned(), name.clone());
    let annotation = "io.kubernetes.container.restartCount".to_owned();
    let envs = env.iter().map(|(key, value)| api::KeyValue {
        key: key.clone(),
        value: value.clone(),
    });
    api::ContainerConfig {
        metadata: Some(api::ContainerMetadata { name, attempt }),
        image: Some(api::ImageSpec {
            image: facts.definition.image_id.clone(),
            user_specified_image: facts.definition.image.clone(),
            ..Default::default()
        }),
        command: config.command.clone().unwrap_or_default(),
        args: config.args.clone().unwrap_or_default(),
        working_dir: config.working_dir.clone().unwrap_or_default(),
        envs: envs.collect(),
        mounts: config.mounts.iter().map(mount).collect(),
        labels,
        annotations: HashMap::from([(annotation, attempt.to_string())]),
        log_path: LOG.to_owned(),
        linux: Some(api::LinuxContainerConfig {
            resources: Some(resources(&config.linux.resources)),
            security_context: Some(security(config)),
        }),
        ..Default::default()
    }
}

/// A host name of at most 63 characters, as the kubelet cuts it.
fn hostname(name: &str) -> String {
    let name: String = name.chars().take(63).collect();
    name.trim_end_matches(['-', '.', '_']).replace('_', "-")
}

/// What a kubelet, and we, find the parts of a pod by.
fn labels(facts: Facts) -> HashMap<String, String> {
    let own = [
        ("io.kubernetes.pod.name", facts.name),
        ("io.kubernetes.pod.namespace", facts.namespace),
        ("io.kubernetes.pod.uid", &facts.definition.uid),
        (LABEL, CONFIG_TYPE),
        (NAME_LABEL, facts.name),
        (UID_LABEL, &facts.definition.uid),
    ];
    let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let labels = facts.definition.config.labels.clone();
    labels.into_iter().chain(own).collect()
}

fn mount(mount: &Mount) -> api::Mount {
    let propagation = mount.bind.as_ref().and_then(|bind| bind.propagation);
    let propagation = match propagation.unwrap_or_default() {
        Propagation::Private | Propagation::Rprivate => api::MountPropagation::PropagationPrivate,
        Propagation::Slave | Propagation::Rslave => {
            api::MountPropagation::PropagationHostToContainer
        }
        Propagation::Shared | Propagation::Rshared => {
            api::MountPropagation::PropagationBidirectional
        }
    };
    api::Mount {
        container_path: mount.target.clone(),
        host_path: mount.source.clone().unwrap_or_default(),
        readonly: mount.read_only,
        propagation: propagation.into(),
        ..Default::default()
    }
}

fn resources(resources: &Resources) -> api::LinuxContainerResources {
    api::LinuxContainerResources {
        cpu_period: resources.cpu_period,
        cpu_quota: resources.cpu_quota,
        cpu_shares: resources.cpu_shares,
        memory_limit_in_bytes: resources.memory_limit_in_bytes,
        oom_score_adj: resources.oom_score_adj,
        cpuset_cpus: resources.cpuset_cpus.clone(),
        cpuset_mems: resources.cpuset_mems.clone(),
        ..Default::default()
    }
}

fn namespaces(config: &Config) -> api::NamespaceOption {
    let options = &config.linux.security_context.namespace_options;
    let mode = |mode| match mode {
        NamespaceMode::Pod => api::NamespaceMode::Pod,
        NamespaceMode::Container => api::NamespaceMode::Container,
        NamespaceMode::Node => api::NamespaceMode::Node,
    };
    let network = match config.network {
        Network::Host => api::NamespaceMode::Node,
        Network::Pod => api::NamespaceMode::Pod,
    };
    api::NamespaceOption {
        network: network.into(),
        pid: mode(options.pid.unwrap_or(NamespaceMode::Container)).into(),
        ipc: mode(options.ipc.unwrap_or(NamespaceMode::Pod)).into(),
        ..Default::default()
    }
}

fn security(config: &Config) -> api::LinuxContainerSecurityContext {
    let SecurityContext {
        capabilities,
        privileged,
        namespace_options: _,
        run_as_user,
        run_as_group,
        run_as_username,
        readonly_rootfs,
        supplemental_groups,
        no_new_privs,
        seccomp,
        apparmor,
    } = &config.linux.security_context;
    let number = |value: &Option<i64>| value.map(|value| api::Int64Value { value });
    // The interface hides nothing of /proc and /sys by itself.
    let paths = |paths: &[&str]| match privileged {
        true => Vec::new(),
        false => paths.iter().map(|&path| path.to_owned()).collect(),
    };
    api::LinuxContainerSecurityContext {
        capabilities: Some(api::Capability {
            add_capabilities: short(&capabilities.add_capabilities),
            drop_capabilities: short(&capabilities.drop_capabilities),
            ..Default::default()
        })
        .filter(|_| *capabilities != Capabilities::default()),
        privileged: *privileged,
        namespace_options: Some(namespaces(config)),
        run_as_user: number(run_as_user),
        run_as_group: number(run_as_group),
        run_as_username: run_as_username.clone().unwrap_or_default(),
        readonly_rootfs: *readonly_rootfs,
        supplemental_groups: supplemental_groups.clone(),
        no_new_privs: *no_new_privs,
        masked_paths: paths(&MASKED_PATHS),
        readonly_paths: paths(&READONLY_PATHS),
        seccomp: seccomp.as_ref().map(profile),
        apparmor: apparmor.as_ref().map(profile),
        ..Default::default()
    }
}

/// Capabilities without `CAP_`, as the interface has them.
fn short(names: &[String]) -> Vec<String> {
    let short = |name: &String| {
        let known = capability(name).and_then(|known| known.strip_prefix("CAP_"));
        known.unwrap_or("ALL").to_owned()
    };
    names.iter().map(short).collect()
}

fn profile(profile: &SecurityProfile) -> api::SecurityProfile {
    use api::security_profile::ProfileType as Type;
    let kind = match profile.profile_type {
        ProfileType::RuntimeDefault => Type::RuntimeDefault,
        ProfileType::Unconfined => Type::Unconfined,
        ProfileType::Localhost => Type::Localhost,
    };
    api::SecurityProfile {
        profile_type: kind.into(),
        localhost_ref: profile.localhost_ref.clone().unwrap_or_default(),
    }
}
