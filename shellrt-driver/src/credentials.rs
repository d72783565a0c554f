//! Who the registry is asked as, and the secrets that must never be seen.

use std::collections::BTreeMap;
use std::io::{self, Read};

use shellrt_api::v0::Secret;

use crate::args::Credentials;
use crate::failure::Failure;

/// The `credentials` of an `img_pull`; `first` stood before the message, `second` after it.
///
/// A user without a password is sent as it is: that is up to the registry, and old programs did it.
///
/// # Errors
/// Credentials that don't fit together, or nothing on stdin where a secret should be.
pub fn collect(
    first: &Credentials,
    second: &Credentials,
) -> Result<BTreeMap<String, Secret>, Failure> {
    let Credentials {
        username,
        password,
        password_stdin,
        token_stdin,
    } = match (first.is_empty(), second.is_empty()) {
        (_, true) => first,
        (true, false) => second,
        (false, false) => {
            return Err(Failure::usage(
                "credentials stand before the message or after it, not in both places",
            ))
        }
    };
    let mut credentials = BTreeMap::new();
    if *token_stdin {
        credentials.insert("token".to_owned(), from_stdin("token")?);
    }
    let password = if *password_stdin {
        Some(from_stdin("password")?)
    } else {
        password.clone()
    };
    if let Some(password) = password {
        if username.is_none() {
            return Err(Failure::usage("a password needs a user; add \"-u USER\""));
        }
        credentials.insert("password".to_owned(), password);
    }
    if let Some(username) = username {
        credentials.insert("username".to_owned(), Secret::new(username));
    }
    Ok(credentials)
}

/// Reads a secret up to the end of file; one line end at its end does not belong to it.
fn from_stdin(what: &str) -> Result<Secret, Failure> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage(format!("the {what} on stdin can't be read: {error}")))?;
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err(Failure::usage(format!("there is no {what} on stdin")));
    }
    Ok(Secret::new(secret))
}
