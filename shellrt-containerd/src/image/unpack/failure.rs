//! Why a layer was not unpacked by us.

use std::borrow::Cow;
use std::io::{self, ErrorKind};

use crate::error::Error;

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The archive is damaged, or has something that is left to containerd. It has the words for it,
    /// and the last say.
    #[error("{0}")]
    Unfit(Cow<'static, str>),
    /// The operating system refuses.
    #[error("can't {doing}: {source}")]
    System {
        doing: &'static str,
        source: io::Error,
    },
}

impl Failure {
    pub(super) fn unfit(reason: impl Into<Cow<'static, str>>) -> Failure {
        Failure::Unfit(reason.into())
    }

    /// For `map_err`: what the operating system says to something tried, as in "make a directory".
    pub(super) fn system<E: Into<io::Error>>(doing: &'static str) -> impl FnOnce(E) -> Failure {
        move |source| Failure::System {
            doing,
            source: source.into(),
        }
    }

    /// What no other way of unpacking would change.
    pub(super) fn is_final(&self) -> bool {
        let is_full = |source: &io::Error| {
            matches!(
                source.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded
            )
        };
        matches!(self, Failure::System { source, .. } if is_full(source))
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::System { doing, source } => Error::System { doing, source },
            other => Error::System {
                doing: "unpack a layer",
                source: io::Error::other(other),
            },
        }
    }
}
