//! Passwords, tokens, helpers, and who gets to see them.

use super::*;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use tests::registry::certificates::Authority;
use tests::registry::http::{Message, Server};
use tests::registry::tokens::{Tokens, REFRESH};
use tests::registry::{PASSWORD, USER};

fn with_password() -> Option<(Registry, Reference)> {
    let options = Options {
        password: true,
        ..Options::default()
    };
    let registry = Registry::start(&options)?;
    registry.push_layer("app", "1", b"secret bytes");
    let reference = reference(&registry.host(), "app:1");
    Some((registry, reference))
}

fn with_tokens() -> Option<(Registry, Tokens)> {
    let tokens = Tokens::start();
    let options = Options {
        tokens: Some(tokens.trust()),
        ..Options::default()
    };
    let registry = Registry::start(&options)?;
    registry.push_layer("public/app", "1", b"open");
    registry.push_layer("private/app", "1", b"closed");
    Some((registry, tokens))
}

#[tokio::test]
async fn a_password_opens_what_wants_one() {
    let Some((_registry, app)) = with_password() else {
        return;
    };
    let place = Place::new();
    assert_eq!(
        pull(&place, &place.client_with(USER, PASSWORD), &app)
            .await
            .unwrap(),
        b"secret bytes"
    );

    let error = place.client().manifest(&app).await.unwrap_err();
    assert_eq!(error.code(), Code::REGISTRY_UNAUTHORIZED);
    assert!(error.to_string().contains("--password-stdin"), "{error}");
    let wrong = place.client_with(USER, "tr0ub4dor");
    let error = wrong.manifest(&app).await.unwrap_err();
    assert_eq!(error.code(), Code::REGISTRY_UNAUTHORIZED);
    assert!(
        error.to_string().contains("check user and password"),
        "{error}"
    );
    assert!(error.to_string().contains("UNAUTHORIZED"), "{error}");
    assert!(!told(&error).contains("tr0ub4dor") && !format!("{wrong:?}").contains("tr0ub4dor"));
    let error = Client::new(place.settings(&[("token", "t0k3n")]))
        .manifest(&app)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::REGISTRY_UNAUTHORIZED);
    assert!(error.to_string().contains("not a token"), "{error}");
}

#[tokio::test]
async fn files_are_asked_after_the_request() {
    let Some((registry, app)) = with_password() else {
        return;
    };
    let place = Place::new();
    let host = registry.host();
    // dXNlcjpjb3JyZWN0IGhvcnNl is USER:PASSWORD.
    let right =
        |key: &str| format!(r#"{{"auths":{{"{key}":{{"auth":"dXNlcjpjb3JyZWN0IGhvcnNl"}}}}}}"#);
    let wrong = |key: &str| format!(r#"{{"auths":{{"{key}":{{"auth":"dXNlcjp3cm9uZw=="}}}}}}"#);
    place.write("config.json", &right(&host));
    place.client().manifest(&app).await.unwrap();
    place.write("auth.json", &wrong(&host));
    assert!(place.client().manifest(&app).await.is_err());
    place
        .client_with(USER, PASSWORD)
        .manifest(&app)
        .await
        .unwrap();
    place.write("auth.json", &right(&format!("{host}/app")));
    place.client().manifest(&app).await.unwrap();
    place.write("auth.json", "{");
    let error = place.client().manifest(&app).await.unwrap_err();
    assert_eq!(error.code(), Code::REGISTRY_UNAUTHORIZED);
    assert!(error.to_string().contains("auth.json"), "{error}");
}

#[test]
fn helpers_are_run() {
    let Some((_registry, app)) = with_password() else {
        return;
    };
    let place = Place::new();
    let log = place.path("log");
    let script = |name: &str, body: &str| {
        let text = format!(
            "#!/bin/sh\nread server\necho \"$0 $* $server\" >> {}\n{body}\n",
            log.display()
        );
        let path = place.write(&format!("bin/docker-credential-{name}"), &text);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let answer = |user: &str, secret: &str| {
        format!(r#"echo '{{"ServerURL":"x","Username":"{user}","Secret":"{secret}"}}'"#)
    };
    script("right", &answer(USER, PASSWORD));
    script(
        "none",
        "echo credentials not found in native keychain; exit 1",
    );
    script("broken", "echo hunter2; exit 1");
    script("chatty", "echo hunter2");
    let path = format!("{}:/usr/bin:/bin", place.path("bin").display());
    let folder = place.path("");
    let variables = [
        ("PATH", path.as_str()),
        ("APP", &app.to_string()),
        ("DOCKER_CONFIG", folder.to_str().unwrap()),
        ("LOG", log.to_str().unwrap()),
    ];
    for (config, expected) in [
        (
            format!(
                r#"{{"credHelpers":{{"{}":"right"}},"credsStore":"broken"}}"#,
                app.registry()
            ),
            "",
        ),
        (r#"{"credsStore":"right"}"#.to_owned(), ""),
        (
            r#"{"credsStore":"none"}"#.to_owned(),
            "no credentials are known",
        ),
        (
            r#"{"credsStore":"broken"}"#.to_owned(),
            "docker-credential-broken",
        ),
        (r#"{"credsStore":"chatty"}"#.to_owned(), "no JSON"),
        (
            r#"{"credsStore":"missing"}"#.to_owned(),
            "docker-credential-missing",
        ),
        (
            r#"{"credsStore":"../evil"}"#.to_owned(),
            "not a program's name",
        ),
    ] {
        place.write("config.json", &config);
        let variables = [&variables[..], &[("EXPECTED", expected)]].concat();
        in_child("auth::helpers_are_run_child", &variables);
    }
    let log = std::fs::read_to_string(log).unwrap();
    let get = format!("docker-credential-right get {}\n", app.registry());
    assert_eq!(log.matches(&get).count(), 2, "{log}");
}

/// Runs in a process of its own, with the variables of the test above.
#[tokio::test]
async fn helpers_are_run_child() {
    let Ok(expected) = std::env::var("EXPECTED") else {
        return;
    };
    let app: Reference = std::env::var("APP").unwrap().parse().unwrap();
    let client = Client::new(Settings::from_env(&Default::default()).unwrap());
    match client.manifest(&app).await {
        Ok(_) => assert_eq!(expected, ""),
        Err(error) => {
            assert_eq!(error.code(), Code::REGISTRY_UNAUTHORIZED);
            assert!(
                !expected.is_empty() && told(&error).contains(&expected),
                "{}",
                told(&error)
            );
            assert!(!told(&error).contains("hunter2"));
        }
    }
}

#[tokio::test]
async fn tokens_are_fetched_once_for_a_repository() {
    let Some((registry, tokens)) = with_tokens() else {
        return;
    };
    let place = Place::new();
    let client = place.client();
    let open = reference(&registry.host(), "public/app:1");
    assert_eq!(pull(&place, &client, &open).await.unwrap(), b"open");
    let requests = tokens.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].header("authorization"), None);
    assert!(
        requests[0]
            .path
            .contains("scope=repository%3Apublic%2Fapp%3Apull"),
        "{}",
        requests[0].path
    );

    let closed = reference(&registry.host(), "private/app:1");
    let error = client.manifest(&closed).await.unwrap_err();
    assert_eq!(error.code(), Code::REGISTRY_UNAUTHORIZED);
    assert!(error.to_string().contains("who are you"), "{error}");
    assert!(error.to_string().contains("--password-stdin"), "{error}");
    let known = place.client_with(USER, PASSWORD);
    assert_eq!(pull(&place, &known, &closed).await.unwrap(), b"closed");
    let error = place
        .client_with(USER, "tr0ub4dor")
        .manifest(&closed)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::REGISTRY_UNAUTHORIZED);
    assert!(!told(&error).contains("tr0ub4dor"));
    assert_eq!(tokens.requests().len(), 4);
}

#[tokio::test]
async fn a_bearer_token_is_sent_as_it_is() {
    let Some((registry, tokens)) = with_tokens() else {
        return;
    };
    let place = Place::new();
    let closed = reference(&registry.host(), "private/app:1");
    let client = Client::new(place.settings(&[("token", &tokens.token("private/app"))]));
    assert_eq!(pull(&place, &client, &closed).await.unwrap(), b"closed");
    let client = Client::new(place.settings(&[("token", "wr0ng")]));
    let error = client.manifest(&closed).await.unwrap_err();
    assert_eq!(error.code(), Code::REGISTRY_UNAUTHORIZED);
    assert!(!told(&error).contains("wr0ng"));
    assert!(tokens.requests().is_empty());
}

#[tokio::test]
async fn a_refresh_token_is_exchanged() {
    let Some((registry, tokens)) = with_tokens() else {
        return;
    };
    let place = Place::new();
    let host = registry.host();
    place.write(
        "auth.json",
        &format!(r#"{{"auths":{{"{host}":{{"identitytoken":"{REFRESH}"}}}}}}"#),
    );
    let closed = reference(&host, "private/app:1");
    assert_eq!(
        pull(&place, &place.client(), &closed).await.unwrap(),
        b"closed"
    );
    let requests = tokens.requests();
    assert_eq!((requests.len(), requests[0].method.as_str()), (1, "POST"));
    assert!(
        !requests[0].path.contains("refresh"),
        "{}",
        requests[0].path
    );
    place.write(
        "auth.json",
        &format!(r#"{{"auths":{{"{host}":{{"identitytoken":"st4le"}}}}}}"#),
    );
    let error = place.client().manifest(&closed).await.unwrap_err();
    assert_eq!(error.code(), Code::REGISTRY_UNAUTHORIZED);
    assert!(!told(&error).contains("st4le"));
}

#[tokio::test]
async fn no_other_host_sees_the_password() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let other_seen = seen.clone();
    let other = Server::answering(move |request| {
        other_seen
            .lock()
            .unwrap()
            .push(request.header("authorization").map(str::to_owned));
        Message::response(200, &[], "elsewhere")
    });
    let target = other.host();
    let own = Server::answering(move |request| match request.header("authorization") {
        None => Message::response(401, &[("www-authenticate", "Basic realm=\"x\"")], ""),
        Some(_) if request.path.ends_with("here") => Message::response(404, &[], ""),
        Some(_) => {
            let to = format!("http://{target}/storage?signature=s3cret");
            Message::response(307, &[("location", &to)], "")
        }
    });
    let place = Place::new();
    let client = place.client_with("me", "s3same");
    let app = reference(&own.host(), "app");
    let (_, bytes) = place
        .download(&client, &app, &descriptor(b"elsewhere"))
        .await
        .unwrap();
    assert_eq!(bytes, b"elsewhere");
    assert_eq!(*seen.lock().unwrap(), [None]);
    // The signed address is a secret, too.
    let error = place
        .download(&client, &app, &descriptor(b"otherwise"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::IMAGE_INVALID);
    assert!(!told(&error).contains("s3cret") && !told(&error).contains("s3same"));
}

#[tokio::test]
async fn redirects_end() {
    let circle = Server::answering(|request| {
        let to = if request.path.ends_with("/a") {
            "/b"
        } else {
            "/a"
        };
        Message::response(302, &[("location", to)], "")
    });
    let long = Server::answering(|request| {
        let to = format!("{}x", request.path);
        Message::response(302, &[("location", &to)], "")
    });
    let strange =
        Server::answering(|_| Message::response(302, &[("location", "file:///etc/passwd")], ""));
    for (server, text) in [
        (circle, "circle"),
        (long, "ten times"),
        (strange, "no web address"),
    ] {
        let client = Place::new().client();
        let error = client
            .manifest(&reference(&server.host(), "app"))
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::REGISTRY_UNREACHABLE);
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[tokio::test]
async fn no_redirect_leaves_encryption() {
    let tls = Redirecting::start("http://127.0.0.1:1/v2/app/manifests/latest");
    let client = Place::new().client();
    let error = client
        .manifest(&reference(&tls.host, "app"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("from https to http"),
        "{}",
        told(&error)
    );
}

/// A server with TLS that answers one path with a redirect.
struct Redirecting {
    child: std::process::Child,
    host: String,
    _folders: (TempDir, Authority),
}

impl Redirecting {
    fn start(location: &str) -> Redirecting {
        use std::io::BufRead;
        let authority = Authority::new();
        let pair = authority.issue("server");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v2/app/manifests");
        std::fs::create_dir_all(&path).unwrap();
        let answer =
            format!("HTTP/1.0 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        std::fs::write(path.join("latest"), answer).unwrap();
        let mut child = std::process::Command::new("openssl")
            .args(["s_server", "-HTTP", "-accept", "127.0.0.1:0", "-cert"])
            .arg(&pair.certificate)
            .arg("-key")
            .arg(&pair.key)
            .current_dir(folder.path())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let accept = lines
            .map_while(Result::ok)
            .find(|line| line.starts_with("ACCEPT "));
        let host = accept.unwrap().replace("ACCEPT ", "");
        Redirecting {
            child,
            host,
            _folders: (folder, authority),
        }
    }
}

impl Drop for Redirecting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
