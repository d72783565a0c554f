//! Lives from the order to the end.

use super::*;

#[test]
fn a_life_from_the_order_to_nothing() {
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        supervisor
            .create(machine.order("m-1", "lines"))
            .await
            .expect("room");
        until_reported(&heard, "m-1 gone").await;
        assert_eq!(supervisor.modules().await.len(), 0);
    });
    assert_eq!(
        heard.reports(),
        ["m-1 started", "m-1 ended Some(0)", "m-1 gone"]
    );
    assert_eq!(heard.text(), "one\ntwo\nthree\n");
    assert_eq!(machine.modules(), [""; 0]);
    assert!(machine.context(&heard).modules.names().is_empty());
}

#[test]
fn many_modules_whose_output_nobody_wants() {
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        // More than may be asked something at the same time.
        let ids: Vec<String> = (0..12).map(|number| format!("m{number}")).collect();
        for id in &ids {
            let guest = if id == "m0" { "exit_7" } else { "ticks" };
            let mut order = machine.order(id, guest);
            order.handling.streams.clear();
            supervisor.create(order).await.expect("room");
        }
        until_reported(&heard, "m0 ended Some(7)").await;
        for id in &ids[1..] {
            until_reported(&heard, &format!("{id} started")).await;
            supervisor
                .delete(id, Value::Null)
                .await
                .expect("it is there");
        }
        for id in &ids {
            until_reported(&heard, &format!("{id} gone")).await;
        }
    });
    assert_eq!(heard.text(), "");
}

#[test]
fn deleted_while_it_runs() {
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        supervisor
            .create(machine.order("m", "ticks"))
            .await
            .expect("room");
        until("output", || heard.text().contains("tick")).await;
        supervisor
            .delete("m", json!("note"))
            .await
            .expect("it is there");
        until_reported(&heard, "m gone").await;
        assert_eq!(
            supervisor.delete("m", Value::Null).await,
            Err(Refused::Unknown("m".to_owned()))
        );
    });
    let ends = heard.ends.lock().expect("no panic");
    assert_eq!(ends[0].reason, Reason::Deleted(json!("note")));
    assert_eq!(
        ends[0].status.as_ref().and_then(|status| status.exit_code),
        Some(137)
    );
}

#[test]
fn input_comes_back() {
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        supervisor
            .create(machine.order("m", "echo"))
            .await
            .expect("room");
        until_reported(&heard, "m started").await;
        for line in ["one\n", "two\n"] {
            supervisor
                .input("m", Bytes::from(line))
                .await
                .expect("it reads");
        }
        until("both lines", || heard.text() == "one\ntwo\n").await;
        supervisor.drain(Drain::Stop).await;
    });
    assert_eq!(
        heard.ends.lock().expect("no panic")[0].reason,
        Reason::Shutdown
    );
    assert_eq!(machine.modules(), [""; 0]);
}

#[test]
fn the_same_id_again_before_the_last_of_the_first_is_removed() {
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        let first = machine.order_with("m", "exit_7", json!({"hold": "ended"}));
        supervisor.create(first).await.expect("room");
        until_reported(&heard, "m waits to be ended").await;
        let second = machine.order("m", "exit_0");
        supervisor
            .create(second)
            .await
            .expect("the first has ended");
        let third = supervisor.create(machine.order("m", "exit_0")).await;
        assert_eq!(third, Err(Refused::Exists("m".to_owned())));
        heard.gate.send_replace(true);
        until("both gone", || count(&heard, "m gone") == 2).await;
    });
    assert_eq!(
        heard.reports(),
        [
            "m started",
            "m waits to be ended",
            "m ended Some(7)",
            "m gone",
            "m started",
            "m ended Some(0)",
            "m gone",
        ]
    );
}

#[test]
fn the_end_of_the_daemon_waits_for_what_is_reported() {
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        let order = machine.order_with("m", "ticks", json!({"hold": "ended"}));
        supervisor.create(order).await.expect("room");
        until_reported(&heard, "m started").await;
        let draining = supervisor.drain(Drain::Stop);
        tokio::pin!(draining);
        tokio::select! {
            () = &mut draining => panic!("drained before its end was reported"),
            () = until_reported(&heard, "m waits to be ended") => {}
        }
        let late = supervisor.create(machine.order("n", "ticks")).await;
        assert_eq!(late, Err(Refused::Ending));
        // Nobody will take the report: the module is left to the next daemon.
        supervisor.drain(Drain::Leave).await;
        draining.await;
    });
    assert_eq!(machine.modules(), ["m"]);
    let next = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&next));
        next.gate.send_replace(true);
        until_reported(&next, "m gone").await;
        supervisor.drain(Drain::Stop).await;
    });
    assert!(next.reports().contains(&"m ended Some(137)".to_owned()));
}
