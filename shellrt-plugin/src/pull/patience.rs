//! When a pull is given up.

use super::LOOK;
use shellrt_api::v0::Code;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

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
            return Err(Error::Timeout);
        }
        Ok(())
    }

    /// Ends when the patience does, with its error: for a `select!` beside what is waited for.
    pub async fn end(&self) -> Error {
        loop {
            if let Err(error) = self.check() {
                return error;
            }
            let left = self
                .deadline
                .map(|deadline| deadline.saturating_duration_since(Instant::now()));
            tokio::time::sleep(left.unwrap_or(LOOK).min(LOOK)).await;
        }
    }
}

/// Why a pull was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Whoever waits for the answer went away.
    #[error("the reader of the answer went away")]
    HungUp,
    /// The request's time is over.
    #[error(
        "the pull took too long; what was fetched is kept, so repeat the request with more time"
    )]
    Timeout,
}

impl Error {
    /// The code for the wire.
    pub fn code(&self) -> Code {
        match self {
            // Nobody is there to read it.
            Error::HungUp => Code::TIMEOUT,
            Error::Timeout => Code::TIMEOUT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn patience_ends_at_the_deadline_or_with_a_clone() {
        let patience = Patience::until(Some(Instant::now()));
        assert_eq!(patience.check(), Err(Error::Timeout));
        let patience = Patience::until(Some(Instant::now() + Duration::from_secs(3600)));
        assert_eq!(patience.check(), Ok(()));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let other = patience.clone();
        let canceller = thread::spawn(move || other.cancel());
        assert_eq!(runtime.block_on(patience.end()), Error::HungUp);
        canceller.join().unwrap();
        assert_eq!(patience.check(), Err(Error::HungUp));
    }
}
