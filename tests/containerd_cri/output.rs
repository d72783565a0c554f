//! What a module writes, and the log that containerd writes and we rotate.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::{ready, World};

/// The files of the log of a module, by their names, with their sizes.
fn files(world: &World, name: &str) -> Vec<(String, u64)> {
    let found = find(world.shellrt.root().to_owned(), name);
    let entries = fs::read_dir(found.expect("the module's directory").join("log")).unwrap();
    let mut files: Vec<(String, u64)> = entries
        .flatten()
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, entry.metadata().unwrap().len())
        })
        .collect();
    files.sort();
    files
}

/// The directory called `name` below `top`.
fn find(top: PathBuf, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(&top).ok()?.flatten();
    let folders = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    let mut folders: Vec<PathBuf> = folders.collect();
    folders.sort();
    let own = folders
        .iter()
        .find(|path| path.ends_with(format!("cri/{name}")));
    match own {
        Some(own) => Some(own.clone()),
        None => folders.into_iter().find_map(|folder| find(folder, name)),
    }
}

#[test]
fn every_line_of_both_streams_is_there() {
    let Some(world) = ready() else {
        return;
    };
    let script = "i=0; while [ $i -lt 3000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; \
                  printf %s unfinished; head -c 40000 /dev/zero | tr '\\0' x; sleep 1";
    // Some releases of containerd lose what they have not read when a program ends.
    world.run("web", script);
    assert_eq!(world.shellrt.module("wait", "web")["exit_code"], 0);
    let stream = |name: &str| {
        let request = json!({"_type": "logs", "name": "web", "streams": [name]});
        String::from_utf8(world.shellrt.ask(&request).stream.unwrap()).unwrap()
    };
    let lines = |word: &str| {
        (0..3000)
            .map(|n| format!("{word} {n}\n"))
            .collect::<String>()
    };
    assert_eq!(stream("stderr"), lines("err"));
    let out = lines("out") + "unfinished" + &"x".repeat(40_000);
    assert_eq!(stream("stdout"), out);
    // Times are whole, whatever containerd has made of them.
    let request =
        json!({"_type": "logs", "name": "web", "timestamps": true, "streams": ["stderr"]});
    let stamped = world.shellrt.ask(&request).stream.unwrap();
    let stamped = String::from_utf8(stamped).unwrap();
    for (number, line) in stamped.lines().enumerate() {
        let (time, text) = line.split_once(' ').unwrap();
        assert_eq!(text, format!("err {number}"));
        assert_eq!((time.len(), &time[29..]), (30, "Z"), "{time}");
    }
    let middle = stamped.lines().nth(1500).unwrap();
    let status = world.shellrt.module("status", "web");
    let since = json!({
        "_type": "logs", "name": "web", "streams": ["stderr"],
        "since_ns": status["started_at"],
    });
    assert_eq!(
        world.shellrt.ask(&since).stream.unwrap().len(),
        lines("err").len(),
        "{middle}"
    );
    world.remove("web");
    world.assert_nothing_left();
}

#[test]
fn a_log_is_rotated_by_whoever_asks() {
    let Some(world) = ready() else {
        return;
    };
    let script = "trap 'exit 143' TERM; n=0; while :; do echo $n; n=$((n+1)); sleep 0.001; done";
    world.create(
        "web",
        script,
        json!({"log": {"max_size": "4k", "max_files": 3}}),
    );
    world.shellrt.module("start", "web");
    let names = |files: &[(String, u64)]| -> Vec<String> {
        files.iter().map(|(name, _)| name.clone()).collect()
    };
    super::until("the log has been rotated twice", || {
        world.shellrt.module("status", "web");
        names(&files(&world, "web")) == ["log", "log.1", "log.2"]
    });
    // It goes on in the new file: what is there has no gap.
    world.shellrt.module("stop", "web");
    let text = String::from_utf8(world.shellrt.logs("web")).unwrap();
    let numbers: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.len() > 100, "{text}");
    let first = numbers[0];
    let expected: Vec<u64> = (first..first + numbers.len() as u64).collect();
    assert_eq!(numbers, expected);
    assert_eq!(files(&world, "web").len(), 3);
    world.remove("web");
    world.assert_nothing_left();
}

#[test]
fn who_follows_sees_every_line_over_rotations() {
    let Some(world) = ready() else {
        return;
    };
    let script = "n=0; while [ $n -lt 2000 ]; do echo $n; n=$((n+1)); sleep 0.002; done";
    world.create(
        "web",
        script,
        json!({"log": {"max_size": "8k", "max_files": 20}}),
    );
    // Attached before the start, nothing is missed.
    let attach = json!({"_type": "attach", "name": "web", "stdin": false});
    let attached = world.shellrt.open(&attach);
    let follow = json!({"_type": "logs", "name": "web", "follow": true});
    let followed = world.shellrt.open(&follow);
    std::thread::sleep(std::time::Duration::from_millis(200));
    world.shellrt.module("start", "web");
    let expected: String = (0..2000).map(|n| format!("{n}\n")).collect();
    for open in [attached, followed] {
        let stream = String::from_utf8(open.finish().stream.unwrap()).unwrap();
        assert_eq!(stream.len(), expected.len());
        assert_eq!(stream, expected);
    }
    assert!(files(&world, "web").len() > 2);
    let stdin = json!({"_type": "attach", "name": "web", "stdin": true});
    assert_eq!(world.shellrt.err(&stdin), 7);
    world.remove("web");
    world.run_forever("forever");
    assert_eq!(
        world
            .shellrt
            .err(&json!({"_type": "attach", "name": "forever", "stdin": true})),
        7
    );
    world.remove("forever");
    world.assert_nothing_left();
}
