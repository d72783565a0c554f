//! Starting a module: its container, or where that has run already the next one in the same pod.

use k8s_cri::v1 as api;
use shellrt_api::v0::events::Kind;
use shellrt_plugin::event::{self, Events};
use shellrt_plugin::process::Identity;

use super::client::{attempt, attempt_of_pod, Cri};
use super::pod::{self, Facts};
use super::record::Run;
use super::state::{Now, Running};
use super::{log, Module};
use crate::error::Error;

/// How often a start may find that somebody else has begun it.
const TRIES: u32 = 3;

impl Module {
    /// Starts the module; one that runs stays as it is. The caller holds the module's lock.
    ///
    /// # Errors
    /// Why it can't be started, in the runtime's own words; then it is as it was before.
    pub fn start(&self) -> Result<(), Error> {
        if let Now::Running(_) = self.now()? {
            return Ok(());
        }
        let (attempt, started_at) = self.start_container()?;
        let mut run = Run {
            attempt,
            started_at,
            init: None,
        };
        self.files.write_run(&run)?;
        run.init = self.running()?.and_then(|running| {
            let pid = running.pid?;
            Identity::of(pid).ok()
        });
        if run.init.is_some() {
            self.files.write_run(&run)?;
        }
        Events::new(self.store.root()).record(self.name.as_str(), Kind::Started, None);
        Ok(())
    }

    /// Starts a container: which one it is, and when that was.
    fn start_container(&self) -> Result<(u32, i64), Error> {
        for again in (0..TRIES).rev() {
            let (id, attempt) = self.fresh_container()?;
            log::make_room(self)?;
            // containerd's own time comes after the program's first words.
            let started_at = event::now();
            let Err(error) = self.cri.start(&id) else {
                return Ok((attempt, started_at));
            };
            // Somebody who was killed may have begun it.
            if matches!(self.now(), Ok(Now::Running(running)) if running.container == id) {
                return Ok((attempt, started_at));
            }
            // One that could not be started can't be started again.
            if let Err(error) = self.cri.to_undo().remove(&id) {
                ::log::warn!("what is left of the start of {}: {error}", self.name);
            }
            // What they have begun may also have come to nothing meanwhile.
            if again == 0 || !is_state(&error) {
                return Err(error);
            }
        }
        Err(Error::WrongState {
            name: self.name.to_string(),
            what: "is being started by somebody else; try again",
        })
    }

    /// What runs now; a program may have ended already.
    fn running(&self) -> Result<Option<Running>, Error> {
        match self.now()? {
            Now::Running(running) => Ok(Some(running)),
            Now::Created | Now::Exited(_) => Ok(None),
        }
    }

    /// A container that was never started, and which one it is.
    fn fresh_container(&self) -> Result<(String, u32), Error> {
        let uid = &self.definition.uid;
        let pods = self.cri.pods(uid)?;
        let is_ready = |pod: &&api::PodSandbox| pod.state() == api::PodSandboxState::SandboxReady;
        let ready = pods.iter().find(is_ready).cloned();
        let containers = self.cri.containers(uid)?;
        let known = [
            containers.first().map(attempt),
            self.files.run()?.map(|run| run.attempt),
            self.files.end()?.map(|end| end.attempt),
        ];
        let last = known.into_iter().flatten().max();
        if let Some(pod) = &ready {
            let unused = containers.iter().find(|container| {
                container.pod_sandbox_id == pod.id
                    && container.state() == api::ContainerState::ContainerCreated
                    && Some(attempt(container)) == last
            });
            if let Some(container) = unused {
                return Ok((container.id.clone(), attempt(container)));
            }
        }
        // Their ends are written by now.
        for container in &containers {
            self.cri.remove(&container.id)?;
        }
        for pod in &pods {
            if ready.as_ref().is_none_or(|ready| ready.id != pod.id) {
                self.cri.remove_pod(&pod.id)?;
            }
        }
        let attempt = last.map_or(0, |last| last + 1);
        let (pod, pod_attempt) = match &ready {
            Some(pod) => (pod.id.clone(), attempt_of_pod(pod)),
            // It ended with the machine, or somebody killed the process that holds it together.
            None => {
                let next = pods.first().map_or(0, |pod| attempt_of_pod(pod) + 1);
                (run_pod(&self.cri, self.facts(), next)?, next)
            }
        };
        let id = create_container(&self.cri, self.facts(), &pod, pod_attempt, attempt)?;
        Ok((id, attempt))
    }
}

/// Whether a container is not in a state in which it can be started.
fn is_state(error: &Error) -> bool {
    matches!(error, Error::Runtime { source, .. } if source.words.contains("is in CONTAINER_"))
}

/// Makes the `attempt`th pod and answers its id.
///
/// # Errors
/// [`Error::Runtime`].
pub fn run_pod(cri: &Cri, facts: Facts, attempt: u32) -> Result<String, Error> {
    cri.run_pod(pod::pod(facts, attempt))
}

/// Makes the `attempt`th container in the pod `id`, the `pod_attempt`th, and answers its id.
///
/// # Errors
/// [`Error::Runtime`].
pub fn create_container(
    cri: &Cri,
    facts: Facts,
    id: &str,
    pod_attempt: u32,
    attempt: u32,
) -> Result<String, Error> {
    let config = pod::container(facts, attempt);
    cri.create(id, config, pod::pod(facts, pod_attempt))
}
