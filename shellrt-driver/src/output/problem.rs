//! Failures for people: what is wrong, why, and what to do.

use serde_json::Value;
use shellrt_api::v0::{self, client, Code};

use super::visible;
use crate::failure::Failure;

/// How many lines of a plugin's stderr are shown.
const STDERR_LINES: usize = 10;

/// How many characters of an answer that is none are shown.
const ANSWER_LENGTH: usize = 200;

/// `failure` in lines, without a line end at the end. `plugin` is what the user typed.
pub fn text(failure: &Failure, plugin: &str) -> String {
    match failure {
        Failure::Usage(message) => format!("error: {message}"),
        Failure::Refused { error, .. } => refused(error, plugin),
        Failure::Client(error) => no_answer(error, plugin),
        Failure::Output(error) => format!("error: the answer can't be written: {error}"),
    }
}

fn refused(error: &v0::Error, plugin: &str) -> String {
    let message = visible(&error.message).replace("<plugin>", plugin);
    let mut lines = vec![format!("error: {message}")];
    lines.extend(
        error
            .caused_by()
            .map(|cause| format!("  caused by: {}", visible(cause))),
    );
    for (key, value) in &error.detail {
        let value = match (key.as_str(), value) {
            // They are in the lines before and after this one.
            ("caused_by" | "kind" | "retryable" | "retry_after_ms", _) => continue,
            (_, Value::String(text)) => visible(text),
            (_, other) => other.to_string(),
        };
        lines.push(format!("  {}: {value}", visible(key)));
    }
    let kind = error.detail.get("kind").and_then(Value::as_str);
    let code = match kind.or_else(|| error.code.kind()) {
        Some(kind) => format!("{} ({})", error.code, visible(kind)),
        None => error.code.to_string(),
    };
    lines.push(format!("  code: {code}"));
    if let Some(hint) = hint(error.code, plugin) {
        lines.push(format!("  hint: {hint}"));
    }
    if error.retryable() {
        let delay = error.detail.get("retry_after_ms").and_then(Value::as_u64);
        let when = match delay {
            Some(delay) => format!("after {} s", delay.div_ceil(1000)),
            None => "later".to_owned(),
        };
        lines.push(format!("  hint: the same request may succeed {when}"));
    }
    lines.join("\n")
}

/// What the driver can do about it; the plugin doesn't know the driver's options.
fn hint(code: Code, plugin: &str) -> Option<String> {
    Some(match code {
        Code::UNSUPPORTED_MESSAGE => {
            format!("\"shellrt-driver {plugin} version\" lists the messages that it serves")
        }
        Code::INVALID_CONFIG => "\"--dry-run\" prints the config that was sent".to_owned(),
        Code::MODULE_NOT_FOUND => format!("\"shellrt-driver {plugin} list\" shows what exists"),
        Code::IMAGE_NOT_FOUND => format!("\"shellrt-driver {plugin} img_list\" shows what is here"),
        Code::REGISTRY_UNAUTHORIZED => {
            "\"img_pull -u USER --password-stdin IMAGE\" sends credentials".to_owned()
        }
        _ => return None,
    })
}

fn no_answer(error: &client::Error, plugin: &str) -> String {
    let mut lines = vec![format!("error: {}", visible(&error.to_string()))];
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        lines.push(format!("  caused by: {}", visible(&cause.to_string())));
        source = cause.source();
    }
    lines.push(format!("  plugin: {}", visible(plugin)));
    if let client::Error::Malformed { answer, .. } = error {
        if !answer.is_empty() {
            let shown: String = answer.chars().take(ANSWER_LENGTH).collect();
            let more = if shown.len() < answer.len() {
                " ..."
            } else {
                ""
            };
            lines.push(format!("  answer: {}{more}", visible(&shown)));
        }
    }
    if let client::Error::NoAnswer { stderr, .. } | client::Error::Malformed { stderr, .. } = error
    {
        let said: Vec<_> = stderr.lines().collect();
        let last = &said[said.len().saturating_sub(STDERR_LINES)..];
        lines.extend(
            last.iter()
                .map(|line| format!("  stderr: {}", visible(line))),
        );
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use shellrt_api::v0::{client, Code, Error};

    use super::text;
    use crate::failure::Failure;

    #[test]
    fn a_refusal_says_what_to_do() {
        let message = "no module \"web\"; \"shellrt-driver <plugin> status\" knows \u{1b}more";
        let error = Error::message(Code::MODULE_NOT_FOUND, message)
            .with("caused_by", vec!["first", "second"])
            .with("path", "/name");
        let failure = Failure::Refused {
            error,
            printed: false,
        };
        assert_eq!(
            text(&failure, "./x"),
            "error: no module \"web\"; \"shellrt-driver ./x status\" knows \\u{1b}more\n  \
             caused by: first\n  \
             caused by: second\n  \
             path: /name\n  \
             code: 5 (module_not_found)\n  \
             hint: \"shellrt-driver ./x list\" shows what exists"
        );
    }

    #[test]
    fn a_code_of_the_plugins_own() {
        let error = Error::message(Code(100), "no").with("retryable", true);
        let failure = Failure::Refused {
            error: error.with("retry_after_ms", 1500),
            printed: false,
        };
        assert_eq!(
            text(&failure, "x"),
            "error: no\n  code: 100\n  hint: the same request may succeed after 2 s"
        );
    }

    #[test]
    fn an_answer_that_is_none() {
        let failure = Failure::Client(client::Error::Malformed {
            reason: "it is odd".to_owned(),
            answer: "x".repeat(300),
            stderr: "one\ntwo\n".to_owned(),
        });
        let expected = format!(
            "error: the plugin's answer is malformed: it is odd\n  plugin: x\n  answer: {} ...\n  \
             stderr: one\n  stderr: two",
            "x".repeat(200)
        );
        assert_eq!(text(&failure, "x"), expected);
    }
}
