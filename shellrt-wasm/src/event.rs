//! What happened: JSON lines in the state directory, for `events`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use shellrt_api::v0::events::{Event, Kind};

use crate::store::Store;

/// How large the file of events may become before the one before it is given up, in bytes: some
/// ten thousand events.
const MAX_SIZE: u64 = 1 << 20;

/// Records an event. A full disk must not keep a module from ending, so a failure is only logged.
pub fn record(store: &Store, name: &str, event: Kind, exit_code: Option<i64>) {
    let event = Event {
        time: now(),
        name: name.to_owned(),
        event,
        exit_code,
    };
    if let Err(error) = append(store, &event) {
        log::warn!("can't record an event of {name:?}: {error}");
    }
}

/// The time, in nanoseconds since the epoch.
pub fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The files of events, oldest first.
pub fn files(store: &Store) -> [PathBuf; 2] {
    [store.old_events(), store.events()]
}

fn append(store: &Store, event: &Event) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    let path = store.events();
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)?;
    // One write: lines of several processes don't mix.
    file.write_all(&line)?;
    if file.metadata()?.len() > MAX_SIZE {
        // Two processes may both come here; the second one moves a nearly empty file, and that loses
        // old events only.
        fs::rename(&path, store.old_events())?;
    }
    Ok(())
}
