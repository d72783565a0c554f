//! The README tells the truth: its commands are run and its examples are the files in the tree.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

#[path = "readme/wamp.rs"]
mod wamp;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tests::broker::{self, Broker};
use tests::edgeless::Edged;
use tests::emulator;
use tests::image::Image;
use tests::plugin::until;
use tests::registry::{self, Registry};
use tests::shellrt::Shellrt;
use tests::wasm::Wasm;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The text of the first block of `language` that contains `mark`.
fn block(language: &str, mark: &str) -> String {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let begin = format!("```{language}\n");
    let blocks = readme
        .split(&begin)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    blocks
        .map(str::to_owned)
        .find(|block| block.contains(mark))
        .expect("the block is there")
}

/// Times and ages differ from run to run, and nothing else.
fn without_times(text: &str) -> String {
    let is_time = |line: &str| {
        let key = line.split_whitespace().next().unwrap_or_default();
        line.starts_with("  ") && ["started", "finished", "created"].contains(&key)
    };
    let lines = text.lines().filter(|line| !is_time(line));
    lines
        .map(|line| line.replace("1 second ago ", "0 seconds ago"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_try_it_command_prints_what_the_readme_shows() {
    let shown = block("console", "$ tests/quickstart");
    let programs = tests::binaries::program("shellrt-driver");
    let mut command = Command::new(root().join("tests/quickstart"));
    command.env("SHELLRT_BIN_DIR", programs.parent().unwrap());
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let shown = shown.strip_prefix("$ tests/quickstart\n").unwrap();
    assert_eq!(without_times(&printed), without_times(shown), "{errors}");
}

/// What the try-it command builds needs Rust and nothing else: no compiler of protocol buffers.
#[test]
fn the_try_it_command_builds_no_protocol_buffers() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let packages = ["-p", "shellrt-driver", "-p", "shellrt-wasm"];
    let script = std::fs::read_to_string(root().join("tests/quickstart")).unwrap();
    let build = format!(
        "cargo build --release --locked --quiet {}\n",
        packages.join(" ")
    );
    assert!(script.contains(&build), "{script}");
    let output = Command::new(cargo)
        .current_dir(root())
        .args([
            "tree",
            "--locked",
            "--offline",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .args(["--edges", "normal,build"])
        .args(packages)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("wasmtime "), "{tree}");
    for package in ["prost-build ", "protoc", "containerd-client "] {
        assert!(!tree.contains(package), "{package}");
    }
}

/// Every command line for the driver, in the transcripts and in the table for people who come from
/// other tools, is one that it understands; a dry run starts nothing.
#[test]
fn every_command_of_the_driver_can_be_typed() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let typed = readme
        .lines()
        .filter_map(|line| line.strip_prefix("$ shellrt-driver "));
    let table = readme.split("\n## Coming from").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let cells = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = cells.map(|row| row.split("` |").next().unwrap());
    let lines: Vec<String> = typed
        .map(str::to_owned)
        .chain(cells.map(|cell| format!("containerd {cell}")))
        .collect();
    assert!(lines.len() > 30, "{lines:?}");
    let driver = tests::binaries::program("shellrt-driver");
    for line in lines {
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("exec \"$0\" --dry-run {line}"))
            .arg(&driver)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {errors}");
        let sent: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(sent["_version"], "0.1.0", "{line}: {sent}");
    }
}

#[test]
fn the_embedding_example_is_a_file_and_runs() {
    let file = root().join("shellrt-api/examples/embed.rs");
    let text = std::fs::read_to_string(file).unwrap();
    let code = text.split_once("\n\n").unwrap().1;
    assert_eq!(block("rust", "Plugin::new"), code);

    let wasm = Wasm::new();
    wasm.create("a", &wasm.guest("forever"), json!({}));
    let output = example("embed", &wasm).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "a: Running, running\n"
    );
}

#[test]
fn the_runtime_trait_runs_a_program() {
    let wasm = Wasm::new();
    let mut runtime = example("module_runtime", &wasm);
    let output = runtime.arg(wasm.guest("lines")).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.ends_with("Stopped: exited with code 0\n"),
        "{printed}"
    );
    assert_eq!(wasm.ok(&json!({"_type": "list"}))["modules"], json!([]));
}

/// A built example of the API crate, over `shellrt-wasm`.
fn example(name: &str, wasm: &Wasm) -> Command {
    let plugin = tests::binaries::program("shellrt-wasm");
    let mut command = Command::new(plugin.parent().unwrap().join("examples").join(name));
    command.arg(plugin).env("SHELLRT_WASM_ROOT", wasm.root());
    command
}

#[test]
fn every_example_request_is_answered() {
    let wasm = Wasm::new();
    let image = "registry.example/hello:1";
    for entry in std::fs::read_dir(root().join("shellrt-api/examples")).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_str().unwrap().ends_with(".request.json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let mut request: serde_json::Value = serde_json::from_str(&text).unwrap();
        if request["image"] == image {
            // Nobody serves that name; what a pull answers to it is the registry's business.
            request["_deadline_ms"] = json!(2000);
        }
        if request["follow"] == true {
            request["_deadline_ms"] = json!(500);
        }
        let answer = wasm.ask(&request);
        assert_eq!(answer.object["_version"], "0.1.0", "{}", path.display());
        let status = answer.object["_status"] == "ok";
        assert_eq!(
            answer.status,
            i32::from(!status),
            "{}: {answer:?}",
            path.display()
        );
    }
}

/// `printed` with the gaps that `shown` has: its `...` stand for what differs from image to image.
fn with_gaps(printed: &str, shown: &str) -> String {
    let mut shown = shown.lines();
    let mut gapped = String::new();
    for line in printed.lines() {
        let gap = shown.next().and_then(|shown| shown.split_once("..."));
        match gap {
            Some((begin, end)) if line.starts_with(begin) && line.ends_with(end) => {
                gapped += &format!("{begin}...{end}\n");
            }
            _ => gapped += &format!("{line}\n"),
        }
    }
    gapped
}

#[test]
fn the_life_of_a_container_is_as_the_readme_shows_it() {
    let Some(shellrt) = Shellrt::start() else {
        return;
    };
    let Some(registry) = Registry::start(&registry::Options::default()) else {
        return;
    };
    // The README's image is on Docker Hub; here a registry of our own stands in for that.
    Image::busybox().push(&registry, "library/busybox", "latest");
    let hosts = shellrt.files().join("hosts/docker.io");
    std::fs::create_dir_all(&hosts).unwrap();
    let server = format!("server = \"http://{}\"\n", registry.host());
    std::fs::write(hosts.join("hosts.toml"), server).unwrap();
    // As a person sees it, though nobody sits at a terminal.
    let bin = shellrt.files().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let driver = tests::binaries::program("shellrt-driver");
    let wrapper = format!(
        "#!/bin/sh\nexec '{}' --output text \"$@\"\n",
        driver.display()
    );
    let script = bin.join("shellrt-driver");
    std::fs::write(&script, wrapper).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, executable).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!(
        "{}:{}:{path}",
        bin.display(),
        driver.parent().unwrap().display()
    );

    let shown = block("console", "$ shellrt-driver containerd img_pull");
    let mut commands = 0;
    for part in shown.split("$ ").skip(1) {
        let (line, wanted) = part.split_once('\n').unwrap();
        // The lines before have installed and built what is here already.
        if !line.starts_with("shellrt-driver ") {
            continue;
        }
        let mut command = Command::new("sh");
        command.arg("-c").arg(line).env("PATH", &path);
        for (name, value) in &shellrt.environment {
            command.env(name, value.as_ref().unwrap());
        }
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {errors}");
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(with_gaps(&printed, wanted), wanted, "{line}: {errors}");
        commands += 1;
    }
    assert!(commands >= 6, "{commands}");
    let left = shellrt.containerd.left_of_modules();
    assert!(left.is_empty(), "{left:#?}");
    assert_eq!(shellrt.containerd.ctr(&["images", "ls", "-q"]), "");
}

/// The messages of the transcript come, one piece of output or several.
#[test]
fn a_silverline_runtime_does_what_the_readme_shows() {
    let Some(broker) = Broker::start(&broker::Options::default()) else {
        return;
    };
    let wasm = Wasm::new();
    let settings = block("yaml", "# settings.yaml");
    std::fs::write(wasm.files().join("settings.yaml"), settings).unwrap();
    let shown = block("console", "$ shellrt-edged silverline");
    let line = |program: &str| {
        let begin = format!("$ {program} ");
        let line = shown.lines().find_map(|line| line.strip_prefix(&begin));
        line.unwrap().to_owned()
    };
    let filter = line("mosquitto_sub");
    let recorder = broker.record(filter.split('\'').nth(1).unwrap());

    let program = tests::binaries::program("shellrt-edged");
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    let mut command = Command::new(&program);
    command.args(["silverline", "--config"]).arg(wasm.files());
    for (name, value) in &wasm.environment {
        command.env(name, value.as_ref().unwrap());
    }
    let log = wasm.files().join("edged.log");
    let daemon = command
        .env("PATH", path)
        .env("DYNACONF_MQTT__PORT", broker.port().to_string())
        .env("DYNACONF_EDGE__STATE_DIR", wasm.files().join("state"))
        .current_dir(root())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut daemon = Ended(daemon);
    let text = || std::fs::read_to_string(&log).unwrap();
    until("the daemon listens", || {
        assert!(daemon.0.try_wait().unwrap().is_none(), "{}", text());
        text().contains("no registration is asked for")
    });

    let publish = format!(
        "mosquitto_pub -p {} {}",
        broker.port(),
        line("mosquitto_pub")
    );
    let published = Command::new("sh").arg("-c").arg(publish).status().unwrap();
    assert!(published.success());
    let wanted = shown.lines().filter(|line| !line.starts_with("$ "));
    let wanted: Vec<(String, serde_json::Value)> = wanted
        .map(|line| {
            let (topic, payload) = line.split_once(' ').unwrap();
            (topic.to_owned(), serde_json::from_str(payload).unwrap())
        })
        .collect();
    let (last, _) = wanted.last().unwrap();
    recorder.wait_for_nth(last, 1);
    let mut messages: Vec<(String, serde_json::Value)> = Vec::new();
    for message in recorder.messages() {
        let mut payload = message.json();
        if payload["action"] == "delete" {
            payload["object_id"] = json!("...");
        }
        match (messages.last_mut(), payload.as_str()) {
            (Some((topic, json)), Some(more)) if *topic == message.topic => {
                *json = json!(format!("{}{more}", json.as_str().unwrap()));
            }
            _ => messages.push((message.topic, payload)),
        }
    }
    assert_eq!(messages, wanted);
}

/// What is typed into the emulator has the answers that stand there, with free ports.
#[test]
fn an_edgeless_function_does_what_the_readme_shows() {
    let shown = block("console", "$ shellrt-edged edgeless ");
    let (before, session) = shown.split_once("$ shellrt-edged edgeless-cli\n").unwrap();
    let (build, start) = before.split_once("\n$ ").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("shellrt-edge");
    std::os::unix::fs::symlink(root().join("shellrt-edge"), tree).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", build.strip_prefix("$ ").unwrap()]);
    let built = command.current_dir(folder.path()).status().unwrap();
    assert!(built.success(), "{build}");
    let arguments = start.strip_prefix("shellrt-edged edgeless --module ./");
    let module = arguments.and_then(|rest| rest.split(' ').next()).unwrap();
    let module = folder.path().join(module);
    let edged = Edged::start(&["--module", module.to_str().unwrap()]);

    let commands = ["call ", "cast ", "stop", "quit"];
    let is_typed = |line: &&str| commands.iter().any(|word| line.starts_with(word));
    let said_of_calls = |line: &&str| line.contains(" to ") && line.contains(": ");
    let (typed, printed): (Vec<&str>, Vec<&str>) = session
        .lines()
        .partition(|line| is_typed(line) && !said_of_calls(line));
    assert!(typed.len() >= 4, "{typed:?}");
    let (output, status) = emulator::session(edged.ports[0], &(typed.join("\n") + "\n"));
    assert_eq!(output, printed.join("\n") + "\n");
    assert_eq!(status, Some(0));
}

/// A program that ends with the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
