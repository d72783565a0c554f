//! A plugin that is killed at any moment: the same request again gets through, and nothing is left.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tests::shellrt::Shellrt;

use super::{assert_nothing_left, setup, store, FOREVER};

/// How often the plugin is killed.
const KILLS: usize = 200;

/// Numbers that look like chance and are the same each time.
struct Chance(u64);

impl Chance {
    /// At most `most`.
    fn up_to(&mut self, most: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        most.mul_f64((self.0 >> 11) as f64 / (1u64 << 53) as f64)
    }
}

/// Sends a request and kills the plugin after `patience`; whether it had answered by then.
fn send_and_kill(shellrt: &Shellrt, request: &Value, patience: Duration) -> bool {
    let mut request = request.clone();
    request["_version"] = json!("0.1.0");
    let mut child = shellrt.command().spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(request.to_string().as_bytes()).unwrap();
    std::thread::sleep(patience);
    // Nobody has waited for it: it can't be another process.
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    !output.stdout.is_empty()
}

#[test]
fn killed_two_hundred_times() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    let config = json!({"image": image, "command": ["sh", "-c", FOREVER]});
    let life = [
        (json!({"_type": "img_pull", "image": image}), 0),
        (
            json!({"_type": "create", "name": "a", "config_type": "containerd", "config": config}),
            6,
        ),
        (json!({"_type": "start", "name": "a"}), 0),
        (json!({"_type": "stop", "name": "a", "timeout": 10}), 0),
        (json!({"_type": "remove", "name": "a"}), 5),
        (json!({"_type": "img_remove", "image": image}), 8),
    ];
    let first_day = store(&shellrt);
    // Once undisturbed, to know how long each takes.
    let mut takes = Vec::new();
    for (request, _) in &life {
        let begun = Instant::now();
        shellrt.ok(request);
        takes.push(begun.elapsed());
    }
    assert_eq!(store(&shellrt), first_day);
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut kills, mut answered) = (0, 0);
    while kills < KILLS {
        for ((request, done_already), takes) in life.iter().zip(&takes) {
            let patience = chance.up_to(takes.mul_f64(1.1));
            kills += 1;
            answered += usize::from(send_and_kill(&shellrt, request, patience));
            let answer = shellrt.ask(request).object;
            let code = answer.get("code").map_or(0, |code| code.as_u64().unwrap());
            assert!(
                code == 0 || code == *done_already,
                "killed after {patience:?} of {takes:?}: {request} => {answer:?}"
            );
            match request["_type"].as_str() {
                Some("start") => {
                    let status = shellrt.module("status", "a");
                    assert_eq!(status["status"], "running", "after {patience:?}: {status}");
                }
                Some("stop") => {
                    let status = shellrt.module("status", "a");
                    assert_eq!(status["state"], "exited", "after {patience:?}: {status}");
                }
                _ => {}
            }
        }
        assert_nothing_left(&shellrt);
        shellrt.ok(&json!({"_type": "prune", "images": true, "older_than": 0}));
        assert_eq!(store(&shellrt), first_day, "after {kills} kills");
    }
    // Kills that all come too late or too early would prove nothing.
    assert!(
        answered > KILLS / 50 && answered < KILLS / 2,
        "{answered} of {kills} had answered"
    );
}
