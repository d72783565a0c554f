//! Output and input, byte by byte.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use sha2::{Digest, Sha256};
use tests::plugin::{until, Open};
use tests::registry::digest;
use tests::shellrt::Shellrt;

use super::{assert_nothing_left, remove, setup};

/// Numbered lines, `size` bytes of them.
fn numbered(size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 16);
    let mut number = 0;
    while bytes.len() < size {
        bytes.extend_from_slice(format!("line {number:09}\n").as_bytes());
        number += 1;
    }
    bytes.truncate(size);
    bytes
}

/// A module that writes the file `times` times as fast as it can.
fn writer(shellrt: &Shellrt, image: &str, bytes: &[u8], times: u32, log: Value) {
    std::fs::write(shellrt.files().join("bytes"), bytes).unwrap();
    let script = format!("n=0; while [ $n -lt {times} ]; do cat /in/bytes; n=$((n+1)); done");
    let mount = json!([{
        "type": "bind", "source": shellrt.files(), "target": "/in", "read_only": true,
    }]);
    let config = json!({"command": ["sh", "-c", script], "mounts": mount, "log": log});
    shellrt.create("a", image, config);
}

#[test]
fn a_gigabyte_as_fast_as_it_comes() {
    const SIZE: usize = 64 << 20;
    const TIMES: u32 = 16;
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    let bytes = numbered(SIZE);
    let log = json!({"max_size": "10m", "max_files": 3});
    writer(&shellrt, &image, &bytes, TIMES, log);
    let mut attach = shellrt.open(&json!({"_type": "attach", "name": "a"}));
    assert_eq!(attach.object()["_status"], "ok");
    shellrt.module("start", "a");
    // Whoever is attached hears all of it.
    let (mut heard, mut count) = (Sha256::new(), 0u64);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = attach.stdout.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        heard.update(&buffer[..read]);
        count += read as u64;
    }
    let mut wanted = Sha256::new();
    (0..TIMES).for_each(|_| wanted.update(&bytes));
    assert_eq!(count, SIZE as u64 * u64::from(TIMES));
    assert!(
        heard.finalize() == wanted.finalize(),
        "other bytes were heard"
    );
    let status = shellrt.module("wait", "a");
    assert_eq!(status["exit_code"], 0, "{status}");
    // The log has the end, as much of it as its files hold, and no byte of it is missing.
    let log = shellrt.logs("a");
    assert!(log.len() > 4 << 20, "{} bytes are in the log", log.len());
    assert!(log.len() <= 30 << 20, "{} bytes are in the log", log.len());
    assert!(
        bytes.ends_with(&log),
        "the log is not the end of what was written"
    );
    assert_eq!(disk_use(&shellrt) / (32 << 20), 0, "{}", disk_use(&shellrt));
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}

/// What the plugin's state directory takes.
fn disk_use(shellrt: &Shellrt) -> u64 {
    fn sum(folder: &std::path::Path) -> u64 {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| match entry.metadata() {
                Ok(found) if found.is_dir() => sum(&entry.path()),
                Ok(found) => found.len(),
                Err(_) => 0,
            })
            .sum()
    }
    sum(shellrt.root())
}

#[test]
fn nothing_is_lost_where_the_log_has_room() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    let bytes = numbered(20_000_001);
    let log = json!({"max_size": "8m", "max_files": 100});
    writer(&shellrt, &image, &bytes, 3, log);
    let follow = shellrt.open(&json!({"_type": "logs", "name": "a", "follow": true}));
    shellrt.module("start", "a");
    let followed = follow.finish().stream.unwrap();
    let wanted = bytes.repeat(3);
    assert!(
        followed == wanted,
        "{} of {} bytes were followed",
        followed.len(),
        wanted.len()
    );
    assert_eq!(shellrt.module("wait", "a")["exit_code"], 0);
    let log = shellrt.logs("a");
    assert!(
        log == wanted,
        "{} of {} bytes are in the log",
        log.len(),
        wanted.len()
    );
    remove(&shellrt, "a");
}

#[test]
fn nobody_who_listens_holds_a_module_up_for_ever() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    // More than all buffers between the module and a client have room for.
    let bytes = numbered(2_000_000);
    writer(&shellrt, &image, &bytes, 1, json!({}));
    // It listens and does not read, so the module waits for it.
    let mut attach = shellrt.open(&json!({"_type": "attach", "name": "a"}));
    assert_eq!(attach.object()["_status"], "ok");
    shellrt.module("start", "a");
    until("the module has begun", || !shellrt.logs("a").is_empty());
    assert_eq!(shellrt.module("status", "a")["status"], "running");
    // It goes away, and the module goes on.
    attach.child.kill().unwrap();
    attach.child.wait().unwrap();
    drop(attach);
    assert_eq!(shellrt.module("wait", "a")["exit_code"], 0);
    assert!(shellrt.logs("a") == bytes);
    remove(&shellrt, "a");
}

/// Opens an attach that feeds.
fn feeding(shellrt: &Shellrt) -> Open {
    let request = json!({"_type": "attach", "name": "a", "stdin": true});
    let mut attach = shellrt.open(&request);
    attach.stdin.as_mut().unwrap().write_all(&[0]).unwrap();
    assert_eq!(attach.object()["_status"], "ok");
    attach
}

/// Says a line, and expects it back.
fn say(attach: &mut Open, line: &str) {
    let stdin = attach.stdin.as_mut().unwrap();
    stdin.write_all(line.as_bytes()).unwrap();
    stdin.flush().unwrap();
    assert_eq!(attach.line(), line);
}

#[test]
fn an_echo_answers_each_line_at_once_and_the_next_client_goes_on() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.create("a", &image, json!({"command": ["cat"], "stdin": true}));
    // First attached, then started.
    let mut first = feeding(&shellrt);
    let early = "said before it runs\n";
    first
        .stdin
        .as_mut()
        .unwrap()
        .write_all(early.as_bytes())
        .unwrap();
    shellrt.module("start", "a");
    assert_eq!(first.line(), early);
    for number in 0..20 {
        // Nothing has to be closed or filled before the answer comes.
        say(&mut first, &format!("line {number}\n"));
    }
    // It is killed, and another one goes on where it was.
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    drop(first);
    let mut second = feeding(&shellrt);
    for number in 20..40 {
        say(&mut second, &format!("line {number}\n"));
    }
    // Its input ends; the module's stays open for a third one, and both hear the answer.
    drop(second.stdin.take());
    let mut third = shellrt.open(&json!({
        "_type": "attach", "name": "a", "stdin": true, "close_stdin": true,
    }));
    third.stdin.as_mut().unwrap().write_all(&[0]).unwrap();
    assert_eq!(third.object()["_status"], "ok");
    say(&mut third, "the last line\n");
    assert_eq!(second.line(), "the last line\n");
    assert_eq!(shellrt.module("status", "a")["status"], "running");
    assert_eq!(third.rest(), b"");
    assert_eq!(second.rest(), b"");
    let status = shellrt.module("wait", "a");
    assert_eq!(status["exit_code"], 0, "{status}");
    // The log has it all.
    let mut wanted = early.to_owned();
    (0..40).for_each(|number| wanted.push_str(&format!("line {number}\n")));
    wanted.push_str("the last line\n");
    assert_eq!(String::from_utf8(shellrt.logs("a")).unwrap(), wanted);
    let request = json!({"_type": "attach", "name": "a", "stdin": true});
    assert_eq!(shellrt.err(&request), 7);
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}

#[test]
fn a_daemon_that_is_restarted_does_not_cut_an_attach() {
    let Some((mut shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.create("a", &image, json!({"command": ["cat"], "stdin": true}));
    shellrt.module("start", "a");
    let mut attach = feeding(&shellrt);
    say(&mut attach, "before\n");
    shellrt.containerd.stop();
    say(&mut attach, "without\n");
    shellrt.containerd.start_again();
    say(&mut attach, "after\n");
    let mut second = feeding(&shellrt);
    say(&mut second, "another\n");
    assert_eq!(attach.line(), "another\n");
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}

#[test]
fn bytes_in_are_bytes_out() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    let mut bytes: Vec<u8> = (0..=255).collect();
    for length in [0, 1, 4095, 4096, 16_383, 16_384, 65_535, 65_537, 1_000_000] {
        bytes.extend(std::iter::repeat_n(b'x', length));
        bytes.push(b'\n');
    }
    bytes.extend(b"no end");
    shellrt.create("a", &image, json!({"command": ["cat"], "stdin": true}));
    let mut attach = shellrt.open(&json!({
        "_type": "attach", "name": "a", "stdin": true, "close_stdin": true,
    }));
    let mut stdin = attach.stdin.take().unwrap();
    stdin.write_all(&[0]).unwrap();
    assert_eq!(attach.object()["_status"], "ok");
    shellrt.module("start", "a");
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let mut heard = Vec::new();
    attach.stdout.read_to_end(&mut heard).unwrap();
    writer.join().unwrap();
    assert_eq!(
        digest(&heard),
        digest(&bytes),
        "{} of {} bytes",
        heard.len(),
        bytes.len()
    );
    assert_eq!(shellrt.module("wait", "a")["exit_code"], 0);
    assert_eq!(digest(&shellrt.logs("a")), digest(&bytes));
    remove(&shellrt, "a");
}

#[test]
fn the_last_word_of_a_short_life_is_in_the_log() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.create("a", &image, json!({"command": ["printf", "no line end"]}));
    let begun = Instant::now();
    let mut runs = 0;
    while runs < 5 || (runs < 30 && begun.elapsed() < Duration::from_secs(15)) {
        shellrt.module("start", "a");
        assert_eq!(shellrt.module("wait", "a")["exit_code"], 0);
        runs += 1;
        assert_eq!(shellrt.logs("a"), b"no line end".repeat(runs));
    }
    remove(&shellrt, "a");
}
