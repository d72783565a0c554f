//! Settings as the daemon reads them: `shellrt-edged check`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tests::binaries::program;

/// The smallest file.
const SMALL: &str = "runtime: {name: aruntime}\nmqtt: {host: localhost, port: 1883, ssl: false}\n";

/// What `check` says of a folder: status, stdout, stderr.
fn check(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let output = Command::new(program("shellrt-edged"))
        .arg("check")
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let status = output.status.code().expect("it ends by itself");
    (status, text(output.stdout), text(output.stderr))
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its owner");
    }
    folder
}

#[test]
fn nothing_to_find_fault_with() {
    let folder = folder(&[("settings.yaml", SMALL)]);
    let dir = folder.path().display().to_string();
    let (status, stdout, stderr) = check(folder.path(), &["--config", &dir], &[]);
    assert_eq!((status, stdout.as_str()), (0, ""), "{stderr}");
}

#[test]
fn the_folder_is_found_as_upstream_finds_it() {
    for place in [
        "settings.yaml",
        "conf/settings.yaml",
        "config/settings.yaml",
    ] {
        let folder = folder(&[(place, SMALL)]);
        let (status, stdout, stderr) = check(folder.path(), &[], &[]);
        assert_eq!((status, stdout.as_str()), (0, ""), "{place}: {stderr}");
    }
    let folder = folder(&[
        ("a/settings.yaml", SMALL),
        ("a/b/x.yaml", "runtime: {nmae: b}"),
    ]);
    let by_folder = [("ROOT_PATH_FOR_DYNACONF", "a")];
    assert_eq!(check(folder.path(), &[], &by_folder).0, 0);
    let by_file = [("SETTINGS_FILE_FOR_DYNACONF", "a/settings.yaml;a/b/x.yaml")];
    let (status, stdout, _) = check(folder.path(), &[], &by_file);
    assert_eq!(status, 1, "{stdout}");
    let lost = "error: \"runtime.name\" is missing, as a/b/x.yaml replaces its table; write ";
    assert!(stdout.starts_with(lost), "{stdout}");
    let (status, stdout, _) = check(&folder.path().join("a/b"), &[], &[]);
    assert_eq!(status, 1);
    assert!(
        stdout.starts_with("error: there is no \"settings.yaml\""),
        "{stdout}"
    );
}

#[test]
fn problems_and_warnings_are_said_by_name_and_secrets_are_not() {
    let secrets = "dynaconf_merge: true\nmqtt: {username: me, password: hunter2}\n";
    let user = "runtime: {name: rt, colour: red}\nmqtt: {host: h, port: x, ssl: false}\n\
        repository: {password: hunter2}\n";
    let folder = folder(&[("settings.yaml", user), (".secrets.yaml", secrets)]);
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(folder.path().join(".secrets.yaml"), open).expect("its owner");
    let (status, stdout, stderr) = check(folder.path(), &[], &[("DYNACONF_EDGE__STATE_DIR", "/x")]);
    let mut lines: Vec<&str> = stdout.lines().collect();
    lines.sort_unstable();
    let expected = [
        "error: \"mqtt.port\" must be a whole number, 1 or more (settings.yaml)",
        "warning: \"repository.password\" stands in settings.yaml; its place is .secrets.yaml or the \
         environment",
        "warning: \"runtime.colour\" is not known and is ignored",
        "warning: .secrets.yaml can be read by others; run \"chmod 600 .secrets.yaml\"",
    ];
    assert_eq!((status, lines), (1, expected.to_vec()), "{stderr}");
    let (status, stdout, _) = check(folder.path(), &[], &[("DYNACONF_MQTT__PORT", "1883")]);
    assert_eq!(status, 0, "{stdout}");
    assert!(!format!("{stdout}{stderr}").contains("hunter2"));
}
