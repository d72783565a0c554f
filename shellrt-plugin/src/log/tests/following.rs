//! Following while it is written.

use super::super::{Follow, Options, Writer};
use super::*;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const NOTHING_NEW: Query = Query {
    tail: Some(0),
    since: None,
    until: None,
    timestamps: false,
    streams: BOTH,
};

pub(super) fn never() -> io::Result<bool> {
    Ok(false)
}

/// A condition, and the switch that makes it true.
pub(super) fn switch() -> (Arc<AtomicBool>, impl FnMut() -> io::Result<bool> + Send) {
    let switch = Arc::new(AtomicBool::new(false));
    let condition = switch.clone();
    (switch, move || Ok(condition.load(Ordering::SeqCst)))
}

pub(super) fn read_all(mut follow: Follow) -> Vec<u8> {
    let mut bytes = Vec::new();
    follow.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Runs `act`, which must be done long before a test would be killed.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    act: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(act()));
    result.recv_timeout(limit).expect("it takes too long")
}

#[test]
fn everything_comes_once_and_in_order() {
    for seed in 0..6 {
        let mut numbers = Numbers::new(seed);
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            max_size: [300, 20_000, 10 << 20][seed as usize % 3],
            max_files: 500,
        };
        let mut writer = Writer::open(dir.path(), options).unwrap();
        writer.write(Stream::Stdout, b"first\n").unwrap();
        let (ended, condition) = switch();
        let follow = Follow::open(dir.path(), Query::default(), condition).unwrap();
        let reading = thread::spawn(move || read_all(follow));
        let mut expected = b"first\n".to_vec();
        // Not more records than files, so that nothing is deleted.
        let mut left = 450;
        while left > 0 {
            let (stream, mut bytes) = (numbers.stream(), numbers.bytes());
            bytes.truncate(5000);
            let newlines = bytes.iter().filter(|byte| **byte == b'\n').count();
            if newlines > 20 {
                continue;
            }
            left -= (newlines as i32 + 1).min(left);
            writer.write(stream, &bytes).unwrap();
            expected.extend_from_slice(&bytes);
            if numbers.chance(5) {
                drop(writer);
                writer = Writer::open(dir.path(), options).unwrap();
            }
            if numbers.chance(5) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        ended.store(true, Ordering::SeqCst);
        let bytes = within(Duration::from_secs(60), || reading.join().unwrap());
        assert_same(&bytes, &expected, &format!("seed {seed}"));
    }
}

/// The writer rotates after every record or two and keeps few files. What the follower was too slow
/// for is missing; nothing comes twice, out of order or in part.
#[test]
fn fast_rotation_repeats_nothing() {
    for max_files in [1, 2, 5] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            max_size: 120,
            max_files,
        };
        let mut writer = Writer::open(dir.path(), options).unwrap();
        let (ended, condition) = switch();
        let follow = Follow::open(dir.path(), Query::default(), condition).unwrap();
        let reading = thread::spawn(move || read_all(follow));
        const LINES: u32 = 2000;
        for n in 0..LINES {
            let line = format!("{n:08} {n:08}\n");
            writer.write(Stream::Stdout, line.as_bytes()).unwrap();
        }
        ended.store(true, Ordering::SeqCst);
        let bytes = within(Duration::from_secs(60), || reading.join().unwrap());
        let mut next = 0;
        for line in String::from_utf8(bytes).unwrap().lines() {
            let n: u32 = line[..8].parse().unwrap();
            assert_eq!(line, format!("{n:08} {n:08}"));
            assert!(n >= next, "{n} after {next}");
            next = n + 1;
        }
        assert_eq!(next, LINES);
    }
}

#[test]
fn a_line_is_seen_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
    let mut follow = Follow::open(dir.path(), NOTHING_NEW, never).unwrap();
    let (seen, times) = mpsc::channel();
    thread::spawn(move || {
        let mut byte = [0];
        while follow.read(&mut byte).unwrap() == 1 {
            if seen.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    let mut delays = Vec::new();
    for _ in 0..40 {
        thread::sleep(Duration::from_millis(5));
        let before = Instant::now();
        writer.write(Stream::Stdout, b"x").unwrap();
        delays.push(times.recv_timeout(Duration::from_secs(10)).unwrap() - before);
    }
    // One of them may meet a machine that is busy with something else.
    delays.sort();
    assert!(delays[35] < Duration::from_millis(100), "{delays:?}");
}

#[test]
fn it_begins_where_the_query_says() {
    for (tail, expected) in [
        (0, "ee\nfour\n"),
        (1, "three\nfour\n"),
        (2, "two\nthree\nfour\n"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
        writer.write(Stream::Stdout, b"one\ntwo\nthr").unwrap();
        let (ended, condition) = switch();
        let query = Query {
            tail: Some(tail),
            streams: only(Stream::Stdout),
            ..Query::default()
        };
        let follow = Follow::open(dir.path(), query, condition).unwrap();
        writer.write(Stream::Stderr, b"error\n").unwrap();
        writer.write(Stream::Stdout, b"ee\nfour\n").unwrap();
        ended.store(true, Ordering::SeqCst);
        assert_eq!(read_all(follow), expected.as_bytes());
    }
}

#[test]
fn a_log_may_be_made_later() {
    let dir = tempfile::tempdir().unwrap();
    let (ended, condition) = switch();
    let follow = Follow::open(dir.path(), Query::default(), condition).unwrap();
    let reading = thread::spawn(move || read_all(follow));
    thread::sleep(Duration::from_millis(20));
    let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
    writer.write(Stream::Stdout, b"hello").unwrap();
    ended.store(true, Ordering::SeqCst);
    let bytes = within(Duration::from_secs(10), || reading.join().unwrap());
    assert_eq!(bytes, b"hello");
    let missing = Follow::open(&dir.path().join("missing"), Query::default(), never);
    assert!(missing.is_err());
}

#[test]
fn a_torn_end_may_be_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let record = "2026-01-02T03:04:05.000000006Z stdout F one\n";
    for torn in [record[..43].to_owned(), "\0".repeat(100_000)] {
        fs::write(dir.path().join("log"), format!("{record}{torn}")).unwrap();
        let mut follow = Follow::open(dir.path(), Query::default(), never).unwrap();
        let mut four = [0; 4];
        follow.read_exact(&mut four).unwrap();
        assert_eq!(&four, b"one\n");
        let reading = thread::spawn(move || {
            follow.read_exact(&mut four).unwrap();
            four
        });
        // Time for the follower to see the torn end.
        thread::sleep(Duration::from_millis(30));
        let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
        writer.write(Stream::Stdout, b"two\n").unwrap();
        let bytes = within(Duration::from_secs(10), || reading.join().unwrap());
        assert_eq!(&bytes, b"two\n");
    }
}

#[test]
fn what_is_written_before_the_end_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        max_size: 60,
        max_files: 9,
    };
    let mut writer = Writer::open(dir.path(), options).unwrap();
    let condition = move || {
        // Each line has a file of its own.
        writer
            .write(Stream::Stdout, b"the last\nwords are\nthese")
            .unwrap();
        Ok(true)
    };
    let follow = Follow::open(dir.path(), Query::default(), condition).unwrap();
    assert_eq!(read_all(follow), b"the last\nwords are\nthese");
}

#[test]
fn since_may_be_to_come() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
    writer.write(Stream::Stdout, b"old\n").unwrap();
    let since = SystemTime::now() + Duration::from_millis(300);
    let query = Query {
        since: Some(since.duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64),
        ..Query::default()
    };
    let (ended, condition) = switch();
    let follow = Follow::open(dir.path(), query, condition).unwrap();
    writer.write(Stream::Stdout, b"early\n").unwrap();
    thread::sleep(Duration::from_millis(400));
    writer.write(Stream::Stdout, b"late\n").unwrap();
    ended.store(true, Ordering::SeqCst);
    assert_eq!(read_all(follow), b"late\n");
}

#[test]
fn a_file_that_somebody_emptied_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
    writer.write(Stream::Stdout, b"one\n").unwrap();
    let mut follow = Follow::open(dir.path(), Query::default(), never).unwrap();
    let mut line = [0; 4];
    follow.read_exact(&mut line).unwrap();
    let reading = thread::spawn(move || {
        follow.read_exact(&mut line).unwrap();
        line
    });
    fs::File::options()
        .write(true)
        .open(dir.path().join("log"))
        .unwrap()
        .set_len(0)
        .unwrap();
    thread::sleep(Duration::from_millis(50));
    writer.write(Stream::Stdout, b"two\n").unwrap();
    let bytes = within(Duration::from_secs(10), || reading.join().unwrap());
    assert_eq!(&bytes, b"two\n");
}
