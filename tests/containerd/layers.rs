//! Layers upon layers: what the upper one takes away, replaces and adds.

use serde_json::json;
use tests::image::{busybox, Compression, Format, Image, Layer};

use super::{assert_nothing_left, output, remove, setup};

fn lower() -> Layer {
    Layer::new()
        .dir("srv/kept", 0o750)
        .owner(11, 12)
        .file("srv/kept/both", 0o640, b"lower\n")
        .owner(13, 14)
        .hard_link("srv/kept/other-name", "srv/kept/both")
        .file("srv/gone", 0o644, b"lower\n")
        .file("srv/one-name", 0o644, b"shared\n")
        .hard_link("srv/two-names", "srv/one-name")
        .dir("srv/emptied", 0o755)
        .file("srv/emptied/old", 0o644, b"lower\n")
        .dir("srv/emptied/deep", 0o755)
        .file("srv/emptied/deep/old", 0o644, b"lower\n")
        .dir("srv/was-a-directory", 0o755)
        .file("srv/was-a-directory/x", 0o644, b"lower\n")
        .file("srv/was-a-file", 0o644, b"lower\n")
        .symlink("srv/was-a-link", "kept")
        .dir("srv/whole", 0o755)
        .file("srv/whole/x", 0o644, b"lower\n")
}

fn upper() -> Layer {
    Layer::new()
        .file("srv/kept/both", 0o600, b"upper\n")
        .owner(21, 22)
        .whiteout("srv/gone")
        .whiteout("srv/one-name")
        .opaque("srv/emptied")
        .file("srv/emptied/new", 0o644, b"upper\n")
        .file("srv/was-a-directory", 0o644, b"upper\n")
        .dir("srv/was-a-file", 0o755)
        .file("srv/was-a-file/x", 0o644, b"upper\n")
        .dir("srv/was-a-link", 0o755)
        .file("srv/was-a-link/x", 0o644, b"upper\n")
        .whiteout("srv/whole")
        .file("srv/setuid", 0o4755, b"")
        .dir("srv/sticky", 0o1777)
        .device("srv/null", 1, 3)
        .file(&deep(), 0o644, b"upper\n")
        .file("srv/linked", 0o644, b"upper\n")
        .hard_link("srv/linked-too", "srv/linked")
}

/// A path that no header of a tar has room for.
fn deep() -> String {
    format!("srv/{}/file", ["a-long-name-of-a-directory"; 8].join("/"))
}

/// A file that comes back above the layer that took it away.
fn top() -> Layer {
    Layer::new()
        .file("srv/gone", 0o644, b"top\n")
        .file("srv/emptied/deep/new", 0o644, b"top\n")
}

#[test]
fn upper_layers_hide_replace_and_add() {
    let Some((shellrt, registry, _)) = setup() else {
        return;
    };
    let expected = [
        ("cat /srv/kept/both", "upper\n"),
        ("cat /srv/kept/other-name", "lower\n"),
        ("stat -c '%a %u %g' /srv/kept", "750 11 12\n"),
        ("stat -c '%a %u %g' /srv/kept/both", "600 21 22\n"),
        ("stat -c '%a %u %g' /srv/kept/other-name", "640 13 14\n"),
        ("cat /srv/gone", "top\n"),
        ("ls /srv/one-name 2>&1 | grep -c 'No such file'", "1\n"),
        ("cat /srv/two-names", "shared\n"),
        (
            "find /srv/emptied | sort | tr '\\n' ' '",
            "/srv/emptied /srv/emptied/deep /srv/emptied/deep/new /srv/emptied/new ",
        ),
        ("cat /srv/was-a-directory", "upper\n"),
        ("cat /srv/was-a-file/x", "upper\n"),
        ("ls /srv/was-a-link", "x\n"),
        ("ls /srv/kept", "both\nother-name\n"),
        ("ls -d /srv/whole 2>&1 | grep -c 'No such file'", "1\n"),
        ("stat -c %a /srv/setuid /srv/sticky", "4755\n1777\n"),
        (
            "stat -c '%F %t %T' /srv/null",
            "character special file 1 3\n",
        ),
        ("stat -c %h /srv/linked /srv/linked-too", "2\n2\n"),
        ("stat -c %Y /srv/linked", "1700000000\n"),
        ("find / -xdev -name '.wh*' | wc -l", "0\n"),
    ];
    let deep = format!("cat /{}", deep());
    let script: Vec<&str> = expected.iter().map(|(script, _)| *script).collect();
    let script = format!("{}; {deep}", script.join("; "));
    let wanted: String = expected.iter().map(|(_, wanted)| *wanted).collect();
    let wanted = wanted + "upper\n";
    for (name, format, compressions) in [
        ("gzip", Format::Oci, [Compression::Gzip; 4]),
        ("docker", Format::Docker, [Compression::Gzip; 4]),
        ("zstd", Format::Oci, [Compression::Zstd; 4]),
        (
            "mixed",
            Format::Oci,
            [
                Compression::Gzip,
                Compression::None,
                Compression::Zstd,
                Compression::None,
            ],
        ),
    ] {
        let layers = [busybox(), lower(), upper(), top()];
        let image = layers
            .into_iter()
            .zip(compressions)
            .fold(Image::new(format), |image, (layer, compression)| {
                image.layer(layer, compression)
            })
            .push(&registry, name, "1");
        assert_eq!(output(&shellrt, &image, &script), wanted, "{name}");
        shellrt.ok(&json!({"_type": "img_remove", "image": image}));
    }
    assert_nothing_left(&shellrt);
}

#[test]
fn a_user_is_looked_up_in_the_topmost_file_that_is_there() {
    let Some((shellrt, registry, _)) = setup() else {
        return;
    };
    let passwd = |line: &str| {
        let text = format!("root:x:0:0:root:/root:/bin/sh\n{line}\n");
        Layer::new().file("etc/passwd", 0o644, text.as_bytes())
    };
    // The upper file replaces the lower one.
    let image = Image::busybox()
        .layer(passwd("app:x:1:1::/:/bin/sh"), Compression::Gzip)
        .layer(passwd("app:x:41:42::/:/bin/sh"), Compression::Gzip)
        .config(json!({"User": "app"}))
        .push(&registry, "replaced", "1");
    assert_eq!(output(&shellrt, &image, "id -u; id -g"), "41\n42\n");
    // A file that was taken away is not there, and an opaque directory hides it as well.
    for (name, layer) in [
        ("taken", Layer::new().whiteout("etc/passwd")),
        ("hidden", Layer::new().opaque("etc")),
    ] {
        let image = Image::busybox()
            .layer(passwd("app:x:1:1::/:/bin/sh"), Compression::Gzip)
            .layer(layer, Compression::Gzip)
            .config(json!({"Cmd": ["true"], "User": "app"}))
            .push(&registry, name, "1");
        shellrt.pull(&image);
        let create = json!({
            "_type": "create", "name": "a", "config_type": "containerd",
            "config": {"image": image},
        });
        let answer = shellrt.ask(&create);
        assert_eq!(answer.object["_status"], "err", "{name}: {answer:?}");
        // A number needs no file.
        shellrt.create_only("a", &image, json!({"user": "7:8", "command": ["id", "-u"]}));
        shellrt.module("start", "a");
        assert_eq!(shellrt.module("wait", "a")["exit_code"], 0, "{name}");
        assert_eq!(shellrt.logs("a"), b"7\n");
        remove(&shellrt, "a");
    }
    // A link must not lead out of the image: the machine's own file has a root as well.
    let image = Image::busybox()
        .layer(
            Layer::new().symlink("etc/passwd", "/srv/passwd"),
            Compression::Gzip,
        )
        .layer(
            Layer::new().file("srv/passwd", 0o644, b"app:x:51:52::/:/bin/sh\n"),
            Compression::Gzip,
        )
        .config(json!({"User": "app"}))
        .push(&registry, "linked", "1");
    assert_eq!(output(&shellrt, &image, "id -u; id -g"), "51\n52\n");
    let image = Image::busybox()
        .layer(
            Layer::new().symlink("etc/passwd", "../../../../../../etc/passwd"),
            Compression::Gzip,
        )
        .config(json!({"User": "daemon"}))
        .push(&registry, "out", "1");
    shellrt.pull(&image);
    let create = json!({
        "_type": "create", "name": "a", "config_type": "containerd",
        "config": {"image": image, "command": ["true"]},
    });
    // Debian has such a user; the image has none.
    let answer = shellrt.ask(&create);
    assert_eq!(answer.object["_status"], "err", "{answer:?}");
    assert_nothing_left(&shellrt);
}
