//! Everything that is printed: answers to stdout, everything else to stderr.

pub mod problem;
pub mod quantity;
pub mod table;
pub mod text;
pub mod time;

use std::io::{self, IsTerminal, Write};

use crate::failure::Failure;

/// Writes to stdout, at once.
///
/// # Errors
/// [`Failure::Output`].
pub fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(Failure::Output)
}

/// Writes a line to stdout, at once.
///
/// # Errors
/// [`Failure::Output`].
pub fn write_line(line: &str) -> Result<(), Failure> {
    write(format!("{line}\n").as_bytes())
}

/// Writes a line to stderr. Where that fails there is nobody left to tell.
pub fn note(line: &str) {
    write_stderr(&format!("{line}\n"));
}

/// Writes to stderr. Where that fails there is nobody left to tell.
pub fn write_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Whether somebody sees what goes to stderr while it happens.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// `text` in one line and without control characters: what a module or a registry says must not
/// move the cursor or pretend to be another line.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    #[test]
    fn control_characters_are_seen() {
        assert_eq!(
            super::visible("a\u{1b}[2Jb\nc\u{e9}"),
            "a\\u{1b}[2Jb\\nc\u{e9}"
        );
    }
}
