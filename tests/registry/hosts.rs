//! Mirrors, certificates, proxies: what the machine's owner has set up.

use super::*;
use tests::registry::certificates::Authority;
use tests::registry::proxy::Fault;

fn with_tls(client_ca: Option<&Authority>) -> Option<(Registry, Authority)> {
    let authority = Authority::new();
    let options = Options {
        tls: Some(authority.issue("server")),
        client_ca: client_ca.map(|ca| ca.certificate().to_owned()),
        ..Options::default()
    };
    let registry = Registry::start(&options)?;
    registry.push_layer("app", "1", b"over TLS");
    Some((registry, authority))
}

#[tokio::test]
async fn an_own_authority_is_trusted_by_hosts_toml() {
    let Some((registry, authority)) = with_tls(None) else {
        return;
    };
    let place = Place::new();
    let host = registry.host();
    let app = reference(&host, "app:1");
    // On the loopback any certificate will do, as docker has it.
    assert_eq!(
        pull(&place, &place.client(), &app).await.unwrap(),
        b"over TLS"
    );

    let file = format!("hosts/{host}/hosts.toml");
    place.write(&file, &format!("server = \"https://{host}\"\n"));
    let error = place.client().manifest(&app).await.unwrap_err();
    assert_eq!(error.code(), Code::REGISTRY_UNREACHABLE);
    assert!(
        error.to_string().contains("hosts.toml") && error.to_string().contains("\"ca\""),
        "{error}"
    );
    assert!(!error.retryable());
    std::fs::copy(
        authority.certificate(),
        place.path(&format!("hosts/{host}/own.pem")),
    )
    .unwrap();
    place.write(
        &file,
        &format!("server = \"https://{host}\"\nca = \"own.pem\"\n"),
    );
    place.client().manifest(&app).await.unwrap();
    place.write(
        &file,
        &format!("server = \"https://{host}\"\nskip_verify = true\n"),
    );
    place.client().manifest(&app).await.unwrap();
    place.write(
        &file,
        &format!("server = \"https://{host}\"\nca = \"missing.pem\"\n"),
    );
    let error = place.client().manifest(&app).await.unwrap_err();
    assert!(error.to_string().contains("missing.pem"), "{error}");
    place.write(&file, "server = ");
    let error = place.client().manifest(&app).await.unwrap_err();
    assert!(error.to_string().contains(&file), "{error}");
}

#[tokio::test]
async fn dockers_folders_hold_certificates() {
    let clients = Authority::new();
    let Some((registry, authority)) = with_tls(Some(&clients)) else {
        return;
    };
    let place = Place::new();
    let host = registry.host();
    let app = reference(&host, "app:1");
    let error = place.client().manifest(&app).await.unwrap_err();
    assert_eq!(error.code(), Code::REGISTRY_UNREACHABLE, "{}", told(&error));
    let folder = format!("hosts/{host}");
    let copy = |from: &Path, to: &str| {
        std::fs::create_dir_all(place.path(&folder)).unwrap();
        std::fs::copy(from, place.path(&folder).join(to)).unwrap();
    };
    let me = clients.issue("me");
    copy(authority.certificate(), "ca.crt");
    copy(&me.certificate, "me.cert");
    copy(&me.key, "me.key");
    assert_eq!(
        pull(&place, &place.client(), &app).await.unwrap(),
        b"over TLS"
    );
    // The same by hosts.toml, as a pair.
    let text = format!(
        "server = \"https://{host}\"\nca = [\"ca.crt\"]\nclient = [[\"me.cert\", \"me.key\"]]"
    );
    place.write(&format!("{folder}/hosts.toml"), &text);
    place.client().manifest(&app).await.unwrap();
}

#[tokio::test]
async fn mirrors_are_asked_first_and_told_for_whom() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let bytes = layer(200_000);
    registry.push_layer("library/app", "1", &bytes);
    let (mirror, upstream) = (Proxy::start(registry.host()), Proxy::start(registry.host()));
    let place = Place::new();
    let hosts = |mirror_keys: &str| {
        let text = format!(
            "server = \"http://{}\"\n[host.\"http://127.0.0.1:1\"]\n[host.\"http://{}\"]\n{mirror_keys}",
            upstream.host(),
            mirror.host()
        );
        place.write("hosts/docker.io/hosts.toml", &text);
    };
    hosts("");
    let app: Reference = "app:1".parse().unwrap();
    let client = place.client_with("me", "s3same");
    assert_eq!(pull(&place, &client, &app).await.unwrap(), bytes);
    let seen = mirror.seen("");
    assert!(seen.len() >= 2);
    assert!(
        seen.iter().all(|seen| seen.path.contains("?ns=docker.io")),
        "{seen:?}"
    );
    assert!(
        seen.iter().all(|seen| seen.authorization.is_empty()),
        "{seen:?}"
    );
    assert!(upstream.seen("").is_empty());

    // What may not resolve is not asked what a tag means.
    hosts("capabilities = [\"pull\"]");
    let before = mirror.seen("manifests").len();
    place.client().manifest(&app).await.unwrap();
    assert_eq!(
        (
            mirror.seen("manifests").len(),
            upstream.seen("manifests").len()
        ),
        (before, 1)
    );

    // The password is not for the mirror, even if that asks for one.
    hosts("");
    let (mirrored, up) = (mirror.seen("").len(), upstream.seen("").len());
    mirror.fault(
        "",
        Fault::Status(401, "www-authenticate", "Basic realm=\"m\""),
        2,
    );
    let client = place.client_with("me", "s3same");
    client.manifest(&app).await.unwrap();
    assert_eq!(
        (mirror.seen("").len(), upstream.seen("").len()),
        (mirrored + 1, up + 1)
    );
    client.head(&app).await.unwrap();

    // What fails is followed by the upstream, in the middle of a layer, too.
    hosts("");
    mirror.fault("manifests", Fault::Status(500, "x-y", "z"), 1);
    mirror.fault("blobs", Fault::Cut(50_000), 1);
    mirror.fault("blobs", Fault::Status(503, "x-y", "z"), 100);
    let blobs = mirror.bytes("blobs");
    let done = place.path("done").join(descriptor(&bytes).digest.hex());
    std::fs::remove_file(done).unwrap();
    assert_eq!(pull(&place, &place.client(), &app).await.unwrap(), bytes);
    assert_eq!(upstream.seen("manifests").len(), 4);
    assert_eq!(mirror.bytes("blobs") - blobs, 50_000);
    assert_eq!(upstream.bytes("blobs"), 150_000);
}

#[tokio::test]
async fn a_mirror_of_wrong_bytes_is_passed_over() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let pushed = registry.push_layer("app", "1", b"x");
    let mirror = Proxy::start(registry.host());
    mirror.fault("manifests", Fault::Corrupt(5), 100);
    let place = Place::new();
    let text = format!(
        "server = \"http://{}\"\n[host.\"http://{}\"]",
        registry.host(),
        mirror.host()
    );
    place.write("hosts/_default/hosts.toml", &text);
    let pinned: Reference = format!("example.com/app@{pushed}").parse().unwrap();
    assert_eq!(
        digest(&place.client().manifest(&pinned).await.unwrap().bytes),
        pushed
    );
    assert_eq!(mirror.seen("manifests").len(), 1);
}

#[test]
fn proxies_come_from_the_environment_and_never_for_the_loopback() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    registry.push_layer("app", "1", b"x");
    // Plain HTTP to a proxy is a request with a whole URL, which this one passes on as it is.
    let proxy = Proxy::start(registry.host());
    let place = Place::new();
    place.write(
        "hosts/registry.test/hosts.toml",
        "server = \"http://registry.test\"",
    );
    let hosts = place.path("hosts");
    let proxy_url = format!("http://{}", proxy.host());
    let app = reference(&registry.host(), "app:1").to_string();
    let ran = in_child(
        "hosts::proxies_child",
        &[
            ("HTTP_PROXY", proxy_url.as_str()),
            ("SHELLRT_HOSTS_DIR", hosts.to_str().unwrap()),
            ("APP", &app),
        ],
    );
    assert!(!ran);
    let seen = proxy.seen("");
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].path, "http://registry.test/v2/app/manifests/1");
}

/// Runs in a process of its own, with the variables of the test above.
#[tokio::test]
async fn proxies_child() {
    let Ok(app) = std::env::var("APP") else {
        return;
    };
    let client = Client::new(Settings::from_env(&Default::default()).unwrap());
    client.manifest(&app.parse().unwrap()).await.unwrap();
    client
        .manifest(&"registry.test/app:1".parse().unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let place = Place::new();
    let mut settings = place.settings(&[]);
    settings.connect_timeout = Duration::from_secs(1);
    let client = Client::new(settings);
    let error = client
        .manifest(&reference("127.0.0.1:1", "app"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::REGISTRY_UNREACHABLE);
    assert!(error.retryable());
    assert!(told(&error).contains("refused"), "{}", told(&error));
    let error = client
        .manifest(&reference("registry.invalid", "app"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::REGISTRY_UNREACHABLE);
    assert!(error.to_string().contains("registry.invalid"), "{error}");
}
