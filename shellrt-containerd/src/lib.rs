//! The shellrt plugin that runs modules as containers, over containerd's own API: the table of its
//! messages.

mod containerd;
mod error;
mod image;
mod spec;
mod store;

use std::cell::{OnceCell, RefCell};
use std::io::Read;
use std::time::Instant;

use crate::containerd::{Containerd, Place};
pub use crate::error::Error;
use crate::store::Store;

/// What a handler needs beside its request.
pub struct Context {
    /// The state directory.
    pub store: Store,
    /// Where containerd is.
    pub place: Place,
    /// When the request must have been answered.
    pub deadline: Option<Instant>,
    /// What follows the request on stdin; `attach` takes it.
    pub input: RefCell<Option<Box<dyn Read + Send>>>,
    connection: OnceCell<Containerd>,
}

impl Context {
    /// The connection to containerd, made when it is first asked for: a request that is wrong is
    /// refused without.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub fn containerd(&self) -> Result<&Containerd, Error> {
        if let Some(containerd) = self.connection.get() {
            return Ok(containerd);
        }
        let containerd = Containerd::connect(self.place.clone(), self.deadline)?;
        Ok(self.connection.get_or_init(|| containerd))
    }
}
