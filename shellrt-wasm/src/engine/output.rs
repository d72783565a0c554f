//! Where a program's output goes.

use std::io;

use shellrt_api::v0::logs::Stream;

/// Takes what a program writes, in its order, from the thread that runs the program: the program
/// waits meanwhile, so a slow output slows it and nothing is lost.
pub trait Output: Send + Sync {
    /// Takes all of `bytes` (never empty).
    ///
    /// # Errors
    /// The program hears an error of the same kind from its own write, like a full disk, and goes on.
    fn write(&self, stream: Stream, bytes: &[u8]) -> io::Result<()>;
}
