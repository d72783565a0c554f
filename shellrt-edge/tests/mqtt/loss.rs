//! Connections that are lost: nothing of what was acknowledged, and nothing of what was not.

use std::collections::BTreeSet;
use std::time::Duration;

use shellrt_edge::mqtt::Event;

use crate::broker::{Broker, Options, Recorder};
use crate::client::{keep_log, logged, message, settings, until, Client};

/// Waits until a client was connected that often.
fn connects(client: &Client, times: u64) {
    until(&format!("connection {times}"), || {
        let counters = client.mqtt().counters();
        (counters.connects >= times && counters.connected).then_some(())
    });
}

/// What was recorded on a topic, as numbers.
fn numbers(recorder: &Recorder, topic: &str) -> Vec<usize> {
    let messages = recorder.on(topic).into_iter();
    messages
        .map(|message| message.text().parse().unwrap())
        .collect()
}

#[test]
fn a_recorder_misses_nothing_when_the_broker_is_killed() {
    let options = Options {
        password: true,
        ..Options::default()
    };
    let Some(mut broker) = Broker::start(&options) else {
        return;
    };
    let recorder = broker.record("a/#");
    broker.publish("a/1", "one\ntwo");
    broker.publish("b", "not recorded");
    broker.publish("a/2", [0xff, 0x00]);
    broker.publish_lines("a/3", &["x", "y"]);
    broker.kill();
    broker.restart();
    broker.publish("a/ 4", "");
    let last = recorder.wait_for("a/ 4");
    assert_eq!((last.payload.len(), last.retained), (0, false));
    let messages = recorder.messages().into_iter();
    let seen: Vec<_> = messages
        .map(|message| (message.topic, message.payload))
        .collect();
    let expected: [(&str, &[u8]); 5] = [
        ("a/1", b"one\ntwo"),
        ("a/2", &[0xff, 0x00]),
        ("a/3", b"x"),
        ("a/3", b"y"),
        ("a/ 4", b""),
    ];
    let expected = expected.map(|(topic, payload)| (topic.to_owned(), payload.to_vec()));
    assert_eq!(seen, expected);
}

#[test]
fn what_is_published_before_there_is_a_broker_comes_when_there_is_one() {
    let Some(mut broker) = Broker::start(&Options::default()) else {
        return;
    };
    let recorder = broker.record("t");
    broker.kill();
    let client = Client::start(settings(broker.port()), None);
    let acknowledged = client.publish_all("t", (0..100).map(|number| number.to_string()));
    client.mqtt().publish_if_connected(message("t", "1000"));
    until("the queue", || {
        (client.mqtt().counters().published == 100).then_some(())
    });
    assert!(acknowledged.lock().unwrap().is_empty());
    broker.restart();
    until("all", || {
        (acknowledged.lock().unwrap().len() == 100).then_some(())
    });
    recorder.wait("all", |messages| (messages.len() >= 100).then_some(()));
    assert_eq!(numbers(&recorder, "t"), (0..100).collect::<Vec<_>>());
    let counters = client.mqtt().counters();
    assert_eq!((counters.acknowledged, counters.dropped_out), (100, 1));
}

#[test]
fn a_broker_that_is_killed_while_much_is_published() {
    const COUNT: usize = 1000;
    let Some(mut broker) = Broker::start(&Options::default()) else {
        return;
    };
    let recorder = broker.record("t");
    let client = Client::connected(settings(broker.port()), None);
    let acknowledged = client.publish_all("t", (0..COUNT).map(|number| number.to_string()));
    for kill in 1..=3 {
        let some = kill * COUNT / 5;
        until("some", || {
            (acknowledged.lock().unwrap().len() >= some).then_some(())
        });
        broker.kill();
        broker.restart();
    }
    until("all", || {
        (acknowledged.lock().unwrap().len() == COUNT).then_some(())
    });
    let last = COUNT - 1;
    recorder.wait("the last one", |messages| {
        let last = last.to_string();
        messages
            .iter()
            .any(|message| message.text() == last)
            .then_some(())
    });
    let seen = numbers(&recorder, "t");
    // Each at least once; and what comes again comes in its order again.
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), COUNT);
    let steps = seen.windows(2).filter(|pair| pair[1] != pair[0] + 1);
    let steps: Vec<_> = steps.map(|pair| (pair[0], pair[1])).collect();
    assert!(
        steps.len() <= 3 && steps.iter().all(|(from, to)| to <= from),
        "{steps:?}"
    );
    assert_eq!(client.mqtt().counters().acknowledged, 1000);
    assert!(client.mqtt().counters().connects >= 2);
}

#[test]
fn subscriptions_are_there_again_before_the_link_hears_of_the_connection() {
    let Some(mut broker) = Broker::start(&Options::default()) else {
        return;
    };
    let client = Client::start(settings(broker.port()), None);
    client.subscribe("a/+");
    client.subscribe("gone");
    client.subscribe("b");
    let mqtt = client.mqtt().clone();
    client.run(async move { mqtt.unsubscribe("gone").await });
    connects(&client, 1);
    for kill in 1..=3 {
        let from = broker.log().len();
        broker.kill();
        broker.restart();
        connects(&client, kill + 1);
        // The client counts a connection when it gives the event.
        let log = broker.log().split_off(from);
        let answers = log.matches("Sending SUBACK to tested").count();
        assert_eq!(answers, 2, "{log}");
        broker.publish("a/1", format!("a {kill}"));
        broker.publish("gone", "not for us");
        broker.publish("b", format!("b {kill}"));
        until("both", || {
            (client.texts().len() == 2 * usize::try_from(kill).unwrap()).then_some(())
        });
    }
    assert_eq!(client.texts(), ["a 1", "b 1", "a 2", "b 2", "a 3", "b 3"]);
    let (up, down) = (Event::Connected, Event::Disconnected);
    let expected = [&up, &down, &up, &down, &up, &down, &up].map(Clone::clone);
    assert_eq!(client.connections(), expected);
}

#[test]
fn a_broker_that_says_nothing_is_left() {
    keep_log();
    let Some(broker) = Broker::start(&Options::default()) else {
        return;
    };
    let mut settings = settings(broker.port());
    settings.keep_alive = Duration::from_secs(1);
    let client = Client::connected(settings, None);
    let recorder = broker.record("t");
    broker.freeze();
    let acknowledged = client.publish_all("t", std::iter::once("1".to_owned()));
    client.wait("the loss", |events| {
        events.contains(&Event::Disconnected).then_some(())
    });
    assert!(!logged("does not answer any more").is_empty());
    broker.thaw();
    until("it", || {
        (acknowledged.lock().unwrap().len() == 1).then_some(())
    });
    assert_eq!(recorder.wait_for("t").text(), "1");
}

#[test]
fn the_will_is_for_those_who_are_lost() {
    let Some(broker) = Broker::start(&Options::default()) else {
        return;
    };
    let recorder = broker.record("#");
    let will = Some(message("will", "lost"));
    let client = Client::connected(settings(broker.port()), will.clone());
    // What is queued goes out before the end.
    let acknowledged = client.publish_all("t", (0..200).map(|number| number.to_string()));
    until("the queue", || {
        (client.mqtt().counters().published == 200).then_some(())
    });
    client.close();
    until("all", || {
        (acknowledged.lock().unwrap().len() == 200).then_some(())
    });
    assert!(!client.mqtt().counters().connected);
    drop(client);
    broker.wait_for_log(0, "Client tested disconnected");
    drop(Client::connected(settings(broker.port()), will));
    let will = recorder.wait_for("will");
    assert_eq!((will.text(), will.retained), ("lost", false));
    // Its own end, and not that of the first one, which was before.
    assert_eq!(recorder.on("will").len(), 1);
    assert_eq!(numbers(&recorder, "t"), (0..200).collect::<Vec<_>>());
}

#[test]
fn a_client_is_closed_also_where_there_is_no_broker() {
    let Some(broker) = Broker::prepare(&Options::default()) else {
        return;
    };
    let client = Client::start(settings(broker.port()), None);
    let acknowledged = client.publish_all("t", std::iter::once("1".to_owned()));
    until("the queue", || {
        (client.mqtt().counters().published == 1).then_some(())
    });
    client.close();
    client.mqtt().publish_if_connected(message("t", "2"));
    client.subscribe("t");
    // Nobody is told that it was acknowledged.
    assert!(acknowledged.lock().unwrap().is_empty());
}
