//! A command as a list of words, or as one string that is split into words as a shell does.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::Deserializer;

use super::text::ParseError;

/// The words of a command line, by the quoting rules of the POSIX shell (chapter 2.2) and without
/// any expansion: `$HOME`, `*` and `~` are themselves.
///
/// # Errors
/// A quote that is not closed, or a backslash at the end.
pub(super) fn split(line: &str) -> Result<Vec<String>, ParseError> {
    let mut words = Vec::new();
    // `None` between words; a word may be empty, as in `''`.
    let mut word: Option<String> = None;
    let mut rest = line.chars();
    while let Some(letter) = rest.next() {
        match letter {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => single_quoted(&mut rest, word.get_or_insert_with(String::new))?,
            '"' => double_quoted(&mut rest, word.get_or_insert_with(String::new))?,
            '\\' => match rest.next() {
                // A backslash before a line end continues the line.
                Some('\n') => {}
                Some(letter) => word.get_or_insert_with(String::new).push(letter),
                None => return Err(unbalanced("there is nothing after the last backslash")),
            },
            _ => word.get_or_insert_with(String::new).push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

fn single_quoted(rest: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), ParseError> {
    for letter in rest {
        if letter == '\'' {
            return Ok(());
        }
        word.push(letter);
    }
    Err(unbalanced("a single quote is not closed"))
}

fn double_quoted(rest: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), ParseError> {
    while let Some(letter) = rest.next() {
        match letter {
            '"' => return Ok(()),
            '\\' => match rest.next() {
                Some('\n') => {}
                Some(letter @ ('$' | '`' | '"' | '\\')) => word.push(letter),
                // Elsewhere the backslash is itself.
                Some(letter) => word.extend(['\\', letter]),
                None => break,
            },
            _ => word.push(letter),
        }
    }
    Err(unbalanced("a double quote is not closed"))
}

fn unbalanced(reason: &str) -> ParseError {
    ParseError::new(format!(
        "{reason}; write the command as a list of words instead"
    ))
}

/// A list of words, a string that is split, or null for nothing said.
pub(in super::super) fn deserialize<'de, D>(input: D) -> Result<Option<Vec<String>>, D::Error>
where
    D: Deserializer<'de>,
{
    struct Words;
    impl<'de> Visitor<'de> for Words {
        type Value = Option<Vec<String>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of words, or a string that a shell would split into words")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_str<E: de::Error>(self, line: &str) -> Result<Self::Value, E> {
            split(line).map(Some).map_err(E::custom)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut input: A) -> Result<Self::Value, A::Error> {
            let mut words = Vec::new();
            while let Some(word) = input.next_element()? {
                words.push(word);
            }
            Ok(Some(words))
        }
    }
    input.deserialize_any(Words)
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::split;

    /// Written by hand from chapter 2.2 of the Shell Command Language.
    #[test]
    fn as_a_shell_splits() {
        for (line, words) in [
            ("", &[] as &[&str]),
            (" \t\n", &[]),
            (
                "bundle exec thin -p 3000",
                &["bundle", "exec", "thin", "-p", "3000"],
            ),
            (
                "/bin/sh -c 'echo \"hello $HOSTNAME\"'",
                &["/bin/sh", "-c", "echo \"hello $HOSTNAME\""],
            ),
            ("''", &[""]),
            ("a'' \"\"b", &["a", "b"]),
            (r"'a\b'", &[r"a\b"]),
            (r#""a\b\$\`\"\\""#, &[r#"a\b$`"\"#]),
            (r"a\ b\'c", &["a b'c"]),
            ("a\\\nb \"c\\\nd\"", &["ab", "cd"]),
            ("a'b c'd", &["ab cd"]),
            (
                "~ * $A # b; c | d",
                &["~", "*", "$A", "#", "b;", "c", "|", "d"],
            ),
            ("grüße 'ä ö'", &["grüße", "ä ö"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line:?}");
        }
        for line in ["'", "a 'b", "\"", "\"a\\\"", "a\\", "\"a\\"] {
            assert!(split(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn null_is_not_empty() {
        let command = |json: &str| {
            let config = format!("{{\"image\":\"a\",\"command\":{json}}}");
            serde_json::from_str::<Config>(&config).unwrap().command
        };
        assert_eq!(command("null"), None);
        assert_eq!(command("[]"), Some(Vec::new()));
        assert_eq!(command("\"\""), Some(Vec::new()));
        assert_eq!(
            command("\"a b\""),
            Some(vec!["a".to_owned(), "b".to_owned()])
        );
    }
}
