//! What the supervisor reports of the components' modules, for who waits for it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use shellrt_api::v0::logs::Stream;
use tokio::sync::{oneshot, watch};

use crate::order::{End, Failure, Order, Step};
use crate::plugin::{Input, Output, Plugins};
use crate::supervisor::{Link, Reported};

/// The modules that somebody waits for, by their ids.
pub struct Modules {
    plugins: Plugins,
    entries: Mutex<BTreeMap<String, Entry>>,
    /// What files were like when they became images, by plugin and reference. Who makes one an image holds
    /// its lock.
    read: Mutex<BTreeMap<(String, String), Read>>,
}

/// What a file was like when it became an image, where it has.
type Read = Arc<tokio::sync::Mutex<Option<File>>>;

/// What tells whether a file was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    device: u64,
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl File {
    /// The file at `path`, where there is one.
    fn at(path: &str) -> Option<File> {
        let found = std::fs::metadata(path).ok()?;
        Some(File {
            device: found.dev(),
            inode: found.ino(),
            length: found.len(),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

struct Entry {
    name: String,
    attached: Option<oneshot::Sender<(Input, Output)>>,
    life: watch::Sender<Life>,
}

#[derive(Debug, Clone, Default)]
struct Life {
    /// How it has ended, or why it could not begin.
    end: Option<String>,
    is_gone: bool,
}

/// A module that was ordered.
pub struct Module {
    attached: Option<oneshot::Receiver<(Input, Output)>>,
    life: watch::Receiver<Life>,
}

impl Modules {
    /// Nobody waits for any. `plugins` run them.
    pub fn new(plugins: Plugins) -> Modules {
        Modules {
            plugins,
            entries: Mutex::default(),
            read: Mutex::default(),
        }
    }

    /// From now on the module `id` of the component `name` is waited for.
    pub fn expect(&self, id: &str, name: &str) -> Module {
        let (attach, attached) = oneshot::channel();
        let (lives, life) = watch::channel(Life::default());
        let entry = Entry {
            name: name.to_owned(),
            attached: Some(attach),
            life: lives,
        };
        self.entries().insert(id.to_owned(), entry);
        Module {
            attached: Some(attached),
            life,
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        // Nothing is half done where it panics.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, plugin: &str, image: &str) -> Read {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (plugin.to_owned(), image.to_owned());
        Arc::clone(read.entry(key).or_default())
    }

    fn name(&self, order: &Order) -> String {
        let entries = self.entries();
        let entry = entries.get(&order.id);
        entry.map_or_else(|| order.id.clone(), |entry| entry.name.clone())
    }

    fn change(&self, order: &Order, change: impl FnOnce(&mut Life)) {
        if let Some(entry) = self.entries().get(&order.id) {
            entry.life.send_modify(change);
        }
    }
}

impl Module {
    /// Its stdin and stdout, when it is about to run.
    ///
    /// # Errors
    /// Why it can't run.
    pub async fn attached(&mut self) -> Result<(Input, Output), String> {
        let attached = async {
            match &mut self.attached {
                Some(attached) => attached.await.ok(),
                None => None,
            }
        };
        let mut life = self.life.clone();
        let ended = life.wait_for(|life| life.end.is_some());
        tokio::select! {
            biased;
            Some(both) = attached => {
                self.attached = None;
                Ok(both)
            }
            ended = ended => Err(ended.ok().and_then(|life| life.end.clone()).unwrap_or_default()),
        }
    }

    /// How it has ended, when it has.
    pub async fn end(&self) -> String {
        let mut life = self.life.clone();
        let ended = life.wait_for(|life| life.end.is_some()).await;
        // Its entry lives until the next one is expected, which is after its end.
        ended
            .ok()
            .and_then(|life| life.end.clone())
            .unwrap_or_default()
    }

    /// Returns when nothing is left of it.
    pub async fn gone(&self) {
        let mut life = self.life.clone();
        let _ = life
            .wait_for(|life| life.is_gone && life.end.is_some())
            .await;
    }
}

impl Link for Modules {
    /// A file of this machine may have been changed since it became an image. Where it was not since this
    /// daemon has seen to that, a process is saved; where the image is gone, it is pulled all the same.
    async fn prepare(&self, order: &mut Order) -> Result<(), Failure> {
        let (plugin, image) = (&order.spec.plugin, &order.spec.image);
        let Some(path) = image.image.strip_prefix("file:") else {
            return Ok(());
        };
        let read = self.read(plugin, &image.image);
        let mut read = read.lock().await;
        let file = File::at(path);
        if file.is_some() && *read == file {
            return Ok(());
        }
        let pulled = self.plugins.pull(plugin, image.clone()).await;
        pulled.map_err(|error| Failure {
            step: Step::Pull,
            message: error.chain(),
        })?;
        *read = file;
        Ok(())
    }

    async fn attached(&self, order: &Order, input: Input, output: Output) {
        let mut entries = self.entries();
        let entry = entries.get_mut(&order.id);
        if let Some(attached) = entry.and_then(|entry| entry.attached.take()) {
            // Where nobody waits it is being deleted.
            let _ = attached.send((input, output));
        }
    }

    async fn started(&self, _order: &Order) {}

    async fn failed(&self, order: &Order, failure: &Failure) {
        let why = format!("it can't be started: {}", failure.message);
        self.change(order, |life| {
            life.end = Some(why);
            life.is_gone = true;
        });
    }

    async fn output(&self, order: &Order, stream: Stream, bytes: Bytes) -> Reported {
        let name = self.name(order);
        for line in String::from_utf8_lossy(&bytes).lines() {
            match stream {
                Stream::Stdout => log::info!("{name:?} writes: {line}"),
                Stream::Stderr => log::info!("{name:?} writes to stderr: {line}"),
            }
        }
        Box::pin(std::future::ready(()))
    }

    async fn ended(&self, order: &Order, end: &End) {
        let words = match &end.status {
            Some(status) => format!("it has ended: {}", status.status_description),
            None => "it is not there any more".to_owned(),
        };
        self.change(order, |life| life.end = Some(words));
    }

    async fn gone(&self, order: &Order) {
        self.change(order, |life| life.is_gone = true);
    }
}

/// The supervisor and what it reports.
#[derive(Clone)]
pub struct Machine {
    /// Who leads the modules through their lives.
    pub supervisor: crate::supervisor::Supervisor,
    /// What it reports.
    pub modules: Arc<Modules>,
}
