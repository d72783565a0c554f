//! The names of modules.

use shellrt_api::v0::Code;
use std::fmt;
use std::path::Path;

/// Checks a module's name: letters and digits, with a single `.`, `_` or `-` between them, at most
/// [`ModuleName::LONGEST`] characters.
///
/// # Errors
/// Says which of these the name breaks.
pub fn check(name: &str) -> Result<ModuleName, Error> {
    let shown = || name.chars().take(ModuleName::LONGEST).collect::<String>();
    if name.is_empty() {
        return Err(Error::Empty);
    }
    if let Some(character) = name.chars().find(|c| !is_allowed(*c)) {
        return Err(Error::Character {
            name: shown(),
            character,
        });
    }
    // Only ASCII is left, so bytes are characters.
    if name.len() > ModuleName::LONGEST {
        return Err(Error::TooLong {
            name: shown(),
            length: name.len(),
        });
    }
    let bytes = name.as_bytes();
    let apart = |pair: &[u8]| pair.iter().any(u8::is_ascii_alphanumeric);
    let ends = [bytes.first(), bytes.last()];
    let framed = ends.iter().flatten().all(|b| b.is_ascii_alphanumeric());
    if !framed || !bytes.windows(2).all(apart) {
        return Err(Error::Separator { name: shown() });
    }
    Ok(ModuleName(name.to_owned()))
}

/// A name that [`check`] let pass. It is a single component of a path, never `.` or `..`, and means
/// nothing to a shell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleName(String);

impl ModuleName {
    /// The most characters that a name may have.
    pub const LONGEST: usize = 76;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for ModuleName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<Path> for ModuleName {
    fn as_ref(&self) -> &Path {
        self.0.as_ref()
    }
}

impl From<ModuleName> for String {
    fn from(name: ModuleName) -> String {
        name.0
    }
}

/// Why a text can't be a module's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It has no characters.
    #[error("a module needs a name, and this one is empty")]
    Empty,
    /// It has more than [`ModuleName::LONGEST`] characters.
    #[error("the module name \"{name}...\" has {length} characters; at most {most} are allowed", most = ModuleName::LONGEST)]
    TooLong {
        /// Its beginning.
        name: String,
        /// How many characters it has.
        length: usize,
    },
    /// It has a character that no name may have.
    #[error("a module name can't contain {character:?}, as {name:?} does; letters, digits, \".\", \"_\" and \"-\" are allowed")]
    Character {
        /// Its beginning.
        name: String,
        /// The first such character.
        character: char,
    },
    /// It begins or ends with a separator, or has two in a row.
    #[error("the module name \"{name}\" must begin and end with a letter or digit, and have one between any two of \".\", \"_\" and \"-\"")]
    Separator {
        /// The name.
        name: String,
    },
}

impl Error {
    /// The code for the wire: always [`Code::INVALID_REQUEST`].
    pub fn code(&self) -> Code {
        match self {
            Error::Empty
            | Error::TooLong { .. }
            | Error::Character { .. }
            | Error::Separator { .. } => Code::INVALID_REQUEST,
        }
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_pass() {
        let longest = "a".repeat(76);
        for name in ["a", "9", "web", "Web-1", "a.b_c-d", "0.0", &longest] {
            assert_eq!(check(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn bad_names_are_refused_with_the_reason() {
        assert_eq!(check(""), Err(Error::Empty));
        for name in [
            ".", "..", "-a", "a-", ".a", "a.", "_", "a--b", "a._b", "a..b",
        ] {
            let expected = Error::Separator { name: name.into() };
            assert_eq!(check(name), Err(expected));
        }
        for (name, character) in [
            ("a/b", '/'),
            ("../a", '/'),
            ("a b", ' '),
            ("a\n", '\n'),
            ("a\0", '\0'),
            ("käse", 'ä'),
            ("$(a)", '$'),
        ] {
            let expected = Error::Character {
                name: name.into(),
                character,
            };
            assert_eq!(check(name), Err(expected));
        }
        let long = "a".repeat(77);
        assert!(matches!(
            check(&long),
            Err(Error::TooLong { length: 77, .. })
        ));
        assert_eq!(check(&long).unwrap_err().code(), Code::INVALID_REQUEST);
    }

    #[test]
    fn messages_are_one_line_and_bounded() {
        let hostile = "\u{1b}[2J\n".repeat(10_000);
        let message = check(&hostile).unwrap_err().to_string();
        assert!(!message.contains(char::is_control), "{message}");
        assert!(message.len() < 1000, "{message}");
    }

    /// Every name of up to five characters over a small alphabet, against the grammar spelled out
    /// as a state machine.
    #[test]
    fn agrees_with_the_grammar() {
        fn grammar(name: &[u8]) -> bool {
            let mut after_word = false;
            for byte in name {
                match byte {
                    b'a' | b'Z' | b'0' => after_word = true,
                    b'.' | b'_' | b'-' if after_word => after_word = false,
                    _ => return false,
                }
            }
            after_word
        }
        let alphabet = b"aZ0._-/ ";
        for length in 0..=5 {
            for mut number in 0..alphabet.len().pow(length) {
                let mut name = Vec::new();
                for _ in 0..length {
                    name.push(alphabet[number % alphabet.len()]);
                    number /= alphabet.len();
                }
                let text = String::from_utf8(name.clone()).unwrap();
                assert_eq!(check(&text).is_ok(), grammar(&name), "{text:?}");
            }
        }
    }
}
