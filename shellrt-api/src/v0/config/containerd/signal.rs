//! A signal by its name or number.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::{self, ParseError};

/// A signal of Linux, 1 to 64; in JSON its name or number. The numbers are those of all
/// architectures but MIPS and SPARC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(
    /// The signal's number.
    pub u8,
);

const SIGNAL: &str = "a signal like \"SIGTERM\", \"TERM\", \"RTMIN+3\" or 15";
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

/// The names of the signals from 1 on.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

impl Signal {
    /// The signal that asks a program to end.
    pub const TERM: Signal = Signal(15);
    /// The signal that no program survives.
    pub const KILL: Signal = Signal(9);

    fn numbered(number: i64) -> Option<Self> {
        let number = u8::try_from(number).ok()?;
        (1..=RTMAX).contains(&number).then_some(Signal(number))
    }

    fn named(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let other = match name {
            "IOT" => Some(6),
            "CLD" => Some(17),
            "POLL" => Some(29),
            "RTMIN" => Some(RTMIN),
            "RTMAX" => Some(RTMAX),
            _ => None,
        };
        if let Some(number) = other {
            return Some(Signal(number));
        }
        if let Some(offset) = name.strip_prefix("RTMIN+") {
            let number = digits(offset)?.checked_add(RTMIN)?;
            return (number <= RTMAX).then_some(Signal(number));
        }
        if let Some(offset) = name.strip_prefix("RTMAX-") {
            let number = RTMAX.checked_sub(digits(offset)?)?;
            return (number >= RTMIN).then_some(Signal(number));
        }
        let index = NAMES.iter().position(|known| *known == name)?;
        u8::try_from(index + 1).ok().map(Signal)
    }
}

/// A number without a sign.
fn digits(text: &str) -> Option<u8> {
    let all = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| all)
}

impl FromStr for Signal {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let text = text.trim();
        let signal = match digits(text) {
            Some(number) => Signal::numbered(number.into()),
            None => Signal::named(text),
        };
        signal.ok_or_else(|| ParseError::new(format!("{text:?} is not {SIGNAL}")))
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.get(usize::from(self.0).wrapping_sub(1)) {
            Some(name) => write!(f, "SIG{name}"),
            None => self.0.fmt(f),
        }
    }
}

impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        text::number_or_text(input, SIGNAL, Signal::numbered, |text| text.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::Signal;

    /// The numbers of signal(7) for x86 and ARM.
    #[test]
    fn names_and_numbers() {
        for (text, number, again) in [
            ("SIGHUP", 1, "SIGHUP"),
            ("term", 15, "SIGTERM"),
            ("15", 15, "SIGTERM"),
            ("SIGUSR1", 10, "SIGUSR1"),
            ("SIGSTKFLT", 16, "SIGSTKFLT"),
            ("SIGCLD", 17, "SIGCHLD"),
            ("SIGWINCH", 28, "SIGWINCH"),
            ("SIGSYS", 31, "SIGSYS"),
            ("SIGRTMIN", 34, "34"),
            ("SIGRTMIN+3", 37, "37"),
            ("RTMAX-1", 63, "63"),
            ("64", 64, "64"),
        ] {
            let signal: Signal = text.parse().unwrap();
            assert_eq!(signal, Signal(number), "{text}");
            assert_eq!(signal.to_string(), again, "{text}");
        }
        for text in [
            "",
            "SIG",
            "0",
            "65",
            "-1",
            "+9",
            "TERMINATE",
            "RTMIN+31",
            "RTMAX-31",
            "RTMIN+",
        ] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
        assert_eq!(serde_json::from_str::<Signal>("9").unwrap(), Signal::KILL);
        assert_eq!(
            serde_json::from_str::<Signal>("\"KILL\"").unwrap(),
            Signal::KILL
        );
    }
}
