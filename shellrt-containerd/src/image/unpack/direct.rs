//! The fast way: a layer is written straight into the directory that containerd has prepared for its
//! snapshot. One thread inflates and hashes, another makes files.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{sync_channel, SyncSender};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use containerd_client::types::Mount;
use rustix::fd::OwnedFd;
use shellrt_plugin::registry::Digest;
use tokio::sync::mpsc;

use super::entry::Entries;
use super::failure::Failure;
use super::feed::{Fed, Stopper};
use super::inflate::{inflate, Packing};
use super::pipe::{pipe, Inlet, Outlet};
use super::tree::Tree;

/// How much of a blob is read at once.
const READ: usize = 256 << 10;

/// Where a layer's bytes are.
pub(super) enum Source {
    /// In the content store.
    Blob(File),
    /// On their way from the registry.
    Fed(Fed),
}

/// The directory of a snapshot, where we may write to it.
pub(super) struct Place {
    root: OwnedFd,
    /// The directories of the layers below, the highest first.
    below: Option<Vec<OwnedFd>>,
}

impl Place {
    /// The directory that `mounts` name. `daemon`: who made it.
    ///
    /// # Errors
    /// [`Failure::Unfit`] where it is none that we may see, or not for us to write.
    pub(super) fn of(daemon: Option<i32>, mounts: &[Mount]) -> Result<Place, Failure> {
        if !rustix::process::geteuid().is_root() {
            return Err(Failure::unfit("this user is not root"));
        }
        if !daemon.is_some_and(sees_what_we_see) {
            return Err(Failure::unfit("containerd may see other files than we do"));
        }
        let [mount] = mounts else {
            return Err(Failure::unfit("the snapshot is not one mount"));
        };
        let is_strange = |option: &String| {
            option == "userxattr" || option.starts_with("uidmap=") || option.starts_with("gidmap=")
        };
        if mount.options.iter().any(is_strange) {
            return Err(Failure::unfit("owners or attributes are not as they seem"));
        }
        let option = |name: &str| mount.options.iter().find_map(|one| one.strip_prefix(name));
        match (mount.r#type.as_str(), option("upperdir=")) {
            ("overlay", Some(upper)) => {
                let lower = option("lowerdir=").unwrap_or_default();
                // A colon in a path would have one before it.
                if lower.contains('\\') {
                    return Err(Failure::unfit(
                        "the paths of the layers below are not plain",
                    ));
                }
                let below: Result<Vec<OwnedFd>, Failure> = lower.split(':').map(open).collect();
                Ok(Place {
                    root: open(upper)?,
                    below: Some(below?),
                })
            }
            ("bind", None) => Ok(Place {
                root: open(&mount.source)?,
                below: None,
            }),
            (other, _) => Err(Failure::unfit(format!(
                "the snapshot is a mount of {other:?}"
            ))),
        }
    }
}

fn open(path: &str) -> Result<OwnedFd, Failure> {
    if !Path::new(path).is_absolute() {
        return Err(Failure::unfit("the path of the snapshot is not whole"));
    }
    let opened = File::open(path).map_err(Failure::system("open the snapshot"))?;
    Ok(OwnedFd::from(opened))
}

/// Whether a process has our mounts, our root and our users.
fn sees_what_we_see(process: i32) -> bool {
    let file = |process: &str, name: &str| {
        let file = std::fs::metadata(format!("/proc/{process}/{name}")).ok()?;
        Some((file.dev(), file.ino()))
    };
    ["ns/mnt", "ns/user", "root"].iter().all(|name| {
        let ours = file("self", name);
        ours.is_some() && ours == file(&process.to_string(), name)
    })
}

/// Unpacks a layer; the digest is that of its plain tar, which `diff_id` should be. What is written is
/// not on the disk yet.
pub(super) async fn unpack(
    place: Place,
    source: Source,
    packing: Packing,
    diff_id: &Digest,
) -> Result<Digest, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let (inlet, outlet) = pipe(stop.clone());
    let stopper = match &source {
        Source::Blob(_) => None,
        Source::Fed(fed) => Some(fed.stopper()),
    };
    let hasher = diff_id.hasher();
    // It ends when both threads have let go of their end.
    let (running, mut ended) = mpsc::channel::<()>(1);
    let inflating = {
        let running = running.clone();
        start("inflate", move || {
            let _running = running;
            match source {
                Source::Blob(blob) => {
                    let blob = BufReader::with_capacity(READ, blob);
                    pass(blob, packing, hasher, &inlet)
                }
                Source::Fed(fed) => pass(fed, packing, hasher, &inlet),
            }
        })?
    };
    let mut threads = Threads {
        stop,
        stopper,
        inflating: Some(inflating),
        writing: None,
    };
    threads.writing = Some(start("write", move || {
        let _running = running;
        write(place, outlet)
    })?);
    let _ = ended.recv().await;
    let inflated = threads.inflating.take().map(JoinHandle::join);
    let written = threads.writing.take().map(JoinHandle::join);
    match (inflated, written) {
        // Without the bytes the other thread has something to say as well, and it is less.
        (Some(Ok(Err(failure))), _) | (_, Some(Ok(Err(failure)))) => Err(failure),
        (Some(Ok(Ok(digest))), Some(Ok(Ok(())))) => Ok(digest),
        _ => Err(Failure::unfit("a thread ended too early")),
    }
}

fn start<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Failure> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(Failure::system("start a thread"))
}

/// Passes the plain tar on and hashes it.
fn pass(
    layer: impl BufRead + Send,
    packing: Packing,
    mut hasher: shellrt_plugin::registry::Hasher,
    inlet: &Inlet,
) -> Result<Digest, Failure> {
    let mut tar = inflate(layer, packing).map_err(Failure::system("inflate a layer"))?;
    while inlet
        .pass(&mut tar, |piece| hasher.update(piece))
        .map_err(Failure::system("inflate a layer"))?
    {}
    Ok(hasher.finish())
}

fn write(place: Place, tar: Outlet) -> Result<(), Failure> {
    let disk = place.root.try_clone();
    let disk = disk.map_err(Failure::system("open the snapshot"))?;
    let mut tree = Tree::new(place.root, place.below)?;
    let mut entries = Entries::new(tar);
    let early = early(disk)?;
    let mut next = EARLY;
    while let Some(entry) = entries.next()? {
        tree.add(&entry, &mut entries)?;
        if entries.taken() > next {
            // Where the disk is busy, this is not the time.
            let _ = early.try_send(());
            next = entries.taken() + EARLY;
        }
    }
    tree.end()?;
    // Its digest is that of all bytes.
    entries.finish()
}

/// How many bytes come before the disk is given work.
const EARLY: u64 = 32 << 20;

/// A thread that has the disk write what there is whenever it is asked to, so that less is left to wait
/// for at the end. It ends by itself.
fn early(disk: OwnedFd) -> Result<SyncSender<()>, Failure> {
    let (ask, asked) = sync_channel(0);
    start("sync", move || {
        while asked.recv().is_ok() {
            // Whoever needs to know syncs once more.
            let _ = rustix::fs::syncfs(&disk);
        }
    })?;
    Ok(ask)
}

/// The threads of one layer. When nobody waits for them any more they end, and that is waited for: the
/// directory that they write to is about to be removed.
struct Threads {
    stop: Arc<AtomicBool>,
    stopper: Option<Stopper>,
    inflating: Option<JoinHandle<Result<Digest, Failure>>>,
    writing: Option<JoinHandle<Result<(), Failure>>>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(stopper) = &self.stopper {
            stopper.stop();
        }
        // What became of them does not matter.
        let _ = self.writing.take().map(JoinHandle::join);
        let _ = self.inflating.take().map(JoinHandle::join);
    }
}
