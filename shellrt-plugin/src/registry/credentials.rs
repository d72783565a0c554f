//! Credentials: where they come from.

use std::collections::BTreeMap;

use shellrt_api::v0::Secret;

use super::Error;

/// The `credentials` of a request.
#[derive(Debug, Clone, Default)]
pub(super) enum Given {
    /// None: the machine's own sources are asked.
    #[default]
    Nothing,
    /// A user and a password.
    Password { username: String, password: Secret },
    /// A bearer token, sent as it is.
    Token(Secret),
}

impl Given {
    /// Reads the map of a request.
    pub(super) fn from_request(map: &BTreeMap<String, Secret>) -> Result<Given, Error> {
        let _ = map;
        Ok(Given::Nothing)
    }
}
