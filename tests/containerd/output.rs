//! Everything that a module writes arrives: however much it is, however slowly it is read, and however
//! soon the module ends.

use std::io::{Read, Write};
use std::time::Duration;

use serde_json::{json, Value};
use sha2::{Digest, Sha256};
use tests::plugin::Open;
use tests::shellrt::Shellrt;

use super::{assert_nothing_left, remove, setup};

/// Bytes that look random: newlines come now and then, and so does everything else.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    words.take(size / 8).flat_map(u64::to_le_bytes).collect()
}

/// Creates a module that runs `script`, with `bytes` in the file `/in/bytes`.
fn writer(shellrt: &Shellrt, image: &str, bytes: &[u8], script: &str, mut config: Value) {
    std::fs::write(shellrt.files().join("bytes"), bytes).unwrap();
    config["command"] = json!(["sh", "-c", script]);
    config["mounts"] = json!([{
        "type": "bind", "source": shellrt.files(), "target": "/in", "read_only": true,
    }]);
    shellrt.create("a", image, config);
}

/// The length and the hash of what is still to come.
fn summary(stream: &mut impl Read) -> (u64, String) {
    let (mut hash, mut length) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            read => {
                hash.update(&buffer[..read]);
                length += read as u64;
            }
        }
    }
    (length, hex(hash))
}

/// The same of `bytes`, so many times.
fn summary_of(bytes: &[u8], times: u64) -> (u64, String) {
    let mut hash = Sha256::new();
    (0..times).for_each(|_| hash.update(bytes));
    (bytes.len() as u64 * times, hex(hash))
}

fn hex(hash: Sha256) -> String {
    let bytes = hash.finalize();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_gigabyte_is_in_the_log_byte_by_byte() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    let bytes = noise(16 << 20);
    let script = "n=0; while [ $n -lt 64 ]; do cat /in/bytes; n=$((n+1)); done";
    let log = json!({"log": {"max_size": "4g"}});
    writer(&shellrt, &image, &bytes, script, log);
    shellrt.module("start", "a");
    assert_eq!(shellrt.module("wait", "a")["exit_code"], 0);
    let mut logs = shellrt.open(&json!({"_type": "logs", "name": "a"}));
    assert_eq!(logs.object()["_status"], "ok");
    assert_eq!(summary(&mut logs.stdout), summary_of(&bytes, 64));
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}

/// Reads the first bytes a few at a time, with pauses, and then the rest.
fn slowly(open: &mut Open, pause: Duration) -> Vec<u8> {
    let mut bytes = vec![0; 200];
    for few in bytes.chunks_mut(10) {
        open.stdout.read_exact(few).unwrap();
        std::thread::sleep(pause);
    }
    open.stdout.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn slow_readers_hold_a_module_up_and_lose_nothing() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    // Far more than all the pipes on the way have room for.
    let bytes = noise(24 << 20);
    let script = "cat /in/bytes; cat /in/bytes >&2";
    let log = json!({"log": {"max_size": "200m"}});
    writer(&shellrt, &image, &bytes, script, log);
    let attach = |streams: Value| {
        let request = json!({"_type": "attach", "name": "a", "streams": streams});
        let mut open = shellrt.open(&request);
        assert_eq!(open.object()["_status"], "ok");
        open
    };
    let mut stdout = attach(json!(["stdout"]));
    let mut stderr = attach(json!(["stderr"]));
    let mut both = attach(json!(["stdout", "stderr"]));
    shellrt.module("start", "a");
    // It can't end before its output has been taken.
    assert_eq!(shellrt.module("status", "a")["status"], "running");
    let (stdout, stderr, both) = std::thread::scope(|scope| {
        let stdout = scope.spawn(|| slowly(&mut stdout, Duration::from_millis(20)));
        let stderr = scope.spawn(|| slowly(&mut stderr, Duration::ZERO));
        let both = slowly(&mut both, Duration::from_millis(40));
        (stdout.join().unwrap(), stderr.join().unwrap(), both)
    });
    assert!(stdout == bytes, "{} bytes on stdout", stdout.len());
    assert!(stderr == bytes, "{} bytes on stderr", stderr.len());
    assert_eq!(both.len(), 2 * bytes.len());
    assert_eq!(shellrt.module("wait", "a")["exit_code"], 0);
    for stream in ["stdout", "stderr"] {
        let request = json!({"_type": "logs", "name": "a", "streams": [stream]});
        let log = shellrt.ask(&request).stream.unwrap();
        assert!(
            log == bytes,
            "{} bytes of {stream} are in the log",
            log.len()
        );
    }
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}

#[test]
fn who_follows_sees_each_line_before_the_next_is_written() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.create("a", &image, json!({"command": ["cat"], "stdin": true}));
    let mut follow = shellrt.open(&json!({"_type": "logs", "name": "a", "follow": true}));
    assert_eq!(follow.object()["_status"], "ok");
    let mut attach = shellrt.open(&json!({
        "_type": "attach", "name": "a", "stdin": true, "close_stdin": true,
    }));
    let stdin = attach.stdin.as_mut().unwrap();
    stdin.write_all(&[0]).unwrap();
    shellrt.module("start", "a");
    for number in 0..50 {
        let line = format!("line {number}\n");
        stdin.write_all(line.as_bytes()).unwrap();
        assert_eq!(follow.line(), line);
    }
    // It ends with the module, and has what came last.
    stdin.write_all(b"the end").unwrap();
    drop(attach.stdin.take());
    assert_eq!(follow.line(), "the end");
    assert_eq!(follow.child.wait().unwrap().code(), Some(0));
    assert_eq!(shellrt.module("wait", "a")["exit_code"], 0);
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}

/// How often each of the modules below runs.
const RUNS: usize = 25;

#[test]
fn what_is_written_right_before_the_end_is_never_lost() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.pull(&image);
    // More than a pipe has room for, and no newline at its end.
    let mut bytes = noise(300_000);
    bytes.extend_from_slice(b"end");
    std::fs::write(shellrt.files().join("bytes"), &bytes).unwrap();
    let few = ("echo x; exit 0", b"x\n".to_vec());
    let many = ("cat /in/bytes", bytes);
    let kinds = [
        (few.clone(), false),
        (few, true),
        (many.clone(), false),
        (many, true),
    ];
    std::thread::scope(|scope| {
        for (number, ((script, expected), stdin)) in kinds.into_iter().enumerate() {
            let (shellrt, image) = (&shellrt, &image);
            scope.spawn(move || {
                let name = format!("module-{number}");
                let config = json!({
                    "command": ["sh", "-c", script], "stdin": stdin, "log": {"max_size": "100m"},
                    "mounts": [{"type": "bind", "source": shellrt.files(), "target": "/in"}],
                });
                shellrt.create_only(&name, image, config);
                for run in 1..=RUNS {
                    shellrt.module("start", &name);
                    let status = shellrt.module("wait", &name);
                    assert_eq!(status["exit_code"], 0, "{name}, run {run}: {status}");
                    let log = shellrt.logs(&name);
                    let length = log.len();
                    assert!(
                        log == expected.repeat(run),
                        "{name}, run {run}: {length} bytes"
                    );
                }
                remove(shellrt, &name);
            });
        }
    });
    assert_nothing_left(&shellrt);
}
