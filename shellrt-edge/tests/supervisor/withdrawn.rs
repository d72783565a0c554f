//! Orders that are withdrawn before they are carried out: each deletion is answered, and nothing stays.

use super::*;

/// The deletions that were answered.
fn answers(heard: &Heard) -> Vec<Reason> {
    let ends = heard.ends.lock().expect("no panic");
    ends.iter().map(|end| end.reason.clone()).collect()
}

#[test]
fn while_it_is_prepared() {
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        let order = machine.order_with("m", "lines", json!({"hold": "prepared"}));
        supervisor.create(order).await.expect("room");
        until_reported(&heard, "m waits to be prepared").await;
        supervisor.delete("m", json!(1)).await.expect("it is there");
        until_reported(&heard, "m gone").await;
    });
    assert_eq!(
        heard.reports(),
        ["m waits to be prepared", "m ended None", "m gone"]
    );
    assert_eq!(answers(&heard), [Reason::Deleted(json!(1))]);
    assert_eq!(machine.store().names(), [""; 0]);
}

#[test]
fn while_it_is_pulled() {
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    // A registry that takes connections and never says a word.
    let registry = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = registry.local_addr().expect("an address");
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        let mut order = machine.order("m", "lines");
        let image = format!("{address}/library/program:1");
        order.spec.config.insert("image".to_owned(), json!(image));
        order.spec.image.image = image;
        supervisor.create(order).await.expect("room");
        let accepted = tokio::task::spawn_blocking(move || registry.accept());
        let _connection = accepted.await.expect("no panic").expect("the pull begins");
        supervisor.delete("m", json!(2)).await.expect("it is there");
        until_reported(&heard, "m gone").await;
    });
    assert_eq!(heard.reports(), ["m ended None", "m gone"]);
    assert_eq!(answers(&heard), [Reason::Deleted(json!(2))]);
    assert_eq!(machine.modules(), [""; 0]);
}

/// Whatever it is doing just then: creating, starting, reporting that, or running.
#[test]
fn at_any_moment() {
    const MODULES: u64 = 24;
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        for number in 0..MODULES {
            let id = format!("m{number}");
            let order = machine.order(&id, "ticks");
            supervisor.create(order).await.expect("room");
            // The moments are what is tried here, so this is no wait for something.
            tokio::time::sleep(Duration::from_millis(number * 3)).await;
            supervisor
                .delete(&id, json!(id))
                .await
                .expect("it is there");
        }
        for number in 0..MODULES {
            until_reported(&heard, &format!("m{number} gone")).await;
        }
    });
    let mut answers = answers(&heard);
    answers.sort_by_key(|answer| format!("{answer:?}"));
    let mut expected: Vec<Reason> = (0..MODULES)
        .map(|number| Reason::Deleted(json!(format!("m{number}"))))
        .collect();
    expected.sort_by_key(|answer| format!("{answer:?}"));
    assert_eq!(answers, expected);
    // Also nothing that a plugin was still making when its order was withdrawn.
    assert_eq!(machine.modules(), [""; 0]);
}

#[test]
fn before_its_predecessor_has_gone() {
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        let first = machine.order_with("m", "exit_7", json!({"hold": "ended"}));
        supervisor.create(first).await.expect("room");
        until_reported(&heard, "m waits to be ended").await;
        let none = supervisor.delete("m", json!("late")).await;
        assert_eq!(none, Err(Refused::Unknown("m".to_owned())));
        let second = machine.order("m", "ticks");
        supervisor.create(second).await.expect("room");
        supervisor.delete("m", json!(3)).await.expect("it is there");
        heard.gate.send_replace(true);
        until("both gone", || count(&heard, "m gone") == 2).await;
    });
    let reports = heard.reports();
    assert_eq!(
        reports[2..],
        ["m ended Some(7)", "m gone", "m ended None", "m gone"]
    );
    let expected = [Reason::Itself, Reason::Deleted(json!(3))];
    assert_eq!(answers(&heard), expected);
}
