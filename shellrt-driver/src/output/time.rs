//! Points in time for people.

use std::time::{SystemTime, UNIX_EPOCH};

const SECOND: i64 = 1_000_000_000;

/// `2023-11-14T22:13:20Z`, from nanoseconds since the epoch.
pub fn utc(nanoseconds: i64) -> String {
    let seconds = nanoseconds.div_euclid(SECOND);
    let (days, second) = (seconds.div_euclid(86400), seconds.rem_euclid(86400));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `5 minutes ago`, from nanoseconds since the epoch; empty where it is not in the past.
pub fn ago(nanoseconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.ok().and_then(|now| i64::try_from(now.as_nanos()).ok());
    now.map_or_else(String::new, |now| between(nanoseconds, now))
}

/// A point in time, and how long ago it was.
pub fn both(nanoseconds: i64) -> String {
    match ago(nanoseconds).as_str() {
        "" => utc(nanoseconds),
        ago => format!("{} ({ago})", utc(nanoseconds)),
    }
}

fn between(then: i64, now: i64) -> String {
    let seconds = match now.checked_sub(then) {
        Some(passed) if passed >= 0 => passed / SECOND,
        _ => return String::new(),
    };
    let (number, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86400 => (seconds / 3600, "hour"),
        _ => (seconds / 86400, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural} ago")
}

/// Year, month and day of a number of days since the epoch, in the Gregorian calendar: years are
/// counted from March, so that the leap day is the last one, in eras of 400 years.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (year + era * 400 + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::{between, utc, SECOND};

    /// `date -u -d @SECONDS`.
    #[test]
    fn points() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds * SECOND), text);
        }
        // The ends of the range must not panic.
        assert_eq!(utc(i64::MAX), "2262-04-11T23:47:16Z");
        assert_eq!(utc(i64::MIN), "1677-09-21T00:12:43Z");
    }

    #[test]
    fn lengths() {
        for (seconds, text) in [
            (0, "0 seconds ago"),
            (1, "1 second ago"),
            (119, "1 minute ago"),
            (7200, "2 hours ago"),
            (86400 * 400, "400 days ago"),
            (-1, ""),
        ] {
            assert_eq!(between(0, seconds * SECOND), text);
        }
        assert_eq!(between(i64::MIN, i64::MAX), "");
    }
}
