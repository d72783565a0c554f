//! What `ctr` makes of what we have made, and the other way round.

use serde_json::{json, Value};
use tests::containerd::Containerd;
use tests::image::{busybox, push_index, Compression, Format, Image, Layer};
use tests::registry::proxy::Proxy;
use tests::registry::{self, Registry};
use tests::shellrt::Shellrt;

use super::{assert_nothing_left, listing, remove, run_forever, setup};

/// How many blobs the registry was asked for.
fn fetched(proxy: &Proxy) -> usize {
    let seen = proxy.seen("/blobs/");
    seen.iter().filter(|seen| seen.method == "GET").count()
}

/// A plugin, and the reference of an image behind a proxy.
fn behind_a_proxy() -> Option<(Shellrt, Registry, Proxy, String)> {
    let (shellrt, registry, _) = setup()?;
    let proxy = Proxy::start(registry.host());
    let image = format!("{}/busybox:1", proxy.host());
    Some((shellrt, registry, proxy, image))
}

fn references(shellrt: &Shellrt) -> Vec<String> {
    let list = shellrt.ok(&json!({"_type": "img_list"}));
    let images = list["images"].as_array().unwrap().iter();
    images
        .map(|image| image["reference"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn ctr_lists_runs_and_removes_what_we_have_pulled() {
    let Some((shellrt, _registry, proxy, image)) = behind_a_proxy() else {
        return;
    };
    shellrt.pull(&image);
    let before = fetched(&proxy);
    assert_eq!(before, 2, "a config and a layer");
    let checked = shellrt.containerd.ctr(&["images", "check"]);
    let line = checked.lines().find(|line| line.starts_with(&image));
    let line = line.unwrap_or_else(|| panic!("{checked}"));
    assert!(
        line.contains("complete (2/2)") || line.contains("complete (3/3)"),
        "{line}"
    );
    assert!(line.trim_end().ends_with("true"), "not unpacked: {line}");
    let run = ["run", "--rm", &image, "by-ctr", "echo", "hello"];
    assert_eq!(shellrt.containerd.ctr(&run), "hello\n");
    let pull = ["images", "pull", "--plain-http", &image];
    shellrt.containerd.ctr(&pull);
    assert_eq!(fetched(&proxy), before, "ctr has fetched it once more");
    shellrt.containerd.ctr(&["images", "rm", "--sync", &image]);
    assert_eq!(references(&shellrt), Vec::<String>::new());
    assert_eq!(listing(&shellrt, &["content", "ls"]), Vec::<String>::new());
    assert_eq!(
        listing(&shellrt, &["snapshots", "ls"]),
        Vec::<String>::new()
    );
    assert_eq!(listing(&shellrt, &["leases", "ls"]), Vec::<String>::new());
}

#[test]
fn we_list_run_and_remove_what_ctr_has_pulled() {
    let Some((shellrt, _registry, proxy, image)) = behind_a_proxy() else {
        return;
    };
    let pull = ["images", "pull", "--plain-http", &image];
    shellrt.containerd.ctr(&pull);
    let before = fetched(&proxy);
    assert_eq!(references(&shellrt), [image.as_str()]);
    let command = json!({"command": ["echo", "hello"]});
    shellrt.create_only("a", &image, command.clone());
    shellrt.module("start", "a");
    assert_eq!(shellrt.module("wait", "a")["exit_code"], 0);
    assert_eq!(shellrt.logs("a"), b"hello\n");
    let pulled = shellrt.pull(&image);
    assert_eq!(fetched(&proxy), before, "{pulled}");
    assert_eq!(
        shellrt.err(&json!({"_type": "img_remove", "image": image})),
        9
    );
    shellrt.module("remove", "a");
    shellrt.ok(&json!({"_type": "img_remove", "image": image}));
    assert_eq!(listing(&shellrt, &["images", "ls"]), Vec::<String>::new());
    assert_eq!(listing(&shellrt, &["content", "ls"]), Vec::<String>::new());
    assert_eq!(
        listing(&shellrt, &["snapshots", "ls"]),
        Vec::<String>::new()
    );
}

#[test]
fn what_ctr_has_pulled_without_unpacking_is_unpacked_without_fetching() {
    let Some((shellrt, _registry, proxy, image)) = behind_a_proxy() else {
        return;
    };
    let fetch = ["content", "fetch", "--plain-http", &image];
    shellrt.containerd.ctr(&fetch);
    let before = fetched(&proxy);
    assert_eq!(
        listing(&shellrt, &["snapshots", "ls"]),
        Vec::<String>::new()
    );
    shellrt.pull(&image);
    assert_eq!(fetched(&proxy), before);
    run_forever(&shellrt, "a", &image, json!({}));
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}

#[test]
fn modules_and_containers_of_others_are_left_alone() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.pull(&image);
    let run = ["run", "-d", "--null-io", &image, "theirs", "sleep", "1000"];
    shellrt.containerd.ctr(&run);
    // It is in our namespace and not ours.
    assert_eq!(shellrt.ok(&json!({"_type": "list"}))["modules"], json!([]));
    for kind in ["status", "start", "stop", "remove", "logs"] {
        assert_eq!(
            shellrt.err(&json!({"_type": kind, "name": "theirs"})),
            5,
            "{kind}"
        );
    }
    let create = json!({
        "_type": "create", "name": "theirs", "config_type": "containerd",
        "config": {"image": image},
    });
    assert_eq!(shellrt.err(&create), 6);
    let answer = shellrt.ok(&json!({"_type": "prune", "images": true, "older_than": 0}));
    assert_eq!(answer["images"], json!([]), "their container uses it");
    let tasks = shellrt.containerd.ctr(&["tasks", "ls"]);
    assert!(
        tasks.contains("theirs") && tasks.contains("RUNNING"),
        "{tasks}"
    );
    assert_eq!(
        shellrt.err(&json!({"_type": "img_remove", "image": image})),
        9
    );
    shellrt.containerd.ctr(&["tasks", "rm", "-f", "theirs"]);
    shellrt.containerd.ctr(&["containers", "rm", "theirs"]);
    // What is ours, they see, with its name and its image.
    run_forever(&shellrt, "ours", &image, json!({}));
    let containers = shellrt.containerd.ctr(&["containers", "ls"]);
    let line = containers.lines().find(|line| line.starts_with("ours "));
    assert!(
        line.is_some_and(|line| line.contains(&image)),
        "{containers}"
    );
    let pid = shellrt.module("status", "ours")["pid"].to_string();
    let tasks = shellrt.containerd.ctr(&["tasks", "ls"]);
    let line = tasks.lines().find(|line| line.starts_with("ours "));
    assert!(
        line.is_some_and(|line| line.contains(&pid)),
        "{pid}: {tasks}"
    );
    let said = ["tasks", "exec", "--exec-id", "1", "ours", "echo", "hello"];
    assert_eq!(shellrt.containerd.ctr(&said), "hello\n");
    remove(&shellrt, "ours");
    assert_nothing_left(&shellrt);
}

#[test]
fn what_is_in_another_namespace_is_not_fetched_again() {
    let Some((mut shellrt, _registry, proxy, image)) = behind_a_proxy() else {
        return;
    };
    shellrt.pull(&image);
    let before = fetched(&proxy);
    let ours = shellrt.containerd.namespace().to_owned();
    let other = format!("{ours}-other");
    for (name, value) in &mut shellrt.environment {
        if name == "CONTAINERD_NAMESPACE" {
            *value = Some(other.clone());
        }
    }
    assert_eq!(references(&shellrt), Vec::<String>::new());
    shellrt.pull(&image);
    // The config may come again, as long as the layer does not.
    let again: u64 = proxy.seen("/blobs/")[before..]
        .iter()
        .map(|seen| seen.bytes)
        .sum();
    assert!(again < 10_000, "{again} bytes were fetched again");
    assert_eq!(references(&shellrt), [image.as_str()]);
    shellrt.ok(&json!({"_type": "img_remove", "image": image}));
    let there = shellrt.containerd.ctr(&["images", "ls", "-q"]);
    assert_eq!(there.trim(), image);
}

/// What `ctr` lists, without times.
fn listings(shellrt: &Shellrt) -> Value {
    let content: Vec<Value> = listing(shellrt, &["content", "ls"])
        .iter()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // Between the size and the labels stands the age. The labels come in any order.
            let mut labels: Vec<&str> = words[words.len() - 1].split(',').collect();
            labels.sort_unstable();
            json!([words[0], words[1], labels])
        })
        .collect();
    let snapshots = listing(shellrt, &["snapshots", "ls"]);
    let labels: Vec<Value> = snapshots
        .iter()
        .map(|line| {
            let key = line.split_whitespace().next().unwrap();
            let info = shellrt.containerd.ctr(&["snapshots", "info", key]);
            let info: Value = serde_json::from_str(&info).unwrap();
            info["Labels"].clone()
        })
        .collect();
    json!({
        "content": content,
        "images": listing(shellrt, &["images", "ls"]),
        "leases": listing(shellrt, &["leases", "ls"]),
        "snapshots": snapshots,
        "snapshot labels": labels,
    })
}

#[test]
fn a_pull_leaves_what_a_pull_by_ctr_leaves() {
    let registry = Registry::start(&registry::Options::default());
    let (Some(registry), Some(ours), Some(theirs)) =
        (registry, Containerd::start(), Containerd::start())
    else {
        return;
    };
    let (ours, theirs) = (Shellrt::over(ours), Shellrt::over(theirs));
    let more = || Layer::new().file("srv/more", 0o644, b"more\n");
    let oci = Image::busybox().layer(more(), Compression::Zstd);
    let inline = Image::busybox().layer(more(), Compression::None).inline();
    let docker = Image::new(Format::Docker)
        .layer(busybox(), Compression::Gzip)
        .layer(more(), Compression::Gzip);
    let same_layer_twice = Image::busybox()
        .layer(more(), Compression::Gzip)
        .layer(more(), Compression::Gzip);
    for (name, image) in [
        ("oci", oci.build()),
        ("inline", inline.build()),
        ("docker", docker.build()),
        ("twice", same_layer_twice.build()),
        ("index", oci.build()),
        ("attested", oci.build()),
    ] {
        match name {
            "index" | "attested" => {
                let other = Image::busybox().platform("linux/s390x").build();
                let both = [&other, &image];
                push_index(&registry, name, "1", &both, name == "attested");
            }
            _ => {
                image.push(&registry, name, "1");
            }
        }
        let reference = format!("{}/{name}:1", registry.host());
        ours.pull(&reference);
        let pull = ["images", "pull", "--plain-http", &reference];
        theirs.containerd.ctr(&pull);
        let (ours_now, theirs_now) = (listings(&ours), listings(&theirs));
        for key in [
            "content",
            "images",
            "leases",
            "snapshots",
            "snapshot labels",
        ] {
            assert_eq!(
                ours_now[key], theirs_now[key],
                "{name}, {key}: ours {:#}\ntheirs {:#}",
                ours_now[key], theirs_now[key]
            );
        }
        // And both lose the same.
        ours.ok(&json!({"_type": "img_remove", "image": reference}));
        theirs
            .containerd
            .ctr(&["images", "rm", "--sync", &reference]);
        let (ours_now, theirs_now) = (listings(&ours), listings(&theirs));
        assert_eq!(ours_now, theirs_now, "{name}, removed");
        assert_eq!(ours_now["content"], json!([]), "{name}, removed");
    }
}
