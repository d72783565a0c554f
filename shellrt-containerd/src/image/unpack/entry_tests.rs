//! Tars of the crate `tar`, read with small buffers.

use std::io::BufReader;

use tar::{Builder, EntryType, Header as TarHeader};

use super::*;

fn archive(build: impl FnOnce(&mut Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    build(&mut builder);
    builder.into_inner().unwrap()
}

fn file(size: u64) -> TarHeader {
    let mut header = TarHeader::new_ustar();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(1);
    header
}

/// All entries with their bytes.
fn read(tar: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, Failure> {
    let mut entries = Entries::new(BufReader::with_capacity(7, tar));
    let mut all = Vec::new();
    while let Some(entry) = entries.next()? {
        let mut bytes = Vec::new();
        loop {
            let piece = entries.data()?;
            if piece.is_empty() {
                break;
            }
            bytes.extend_from_slice(piece);
            let count = piece.len();
            entries.consume(count);
        }
        all.push((entry, bytes));
    }
    entries.finish()?;
    Ok(all)
}

#[test]
fn extended_headers_count_for_one_entry() {
    let tar = archive(|tar| {
        let records: [(&str, &[u8]); 4] = [
            ("path", b"long/name"),
            ("mtime", b"12.5"),
            ("uid", b"70000"),
            ("SCHILY.xattr.user.a", b"x=y\n"),
        ];
        tar.append_pax_extensions(records).unwrap();
        tar.append_data(&mut file(3), "short", &b"abc"[..]).unwrap();
        tar.append_data(&mut file(600), "second", &[7; 600][..])
            .unwrap();
    });
    let all = read(&tar).unwrap();
    let (first, bytes) = &all[0];
    assert_eq!(first.name, b"long/name");
    assert_eq!(first.modified, (12, 500_000_000));
    assert_eq!(first.owner, (70_000, 0));
    assert_eq!(first.xattrs, [(b"user.a".to_vec(), b"x=y\n".to_vec())]);
    assert_eq!(bytes, b"abc");
    let (second, bytes) = &all[1];
    assert_eq!(second.name, b"second");
    assert_eq!(second.modified, (1, 0));
    assert!(second.xattrs.is_empty());
    assert_eq!(bytes, &[7; 600]);
}

#[test]
fn long_names_of_gnu_are_read() {
    let name = "d".repeat(150);
    let tar = archive(|tar| {
        let mut header = TarHeader::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, &name, "target").unwrap();
    });
    let all = read(&tar).unwrap();
    assert_eq!(all[0].0.kind, Kind::Symlink);
    assert_eq!(all[0].0.name, name.as_bytes());
    assert_eq!(all[0].0.link, b"target");
}

#[test]
fn what_is_cut_off_or_not_known_is_unfit() {
    let tar = archive(|tar| {
        tar.append_data(&mut file(600), "a", &[7; 600][..]).unwrap();
    });
    // Without its end, and without the padding of the last block, it is whole.
    for length in [tar.len(), tar.len() - 512, 1536, 1112] {
        assert_eq!(read(&tar[..length]).unwrap().len(), 1, "{length}");
    }
    for length in [1111, 600, 100] {
        assert!(read(&tar[..length]).is_err(), "{length}");
    }
    let mut sparse = file(0);
    sparse.set_entry_type(EntryType::GNUSparse);
    let sparse = archive(|tar| tar.append_data(&mut sparse, "a", &b""[..]).unwrap());
    assert!(matches!(read(&sparse), Err(Failure::Unfit(_))));
    let gap = [&tar[..1536], &[0; 512], &tar].concat();
    assert!(matches!(read(&gap), Err(Failure::Unfit(_))));
    for record in ["9 a=b\n", "6 a=b", "6 a b\n", "7 =abc\n", "x a=b\n"] {
        assert!(Extended::parse(record.as_bytes()).is_err(), "{record:?}");
    }
}

#[test]
fn times_have_nanoseconds() {
    for (text, expected) in [
        ("1", Some((1, 0))),
        ("1.5", Some((1, 500_000_000))),
        ("1.0000000019", Some((1, 1))),
        ("-1.25", Some((-2, 750_000_000))),
        ("1.x", None),
        ("", None),
    ] {
        assert_eq!(time(text.as_bytes()), expected, "{text:?}");
    }
}
