//! A disk that is full.

use super::super::{Error, Options, Writer};
use super::*;
use shellrt_api::v0::Code;
use std::fs;
use std::process::Command;

/// A file system of its own, unmounted at the end.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// `None` where this process may not mount.
    fn new(kib: u32) -> Option<Tmpfs> {
        let dir = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={kib}k"))
            .arg("shellrt-test")
            .arg(dir.path())
            .output();
        let mounted = mount.is_ok_and(|output| output.status.success());
        mounted.then_some(Tmpfs(dir))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_loses_nothing_that_was_written() {
    for seed in 0..6 {
        let Some(tmpfs) = Tmpfs::new(128) else {
            #[allow(clippy::print_stderr, reason = "a test says why it does nothing")]
            {
                eprintln!("ignored: only root may mount a file system");
            }
            return;
        };
        let dir = tmpfs.0.path();
        let mut numbers = Numbers::new(seed);
        let ballast = dir.join("ballast");
        fs::write(&ballast, vec![0; 20 << 10]).unwrap();
        let mut writer = Writer::open(dir, Options::default()).unwrap();
        let mut expected = Vec::new();
        let mut failures = 0;
        for round in 0..200 {
            let (stream, bytes) = (numbers.stream(), numbers.bytes());
            match writer.write(stream, &bytes) {
                Ok(()) => expected.extend_from_slice(&bytes),
                Err(error) => {
                    assert_eq!(error.code(), Code::OUT_OF_RESOURCES);
                    let Error::Write { written, .. } = error else {
                        panic!("{error}");
                    };
                    assert!(written < bytes.len());
                    expected.extend_from_slice(&bytes[..written]);
                    failures += 1;
                    let file = fs::read(dir.join("log")).unwrap();
                    assert!(file.is_empty() || file.ends_with(b"\n"));
                    if failures == 10 {
                        // There is space again.
                        fs::remove_file(&ballast).unwrap();
                    }
                }
            }
            let about = format!("seed {seed} round {round}");
            assert_same(&read_streams(dir, BOTH), &expected, &about);
        }
        assert!(failures > 10, "{failures}");
    }
}
