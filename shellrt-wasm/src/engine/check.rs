//! Whether a module's config fits its program.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Component;

use shellrt_api::v0::config::invalid;
use shellrt_api::v0::config::wasm::{Abi, Config, Mount, MountKind, Network};
use shellrt_api::v0::Error;

use super::network::AllowList;
use super::Kind;

/// What `network.listen` must be.
pub(super) const LISTEN: &str =
    "it must be an address and a port, as in \"0.0.0.0:8080\" or \"[::1]:8080\"";

/// The smallest `mem_limit`: one page of linear memory, in bytes.
const PAGE: u64 = 64 << 10;

/// Checks what can be checked when a module is created. What the machine may change later (a mount's
/// source that vanishes, an address in use) is checked again at each start.
///
/// # Errors
/// Code 4, with the path of what is wrong.
pub fn check_config(kind: Kind, config: &Config) -> Result<(), Error> {
    let Config {
        image: _,
        abi,
        command,
        mounts,
        network,
        mem_limit,
        cpus,
        timeout,
        fuel,
        stdin,
        restart: _,
        log: _,
        labels: _,
    } = config;
    for (index, argument) in command.iter().enumerate() {
        if argument.contains('\0') {
            let path = format!("/command/{index}");
            return Err(invalid(&path, "an argument can't contain a NUL byte"));
        }
    }
    check_mounts(mounts)?;
    match (kind, abi) {
        (Kind::Edgeless, _) => check_edgeless(config)?,
        (Kind::Core | Kind::Command | Kind::Http, Some(Abi::Edgeless)) => {
            return Err(invalid(
                "/abi",
                "the program is no edgeless function; leave it out",
            ));
        }
        (Kind::Core | Kind::Command | Kind::Http, None) => {}
    }
    check_network(kind, network)?;
    if mem_limit.is_some_and(|limit| limit.0 < PAGE) {
        return Err(invalid(
            "/mem_limit",
            "it must be at least 64k, one page of linear memory",
        ));
    }
    if cpus.is_some_and(|cpus| !(cpus.is_finite() && cpus > 0.0)) {
        return Err(invalid("/cpus", "it must be more than 0"));
    }
    if timeout.is_some_and(|timeout| timeout.0.is_zero()) {
        return Err(invalid(
            "/timeout",
            "it must be more than 0; leave it out for no limit",
        ));
    }
    if *fuel == Some(0) {
        return Err(invalid(
            "/fuel",
            "it must be more than 0; leave it out for no limit",
        ));
    }
    if *stdin && kind == Kind::Http {
        return Err(invalid(
            "/stdin",
            "a program that serves http has no stdin; leave it out",
        ));
    }
    Ok(())
}

/// An EDGELESS function is talked to, and has nothing else.
fn check_edgeless(config: &Config) -> Result<(), Error> {
    let wrong = |path: &str, reason: &str| Err(invalid(path, reason));
    if !config.stdin {
        return wrong(
            "/stdin",
            "an edgeless function is talked to over its stdin; set it to true",
        );
    }
    if !config.command.is_empty() {
        return wrong(
            "/command",
            "an edgeless function has no arguments; leave it out",
        );
    }
    if !config.mounts.is_empty() {
        return wrong(
            "/mounts",
            "an edgeless function sees no files; leave it out",
        );
    }
    if !config.network.connect.is_empty() {
        return wrong(
            "/network/connect",
            "an edgeless function reaches others by its casts and calls; leave it out",
        );
    }
    Ok(())
}

fn check_mounts(mounts: &[Mount]) -> Result<(), Error> {
    let mut targets = BTreeSet::new();
    for (index, mount) in mounts.iter().enumerate() {
        let Mount {
            kind: MountKind::Bind,
            source,
            target,
            read_only: _,
        } = mount;
        let wrong =
            |field: &str, reason: &str| Err(invalid(&format!("/mounts/{index}/{field}"), reason));
        if !source.is_absolute() {
            return wrong("source", "it must be an absolute path");
        }
        match source.metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                return wrong(
                    "source",
                    "it must be a directory; mount the one that holds the file",
                )
            }
            Err(error) => return wrong("source", &format!("{source:?} can't be used: {error}")),
        }
        let path = std::path::Path::new(target);
        if target != "." && !path.is_absolute() {
            return wrong("target", "it must be an absolute path, or \".\"");
        }
        if target.contains('\0') || path.components().any(|part| part == Component::ParentDir) {
            return wrong("target", "it can't contain \"..\" or a NUL byte");
        }
        // Comparing components ignores doubled and trailing slashes.
        if !targets.insert(path.components().collect::<Vec<_>>()) {
            return wrong("target", "another mount has the same target");
        }
    }
    Ok(())
}

fn check_network(kind: Kind, network: &Network) -> Result<(), Error> {
    let Network {
        connect,
        listen,
        dns,
    } = network;
    let allowed = AllowList::parse(connect).map_err(|(index, reason)| {
        invalid(&format!("/network/connect/{index}"), &reason.to_string())
    })?;
    if kind == Kind::Core && !connect.is_empty() {
        let reason = "a preview1 program can't open connections; build it for wasm32-wasip2";
        return Err(invalid("/network/connect", reason));
    }
    if *dns && !allowed.has_names() {
        let reason = "there is nothing to look up; list the names in \"connect\" as \"host:port\"";
        return Err(invalid("/network/dns", reason));
    }
    match (kind, listen) {
        (Kind::Http, None) => {
            let reason =
                "the program serves http and needs an address to do so, as in \"0.0.0.0:8080\"";
            Err(invalid("/network/listen", reason))
        }
        (Kind::Http, Some(address)) => match address.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(()),
            Ok(_) => Err(invalid(
                "/network/listen",
                "the port can't be 0: nobody could find it",
            )),
            Err(_) => Err(invalid("/network/listen", LISTEN)),
        },
        (Kind::Core | Kind::Command | Kind::Edgeless, Some(_)) => {
            let reason =
                "the program does not serve http (wasi:http/incoming-handler); leave it out";
            Err(invalid("/network/listen", reason))
        }
        (Kind::Core | Kind::Command | Kind::Edgeless, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};
    use shellrt_api::v0::Code;

    use super::{check_config, Kind};

    /// The path of what is wrong, or nothing.
    fn check(kind: Kind, config: Value) -> Option<String> {
        let mut config = config;
        config["image"] = "i".into();
        let config = serde_json::from_value(config).unwrap();
        let error = check_config(kind, &config).err()?;
        assert_eq!(error.code, Code::INVALID_CONFIG);
        Some(error.detail["path"].as_str().unwrap().to_owned())
    }

    #[test]
    fn what_fits() {
        let mount = json!([{"type": "bind", "source": "/tmp", "target": "/a"},
                           {"type": "bind", "source": "/", "target": "."}]);
        assert_eq!(
            check(
                Kind::Core,
                json!({"mounts": mount, "stdin": true, "fuel": 1})
            ),
            None
        );
        let network = json!({"connect": ["example.com:443", "10.0.0.0/8"], "dns": true});
        assert_eq!(
            check(
                Kind::Command,
                json!({"network": network, "mem_limit": "64k"})
            ),
            None
        );
        for config in [
            json!({"stdin": true}),
            json!({"stdin": true, "abi": "edgeless"}),
        ] {
            assert_eq!(check(Kind::Edgeless, config), None);
        }
        let network = json!({"listen": "[::1]:80", "connect": ["[::1]:81"]});
        assert_eq!(check(Kind::Http, json!({"network": network})), None);
    }

    #[test]
    fn what_does_not() {
        let bind = |source: &str, target: &str| json!({"type": "bind", "source": source, "target": target});
        let one = |mount: Value| json!({"mounts": [mount]});
        for (kind, config, path) in [
            (
                Kind::Core,
                json!({"command": ["a", "b\u{0}"]}),
                "/command/1",
            ),
            (Kind::Core, one(bind("tmp", "/a")), "/mounts/0/source"),
            (
                Kind::Core,
                one(bind("/does/not/exist", "/a")),
                "/mounts/0/source",
            ),
            (
                Kind::Core,
                one(bind("/etc/passwd", "/a")),
                "/mounts/0/source",
            ),
            (Kind::Core, one(bind("/tmp", "a")), "/mounts/0/target"),
            (Kind::Core, one(bind("/tmp", "")), "/mounts/0/target"),
            (Kind::Core, one(bind("/tmp", "/a/../b")), "/mounts/0/target"),
            (
                Kind::Core,
                json!({"mounts": [bind("/tmp", "/a"), bind("/", "//a/")]}),
                "/mounts/1/target",
            ),
            (Kind::Core, json!({"mem_limit": 65535}), "/mem_limit"),
            (Kind::Core, json!({"cpus": 0.0}), "/cpus"),
            (Kind::Core, json!({"timeout": 0}), "/timeout"),
            (Kind::Core, json!({"fuel": 0}), "/fuel"),
            (
                Kind::Core,
                json!({"network": {"connect": ["a:1"]}}),
                "/network/connect",
            ),
            (
                Kind::Core,
                json!({"network": {"listen": "0.0.0.0:80"}}),
                "/network/listen",
            ),
            (
                Kind::Command,
                json!({"network": {"listen": "0.0.0.0:80"}}),
                "/network/listen",
            ),
            (
                Kind::Command,
                json!({"network": {"connect": ["a:1", "b"]}}),
                "/network/connect/1",
            ),
            (
                Kind::Command,
                json!({"network": {"connect": ["10.0.0.1:1"], "dns": true}}),
                "/network/dns",
            ),
            (
                Kind::Command,
                json!({"network": {"dns": true}}),
                "/network/dns",
            ),
            (Kind::Http, json!({}), "/network/listen"),
            (
                Kind::Http,
                json!({"network": {"listen": "localhost:80"}}),
                "/network/listen",
            ),
            (
                Kind::Http,
                json!({"network": {"listen": "127.0.0.1:0"}}),
                "/network/listen",
            ),
            (
                Kind::Http,
                json!({"network": {"listen": "[::1]:80"}, "stdin": true}),
                "/stdin",
            ),
            (Kind::Core, json!({"abi": "edgeless"}), "/abi"),
            (Kind::Edgeless, json!({"abi": "edgeless"}), "/stdin"),
            (
                Kind::Edgeless,
                json!({"stdin": true, "command": ["a"]}),
                "/command",
            ),
            (
                Kind::Edgeless,
                json!({"stdin": true, "mounts": [bind("/tmp", "/a")]}),
                "/mounts",
            ),
            (
                Kind::Edgeless,
                json!({"stdin": true, "network": {"connect": ["a:1"]}}),
                "/network/connect",
            ),
        ] {
            let found = check(kind, config.clone());
            assert_eq!(found, Some(format!("/config{path}")), "{kind:?} {config}");
        }
    }
}
