//! The way to the broker: TLS, certificates, passwords.

use std::os::unix::fs::PermissionsExt;

use serde_json::{json, Value};
use tests::broker::{is_installed, Broker, Options, Tls, PASSWORD, USER};
use tests::plugin::until;
use tests::registry::certificates::{Authority, Pair};

use super::fleet::Fleet;

/// A broker that wants a password, and certificates where it is told to.
fn guarded(authority: &Authority, with_client_certificates: bool) -> Option<Broker> {
    let Pair { certificate, key } = authority.issue("broker");
    let client_ca = with_client_certificates.then(|| authority.certificate().to_owned());
    Broker::start(&Options {
        password: true,
        tls: Some(Tls {
            certificate,
            key,
            client_ca,
        }),
        lines: String::new(),
    })
}

/// A runtime below `broker` that speaks TLS, trusts `authority`, and has the password.
fn below(broker: Broker, authority: &Authority) -> Fleet {
    let port = broker.tls_port();
    let fleet = Fleet::below(broker, "manager", json!({}), json!({}));
    fleet.set("mqtt", "port", json!(port));
    fleet.set("mqtt", "ssl", json!(true));
    fleet.set("mqtt", "ca", json!(authority.certificate()));
    // As upstream has it: the later file adds to the earlier one.
    let secrets = json!({"dynaconf_merge": true,
        "mqtt": {"username": USER, "password": PASSWORD}});
    write_secrets(&fleet, &secrets);
    fleet
}

/// Writes the file that only its owner reads.
fn write_secrets(fleet: &Fleet, secrets: &Value) {
    let file = fleet.folder().join(".secrets.yaml");
    std::fs::write(&file, secrets.to_string()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A module lives, and the password is seen nowhere.
fn assert_lives(fleet: &mut Fleet) {
    fleet.run();
    fleet.register(json!({}));
    fleet.create("m", "lines");
    assert_eq!(fleet.wait_for_exits(1), ["m"]);
    assert_eq!(fleet.output("realm/proc/stdio/m"), "one\ntwo\nthree\n");
    fleet.end();
    assert!(!fleet.log().contains(PASSWORD), "{}", fleet.log());
}

fn wait_for_log(fleet: &Fleet, text: &str) {
    until(text, || fleet.log().contains(text));
}

#[test]
fn a_password_and_an_authority_of_ones_own() {
    if !is_installed() {
        return;
    }
    let authority = Authority::new();
    let Some(broker) = guarded(&authority, false) else {
        return;
    };
    let mut fleet = below(broker, &authority);
    assert_lives(&mut fleet);
    assert!(!fleet.log().contains("warning"), "{}", fleet.log());
}

#[test]
fn a_certificate_of_the_runtimes_own() {
    if !is_installed() {
        return;
    }
    let authority = Authority::new();
    let Some(broker) = guarded(&authority, true) else {
        return;
    };
    let mut fleet = below(broker, &authority);
    // Without one it is not let in, and goes on trying.
    fleet.run();
    wait_for_log(&fleet, "mqtt.cert");
    fleet.kill();
    let Pair { certificate, key } = authority.issue("runtime");
    fleet.set("mqtt", "cert", json!(certificate));
    fleet.set("mqtt", "key", json!(key));
    assert_lives(&mut fleet);
}

#[test]
fn a_broker_that_nobody_vouches_for() {
    if !is_installed() {
        return;
    }
    let authority = Authority::new();
    let Some(broker) = guarded(&authority, false) else {
        return;
    };
    let stranger = Authority::new();
    let mut fleet = below(broker, &stranger);
    fleet.run();
    // The setting that does what upstream does is named.
    wait_for_log(&fleet, "mqtt.ssl_verify");
    assert!(fleet.heard.messages().is_empty(), "nothing was said to it");
    fleet.kill();
    fleet.set("mqtt", "ssl_verify", json!(false));
    fleet.set("mqtt", "ca", Value::Null);
    assert_lives(&mut fleet);
}

#[test]
fn a_password_where_others_can_read_it_is_warned_about() {
    let Some(mut fleet) = Fleet::prepare("manager", json!({"reg_attempts": -1}), json!({})) else {
        return;
    };
    write_secrets(
        &fleet,
        &json!({"dynaconf_merge": true, "mqtt": {"username": "u", "password": PASSWORD}}),
    );
    let file = fleet.folder().join(".secrets.yaml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    fleet.run();
    wait_for_log(&fleet, "no registration is asked for");
    let log = fleet.log();
    let warned = |line: &str| line.contains(".secrets.yaml") && line.contains("600");
    assert!(log.lines().any(warned), "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
}
