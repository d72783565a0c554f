//! Images of layers with everything that a layer may have, and of those that GNU tar makes.

use std::process::Command;

use tests::image::{busybox, Compression, Format, Image, Layer};

use super::archive::{Archive, Entry};
use super::bytes;

/// What the lowest layer of an image may have.
fn lowest(seed: &str) -> Vec<u8> {
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    // Owner rwx, user 7 r-x, group r-x, mask rwx, others none.
    let acl =
        b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x02\0\x05\0\x07\0\0\0\x04\0\x05\0\xff\xff\xff\xff\
        \x10\0\x07\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";
    let entry = Entry::default;
    let long = "n".repeat(200);
    let deep = format!("deep/{}/{}", "d".repeat(140), "f".repeat(120));
    let archive = Archive::new()
        .dir("./", 0o700)
        .file(seed, 0o600, b"")
        .file("./with-dot", 0o600, b"1")
        .dir("d/", 0o755)
        .file("d/x", 0o644, b"x")
        .file("large", 0o640, &bytes(1_000_003, 3))
        .file("all", 0o666, b"2")
        .file("none", 0o000, b"3")
        .file("setuid", 0o4755, b"4")
        .add(Entry {
            name: "given",
            mode: 0o6755,
            owner: (1000, 1001),
            bytes: b"5",
            ..entry()
        })
        .dir("tmp", 0o1777)
        .add(Entry {
            kind: b'5',
            name: "group",
            mode: 0o2775,
            owner: (5, 6),
            ..entry()
        })
        .file("group/file", 0o644, b"6")
        .dir("group/dir", 0o755)
        .file("group/dir/file", 0o755, b"7")
        .symlink("group/link", "file")
        .symlink("absolute", "/d")
        .symlink("relative", "d")
        .symlink("dangling", "not/there")
        .symlink("d/up", "../../group/dir")
        .add(Entry {
            kind: b'2',
            name: "given-link",
            link: "d",
            owner: (7, 8),
            ..entry()
        })
        .file("absolute/through-absolute", 0o644, b"8")
        .file("relative/up/through-two", 0o644, b"9")
        .file("dangling/below", 0o644, b"10")
        .file("made/up/file", 0o644, b"11")
        .add(Entry {
            kind: b'6',
            name: "fifo",
            mode: 0o622,
            ..entry()
        })
        .add(Entry {
            kind: b'3',
            name: "char",
            mode: 0o666,
            device: (1, 3),
            ..entry()
        })
        .add(Entry {
            kind: b'4',
            name: "block",
            mode: 0o660,
            device: (259, 70_000),
            owner: (0, 6),
            ..entry()
        })
        .hard_link("hard", "large")
        .hard_link("hard-through", "/absolute/x")
        .hard_link("hard-to-link", "dangling")
        .add(Entry {
            kind: b'1',
            name: "hard-with-size",
            link: "./all",
            size: Some(1),
            mode: 0o600,
            owner: (3, 4),
            ..entry()
        })
        .file("../above", 0o644, b"12")
        .file("/whole", 0o644, b"13")
        .file("a/../b", 0o644, b"14")
        .file("d//double/./dot", 0o644, b"15")
        .file("..", 0o644, b"ignored")
        .file("twice", 0o644, b"first, and longer")
        .file("twice", 0o755, b"second")
        .file("file-to-dir", 0o644, b"16")
        .dir("file-to-dir", 0o711)
        .file("file-to-dir/file", 0o644, b"17")
        .file("dir-to-file/a/b", 0o644, b"18")
        .file("dir-to-file", 0o644, b"19")
        .dir("link-to-dir", 0o755)
        .file("link-to-dir/gone", 0o644, b"20")
        .symlink("changes", "link-to-dir")
        .dir("changes", 0o750)
        .file("changes/own", 0o644, b"21")
        .dir("later", 0o755)
        .file("later/file", 0o644, b"22")
        .dir("later", 0o700)
        .file("taken", 0o644, b"23")
        .file(".wh.taken", 0o644, b"")
        .file(".wh.was-never-there", 0o644, b"")
        .add(Entry {
            name: "epoch",
            time: 0,
            ..entry()
        })
        .add(Entry {
            name: "before",
            time: -5,
            ..entry()
        })
        .add(Entry {
            name: "far",
            time: 1 << 40,
            ..entry()
        })
        .add(Entry {
            name: "great-owner",
            owner: (3_000_000, 4_000_000),
            ..entry()
        })
        .add(Entry {
            kind: 0,
            name: "oldest/",
            mode: 0o755,
            magic: &[0; 8],
            ..entry()
        })
        .add(Entry {
            kind: 0,
            name: "oldest/file",
            bytes: b"24",
            magic: &[0; 8],
            ..entry()
        })
        .add(Entry {
            name: "name",
            prefix: "in/prefix",
            bytes: b"25",
            ..entry()
        })
        .add(Entry {
            kind: b'L',
            name: "././@LongLink",
            bytes: format!("gnu/{long}\0").as_bytes(),
            magic: b"ustar  \0",
            ..entry()
        })
        .add(Entry {
            name: "cut",
            bytes: b"26",
            magic: b"ustar  \0",
            ..entry()
        })
        .add(Entry {
            kind: b'K',
            name: "././@LongLink",
            bytes: format!("gnu/{long}\0").as_bytes(),
            magic: b"ustar  \0",
            ..entry()
        })
        .add(Entry {
            kind: b'2',
            name: "long-link",
            link: "cut",
            magic: b"ustar  \0",
            ..entry()
        })
        .global("global/header", &[("comment", b"no entry")])
        .pax(&[
            ("path", deep.as_bytes()),
            ("mtime", b"1234567890.123456789"),
            ("atime", b"1334567890.5"),
        ])
        .file("short", 0o644, b"27")
        .pax(&[
            ("uid", b"2999999"),
            ("gid", b"7"),
            ("mtime", b"-1.5"),
            ("size", b""),
        ])
        .file("pax-owner", 0o644, b"28")
        .pax(&[("mtime", b"1000000000.9999999999")])
        .dir("pax-dir", 0o755)
        .pax(&[("linkpath", b"pax/target")])
        .symlink("pax-link", "short")
        .pax(&[
            ("SCHILY.xattr.user.a", b"b=c\n\0d"),
            ("SCHILY.xattr.user.empty", b""),
            ("SCHILY.xattr.trusted.x", b"no"),
        ])
        .file("x", 0o444, b"29")
        .pax(&[("SCHILY.xattr.user.dir", b"e")])
        .dir("d/attributes", 0o751)
        .pax(&[("SCHILY.xattr.user.link", b"can't")])
        .symlink("x-link", "x")
        .pax(&[("SCHILY.xattr.user.fifo", b"can't")])
        .add(Entry {
            kind: b'6',
            name: "x-fifo",
            ..entry()
        })
        .pax(&[("SCHILY.xattr.security.capability", capability)])
        .file("capable", 0o755, b"30")
        .hard_link("capable-too", "capable")
        .pax(&[("SCHILY.xattr.security.capability", capability)])
        .add(Entry {
            name: "capable-given",
            mode: 0o755,
            owner: (1, 1),
            bytes: b"31",
            ..entry()
        })
        .pax(&[("SCHILY.xattr.system.posix_acl_default", acl)])
        .dir("acl", 0o770)
        .file("acl/file", 0o644, b"32")
        .dir("acl/dir", 0o755)
        .file("acl/dir/file", 0o755, b"33")
        .file("made/up/after", 0o644, b"34");
    archive.end()
}

/// What a layer over [`lowest`] may have.
fn higher() -> Vec<u8> {
    let entry = Entry::default;
    Archive::new()
        .file(".wh.all", 0o644, b"")
        .file("d/.wh.x", 0o644, b"")
        .add(Entry {
            name: "d/.wh.given",
            owner: (4, 5),
            ..entry()
        })
        .file("d/attributes/inside", 0o644, b"1")
        .file("group/dir/new", 0o644, b"2")
        .file("relative/new", 0o644, b"3")
        .file("acl/dir/new", 0o666, b"4")
        .file("pax-dir/.wh.not-there", 0o644, b"")
        .file("later/.wh..wh..opq", 0o644, b"")
        .file("later/file", 0o600, b"5")
        .dir("tmp", 0o755)
        .file("tmp/.wh..wh..opq", 0o644, b"")
        .file("tmp/.wh..wh..opq", 0o644, b"")
        .file("file-to-dir", 0o644, b"6")
        .file("dir-to-file/below", 0o644, b"7")
        .file("brand/new/file", 0o644, b"8")
        .dir("brand/new", 0o700)
        .end()
}

/// The top of an image, which says that all is hidden below the root.
fn top() -> Vec<u8> {
    Archive::new()
        .file(".wh..wh..opq", 0o644, b"")
        .file("only", 0o644, b"1")
        .end()
}

/// A tar that GNU tar makes of a folder.
fn gnu_tar(arguments: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let long = format!("{}/{}", "a".repeat(90), "b".repeat(60));
    std::fs::create_dir_all(path(&long)).unwrap();
    std::fs::write(path(&long).join("file"), b"1").unwrap();
    std::fs::write(path("one"), bytes(100_000, 1)).unwrap();
    std::fs::hard_link(path("one"), path("two")).unwrap();
    std::os::unix::fs::symlink("one", path("three")).unwrap();
    let holes = std::fs::File::create(path("holes")).unwrap();
    std::os::unix::fs::FileExt::write_at(&holes, b"end", 3_000_000).unwrap();
    let none = rustix::fs::XattrFlags::empty();
    // Where the temporary folder can't have them, there is one thing less to compare.
    let _ = rustix::fs::setxattr(path("one"), "user.name", b"value", none);
    let mut command = Command::new("tar");
    command.arg("-C").arg(folder.path()).args(arguments);
    let output = command.args(["-c", "."]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// The images, and in which way they are unpacked where the direct one is asked for.
pub fn images() -> Vec<(&'static str, Image, &'static str)> {
    let image = |layers: Vec<Vec<u8>>, compression| {
        let image = Image::new(Format::Oci);
        layers.into_iter().fold(image, |image, tar| {
            image.layer(Layer::raw(tar), compression)
        })
    };
    let gzip = |tar| image(vec![tar], Compression::Gzip);
    let unended = Archive::new().file("a", 0o644, b"1").end();
    vec![
        (
            "busybox",
            Image::busybox().layer(busybox(), Compression::Gzip),
            "direct",
        ),
        (
            "all",
            image(vec![lowest("all"), higher(), top()], Compression::Gzip),
            "direct",
        ),
        (
            "zstd",
            image(vec![lowest("seed-1"), higher()], Compression::Zstd),
            "direct",
        ),
        (
            "plain",
            image(vec![lowest("seed-2"), higher()], Compression::None),
            "direct",
        ),
        ("gnu", gzip(gnu_tar(&["--format=gnu"])), "direct"),
        (
            "posix",
            gzip(gnu_tar(&["--format=posix", "--xattrs"])),
            "direct",
        ),
        ("ustar", gzip(gnu_tar(&["--format=ustar"])), "direct"),
        ("cut", gzip(unended[..1024].to_vec()), "direct"),
        ("nothing", gzip(Archive::new().end()), "direct"),
        (
            "behind",
            gzip([unended.clone(), vec![7; 70_000]].concat()),
            "direct",
        ),
        (
            "sparse",
            gzip(gnu_tar(&["--format=posix", "--sparse"])),
            "apply",
        ),
        (
            "dots",
            gzip(
                Archive::new()
                    .file("a/b", 0o644, b"1")
                    .hard_link("c", "d/../a/b")
                    .end(),
            ),
            "apply",
        ),
        (
            "opaque",
            gzip(
                Archive::new()
                    .dir("a", 0o755)
                    .file("a/.wh..wh..opq", 0o644, b"")
                    .end(),
            ),
            "apply",
        ),
    ]
}
