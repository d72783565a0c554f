//! Tail, since, until, timestamps and streams, against a model that is slow and obvious.

use super::super::record;
use super::*;
use std::fs;

#[derive(Debug, Clone)]
struct Record {
    ns: i64,
    stream: Stream,
    ended: bool,
    text: Vec<u8>,
}

impl Record {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = record::head(&record::time(self.ns), self.stream, self.ended).to_vec();
        bytes.extend_from_slice(&self.text);
        bytes.push(b'\n');
        bytes
    }
}

/// What a reader is to give for `query`, from the description of the query alone.
fn model(records: &[Record], query: &Query) -> Vec<u8> {
    let wanted = |record: &&Record| {
        query.streams.contains(record.stream)
            && query.since.is_none_or(|since| record.ns >= since)
            && query.until.is_none_or(|until| record.ns <= until)
    };
    let records: Vec<&Record> = records.iter().filter(wanted).collect();
    // Each line as the places of its records, in the order of their ends.
    let mut lines: Vec<Vec<usize>> = Vec::new();
    let mut open: [Vec<usize>; 2] = Default::default();
    for (place, record) in records.iter().enumerate() {
        let line = &mut open[usize::from(record.stream == Stream::Stderr)];
        line.push(place);
        if record.ended {
            lines.push(std::mem::take(line));
        }
    }
    lines.extend(open.into_iter().filter(|line| !line.is_empty()));
    lines.sort_by_key(|line| line.last().copied());
    let count = query.tail.map_or(lines.len(), |tail| tail as usize);
    let lines = &lines[lines.len().saturating_sub(count)..];

    let mut pieces: Vec<(usize, Vec<u8>)> = Vec::new();
    for line in lines {
        for (number, place) in line.iter().enumerate() {
            let record = records[*place];
            let mut piece = Vec::new();
            if query.timestamps && number == 0 {
                piece.extend_from_slice(&record::time(record.ns));
                piece.push(b' ');
            }
            piece.extend_from_slice(&record.text);
            piece.extend(record.ended.then_some(b'\n'));
            pieces.push((*place, piece));
        }
    }
    pieces.sort();
    pieces.into_iter().flat_map(|(_, piece)| piece).collect()
}

#[test]
fn readers_agree_with_the_model() {
    for seed in 0..60 {
        let mut numbers = Numbers::new(seed);
        let dir = tempfile::tempdir().unwrap();
        let long = if numbers.chance(20) { 3_000 } else { 12 };
        let garbage = if numbers.chance(30) { 20 } else { 0 };
        let files = numbers.below(5);
        let mut records = Vec::new();
        let mut ns = 1_000_000;
        for number in (0..files).rev() {
            let mut file = Vec::new();
            for _ in 0..numbers.below(80) {
                ns += numbers.below(3) as i64;
                let length = numbers.below(long);
                let record = Record {
                    ns,
                    stream: numbers.stream(),
                    ended: numbers.chance(60),
                    text: (0..length)
                        .map(|_| b'a' + numbers.below(26) as u8)
                        .collect(),
                };
                file.extend_from_slice(&record.bytes());
                records.push(record);
                if numbers.chance(garbage) {
                    file.resize(file.len() + numbers.below(70) as usize, 0);
                    file.push(b'\n');
                }
            }
            if numbers.chance(20) {
                file.extend_from_slice(b"2026-01-02T03:04:05.000000006Z stdout F torn");
            }
            let name = if number == 0 {
                "log".to_owned()
            } else {
                format!("log.{number}")
            };
            fs::write(dir.path().join(name), file).unwrap();
        }
        for _ in 0..15 {
            let mut time = |percent| {
                let span = (ns - 1_000_000) as u64 + 20;
                let at = 1_000_000 - 10 + numbers.below(span) as i64;
                numbers.chance(percent).then_some(at)
            };
            let (since, until) = (time(40), time(40));
            let query = Query {
                since,
                until,
                tail: numbers.chance(60).then(|| numbers.below(30) as u32),
                timestamps: numbers.chance(50),
                streams: Streams {
                    stdout: numbers.chance(80),
                    stderr: numbers.chance(80),
                },
            };
            let about = format!("seed {seed}, {query:?}");
            assert_same(&read(dir.path(), query), &model(&records, &query), &about);

            // Following a module that has ended is the same.
            let mut followed = Vec::new();
            let ended = || Ok(true);
            let mut follow = super::super::Follow::open(dir.path(), query, ended).unwrap();
            follow.read_to_end(&mut followed).unwrap();
            assert_same(&followed, &model(&records, &query), &about);
        }
    }
}

#[test]
fn an_interrupted_line_has_one_time() {
    let dir = tempfile::tempdir().unwrap();
    let record = |ns, stream, ended, text: &str| Record {
        ns,
        stream,
        ended,
        text: text.into(),
    };
    let file = [
        record(1, Stream::Stdout, false, "ab"),
        record(2, Stream::Stderr, true, "error"),
        record(3, Stream::Stdout, true, "cd"),
        record(4, Stream::Stderr, false, "more"),
    ];
    let file: Vec<u8> = file.iter().flat_map(Record::bytes).collect();
    fs::write(dir.path().join("log"), file).unwrap();
    let shown = |query: Query| String::from_utf8(read(dir.path(), query)).unwrap();
    let all = Query {
        timestamps: true,
        ..Query::default()
    };
    let at = |ns: u32| format!("1970-01-01T00:00:00.{ns:09}Z");
    assert_eq!(
        shown(all),
        format!("{} ab{} error\ncd\n{} more", at(1), at(2), at(4))
    );
    let tail = |lines| Query {
        tail: Some(lines),
        ..Query::default()
    };
    assert_eq!(shown(tail(0)), "");
    assert_eq!(shown(tail(1)), "more");
    assert_eq!(shown(tail(2)), "abcd\nmore");
    assert_eq!(shown(tail(3)), "aberror\ncd\nmore");
    assert_eq!(shown(tail(u32::MAX)), "aberror\ncd\nmore");
}

#[test]
fn the_bounds_are_inclusive_and_may_be_anything() {
    let dir = tempfile::tempdir().unwrap();
    let file = (10..20).map(|ns| Record {
        ns,
        stream: Stream::Stdout,
        ended: true,
        text: ns.to_string().into(),
    });
    let file: Vec<u8> = file.flat_map(|record| record.bytes()).collect();
    fs::write(dir.path().join("log"), file).unwrap();
    let shown = |since, until| {
        let query = Query {
            since,
            until,
            ..Query::default()
        };
        String::from_utf8(read(dir.path(), query)).unwrap()
    };
    assert_eq!(shown(Some(12), Some(13)), "12\n13\n");
    assert_eq!(shown(Some(19), None), "19\n");
    assert_eq!(shown(None, Some(10)), "10\n");
    assert_eq!(shown(Some(13), Some(12)), "");
    assert_eq!(shown(Some(20), None), "");
    assert_eq!(shown(None, Some(9)), "");
    assert_eq!(shown(None, Some(-1)), "");
    assert_eq!(shown(None, Some(i64::MIN)), "");
    assert_eq!(shown(Some(i64::MAX), None), "");
    assert_eq!(shown(Some(i64::MIN), Some(i64::MAX)).len(), 30);
}

/// How many bytes this thread has read since it was started.
fn bytes_read() -> u64 {
    let io = fs::read_to_string("/proc/thread-self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.unwrap().parse().unwrap()
}

#[test]
fn the_tail_of_ten_gigabytes_is_near() {
    let dir = tempfile::tempdir().unwrap();
    // A hole takes no space, and to a reader it is ten gigabytes like any others.
    let log = fs::File::create(dir.path().join("log")).unwrap();
    const LINES: i64 = 30_000;
    let size = 10 << 30;
    let mut end = b"\n".to_vec();
    for ns in 0..LINES {
        let record = Record {
            ns,
            stream: Stream::Stdout,
            ended: true,
            text: format!("line {ns}").into(),
        };
        end.extend_from_slice(&record.bytes());
    }
    std::os::unix::fs::FileExt::write_all_at(&log, &end, size).unwrap();
    let query = Query {
        tail: Some(10),
        ..Query::default()
    };
    let before = bytes_read();
    let text = String::from_utf8(read(dir.path(), query)).unwrap();
    let expected: String = (LINES - 10..LINES).map(|n| format!("line {n}\n")).collect();
    assert_eq!(text, expected);
    let count = bytes_read() - before;
    assert!(count < 400_000, "{count} bytes were read");

    // One line of the other stream at the end does not make it look for that line's beginning.
    let mut error = record::head(&record::time(LINES), Stream::Stderr, true).to_vec();
    error.extend_from_slice(b"error\n");
    let at = size + end.len() as u64;
    std::os::unix::fs::FileExt::write_all_at(&log, &error, at).unwrap();
    let before = bytes_read();
    let text = String::from_utf8(read(dir.path(), query)).unwrap();
    assert_eq!(
        text,
        expected["line 29990\n".len()..].to_owned() + "error\n"
    );
    let count = bytes_read() - before;
    assert!(count < 2_000_000, "{count} bytes were read");
}

#[test]
fn times_are_searched_for() {
    let dir = tempfile::tempdir().unwrap();
    let fake = "1970-01-01T00:00:00.000000000Z stdout F ".repeat(3);
    for number in ["log.2", "log.1", "log"] {
        let place = ["log.2", "log.1", "log"].iter().position(|n| *n == number);
        let first = place.unwrap() as i64 * 300_000;
        let mut file = Vec::new();
        for ns in first..first + 300_000 {
            let record = Record {
                ns,
                stream: Stream::Stdout,
                ended: true,
                // The text looks like a record, for a search that lands in the middle of it.
                text: format!("{ns} {}", &fake[..fake.len() - ns as usize % 37]).into(),
            };
            file.extend_from_slice(&record.bytes());
        }
        fs::write(dir.path().join(number), file).unwrap();
    }
    let scattered = (1..60).map(|n| n * 14_983);
    for since in [0_i64, 1, 299_999, 300_000, 899_999]
        .into_iter()
        .chain(scattered)
    {
        let query = Query {
            since: Some(since),
            until: Some(since + 1),
            ..Query::default()
        };
        let before = bytes_read();
        let text = String::from_utf8(read(dir.path(), query)).unwrap();
        let count = bytes_read() - before;
        let first: i64 = text.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(first, since);
        assert_eq!(text.lines().count(), if since == 899_999 { 1 } else { 2 });
        // The three files have about 40 MB each.
        assert!(count < 6_000_000, "{count} bytes were read");
    }
}
