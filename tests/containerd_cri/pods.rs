//! What the Kubernetes interface itself says of pods and containers: as if a kubelet had made them.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;

use k8s_cri::v1 as api;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use serde_json::{json, Value};
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};

use super::{ready, World, FOREVER};

/// A client of a kubelet's kind.
pub struct Kubelet {
    runtime: Runtime,
    client: RuntimeServiceClient<Channel>,
}

impl Kubelet {
    pub fn new(world: &World) -> Kubelet {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let address = world.shellrt.containerd.address();
        let endpoint = Endpoint::try_from(format!("unix://{}", address.display())).unwrap();
        let channel = runtime.block_on(endpoint.connect()).unwrap();
        let client = RuntimeServiceClient::new(channel);
        Kubelet { runtime, client }
    }

    fn ask<T, F>(&self, call: impl FnOnce(RuntimeServiceClient<Channel>) -> F) -> T
    where
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        let answer = self.runtime.block_on(call(self.client.clone()));
        answer.unwrap().into_inner()
    }

    pub fn pods(&self) -> Vec<api::PodSandbox> {
        let request = api::ListPodSandboxRequest::default();
        self.ask(|mut client| async move { client.list_pod_sandbox(request).await })
            .items
    }

    pub fn containers(&self) -> Vec<api::Container> {
        let request = api::ListContainersRequest::default();
        self.ask(|mut client| async move { client.list_containers(request).await })
            .containers
    }

    /// The only pod.
    pub fn pod(&self) -> api::PodSandbox {
        let mut pods = self.pods();
        assert_eq!(pods.len(), 1, "{pods:#?}");
        pods.remove(0)
    }

    /// The only container: its status, and its OCI document.
    pub fn container(&self) -> (api::ContainerStatus, Value) {
        let containers = self.containers();
        assert_eq!(containers.len(), 1, "{containers:#?}");
        let request = api::ContainerStatusRequest {
            container_id: containers[0].id.clone(),
            verbose: true,
        };
        let answer = self.ask(|mut client| async move { client.container_status(request).await });
        let info: Value = serde_json::from_str(&answer.info["info"]).unwrap();
        (answer.status.unwrap(), info["runtimeSpec"].clone())
    }

    /// Kills the process that holds a pod together, and takes away what it held.
    pub fn stop_pod(&self, id: &str) {
        let request = api::StopPodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        self.ask(|mut client| async move { client.stop_pod_sandbox(request).await });
    }
}

#[test]
fn a_pod_is_what_a_kubelet_would_have_made() {
    let Some(world) = ready() else {
        return;
    };
    world.shellrt.ok(&json!({
        "_type": "create", "name": "web", "config_type": "containerd-cri",
        "env": {"GREETING": "hello"},
        "config": {
            "image": world.image, "command": ["sh", "-c", FOREVER, "web"], "args": ["one", "two"],
            "labels": {"app": "web"},
        },
    }));
    let kubelet = Kubelet::new(&world);
    let (container, _) = kubelet.container();
    assert_eq!(container.state(), api::ContainerState::ContainerCreated);
    world.shellrt.module("start", "web");

    let pod = kubelet.pod();
    let namespace = world.shellrt.containerd.namespace();
    assert_eq!(pod.state(), api::PodSandboxState::SandboxReady);
    let metadata = pod.metadata.clone().unwrap();
    assert_eq!(metadata.name, "web");
    assert_eq!(metadata.namespace, namespace);
    assert_eq!(metadata.attempt, 0);
    assert_eq!(metadata.uid.len(), 36, "{metadata:?}");
    for (key, value) in [
        ("io.kubernetes.pod.name", "web"),
        ("io.kubernetes.pod.namespace", namespace),
        ("io.kubernetes.pod.uid", &metadata.uid),
        ("app", "web"),
    ] {
        assert_eq!(pod.labels[key], value);
    }

    let (container, spec) = kubelet.container();
    assert_eq!(container.state(), api::ContainerState::ContainerRunning);
    let own = container.metadata.clone().unwrap();
    assert_eq!((own.name.as_str(), own.attempt), ("web", 0));
    for (key, value) in [
        ("io.kubernetes.container.name", "web"),
        ("io.kubernetes.pod.name", "web"),
        ("io.kubernetes.pod.namespace", namespace),
        ("io.kubernetes.pod.uid", &metadata.uid),
        ("app", "web"),
    ] {
        assert_eq!(container.labels[key], value);
    }
    // Where a kubelet's tools look for it.
    let log = Path::new(&container.log_path);
    assert!(log.starts_with(world.shellrt.root()), "{}", log.display());
    super::until("it has logged", || {
        std::fs::read_to_string(log).is_ok_and(|text| text.ends_with(" stdout F up\n"))
    });

    let words = |value: &Value| -> BTreeSet<String> {
        let words = value.as_array().cloned().unwrap_or_default();
        words
            .iter()
            .map(|word| word.as_str().unwrap().to_owned())
            .collect()
    };
    let process = &spec["process"];
    let args = json!(["sh", "-c", FOREVER, "web", "one", "two"]);
    assert_eq!(process["args"], args);
    let env = words(&process["env"]);
    assert!(
        env.contains("GREETING=hello") && env.contains("PATH=/bin"),
        "{env:?}"
    );
    // A container without these could read the machine's memory and change its settings.
    assert!(words(&spec["linux"]["maskedPaths"]).contains("/proc/kcore"));
    assert!(words(&spec["linux"]["readonlyPaths"]).contains("/proc/sys"));
    let cgroup = spec["linux"]["cgroupsPath"].as_str().unwrap();
    assert_eq!(cgroup, format!("/{namespace}/{}", container.id));
    world.remove("web");
    assert_eq!((kubelet.pods().len(), kubelet.containers().len()), (0, 0));
    world.assert_nothing_left();
}

#[test]
fn limits_and_rights_are_those_of_the_config() {
    let Some(world) = ready() else {
        return;
    };
    let source = world.shellrt.files().join("data");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("note"), "a note\n").unwrap();
    let config = json!({
        "working_dir": "/srv",
        "mounts": [
            {"type": "bind", "source": source, "target": "/data", "read_only": true},
            {"type": "bind", "source": source.join("made"), "target": "/made",
             "bind": {"create_host_path": true}},
        ],
        "linux": {
            "resources": {
                "memory_limit_in_bytes": 32 << 20, "cpu_quota": 50_000, "cpu_period": 100_000,
                "cpu_shares": 512, "oom_score_adj": 500,
            },
            "security_context": {
                "capabilities": {"add_capabilities": ["NET_ADMIN"], "drop_capabilities": ["CAP_CHOWN"]},
                "run_as_user": 65534, "run_as_group": 65534, "supplemental_groups": [7],
                "readonly_rootfs": true, "no_new_privs": true,
            },
        },
    });
    let script =
        "cat /data/note; pwd; id -u; id -g; id -G; touch /x 2>&1; touch /data/x 2>&1; exit 7";
    world.create("web", script, config);
    let (_, spec) = Kubelet::new(&world).container();
    let resources = &spec["linux"]["resources"];
    assert_eq!(resources["memory"]["limit"], 32 << 20);
    assert_eq!(resources["cpu"]["quota"], 50_000);
    assert_eq!(resources["cpu"]["shares"], 512);
    let process = &spec["process"];
    assert_eq!(process["oomScoreAdj"], 500);
    assert_eq!(process["noNewPrivileges"], true);
    let bounding = process["capabilities"]["bounding"].as_array().unwrap();
    assert!(bounding.contains(&json!("CAP_NET_ADMIN")), "{bounding:?}");
    assert!(!bounding.contains(&json!("CAP_CHOWN")), "{bounding:?}");
    assert!(source.join("made").is_dir());
    world.shellrt.module("start", "web");
    assert_eq!(world.shellrt.module("wait", "web")["exit_code"], 7);
    let text = String::from_utf8(world.shellrt.logs("web")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..4], ["a note", "/srv", "65534", "65534"], "{text}");
    assert!(lines[4].split(' ').any(|group| group == "7"), "{text}");
    assert!(lines[5].contains("Read-only"), "{text}");
    assert!(lines[6].contains("Read-only"), "{text}");
    world.remove("web");
    world.assert_nothing_left();
}
