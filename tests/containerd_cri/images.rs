//! What is wrong with images and the daemon.

use serde_json::{json, Value};
use tests::shellrt::Shellrt;

use super::{world, World};

fn create(world: &World, name: &str) -> Value {
    json!({
        "_type": "create", "name": name, "config_type": "containerd-cri",
        "config": {"image": world.image},
    })
}

#[test]
fn a_missing_pause_image_is_named() {
    let Some(world) = world() else {
        return;
    };
    assert_eq!(world.shellrt.err(&create(&world, "web")), 8);
    world.shellrt.pull(&world.image);
    let answer = world.shellrt.ask(&create(&world, "web")).object;
    assert_eq!(answer["code"], 100, "{answer:?}");
    assert_eq!(
        answer["detail"]["kind"], "pause_image_missing",
        "{answer:?}"
    );
    assert_eq!(
        answer["detail"]["image"],
        world.pause.as_str(),
        "{answer:?}"
    );
    assert!(
        answer["message"].as_str().unwrap().contains(&world.pause),
        "{answer:?}"
    );
    // containerd has not been asked for it either, although the registry has it.
    assert!(!world.shellrt.containerd.log().contains("PullImage"));
    world.assert_nothing_left();
    world.shellrt.pull(&world.pause);
    world.shellrt.ok(&create(&world, "web"));
    world.remove("web");
    world.assert_nothing_left();
}

#[test]
fn a_daemon_without_the_interface_is_said_so() {
    let Some(world) = world() else {
        return;
    };
    let Some(shellrt) = Shellrt::start() else {
        return;
    };
    shellrt.pull(&world.image);
    let answer = shellrt.ask(&create(&world, "web")).object;
    assert_eq!(answer["code"], 17, "{answer:?}");
    assert!(
        answer["message"]
            .as_str()
            .unwrap()
            .contains("disabled_plugins"),
        "{answer:?}"
    );
    assert_eq!(shellrt.ok(&json!({"_type": "list"}))["modules"], json!([]));
}

#[test]
fn an_image_of_others_stays_theirs() {
    let Some(world) = world() else {
        return;
    };
    for image in [&world.pause, &world.image] {
        world.shellrt.pull(image);
    }
    // Somebody else has it there already.
    let pull = ["images", "pull", "--plain-http", &world.image];
    world.shellrt.containerd.ctr_of_pods(&pull);
    world.shellrt.ok(&create(&world, "web"));
    world.remove("web");
    world
        .shellrt
        .ok(&json!({"_type": "img_remove", "image": world.pause}));
    let images = world
        .shellrt
        .containerd
        .ctr_of_pods(&["images", "ls", "-q"]);
    assert!(
        images.contains(&world.image) && !images.contains(&world.pause),
        "{images}"
    );
    world.assert_nothing_left();
}

#[test]
fn what_a_config_may_not_say() {
    let Some(world) = world() else {
        return;
    };
    for (path, more) in [
        ("/config/restart", json!({"restart": "always"})),
        (
            "/config/log/streams",
            json!({"log": {"streams": ["stdout"]}}),
        ),
        ("/config/command", json!({"command": []})),
        (
            "/config/mounts/0/type",
            json!({"mounts": [{"type": "tmpfs", "target": "/x"}]}),
        ),
        (
            "/config/labels/io.kubernetes.pod.uid",
            json!({"labels": {"io.kubernetes.pod.uid": "x"}}),
        ),
        ("/config/mem_limit", json!({"mem_limit": "64m"})),
        (
            "/config/linux/resources/memory",
            json!({"linux": {"resources": {"memory": 1}}}),
        ),
        (
            "/config/linux/security_context/run_as_group",
            json!({"linux": {"security_context": {"run_as_group": 5}}}),
        ),
    ] {
        let mut request = create(&world, "web");
        for (key, value) in more.as_object().unwrap() {
            request["config"][key] = value.clone();
        }
        let answer = world.shellrt.ask(&request).object;
        assert_eq!(answer["code"], 4, "{more}: {answer:?}");
        assert_eq!(answer["detail"]["path"], path, "{more}: {answer:?}");
    }
}
