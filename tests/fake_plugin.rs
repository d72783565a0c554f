//! The conformance suite must be able to fail: `fake_plugin.py` keeps the protocol, and with
//! `FAKE_FAULT` breaks it in one way, which the suite must notice.

use std::path::Path;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::{json, Value};

#[path = "conformance/engine.rs"]
mod engine;

use engine::Outcome;

/// A fault, a case that must fail with it, and words that the failure must say.
const FAULTS: &[(&str, &str, &str)] = &[
    ("adds_nothing_to_list", "list::v0", "\"modules\" is missing"),
    ("any_config", "create::config_unknown_key", "not \"err\""),
    ("any_version", "envelope::version_0_2_0", "\"_version\" is"),
    ("deaf_to_hang_up", "logs::hang_up_idle", "it goes on"),
    ("dies_silently", "start::v0", "no answer on stdout"),
    ("does_not_stop", "stop::v0", "\"running\""),
    ("exit_0", "status::missing_module", "ended with"),
    ("hangs", "version::v0", "has not ended after"),
    (
        "image_before_name",
        "create::name_before_the_image",
        "the code is 8",
    ),
    ("keeps_stdout_open", "start::v0", "still open"),
    ("leaves_processes", "remove::force", "left over"),
    ("no_kind", "start::missing_module", "\"detail.kind\""),
    ("no_nul", "logs::created", "no NUL follows"),
    ("not_sorted", "list::sorted", "not sorted"),
    (
        "nul_after_an_error",
        "status::missing_module",
        "NUL follows an error",
    ),
    ("own_version", "envelope::version_0_1_7", "\"_version\""),
    (
        "panic_on_stdout",
        "start::missing_module",
        "not exactly one JSON object",
    ),
    (
        "reads_to_the_end",
        "envelope::stdin_stays_open",
        "has not ended after",
    ),
    ("text_for_numbers", "status::v0", "\"started_at\""),
    ("two_objects", "version::v0", "not exactly one JSON object"),
    (
        "type_before_version",
        "envelope::version_before_the_rest",
        "the code is 3",
    ),
    ("wrong_code", "create::exists", "the code is 5"),
];

/// Services as scripts, and words of the failure with each; none where the trial passes.
const SERVICES: &[(&str, &str, &str)] = &[
    ("good", "echo '{\"told\":\"x\"}'; read line || true", ""),
    (
        "tells_nothing",
        "echo '{}'; read line || true",
        "there is no ${told}",
    ),
    (
        "is_no_json",
        "echo ready; read line || true",
        "not a line of JSON",
    ),
    ("ends_early", "exit 1", "ended before it was ready"),
    (
        "ends_badly",
        "echo '{\"told\":\"x\"}'; read line; exit 1",
        "has ended with",
    ),
    (
        "leaves_processes",
        "sleep 1000 <&- >&- 2>&- & echo '{\"told\":\"x\"}'; read line || true",
        "the service has ended, and processes are left over",
    ),
];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for planned in suite("")?.1 {
        let name = format!("none::{}", planned.name);
        trials.push(Trial::ignorable_test(name, move || {
            match suite_run("", &planned.name)? {
                Outcome::Passed => Ok(Completion::Completed),
                Outcome::LeftOut(why) => Ok(Completion::ignored_with(why)),
                Outcome::Failed(why) => Err(why.into()),
            }
        }));
    }
    for (fault, case, words) in FAULTS {
        trials.push(Trial::test(
            format!("fault::{fault}"),
            move || match suite_run(fault, &format!("fake::{case}"))? {
                Outcome::Failed(why) if why.contains(words) => Ok(()),
                Outcome::Failed(why) => {
                    Err(format!("{case} fails, but does not say {words:?}:\n{why}").into())
                }
                _ => Err(format!("{case} does not fail").into()),
            },
        ));
    }
    trials.push(Trial::test("every_fault_is_known", every_fault_is_known));
    trials.push(Trial::test("gaps", gaps));
    trials.push(Trial::test("readme", readme));
    for (name, script, expected) in SERVICES {
        let run = move || service(script, expected);
        trials.push(Trial::test(format!("service::{name}"), run));
    }
    libtest_mimic::run(&arguments, trials).exit()
}

/// The folder of the plugin's file, and the trials of the fake plugin with `fault`.
fn suite(fault: &str) -> anyhow::Result<(tempfile::TempDir, Vec<engine::Planned>)> {
    suite_of(&plugin_file(fault))
}

fn suite_of(file: &Value) -> anyhow::Result<(tempfile::TempDir, Vec<engine::Planned>)> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("fake.json"), file.to_string())?;
    let planned = engine::plan(folder.path(), &engine::folder("cases"))?;
    Ok((folder, planned))
}

/// Runs one trial of the fake plugin with `fault`.
fn suite_run(fault: &str, name: &str) -> Result<Outcome, Failed> {
    run_of(&plugin_file(fault), name)
}

fn run_of(file: &Value, name: &str) -> Result<Outcome, Failed> {
    let (_folder, planned) = suite_of(file)?;
    match planned.iter().find(|planned| planned.name == name) {
        Some(planned) => Ok(planned.run()),
        None => Err(format!("there is no trial {name:?}").into()),
    }
}

/// A fault that is nowhere in the plugin would prove nothing, and one that is not listed here is
/// never tried.
fn every_fault_is_known() -> Result<(), Failed> {
    let program = std::fs::read_to_string(engine::folder("fake_plugin.py"))?;
    let mut there: Vec<_> = program
        .split("FAULT ")
        .skip(1)
        .filter_map(|rest| {
            rest.strip_prefix("== ")
                .or(rest.strip_prefix("!= "))?
                .split('"')
                .nth(1)
        })
        .collect();
    there.sort_unstable();
    there.dedup();
    let listed: Vec<_> = FAULTS.iter().map(|(fault, ..)| *fault).collect();
    match there == listed {
        true => Ok(()),
        false => Err(format!("in the plugin: {there:?}\nlisted: {listed:?}").into()),
    }
}

/// A known gap is no failure while it fails, and is one as soon as it passes.
fn gaps() -> Result<(), Failed> {
    let mut file = plugin_file("exit_0");
    file["gaps"] = json!([{"case": "status::missing_module", "reason": "to be seen"}]);
    match run_of(&file, "fake::status::missing_module")? {
        Outcome::LeftOut(why) if why.contains("to be seen") => {}
        _ => return Err("a known gap is not taken as such".into()),
    }
    file["environment"]["FAKE_FAULT"] = "".into();
    match run_of(&file, "fake::status::missing_module")? {
        Outcome::Failed(why) if why.contains("known gap") => Ok(()),
        _ => Err("a gap that is none any more is not noticed".into()),
    }
}

/// A trial beside a service, which is a script.
fn service(script: &str, expected: &str) -> Result<(), Failed> {
    let mut file = plugin_file("");
    let environment = json!({"PLACE": "${service}"});
    file["service"] = json!({"command": ["sh", "-c", script], "environment": environment});
    file["programs"]["told"] = json!({"image": "${told}", "config": null});
    match run_of(&file, "fake::stop::v0")? {
        Outcome::Passed if expected.is_empty() => {}
        Outcome::Failed(why) if !expected.is_empty() && why.contains(expected) => {}
        Outcome::Failed(why) => return Err(format!("not {expected:?}:\n{why}").into()),
        _ => return Err("a bad service is not noticed".into()),
    }
    // What is missing on a machine is no failure, except where nothing may be missing.
    file["service"]["command"][2] = "echo '{\"missing\":\"a daemon\"}'".into();
    match run_of(&file, "fake::stop::v0")? {
        Outcome::LeftOut(why) | Outcome::Failed(why) if why == "a daemon" => Ok(()),
        _ => Err("a missing daemon is not told".into()),
    }
}

/// `cases/README.md` is true: its examples are what they say, and nothing that a case uses is
/// missing in it.
fn readme() -> Result<(), Failed> {
    let folder = engine::folder("cases");
    let text = std::fs::read_to_string(folder.join("README.md"))?;
    let blocks: Vec<_> = text.split("```json\n").skip(1).collect();
    let blocks: Vec<_> = blocks
        .iter()
        .filter_map(|block| block.split("```").next())
        .collect();
    let [case, plugin] = blocks[..] else {
        return Err("README.md has not two examples".into());
    };
    if case != std::fs::read_to_string(folder.join("stop/exited.json"))? {
        return Err("the example in README.md is not stop/exited.json".into());
    }
    let broken = |planned: &engine::Planned| planned.name.ends_with("::file");
    if suite_of(&serde_json::from_str(plugin)?)?
        .1
        .iter()
        .any(broken)
    {
        return Err("the plugin's file in README.md can't be read".into());
    }
    for entry in std::fs::read_dir(&folder)?
        .flatten()
        .filter(|entry| entry.path().is_dir())
    {
        for file in std::fs::read_dir(entry.path())?.flatten() {
            let case: Value = serde_json::from_slice(&std::fs::read(file.path())?)?;
            let mut words = keys(&case);
            words.extend(case["program"].as_str());
            for step in case["steps"].as_array().into_iter().flatten() {
                words.extend(keys(step));
                words.extend(keys(&step["expect"]));
            }
            for word in words {
                if !text.contains(&format!("`{word}`")) && !text.contains(&format!("\"{word}\":")) {
                    return Err(format!("README.md says nothing of {word:?}").into());
                }
            }
        }
    }
    Ok(())
}

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .map(|object| object.keys().map(String::as_str).collect())
        .unwrap_or_default()
}

/// As the files under `plugins/`.
fn plugin_file(fault: &str) -> Value {
    let shell = |script: &str| {
        // An image is any file; this one is there for every trial.
        let image = "file:${guests}/exit_0.wasm";
        json!({"image": image, "config": {"image": image, "command": ["sh", "-c", script]}})
    };
    let program: &Path = &engine::folder("fake_plugin.py");
    json!({
        "program": program,
        "environment": {"FAKE_STATE": "${state}", "FAKE_FAULT": fault},
        "messages": [
            "create", "exec", "img_list", "img_pull", "img_remove", "list", "logs", "remove",
            "restart", "start", "status", "stop", "version", "wait",
        ],
        "config_types": ["process"],
        "config_type": "process",
        "programs": {
            "args": shell("printf '%s\\n' first 'second word' ''"),
            "binary": shell("printf '\\000\\377\\376\\r\\n\\n\\000\\303\\n\\033[0m\\r\\200'"),
            "both": shell("echo out 1; echo err 1 >&2; echo out 2; echo err 2 >&2"),
            "echo": shell("cat"),
            "env": shell("env"),
            "exit_0": shell("exit 0"),
            "exit_7": shell("exit 7"),
            "forever": shell("exec sleep 1000000"),
            "large": shell("yes 0123456789abcde | head -n 65536"),
            "late": shell("echo first; sleep 2; echo second"),
            "lines": shell("echo one; echo two; echo three"),
            "partial": shell("printf 'whole\\nunfin'; printf ished"),
            "ticks": shell("while echo tick; do sleep 0.02; done"),
        },
    })
}
