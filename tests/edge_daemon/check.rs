//! Settings looked at without a start.

use super::*;

/// What it prints of a settings file, and its exit status.
fn check(machine: &Machine, settings: &str) -> (String, i32) {
    fs::write(machine.path("settings.yaml"), settings).unwrap();
    run(&["check", "--config", machine.dir.path().to_str().unwrap()])
}

/// The same for a link whose settings are one file.
fn check_file(machine: &Machine, link: &str, settings: &str) -> (String, i32) {
    let file = machine.path(link);
    fs::write(&file, settings).unwrap();
    run(&["check", link, "--config", file.to_str().unwrap()])
}

fn run(arguments: &[&str]) -> (String, i32) {
    let checked = Edged::command(arguments).output().unwrap();
    let printed = String::from_utf8(checked.stdout).unwrap();
    (printed, checked.status.code().unwrap())
}

#[test]
fn it_names_what_is_wrong_and_starts_nothing() {
    let machine = Machine::new();
    let (printed, status) = check(&machine, "mqtt: [\n");
    assert_eq!(status, 1);
    assert!(printed.starts_with("error: "), "{printed}");
    let (printed, status) = check(&machine, "strange_key: 1\n");
    let strange = |line: &str| line.starts_with("warning: ") && line.contains("strange_key");
    assert!(printed.to_lowercase().lines().any(strange), "{printed}");
    let errors = printed.lines().filter(|line| line.starts_with("error: "));
    assert_eq!(status, i32::from(errors.count() > 0), "{printed}");
}

#[test]
fn the_settings_of_every_link() {
    let machine = Machine::new();
    let whole = "mqtt: {host: localhost, port: 1883, ssl: false}\nruntime: {name: a}\nedge: ";
    assert_eq!(check(&machine, whole), (String::new(), 0));
    for link in ["manager", "edgeless", "wamp"] {
        assert_eq!(
            check_file(&machine, link, "{}"),
            (String::new(), 0),
            "{link}"
        );
        let (printed, _) = check_file(&machine, link, r#"{"strange_key": 1}"#);
        assert!(printed.contains("strange_key"), "{link}: {printed}");
        assert_eq!(printed.lines().count(), 1, "{link}: {printed}");
        let (printed, status) = check_file(&machine, link, r#"{"edge": {"plugins_at_once": "a"}}"#);
        assert!(printed.starts_with("error: "), "{link}: {printed}");
        assert_eq!(status, 1, "{link}");
    }
    // A file is needed where none has a name of its own.
    assert_eq!(run(&["check", "wamp"]).1, 1);
}

#[test]
fn where_the_status_and_the_state_are() {
    let machine = Machine::new();
    let public = r#""status": "0.0.0.0:9464""#;
    let silverline = |edge: &str| {
        let text = format!(
            "mqtt: {{host: a, port: 1, ssl: false}}\nruntime: {{name: a}}\nedge: {{{edge}}}"
        );
        check(&machine, &text)
    };
    let others = ["manager", "edgeless", "wamp"];
    let others =
        others.map(|link| check_file(&machine, link, &format!(r#"{{"edge": {{{public}}}}}"#)));
    for (printed, status) in others.into_iter().chain([silverline(public)]) {
        assert!(printed.starts_with("error: "), "{printed}");
        assert!(
            printed.contains("0.0.0.0:9464") && printed.contains("loopback"),
            "{printed}"
        );
        assert_eq!(status, 1);
    }
    fs::write(machine.path("a-file"), "").unwrap();
    let (printed, status) = silverline(&format!("state_dir: {:?}", machine.path("a-file")));
    assert!(printed.contains("edge.state_dir"), "{printed}");
    assert_eq!(status, 1);
}
