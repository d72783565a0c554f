//! What the conformance suite runs beside each trial of `shellrt-containerd`: a containerd, and a
//! registry that has the images of `plugins/containerd.json`. `SHELLRT_CONTAINERD` names another
//! release of containerd. When its stdin is closed it ends both, and everything that containerd has
//! started.
#![allow(
    clippy::print_stdout,
    reason = "the suite reads what there is from there"
)]

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{ensure, Context};
use serde_json::json;
use sha2::{Digest, Sha256};
use tests::containerd::{self, Containerd, Options, Version};
use tests::registry::{self, Registry};

/// The images and what is particular about each.
#[path = "private_containerd/images.rs"]
mod images;

fn main() -> anyhow::Result<()> {
    let folder = std::env::var_os("SHELLRT_SERVICE").context("SHELLRT_SERVICE names no folder")?;
    let registry = (!registry::is_installed()).then(|| "docker-registry is missing".to_owned());
    if let Some(missing) = containerd::missing().or(registry) {
        println!("{}", json!({ "missing": missing }));
        return Ok(());
    }
    let storage = prepared()?;
    let starting = std::thread::spawn(move || {
        Registry::start(&registry::Options {
            storage: Some(storage),
            ..registry::Options::default()
        })
    });
    let networks = Path::new(&folder).join("net.d");
    let folder = Path::new(&folder).join("containerd");
    fs::create_dir(&folder)?;
    let version = Version::from_env();
    let mut options = Options {
        version,
        ..Options::default()
    };
    // The pause image comes from the registry, so this has to be there before.
    let (registry, containerd) = match std::env::var_os("SHELLRT_SERVICE_PODS") {
        Some(_) => {
            let registry = starting.join().ok().flatten().context("no registry")?;
            let pause = format!("{}/{}:1", registry.host(), images::PAUSE);
            options.pause_image = Some(pause.clone());
            let containerd = Containerd::start_in(&folder, options);
            if let Some(containerd) = &containerd {
                containerd.ctr_of_pods(&["images", "pull", "--plain-http", &pause]);
            }
            (registry, containerd)
        }
        None => {
            let containerd = Containerd::start_in(&folder, options);
            let registry = starting.join().ok().flatten().context("no registry")?;
            (registry, containerd)
        }
    };
    let Some(containerd) = containerd else {
        let missing = format!("no containerd {version:?}; tests/programs/fetch brings it");
        println!("{}", json!({ "missing": missing }));
        return Ok(());
    };
    let names = json!({
        "address": containerd.address(),
        "namespace": containerd.namespace(),
        "registry": registry.host(),
    });
    println!("{names}");
    // The suite holds the other end, whatever becomes of it.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    // The suite has removed all modules, but does not know where else to look.
    let left = containerd.left_of_modules();
    tests::network::remove_bridges(&networks);
    ensure!(left.is_empty(), "left of modules:\n  {}", left.join("\n  "));
    Ok(())
}

/// The storage of a registry that has all images. It is made once for each build of this program.
fn prepared() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let build: String = Sha256::digest(fs::read(&program)?)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let target = program.ancestors().nth(2).context("no target directory")?;
    let cache = target.join("tmp/conformance-images");
    fs::create_dir_all(&cache)?;
    let lock = File::create(cache.join("lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    let ready = cache.join(build);
    if ready.exists() {
        return Ok(ready);
    }
    let old: Vec<PathBuf> = fs::read_dir(&cache)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    old.iter().try_for_each(fs::remove_dir_all)?;
    let registry = Registry::start(&registry::Options::default()).context("no registry")?;
    images::push(&registry)?;
    // The registry's own folder may be on another file system.
    let fresh = cache.join("fresh");
    let mut copy = Command::new("cp");
    copy.arg("-a").args([&registry.storage(), &fresh]);
    ensure!(copy.status()?.success(), "{copy:?} has failed");
    fs::rename(&fresh, &ready)?;
    Ok(ready)
}
