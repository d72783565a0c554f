//! Tars by hand, and by the crate `tar` where their form is nothing special.

use std::io::{Read, Seek, Write};
use std::time::Duration;

use shellrt_api::v0::Code;
use tar::{Builder, EntryType, Header};

use super::*;

const LIMIT: u64 = 1 << 20;

/// One entry: its name, its kind, its link's target, its body.
struct Made(Vec<u8>);

impl Made {
    fn new() -> Made {
        Made(Vec::new())
    }

    /// Adds an entry with exactly this name, whatever it is.
    fn entry(mut self, name: &str, kind: EntryType, link: &str, body: &[u8]) -> Made {
        let mut header = Header::new_gnu();
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_size(body.len() as u64);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, body: &str) -> Made {
        self.entry(name, EntryType::Regular, "", body.as_bytes())
    }

    fn symlink(self, name: &str, target: &str) -> Made {
        self.entry(name, EntryType::Symlink, target, b"")
    }

    fn hardlink(self, name: &str, target: &str) -> Made {
        self.entry(name, EntryType::Link, target, b"")
    }

    fn directory(self, name: &str) -> Made {
        self.entry(name, EntryType::Directory, "", b"")
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

/// The text at `path`, or the error, and how many layers were opened.
fn look(path: &str, layers: &[Vec<u8>]) -> (Result<String, Error>, usize) {
    let patience = Patience::default();
    let search = Search {
        reference: "a",
        limit: LIMIT,
        patience: &patience,
    };
    let mut output = tempfile::tempfile().unwrap();
    let mut opened = std::collections::BTreeSet::new();
    let open = |number: usize| {
        opened.insert(number);
        Ok(file(&layers[number]))
    };
    let found = search
        .extract(path, layers.len(), open, &mut output)
        .map(|()| {
            let mut text = String::new();
            output.rewind().unwrap();
            output.read_to_string(&mut text).unwrap();
            text
        });
    (found, opened.len())
}

fn found(path: &str, layers: &[Vec<u8>]) -> String {
    look(path, layers).0.unwrap()
}

fn refused(path: &str, layers: &[Vec<u8>]) -> String {
    let error = look(path, layers).0.unwrap_err();
    assert_eq!(error.code(), Code::IMAGE_INVALID, "{error}");
    error.to_string()
}

#[test]
fn the_topmost_layer_counts_and_only_what_is_needed_is_read() {
    let layers = [
        Made::new().file("a", "old").file("b", "only below").end(),
        Made::new().file("./a", "new").file("a.b", "x").end(),
    ];
    assert_eq!(found("/a", &layers), "new");
    assert_eq!(look("/a", &layers).1, 1);
    assert_eq!(found("b", &layers), "only below");
    let twice = [Made::new()
        .file("a", "first and longer")
        .file("/a", "last")
        .end()];
    assert_eq!(found("a", &twice), "last");
}

#[test]
fn every_compression_is_seen_in_the_bytes() {
    let tar = Made::new().file("a", "text").end();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&tar[..512]).unwrap();
    // Two members, as pigz and estargz write them.
    let mut members = gzip.finish().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&tar[512..]).unwrap();
    members.extend(gzip.finish().unwrap());
    assert_eq!(found("a", &[members]), "text");
    let zstd = zstd::encode_all(tar.as_slice(), 0).unwrap();
    assert_eq!(found("a", std::slice::from_ref(&zstd)), "text");
    let mut skippable = vec![0x51, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9];
    skippable.extend(zstd);
    assert_eq!(found("a", &[skippable]), "text");
    assert_eq!(found("a", &[tar]), "text");
}

#[test]
fn whiteouts_hide_what_is_below() {
    let below = Made::new()
        .directory("d/")
        .file("d/a", "a")
        .file("d/e/b", "b")
        .end();
    let is_gone = |upper: Made, path: &str| {
        let said = refused(path, &[below.clone(), upper.end()]);
        assert!(said.contains("no file"), "{said}");
    };
    is_gone(Made::new().file("d/.wh.a", ""), "/d/a");
    is_gone(Made::new().file(".wh.d", ""), "/d/e/b");
    is_gone(Made::new().file("d/.wh..wh..opq", ""), "/d/e/b");
    is_gone(
        Made::new().file("d", "a file where the directory was"),
        "/d/a",
    );
    let other = Made::new()
        .file("d/.wh.aa", "")
        .file("d/e/.wh..wh..opq", "")
        .end();
    assert_eq!(found("/d/a", &[below.clone(), other]), "a");
    let replaced = Made::new()
        .file("d/a", "new")
        .file("d/.wh..wh..opq", "")
        .end();
    assert_eq!(found("/d/a", &[below, replaced]), "new");
}

#[test]
fn links_are_followed_within_the_image() {
    let layers = [
        Made::new()
            .directory("usr/")
            .file("usr/bin/real", "real")
            .symlink("bin", "usr/bin")
            .end(),
        Made::new()
            .symlink("start", "/bin/run")
            .symlink("usr/bin/run", "../bin/./real")
            .symlink("out", "../../../../usr/bin/real")
            .hardlink("hard", "usr/bin/real")
            .hardlink("./hard2", "./hard")
            .end(),
    ];
    for path in [
        "/start",
        "/bin/run",
        "out",
        "hard",
        "hard2",
        "bin/../start",
        "/../usr/bin/real",
    ] {
        assert_eq!(found(path, &layers), "real", "{path}");
    }
    let circle = [Made::new()
        .symlink("a", "b")
        .symlink("b", "/a")
        .symlink("c", "c/c")
        .end()];
    assert!(refused("a", &circle).contains("leads nowhere"));
    assert!(refused("c", &circle).contains("leads nowhere"));
    let outside = [Made::new()
        .symlink("a", "/etc/hostname")
        .hardlink("b", "/etc/passwd")
        .end()];
    assert!(refused("a", &outside).contains("no file"));
    assert!(refused("b", &outside).contains("no file"));
}

#[test]
fn long_names_are_read_in_both_forms() {
    let long = format!("{}/program.wasm", "d".repeat(200));
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(4);
    builder
        .append_data(&mut header, &long, &b"text"[..])
        .unwrap();
    assert_eq!(found(&long, &[builder.into_inner().unwrap()]), "text");

    let record = |key: &str, value: &str| {
        let rest = format!(" {key}={value}\n");
        let length = rest.len() + 3;
        assert_eq!(length.to_string().len(), 3);
        format!("{length}{rest}")
    };
    let pax = record("path", &long);
    let layer = Made::new()
        .entry("PaxHeaders/x", EntryType::XHeader, "", pax.as_bytes())
        .file("short", "text")
        .end();
    assert_eq!(found(&long, &[layer]), "text");
}

#[test]
fn what_is_no_file_is_named() {
    let layer = [Made::new()
        .directory("d/")
        .entry("n", EntryType::Char, "", b"")
        .end()];
    assert!(refused("d", &layer).contains("a directory"));
    assert!(refused("n", &layer).contains("neither a file nor a link"));
    assert!(refused("/", &layer).contains("no file"));
    assert!(refused("", &layer).contains("no file"));
}

#[test]
fn hostile_tars_are_harmless() {
    // Names that would lead out of a directory into which somebody unpacks them.
    let layer = [Made::new()
        .file("../../a", "up")
        .file("/../b", "root")
        .end()];
    assert_eq!(found("a", &layer), "up");
    assert_eq!(found("b", &layer), "root");

    // A name that claims to be longer than memory.
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..4].copy_from_slice(b"././");
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(1 << 40);
    header.set_cksum();
    assert!(refused("a", &[header.as_bytes().to_vec()]).contains("longer than 1 MiB"));

    // A body that claims to be longer than everything.
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..1].copy_from_slice(b"a");
    header.set_size(u64::MAX);
    header.set_cksum();
    let bytes = header.as_bytes().to_vec();
    assert!(refused("b", &[bytes]).contains("can't be read"));

    // Larger than any program may be, truly and as a bomb.
    let large = vec![0; LIMIT as usize + 1];
    let layer = Made::new().entry("a", EntryType::Regular, "", &large).end();
    let error = look("a", &[layer]).0.unwrap_err();
    assert!(error.to_string().contains("1048577 bytes"), "{error}");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for number in 0..40 {
        let layer = Made::new().entry(&number.to_string(), EntryType::Regular, "", &large);
        gzip.write_all(&layer.0).unwrap();
    }
    gzip.write_all(&Made::new().file("a", "at last").end())
        .unwrap();
    assert!(refused("a", &[gzip.finish().unwrap()]).contains("unpacks to too much"));

    // Damage.
    let whole = Made::new().file("b", "text").file("a", "text").end();
    for cut in [100, 513, 1024 + 512 + 2] {
        let said = refused("a", &[whole[..cut].to_vec()]);
        assert!(said.contains("cut short"), "{cut}: {said}");
    }
    let mut damaged = whole.clone();
    damaged[3] ^= 1;
    assert!(refused("a", &[damaged]).contains("damaged"));
    assert!(refused("a", &[b"#!/bin/sh\nexit 1\n".repeat(99)]).contains("no tar"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&whole).unwrap();
    let gzip = gzip.finish().unwrap();
    assert!(refused("a", &[gzip[..gzip.len() / 2].to_vec()]).contains("can't be read"));
    assert!(refused("a", &[Vec::new()]).contains("no file"));

    // Strange extended headers.
    for text in [
        "",
        "5",
        "x path=a\n",
        "99 path=a\n",
        "3 a",
        "9 path:a\n",
        "0 path=a\n",
    ] {
        let layer = Made::new().entry("p", EntryType::XHeader, "", text.as_bytes());
        let (result, _) = look("a", &[layer.file("b", "").end()]);
        assert!(result.is_err(), "{text:?}");
    }
}

#[test]
fn a_search_ends_with_the_patience() {
    let layer = Made::new().file("a", "text").end();
    let deadline = std::time::Instant::now().checked_sub(Duration::from_secs(1));
    let patience = Patience::until(deadline);
    let search = Search {
        reference: "a",
        limit: LIMIT,
        patience: &patience,
    };
    let mut output = tempfile::tempfile().unwrap();
    let error = search
        .extract("a", 1, |_| Ok(file(&layer)), &mut output)
        .unwrap_err();
    assert_eq!(error.code(), Code::TIMEOUT);
}
