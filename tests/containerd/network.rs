//! Registries and networks that break, and a pull that goes on.

use std::fs;
use std::path::Path;

use serde_json::{json, Value};
use tests::containerd::{Containerd, Options};
use tests::image::{Built, Compression, Image, Layer};
use tests::plugin::until;
use tests::registry::proxy::{Fault, Proxy};
use tests::registry::{self, digest, Registry, PASSWORD, USER};
use tests::shellrt::Shellrt;

use super::{assert_nothing_left, busybox, listing, output, setup, store};

/// Bytes that nothing can make smaller.
fn noise(size: usize, mut seed: u64) -> Vec<u8> {
    let next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(size).collect()
}

/// A plugin, and a registry behind a proxy with an image whose upper layer has three million bytes.
struct Setup {
    shellrt: Shellrt,
    _registry: Registry,
    proxy: Proxy,
    image: String,
    built: Built,
    /// The path of the layer in the registry.
    blob: String,
}

fn behind_a_proxy() -> Option<Setup> {
    let (shellrt, registry, _) = setup()?;
    let proxy = Proxy::start(registry.host());
    let large = Layer::new().file("srv/large", 0o644, &noise(3_000_000, 1));
    let built = busybox().layer(large, Compression::None).build();
    built.push(&registry, "large", "1");
    Some(Setup {
        image: format!("{}/large:1", proxy.host()),
        blob: format!("/blobs/{}", digest(&built.layers[1])),
        shellrt,
        _registry: registry,
        proxy,
        built,
    })
}

impl Setup {
    /// Whether the large file is there as it was made.
    fn assert_whole(&self) {
        let printed = output(&self.shellrt, &self.image, "sha256sum < /srv/large");
        let wanted = digest(&noise(3_000_000, 1));
        let wanted = wanted.strip_prefix("sha256:").unwrap();
        assert!(printed.starts_with(wanted), "{printed}");
    }

    /// How much of the layer lies in the daemon, unfinished.
    fn unfinished(&self) -> u64 {
        let ingests = "root/io.containerd.content.v1.content/ingest";
        let ingests = fs::read_dir(self.shellrt.containerd.folder().join(ingests));
        let data = ingests.into_iter().flatten().flatten();
        data.map(|ingest| fs::metadata(ingest.path().join("data")).map_or(0, |data| data.len()))
            .sum()
    }

    fn images(&self) -> Value {
        self.shellrt.ok(&json!({"_type": "img_list"}))["images"].clone()
    }

    /// Whether everything came once: what had come to rest was not asked for again.
    fn assert_resumed(&self, answer: &Value) {
        let number = |key: &str| answer[key].as_u64().unwrap();
        let whole = self.built.layers[1].len() as u64;
        // The first request was given two million, and some of them may not have come to rest.
        let given = self.proxy.bytes(&self.blob);
        let kept = 2_000_000 + whole - given;
        assert!((500_000..=2_000_000).contains(&kept), "{kept}: {answer}");
        // The layer below may have come as a whole before.
        assert!(number("bytes_resumed") >= kept, "{kept}: {answer}");
        assert!(number("bytes_fetched") >= whole - kept, "{kept}: {answer}");
        let came = number("bytes_resumed") + number("bytes_fetched");
        assert!(came <= number("bytes_total"), "{answer}");
    }
}

#[test]
fn a_killed_pull_goes_on_where_it_was() {
    let Some(setup) = behind_a_proxy() else {
        return;
    };
    let first_day = store(&setup.shellrt);
    setup.proxy.fault(&setup.blob, Fault::Stall(2_000_000), 1);
    let request = json!({"_type": "img_pull", "image": setup.image});
    let mut open = setup.shellrt.open(&request);
    until("a part has come to rest", || setup.unfinished() > 500_000);
    open.child.kill().unwrap();
    open.child.wait().unwrap();
    assert_eq!(setup.images(), json!([]));
    assert_eq!(listing(&setup.shellrt, &["leases", "ls"]).len(), 1);
    // A garbage collection, and prune within the week, leave it alone.
    let lease = setup.shellrt.containerd.ctr(&["leases", "create"]);
    let delete = ["leases", "delete", "--sync", lease.trim()];
    setup.shellrt.containerd.ctr(&delete);
    setup.shellrt.ok(&json!({"_type": "prune", "images": true}));
    assert!(setup.unfinished() > 500_000);
    let answer = setup.shellrt.pull(&setup.image);
    setup.assert_resumed(&answer);
    setup.assert_whole();
    assert_eq!(
        listing(&setup.shellrt, &["leases", "ls"]),
        Vec::<String>::new()
    );
    setup
        .shellrt
        .ok(&json!({"_type": "img_remove", "image": setup.image}));
    assert_eq!(store(&setup.shellrt), first_day);
}

#[test]
fn a_pull_goes_on_after_its_daemon_was_away() {
    let Some(mut setup) = behind_a_proxy() else {
        return;
    };
    setup.proxy.fault(&setup.blob, Fault::Stall(2_000_000), 1);
    let request = json!({"_type": "img_pull", "image": setup.image});
    let open = setup.shellrt.open(&request);
    until("a part has come to rest", || setup.unfinished() > 500_000);
    setup.shellrt.containerd.kill();
    drop(open);
    assert_eq!(setup.shellrt.err(&request), 16);
    setup.shellrt.containerd.start_again();
    let answer = setup.shellrt.pull(&setup.image);
    assert!(
        answer["bytes_resumed"].as_u64().unwrap() > 500_000,
        "{answer}"
    );
    setup.assert_whole();
    assert_nothing_left(&setup.shellrt);
}

#[test]
fn prune_of_everything_removes_a_broken_pull() {
    let Some(setup) = behind_a_proxy() else {
        return;
    };
    let first_day = store(&setup.shellrt);
    setup.proxy.fault(&setup.blob, Fault::Stall(2_000_000), 1);
    let request = json!({"_type": "img_pull", "image": setup.image, "_deadline_ms": 2000});
    assert_eq!(setup.shellrt.err(&request), 20);
    assert!(setup.unfinished() > 500_000);
    let answer = setup
        .shellrt
        .ok(&json!({"_type": "prune", "older_than": 0}));
    assert!(answer["bytes"].as_u64().unwrap() > 500_000, "{answer}");
    assert_eq!(setup.unfinished(), 0);
    assert_eq!(store(&setup.shellrt), first_day);
}

#[test]
fn a_deadline_keeps_what_came() {
    let Some(setup) = behind_a_proxy() else {
        return;
    };
    setup.proxy.fault(&setup.blob, Fault::Stall(2_000_000), 1);
    let request = json!({"_type": "img_pull", "image": setup.image, "_deadline_ms": 2000});
    assert_eq!(setup.shellrt.err(&request), 20);
    assert_eq!(setup.images(), json!([]));
    let answer = setup.shellrt.pull(&setup.image);
    setup.assert_resumed(&answer);
    setup.assert_whole();
}

#[test]
fn a_resumed_layer_that_is_wrong_is_fetched_from_its_beginning() {
    let Some(setup) = behind_a_proxy() else {
        return;
    };
    // What is there of the layer is wrong, and nobody can know before all of it is there.
    setup.proxy.fault(&setup.blob, Fault::Stall(2_000_000), 1);
    let request = json!({"_type": "img_pull", "image": setup.image, "_deadline_ms": 2000});
    assert_eq!(setup.shellrt.err(&request), 20);
    let ingests = "root/io.containerd.content.v1.content/ingest";
    let ingests = fs::read_dir(setup.shellrt.containerd.folder().join(ingests)).unwrap();
    for ingest in ingests.flatten() {
        let data = ingest.path().join("data");
        let mut bytes = fs::read(&data).unwrap();
        if let Some(byte) = bytes.get_mut(1000) {
            *byte ^= 1;
        }
        fs::write(&data, bytes).unwrap();
    }
    setup.shellrt.pull(&setup.image);
    setup.assert_whole();
}

#[test]
fn a_layer_that_is_always_wrong_is_refused() {
    let Some(setup) = behind_a_proxy() else {
        return;
    };
    setup.proxy.fault(&setup.blob, Fault::Corrupt(70_000), 100);
    let answer = setup
        .shellrt
        .ask(&json!({"_type": "img_pull", "image": setup.image}));
    assert_eq!(answer.object["code"], 14, "{answer:?}");
    assert_eq!(setup.images(), json!([]));
    let times = setup.proxy.seen(&setup.blob).len();
    assert!(times <= 3, "fetched {times} times");
}

#[test]
fn a_connection_that_breaks_is_no_failure() {
    let Some(setup) = behind_a_proxy() else {
        return;
    };
    setup.proxy.fault(&setup.blob, Fault::Cut(1_000_000), 1);
    let answer = setup.shellrt.pull(&setup.image);
    assert_eq!(answer["bytes_fetched"], answer["bytes_total"], "{answer}");
    assert_eq!(
        setup.proxy.bytes(&setup.blob),
        setup.built.layers[1].len() as u64
    );
    setup.assert_whole();
}

#[test]
fn an_unreachable_registry_is_enough_where_the_caller_says_so() {
    let Some((shellrt, registry, _)) = setup() else {
        return;
    };
    let proxy = Proxy::start(registry.host());
    let image = format!("{}/busybox:1", proxy.host());
    let pull = |policy: &str| {
        shellrt
            .ask(&json!({"_type": "img_pull", "image": image, "policy": policy}))
            .object
    };
    assert_eq!(pull("if_reachable")["_status"], "ok");
    let asked = proxy.seen("").len();
    assert!(pull("missing").get("warning").is_none());
    assert_eq!(
        proxy.seen("").len(),
        asked,
        "\"missing\" has asked the registry"
    );
    drop(proxy);
    let answer = pull("if_reachable");
    assert_eq!(answer["_status"], "ok", "{answer:?}");
    assert!(
        answer["warning"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        "{answer:?}"
    );
    assert_eq!(pull("missing")["_status"], "ok");
    assert_eq!(pull("always")["code"], 13);
    shellrt.ok(&json!({"_type": "img_remove", "image": image}));
    assert_eq!(pull("if_reachable")["code"], 13);
}

#[test]
fn a_registry_that_says_no_was_reached() {
    let Some((shellrt, _registry, _)) = setup() else {
        return;
    };
    let options = registry::Options {
        password: true,
        ..registry::Options::default()
    };
    let Some(registry) = Registry::start(&options) else {
        return;
    };
    busybox().push(&registry, "app", "1");
    let image = format!("{}/app:1", registry.host());
    let ask = |credentials: Value| {
        let request = json!({
            "_type": "img_pull", "image": image, "credentials": credentials,
            "policy": "if_reachable",
        });
        shellrt.ask(&request).object
    };
    let right = || json!({"username": USER, "password": PASSWORD});
    assert_eq!(ask(json!({}))["code"], 11);
    let answer = ask(right());
    assert_eq!(answer["_status"], "ok", "{answer:?}");
    assert_eq!(
        ask(json!({"username": USER, "password": "hunter2"}))["code"],
        11
    );
    shellrt.create_only("a", &image, json!({"command": ["true"]}));
    shellrt.module("start", "a");
    assert_eq!(shellrt.module("wait", "a")["exit_code"], 0);
    assert_eq!(ask(right())["_status"], "ok");
    for folder in [shellrt.root(), shellrt.containerd.folder()] {
        assert_lacks(folder, PASSWORD);
    }
}

fn assert_lacks(folder: &Path, text: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            assert_lacks(&entry.path(), text);
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).unwrap_or_default();
            let found = bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes());
            assert!(!found, "{}", entry.path().display());
        }
    }
}

/// Unmounts it whatever happens.
struct Mounted(tempfile::TempDir);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.0.path())
            .status();
    }
}

#[test]
fn a_full_disk_is_told_before_the_first_byte() {
    let Some(registry) = Registry::start(&registry::Options::default()) else {
        return;
    };
    if tests::containerd::missing().is_some() {
        return;
    }
    let proxy = Proxy::start(registry.host());
    let large = Layer::new().file("srv/large", 0o644, &noise(24_000_000, 2));
    Image::busybox()
        .layer(large, Compression::None)
        .push(&registry, "large", "1");
    let small = Mounted(tempfile::tempdir().unwrap());
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=20m", "none"])
        .arg(small.0.path())
        .status();
    assert!(mount.unwrap().success());
    let folder = small.0.path().join("cd");
    fs::create_dir(&folder).unwrap();
    let Some(containerd) = Containerd::start_in(&folder, Options::default()) else {
        return;
    };
    let shellrt = Shellrt::over(containerd);
    let image = format!("{}/large:1", proxy.host());
    let answer = shellrt.ask(&json!({"_type": "img_pull", "image": image}));
    assert_eq!(answer.object["code"], 19, "{answer:?}");
    assert_eq!(answer.object["detail"]["retryable"], true);
    let layers = proxy
        .seen("/blobs/")
        .into_iter()
        .filter(|seen| seen.bytes > 10_000);
    assert_eq!(layers.count(), 0);
    assert_eq!(
        shellrt.ok(&json!({"_type": "img_list"}))["images"],
        json!([])
    );
    drop(shellrt);
}
