//! Records that a Kubernetes runtime has written: the same, but for their times, which end with the
//! last digit that is not 0 and are in the time zone of the machine.
//!
//! ```text
//! 2026-01-02T04:04:05.5+01:00 stdout F text
//! ```

use super::record::{days, time, Head, Time, LONGEST_TEXT};
use super::Stream;

/// The head of `line`, which ends with its newline; `None` where it is not a whole record.
pub(super) fn parse(line: &[u8]) -> Option<Head> {
    let (_, length) = moment(line)?;
    let rest = &line[length..];
    let (stream, rest) = match rest.strip_prefix(b" stdout ") {
        Some(rest) => (Stream::Stdout, rest),
        None => (Stream::Stderr, rest.strip_prefix(b" stderr ")?),
    };
    // Later versions of the format may have more tags after the first, behind colons.
    let (tags, text) = rest.split_at(rest.iter().position(|byte| *byte == b' ')?);
    let ended = match tags.first()? {
        b'F' => true,
        b'P' => false,
        _ => return None,
    };
    let is_sound = matches!(tags.get(1), None | Some(b':'));
    let (first, last) = (text.first()?, text.last()?);
    let length = text.len().checked_sub(2)?;
    let whole = *first == b' ' && *last == b'\n' && length <= LONGEST_TEXT;
    (is_sound && whole).then_some(Head {
        stream,
        ended,
        text: line.len() - length - 1,
    })
}

/// The time of a line that [`parse`] took for a record.
pub(super) fn time_of(line: &[u8]) -> Option<Time> {
    moment(line).map(|(ns, _)| time(ns))
}

/// The time at the beginning of `line`, in nanoseconds since the epoch, and its length.
fn moment(line: &[u8]) -> Option<(i64, usize)> {
    let number = |from: usize, to: usize| -> Option<u64> {
        line.get(from..to)?.iter().try_fold(0, |number, byte| {
            byte.is_ascii_digit()
                .then(|| number * 10 + u64::from(byte - b'0'))
        })
    };
    let has = |at: usize, byte: u8| (line.get(at) == Some(&byte)).then_some(());
    for (at, byte) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        has(at, byte)?;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let sound = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !sound || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut at = 19;
    let mut nanos = 0;
    if has(at, b'.').is_some() {
        let digits = line[at + 1..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit());
        let count = digits.count();
        if !(1..=9).contains(&count) {
            return None;
        }
        nanos = number(at + 1, at + 1 + count)? * 10_u64.pow(9 - u32::try_from(count).ok()?);
        at += 1 + count;
    }
    let offset = match line.get(at)? {
        b'Z' => {
            at += 1;
            0
        }
        sign @ (b'+' | b'-') => {
            let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            has(at + 3, b':')?;
            at += 6;
            let seconds = i64::try_from(hours * 3600 + minutes * 60).ok()?;
            match sign {
                b'+' => seconds,
                _ => -seconds,
            }
        }
        _ => return None,
    };
    let seconds = days(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second;
    let seconds = i64::try_from(seconds).ok()?.checked_sub(offset)?;
    let ns = seconds.checked_mul(1_000_000_000)?;
    Some((ns.checked_add(i64::try_from(nanos).ok()?)?, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<(String, Head)> {
        let head = parse(line.as_bytes())?;
        let time = String::from_utf8(time_of(line.as_bytes())?.to_vec()).unwrap();
        assert!(line[head.text..].starts_with("text") || line[head.text..] == *"\n");
        Some((time, head))
    }

    #[test]
    fn times_of_any_length_and_zone_are_read() {
        for (line, time) in [
            (
                "2026-01-02T03:04:05.5Z stdout F text\n",
                "2026-01-02T03:04:05.500000000Z",
            ),
            (
                "2026-01-02T03:04:05Z stdout F text\n",
                "2026-01-02T03:04:05.000000000Z",
            ),
            (
                "2026-01-01T00:30:00.123456789+01:00 stdout F text\n",
                "2025-12-31T23:30:00.123456789Z",
            ),
            (
                "2026-12-31T20:30:00.1-05:30 stdout F \n",
                "2027-01-01T02:00:00.100000000Z",
            ),
        ] {
            let (found, head) = read(line).unwrap();
            assert_eq!(found, time);
            assert_eq!((head.stream, head.ended), (Stream::Stdout, true));
        }
        let (_, head) = read("2026-01-02T03:04:05.5Z stderr P:x text\n").unwrap();
        assert_eq!((head.stream, head.ended), (Stream::Stderr, false));
    }

    #[test]
    fn what_is_no_record_is_none() {
        for line in [
            "",
            "\n",
            "2026-01-02T03:04:05.5Z stdout F text",
            "2026-01-02T03:04:05.5Z stdout F\n",
            "2026-01-02T03:04:05.5Z stdout X text\n",
            "2026-01-02T03:04:05.5Z stdin F text\n",
            "2026-01-02T03:04:05.Z stdout F text\n",
            "2026-01-02T03:04:05.1234567890Z stdout F text\n",
            "2026-13-02T03:04:05.5Z stdout F text\n",
            "1969-12-31T03:04:05.5Z stdout F text\n",
            "2026-01-02T03:04:05.5+1:00 stdout F text\n",
        ] {
            assert!(parse(line.as_bytes()).is_none(), "{line:?}");
        }
        let long = format!("2026-01-02T03:04:05.5Z stdout F {}\n", "x".repeat(16 << 10));
        assert!(parse(long.as_bytes()).is_some());
        let longer = format!(
            "2026-01-02T03:04:05.5Z stdout F x{}\n",
            "x".repeat(16 << 10)
        );
        assert!(parse(longer.as_bytes()).is_none());
    }
}
