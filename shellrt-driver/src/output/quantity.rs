//! Sizes and durations for people.

/// `bytes` with the largest unit that leaves a number of at least one.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Two digits after the point don't need more than the 53 bits there are.
    #[allow(clippy::cast_precision_loss)]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be printed as "1024.0".
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A length of time in nanoseconds, with two units at most.
pub fn duration(nanoseconds: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    let seconds = nanoseconds / SECOND;
    match seconds {
        0 => format!("{} ms", nanoseconds / 1_000_000),
        1..60 => format!("{seconds}.{:02} s", nanoseconds % SECOND / 10_000_000),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86400, seconds % 86400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::{duration, size};

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (64 << 20, "64.0 MiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn durations() {
        for (nanoseconds, text) in [
            (0, "0 ms"),
            (1_500_000, "1 ms"),
            (1_239_000_000, "1.23 s"),
            (61_000_000_000, "1m01s"),
            (3_720_000_000_000, "1h02m"),
            (90_000_000_000_000, "1d01h"),
        ] {
            assert_eq!(duration(nanoseconds), text);
        }
    }
}
