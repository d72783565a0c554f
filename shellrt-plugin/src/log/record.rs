//! One record, byte by byte.

use super::foreign;
use super::Stream;

/// A record is its head, its text and a newline.
///
/// ```text
/// 2026-01-02T03:04:05.000000006Z stdout F text
/// |----- 30 bytes ------------| | 6  | 1       = 40 bytes with the three spaces
/// ```
pub(super) const HEAD: usize = 40;

/// The longest text of a record; longer pieces are split.
pub(super) const LONGEST_TEXT: usize = 16 << 10;

/// The longest record of ours. A longer line is none.
pub(super) const LONGEST: usize = HEAD + LONGEST_TEXT + 1;

/// The longest line that may be a record, also one of somebody else's: their heads are longer.
pub(super) const LONGEST_LINE: usize = LONGEST + 64;

/// What stands in front of each line where times are shown: the time and a space.
pub(super) const STAMP: usize = 31;

/// A time as it is written. All have the same length, so they sort as bytes.
pub(super) type Time = [u8; 30];

/// The time that is `ns` nanoseconds after the epoch; one before the epoch counts as the epoch.
pub(super) fn time(ns: i64) -> Time {
    let ns = u64::try_from(ns).unwrap_or(0);
    let (seconds, nanos) = (ns / 1_000_000_000, ns % 1_000_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    digits(&mut text[0..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], second / 3600);
    digits(&mut text[14..16], second / 60 % 60);
    digits(&mut text[17..19], second % 60);
    digits(&mut text[20..29], nanos);
    text
}

/// The head of a record.
pub(super) fn head(time: &Time, stream: Stream, ended: bool) -> [u8; HEAD] {
    let mut head = match stream {
        Stream::Stdout => *b"0000-00-00T00:00:00.000000000Z stdout P ",
        Stream::Stderr => *b"0000-00-00T00:00:00.000000000Z stderr P ",
    };
    head[..time.len()].copy_from_slice(time);
    if ended {
        head[38] = b'F';
    }
    head
}

/// What the head of a record says, its time aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub stream: Stream,
    /// Whether the module wrote a newline after the text.
    pub ended: bool,
    /// Where in the line the text begins.
    pub text: usize,
}

/// The head of `line`, which ends with its newline; `None` where it is not a whole record.
#[inline]
pub(super) fn parse(line: &[u8]) -> Option<Head> {
    own_line(line).or_else(|| foreign::parse(line))
}

/// As [`parse`], for a record that we have written.
#[inline]
fn own_line(line: &[u8]) -> Option<Head> {
    let (stream, ended) = own(line.first_chunk()?)?;
    let whole = line.len() > HEAD && line.len() <= LONGEST;
    whole.then_some(Head {
        stream,
        ended,
        text: HEAD,
    })
}

/// What `head` says, if we have written it: the stream, and whether the module wrote a newline after
/// the text.
#[inline]
pub(super) fn own(head: &[u8; HEAD]) -> Option<(Stream, bool)> {
    // The bounds of each byte are compared all at once, without a branch, because this is done for
    // every record that is read.
    const LEAST: &[u8; HEAD] = b"0000-00-00T00:00:00.000000000Z stderr F ";
    const MOST: &[u8; HEAD] = b"9999-19-39T29:59:69.999999999Z stdout P ";
    let mut wrong = 0;
    for at in 0..HEAD {
        // How far the byte is above the least, and how far that is beyond the most.
        let above = head[at].wrapping_sub(LEAST[at]);
        wrong |= above.saturating_sub(MOST[at] - LEAST[at]);
    }
    let stream = match &head[34..37] {
        b"out" => Stream::Stdout,
        b"err" => Stream::Stderr,
        _ => return None,
    };
    let ended = match head[38] {
        b'F' => true,
        b'P' => false,
        _ => return None,
    };
    (wrong == 0).then_some((stream, ended))
}

/// The time of a line that [`parse`] took for a record.
#[inline]
pub(super) fn time_of(line: &[u8]) -> Option<Time> {
    match own_line(line) {
        Some(_) => line.first_chunk().copied(),
        None => foreign::time_of(line),
    }
}

/// Writes `number` into all of `text`, with leading zeros.
fn digits(text: &mut [u8], mut number: u64) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// How many days after the epoch a day of the Gregorian calendar is; its year is not before 0.
pub(super) fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    // As in `date`, years begin in March.
    let (year, month) = match month {
        1 | 2 => (year.checked_sub(1)?, month + 9),
        _ => (year, month - 3),
    };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

/// Year, month and day of a number of days since the epoch, in the Gregorian calendar.
fn date(days: u64) -> (u64, u64, u64) {
    // Years are counted from March on here, so that the leap day is the last of its year, and from
    // the year 0, whose March 1st is 719 468 days before the epoch.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_full() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (-1, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
            (1_767_323_045_000_000_006, "2026-01-02T03:04:05.000000006Z"),
            (1_709_251_199_999_999_999, "2024-02-29T23:59:59.999999999Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
        ] {
            assert_eq!(std::str::from_utf8(&time(ns)).unwrap(), text);
        }
    }

    #[test]
    fn days_are_counted_as_they_are_named() {
        for n in 0..80_000 {
            let (year, month, day) = date(n);
            assert_eq!(days(year, month, day), Some(n));
        }
        assert_eq!(days(1969, 12, 31), None);
        assert_eq!(days(0, 1, 1), None);
    }

    #[test]
    fn times_sort_as_bytes() {
        let step = 86_400_000_000_000 / 3 + 1_000_000_007;
        let mut last = time(0);
        for n in 1..60_000_i64 {
            let now = time(n * step);
            assert!(last < now, "{n}");
            last = now;
        }
    }

    #[test]
    fn only_whole_records_are_records() {
        let good = b"2026-01-02T03:04:05.000000006Z stdout F text\n";
        let stdout = Head {
            stream: Stream::Stdout,
            ended: true,
            text: HEAD,
        };
        assert_eq!(parse(good), Some(stdout));
        for stream in [Stream::Stdout, Stream::Stderr] {
            for ended in [true, false] {
                let mut line = head(&time(i64::MAX), stream, ended).to_vec();
                assert_eq!(parse(&line), None, "there is no newline");
                line.push(b'\n');
                let text = HEAD;
                let head = Head {
                    stream,
                    ended,
                    text,
                };
                assert_eq!(parse(&line), Some(head));
            }
        }
        for at in 0..HEAD {
            for byte in [0, b'\n', b'x', 0xff] {
                let mut bad = good.to_vec();
                bad[at] = byte;
                assert_eq!(parse(&bad), None, "{at} {byte}");
            }
            assert_eq!(parse(&good[at + 1..]), None, "{at}");
        }
        let mut line = good[..HEAD].to_vec();
        line.resize(LONGEST, b'x');
        assert!(parse(&line).is_some());
        line.push(b'x');
        assert!(parse(&line).is_none());
    }
}
