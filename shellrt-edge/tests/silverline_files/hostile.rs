//! Servers that mean no good, or are not who they should be.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use shellrt_api::v0::Secret;
use shellrt_edge::link::silverline::files::{Error, Extent};

use super::servers::{elsewhere, page, Scripted, Server};
use super::{fetched, repository, wanted};

#[tokio::test]
async fn a_server_can_not_lead_elsewhere() {
    let other = Scripted::start(&[("/x.py", page("stolen"))]);
    let listing = format!(
        "<a href=\"../\">up</a><a href=\"{0}/x.py\">other</a><a href=\"/other/x.py\">beside</a>\
         <a href=\"../../secret\">above</a><a href=\"%2e%2e/secret\">above</a><a href=\"x.py\">x</a>",
        other.url
    );
    let server = Scripted::start(&[("/p/", page(&listing)), ("/p/x.py", page("fine"))]);
    let found = fetched(&wanted(&server.url, "p/x.py", Extent::Folder))
        .await
        .unwrap();
    assert_eq!(
        found,
        BTreeMap::from([("x.py".to_owned(), "fine".to_owned())])
    );
    assert_eq!(server.asked(), ["/p/", "/p/x.py"]);

    let names = ["..%2f..%2fevil", "%2fetc%2fevil", "evil%00.py", "a/b.py"];
    for name in names {
        let listing = format!("<a href=\"x.py\">x</a><a href=\"{name}\">evil</a>");
        let server = Scripted::start(&[("/p/", page(&listing)), ("/p/x.py", page(""))]);
        let error = fetched(&wanted(&server.url, "p/x.py", Extent::Folder))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::BadName { name: found, .. } if found == name),
            "{error}"
        );
    }

    let moved = Scripted::start(&[
        ("/p/", page("<a href=\"x.py\">x</a>")),
        ("/p/x.py", elsewhere(&format!("{}/x.py", other.url))),
    ]);
    let mut with_password = wanted(&moved.url, "p/x.py", Extent::Folder);
    with_password.repository.username = Some("me".to_owned());
    with_password.repository.password = Some(Secret::new("hunter2"));
    let error = fetched(&with_password).await.unwrap_err();
    assert!(matches!(error, Error::Request { .. }), "{error}");
    assert_eq!(other.asked(), Vec::<String>::new());
    // base64 of me:hunter2
    let asked = moved.asked();
    assert!(
        asked[0]
            .to_lowercase()
            .starts_with("/p/ authorization: basic bwu6ahvudgvymg=="),
        "{asked:?}"
    );
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_server_may_send_elsewhere_on_itself() {
    let server = Scripted::start(&[
        ("/p/", elsewhere("/q/")),
        (
            "/q/",
            page("<a href=\"x.py\">x</a><a href=\"/p/y.py\">y</a>"),
        ),
        ("/q/x.py", elsewhere("/files/1")),
        ("/files/1", page("one")),
    ]);
    let found = fetched(&wanted(&server.url, "p/x.py", Extent::Folder))
        .await
        .unwrap();
    assert_eq!(
        found,
        BTreeMap::from([("x.py".to_owned(), "one".to_owned())])
    );
    let round = Scripted::start(&[("/p/", elsewhere("/q/")), ("/q/", elsewhere("/p/"))]);
    let error = fetched(&wanted(&round.url, "p/x.py", Extent::Folder))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Request { .. }), "{error}");
}

#[tokio::test]
async fn half_a_file_and_folders_without_end_are_errors() {
    let listing = page("<a href=\"x.py\">x</a>");
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nhalf".to_owned();
    let server = Scripted::start(&[("/p/", listing), ("/p/x.py", cut)]);
    for extent in [Extent::File, Extent::Folder] {
        let error = fetched(&wanted(&server.url, "p/x.py", extent))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Request { .. }), "{error}");
    }
    let mut deep: Vec<(String, String)> = Vec::new();
    let mut path = "/p/".to_owned();
    for _ in 0..40 {
        deep.push((
            path.clone(),
            page("<a href=\"d/\">d</a><a href=\"x.py\">x</a>"),
        ));
        deep.push((format!("{path}x.py"), page("")));
        path.push_str("d/");
    }
    let deep: Vec<(&str, String)> = deep
        .iter()
        .map(|(path, it)| (path.as_str(), it.clone()))
        .collect();
    let server = Scripted::start(&deep);
    let error = fetched(&wanted(&server.url, "p/x.py", Extent::Folder))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TooDeep), "{error}");
    let huge = page(&"<p>".repeat(2 << 20));
    let server = Scripted::start(&[("/p/", huge)]);
    let error = fetched(&wanted(&server.url, "p/x.py", Extent::Folder))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TooBig(_)), "{error}");
}

/// A server with a certificate of an authority of its own, which only the settings make trusted.
#[tokio::test]
async fn a_server_has_to_prove_who_it_is() {
    let (folder, expected) = repository();
    let keys = tempfile::tempdir().unwrap();
    let (cert, key) = (keys.path().join("cert.pem"), keys.path().join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-newkey",
            "ec",
        ])
        .args([
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .args(["-addext", "basicConstraints=CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    let server = Server::start_tls(folder.path(), &cert, &key);
    let unknown = wanted(&server.url, "user/dir/prog.py", Extent::Folder);
    let error = fetched(&unknown).await.unwrap_err();
    assert!(
        matches!(error, Error::Request { .. } | Error::Setup(_)),
        "{error}"
    );
    let mut trusted = unknown.clone();
    trusted.repository.ca = Some(cert);
    assert_eq!(fetched(&trusted).await.unwrap(), expected);
    let mut unverified = unknown;
    unverified.repository.ssl_verify = false;
    assert_eq!(fetched(&unverified).await.unwrap(), expected);
}
