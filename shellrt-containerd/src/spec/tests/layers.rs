//! Files in the layers of an image, as overlayfs would show them. Where root may mount, overlayfs
//! itself is asked too.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FileType, Mode, XattrFlags};

use super::super::Layers;

fn write(layer: &Path, path: &str, content: &str) {
    let path = layer.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn whiteout(layer: &Path, path: &str) {
    let path = layer.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        FileType::CharacterDevice,
        Mode::empty(),
        0,
    )
    .unwrap();
}

/// Without root an opaque directory has another mark, and there are no device nodes.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        assert!(std::env::var_os("CI").is_none(), "this test needs root");
        println!("ignored: only root can make whiteouts");
    }
    root
}

#[test]
fn a_snapshot_by_its_mounts() {
    let of = |kind: &str, source: &str, options: &[&str]| {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        Layers::of_mount(kind, source, &options)
    };
    let layers = |paths: &[&str]| Some(Layers(paths.iter().map(PathBuf::from).collect()));
    let options = [
        "index=off",
        "workdir=/s/9/work",
        "upperdir=/s/9/fs",
        "lowerdir=/s/8/fs:/s/7/fs",
    ];
    assert_eq!(
        of("overlay", "overlay", &options),
        layers(&["/s/9/fs", "/s/8/fs", "/s/7/fs"])
    );
    assert_eq!(
        of("overlay", "overlay", &["lowerdir=/a\\:b:/c"]),
        layers(&["/a:b", "/c"])
    );
    assert_eq!(
        of("bind", "/s/1/fs", &["rw", "rbind"]),
        layers(&["/s/1/fs"])
    );
    assert_eq!(of("ext4", "/dev/mapper/pool-snap-1", &[]), None);
}

#[test]
fn as_overlayfs_would_show_them() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [top, middle, bottom] = ["top", "middle", "bottom"].map(|name| dir.path().join(name));
    for (layer, path, content) in [
        (&bottom, "etc/passwd", "bottom"),
        (&bottom, "etc/group", "bottom"),
        (&bottom, "gone/file", "bottom"),
        (&bottom, "opaque/old", "bottom"),
        (&bottom, "replaced", "a file below a directory"),
        (&bottom, "hidden/under/file", "bottom"),
        (&middle, "etc/passwd", "middle"),
        (&middle, "opaque/new", "middle"),
        (&middle, "replaced/file", "middle"),
        (&middle, "hidden", "a file above a directory"),
        (&top, "etc/shadow", "top"),
        (&top, "back/again", "top"),
        (&bottom, "back/below", "bottom"),
        (&bottom, "nix/store/users", "found by links"),
    ] {
        write(layer, path, content);
    }
    whiteout(&middle, "gone");
    whiteout(&top, "etc/group");
    whiteout(&middle, "back");
    let opaque = middle.join("opaque");
    rustix::fs::setxattr(&opaque, "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    symlink("/nix/store/users", top.join("etc/absolute")).unwrap();
    symlink("../nix/./store/users", top.join("etc/relative")).unwrap();
    symlink("../../../../nix/store", top.join("etc/above")).unwrap();
    symlink("loop", top.join("loop")).unwrap();
    // A layer's links mean the container's paths: this one is not the machine's file.
    write(dir.path(), "secret", "of the machine");
    symlink(dir.path().join("secret"), top.join("escape")).unwrap();
    symlink("/", top.join("root")).unwrap();

    let layers = Layers(vec![top.clone(), middle.clone(), bottom.clone()]);
    let read = |path: &str| {
        let content = layers.read(path).unwrap();
        content.map(|content| String::from_utf8(content).unwrap())
    };
    let expected = [
        ("/etc/passwd", Some("middle")),
        ("/etc/shadow", Some("top")),
        ("/etc/group", None),
        ("/gone/file", None),
        ("/opaque/new", Some("middle")),
        ("/opaque/old", None),
        ("/replaced/file", Some("middle")),
        ("/hidden/under/file", None),
        ("/hidden", Some("a file above a directory")),
        ("/back/again", Some("top")),
        ("/back/below", None),
        ("/etc/absolute", Some("found by links")),
        ("/etc/relative", Some("found by links")),
        ("/etc/above/users", Some("found by links")),
        ("/root/root/etc/../etc/passwd", Some("middle")),
        ("/loop", None),
        ("/escape", None),
        ("/etc", None),
        ("/no/such/file", None),
    ];
    for (path, content) in expected {
        assert_eq!(read(path).as_deref(), content, "{path}");
    }

    // The judge: the kernel's own view, looked at from inside, where links mean the same.
    let merged = dir.path().join("merged");
    fs::create_dir(&merged).unwrap();
    let lower = [&top, &middle, &bottom]
        .map(|layer| layer.display().to_string())
        .join(":");
    fs::copy("/bin/busybox", top.join("busybox")).unwrap();
    let script = format!(
        "mount -t overlay overlay -o lowerdir={lower} {0} && chroot {0} /busybox sh -c '{1}'",
        merged.display(),
        expected
            .iter()
            .map(|(path, _)| format!("[ -f {path} ] && /busybox cat {path}; echo;"))
            .collect::<String>(),
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let kernel: Vec<&str> = text.lines().collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(kernel.len(), expected.len(), "{text}{errors}");
    for ((path, content), line) in expected.iter().zip(kernel) {
        assert_eq!(line, content.unwrap_or_default(), "{path}");
    }
}
