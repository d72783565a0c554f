//! When a pull is given up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;

/// How long a pull may go on: until its deadline, and as long as somebody wants it. Clones share the
/// latter.
#[derive(Debug, Clone, Default)]
pub struct Patience {
    /// When the answer must be there.
    pub deadline: Option<Instant>,
    cancelled: Arc<AtomicBool>,
}

impl Patience {
    /// Patience until `deadline`; `None` waits without end.
    pub fn until(deadline: Option<Instant>) -> Patience {
        Patience {
            deadline,
            cancelled: Arc::default(),
        }
    }

    /// Nobody wants the image any more.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// # Errors
    /// [`Error::Timeout`] after the deadline, [`Error::HungUp`] when it was cancelled.
    pub fn check(&self) -> Result<(), Error> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Error::HungUp);
        }
        if self
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            let message =
                "the pull took too long; what was fetched is kept, so repeat the request \
                           with more time";
            return Err(Error::Timeout(message.to_owned()));
        }
        Ok(())
    }

    /// Ends when the patience does, with its error.
    pub(super) async fn end(&self) -> Error {
        loop {
            if let Err(error) = self.check() {
                return error;
            }
            let left = self
                .deadline
                .map(|deadline| deadline.saturating_duration_since(Instant::now()));
            tokio::time::sleep(left.unwrap_or(POLL).min(POLL)).await;
        }
    }
}

/// How long it takes until a pull that nobody wants notices it.
const POLL: Duration = Duration::from_millis(50);
