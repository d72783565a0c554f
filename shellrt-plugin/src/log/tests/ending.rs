//! How following ends.

use super::super::{Follow, Options, Writer};
use super::following::{never, read_all, switch, within};
use super::*;
use crate::hangup::Hangup;
use crate::lock::Lock;
use std::fs;
use std::io;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long it takes after `end` until an idle follower ends.
fn time_to_end(follow: Follow, end: impl FnOnce()) -> Duration {
    let reading = thread::spawn(move || {
        read_all(follow);
        Instant::now()
    });
    thread::sleep(Duration::from_millis(50));
    assert!(!reading.is_finished());
    let before = Instant::now();
    end();
    within(Duration::from_secs(10), || reading.join().unwrap()) - before
}

#[test]
fn a_released_lock_ends_it_soon() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    for lock_dir in [&dir, &elsewhere] {
        let path = lock_dir.path().join("lock");
        let lock = Lock::exclusive(&path, None).unwrap();
        let condition = {
            let path = path.clone();
            move || Ok(!Lock::is_held(&path).unwrap())
        };
        let follow = Follow::open(dir.path(), Query::default(), condition).unwrap();
        let follow = follow.wake_on(lock_dir.path());
        let follow = follow.wake_on(&lock_dir.path().join("missing"));
        let took = time_to_end(follow, || drop(lock));
        assert!(took < Duration::from_millis(500), "{took:?}");
    }
}

#[test]
fn a_renamed_file_ends_it_soon() {
    let dir = tempfile::tempdir().unwrap();
    let (temporary, end) = (dir.path().join("temporary"), dir.path().join("end.json"));
    let condition = {
        let end = end.clone();
        move || Ok(end.exists())
    };
    let follow = Follow::open(dir.path(), Query::default(), condition).unwrap();
    fs::write(&temporary, "{}").unwrap();
    let took = time_to_end(follow, || fs::rename(&temporary, &end).unwrap());
    assert!(took < Duration::from_millis(500), "{took:?}");
}

/// The kernel tells of some changes before they are complete.
#[test]
fn a_change_is_looked_at_again_soon() {
    let dir = tempfile::tempdir().unwrap();
    let change = dir.path().join("change");
    let mut seen = None;
    let condition = {
        let change = change.clone();
        move || {
            if change.exists() {
                seen.get_or_insert_with(Instant::now);
            }
            Ok(seen.is_some_and(|seen: Instant| seen.elapsed() > Duration::from_millis(20)))
        }
    };
    let follow = Follow::open(dir.path(), Query::default(), condition).unwrap();
    let took = time_to_end(follow, || fs::write(&change, "").unwrap());
    assert!(took < Duration::from_millis(500), "{took:?}");
}

#[test]
fn a_condition_that_nothing_tells_about_ends_it_in_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let (ended, condition) = switch();
    let follow = Follow::open(dir.path(), Query::default(), condition).unwrap();
    let took = time_to_end(follow, || ended.store(true, Ordering::SeqCst));
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_deleted_directory_ends_it_soon() {
    let dir = tempfile::tempdir().unwrap();
    let module = dir.path().join("module");
    fs::create_dir(&module).unwrap();
    let mut writer = Writer::open(&module, Options::default()).unwrap();
    writer.write(Stream::Stdout, b"last words\n").unwrap();
    let follow = Follow::open(&module, Query::default(), never).unwrap();
    let took = time_to_end(follow, || fs::remove_dir_all(&module).unwrap());
    assert!(took < Duration::from_millis(500), "{took:?}");

    // Another directory of the same name is another module's.
    fs::create_dir(&module).unwrap();
    let follow = Follow::open(&module, Query::default(), never).unwrap();
    let took = time_to_end(follow, || {
        fs::remove_dir_all(&module).unwrap();
        fs::create_dir(&module).unwrap();
    });
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_reader_that_goes_away_ends_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    drop(Writer::open(dir.path(), Options::default()).unwrap());
    let (reader, output) = io::pipe().unwrap();
    let follow = Follow::open(dir.path(), Query::default(), never).unwrap();
    let follow = follow.until_hangup(Hangup::of(output.into()));
    let took = time_to_end(follow, || drop(reader));
    assert!(took < Duration::from_millis(500), "{took:?}");
}

#[test]
fn a_deadline_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
    let deadline = Instant::now() + Duration::from_millis(200);
    let follow = Follow::open(dir.path(), Query::default(), never).unwrap();
    let follow = follow.until_deadline(deadline);
    let reading = thread::spawn(move || (read_all(follow), Instant::now()));
    // A module that never stops writing does not put it off.
    while !reading.is_finished() && Instant::now() < deadline + Duration::from_secs(5) {
        writer.write(Stream::Stdout, b"more\n").unwrap();
    }
    let (bytes, end) = within(Duration::from_secs(10), || reading.join().unwrap());
    assert!(!bytes.is_empty() && end >= deadline);
    assert!(end < deadline + Duration::from_secs(1));
}

#[test]
fn until_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
    writer.write(Stream::Stdout, b"before\n").unwrap();
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_nanos() as i64
    };
    let until = |until| Query {
        until: Some(until),
        ..Query::default()
    };
    let past = Follow::open(dir.path(), until(now()), never).unwrap();
    assert_eq!(read_all(past), b"before\n");
    let past = Follow::open(dir.path(), until(-1), never).unwrap();
    assert_eq!(read_all(past), b"");

    // Nothing is written when it comes.
    let soon = now() + 200_000_000;
    let follow = Follow::open(dir.path(), until(soon), never).unwrap();
    writer.write(Stream::Stdout, b"within\n").unwrap();
    let bytes = within(Duration::from_secs(10), || read_all(follow));
    assert!(now() >= soon);
    assert_eq!(bytes, b"before\nwithin\n");

    // Something is.
    let soon = now() + 200_000_000;
    let mut follow = Follow::open(dir.path(), until(soon), never).unwrap();
    thread::sleep(Duration::from_millis(250));
    writer.write(Stream::Stdout, b"after\n").unwrap();
    let mut bytes = Vec::new();
    follow.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"before\nwithin\n");
}

#[test]
fn an_error_of_the_condition_is_an_error_of_the_read() {
    let dir = tempfile::tempdir().unwrap();
    let condition = || Err(io::Error::other("the state can't be read"));
    let mut follow = Follow::open(dir.path(), Query::default(), condition).unwrap();
    let error = follow.read(&mut [0]).unwrap_err();
    assert_eq!(error.to_string(), "the state can't be read");
}
