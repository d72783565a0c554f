//! Leases of ours: what is made or touched under one is safe from the garbage collection.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use containerd_client::services::v1 as api;

use crate::containerd::Containerd;
use crate::error::Error;

/// The label by which our leases are found.
pub const LABEL: &str = "shellrt.lease";

/// The label that says when containerd forgets a lease, as RFC 3339 has it.
const EXPIRE_LABEL: &str = "containerd.io/gc.expire";

/// Makes the lease `id` for `time`; where there is one, that is used.
///
/// # Errors
/// [`Error::Runtime`].
pub fn hold(containerd: &Containerd, id: &str, time: Duration) -> Result<(), Error> {
    let expires = prost_types::Timestamp::from(SystemTime::now() + time);
    let labels = [
        (EXPIRE_LABEL.to_owned(), expires.to_string()),
        (LABEL.to_owned(), "true".to_owned()),
    ];
    let request = api::CreateRequest {
        id: id.to_owned(),
        labels: HashMap::from(labels),
    };
    match containerd.call("make a lease", containerd.leases().create(request)) {
        Ok(_) => Ok(()),
        Err(error) if error.is_already_exists() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Deletes the lease `id`; with `sync` the garbage collection has run when it returns.
///
/// # Errors
/// [`Error::Runtime`].
pub fn release(containerd: &Containerd, id: &str, sync: bool) -> Result<(), Error> {
    let request = api::DeleteRequest {
        id: id.to_owned(),
        sync,
    };
    match containerd.call("delete a lease", containerd.leases().delete(request)) {
        Ok(()) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}
