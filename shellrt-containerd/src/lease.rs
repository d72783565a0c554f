//! Leases of ours: what is made or touched under one is safe from the garbage collection.

use std::collections::BTreeMap;
use std::time::Duration;

use containerd_client::services::v1 as api;
use shellrt_plugin::event;

use crate::containerd::{ask, known, Containerd};
use crate::error::Error;

/// The label by which our leases are found.
pub const LABEL: &str = "shellrt.lease";

/// The label that says when containerd forgets a lease, as RFC 3339 has it.
pub const EXPIRE: &str = "containerd.io/gc.expire";

/// Makes the lease `id` for `time`, with more labels; false where there is one.
///
/// # Errors
/// [`Error::Runtime`].
pub async fn make(
    containerd: &Containerd,
    id: &str,
    time: Duration,
    more: BTreeMap<String, String>,
) -> Result<bool, Error> {
    let own = [
        (EXPIRE.to_owned(), date(event::now() + nanos(time))),
        (LABEL.to_owned(), "true".to_owned()),
    ];
    let request = api::CreateRequest {
        id: id.to_owned(),
        labels: own.into_iter().chain(more).collect(),
    };
    match ask("make a lease", containerd.leases().create(request)).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_already_exists() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Deletes the lease `id`, if there is one; with `sync` the garbage collection has run when it returns.
///
/// # Errors
/// [`Error::Runtime`].
pub async fn delete(containerd: &Containerd, id: &str, sync: bool) -> Result<(), Error> {
    let request = api::DeleteRequest {
        id: id.to_owned(),
        sync,
    };
    known(ask("delete a lease", containerd.leases().delete(request)).await).map(drop)
}

/// As [`make`], for whoever waits; where there is one, that is used.
///
/// # Errors
/// [`Error::Runtime`], [`Error::Timeout`].
pub fn hold(containerd: &Containerd, id: &str, time: Duration) -> Result<(), Error> {
    let made = make(containerd, id, time, BTreeMap::new());
    containerd.run("make a lease", made).map(drop)
}

/// As [`delete`], for whoever waits.
///
/// # Errors
/// [`Error::Runtime`], [`Error::Timeout`].
pub fn release(containerd: &Containerd, id: &str) -> Result<(), Error> {
    containerd.run("delete a lease", delete(containerd, id, false))
}

/// A time as RFC 3339 has it, in whole seconds.
pub fn date(ns: i64) -> String {
    let seconds = ns / 1_000_000_000;
    prost_types::Timestamp { seconds, nanos: 0 }.to_string()
}

/// A duration in nanoseconds.
pub fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
