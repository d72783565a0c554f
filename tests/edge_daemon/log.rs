//! What it logs, how much of it, and in which form.

use std::process::Stdio;

use rustix::process::Signal;

use super::*;

/// A place for the status where nobody can listen.
fn nowhere(machine: &Machine) -> Value {
    json!({ "status": format!("unix:{}", machine.path("no/folder").display()) })
}

#[test]
fn a_line_of_json_for_each_record() {
    let machine = Machine::new();
    let (mut edged, _) = machine.start();
    edged.signal(Signal::TERM);
    assert_eq!(edged.end(), 0);
    let lines = edged.lines();
    assert!(lines.len() >= 3, "{lines:?}");
    for line in lines {
        let record: serde_json::Map<String, Value> = serde_json::from_str(&line).unwrap();
        let keys: Vec<&str> = record.keys().map(String::as_str).collect();
        assert_eq!(keys, ["level", "message", "target", "time"], "{line}");
        assert!(record.values().all(Value::is_string), "{line}");
        assert_eq!(record["level"], "info", "{line}");
        let time = record["time"].as_str().unwrap();
        // As RFC 3339 has it: 2026-11-21T10:36:39.123456Z
        assert_eq!(
            (time.len(), &time[10..11], &time[26..]),
            (27, "T", "Z"),
            "{line}"
        );
    }
}

#[test]
fn as_much_as_is_asked_for() {
    let machine = Machine::new();
    let status = nowhere(&machine);
    let messages = |arguments: &[&str], variable: Option<&str>| {
        let mut command = machine.command(status.clone());
        command.args(arguments);
        if let Some(level) = variable {
            command.env("LOG_LEVEL", level);
        }
        let mut edged = Edged::start(command);
        assert_eq!(edged.end(), 1);
        edged.messages().len()
    };
    // It says where its function is, and then that its status can't be served there.
    assert_eq!(messages(&[], None), 2);
    assert_eq!(messages(&[], Some("ERROR")), 1);
    assert_eq!(messages(&["--log-level", "Info"], Some("ERROR")), 2);
    assert_eq!(messages(&["--log-level", "critical"], Some("DEBUG")), 1);
    let mut wrong = machine.command(json!({}));
    wrong.env("LOG_LEVEL", "loud");
    let mut wrong = Edged::start(wrong);
    assert_eq!(wrong.end(), 1);
    let expected = "LOG_LEVEL: \"loud\" is no log level; take critical, error, warning, info, \
                    debug or trace";
    assert_eq!(wrong.messages(), [expected]);
    let mut wrong = Edged::start(Edged::command(&["edgeless", "--log-level", "loud"]));
    assert_eq!(wrong.end(), 2);
}

#[test]
fn text_where_people_read_it() {
    let machine = Machine::new();
    let command = machine.command(nowhere(&machine));
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_str().unwrap().to_owned())
        .collect();
    // A terminal of its own.
    let shown = Command::new("script")
        .args(["-qec", &words.join(" "), "/dev/null"])
        .env_remove("LOG_LEVEL")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    let last = text.lines().last().unwrap().trim_end();
    let (time, rest) = last.split_once(' ').unwrap();
    assert_eq!(time.len(), "2026-11-21T10:36:39.500Z".len(), "{text}");
    assert!(
        rest.starts_with("ERROR the status can't be served at unix:/"),
        "{text}"
    );
}
