//! The container image of the recipe, built by buildah and run by a containerd of the test's own.

use std::path::Path;
use std::process::Command;

use serde_json::{json, Value};
use tests::binaries::program;
use tests::edgeless::{ok, reply, Node};
use tests::registry::{self, Registry};
use tests::shellrt::Shellrt;

use crate::abi::ECHO;

/// The builder, with a storage of its own.
struct Buildah {
    root: tempfile::TempDir,
}

impl Buildah {
    #[allow(
        clippy::print_stderr,
        reason = "that is where a test says why it did not run"
    )]
    fn new() -> Option<Buildah> {
        if Command::new("buildah").arg("--version").output().is_err() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "buildah is missing: run tests/install"
            );
            eprintln!("ignored: there is no buildah; apt-get install buildah");
            return None;
        }
        let root = tempfile::tempdir().unwrap();
        let policy = json!({"default": [{"type": "insecureAcceptAnything"}]});
        std::fs::write(root.path().join("policy.json"), policy.to_string()).unwrap();
        Some(Buildah { root })
    }

    fn run(&self, command: &str, arguments: &[&str]) -> String {
        let mut buildah = Command::new("buildah");
        for (option, folder) in [("--root", "root"), ("--runroot", "run")] {
            buildah.arg(option).arg(self.root.path().join(folder));
        }
        buildah.args(["--storage-driver", "vfs", command]);
        if command != "inspect" {
            buildah.arg("--signature-policy");
            buildah.arg(self.root.path().join("policy.json"));
        }
        let output = buildah.args(arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn build(&self, file: &Path, tag: &str, context: &Path) {
        let (file, context) = (file.to_str().unwrap(), context.to_str().unwrap());
        let options = ["--isolation", "chroot", "--pull-never"];
        self.run(
            "build",
            &[&options[..], &["-f", file, "-t", tag, context]].concat(),
        );
    }

    fn push(&self, tag: &str, registry: &Registry) -> String {
        let reference = format!("{}/{tag}:1", registry.host());
        let to = format!("docker://{reference}");
        self.run("push", &["--tls-verify=false", tag, &to]);
        reference
    }
}

#[test]
fn the_recipes_image_is_a_function() {
    let (Some(buildah), Some(shellrt), Some(registry)) = (
        Buildah::new(),
        Shellrt::start(),
        Registry::start(&registry::Options::default()),
    ) else {
        return;
    };
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recipe = tests.join("../shellrt-edge/edgeless/Containerfile");
    let programs = program("shellrt-edged");
    buildah.build(&recipe, "shellrt-edgeless", programs.parent().unwrap());
    let inspected = buildah.run("inspect", &["--type", "image", "shellrt-edgeless"]);
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    let config = &inspected["OCIv1"]["config"];
    assert_eq!(config["ExposedPorts"], json!({"7101/tcp": {}}), "{config}");
    let variables = config["Env"].as_array().unwrap();
    for variable in ["PORT=7101", "MAX_WORKERS=10", "LOG_LEVEL=WARNING"] {
        assert!(variables.contains(&json!(variable)), "{config}");
    }

    // One with a function, as the recipe says.
    let context = buildah.root.path().join("context");
    std::fs::create_dir(&context).unwrap();
    std::fs::write(context.join("function.wat"), ECHO.wat()).unwrap();
    let lines = "FROM localhost/shellrt-edgeless\nCOPY function.wat /\n\
        CMD [\"--module\", \"/function.wat\"]\n";
    let file = context.join("Containerfile");
    std::fs::write(&file, lines).unwrap();
    buildah.build(&file, "with-function", &context);

    for (tag, name) in [("shellrt-edgeless", "sample"), ("with-function", "echo")] {
        let image = buildah.push(tag, &registry);
        shellrt.pull(&image);
        // Any port will do, and the log says which it is.
        shellrt.ok(&json!({
            "_type": "create", "name": name, "config_type": "containerd", "config": {"image": image},
            "env": {"PORT": "0", "LOG_LEVEL": "INFO"},
        }));
        shellrt.module("start", name);
        let Some(mut node) = Node::start(served(&shellrt, name)) else {
            return;
        };
        node.run();
        assert_eq!(node.ask("ä b"), reply("ä b"), "{tag}");
        assert_eq!(node.call("Stop", json!({})), ok());
        shellrt.ok(&json!({"_type": "stop", "name": name, "timeout": 30}));
        assert_eq!(shellrt.module("status", name)["exit_code"], 0);
    }
}

/// The port that the daemon in a container has opened.
fn served(shellrt: &Shellrt, name: &str) -> u16 {
    let mut port = None;
    tests::plugin::until("the function is served", || {
        let log = String::from_utf8(shellrt.logs(name)).unwrap();
        let words = log.split("is served at port ").nth(1);
        port = words.and_then(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        });
        assert_eq!(shellrt.module("status", name)["status"], "running", "{log}");
        port.is_some()
    });
    port.unwrap()
}
