//! Every way to a router: serializers, transports, TLS, authentication.

use serde_json::json;
use tests::registry::certificates::Authority;
use tests::router::{Options, Peer, Router};

use crate::daemon::Place;

/// RFC 8032, test 1.
const KEY: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC_KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

#[test]
fn every_serializer_over_every_transport() {
    let authority = Authority::new();
    let pair = authority.issue("router");
    let options = Options {
        tls: Some((pair.certificate.clone(), pair.key.clone())),
        public_key: Some(PUBLIC_KEY.to_owned()),
    };
    let Some((place, router)) = Place::new().zip(Router::crossbar(&options)) else {
        return;
    };
    let Some(echo) = place.echo() else {
        return;
    };
    let component = format!("wasm:{}", echo.display());
    let ca = authority.certificate().display().to_string();
    let mut peer = Peer::join(&router.url());
    let [web_tls, raw_tls] = router.tls_urls();
    let mut check = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut all = vec!["-c", &component, "-r", "realm1"];
        all.extend(arguments);
        let mut daemon = place.daemon_with(&all, variables);
        daemon.wait("is ready", 1);
        let values = json!([[1, "ä", null, {"a": [1.5]}]]);
        let echoed = peer.call("org.example.echo", values.clone());
        assert_eq!(echoed["result"], values[0], "{arguments:?}");
        assert_eq!(daemon.end().code(), Some(0), "{}", daemon.log());
    };
    for serializer in ["json", "msgpack", "cbor"] {
        for url in [router.url(), router.raw_url()] {
            check(&["-u", &url, "--serializers", serializer], &[]);
        }
        check(
            &["-u", &web_tls, "--ca", &ca, "--serializers", serializer],
            &[],
        );
    }
    check(&["-u", &raw_tls, "--ca", &ca], &[]);
    // The flag forces TLS, the variables are the flags.
    let plain = web_tls.replace("wss://", "ws://");
    check(&["--ca", &ca, "-s"], &[("WAMP_URL", &plain)]);
    // Who they are.
    let auth = router.auth_url();
    check(
        &["-u", &auth, "--authid", "joe"],
        &[("WAMP_TICKET", "secret!")],
    );
    check(
        &["-u", &auth, "--authid", "peter"],
        &[("WAMP_SECRET", "secret1")],
    );
    check(
        &["-u", &auth, "--authid", "salt"],
        &[("WAMP_SECRET", "secret1")],
    );
    check(
        &["-u", &auth, "--authid", "key"],
        &[("WAMP_PRIVATE_KEY", KEY)],
    );
    // A secret may stand in a file beside the settings; the line's end behind it is not part of it.
    std::fs::write(place.dir.path().join("ticket"), "secret!\n").unwrap();
    place.set(|settings| settings["ticket_file"] = json!("ticket"));
    check(&["-u", &auth, "--authid", "joe"], &[]);
    place.set(|settings| settings["ticket_file"] = json!(null));

    // And what is refused, in words.
    let refused = |arguments: &[&str], variables: &[(&str, &str)], why: &str| {
        let mut all = vec!["-c", &component];
        all.extend(arguments);
        let mut daemon = place.daemon_with(&all, variables);
        assert_eq!(daemon.status().code(), Some(1), "{arguments:?}");
        assert!(daemon.log().contains(why), "no {why}: {}", daemon.log());
        assert!(!daemon.log().contains("wrong horse"), "{}", daemon.log());
    };
    let nobody = "wamp.error.no_auth_method";
    refused(&["-u", &auth, "-r", "realm1"], &[], nobody);
    let wrong = [("WAMP_TICKET", "wrong horse")];
    refused(
        &["-u", &auth, "-r", "realm1", "--authid", "joe"],
        &wrong,
        "not_authorized",
    );
    refused(
        &["-u", &router.url(), "-r", "nope"],
        &[],
        "wamp.error.no_such_realm",
    );
    refused(&["-u", &web_tls, "-r", "realm1"], &[], "--ca");
    refused(
        &["-u", &router.url().replace("/ws", "/"), "-r", "realm1"],
        &[],
        "is no router",
    );
    refused(
        &[
            "-u",
            &router.url().replace("ws:", "rs:").replace("/ws", ""),
            "-r",
            "realm1",
        ],
        &[],
        "did not answer within",
    );
    refused(
        &["-u", "ws://no-such-host.invalid/ws", "-r", "realm1"],
        &[],
        "can't be reached",
    );
    refused(&["-u", &router.url()], &[], "WAMP_REALM");
}
