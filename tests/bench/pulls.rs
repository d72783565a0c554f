//! Pulls of a large image, until it can run, with nothing of it on the machine.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;
use tests::image::Compression;
use tests::registry::{self, Registry};
use tests::shellrt::Shellrt;

use super::large::{Large, Tars};
use super::measure::{finish, median, printed, Side};
use super::report::Report;
use super::wasm::Podman;
use super::{memory, tree};

const ROUNDS: usize = 3;

/// Measures them.
pub fn measure(report: &mut Report) {
    let Some(mut shellrt) = Shellrt::start() else {
        return;
    };
    let Some(registry) = Registry::start(&registry::Options::default()) else {
        return;
    };
    // Others begin anew in here.
    let dir = tempfile::tempdir().expect("a directory");
    scatter(dir.path());
    let podman = RefCell::new(Podman::new_in(dir.path()));
    let unpacked = RefCell::new(None);
    let snapshots = "root/io.containerd.snapshotter.v1.overlayfs/snapshots";
    scatter(&shellrt.containerd.folder().join(snapshots));
    let tars = Tars::make();
    for (compression, ctr, other) in [
        (Compression::Gzip, 0.45, Some(0.7)),
        (Compression::Zstd, 0.6, None),
    ] {
        let image = tars.push(&registry, compression);
        let name = format!("{compression:?}").to_lowercase();
        report.note(format!("The image in {name}: {}.", image.description));
        let what = format!("`img_pull` of a large image in {name}");
        let ways = trees(&shellrt, &podman.borrow(), &image);
        report.note(format!(
            "All three pulls of the image in {name} give the same tree; ours goes the way `{ways}`."
        ));
        report.compare(
            &what,
            Some(ctr),
            ROUNDS,
            &mut ours(&shellrt, &image.reference),
            &mut by_ctr(&shellrt, &image.reference),
        );
        if other.is_some() {
            report.compare(
                &what,
                other,
                ROUNDS,
                &mut ours(&shellrt, &image.reference),
                &mut by_podman(&podman, dir.path(), &image.reference),
            );
        }
        report.compare(
            &what,
            None,
            ROUNDS,
            &mut ours(&shellrt, &image.reference),
            &mut by_tar(&unpacked, dir.path(), &image),
        );
        again(report, &shellrt, &image.reference, &name);
        if compression == Compression::Gzip {
            peaks(report, &mut shellrt, &image.reference);
        }
        forget(&shellrt, &image.reference);
    }
}

fn request(image: &str) -> String {
    json!({"_version": "0.1.0", "_type": "img_pull", "image": image}).to_string()
}

/// Takes the image away, and all that belongs to it, and has the disk clean.
fn forget(shellrt: &Shellrt, image: &str) {
    let known = shellrt.containerd.ctr(&["images", "ls", "-q"]);
    for name in known.lines() {
        shellrt.containerd.ctr(&["images", "rm", "--sync", name]);
    }
    assert_eq!(
        shellrt.containerd.ctr(&["content", "ls", "-q"]),
        "",
        "{image}"
    );
    let snapshots = shellrt.containerd.ctr(&["snapshots", "ls"]);
    assert_eq!(snapshots.lines().count(), 1, "{snapshots}");
    rest(shellrt.containerd.folder());
}

/// Has the disk at rest. A file system that tells the disk of what was removed does that after the commit
/// in which it was, and the next commit waits for it.
fn rest(dir: &Path) {
    rustix::fs::sync();
    let path = dir.join("rest");
    let file = File::create(&path).unwrap();
    file.sync_all().unwrap();
    fs::remove_file(&path).unwrap();
    rustix::fs::sync();
}

/// Has what is made in `dir` lie far from what was removed there. For some minutes ext4 uses no inode again
/// and looks at each that it passes over, which took up to half of a pull after another one. The other
/// file systems have nothing like it, and refuse.
fn scatter(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let mut chattr = Command::new("chattr");
    let _ = chattr.arg("+T").arg(dir).stderr(Stdio::null()).status();
}

/// Everything that was written is on the disk, as after ours.
fn settle(dir: &Path) {
    rustix::fs::syncfs(File::open(dir).unwrap()).unwrap();
}

fn ours<'a>(shellrt: &'a Shellrt, image: &'a str) -> Side<'a> {
    Side::prepared(
        "shellrt-containerd",
        move || forget(shellrt, image),
        move || {
            let answer = printed(&mut shellrt.command(), &request(image));
            assert!(
                answer.starts_with(r#"{"_version":"0.1.0","_status":"ok""#),
                "{answer}"
            );
            settle(shellrt.containerd.folder());
            "pulled".to_owned()
        },
    )
}

fn pull_by_ctr(shellrt: &Shellrt, image: &str) -> Command {
    shellrt
        .containerd
        .ctr_command(&["images", "pull", "--plain-http", image])
}

fn by_ctr<'a>(shellrt: &'a Shellrt, image: &'a str) -> Side<'a> {
    Side::prepared(
        "ctr images pull",
        move || forget(shellrt, image),
        move || {
            finish(&mut pull_by_ctr(shellrt, image), "");
            settle(shellrt.containerd.folder());
            "pulled".to_owned()
        },
    )
}

fn pull_by_podman(podman: &Podman, image: &str) {
    finish(
        &mut podman.command(&["pull", "--quiet", "--tls-verify=false", image]),
        "",
    );
}

fn by_podman<'a>(podman: &'a RefCell<Podman>, dir: &'a Path, image: &'a str) -> Side<'a> {
    Side::prepared(
        "podman pull",
        move || {
            *podman.borrow_mut() = Podman::new_in(dir);
            rest(dir);
        },
        move || {
            pull_by_podman(&podman.borrow(), image);
            settle(dir);
            "pulled".to_owned()
        },
    )
}

/// The floor: the layers lie here already, nothing is verified and nothing is kept but the files.
fn by_tar<'a>(tree: &'a RefCell<Option<TempDir>>, dir: &'a Path, image: &'a Large) -> Side<'a> {
    Side::prepared(
        "GNU tar of the layers",
        move || {
            *tree.borrow_mut() = Some(tempfile::tempdir_in(dir).unwrap());
            rest(dir);
        },
        move || {
            let tree = tree.borrow();
            for layer in &image.layers {
                let mut tar = Command::new("tar");
                let packer = match layer.to_string_lossy().contains("Zstd") {
                    true => "--zstd",
                    false => "--gzip",
                };
                tar.args(["--extract", packer, "--file"])
                    .arg(layer)
                    .arg("--directory")
                    .arg(tree.as_ref().unwrap().path());
                finish(&mut tar, "");
            }
            settle(dir);
            "pulled".to_owned()
        },
    )
}

/// A pull of what is here already.
fn again(report: &mut Report, shellrt: &Shellrt, image: &str, name: &str) {
    shellrt.pull(image);
    let mut ours = Side::new("shellrt-containerd", || {
        let answer = printed(&mut shellrt.command(), &request(image));
        assert!(answer.contains(r#""bytes_fetched":0"#), "{answer}");
        "pulled".to_owned()
    });
    let mut peer = Side::new("ctr images pull", || {
        finish(&mut pull_by_ctr(shellrt, image), "");
        "pulled".to_owned()
    });
    let what = format!("`img_pull` of it again ({name}), nothing changed");
    report.compare(&what, Some(0.25), 30, &mut ours, &mut peer);
}

/// Has each side pull, compares the trees, and gives back which way ours went.
fn trees(shellrt: &Shellrt, podman: &Podman, image: &Large) -> String {
    let mount = tempfile::tempdir().expect("a directory");
    let dir = mount.path().to_str().expect("text");
    let mounted = || {
        shellrt
            .containerd
            .ctr(&["images", "mount", &image.reference, dir]);
        let digest = tree::digest(mount.path());
        shellrt.containerd.ctr(&["images", "unmount", "--rm", dir]);
        forget(shellrt, &image.reference);
        digest
    };
    let way = shellrt.pull(&image.reference)["unpack"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let ours = mounted();
    finish(&mut pull_by_ctr(shellrt, &image.reference), "");
    assert_eq!(ours, mounted(), "ctr");
    pull_by_podman(podman, &image.reference);
    let path = printed(
        &mut podman.command(&["image", "mount", &image.reference]),
        "",
    );
    assert_eq!(ours, tree::digest(Path::new(path.trim())), "podman");
    finish(
        &mut podman.command(&["image", "unmount", &image.reference]),
        "",
    );
    way
}

/// How much memory pulls take: the client, and what the daemon has more of meanwhile.
fn peaks(report: &mut Report, shellrt: &mut Shellrt, image: &str) {
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    let mut alone = Vec::new();
    for _ in 0..3 {
        for is_ours in [true, false] {
            forget(shellrt, image);
            // Each begins with a daemon that has done nothing yet.
            shellrt.containerd.stop();
            shellrt.containerd.start_again();
            let daemon = shellrt.containerd.pid().expect("it runs");
            let (growth, client) = memory::growth_of(daemon, || match is_ours {
                true => memory::peak_of(&mut shellrt.command(), &request(image)),
                false => memory::peak_of(&mut pull_by_ctr(shellrt, image), ""),
            });
            match is_ours {
                true => {
                    ours.push(client + growth);
                    alone.push(client);
                }
                false => peer.push(client + growth),
            }
        }
    }
    let what = "peak memory of `img_pull`: the client, and what the daemon takes more";
    let peer = ("ctr images pull", median(&peer));
    report.megabytes(what, median(&ours), Some(peer), None);
    let what = "peak memory of `img_pull`: the client alone";
    report.megabytes(what, median(&alone), None, Some(64.0));
}
