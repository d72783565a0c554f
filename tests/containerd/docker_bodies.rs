//! Docker's create options as public edge solutions have them: each is created as it is, with an image
//! that is here, and what is ignored of it is named.
//!
//! Beside each body stand the repository, the file and the module that it is from, and the names that
//! `ignored` must have, or the place of the error, by docker's documentation and SPEC.md.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{json, Value};
use tests::image::Image;
use tests::plugin::{until, Answer};
use tests::registry::{self, Registry};
use tests::shellrt::Shellrt;

use super::{assert_nothing_left, remove};

/// Tells what a container has of what its body asked for, and stays where that has a port of ours. A
/// shell hands on only the variables that it could have itself.
const TELL: &str = r"tr '\0' '\n' < /proc/1/environ; hostname; grep CapEff /proc/self/status
    cat /proc/self/mountinfo; echo told; [ -z $MSSQL_PID ] || sleep 1000000";

fn setup() -> Option<(Shellrt, Registry, String)> {
    let shellrt = Shellrt::start()?.with_networks()?;
    let registry = Registry::start(&registry::Options::default())?;
    let config = json!({"Cmd": ["sh", "-c", TELL], "Env": ["PATH=/bin"]});
    let image = Image::busybox().config(config);
    let image = image.push(&registry, "busybox", "1");
    shellrt.pull(&image);
    Some((shellrt, registry, image))
}

fn bodies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("containerd/docker_bodies")
}

fn body(name: &str) -> Value {
    let text = fs::read(bodies().join(format!("{name}.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn create(shellrt: &Shellrt, name: &str, image: &str) -> Answer {
    let mut config = body(name)["body"].take();
    config["Image"] = json!(image);
    let name = name.replace('_', "-");
    shellrt.ask(&json!({
        "_type": "create", "name": name, "env": {}, "config_type": "docker", "config": config,
    }))
}

/// Directories of the machine that a body has made, as docker makes them; those that were not there
/// before are taken away again.
struct Made(Vec<PathBuf>);

impl Made {
    fn before(body: &Value) -> Made {
        let binds = body["HostConfig"]["Binds"].as_array().into_iter().flatten();
        let sources = binds.filter_map(|bind| bind.as_str()?.split(':').next());
        let paths = sources.filter(|source| source.starts_with('/'));
        let missing = paths.map(PathBuf::from).filter(|path| !path.exists());
        Made(missing.collect())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in &self.0 {
            // Only what is empty goes.
            let _ = fs::remove_dir(path);
        }
    }
}

#[test]
fn public_bodies_are_created_as_they_are() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    let mut created = 0;
    for entry in fs::read_dir(bodies()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let expected = body(&name);
        let _made = Made::before(&expected["body"]);
        let answer = create(&shellrt, &name, &image);
        if let Some(place) = expected.get("refused") {
            assert_eq!(answer.object["code"], 4, "{name}: {answer:?}");
            assert_eq!(
                &answer.object["detail"]["path"], place,
                "{name}: {answer:?}"
            );
            continue;
        }
        assert_eq!(answer.object["_status"], "ok", "{name}: {answer:?}");
        let ignored = answer.object.get("ignored").cloned();
        let ignored = ignored.unwrap_or_else(|| json!([]));
        assert_eq!(ignored, expected["ignored"], "{name}");
        let status = shellrt.module("status", &name.replace('_', "-"));
        assert_eq!(status["config_type"], "docker", "{name}");
        for bind in &_made.0 {
            assert!(bind.is_dir(), "{name}: {bind:?} was not made");
        }
        remove(&shellrt, &name.replace('_', "-"));
        created += 1;
    }
    assert!(created >= 10, "{created}");
    assert_nothing_left(&shellrt);
}

/// What a module of this body tells of itself, and what is told of it then.
fn told(shellrt: &Shellrt, name: &str, image: &str) -> (String, Value) {
    let answer = create(shellrt, name, image);
    assert_eq!(answer.object["_status"], "ok", "{answer:?}");
    let name = name.replace('_', "-");
    shellrt.module("start", &name);
    let text = || String::from_utf8(shellrt.logs(&name)).unwrap();
    until("the module has told", || text().ends_with("\ntold\n"));
    let status = shellrt.module("status", &name);
    let text = text();
    remove(shellrt, &name);
    (text, status)
}

fn is_mounted(text: &str, target: &str) -> bool {
    text.lines()
        .any(|line| line.split(' ').nth(4) == Some(target))
}

#[test]
fn public_bodies_have_their_effect() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    let (text, status) = told(&shellrt, "sqledge", &image);
    for variable in [
        "MSSQL_PID=Premium\n",
        "SA_PASSWORD=${SQLEDGE_ADMIN_PASSWORD}\n",
    ] {
        assert!(text.contains(variable), "{text}");
    }
    assert!(is_mounted(&text, "/sqlvolume"), "{text}");
    assert!(is_mounted(&text, "/var/opt/mssql"), "{text}");
    let port = &status["ports"][0];
    assert_eq!(port["host_port"], 1877, "{status}");
    assert_eq!(port["module_port"], 1433, "{status}");
    assert_eq!(port["protocol"], "tcp", "{status}");
    let capabilities = |text: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with("CapEff:"))
            .unwrap();
        u64::from_str_radix(line.trim_start_matches("CapEff:").trim(), 16).unwrap()
    };
    // linux/capability.h: 12 is NET_ADMIN, 19 SYS_PTRACE, 21 SYS_ADMIN.
    let own = |text: &str| [12, 19, 21].map(|bit| capabilities(text) >> bit & 1 == 1);
    assert_eq!(own(&text), [false, true, false], "{text}");

    let (text, _) = told(&shellrt, "grafana", &image);
    assert!(is_mounted(&text, "/etc/grafana/provisioning"), "{text}");
    let variable = "GF_SECURITY_ADMIN_PASSWORD=${GRAFANA_ADMIN_PASSWORD}\n";
    assert!(text.contains(variable), "{text}");
    assert_eq!(own(&text), [false, false, false], "{text}");

    let (text, _) = told(&shellrt, "discovery", &image);
    assert!(text.contains("\ndiscovery\n"), "{text}");
    assert_eq!(own(&text), [true, false, false], "{text}");

    let (text, _) = told(&shellrt, "event_grid", &image);
    assert!(
        text.contains("inbound:serverAuth:tlsPolicy=disabled\n"),
        "{text}"
    );
    assert_nothing_left(&shellrt);
}
