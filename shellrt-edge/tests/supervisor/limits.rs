//! How much there may be: modules, output, idleness.

use shellrt_edge::policy::IdleRule;

use super::*;

#[test]
fn no_more_modules_than_there_may_be() {
    let mut machine = Machine::new();
    machine.max_modules = 2;
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        for id in ["a", "b"] {
            let order = machine.order(id, "ticks");
            supervisor.create(order).await.expect("room");
        }
        let third = supervisor.create(machine.order("c", "ticks")).await;
        assert_eq!(third, Err(Refused::Full(2)));
        let again = supervisor.create(machine.order("a", "ticks")).await;
        assert_eq!(again, Err(Refused::Exists("a".to_owned())));
        supervisor
            .delete("a", Value::Null)
            .await
            .expect("it is there");
        until_reported(&heard, "a gone").await;
        let third = supervisor.create(machine.order("c", "ticks")).await;
        assert_eq!(third, Ok(()));
        supervisor.drain(Drain::Stop).await;
    });
}

#[test]
fn names_are_not_too_long() {
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        for id in [String::new(), "x".repeat(1025)] {
            let refused = supervisor.create(machine.order(&id, "lines")).await;
            assert_eq!(refused, Err(Refused::BadId));
        }
        // One that is no name for a plugin is one for us.
        let id = "../ä\n".repeat(100);
        let order = machine.order(&id, "lines");
        supervisor.create(order).await.expect("room");
        until_reported(&heard, &format!("{id} gone")).await;
    });
    assert_eq!(heard.text(), "one\ntwo\nthree\n");
}

#[test]
fn output_comes_as_fast_as_it_may_and_whole() {
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    let begin = Instant::now();
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        let mut order = machine.order("m", "lines");
        order.handling.rate = 7;
        supervisor.create(order).await.expect("room");
        until_reported(&heard, "m gone").await;
    });
    // Fourteen bytes, seven of which may go at once.
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_eq!(heard.text(), "one\ntwo\nthree\n");
}

#[test]
fn who_is_idle_is_stopped() {
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        for (id, guest) in [("idle", "forever"), ("busy", "spin")] {
            let mut order = machine.order(id, guest);
            order.handling.idle = Some(IdleRule {
                timeout_sec: 1,
                check_interval_sec: 1,
                cpu_threshold_percent: 5.0,
                net_threshold_bytes: 0,
                blkio_threshold_bytes: 0,
            });
            supervisor.create(order).await.expect("room");
        }
        until_reported(&heard, "idle gone").await;
        let views = supervisor.modules_with_usage().await;
        let left: Vec<&str> = views.iter().map(|view| view.order.id.as_str()).collect();
        assert_eq!(left, ["busy"]);
        // Processor time is counted in ticks of a hundredth of a second.
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let views = supervisor.modules_with_usage().await;
            let (usage, _) = views[0].usage.as_ref().expect("it runs");
            if usage.cpu_percent > 0.0 {
                break;
            }
            assert!(Instant::now() < patience, "{usage:?}");
        }
        supervisor.drain(Drain::Stop).await;
    });
    let ends = heard.ends.lock().expect("no panic");
    let reasons: Vec<&Reason> = ends.iter().map(|end| &end.reason).collect();
    assert_eq!(reasons, [&Reason::Idle, &Reason::Shutdown]);
}
