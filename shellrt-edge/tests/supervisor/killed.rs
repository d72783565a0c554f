//! A daemon that is killed, and the next one.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use shellrt_api::v0::{logs, remove};
use shellrt_edge::store::Record;

use super::*;

#[test]
fn the_next_daemon_goes_on_where_this_one_was_killed() {
    let machine = Machine::new();
    let first = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&first));
        for id in ["runs", "ends"] {
            supervisor
                .create(machine.order(id, "ticks"))
                .await
                .expect("room");
        }
        until_reported(&first, "runs started").await;
        until_reported(&first, "ends started").await;
        until("output", || first.text().len() > 100).await;
    });
    // The runtime is gone with everything in it, as after kill -9.
    let stop = shellrt_api::v0::stop::Request {
        name: "ends".to_owned(),
        timeout: Some(0),
    };
    machine.plugin.call(&stop).expect("it runs");
    let second = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&second));
        until_reported(&second, "ends gone").await;
        until("output", || second.text().contains("tick")).await;
        let again = supervisor.create(machine.order("runs", "ticks")).await;
        assert_eq!(again, Err(Refused::Exists("runs".to_owned())));
        let views = supervisor.modules().await;
        let stages: Vec<(&str, Stage)> = views
            .iter()
            .map(|view| (view.order.id.as_str(), view.stage))
            .collect();
        assert_eq!(stages, [("runs", Stage::Running)]);
        supervisor.drain(Drain::Stop).await;
    });
    let reports = second.reports();
    assert_eq!(reports[..2], ["ends ended Some(137)", "ends gone"]);
    assert!(!reports.contains(&"runs started".to_owned()), "{reports:?}");
}

/// What a module has written since it was started.
fn whole_log(machine: &Machine, name: &str) -> String {
    let request = logs::Request {
        name: name.to_owned(),
        ..Default::default()
    };
    let (_, mut stream) = machine.plugin.open(&request).expect("a log");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text");
    text
}

#[test]
fn output_goes_on_behind_what_was_acknowledged() {
    const TAKEN: usize = 200;
    let machine = Machine::new();
    let first = Arc::new(Heard {
        takes: Some(TAKEN),
        ..Heard::default()
    });
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&first));
        let order = machine.order("m", "count");
        supervisor.create(order).await.expect("room");
        until("a mark", || {
            machine.store().position("m", Stream::Stdout).is_some()
        })
        .await;
        until("more than is taken", || {
            first.text().len() > 2 * TAKEN / 3 * 2
        })
        .await;
    });
    let second = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&second));
        until("output", || second.text().len() > TAKEN).await;
        supervisor.drain(Drain::Leave).await;
    });
    let whole = whole_log(&machine, "m");
    let (before, after) = (first.text(), second.text());
    assert!(whole.starts_with(&before), "{before:?}");
    let from = whole.find(&after).expect("a piece of the log");
    assert!(0 < from && from <= TAKEN, "{from}: {after:?}");
    assert!(from <= before.len(), "something is missing");
}

/// Changes what the daemon remembers of a module, while there is none.
fn rewrite(machine: &Machine, name: &str, change: impl FnOnce(&mut Record)) {
    let store = machine.store();
    let mut record = store.recall(name).expect("a record");
    change(&mut record);
    store.remember(name, &record).expect("a disk");
}

/// Lets a daemon start the modules `ids`, and kills it.
fn start_and_kill(machine: &Machine, ids: &[&str]) {
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        for id in ids {
            let order = machine.order(id, "ticks");
            supervisor.create(order).await.expect("room");
        }
        for id in ids {
            until_reported(&heard, &format!("{id} started")).await;
            // The report is remembered a moment later.
            until("a confirmation", || {
                machine
                    .store()
                    .recall(id)
                    .is_some_and(|record| record.confirmed)
            })
            .await;
        }
    });
}

#[test]
fn what_was_asked_before_is_done_by_the_next() {
    let machine = Machine::new();
    start_and_kill(&machine, &["deleted", "reported", "removed", "both"]);
    rewrite(&machine, "deleted", |record| {
        record.deleted = Some(json!(1))
    });
    rewrite(&machine, "both", |record| record.deleted = Some(json!(2)));
    rewrite(&machine, "reported", |record| record.ended = true);
    for name in ["removed", "both"] {
        let name = name.to_owned();
        let remove = remove::Request { name, force: true };
        machine.plugin.call(&remove).expect("it is there");
    }
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        for id in ["deleted", "reported", "removed", "both"] {
            until_reported(&heard, &format!("{id} gone")).await;
        }
        supervisor.drain(Drain::Stop).await;
    });
    let mut reports = heard.reports();
    reports.retain(|said| !said.ends_with(" gone"));
    reports.sort();
    assert_eq!(
        reports,
        [
            "both ended None",
            "deleted ended Some(137)",
            "removed ended None"
        ]
    );
    let ends = heard.ends.lock().expect("no panic");
    let reasons: Vec<&Reason> = ends.iter().map(|end| &end.reason).collect();
    for reason in [json!(1), json!(2)].map(Reason::Deleted) {
        assert!(reasons.contains(&&reason), "{reasons:?}");
    }
    assert!(reasons.contains(&&Reason::Itself), "{reasons:?}");
    assert_eq!(machine.modules(), [""; 0]);
    assert_eq!(machine.store().names(), [""; 0]);
}

#[test]
fn what_was_accepted_and_never_began_has_failed() {
    let machine = Machine::new();
    let first = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&first));
        let order = machine.order_with("m", "lines", json!({"hold": "prepared"}));
        supervisor.create(order).await.expect("room");
        until_reported(&first, "m waits to be prepared").await;
    });
    let second = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&second));
        until_reported(&second, "m gone").await;
        supervisor.drain(Drain::Stop).await;
    });
    let reports = second.reports();
    assert!(reports[0].starts_with("m failed Create: "), "{reports:?}");
    assert_eq!(reports.len(), 2, "{reports:?}");
}

#[test]
fn what_was_created_and_not_started_is_started() {
    let machine = Machine::new();
    // As after a kill between create and start.
    let order = machine.order("m", "lines");
    let mut record = Record::of(&order);
    record.plugin = Some("wasm".to_owned());
    machine.store().remember("m", &record).expect("a disk");
    let plugin = &machine.plugin;
    plugin.pull(&order.spec.image, |_| {}).expect("a program");
    plugin.call(&order.create("test/rt")).expect("room");
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        until_reported(&heard, "m gone").await;
        supervisor.drain(Drain::Stop).await;
    });
    assert_eq!(heard.reports(), ["m started", "m ended Some(0)", "m gone"]);
}

#[test]
fn who_does_not_adopt_removes() {
    let mut machine = Machine::new();
    start_and_kill(&machine, &["m"]);
    machine.adopt = false;
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        until_reported(&heard, "m gone").await;
        supervisor.drain(Drain::Stop).await;
    });
    assert_eq!(heard.reports(), ["m gone"]);
    assert_eq!(machine.modules(), [""; 0]);
}

#[test]
fn a_plugin_that_answers_late() {
    let mut machine = Machine::new();
    start_and_kill(&machine, &["deleted", "kept"]);
    // The same plugin, once a file is there.
    let (script, go) = (
        machine.dir.path().join("late"),
        machine.dir.path().join("go"),
    );
    let text = format!(
        "#!/bin/sh\n[ -e {} ] || exit 1\nexec {}\n",
        go.display(),
        program("shellrt-wasm").display()
    );
    std::fs::write(&script, text).expect("a disk");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("ours");
    let late = Plugin::new(&script).env("SHELLRT_WASM_ROOT", machine.dir.path().join("wasm"));
    machine.plugins[0].1 = late;
    let other = machine.plugin.clone();
    machine.plugins.push(("other".to_owned(), other));
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        // What is remembered is there, whether it was found or not.
        let again = supervisor.create(machine.order("kept", "ticks")).await;
        assert_eq!(again, Err(Refused::Exists("kept".to_owned())));
        let deleted = supervisor.delete("deleted", json!(1)).await;
        deleted.expect("it is there");
        // Other plugins do not wait.
        let mut order = machine.order("new", "lines");
        order.spec.plugin = "other".to_owned();
        supervisor.create(order).await.expect("room");
        until_reported(&heard, "new gone").await;
        std::fs::write(&go, "").expect("a disk");
        until_reported(&heard, "deleted gone").await;
        until("output", || heard.text().contains("tick")).await;
        supervisor.drain(Drain::Stop).await;
    });
    let ends = heard.ends.lock().expect("no panic");
    let deleted = ends.iter().map(|end| &end.reason);
    assert_eq!(
        deleted
            .filter(|reason| **reason == Reason::Deleted(json!(1)))
            .count(),
        1
    );
    assert!(!heard.reports().contains(&"kept failed".to_owned()));
}
