//! Manifests, indexes and blobs.

use super::*;
use serde_json::json;
use shellrt_plugin::registry::Platform;
use tests::registry::http::{Message, Server};
use tests::registry::{descriptor as described, manifest};

#[tokio::test]
async fn pulls_from_a_plain_registry_on_the_loopback() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let bytes = layer(300_000);
    let pushed = registry.push_layer("team/app", "1", &bytes);
    let place = Place::new();
    let client = place.client();
    let by_tag = reference(&registry.host(), "team/app:1");
    let head = client.head(&by_tag).await.unwrap();
    assert_eq!(head.digest.to_string(), pushed);
    let manifest = client.manifest(&by_tag).await.unwrap();
    assert_eq!(digest(&manifest.bytes), pushed);
    assert_eq!(manifest.descriptor, head);
    let by_digest = by_tag.with_digest(&head.digest);
    assert_eq!(
        client.manifest(&by_digest).await.unwrap().bytes,
        manifest.bytes
    );

    let image = manifest.image().unwrap();
    let config = client.bytes(&by_tag, &image.config, 1000).await.unwrap();
    assert_eq!(config, br#"{"architecture":"wasm","os":"wasip1"}"#[..]);
    let error = client.bytes(&by_tag, &image.config, 5).await.unwrap_err();
    assert_eq!(error.code(), Code::IMAGE_INVALID);

    let mut steps = Vec::new();
    let path = place.path("done").join("layer");
    let done = client
        .download(
            &by_tag,
            &image.layers[0],
            &place.path("partial"),
            &path,
            |_, current, total| {
                steps.push((current, total));
            },
        )
        .await
        .unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!(
        (done.bytes_fetched, done.bytes_resumed, done.existed),
        (300_000, 0, false)
    );
    assert_eq!(steps.first(), Some(&(0, 300_000)));
    assert_eq!(steps.last(), Some(&(300_000, 300_000)));
    assert!(steps.is_sorted());
    assert!(place.partials().is_empty());
    let again = client
        .download(
            &by_tag,
            &image.layers[0],
            &place.path("partial"),
            &path,
            |_, _, _| (),
        )
        .await
        .unwrap();
    assert!(again.existed);
    assert_eq!(again.bytes_fetched, 0);
}

#[tokio::test]
async fn a_tag_that_moves_is_seen() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let client = Place::new().client();
    let tag = reference(&registry.host(), "app:latest");
    let first = registry.push_layer("app", "latest", b"first");
    assert_eq!(client.head(&tag).await.unwrap().digest.to_string(), first);
    let second = registry.push_layer("app", "latest", b"second");
    assert_ne!(first, second);
    assert_eq!(client.head(&tag).await.unwrap().digest.to_string(), second);
    assert_eq!(
        client
            .manifest(&tag)
            .await
            .unwrap()
            .descriptor
            .digest
            .to_string(),
        second
    );
    let pinned = tag.with_digest(&first.parse().unwrap());
    assert_eq!(
        digest(&client.manifest(&pinned).await.unwrap().bytes),
        first
    );
}

#[tokio::test]
async fn what_is_missing_is_not_found() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    registry.push_layer("app", "1", b"x");
    let client = Place::new().client();
    for rest in ["app:2", "other:1"] {
        let missing = reference(&registry.host(), rest);
        for error in [
            client.manifest(&missing).await.err(),
            client.head(&missing).await.err(),
        ] {
            let error = error.unwrap();
            assert_eq!(error.code(), Code::REGISTRY_NOT_FOUND);
            assert!(error.to_string().contains(rest), "{error}");
            assert!(
                error.to_string().contains("check the name and the tag"),
                "{error}"
            );
        }
    }
    let error = client
        .manifest(&reference(&registry.host(), "app:2"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("MANIFEST_UNKNOWN"), "{error}");
    // Not every server explains itself.
    let silent = Server::answering(|_| Message::response(404, &[], ""));
    let nothing = client.manifest(&reference(&silent.host(), "app:1")).await;
    assert_eq!(nothing.unwrap_err().code(), Code::REGISTRY_NOT_FOUND);
    let place = Place::new();
    let app = reference(&registry.host(), "app:1");
    let error = place
        .download(&client, &app, &descriptor(b"nowhere"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::REGISTRY_NOT_FOUND);
}

#[tokio::test]
async fn indexes_are_resolved_by_platform() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let index_kind = "application/vnd.oci.image.index.v1+json";
    let mut children = Vec::new();
    let platforms = [
        ("linux", "amd64", ""),
        ("linux", "arm", "v6"),
        ("linux", "arm", "v7"),
        ("linux", "arm64", "v8"),
        ("unknown", "unknown", ""),
    ];
    for (os, architecture, variant) in platforms {
        let config =
            json!({"os": os, "architecture": architecture, "variant": variant}).to_string();
        let image = manifest(
            (
                "application/vnd.oci.image.config.v1+json",
                config.as_bytes(),
            ),
            &[],
        );
        let tag = format!("{os}-{architecture}-{variant}x");
        registry.push("multi", &tag, &image, &[config.as_bytes()]);
        let mut child = described(kind, &image);
        child["platform"] = json!({"os": os, "architecture": architecture, "variant": variant});
        children.push(child);
    }
    let push_index = |tag: &str, children: &[serde_json::Value]| {
        let index = json!({"schemaVersion": 2, "mediaType": index_kind, "manifests": children});
        let index = index.to_string().into_bytes();
        registry.push("multi", tag, &index, &[]);
        index
    };
    let flat = push_index("flat", &children);
    // An index of an index, and an image that does not say its platform.
    let mut unsaid = children[3].clone();
    unsaid.as_object_mut().unwrap().remove("platform");
    let inner = push_index("inner", &children[..2]);
    push_index("nested", &[described(index_kind, &inner), unsaid]);

    let client = Place::new().client();
    let resolve = |tag: &'static str, platform: &'static str| {
        let (client, host) = (client.clone(), registry.host());
        async move {
            let choice = Choice::platform(platform.parse().unwrap());
            client
                .resolve(&reference(&host, &format!("multi:{tag}")), &choice)
                .await
        }
    };
    for (tag, wanted, found, parents) in [
        ("flat", "linux/x86_64", "linux/amd64", 1),
        ("flat", "linux/arm", "linux/arm/v7", 1),
        ("flat", "linux/arm/v6", "linux/arm/v6", 1),
        ("flat", "linux/arm/v8", "linux/arm/v7", 1),
        ("flat", "linux/arm64/v8", "linux/arm64/v8", 1),
        ("nested", "linux/arm", "linux/arm/v6", 2),
        ("nested", "linux/aarch64", "linux/arm64/v8", 1),
    ] {
        let image = resolve(tag, wanted).await.unwrap();
        assert_eq!(
            image.platform.clone().unwrap().to_string(),
            found,
            "{tag} {wanted}"
        );
        assert_eq!(image.parents.len(), parents);
        let config = image.manifest.image().unwrap().config;
        let host = reference(&registry.host(), "multi");
        let config = client.bytes(&host, &config, 1000).await.unwrap();
        let config: Platform = serde_json::from_slice(&config).unwrap();
        assert_eq!(config.to_string(), found);
        if tag == "flat" {
            assert_eq!(image.digest().to_string(), digest(&flat));
        }
    }
    let error = resolve("flat", "linux/riscv64").await.unwrap_err();
    assert_eq!(error.code(), Code::PLATFORM_UNAVAILABLE);
    let text = error.to_string();
    assert!(
        text.contains("linux/amd64, linux/arm/v6, linux/arm/v7, linux/arm64;"),
        "{text}"
    );
    assert!(
        text.contains("linux/riscv64") && !text.contains("unknown"),
        "{text}"
    );
    let error = resolve("nested", "linux/s390x").await.unwrap_err();
    assert!(error.to_string().contains("linux/arm64"), "{error}");
    // An image is no index, so its platform is not asked for.
    let image = resolve("linux-amd64-x", "linux/s390x").await.unwrap();
    assert!(image.parents.is_empty() && image.platform.is_none());
}

#[tokio::test]
async fn strange_manifests_are_refused() {
    let server = Server::answering(|request| {
        let body = match request.path.as_str() {
            path if path.ends_with("/schema1") => {
                br#"{"schemaVersion":1,"name":"a","fsLayers":[],"signatures":[]}"#.to_vec()
            }
            path if path.ends_with("/html") => b"<html>please log in</html>".to_vec(),
            path if path.ends_with("/both") => {
                br#"{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}"#.to_vec()
            }
            path if path.ends_with("/huge") => vec![b' '; (4 << 20) + 1],
            path if path.ends_with("/other") => {
                br#"{"schemaVersion":2,"mediaType":"text/strange"}"#.to_vec()
            }
            path if path.ends_with("/lie") => {
                let other = format!("sha256:{}", "0".repeat(64));
                let header = [("docker-content-digest", other.as_str())];
                return Message::response(200, &header, r#"{"schemaVersion":2,"manifests":[]}"#);
            }
            path if path.contains("sha256:") => br#"{"schemaVersion":2,"manifests":[]}"#.to_vec(),
            _ => return Message::response(404, &[], ""),
        };
        Message::response(200, &[], body)
    });
    let client = Place::new().client();
    for (tag, text) in [
        (":schema1", "schema 1"),
        (":html", "no JSON manifest"),
        (":both", "at once"),
        (":huge", "more than 4 MiB"),
        (":other", "text/strange"),
        (":lie", "arrived with the digest"),
        (
            &format!("@sha256:{}", "1".repeat(64)),
            "arrived with the digest",
        ),
    ] {
        let error = client
            .manifest(&reference(&server.host(), &format!("a{tag}")))
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::IMAGE_INVALID, "{tag}: {error}");
        assert!(error.to_string().contains(text), "{tag}: {error}");
    }
}

#[tokio::test]
async fn nothing_and_inline_data_need_no_request() {
    let place = Place::new();
    let client = place.client();
    // Nothing listens there.
    let nowhere = reference("127.0.0.1:1", "a");
    let (done, bytes) = place
        .download(&client, &nowhere, &descriptor(b""))
        .await
        .unwrap();
    assert_eq!((done.bytes_fetched, bytes.len()), (0, 0));
    let mut inline = descriptor(b"hello");
    inline.data = Some("aGVsbG8=".to_owned());
    let (done, bytes) = place.download(&client, &nowhere, &inline).await.unwrap();
    assert_eq!((done.bytes_fetched, bytes), (0, b"hello".to_vec()));
    let mut wrong = descriptor(b"other");
    wrong.data = Some("aGVsbG8=".to_owned());
    let error = place.download(&client, &nowhere, &wrong).await.unwrap_err();
    assert_eq!(error.code(), Code::REGISTRY_UNREACHABLE);
    assert!(error.to_string().contains("hosts.toml"), "{error}");
    let mut wrong_nothing = descriptor(b"x");
    wrong_nothing.size = 0;
    let error = place
        .download(&client, &nowhere, &wrong_nothing)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::IMAGE_INVALID);
    assert!(!place.path("done").join(wrong_nothing.digest.hex()).exists());
}
