//! What does not begin.

use shellrt_api::v0::create;

use super::*;

#[test]
fn what_can_not_be_started_says_in_which_step() {
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        let mut refused = machine.order("prepare", "lines");
        refused.note = json!({"refuse": "no file"});
        let missing = machine.order("pull", "there-is-no-such-guest");
        let mut wrong = machine.order("create", "lines");
        wrong.spec.config.insert("memory".to_owned(), json!(1));
        let mut late = machine.order("start", "args");
        // Less than the memory that it begins with, which is only seen then.
        late.spec
            .config
            .insert("mem_limit".to_owned(), json!("64k"));
        for order in [refused, missing, wrong, late] {
            supervisor.create(order).await.expect("room");
        }
        for id in ["prepare", "pull", "create", "start"] {
            until("a report", || {
                heard
                    .reports()
                    .iter()
                    .any(|said| said.starts_with(&format!("{id} failed ")))
            })
            .await;
        }
        until("all gone", || {
            machine.context(&heard).modules.names().is_empty()
        })
        .await;
    });
    let reports = heard.reports();
    let said = |start: &str| reports.iter().any(|said| said.starts_with(start));
    assert!(said("prepare failed Prepare: no file"), "{reports:?}");
    assert!(said("pull failed Pull: "), "{reports:?}");
    assert!(said("create failed Create: "), "{reports:?}");
    assert!(said("start failed Start: "), "{reports:?}");
    assert_eq!(machine.modules(), [""; 0]);
}

/// A module of the same name, which has nothing to do with the daemon.
fn make_foreign(machine: &Machine, name: &str) {
    let Spec {
        image,
        config,
        config_type,
        ..
    } = machine.order(name, "ticks").spec;
    let plugin = &machine.plugin;
    plugin.pull(&image, |_| {}).expect("a program");
    let request = create::Request {
        name: name.to_owned(),
        env: [].into(),
        config_type,
        config: Value::Object(config),
    };
    plugin.call(&request).expect("room");
}

#[test]
fn what_is_somebody_elses_stays() {
    let machine = Machine::new();
    make_foreign(&machine, "taken");
    make_foreign(&machine, "withdrawn");
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        let taken = machine.order("taken", "lines");
        supervisor.create(taken).await.expect("room");
        let withdrawn = machine.order_with("withdrawn", "lines", json!({"hold": "prepared"}));
        supervisor.create(withdrawn).await.expect("room");
        until_reported(&heard, "withdrawn waits to be prepared").await;
        let deleted = supervisor.delete("withdrawn", Value::Null).await;
        deleted.expect("it is there");
        until_reported(&heard, "withdrawn gone").await;
        until_reported(&heard, "taken gone").await;
    });
    let reports = heard.reports();
    let failed = reports
        .iter()
        .position(|said| said.starts_with("taken failed Create: "));
    let gone = reports.iter().position(|said| said == "taken gone");
    assert!(failed.is_some() && failed < gone, "{reports:?}");
    assert_eq!(machine.modules(), ["taken", "withdrawn"]);
}

#[test]
fn a_plugin_that_is_not_there_is_said_at_once() {
    let mut machine = Machine::new();
    let nowhere = Plugin::new(machine.dir.path().join("no-such-plugin"));
    machine.plugins.push(("nowhere".to_owned(), nowhere));
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        for plugin in ["nowhere", "unknown"] {
            let mut order = machine.order(plugin, "lines");
            order.spec.plugin = plugin.to_owned();
            order.spec.remove_image = true;
            supervisor.create(order).await.expect("room");
            until_reported(&heard, &format!("{plugin} gone")).await;
        }
        // That one plugin is missing says nothing about the others.
        let order = machine.order("m", "lines");
        supervisor.create(order).await.expect("room");
        until_reported(&heard, "m ended Some(0)").await;
    });
    let reports = heard.reports();
    assert!(
        reports[0].starts_with("nowhere failed Create: "),
        "{reports:?}"
    );
    let unknown = "unknown failed Create: no plugin \"unknown\" is configured";
    assert_eq!(reports[2], unknown);
    assert!(machine.store().names().len() <= 1);
}
