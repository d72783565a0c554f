//! A module's output and input as they look on their topics.

use bytes::Bytes;

use super::dialect::{Dialect, Text};
use super::envelope;

/// Output as it is published.
pub fn output(dialect: Dialect, bytes: Bytes) -> Bytes {
    match dialect.words().output {
        Text::Raw | Text::Line => bytes,
        Text::Json => {
            let text = match std::str::from_utf8(&bytes) {
                Ok(text) => text.to_owned(),
                Err(_) => format!("Error decoding {} bytes.", bytes.len()),
            };
            Bytes::from(serde_json::Value::from(text).to_string())
        }
    }
}

/// What is written to the module's stdin for a payload; nothing where it should be JSON text and is not.
pub fn input(dialect: Dialect, payload: Bytes) -> Option<Bytes> {
    match dialect.words().input {
        Text::Raw => Some(payload),
        Text::Json => {
            let text = serde_json::from_str::<String>(&envelope::text(&payload));
            text.ok().map(Bytes::from)
        }
        Text::Line => {
            let mut text = envelope::text(&payload);
            text.push('\n');
            Some(Bytes::from(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const G: [Dialect; 3] = [Dialect::Sideload, Dialect::G2, Dialect::AppLauncher];

    #[test]
    fn output_is_json_text_but_for_the_runtime_manager() {
        for dialect in G {
            // The payload that was seen has the quotation marks.
            assert_eq!(output(dialect, Bytes::from("hello\n")), r#""hello\n""#);
            let bad = Bytes::from_static(b"abc\xff");
            assert_eq!(output(dialect, bad), r#""Error decoding 4 bytes.""#);
        }
        let raw = Bytes::from_static(b"hello\n\xff");
        assert_eq!(output(Dialect::Manager, raw.clone()), raw);
    }

    #[test]
    fn input_is_a_line_or_json_text_or_raw() {
        let payload = Bytes::from_static(br#""a\nb""#);
        assert_eq!(
            input(Dialect::Sideload, payload.clone()),
            Some(Bytes::from("a\nb"))
        );
        assert_eq!(input(Dialect::Sideload, Bytes::from("a")), None);
        for dialect in [Dialect::G2, Dialect::AppLauncher] {
            assert_eq!(
                input(dialect, Bytes::from("a b")),
                Some(Bytes::from("a b\n"))
            );
        }
        assert_eq!(input(Dialect::Manager, payload.clone()), Some(payload));
    }
}
