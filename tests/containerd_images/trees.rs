//! What the layers become on the disk: the same tree whoever unpacks them, entry for entry and
//! attribute for attribute.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use serde_json::Value;
use tests::containerd::{self, Containerd, Version};
use tests::image::{Compression, Format, Image, Layer};
use tests::registry::{digest, Options, Registry};
use tests::shellrt::Shellrt;

use super::archive::{Archive, Entry};
use super::strange::images;
use super::{bytes, refused};

const WAYS: [&str; 3] = ["direct", "uncompressed", "apply"];

const VARIABLE: &str = "SHELLRT_CONTAINERD_UNPACK";

/// A file as everybody sees it, without the time of its last access.
#[derive(Debug, PartialEq)]
struct File {
    kind_and_mode: String,
    owner: (u32, u32),
    device: u64,
    /// What was made just now has no time of its own.
    time: Option<(i64, i64)>,
    content: String,
    /// The first path of the same file.
    same_as: PathBuf,
    xattrs: BTreeMap<String, Vec<u8>>,
}

/// All files below a directory. What was changed since `begun` has no time.
fn tree(root: &Path, begun: i64) -> BTreeMap<PathBuf, File> {
    let mut files = BTreeMap::new();
    let mut inodes: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(path) = open.pop() {
        let whole = root.join(&path);
        let data = whole.symlink_metadata().unwrap();
        let content = match data.file_type() {
            kind if kind.is_symlink() => std::fs::read_link(&whole).unwrap().display().to_string(),
            kind if kind.is_file() => digest(&std::fs::read(&whole).unwrap()),
            _ => String::new(),
        };
        if data.is_dir() {
            let mut names: Vec<PathBuf> = std::fs::read_dir(&whole)
                .unwrap()
                .map(|entry| path.join(entry.unwrap().file_name()))
                .collect();
            names.sort();
            open.extend(names);
        }
        let is_new = data.mtime() >= begun;
        let file = File {
            kind_and_mode: format!("{:o}", data.mode()),
            owner: (data.uid(), data.gid()),
            device: data.rdev(),
            time: (!is_new).then(|| (data.mtime(), data.mtime_nsec())),
            content,
            same_as: match data.is_dir() {
                true => PathBuf::new(),
                false => inodes.entry(data.ino()).or_insert(path.clone()).clone(),
            },
            xattrs: xattrs(&whole),
        };
        files.insert(path, file);
    }
    files
}

fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..length].split(|byte| *byte == 0);
    names
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 4096];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            value.truncate(length);
            (String::from_utf8(name.to_vec()).unwrap(), value)
        })
        .collect()
}

/// The trees of an image's layers in a containerd that has pulled it, the lowest first.
fn trees(containerd: &Containerd, diff_ids: &[String], begun: i64) -> Vec<BTreeMap<PathBuf, File>> {
    let mut top = diff_ids[0].clone();
    for diff_id in &diff_ids[1..] {
        top = digest(format!("{top} {diff_id}").as_bytes());
    }
    let key = format!("look-{top}");
    let mounts = containerd.ctr(&["snapshots", "view", "--mounts", &key, &top]);
    let mounts: Value = serde_json::from_str(&mounts).unwrap();
    let source = mounts[0]["Source"].as_str().unwrap();
    let options = mounts[0]["Options"].as_array().unwrap().iter();
    let lower = options.filter_map(|option| option.as_str().unwrap().strip_prefix("lowerdir="));
    let lower: Vec<&str> = lower.flat_map(|lower| lower.split(':')).collect();
    let dirs = match lower.is_empty() {
        true => vec![source],
        false => lower,
    };
    // Nothing holds it, so it may be gone already.
    let _ = containerd.ctr_command(&["snapshots", "rm", &key]).output();
    assert_eq!(dirs.len(), diff_ids.len());
    let dirs = dirs.iter().rev();
    dirs.map(|dir| tree(Path::new(dir), begun)).collect()
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs() as i64
}

fn trees_are_the_same(version: Version) {
    let options = containerd::Options {
        version,
        ..Default::default()
    };
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let Some(ctr) = Containerd::start_with(options.clone()) else {
        return;
    };
    let begun = now();
    let images = images();
    let mut expected = Vec::new();
    for (name, image, _) in &images {
        let reference = image.push(&registry, name, "1");
        ctr.ctr(&["images", "pull", "--plain-http", &reference]);
        expected.push(trees(&ctr, &image.build().diff_ids, begun));
    }
    for way in WAYS {
        let Some(mut shellrt) = Shellrt::start_with(options.clone()) else {
            return;
        };
        shellrt.set(VARIABLE, Path::new(way));
        for ((name, image, gone), expected) in images.iter().zip(&expected) {
            let answer = shellrt.pull(&format!("{}/{name}:1", registry.host()));
            let gone = if way == "direct" { *gone } else { way };
            let trees = trees(&shellrt.containerd, &image.build().diff_ids, begun);
            for (number, (tree, expected)) in trees.iter().zip(expected).enumerate() {
                let paths = expected.keys().chain(tree.keys());
                for path in paths {
                    let (ours, theirs) = (tree.get(path), expected.get(path));
                    assert_eq!(ours, theirs, "{path:?} in layer {number} of {name}, {way}");
                }
            }
            assert_eq!(trees.len(), expected.len());
            assert_eq!(answer["unpack"], gone, "{name}");
        }
    }
}

#[test]
fn every_way_makes_the_trees_that_ctr_makes() {
    trees_are_the_same(Version::Installed);
}

#[test]
fn every_way_makes_the_trees_that_ctr_makes_with_containerd_1_7() {
    trees_are_the_same(Version::V1_7);
}

#[test]
fn every_way_makes_the_trees_that_ctr_makes_with_containerd_2() {
    trees_are_the_same(Version::V2);
}

#[test]
fn nothing_is_written_outside_of_a_layer() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("theirs"), b"theirs").unwrap();
    let path = outside.path().to_str().unwrap();
    let up = format!("{}{path}", "../".repeat(30));
    let theirs = format!("{path}/theirs");
    let lower = Archive::new()
        .symlink("absolute", path)
        .symlink("up", &up)
        .symlink("file", &theirs)
        .dir("proc", 0o755)
        .symlink("proc/magic", "/proc/self/root")
        .file("absolute/1", 0o644, b"1")
        .file("up/2", 0o644, b"2")
        .file("file", 0o644, b"3")
        .file(&format!("{up}/4"), 0o644, b"4")
        .dir("absolute", 0o777)
        .symlink("d", path)
        .file("d/.wh.theirs", 0o644, b"")
        .file("proc/magic/5", 0o644, b"5")
        .end();
    let upper = Archive::new()
        .symlink("new", path)
        .file("new/6", 0o644, b"6")
        .file("new/.wh.theirs", 0o644, b"")
        .file("new/.wh..wh..opq", 0o644, b"")
        .dir("new", 0o777)
        .end();
    let image = Image::new(Format::Oci)
        .layer(Layer::raw(lower), Compression::Gzip)
        .layer(Layer::raw(upper), Compression::Gzip);
    let reference = image.push(&registry, "app", "1");
    let before = tree(outside.path(), i64::MAX);
    let linked = Archive::new().hard_link("mine", &theirs).end();
    let linked = Image::new(Format::Oci).layer(Layer::raw(linked), Compression::Gzip);
    let linked = linked.push(&registry, "linked", "1");
    for way in WAYS {
        let Some(mut shellrt) = Shellrt::start() else {
            return;
        };
        shellrt.set(VARIABLE, Path::new(way));
        assert_eq!(shellrt.pull(&reference)["unpack"], way);
        let (code, message) = refused(&shellrt, &linked);
        assert_eq!(code, 17, "{message}");
        assert!(message.contains("no such file"), "{message}");
        assert_eq!(tree(outside.path(), i64::MAX), before, "{way}");
    }
}

#[test]
fn damaged_layers_are_refused_in_the_same_words() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let whole = Archive::new().file("a", 0o644, &bytes(5000, 1)).end();
    let (_, packed) = Layer::raw(whole.clone()).build(Compression::Gzip);
    let mut sum = whole.clone();
    sum[0] ^= 1;
    let strange = Archive::new().add(Entry {
        kind: b'Z',
        name: "a",
        ..Entry::default()
    });
    let cases = [
        ("sum", sum, "invalid tar header"),
        ("cut", whole[..3000].to_vec(), "unexpected EOF"),
        ("strange", strange.end(), "unhandled tar header"),
    ];
    let mut references = Vec::new();
    for (name, tar, words) in cases {
        let image = Image::new(Format::Oci).layer(Layer::raw(tar), Compression::Gzip);
        references.push((image.push(&registry, name, "1"), words));
    }
    // One whose packing is damaged, and one that is not what the config says.
    let mut built = Image::new(Format::Oci)
        .layer(Layer::raw(whole.clone()), Compression::Gzip)
        .build();
    for (name, bytes, words) in [
        (
            "packing",
            packed[..packed.len() - 2000].to_vec(),
            "unexpected EOF",
        ),
        (
            "other",
            Layer::raw(Archive::new().end()).build(Compression::Gzip).1,
            "and the config says",
        ),
    ] {
        let manifest = String::from_utf8(built.manifest.clone()).unwrap();
        let manifest = manifest
            .replace(&digest(&built.layers[0]), &digest(&bytes))
            .replace(
                &format!(":{}", built.layers[0].len()),
                &format!(":{}", bytes.len()),
            );
        built.manifest = manifest.into_bytes();
        built.layers = vec![bytes];
        built.push(&registry, name, "1");
        references.push((format!("{}/{name}:1", registry.host()), words));
    }
    for way in WAYS {
        let Some(mut shellrt) = Shellrt::start() else {
            return;
        };
        shellrt.set(VARIABLE, Path::new(way));
        for (reference, words) in &references {
            let (code, message) = refused(&shellrt, reference);
            assert_eq!(code, 14, "{message}");
            assert!(message.contains(words), "{way}: {message}");
        }
    }
}

/// What others have of the plain tar is used, or thrown away where it is cut off.
#[test]
fn a_plain_tar_may_be_there_already() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let Some(mut shellrt) = Shellrt::start() else {
        return;
    };
    shellrt.set(VARIABLE, Path::new("uncompressed"));
    let ingest = |namespace, tar: &[u8], name: &str| {
        let digest = digest(tar);
        let arguments = ["-n", namespace, "content", "ingest", "--expected-digest"];
        let mut command = shellrt.containerd.ctr_command(&arguments);
        let mut ctr = command
            .args([&digest, name])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        (ctr.stdin.take().unwrap(), ctr)
    };
    let image = |seed| {
        let tar = Archive::new().file("a", 0o644, &bytes(5000, seed)).end();
        let layer = Layer::raw(tar.clone());
        let image = Image::new(Format::Oci).layer(layer, Compression::Gzip);
        (tar, image.push(&registry, "app", &seed.to_string()))
    };
    let (tar, reference) = image(1);
    let (mut stdin, mut ctr) = ingest("other", &tar, "theirs");
    stdin.write_all(&tar).unwrap();
    drop(stdin);
    assert!(ctr.wait().unwrap().success());
    assert_eq!(shellrt.pull(&reference)["unpack"], "uncompressed");

    let (tar, reference) = image(2);
    let name = format!("layer-{}", digest(&tar));
    let (mut stdin, mut ctr) = ingest(shellrt.containerd.namespace(), &tar, &name);
    stdin.write_all(&tar[..3000]).unwrap();
    drop(stdin);
    assert!(!ctr.wait().unwrap().success());
    let begun = shellrt.containerd.ctr(&["content", "active"]);
    assert!(begun.contains(&name), "{begun}");
    assert_eq!(shellrt.pull(&reference)["unpack"], "uncompressed");
}

/// Bytes that no text can be made of are names as well.
#[test]
fn names_need_not_be_text() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let tar = Archive::new().pax(&[("path", b"\xff\xfe/\x80")]);
    let tar = tar.file("short", 0o644, b"1").end();
    let image = Image::new(Format::Oci).layer(Layer::raw(tar), Compression::Gzip);
    let reference = image.push(&registry, "app", "1");
    let Some(shellrt) = Shellrt::start() else {
        return;
    };
    shellrt.pull(&reference);
    let trees = trees(&shellrt.containerd, &image.build().diff_ids, i64::MAX);
    let name = std::ffi::OsStr::from_bytes(b"\xff\xfe/\x80");
    assert!(trees[0].contains_key(Path::new(name)), "{trees:?}");
}
