//! What is read of a machine, from texts as kernels and programs write them.

use std::path::{Path, PathBuf};

use super::super::host::{
    architecture, cpu_list, hard_limits, kernel, mounts, profiles, HostMount,
};
use super::super::Host;
use super::texts;

#[test]
fn versions_and_processors() {
    assert_eq!(kernel("6.1.0-18-amd64"), (6, 1));
    assert_eq!(kernel("3.12-1"), (3, 12));
    assert_eq!(kernel("5.15.0-1034-raspi"), (5, 15));
    assert_eq!(kernel("7"), (7, 0));
    for (machine, name) in [
        ("x86_64", "amd64"),
        ("i686", "386"),
        ("aarch64", "arm64"),
        ("armv7l", "arm"),
        ("riscv64", "riscv64"),
        ("ppc64le", "ppc64le"),
    ] {
        assert_eq!(architecture(machine), name);
    }
    assert_eq!(cpu_list("0-2,7").unwrap(), [0, 1, 2, 7].into());
    assert_eq!(cpu_list("3").unwrap(), [3].into());
    for text in ["", "a", "3-1", "0-99999999", "1,"] {
        assert!(cpu_list(text).is_none(), "{text}");
    }
}

/// The lines are those of proc_pid_mountinfo(5) and of a machine with a blank in a path.
#[test]
fn mounts_of_the_machine() {
    let text = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n\
        22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
        23 22 0:5 / /media/usb\\040disk rw shared:7 master:2 - vfat /dev/sdb1 rw\n\
        24 22 0:6 / /proc rw - proc proc rw\n";
    let mount = |target: &str, shared, slave| HostMount {
        target: PathBuf::from(target),
        shared,
        slave,
    };
    let expected = [
        mount("/mnt2", false, true),
        mount("/", true, false),
        mount("/media/usb disk", true, true),
        mount("/proc", false, false),
    ];
    assert_eq!(mounts(text), expected);
}

#[test]
fn loaded_profiles() {
    let text =
        "docker-default (enforce)\n/usr/sbin/cupsd (complain)\nnvidia_modprobe//kmod (enforce)\n";
    let expected = texts(&["docker-default", "/usr/sbin/cupsd", "nvidia_modprobe//kmod"]);
    assert_eq!(profiles(text), expected);
}

/// The text is a shortened one of a machine; its columns are those of proc_pid_limits(5).
#[test]
fn limits_of_the_daemon() {
    let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
        Max cpu time              unlimited            unlimited            seconds   \n\
        Max open files            1024                 524288               files     \n\
        Max locked memory         8388608              8388609              bytes     \n\
        Max nice priority         0                    7                    \n";
    let expected = [
        ("cpu", u64::MAX),
        ("nofile", 524_288),
        ("memlock", 8_388_609),
        ("nice", 7),
    ];
    let expected = expected.map(|(name, limit)| (name.to_owned(), limit));
    assert_eq!(hard_limits(text), expected.into());
    assert_eq!(Host::read(None).hard_limits.len(), 15);
}

/// What can be said of any machine that runs this.
#[test]
fn this_machine() {
    let host = Host::read(None);
    assert!(host.has_kernel((3, 10)), "{:?}", host.kernel);
    assert!(!host.cpus.is_empty());
    assert!(host.max_open_files >= 1024);
    assert!(host
        .mounts
        .iter()
        .any(|mount| mount.target == Path::new("/")));
    assert_eq!(
        host,
        Host::read(Some(i32::try_from(std::process::id()).unwrap()))
    );
}
