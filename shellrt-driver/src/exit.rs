//! The exit status: how a script learns what happened.

use std::process::ExitCode;

/// How the driver ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The plugin did it.
    Ok,
    /// The plugin gave a valid answer, and it is an error.
    Refused,
    /// There is no valid answer.
    NoAnswer,
    /// The command line or something that it names is wrong; no plugin was started. The number is
    /// `EX_USAGE` of `sysexits.h`.
    Usage,
    /// What the command of an `exec` ended with.
    Command(i64),
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Refused => 1,
            Exit::NoAnswer => 2,
            Exit::Usage => 64,
            // A failure must never look like success, as 256 would in the eight bits there are.
            Exit::Command(code) => u8::try_from(code).unwrap_or(255),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn each_end_has_its_own_code() {
        assert_eq!(Exit::Ok.code(), 0);
        assert_eq!(Exit::Refused.code(), 1);
        assert_eq!(Exit::NoAnswer.code(), 2);
        assert_eq!(Exit::Usage.code(), 64);
    }

    #[test]
    fn a_command_that_failed_never_looks_like_success() {
        for (code, expected) in [(0, 0), (7, 7), (255, 255), (256, 255), (-1, 255)] {
            assert_eq!(Exit::Command(code).code(), expected);
        }
    }
}
