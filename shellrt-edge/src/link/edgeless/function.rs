//! A function, as its node calls it: the calls meet the state, and go on to the instance.
//!
//! A gRPC error of Init, Cast, Call or Stop makes a node end the instance. So a cast is always taken, and
//! a call that goes wrong is answered with `CALL_RET_ERR`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{watch, Semaphore};
use tonic::Status;

use super::host::{Binary, Host, Hosts};
use super::instance::{Begin, Instance, Program};
use super::state::{Boot, Life, State};
use super::wire::{
    self, BootData, CallRetType, CallReturn, FunctionInstanceInit, InputEventData, InstanceId,
};
use crate::causes::chain;
use crate::component::{Answer, Instance as Identity};
use crate::endpoint::Link;

/// What a function is set to.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How many casts and calls are worked on at a time; the others wait.
    pub max_workers: usize,
    /// How long a cast or a call may take; nothing for without end.
    pub call_timeout: Option<Duration>,
    /// How long an instance may take to end by itself.
    pub grace: Duration,
    /// What becomes of bytes that are not UTF-8.
    pub binary: Binary,
}

/// A function. All clones are the same one.
#[derive(Clone)]
pub struct Function(Arc<Shared>);

struct Shared {
    name: String,
    program: Program,
    hosts: Hosts,
    rules: Rules,
    workers: Semaphore,
    inner: Mutex<Inner>,
    /// The number of the init that is wanted; one that is under way under another number gives up.
    wanted: watch::Sender<u64>,
    counters: Counters,
}

struct Inner {
    life: Life,
    running: Option<Running>,
}

#[derive(Clone)]
struct Running {
    instance: Arc<Instance>,
    host: Host,
    identity: InstanceId,
}

/// What a function counts.
#[derive(Default)]
struct Counters {
    inits: AtomicU64,
    casts: AtomicU64,
    calls: AtomicU64,
    errors: AtomicU64,
}

impl Function {
    /// The function `name`, which nobody has booted.
    pub fn new(name: &str, program: Program, hosts: Hosts, rules: Rules) -> Function {
        Function(Arc::new(Shared {
            name: name.to_owned(),
            program,
            hosts,
            workers: Semaphore::new(rules.max_workers.max(1)),
            rules,
            inner: Mutex::new(Inner {
                life: Life::new(),
                running: None,
            }),
            wanted: watch::channel(0).0,
            counters: Counters::default(),
        }))
    }

    /// Its part of the daemon's status.
    pub fn status(&self) -> Link {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.0.counters;
        Link {
            name: format!("edgeless/{}", self.0.name),
            connected: self.inner().life.state() == State::Running,
            counters: BTreeMap::from([
                ("inits", count(&counters.inits)),
                ("casts", count(&counters.casts)),
                ("calls", count(&counters.calls)),
                ("errors", count(&counters.errors)),
            ]),
        }
    }

    /// Ends what runs: the daemon ends.
    pub async fn end(&self) {
        let running = {
            let mut inner = self.inner();
            // Where nothing runs there is nothing to end.
            let _ = inner.life.stop();
            inner.running.take()
        };
        self.0.wanted.send_replace(0);
        if let Some(running) = running {
            running.instance.stop(self.0.rules.grace).await;
        }
    }

    async fn begin(&self, request: FunctionInstanceInit) -> Result<(), Status> {
        let (boot, number, before) = {
            let mut inner = self.inner();
            let begun = inner.life.begin();
            let (boot, number, _) = begun.map_err(|state| self.wrong("init", state))?;
            (boot, number, inner.running.take())
        };
        self.0.wanted.send_replace(number);
        if let Some(before) = before {
            log::warn!(
                "{:?} is booted as another instance: the one before is ended",
                self.0.name
            );
            before.instance.stop(self.0.rules.grace).await;
        }
        let host = Host::new(&self.0.hosts, boot.clone(), self.0.rules.binary);
        let host = host.inspect_err(|_| {
            self.inner().life.begun(number, false);
        })?;
        let identity = boot.instance.clone();
        let begin = Begin {
            name: self.0.name.clone(),
            boot,
            host: host.clone(),
            payload: request.init_payload,
            state: request.serialized_state,
        };
        let mut wanted = self.0.wanted.subscribe();
        let begun = tokio::select! {
            begun = Instance::begin(&self.0.program, begin) => begun,
            _ = wanted.wait_for(|wanted| *wanted != number) => {
                return Err(Status::aborted("it was stopped while it began"));
            }
        };
        match begun {
            Ok(instance) => {
                let running = Running {
                    instance: Arc::new(instance),
                    host,
                    identity,
                };
                if !self.take_on(number, &running) {
                    running.instance.stop(self.0.rules.grace).await;
                    return Err(Status::aborted("it was stopped while it began"));
                }
                tokio::spawn(self.clone().watch(number, running.instance));
                log::info!("{:?} runs", self.0.name);
                Ok(())
            }
            Err(error) => {
                self.inner().life.begun(number, false);
                let why = chain(&error);
                log::error!("{:?} can't begin: {why}", self.0.name);
                Err(Status::internal(why))
            }
        }
    }

    /// The instance is the one that runs, unless it is not wanted any more.
    fn take_on(&self, number: u64, running: &Running) -> bool {
        let mut inner = self.inner();
        let is_wanted = inner.life.begun(number, true);
        if is_wanted {
            inner.running = Some(running.clone());
            if let Some(boot) = inner.life.booted().cloned() {
                // The host may have moved while it began.
                self.move_host(&inner, &boot);
            }
        }
        is_wanted
    }

    /// Until the instance ends; where it ends by itself that is a failure.
    async fn watch(self, number: u64, instance: Arc<Instance>) {
        let how = instance.ended().await;
        let is_failure = {
            let mut inner = self.inner();
            let is_failure = inner.life.ended(number);
            if is_failure {
                inner.running = None;
            }
            is_failure
        };
        if is_failure {
            log::error!("{:?} has ended by itself: {how}", self.0.name);
        }
        instance.tidy();
    }

    /// What runs, if it does.
    fn running(&self) -> Result<Running, State> {
        let inner = self.inner();
        inner.running.clone().ok_or(inner.life.state())
    }

    async fn answer(&self, running: &Running, from: InstanceId, data: Bytes) -> CallReturn {
        let name = &self.0.name;
        let failed = || CallReturn::new(CallRetType::Err, Bytes::new());
        let answered = self.worked_on(running, running.instance.call(identity(from), data));
        let problem = match answered.await {
            Ok(Answer::Reply(content)) => match self.0.rules.binary.apply(content.data.0) {
                Ok(data) => return CallReturn::new(CallRetType::Reply, data),
                Err(error) => error.to_string(),
            },
            Ok(Answer::NoReply) => return CallReturn::new(CallRetType::NoReply, Bytes::new()),
            Ok(Answer::Error(problem)) => problem.message,
            Err(why) => why.to_owned(),
        };
        log::warn!("{name:?}: a call is answered with an error: {problem}");
        self.0.counters.errors.fetch_add(1, Ordering::Relaxed);
        failed()
    }

    /// Works on something when it is its turn, until the instance is stopped or the time is over.
    async fn worked_on<T>(
        &self,
        running: &Running,
        work: impl std::future::Future<Output = T>,
    ) -> Result<T, &'static str> {
        let bounded = async {
            // Never closed.
            let _permit = self.0.workers.acquire().await;
            match self.0.rules.call_timeout {
                None => Ok(work.await),
                Some(time) => tokio::time::timeout(time, work)
                    .await
                    .map_err(|_| "it takes too long"),
            }
        };
        tokio::select! {
            biased;
            done = bounded => done,
            () = running.instance.is_stopped() => Err("the function is stopped"),
        }
    }

    fn move_host(&self, inner: &Inner, boot: &Boot) {
        let running = inner.running.as_ref();
        if let Some(running) = running.filter(|running| running.identity == boot.instance) {
            // The endpoint was tried when it was booted.
            if let Ok(client) = self.0.hosts.client(&boot.host) {
                running.host.moved(client, boot.instance.clone());
            }
        }
    }

    fn wrong(&self, call: &str, state: State) -> Status {
        let why = format!(
            "{call:?} does not fit: the function {:?} {}",
            self.0.name,
            state.words()
        );
        log::warn!("{why}");
        Status::failed_precondition(why)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing is half done where it panics.
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl wire::Function for Function {
    async fn boot(&self, request: BootData) -> Result<(), Status> {
        let instance = present(request.instance_id, "instance_id")?;
        let host = request.guest_api_host_endpoint;
        self.0.hosts.client(&host)?;
        log::debug!("{:?} is booted by {host}", self.0.name);
        let boot = Boot { host, instance };
        let mut inner = self.inner();
        inner.life.boot(boot.clone());
        self.move_host(&inner, &boot);
        Ok(())
    }

    async fn init(&self, request: FunctionInstanceInit) -> Result<(), Status> {
        self.0.counters.inits.fetch_add(1, Ordering::Relaxed);
        let this = self.clone();
        // Goes on where the node hangs up: half a module would be left.
        let begun = tokio::spawn(async move { this.begin(request).await });
        begun
            .await
            .unwrap_or_else(|error| Err(Status::internal(error.to_string())))
    }

    async fn cast(&self, request: InputEventData) -> Result<(), Status> {
        let from = present(request.src, "src")?;
        self.0.counters.casts.fetch_add(1, Ordering::Relaxed);
        let lost = match self.running() {
            Ok(running) => {
                let cast = running.instance.cast(identity(from), request.msg);
                match self.worked_on(&running, cast).await {
                    Ok(()) => return Ok(()),
                    Err(why) => why.to_owned(),
                }
            }
            Err(state) => format!("the function {}", state.words()),
        };
        log::warn!("{:?}: a cast is lost: {lost}", self.0.name);
        self.0.counters.errors.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn call(&self, request: InputEventData) -> Result<CallReturn, Status> {
        let from = present(request.src, "src")?;
        self.0.counters.calls.fetch_add(1, Ordering::Relaxed);
        match self.running() {
            Ok(running) => Ok(self.answer(&running, from, request.msg).await),
            Err(state) => {
                log::warn!("{:?}: a call fails: it {}", self.0.name, state.words());
                self.0.counters.errors.fetch_add(1, Ordering::Relaxed);
                Ok(CallReturn::new(CallRetType::Err, Bytes::new()))
            }
        }
    }

    async fn stop(&self) -> Result<(), Status> {
        let running = {
            let mut inner = self.inner();
            let stopped = inner.life.stop();
            stopped.map_err(|state| self.wrong("stop", state))?;
            inner.running.take()
        };
        self.0.wanted.send_replace(0);
        log::info!("{:?} is stopped", self.0.name);
        if let Some(running) = running {
            let grace = self.0.rules.grace;
            let ended = tokio::spawn(async move { running.instance.stop(grace).await });
            // It ends also where the node hangs up.
            let _ = ended.await;
        }
        Ok(())
    }
}

fn present(id: Option<InstanceId>, name: &str) -> Result<InstanceId, Status> {
    id.ok_or_else(|| Status::invalid_argument(format!("{name:?} is missing")))
}

fn identity(id: InstanceId) -> Identity {
    Identity {
        node: id.node_id,
        function: id.function_id,
        name: String::new(),
    }
}
