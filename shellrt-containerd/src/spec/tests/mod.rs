//! The document is tried in parts against what docker, containerd and the kernel document, and as a
//! whole against a real runtime.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod cdi;
mod devices;
mod layers;
mod limits;
mod machine;
mod mounts;
mod namespaces;
mod process;
mod runc;
mod seccomp;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{json, Value};
use shellrt_api::v0::{config, Code, Error};

use super::host::{Cgroups, HostMount};
use super::{spec, Facts, Files, Host, ImageConfig, Spec, User};

/// All capabilities of Linux 5.9 and later.
const ALL_CAPABILITIES: u64 = 0x1ff_ffff_ffff;

/// What a document follows from; the tests change what they are about.
struct Case {
    config: Value,
    image: Value,
    env: BTreeMap<String, String>,
    user: User,
    volumes: BTreeMap<String, PathBuf>,
    host: Host,
    files: [PathBuf; 3],
    network: Option<PathBuf>,
}

impl Case {
    /// A container of this config, whose image says nothing but what to run, on a machine that can
    /// do everything.
    fn new(config: Value) -> Self {
        Case {
            config,
            image: json!({"Cmd": ["/bin/app"]}),
            env: BTreeMap::new(),
            user: User::default(),
            volumes: BTreeMap::new(),
            host: host(),
            files: ["/run/resolv.conf", "/run/hosts", "/run/hostname"].map(PathBuf::from),
            network: None,
        }
    }

    fn try_spec(&self) -> Result<Spec, Error> {
        let mut config = self.config.clone();
        config["image"] = "example.com/app".into();
        let config: config::containerd::Config = config::decode(&config)?;
        config.check()?;
        let image: ImageConfig = serde_json::from_value(self.image.clone()).unwrap();
        let [resolv_conf, hosts, hostname] = &self.files;
        spec(Facts {
            name: "web-1",
            namespace: "shellrt",
            config: &config,
            env: &self.env,
            image: &image,
            user: &self.user,
            files: Files {
                resolv_conf,
                hosts,
                hostname,
            },
            volumes: &self.volumes,
            network: self.network.as_deref(),
            host: &self.host,
        })
    }

    fn spec(&self) -> Spec {
        self.try_spec().unwrap()
    }

    /// The document as the runtime reads it.
    fn json(&self) -> Value {
        serde_json::to_value(self.spec()).unwrap()
    }

    /// Where in the config the error is.
    fn wrong_at(&self) -> String {
        let error = self.try_spec().unwrap_err();
        assert_eq!(error.code, Code::INVALID_CONFIG, "{error}");
        error.detail["path"].as_str().unwrap().to_owned()
    }
}

fn host() -> Host {
    Host {
        name: "gateway".to_owned(),
        architecture: "amd64".to_owned(),
        kernel: (6, 1),
        capabilities: ALL_CAPABILITIES,
        seccomp: true,
        apparmor: None,
        cpus: (0..4).collect(),
        thermal: Vec::new(),
        max_open_files: 1 << 20,
        hard_limits: BTreeMap::from([("nofile".to_owned(), 20_000), ("core".to_owned(), u64::MAX)]),
        oom_score_adj: -1,
        cgroups: Cgroups {
            unified: true,
            controllers: texts(&["cpu", "cpuset", "memory", "pids"]),
            swap: true,
            quota: true,
        },
        systemd_cgroup: false,
        mounts: vec![HostMount {
            target: PathBuf::from("/"),
            shared: true,
            slave: false,
        }],
    }
}

fn texts(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
