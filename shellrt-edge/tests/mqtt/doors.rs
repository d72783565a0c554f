//! Whether the broker lets it in, and what is said where it does not.

use shellrt_edge::mqtt::{Settings, Tls};

use crate::broker::{self, Broker, Options, PASSWORD, USER};
use crate::certificates::{Authority, Pair};
use crate::client::{keep_log, logged, message, settings, until, Client};

/// How often a broker at this port was tried in vain, by the log.
fn tries(port: u16) -> Vec<String> {
    logged(&format!(":{port}: no connection"))
}

/// What is said of a broker that does not let it in: once, however often it is tried.
fn complaint(settings: Settings) -> String {
    keep_log();
    let port = settings.port;
    let client = Client::start(settings, None);
    let lines = until("a third try", || {
        let lines = tries(port);
        (lines.len() >= 3).then_some(lines)
    });
    let warnings: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("WARN"))
        .collect();
    assert_eq!(warnings.len(), 1, "{lines:#?}");
    assert_eq!(client.mqtt().counters().connects, 0);
    assert!(client.events().is_empty());
    warnings[0].clone()
}

#[test]
fn a_password_opens_and_another_does_not() {
    let options = Options {
        password: true,
        ..Options::default()
    };
    let Some(broker) = Broker::start(&options) else {
        return;
    };
    let mut settings = settings(broker.port());
    settings.username = Some(USER.to_owned());
    settings.password = Some(PASSWORD.into());
    let client = Client::connected(settings.clone(), None);
    let recorder = broker.record("t");
    client.publish(message("t", "in"));
    assert_eq!(recorder.wait_for("t").text(), "in");
    drop(client);

    settings.password = Some("wrong horse".into());
    let said = complaint(settings);
    assert!(said.contains("\"mqtt.password\""), "{said}");
    assert!(logged("horse").is_empty());
}

#[test]
fn nobody_there_and_nobody_known() {
    keep_log();
    let Some(broker) = Broker::prepare(&Options::default()) else {
        return;
    };
    let mut settings = settings(broker.port());
    let said = complaint(settings.clone());
    assert!(said.contains("nobody listens"), "{said}");
    settings.host = "no-such-host.invalid".to_owned();
    // Another port, so that its lines are told from the others.
    settings.port = 1;
    let said = complaint(settings);
    assert!(said.contains("\"mqtt.host\""), "{said}");
}

struct Secured {
    broker: Broker,
    authority: Authority,
}

fn secured(with_client_certificates: bool) -> Option<Secured> {
    if !broker::is_installed() {
        return None;
    }
    let authority = Authority::new();
    let Pair { certificate, key } = authority.issue("broker");
    let client_ca = with_client_certificates.then(|| authority.certificate().to_owned());
    let tls = broker::Tls {
        certificate,
        key,
        client_ca,
    };
    let options = Options {
        tls: Some(tls),
        ..Options::default()
    };
    let broker = Broker::start(&options)?;
    Some(Secured { broker, authority })
}

impl Secured {
    /// A client that trusts the authority.
    fn settings(&self) -> Settings {
        let tls = Tls {
            ca: Some(self.authority.certificate().to_owned()),
            cert: None,
            key: None,
            verify: true,
        };
        Settings {
            tls: Some(tls),
            ..settings(self.broker.tls_port())
        }
    }
}

#[test]
fn tls_with_an_own_authority() {
    let Some(secured) = secured(false) else {
        return;
    };
    let mut settings = secured.settings();
    let recorder = secured.broker.record("t");
    Client::connected(settings.clone(), None).publish(message("t", "by address"));
    // The address has to be looked up then.
    settings.host = "localhost".to_owned();
    Client::connected(settings, None).publish(message("t", "by name"));
    assert_eq!(recorder.wait_for_nth("t", 1).text(), "by name");
}

#[test]
fn tls_with_another_authority_and_with_none() {
    let Some(secured) = secured(false) else {
        return;
    };
    let mut settings = secured.settings();
    let another = Authority::new();
    settings.tls.as_mut().unwrap().ca = Some(another.certificate().to_owned());
    let said = complaint(settings.clone());
    assert!(said.contains("\"mqtt.ca\""), "{said}");
    assert!(said.contains("\"mqtt.ssl_verify\""), "{said}");
    settings.tls.as_mut().unwrap().verify = false;
    let recorder = secured.broker.record("t");
    Client::connected(settings, None).publish(message("t", "trusting"));
    assert_eq!(recorder.wait_for("t").text(), "trusting");
}

#[test]
fn tls_with_the_authorities_of_the_system_does_not_trust_ours() {
    let Some(secured) = secured(false) else {
        return;
    };
    let mut settings = secured.settings();
    settings.tls.as_mut().unwrap().ca = None;
    let said = complaint(settings);
    assert!(said.contains("\"mqtt.ca\""), "{said}");
}

#[test]
fn tls_with_a_certificate_of_the_client() {
    let Some(secured) = secured(true) else { return };
    let mut settings = secured.settings();
    let said = complaint(settings.clone());
    assert!(said.contains("\"mqtt.cert\""), "{said}");
    let Pair { certificate, key } = secured.authority.issue("client");
    let tls = settings.tls.as_mut().unwrap();
    tls.cert = Some(certificate);
    tls.key = Some(key);
    let recorder = secured.broker.record("t");
    Client::connected(settings, None).publish(message("t", "known"));
    assert_eq!(recorder.wait_for("t").text(), "known");
}

#[test]
fn tls_where_there_is_none_and_none_where_there_is() {
    let Some(secured) = secured(false) else {
        return;
    };
    let mut settings = secured.settings();
    settings.port = secured.broker.port();
    let said = complaint(settings.clone());
    assert!(said.contains("\"mqtt.ssl\""), "{said}");
    settings.port = secured.broker.tls_port();
    settings.tls = None;
    let said = complaint(settings);
    assert!(said.contains("\"mqtt.ssl\""), "{said}");
}

#[test]
fn two_clients_with_one_id_are_told_so() {
    keep_log();
    let Some(broker) = Broker::start(&Options::default()) else {
        return;
    };
    let _first = Client::connected(settings(broker.port()), None);
    let _second = Client::connected(settings(broker.port()), None);
    let said = until("the suspicion", || {
        logged("has another client").into_iter().next()
    });
    assert!(
        said.starts_with("WARN") && said.contains("the id \"tested\""),
        "{said}"
    );
}

#[test]
fn settings_that_can_never_work_are_refused_at_once() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let refused = |change: fn(&mut Settings)| {
        let mut settings = settings(1883);
        settings.tls = Some(Tls {
            ca: None,
            cert: None,
            key: None,
            verify: false,
        });
        change(&mut settings);
        let result = shellrt_edge::mqtt::Mqtt::connect(settings, None);
        result.err().expect("an error").to_string()
    };
    let tls = |settings: &mut Settings| {
        let tls = settings.tls.as_mut().unwrap();
        tls.verify = true;
        tls.ca = Some("/dev/null".into());
    };
    assert_eq!(
        refused(tls),
        "the file \"/dev/null\" of \"mqtt.ca\" has no certificates"
    );
    let tls = |settings: &mut Settings| {
        settings.tls.as_mut().unwrap().cert = Some("/no/such/file".into());
    };
    assert_eq!(refused(tls), "\"mqtt.cert\" is set without \"mqtt.key\"");
    let tls = |settings: &mut Settings| {
        let tls = settings.tls.as_mut().unwrap();
        (tls.cert, tls.key) = (Some("/no/such/file".into()), Some("/dev/null".into()));
    };
    assert_eq!(
        refused(tls),
        "the file \"/no/such/file\" of \"mqtt.cert\" can't be read"
    );
    let host = |settings: &mut Settings| settings.host.clear();
    assert_eq!(refused(host), "\"mqtt.host\" must not be empty");
    let pause = |settings: &mut Settings| settings.keep_alive *= 2000;
    assert_eq!(
        refused(pause),
        "the keepalive must be whole seconds, at most 65535"
    );
}
