//! The line protocol's lines, as its description has them.

use bytes::Bytes;
use serde_json::{json, Value};

use super::conversation::{Conversation, Heard, Refusal};
use super::line::{write, Line, Lines};
use super::*;

fn written(message: ToComponent) -> Value {
    let line = write(&message).unwrap();
    assert!(line.ends_with(b"\n") && !line[..line.len() - 1].contains(&b'\n'));
    serde_json::from_slice(&line).unwrap()
}

fn lines(text: impl AsRef<[u8]>) -> Vec<Line> {
    let mut reader = Lines::default();
    let mut lines = reader.feed(text.as_ref());
    lines.extend(reader.finish());
    lines
}

fn read(text: &str) -> FromComponent {
    match lines(text).remove(0) {
        Line::Message(message) => *message,
        other => panic!("{text}: {other:?}"),
    }
}

fn data(bytes: &'static [u8]) -> Payload {
    Payload(Bytes::from_static(bytes))
}

fn content(bytes: &'static [u8]) -> Content {
    Content {
        data: data(bytes),
        ..Content::default()
    }
}

#[test]
fn what_the_daemon_says() {
    let instance = Instance {
        node: "n".to_owned(),
        function: "f".to_owned(),
        name: "echo".to_owned(),
    };
    let init = Init {
        instance: instance.clone(),
        data: data(b"period=1000"),
        state: State(Bytes::from_static(b"\xff\x00")),
        extra: Some(json!({"a": 1})),
    };
    assert_eq!(
        written(ToComponent::Init(init)),
        json!({
            "op": "init", "instance": {"node": "n", "function": "f", "name": "echo"},
            "data": "period=1000", "state_base64": "/wA=", "extra": {"a": 1},
        })
    );
    let cast = Cast {
        from: json!({"node": "n", "function": "f"}),
        data: Payload::default(),
    };
    assert_eq!(
        written(ToComponent::Cast(cast)),
        json!({"op": "cast", "from": {"node": "n", "function": "f"}})
    );
    let call = Call {
        from: json!("somebody"),
        content: content("ä\n".as_bytes()),
        ..Call::default()
    };
    assert_eq!(
        written(ToComponent::Call { id: 7, call }),
        json!({"op": "call", "id": 7, "from": "somebody", "data": "ä\n"})
    );
    let call = Call {
        procedure: Some("com.example.add".to_owned()),
        content: Content {
            args: vec![json!(1), json!(2)],
            ..Content::default()
        },
        ..Call::default()
    };
    assert_eq!(
        written(ToComponent::Call { id: 8, call }),
        json!({"op": "call", "id": 8, "procedure": "com.example.add", "args": [1, 2]})
    );
    let id = Id::Text("a".to_owned());
    let problem = Problem::new("no");
    assert_eq!(
        written(ToComponent::Error {
            id: Some(id.clone()),
            problem: problem.clone()
        }),
        json!({"op": "error", "id": "a", "message": "no"})
    );
    assert_eq!(
        written(ToComponent::Error { id: None, problem }),
        json!({"op": "error", "message": "no"})
    );
    assert_eq!(
        written(ToComponent::NoReply { id }),
        json!({"op": "no_reply", "id": "a"})
    );
    let reply = ToComponent::Reply {
        id: Id::Number(3),
        content: content(b"x"),
    };
    assert_eq!(written(reply), json!({"op": "reply", "id": 3, "data": "x"}));
    assert_eq!(
        written(ToComponent::Cancel { id: 9 }),
        json!({"op": "cancel", "id": 9})
    );
    assert_eq!(written(ToComponent::Stop), json!({"op": "stop"}));
}

#[test]
fn what_a_component_says() {
    assert_eq!(read(r#"{"op":"ready"}"#), FromComponent::Ready);
    let cast = FromComponent::Cast {
        target: Target::Alias("output".to_owned()),
        data: data(b"42"),
        delay_ms: Some(250),
    };
    let text = r#"{"op":"cast","to":"output","data":"42","delay_ms":250,"unknown":[]}"#;
    assert_eq!(read(text), cast);
    let call = FromComponent::Call {
        id: Id::Text("q".to_owned()),
        call: OwnCall {
            target: Target::Instance {
                node: "n".to_owned(),
                function: "f".to_owned(),
            },
            procedure: None,
            content: content(b"\xff"),
            options: Map::new(),
        },
    };
    let text = r#"{"op":"call","id":"q","to_node":"n","to_function":"f","data_base64":"/w=="}"#;
    assert_eq!(read(text), call);
    let publish = FromComponent::Publish {
        id: None,
        event: Event {
            topic: "com.example.t".to_owned(),
            args: vec![json!(1)],
            kwargs: Map::new(),
        },
        options: Map::new(),
    };
    let text = r#"{"op":"publish","topic":"com.example.t","args":[1]}"#;
    assert_eq!(read(text), publish);
    let sync = FromComponent::Sync {
        state: State(Bytes::from_static(b"s")),
    };
    assert_eq!(read(r#"{"op":"sync","state":"s"}"#), sync);
    let reply = FromComponent::Reply {
        id: 1,
        content: Content {
            progress: true,
            ..content(b"x")
        },
    };
    let text = r#"{"op":"reply","id":1,"data":"x","progress":true}"#;
    assert_eq!(read(text), reply);
    let text = r#"{"op":"log","level":"warn","target":"t","message":"m"}"#;
    let log = Log {
        level: Level::Warn,
        target: "t".to_owned(),
        message: "m".to_owned(),
    };
    assert_eq!(read(text), FromComponent::Log(log));
}

#[test]
fn what_is_no_message_is_output() {
    for text in [
        "hello",
        "[1]",
        "{",
        r#"{"op":"dance"}"#,
        r#"{"a":1}"#,
        "\u{1}",
    ] {
        let output = Line::Output(Bytes::copy_from_slice(text.as_bytes()));
        assert_eq!(lines(text), [output], "{text}");
    }
    assert_eq!(lines("\n\r\n"), []);
}

#[test]
fn what_is_meant_as_a_message_and_is_none_is_said() {
    for text in [
        r#"{"op":"cast","to":"a","data":"x","data_base64":"eA=="}"#,
        r#"{"op":"cast","data_base64":"?"}"#,
        r#"{"op":"cast","to":"a","to_node":"n"}"#,
        r#"{"op":"cast","to_node":"n"}"#,
        r#"{"op":"call","to":"a"}"#,
        r#"{"op":"call","id":-1,"to":"a"}"#,
        r#"{"op":"reply","id":"1"}"#,
        r#"{"op":"log","level":"loud"}"#,
        r#"{"op":"sync","state":"a","state_base64":"YQ=="}"#,
    ] {
        let line = lines(text).remove(0);
        assert!(matches!(line, Line::Broken(_)), "{text}: {line:?}");
    }
}

#[test]
fn lines_come_in_any_pieces() {
    let text = b"{\"op\":\"ready\"}\r\nplain\n\n{\"op\":\"sync\"}";
    let expected = [
        Line::Message(Box::new(FromComponent::Ready)),
        Line::Output(Bytes::from_static(b"plain")),
        Line::Message(Box::new(FromComponent::Sync {
            state: State::default(),
        })),
    ];
    for size in 1..=text.len() {
        let mut reader = Lines::default();
        let mut lines: Vec<Line> = text.chunks(size).flat_map(|it| reader.feed(it)).collect();
        lines.extend(reader.finish());
        assert_eq!(lines, expected, "{size}");
    }
}

#[test]
fn a_line_has_a_longest() {
    let mut text = vec![b'x'; LONGEST_LINE];
    text.extend(b"\n");
    assert!(matches!(lines(&text)[..], [Line::Output(_)]));
    text.insert(0, b'x');
    text.extend(b"{\"op\":\"ready\"}\n");
    for size in [1 << 12, text.len()] {
        let mut reader = Lines::default();
        let lines: Vec<Line> = text.chunks(size).flat_map(|it| reader.feed(it)).collect();
        let [Line::Broken(_), Line::Message(message)] = &lines[..] else {
            panic!("{} lines", lines.len());
        };
        assert_eq!(**message, FromComponent::Ready);
    }
    let cast = |length: usize| {
        ToComponent::Cast(Cast {
            from: Value::Null,
            data: Payload(vec![b'x'; length].into()),
        })
    };
    let around = r#"{"op":"cast","data":""}"#.len();
    assert!(write(&cast(LONGEST_LINE - around)).is_ok());
    assert_eq!(
        write(&cast(LONGEST_LINE - around + 1)),
        Err(LONGEST_LINE + 1)
    );
}

type Talk = Conversation<&'static str, &'static str>;

fn reply(id: u64, progress: bool) -> FromComponent {
    let content = Content {
        progress,
        ..Content::default()
    };
    FromComponent::Reply { id, content }
}

#[test]
fn an_answer_finds_who_waits_for_it() {
    let mut talk = Talk::new();
    assert_eq!(talk.hear(FromComponent::Ready), Heard::Phase);
    let (first, second) = (talk.call("first").unwrap(), talk.call("second").unwrap());
    let no_reply = Heard::Answer("second", Answer::NoReply);
    assert_eq!(talk.hear(FromComponent::NoReply { id: second }), no_reply);
    for progress in [true, false] {
        let heard = talk.hear(reply(first, progress));
        assert!(
            matches!(&heard, Heard::Answer("first", Answer::Reply(content)) if content.progress == progress),
            "{heard:?}"
        );
    }
    for id in [first, second, 77] {
        let heard = talk.hear(reply(id, false));
        assert!(matches!(heard, Heard::Broken(_)), "{heard:?}");
    }
}

#[test]
fn the_late_answer_to_a_cancelled_call_is_no_breach() {
    let mut talk = Talk::new();
    let id = talk.call("it").unwrap();
    assert!(talk.cancel(id));
    assert!(!talk.cancel(id));
    assert_eq!(talk.hear(reply(id, true)), Heard::Nothing);
    assert_eq!(talk.hear(reply(id, false)), Heard::Nothing);
    assert!(matches!(talk.hear(reply(id, false)), Heard::Broken(_)));
}

#[test]
fn a_component_begins_once() {
    let error = || FromComponent::Error {
        id: None,
        problem: Problem::new("no"),
    };
    let mut talk = Talk::new();
    assert_eq!(talk.hear(error()), Heard::Phase);
    assert_eq!(*talk.phase(), Phase::Failed(Problem::new("no")));
    assert!(matches!(talk.hear(FromComponent::Ready), Heard::Broken(_)));
    talk.end();
    assert_eq!(*talk.phase(), Phase::Ended(Some(Problem::new("no"))));

    let mut talk = Talk::new();
    talk.hear(FromComponent::Ready);
    assert!(matches!(talk.hear(FromComponent::Ready), Heard::Broken(_)));
    assert!(matches!(talk.hear(error()), Heard::Broken(_)));
    assert_eq!(*talk.phase(), Phase::Ready);
}

#[test]
fn a_request_is_answered_once() {
    let mut talk = Talk::new();
    let id = || Id::Text("a".to_owned());
    let number = talk.open(id(), "first").unwrap();
    assert_eq!(
        talk.open(id(), "again"),
        Err(Refusal::InUse("\"a\"".to_owned()))
    );
    let cancel = || FromComponent::Cancel { id: id() };
    assert_eq!(talk.hear(cancel()), Heard::Cancelled(id(), "first"));
    assert_eq!(talk.hear(cancel()), Heard::Nothing);
    // The name is free again, and the answer to the first one does not answer the second.
    let second = talk.open(id(), "second").unwrap();
    assert!(!talk.close(&id(), number));
    assert!(talk.close(&id(), second));
    assert!(!talk.close(&id(), second));
}

#[test]
fn open_requests_are_counted() {
    let mut talk = Talk::new();
    for id in 0..MOST_OPEN {
        talk.open(Id::Number(id as u64), "it").unwrap();
    }
    let more = Id::Number(u64::MAX);
    assert_eq!(talk.open(more, "it"), Err(Refusal::Full));
}

#[test]
fn the_end_closes_all() {
    let mut talk = Talk::new();
    talk.hear(FromComponent::Ready);
    talk.call("call").unwrap();
    talk.open(Id::Number(1), "request").unwrap();
    assert_eq!(talk.end(), (vec!["call"], vec!["request"]));
    assert_eq!(talk.call("late"), None);
    assert_eq!(*talk.phase(), Phase::Ended(None));
}
