//! What is wrong with a config on any machine.

use super::super::super::Error;
use super::Config;

impl Config {
    /// Finds what is wrong with the config on any machine.
    ///
    /// # Errors
    /// [`Code::INVALID_CONFIG`](super::super::super::Code::INVALID_CONFIG); `detail.path` is a JSON
    /// pointer into the request.
    pub fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}
