//! containerd's Kubernetes interface, over the same socket.

use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, Instant};

use k8s_cri::v1 as api;
use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use shellrt_plugin::hangup::Hangup;
use tonic::{Code, Response, Status};

use super::pod::UID_LABEL;
use crate::containerd::{ask, known, Containerd, Service, MAX_ANSWER};
use crate::error::Error;

/// The namespace in which containerd keeps everything of this interface.
pub const NAMESPACE: &str = "k8s.io";

/// How often the reader of the answer is looked after.
const LOOK: Duration = Duration::from_millis(50);

/// How long a daemon may take until it can answer.
const TIME_TO_BEGIN: Duration = Duration::from_secs(10);

/// The interface.
#[derive(Debug, Clone)]
pub struct Cri {
    containerd: Containerd,
}

impl Cri {
    /// That of `containerd`; nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::Namespace`].
    pub fn of(containerd: &Containerd) -> Result<Self, Error> {
        Ok(Cri {
            containerd: containerd.with_namespace(NAMESPACE)?,
        })
    }

    /// The connection below, for what the interface has no calls for.
    pub fn containerd(&self) -> &Containerd {
        &self.containerd
    }

    /// The same with a little time of its own, for undoing what was begun.
    pub fn to_undo(&self) -> Self {
        Cri {
            containerd: self.containerd.to_undo(),
        }
    }

    fn runtime(&self) -> RuntimeServiceClient<Service> {
        let client = RuntimeServiceClient::new(self.containerd.service());
        client.max_decoding_message_size(MAX_ANSWER)
    }

    /// Makes a call. A daemon that can't answer yet is given time.
    fn call<R: Clone, T, F>(
        &self,
        doing: &'static str,
        request: R,
        call: impl Fn(RuntimeServiceClient<Service>, R) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let end = Instant::now() + TIME_TO_BEGIN;
        loop {
            let called = call(self.runtime(), request.clone());
            match self.containerd.call(doing, called) {
                Err(error) if will_pass(&error) && Instant::now() < end => std::thread::sleep(LOOK),
                other => return other.map_err(of_disabled),
            }
        }
    }

    /// What it is set up with, as JSON.
    pub fn configuration(&self) -> Result<serde_json::Value, Error> {
        let request = api::StatusRequest { verbose: true };
        let doing = "tell its configuration";
        let answer = self.call(doing, request, |mut it, request| async move {
            it.status(request).await
        })?;
        let text = answer.info.get("config").map_or("null", String::as_str);
        Ok(serde_json::from_str(text).unwrap_or_default())
    }

    /// The image with this reference or id, if it is known.
    pub fn image(&self, image: &str) -> Result<Option<api::Image>, Error> {
        let request = api::ImageStatusRequest {
            image: Some(image_of(image)),
            verbose: false,
        };
        let doing = "look at an image";
        let client = ImageServiceClient::new(self.containerd.service());
        let mut client = client.max_decoding_message_size(MAX_ANSWER);
        let answer = self.containerd.call(doing, client.image_status(request));
        Ok(known(answer.map_err(of_disabled))?.and_then(|answer| answer.image))
    }

    /// All pods of the module with the uid `uid`, the newest first.
    pub fn pods(&self, uid: &str) -> Result<Vec<api::PodSandbox>, Error> {
        let request = api::ListPodSandboxRequest {
            filter: Some(api::PodSandboxFilter {
                label_selector: of_uid(uid),
                ..Default::default()
            }),
        };
        let doing = "list the pods";
        let answer = self.call(doing, request, |mut it, request| async move {
            it.list_pod_sandbox(request).await
        })?;
        let mut pods = answer.items;
        pods.sort_by_key(|pod| std::cmp::Reverse(attempt_of_pod(pod)));
        Ok(pods)
    }

    /// All containers of the module with the uid `uid`, the newest first.
    pub fn containers(&self, uid: &str) -> Result<Vec<api::Container>, Error> {
        let request = api::ListContainersRequest {
            filter: Some(api::ContainerFilter {
                label_selector: of_uid(uid),
                ..Default::default()
            }),
        };
        let doing = "list the containers";
        let answer = self.call(doing, request, |mut it, request| async move {
            it.list_containers(request).await
        })?;
        let mut containers = answer.containers;
        containers.sort_by_key(|container| std::cmp::Reverse(attempt(container)));
        Ok(containers)
    }

    /// How a container is; `None` where there is none.
    pub fn status(&self, id: &str) -> Result<Option<api::ContainerStatusResponse>, Error> {
        let request = api::ContainerStatusRequest {
            container_id: id.to_owned(),
            verbose: true,
        };
        let doing = "look at a container";
        known(self.call(doing, request, |mut it, request| async move {
            it.container_status(request).await
        }))
    }

    /// Makes a pod and answers its id.
    pub fn run_pod(&self, config: api::PodSandboxConfig) -> Result<String, Error> {
        let request = api::RunPodSandboxRequest {
            config: Some(config),
            runtime_handler: String::new(),
        };
        let doing = "make the pod";
        let answer = self.call(doing, request, |mut it, request| async move {
            it.run_pod_sandbox(request).await
        })?;
        Ok(answer.pod_sandbox_id)
    }

    /// Ends a pod and everything in it, and removes it; what is gone is removed already.
    pub fn remove_pod(&self, id: &str) -> Result<(), Error> {
        let request = api::StopPodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        let stop = || {
            self.call(
                "stop the pod",
                request.clone(),
                |mut it, request| async move { it.stop_pod_sandbox(request).await },
            )
        };
        let stopped = match stop() {
            // Somebody stopped it before us and was killed; containerd knows that by now.
            Err(error) if error.is_shim_gone() => stop(),
            stopped => stopped,
        };
        known(stopped)?;
        let request = api::RemovePodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        let doing = "remove the pod";
        known(self.call(doing, request, |mut it, request| async move {
            it.remove_pod_sandbox(request).await
        }))?;
        Ok(())
    }

    /// Makes a container in a pod and answers its id.
    pub fn create(
        &self,
        pod: &str,
        config: api::ContainerConfig,
        pod_config: api::PodSandboxConfig,
    ) -> Result<String, Error> {
        let request = api::CreateContainerRequest {
            pod_sandbox_id: pod.to_owned(),
            config: Some(config),
            sandbox_config: Some(pod_config),
        };
        let doing = "create the container";
        let answer = self.call(doing, request, |mut it, request| async move {
            it.create_container(request).await
        })?;
        Ok(answer.container_id)
    }

    /// Starts a container that never was.
    pub fn start(&self, id: &str) -> Result<(), Error> {
        let request = api::StartContainerRequest {
            container_id: id.to_owned(),
        };
        let doing = "start the container";
        self.call(doing, request, |mut it, request| async move {
            it.start_container(request).await
        })?;
        Ok(())
    }

    /// Asks a container to end, and kills it after `seconds`; it has ended when this returns. One that
    /// is gone has.
    ///
    /// # Errors
    /// [`Error::HungUp`] where the reader of the answer goes away meanwhile.
    pub fn stop(&self, id: &str, seconds: i64) -> Result<(), Error> {
        let request = api::StopContainerRequest {
            container_id: id.to_owned(),
            timeout: seconds,
        };
        let hangup = Hangup::stdout();
        let doing = "stop the container";
        let stopped = self.containerd.run(doing, async {
            let mut runtime = self.runtime();
            let call = ask(doing, runtime.stop_container(request));
            tokio::pin!(call);
            loop {
                tokio::select! {
                    answer = &mut call => return answer,
                    () = tokio::time::sleep(LOOK) => {}
                }
                if hangup.is_hung_up() {
                    return Err(Error::HungUp);
                }
            }
        });
        known(stopped.map_err(of_disabled)).map(drop)
    }

    /// Removes a container; one that runs is killed, one that is gone is removed already.
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        let request = api::RemoveContainerRequest {
            container_id: id.to_owned(),
        };
        let doing = "remove the container";
        known(self.call(doing, request, |mut it, request| async move {
            it.remove_container(request).await
        }))
        .map(drop)
    }

    /// Has containerd open the log of a running container anew.
    pub fn reopen_log(&self, id: &str) -> Result<(), Error> {
        let request = api::ReopenContainerLogRequest {
            container_id: id.to_owned(),
        };
        let doing = "open the log anew";
        self.call(doing, request, |mut it, request| async move {
            it.reopen_container_log(request).await
        })?;
        Ok(())
    }
}

/// The image as the interface names it.
pub fn image_of(image: &str) -> api::ImageSpec {
    api::ImageSpec {
        image: image.to_owned(),
        ..Default::default()
    }
}

/// Which of the module's containers it is.
pub fn attempt(container: &api::Container) -> u32 {
    let metadata = container.metadata.as_ref();
    metadata.map_or(0, |metadata| metadata.attempt)
}

/// Which of the module's pods it is.
pub fn attempt_of_pod(pod: &api::PodSandbox) -> u32 {
    let metadata = pod.metadata.as_ref();
    metadata.map_or(0, |metadata| metadata.attempt)
}

fn of_uid(uid: &str) -> HashMap<String, String> {
    HashMap::from([(UID_LABEL.to_owned(), uid.to_owned())])
}

/// Whether the daemon can't answer yet, because it was started just now, or because it still does what
/// somebody asked for who was killed.
fn will_pass(error: &Error) -> bool {
    let words = [
        "not initialized yet",
        "in starting state",
        "in removing state",
        "is not fully stopped",
        "is reserved for",
        "still running, to stop first",
    ];
    let has = |all: &str| words.iter().any(|words| all.contains(words));
    matches!(error, Error::Runtime { source, .. } if has(&source.words))
}

/// A daemon without the interface knows none of its calls.
fn of_disabled(error: Error) -> Error {
    match error {
        Error::Runtime { source, .. } if source.code == Code::Unimplemented => {
            Error::CriDisabled(source)
        }
        other => other,
    }
}
