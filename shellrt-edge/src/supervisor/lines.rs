//! A module's log with times, as it comes, turned into pieces of output, each with the position behind it.
//! Pure: no process, no clock.
//!
//! The position says behind which byte of the log the reader is: the time of a line, which of the lines of
//! that very time, and how many of its bytes. A log that is opened again at that time begins with lines
//! that were passed on already; they are skipped.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The longest time before a line, with its space.
const LONGEST_TIME: usize = 64;

/// A place in a module's log, behind what was reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The time of the line, in nanoseconds since the epoch.
    pub time_ns: i64,
    /// Which of the lines of that time, from 0.
    pub line: u32,
    /// How many bytes of the line.
    pub bytes: u64,
}

/// Reads a log with times.
#[derive(Debug)]
pub struct Lines {
    /// Where the reader begins; what is before that is skipped.
    begin: Option<Position>,
    at: Position,
    /// The time before a line, as far as it has come.
    time: Vec<u8>,
    in_line: bool,
    /// What was read and not given away.
    ready: Vec<u8>,
    /// Whether pieces end where a character ends.
    text: bool,
    /// The longest piece.
    longest: usize,
}

impl Lines {
    /// Reads a log that was opened at the time of `begin`. Pieces are at most `longest` bytes (0 = any
    /// length), and with `text` they end where a character of UTF-8 ends.
    pub fn new(begin: Option<Position>, text: bool, longest: usize) -> Lines {
        Lines {
            begin,
            at: Position {
                time_ns: i64::MIN,
                ..Position::default()
            },
            time: Vec::new(),
            in_line: false,
            ready: Vec::new(),
            text,
            longest: match longest {
                0 => usize::MAX,
                // A character of UTF-8 has up to 4 bytes.
                longest => longest.max(4),
            },
        }
    }

    /// Takes what has come of the log, and gives what can be passed on.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<(Bytes, Position)> {
        let mut pieces = Vec::new();
        for &byte in bytes {
            if !self.in_line {
                self.time_byte(byte);
                continue;
            }
            self.at.bytes += 1;
            if byte == b'\n' {
                self.in_line = false;
            }
            if self.is_new() {
                self.ready.push(byte);
                if self.ready.len() >= self.longest {
                    self.cut(&mut pieces);
                }
            }
        }
        self.cut(&mut pieces);
        pieces
    }

    /// The log has ended: gives what was held back.
    pub fn finish(&mut self) -> Option<(Bytes, Position)> {
        let rest = std::mem::take(&mut self.ready);
        (!rest.is_empty()).then(|| (Bytes::from(rest), self.at))
    }

    fn time_byte(&mut self, byte: u8) {
        if byte != b' ' && self.time.len() < LONGEST_TIME {
            self.time.push(byte);
            return;
        }
        let text = String::from_utf8_lossy(&self.time).into_owned();
        let time_ns = match text.parse::<Timestamp>() {
            Ok(time) => i64::try_from(time.as_nanosecond()).unwrap_or(self.at.time_ns),
            // A plugin that writes no times: all is one moment, and nothing is lost by that.
            Err(_) => self.at.time_ns,
        };
        self.time.clear();
        self.in_line = true;
        let line = match time_ns == self.at.time_ns {
            true => self.at.line + 1,
            false => 0,
        };
        self.at = Position {
            time_ns,
            line,
            bytes: 0,
        };
    }

    /// Whether the byte before the position is behind the beginning.
    fn is_new(&self) -> bool {
        self.begin.is_none_or(|begin| {
            let at = (self.at.time_ns, self.at.line, self.at.bytes);
            at > (begin.time_ns, begin.line, begin.bytes)
        })
    }

    /// Gives away what is ready, up to the end of the last character in it.
    fn cut(&mut self, pieces: &mut Vec<(Bytes, Position)>) {
        let held = match self.text {
            true => unfinished(&self.ready),
            false => 0,
        };
        let length = self.ready.len() - held;
        if length == 0 {
            return;
        }
        let rest = self.ready.split_off(length);
        let piece = std::mem::replace(&mut self.ready, rest);
        // What is held back is a part of the line that is being read: a line's end ends a character.
        let position = Position {
            bytes: self.at.bytes - held as u64,
            ..self.at
        };
        pieces.push((Bytes::from(piece), position));
    }
}

/// How many bytes at the end of `text` are the beginning of a character that is not complete.
fn unfinished(text: &[u8]) -> usize {
    let last = text.len().min(3);
    for back in 1..=last {
        let byte = text[text.len() - back];
        let length = match byte {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => return 0,
        };
        return if length > back { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "2026-11-21T10:36:39.000000001Z ";
    const TWO: &str = "2026-11-21T10:36:39.000000002Z ";
    /// `date -d 2026-11-21T10:36:39Z +%s`
    const SECOND: i64 = 1_795_257_399_000_000_000;

    fn all(lines: &mut Lines, log: &[u8]) -> (Vec<u8>, Position) {
        let mut pieces = lines.feed(log);
        pieces.extend(lines.finish());
        let position = pieces
            .last()
            .map(|(_, position)| *position)
            .unwrap_or_default();
        (
            pieces.into_iter().flat_map(|(piece, _)| piece).collect(),
            position,
        )
    }

    fn log() -> Vec<u8> {
        format!("{ONE}a\n{ONE}bc\n{TWO}d e\n{TWO}\n{TWO}half").into_bytes()
    }

    #[test]
    fn times_are_taken_off() {
        let (text, position) = all(&mut Lines::new(None, false, 0), &log());
        assert_eq!(text, b"a\nbc\nd e\n\nhalf");
        let expected = Position {
            time_ns: SECOND + 2,
            line: 2,
            bytes: 4,
        };
        assert_eq!(position, expected);
    }

    #[test]
    fn in_whatever_pieces_it_comes() {
        for size in 1..80 {
            let mut lines = Lines::new(None, true, 0);
            let mut text = Vec::new();
            for piece in log().chunks(size) {
                text.extend(lines.feed(piece).into_iter().flat_map(|(piece, _)| piece));
            }
            text.extend(lines.finish().into_iter().flat_map(|(piece, _)| piece));
            assert_eq!(text, b"a\nbc\nd e\n\nhalf", "{size}");
        }
    }

    #[test]
    fn from_every_position_on_the_rest_follows() {
        // One byte at a time gives a position for each.
        let mut lines = Lines::new(None, false, 0);
        let whole = b"a\nbc\nd e\n\nhalf";
        let mut reported = 0;
        for byte in log() {
            for (piece, position) in lines.feed(&[byte]) {
                reported += piece.len();
                // The log opened at that time has no line before it.
                let log = log();
                let from = match position.time_ns == SECOND + 1 {
                    true => 0,
                    false => log
                        .windows(ONE.len())
                        .position(|part| part == TWO.as_bytes())
                        .unwrap(),
                };
                let (rest, _) = all(&mut Lines::new(Some(position), false, 0), &log[from..]);
                assert_eq!(rest, &whole[reported..], "{position:?}");
            }
        }
        assert_eq!(reported, whole.len());
    }

    #[test]
    fn characters_are_not_cut() {
        let mut lines = Lines::new(None, true, 0);
        let text = "aä€😀";
        let mut pieces = lines.feed(ONE.as_bytes());
        for byte in text.bytes() {
            pieces.extend(lines.feed(&[byte]));
        }
        let pieces: Vec<&[u8]> = pieces.iter().map(|(piece, _)| piece.as_ref()).collect();
        let expected = ["a", "ä", "€", "😀"].map(str::as_bytes);
        assert_eq!(pieces, expected);
        // What never becomes one is passed on at the end, and what can't begin one at once.
        assert_eq!(lines.feed(b"\xe2\x82"), vec![]);
        assert_eq!(
            lines.finish().map(|(piece, _)| piece),
            Some(Bytes::from_static(b"\xe2\x82"))
        );
        assert_eq!(lines.feed(b"\xff").len(), 1);
    }

    #[test]
    fn pieces_have_a_longest() {
        let mut lines = Lines::new(None, true, 4);
        let pieces = lines.feed(format!("{ONE}aaa€aa").as_bytes());
        let pieces: Vec<&[u8]> = pieces.iter().map(|(piece, _)| piece.as_ref()).collect();
        assert_eq!(pieces, ["aaa", "€a", "a"].map(str::as_bytes));
    }
}
