//! Many clients at once.

use serde_json::{json, Value};
use tests::shellrt::Shellrt;

use super::{assert_nothing_left, remove, run_forever, setup, store, FOREVER};

/// Runs `work` in so many threads; each gets its number.
fn at_once<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|number| scope.spawn(move || work(number)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

#[test]
fn thirty_two_clients_at_once() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    let first_day = store(&shellrt);
    let life = |number: usize| {
        let name = format!("module-{number:02}");
        let labels = json!({"labels": {"number": number.to_string()}});
        run_forever(&shellrt, &name, &image, labels);
        let status = shellrt.module("status", &name);
        assert_eq!(status["status"], "running", "{status}");
        let exec = json!({"_type": "exec", "name": name, "args": ["hostname"]});
        assert_eq!(shellrt.ok(&exec)["exit_code"], 0);
    };
    at_once(32, life);
    let list = shellrt.ok(&json!({"_type": "list", "details": true}));
    let details = list["details"].as_object().unwrap();
    assert_eq!(details.len(), 32);
    for (number, status) in details.values().enumerate() {
        assert_eq!(status["status"], "running", "{status}");
        assert_eq!(status["labels"]["number"], number.to_string(), "{status}");
    }
    at_once(32, |number| {
        let name = format!("module-{number:02}");
        shellrt.ok(&json!({"_type": "stop", "name": name, "timeout": 20}));
        assert_eq!(shellrt.module("status", &name)["exit_code"], 143);
        shellrt.module("remove", &name);
    });
    assert_nothing_left(&shellrt);
    shellrt.ok(&json!({"_type": "img_remove", "image": image}));
    shellrt.ok(&json!({"_type": "prune", "older_than": 0}));
    assert_eq!(store(&shellrt), first_day);
}

/// The codes of the answers, sorted; 0 is success.
fn codes(shellrt: &Shellrt, request: &Value) -> Vec<u64> {
    let mut codes = at_once(8, |_| {
        let answer = shellrt.ask(request).object;
        answer.get("code").map_or(0, |code| code.as_u64().unwrap())
    });
    codes.sort_unstable();
    codes
}

#[test]
fn one_of_many_wins() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.pull(&image);
    let create = json!({
        "_type": "create", "name": "a", "config_type": "containerd",
        "config": {"image": image, "command": ["true"]},
    });
    for _ in 0..3 {
        assert_eq!(codes(&shellrt, &create), [0, 6, 6, 6, 6, 6, 6, 6]);
        assert_eq!(
            codes(&shellrt, &json!({"_type": "start", "name": "a"})),
            [0; 8]
        );
        shellrt.module("wait", "a");
        let remove = json!({"_type": "remove", "name": "a"});
        assert_eq!(codes(&shellrt, &remove), [0, 5, 5, 5, 5, 5, 5, 5]);
    }
    let remove_image = json!({"_type": "img_remove", "image": image});
    let codes = codes(&shellrt, &remove_image);
    assert!(
        codes.contains(&0) && codes.iter().all(|code| [0, 8].contains(code)),
        "{codes:?}"
    );
    assert_nothing_left(&shellrt);
}

#[test]
fn starts_stops_and_removals_get_in_each_others_way_and_nothing_is_half_made() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.pull(&image);
    let kinds = [
        "create", "start", "restart", "stop", "remove", "status", "create", "start",
    ];
    at_once(kinds.len(), |number| {
        for _ in 0..6 {
            let request = match kinds[number] {
                "create" => json!({
                    "_type": "create", "name": "a", "config_type": "containerd",
                    "config": {"image": image, "command": ["sh", "-c", FOREVER]},
                }),
                "stop" => json!({"_type": "stop", "name": "a", "timeout": 5}),
                "remove" => json!({"_type": "remove", "name": "a", "force": true}),
                kind => json!({"_type": kind, "name": "a"}),
            };
            let answer = shellrt.ask(&request).object;
            let code = answer.get("code").map_or(0, |code| code.as_u64().unwrap());
            assert!([0, 5, 6].contains(&code), "{request} => {answer:?}");
        }
    });
    let answer = shellrt.ask(&json!({"_type": "status", "name": "a"})).object;
    if answer["_status"] == "ok" {
        remove(&shellrt, "a");
    }
    assert_nothing_left(&shellrt);
}
