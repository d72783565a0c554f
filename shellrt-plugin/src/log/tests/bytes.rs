//! What the writer leaves in the files, and that it comes back.

use super::super::record::{self, HEAD, LONGEST_TEXT};
use super::super::{Error, Options, Writer};
use super::*;
use shellrt_api::v0::Code;
use std::fs;

#[test]
fn bytes_out_are_bytes_in() {
    for seed in 0..40 {
        let mut numbers = Numbers::new(seed);
        let dir = tempfile::tempdir().unwrap();
        // So few records that every one may have a file of its own.
        let mut left = 120;
        let max_size = [1, 100, 5_000, 100_000, 10 << 20][numbers.below(5) as usize];
        let options = Options {
            max_size,
            max_files: 500,
        };
        let mut writer = Writer::open(dir.path(), options).unwrap();
        let mut all = Vec::new();
        let mut each = [Vec::new(), Vec::new()];
        for _ in 0..numbers.below(60) {
            let (stream, bytes) = (numbers.stream(), numbers.bytes());
            let newlines = bytes.iter().filter(|byte| **byte == b'\n').count();
            let records = newlines + 1 + bytes.len() / LONGEST_TEXT;
            if max_size < 10_000 && records > left {
                continue;
            }
            left = left.saturating_sub(records);
            writer.write(stream, &bytes).unwrap();
            all.extend_from_slice(&bytes);
            each[usize::from(stream == Stream::Stderr)].extend_from_slice(&bytes);
            if numbers.chance(10) {
                drop(writer);
                writer = Writer::open(dir.path(), options).unwrap();
            }
        }
        let about = format!("seed {seed}");
        assert_same(&read_streams(dir.path(), BOTH), &all, &about);
        for (stream, expected) in [Stream::Stdout, Stream::Stderr].into_iter().zip(each) {
            let actual = read_streams(dir.path(), only(stream));
            assert_same(&actual, &expected, &about);
        }
        assert_files_are_sound(dir.path(), max_size);

        let mut reader = Reader::open(dir.path(), Query::default()).unwrap();
        let mut pieces = Vec::new();
        loop {
            let most = [2, 50, 100_000][numbers.below(3) as usize];
            let mut piece = vec![0; 1 + numbers.below(most) as usize];
            match reader.read(&mut piece).unwrap() {
                0 => break,
                count => pieces.extend_from_slice(&piece[..count]),
            }
        }
        assert_same(&pieces, &all, &about);
    }
}

/// Looks at the files as another program would, which knows the format from its description.
fn assert_files_are_sound(dir: &Path, max_size: u64) {
    for entry in fs::read_dir(dir).unwrap() {
        let file = fs::read(entry.unwrap().path()).unwrap();
        let mut last = String::new();
        let mut records = 0;
        for line in file.split_inclusive(|byte| *byte == b'\n') {
            assert_eq!(line.last(), Some(&b'\n'));
            let mut fields = line.splitn(4, |byte| *byte == b' ');
            let time = String::from_utf8(fields.next().unwrap().to_vec()).unwrap();
            assert!(time.len() == 30 && time.ends_with('Z'), "{time}");
            assert!(time >= last);
            assert!(matches!(fields.next(), Some(b"stdout" | b"stderr")));
            assert!(matches!(fields.next(), Some(b"P" | b"F")));
            assert!(fields.next().unwrap().len() <= (16 << 10) + 1);
            last = time;
            records += 1;
        }
        assert!(file.len() as u64 <= max_size || records == 1);
    }
}

fn count_files(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

/// The file `log` without the times.
fn records(dir: &Path) -> Vec<String> {
    let file = fs::read(dir.join("log")).unwrap();
    let lines = file.split_inclusive(|byte| *byte == b'\n');
    lines
        .map(|line| String::from_utf8(line[31..].to_vec()).unwrap())
        .collect()
}

#[test]
fn the_format_is_the_one_described() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
    writer.write(Stream::Stdout, b"").unwrap();
    writer.write(Stream::Stdout, b"a\n\nb c").unwrap();
    writer.write(Stream::Stderr, b"e\n").unwrap();
    writer.write(Stream::Stdout, b"\n").unwrap();
    let expected = [
        "stdout F a\n",
        "stdout F \n",
        "stdout P b c\n",
        "stderr F e\n",
        "stdout F \n",
    ];
    assert_eq!(records(dir.path()), expected);
    assert_eq!(read_streams(dir.path(), BOTH), b"a\n\nb ce\n\n");
    let mode = fs::metadata(dir.path().join("log")).unwrap().permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
        0o600
    );
}

#[test]
fn long_lines_are_split() {
    for (length, newline, expected) in [
        (16_383, true, "F16383"),
        (16_384, true, "F16384"),
        (16_384, false, "P16384"),
        (16_385, true, "P16384 F1"),
        (16_385, false, "P16384 P1"),
        (32_768, true, "P16384 F16384"),
        (32_768, false, "P16384 P16384"),
        (40_000, true, "P16384 P16384 F7232"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
        let mut bytes = vec![b'x'; length];
        bytes.extend(newline.then_some(b'\n'));
        writer.write(Stream::Stdout, &bytes).unwrap();
        let show = |record: &String| format!("{}{}", &record[7..8], record.len() - 10);
        let shown: Vec<_> = records(dir.path()).iter().map(show).collect();
        assert_eq!(shown.join(" "), expected);
        assert_same(&read_streams(dir.path(), BOTH), &bytes, expected);
    }
    assert_eq!((HEAD, LONGEST_TEXT), (40, 16_384));
}

#[test]
fn only_the_newest_files_stay() {
    for max_files in 1..5 {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            max_size: 1000,
            max_files,
        };
        let mut written = Vec::new();
        let mut writer = Writer::open(dir.path(), options).unwrap();
        for n in 0..500 {
            let line = format!("line {n}\n");
            writer.write(Stream::Stdout, line.as_bytes()).unwrap();
            written.extend_from_slice(line.as_bytes());
        }
        writer.sync().unwrap();
        assert_eq!(count_files(dir.path()), max_files as usize);
        let kept = read_streams(dir.path(), BOTH);
        assert!(written.ends_with(&kept));
        // A record of "line 499\n" has 49 bytes: 20 to a file, 25 full files, and all but the
        // current one are full.
        assert!(
            kept.len() > (max_files as usize - 1) * 20 * 9,
            "{}",
            kept.len()
        );
    }
    // Fewer files than before: the oldest go at once.
    let dir = tempfile::tempdir().unwrap();
    for n in 1..9 {
        fs::write(dir.path().join(format!("log.{n}")), "").unwrap();
    }
    drop(Writer::open(dir.path(), Options::default()).unwrap());
    assert_eq!(count_files(dir.path()), 3);
}

#[test]
fn a_torn_end_is_cut_off() {
    let whole = b"2026-01-02T03:04:05.000000006Z stdout F one\n\
                  2026-01-02T03:04:05.000000006Z stdout P two\n";
    let last = b"2026-01-02T03:04:05.000000007Z stdout F three\n";
    let mut ends: Vec<Vec<u8>> = (0..last.len()).map(|at| last[..at].to_vec()).collect();
    for zeros in [1, 4096, 65_536, 200_000] {
        ends.push(vec![0; zeros]);
        let mut torn_then_zeros = last[..20].to_vec();
        torn_then_zeros.resize(20 + zeros, 0);
        ends.push(torn_then_zeros);
    }
    for end in ends {
        for before in [&whole[..], &[]] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            fs::write(&path, [before, &end].concat()).unwrap();
            let expected = if before.is_empty() { "" } else { "one\ntwo" };
            assert_eq!(read_streams(dir.path(), BOTH), expected.as_bytes());
            let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
            assert_eq!(fs::read(&path).unwrap(), before);
            writer.write(Stream::Stdout, b"end").unwrap();
            let now = read_streams(dir.path(), BOTH);
            assert_eq!(String::from_utf8(now).unwrap(), format!("{expected}end"));
        }
    }
}

#[test]
fn garbage_between_records_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let record = |text: &str| format!("2026-01-02T03:04:05.000000006Z stdout F {text}\n");
    let zeros = "\0".repeat(300_000);
    let file = [
        "rubbish\n",
        &record("one"),
        &zeros,
        &record("lost with the zeros before it"),
        "\n",
        &record("two"),
        &record(&"x".repeat(16_385)),
        &record("three"),
        "2026-01-02T03:04:05.000000006Z stdin F four\n",
    ];
    fs::write(dir.path().join("log"), file.concat()).unwrap();
    assert_eq!(read_streams(dir.path(), BOTH), b"one\ntwo\nthree\n");
    let tail = Query {
        tail: Some(2),
        ..Query::default()
    };
    assert_eq!(read(dir.path(), tail), b"two\nthree\n");
    let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
    writer.write(Stream::Stderr, b"five").unwrap();
    assert_eq!(read(dir.path(), tail), b"three\nfive");
}

#[test]
fn times_do_not_go_back_within_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let future = record::time(4_000_000_000_000_000_000);
    let mut file = record::head(&future, Stream::Stdout, true).to_vec();
    file.extend_from_slice(b"from the future\n");
    fs::write(dir.path().join("log"), &file).unwrap();
    let options = Options {
        max_size: 200,
        max_files: 3,
    };
    let mut writer = Writer::open(dir.path(), options).unwrap();
    for _ in 0..3 {
        writer.write(Stream::Stderr, b"now\n").unwrap();
    }
    let times = |name: &str| -> Vec<Vec<u8>> {
        let file = fs::read(dir.path().join(name)).unwrap();
        let lines = file.split_inclusive(|byte| *byte == b'\n');
        lines.map(|line| line[..30].to_vec()).collect()
    };
    assert_eq!(times("log"), vec![future.to_vec(); 4]);
    // The next file has the right time again.
    writer.write(Stream::Stderr, b"now\n").unwrap();
    assert_eq!(times("log.1"), vec![future.to_vec(); 4]);
    assert!(times("log").iter().all(|time| time[..] < future[..]));
}

#[test]
fn all_records_of_one_write_have_one_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
    writer
        .write(Stream::Stdout, &b"x\n".repeat(100_000))
        .unwrap();
    let file = fs::read(dir.path().join("log")).unwrap();
    let mut lines = file.split_inclusive(|byte| *byte == b'\n');
    assert!(lines.all(|line| line[..30] == file[..30]));
}

#[test]
fn senseless_options_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let open = |max_size, max_files| {
        let options = Options {
            max_size,
            max_files,
        };
        Writer::open(dir.path(), options).map(drop)
    };
    assert!(matches!(open(0, 3), Err(Error::MaxSize)));
    assert!(matches!(open(1, 0), Err(Error::MaxFiles(0))));
    assert!(matches!(open(1, 501), Err(Error::MaxFiles(501))));
    assert_eq!(open(0, 3).unwrap_err().code(), Code::INVALID_CONFIG);
    open(1, 500).unwrap();
    let missing = dir.path().join("missing");
    let missing = Writer::open(&missing, Options::default()).unwrap_err();
    assert!(matches!(missing, Error::Open { .. }), "{missing}");
}

#[test]
fn a_writer_can_move_to_another_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<Writer>();
    assert_send::<Reader>();
    assert_send::<super::super::Follow>();
}
