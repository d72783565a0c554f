//! Settings looked at without a start.

use super::*;

/// What it prints of a settings file, and its exit status.
fn check(machine: &Machine, settings: &str) -> (String, i32) {
    fs::write(machine.path("settings.yaml"), settings).unwrap();
    let dir = machine.dir.path().to_str().unwrap();
    let checked = Edged::command(&["check", "--config", dir])
        .output()
        .unwrap();
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
