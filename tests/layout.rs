//! The rules of the repository: who may import whom, and what every file looks like.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The crates of this workspace that each of them may depend on. A crate that is not listed here
/// has to be added with the commit that makes it.
const MAY_IMPORT: [(&str, &[&str]); 7] = [
    ("shellrt-api", &[]),
    ("shellrt-plugin", &["shellrt-api"]),
    ("shellrt-driver", &["shellrt-api"]),
    ("shellrt-edge", &["shellrt-api"]),
    ("shellrt-wasm", &["shellrt-api", "shellrt-plugin"]),
    ("shellrt-containerd", &["shellrt-api", "shellrt-plugin"]),
    // The types to compare them with SPEC.md, the library for its registry client; otherwise what is
    // tested are the built binaries.
    ("tests", &["shellrt-api", "shellrt-plugin"]),
];

/// All that shellrt-api may ever depend on.
const API_DEPENDENCIES: [&str; 2] = ["serde", "serde_json"];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 7] = [
    "util", "utils", "common", "helpers", "manager", "misc", "shared",
];

/// A file is about one subject; past this many lines it is split.
const MAX_LINES: usize = 450;

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the workspace").to_owned()
}

/// Name and dependencies (all kinds) of the crates of the workspace.
fn crates() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {errors}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let named = packages.iter().map(|package| {
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        let names = dependencies
            .iter()
            .map(|dependency| text(&dependency["name"]));
        (text(&package["name"]), names.collect())
    });
    named.collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// Every Rust file of the workspace, relative to its root.
fn sources() -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![root()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path.strip_prefix(root()).expect("inside").to_owned());
            }
        }
    }
    found.sort();
    assert!(found.contains(&PathBuf::from("tests/layout.rs")));
    found
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails with everything that is wrong, not with the first of it.
fn none(wrong: impl IntoIterator<Item = String>, rule: &str) {
    let wrong: Vec<String> = wrong.into_iter().collect();
    assert!(wrong.is_empty(), "{rule}:\n  {}", wrong.join("\n  "));
}

/// The stems of the Rust files of a directory, `mod` aside.
fn stems(directory: &str) -> BTreeSet<String> {
    let directory = root().join(directory);
    let entries = fs::read_dir(&directory);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let files = paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let stems = files.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    stems.filter(|stem| stem != "mod").collect()
}

/// The messages: one example request each.
fn messages() -> BTreeSet<String> {
    let files = fs::read_dir(root().join("shellrt-api/examples")).expect("examples");
    let names = files.map(|file| {
        file.expect("a file")
            .file_name()
            .into_string()
            .expect("UTF-8")
    });
    let types = names.filter_map(|name| Some(name.strip_suffix(".request.json")?.to_owned()));
    types.collect()
}

#[test]
fn the_crates_import_only_whom_they_may() {
    let crates = crates();
    let ours: BTreeSet<&str> = crates.keys().map(String::as_str).collect();
    for (name, dependencies) in &crates {
        let rule = MAY_IMPORT.iter().find(|(listed, _)| listed == name);
        let (_, may) = rule.unwrap_or_else(|| panic!("{name} has no line in MAY_IMPORT"));
        let imported = dependencies.iter().map(String::as_str);
        let wrong = imported.filter(|other| ours.contains(other) && !may.contains(other));
        none(wrong.map(str::to_owned), &format!("{name} must not import"));
    }
    let api = crates["shellrt-api"].iter().map(String::as_str);
    let wrong = api.filter(|name| !API_DEPENDENCIES.contains(name));
    none(wrong.map(str::to_owned), "shellrt-api must not depend on");
}

#[test]
fn the_conformance_suite_imports_no_crate_of_ours() {
    let own = sources().into_iter().filter(|path| {
        let path = path.to_string_lossy();
        path.starts_with("tests/conformance") || path.starts_with("tests/support")
    });
    let wrong = own.filter(|path| read(path).contains("shellrt_"));
    none(
        wrong.map(|path| path.display().to_string()),
        "a test of the wire uses the types",
    );
}

#[test]
fn libraries_have_errors_of_their_own() {
    let crates = crates();
    for library in ["shellrt-api", "shellrt-plugin"] {
        assert!(
            !crates[library].contains("anyhow"),
            "{library} depends on anyhow"
        );
    }
    let wrong = sources().into_iter().filter(|path| {
        let main = path.file_name().is_some_and(|name| name == "main.rs");
        let plugin =
            path.starts_with("shellrt-wasm/src") || path.starts_with("shellrt-containerd/src");
        plugin && !main && read(path).contains("anyhow::")
    });
    // wasmtime's own error is anyhow's: the engine's files turn it into ours.
    let wrong = wrong.filter(|path| !read(path).contains("wasmtime"));
    none(
        wrong.map(|path| path.display().to_string()),
        "anyhow is for `main`",
    );
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut wrong = Vec::new();
    for path in sources() {
        let source = read(&path);
        let (name, lines) = (path.display(), source.lines().count());
        if lines > MAX_LINES {
            wrong.push(format!("{name} has {lines} lines, more than {MAX_LINES}"));
        }
        if !source.starts_with("//!") && !source.starts_with("#!") {
            wrong.push(format!(
                "{name} does not begin with a sentence about itself (`//!`)"
            ));
        }
    }
    none(wrong, "a file is about one subject, and says which");
}

#[test]
fn names_say_what_is_inside() {
    let mut wrong = Vec::new();
    for path in sources() {
        for part in path
            .with_extension("")
            .iter()
            .filter_map(|part| part.to_str())
        {
            if EMPTY_NAMES.contains(&part) {
                wrong.push(path.display().to_string());
            }
        }
        for line in read(&path).lines() {
            let line = line.trim();
            let module = line
                .strip_prefix("pub ")
                .unwrap_or(line)
                .strip_prefix("mod ");
            let module = module.map(|rest| rest.trim_end_matches([';', '{', ' ']));
            if module.is_some_and(|module| EMPTY_NAMES.contains(&module)) {
                wrong.push(format!("{}: {line}", path.display()));
            }
        }
    }
    none(wrong, "a name that fits everything says nothing");
}

#[test]
fn nothing_is_left_for_later() {
    // Split, so that this file does not find itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("HA", "CK"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
    ];
    let mut wrong = Vec::new();
    for path in sources() {
        for (number, line) in read(&path).lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                wrong.push(format!(
                    "{}:{}: {}",
                    path.display(),
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    none(wrong, "what is not supported is an error code and a case");
}

#[test]
fn one_word_has_one_spelling() {
    let types = messages();
    let missing = |stems: BTreeSet<String>| types.difference(&stems).cloned().collect::<Vec<_>>();
    none(
        missing(stems("shellrt-api/src/v0")),
        "messages without a file in the API",
    );

    for plugin in ["shellrt-wasm", "shellrt-containerd"] {
        let handlers = root().join(plugin).join("src/handler");
        if !root().join(plugin).exists() {
            continue;
        }
        assert!(handlers.is_dir(), "{plugin} has no handlers");
        let stems = stems(&format!("{plugin}/src/handler"));
        // A message that a plugin can't serve is an arm that answers error 3, without a file.
        let refused = |kind: &String| plugin == "shellrt-wasm" && kind == "exec";
        let absent = types
            .difference(&stems)
            .filter(|kind| !refused(kind))
            .cloned();
        none(absent, &format!("messages without a handler in {plugin}"));
        none(
            stems.difference(&types).cloned(),
            &format!("handlers of {plugin} for no message"),
        );
    }
}

#[test]
fn every_message_is_a_subcommand_of_the_driver() {
    let source = read("shellrt-driver/src/args.rs");
    let begin = source.find("enum Message {").expect("the subcommands");
    let body = source[begin..].split("\n}").next().unwrap_or_default();
    let variants = body.lines().filter_map(|line| {
        let name = line
            .trim()
            .split(['(', ',', ' '])
            .next()
            .unwrap_or_default();
        name.starts_with(char::is_uppercase)
            .then(|| snake_case(name))
    });
    let subcommands: BTreeSet<String> = variants.collect();
    none(
        messages().difference(&subcommands).cloned(),
        "messages without a subcommand",
    );
    let beside = ["completions".to_owned(), "raw".to_owned()];
    let known = messages().into_iter().chain(beside).collect();
    none(
        subcommands.difference(&known).cloned(),
        "subcommands for no message",
    );
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[test]
fn every_message_is_a_folder_of_cases() {
    let cases = root().join("tests/cases");
    let absent = messages().into_iter().filter(|kind| {
        let files = fs::read_dir(cases.join(kind));
        files.map_or(true, |mut files| files.next().is_none())
    });
    none(absent, "messages without a case");
}
