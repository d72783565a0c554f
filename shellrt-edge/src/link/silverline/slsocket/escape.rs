//! Text as Python's codec `unicode-escape` reads and writes it: Latin-1 with backslashes.

/// What the codec makes of `bytes`. An escape that it would refuse stays as it is.
pub fn decode(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            text.push(char::from(byte));
            continue;
        }
        match escaped(after) {
            Some((character, length)) => {
                text.extend(character);
                rest = &after[length..];
            }
            None => text.push('\\'),
        }
    }
    text
}

/// What stands behind a backslash: the character, if it is one, and how long the escape is.
fn escaped(rest: &[u8]) -> Option<(Option<char>, usize)> {
    let one = |character| Some((Some(character), 1));
    match rest.first()? {
        b'\n' => Some((None, 1)),
        b'\\' => one('\\'),
        b'\'' => one('\''),
        b'"' => one('"'),
        b'a' => one('\x07'),
        b'b' => one('\x08'),
        b'f' => one('\x0c'),
        b'n' => one('\n'),
        b'r' => one('\r'),
        b't' => one('\t'),
        b'v' => one('\x0b'),
        b'x' => digits(rest, 2),
        b'u' => digits(rest, 4),
        b'U' => digits(rest, 8),
        b'0'..=b'7' => {
            let is_octal = |byte: &&u8| matches!(byte, b'0'..=b'7');
            let length = rest.iter().take(3).take_while(is_octal).count();
            number(&rest[..length], 8).map(|character| (Some(character), length))
        }
        _ => None,
    }
}

/// Exactly `count` hexadecimal digits behind a letter.
fn digits(rest: &[u8], count: usize) -> Option<(Option<char>, usize)> {
    let digits = rest.get(1..=count)?;
    let character = number(digits, 16)?;
    Some((Some(character), 1 + count))
}

fn number(digits: &[u8], radix: u32) -> Option<char> {
    let mut value: u32 = 0;
    for digit in digits {
        let digit = char::from(*digit).to_digit(radix)?;
        value = value.checked_mul(radix)?.checked_add(digit)?;
    }
    match value {
        // Half of a pair is no character here.
        0xd800..=0xdfff => Some(char::REPLACEMENT_CHARACTER),
        _ => char::from_u32(value),
    }
}

/// Bytes of which the codec makes `text` again.
pub fn encode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        let code = u32::from(character);
        match character {
            '\\' => bytes.extend(b"\\\\"),
            '\n' => bytes.extend(b"\\n"),
            '\r' => bytes.extend(b"\\r"),
            '\t' => bytes.extend(b"\\t"),
            ' '..='~' => bytes.push(code as u8),
            _ if code < 0x100 => bytes.extend(format!("\\x{code:02x}").bytes()),
            _ if code < 0x10000 => bytes.extend(format!("\\u{code:04x}").bytes()),
            _ => bytes.extend(format!("\\U{code:08x}").bytes()),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line was typed into Python: `b"...".decode("unicode-escape")`.
    #[test]
    fn escapes_are_pythons() {
        let cases: [(&[u8], &str); 12] = [
            (b"plain", "plain"),
            (br"a\nb\tc\\d", "a\nb\tc\\d"),
            (br"C:\temp", "C:\temp"),
            (br"\x41\u00e9\U0001f600", "A\u{e9}\u{1f600}"),
            (br"\101\60\0", "A0\0"),
            (br"\1234", "S4"),
            (br"\d\q", r"\d\q"),
            (b"a\\\nb", "ab"),
            (b"\xc3\xa9", "\u{c3}\u{a9}"),
            (br"\a\b\f\v\r", "\x07\x08\x0c\x0b\r"),
            (br#"\'\""#, "'\""),
            (b"", ""),
        ];
        for (bytes, text) in cases {
            assert_eq!(decode(bytes), text, "{bytes:?}");
        }
    }

    #[test]
    fn what_python_refuses_stays() {
        for text in [r"\x4", r"\u12", r"\xzz", r"\U00110000", "\\"] {
            assert_eq!(decode(text.as_bytes()), text);
        }
    }

    /// The right sides are Python's `"...".encode("unicode-escape")`.
    #[test]
    fn what_is_written_is_pythons() {
        let cases = [
            ("a\\b\n", r"a\\b\n"),
            ("\u{e9}\u{20ac}\u{1f600}\0", r"\xe9\u20ac\U0001f600\x00"),
            ("\t\r~\x7f", r"\t\r~\x7f"),
        ];
        for (text, bytes) in cases {
            assert_eq!(encode(text), bytes.as_bytes());
            assert_eq!(decode(&encode(text)), text);
        }
    }
}
