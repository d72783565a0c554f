//! An error with its causes, on one line, for logs and for orchestrators.

use std::error::Error;

/// `error`, and behind colons its causes, outermost first.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// `text`, and behind colons `cause` and its own causes, but for those that stand at the end already: some
/// errors have their cause in their own words too.
pub fn chain_new(mut text: String, mut cause: Option<&dyn Error>) -> String {
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}
