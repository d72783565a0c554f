//! The function that is built in: what the sample of EDGELESS's Python runtime does. Pure: what a message
//! asks for.

/// What a cast asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Cast<'a> {
    /// Pass something on to an alias.
    Recast {
        /// For whom.
        alias: &'a str,
        /// What.
        message: &'a str,
    },
    /// Pass something on to an instance.
    RecastRaw {
        /// Its node.
        node: &'a str,
        /// Its own id.
        function: &'a str,
        /// What.
        message: &'a str,
    },
    /// Pass something on to an alias, later.
    RecastDelayed {
        /// How much later, in milliseconds.
        delay_ms: u64,
        /// For whom.
        alias: &'a str,
        /// What.
        message: &'a str,
    },
    /// Write to the host's log.
    TelemetryLog {
        /// As whom.
        target: &'a str,
        /// What.
        message: &'a str,
    },
    /// Save the state.
    Sync(&'a str),
    /// Anything else: it goes to the alias `output`, a second later.
    Output(&'a str),
    /// One of the commands, of which something is missing: which.
    Incomplete(&'a str),
}

/// What a call asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Call<'a> {
    /// The answer of an alias.
    Recall {
        /// Whose.
        alias: &'a str,
        /// To what.
        message: &'a str,
    },
    /// The answer of an instance.
    RecallRaw {
        /// Its node.
        node: &'a str,
        /// Its own id.
        function: &'a str,
        /// To what.
        message: &'a str,
    },
    /// No reply.
    NoReply,
    /// An error.
    Error,
    /// Anything else is its own answer.
    Echo,
    /// One of the commands, of which something is missing: which.
    Incomplete(&'a str),
}

/// Reads a cast.
pub fn cast(text: &str) -> Cast<'_> {
    let (command, rest) = word(text);
    let read = match command {
        "recast" => pair(rest).map(|(alias, message)| Cast::Recast { alias, message }),
        "recast-raw" => triple(rest).map(|(node, function, message)| Cast::RecastRaw {
            node,
            function,
            message,
        }),
        "recast-delayed" => triple(rest).and_then(|(delay, alias, message)| {
            Some(Cast::RecastDelayed {
                delay_ms: delay.parse().ok()?,
                alias,
                message,
            })
        }),
        "telemetry-log" => {
            pair(rest).map(|(target, message)| Cast::TelemetryLog { target, message })
        }
        "sync" => Some(Cast::Sync(rest)),
        _ => Some(Cast::Output(text)),
    };
    read.unwrap_or(Cast::Incomplete(command))
}

/// Reads a call.
pub fn call(text: &str) -> Call<'_> {
    let (command, rest) = word(text);
    let read = match command {
        "recall" => pair(rest).map(|(alias, message)| Call::Recall { alias, message }),
        "recall-raw" => triple(rest).map(|(node, function, message)| Call::RecallRaw {
            node,
            function,
            message,
        }),
        "noret" if rest.is_empty() => Some(Call::NoReply),
        "err" if rest.is_empty() => Some(Call::Error),
        _ => Some(Call::Echo),
    };
    read.unwrap_or(Call::Incomplete(command))
}

/// The first word, and what is behind the space after it.
fn word(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

/// A word and the rest, both of which must be there.
fn pair(text: &str) -> Option<(&str, &str)> {
    let (first, rest) = text.split_once(' ')?;
    (!first.is_empty()).then_some((first, rest))
}

fn triple(text: &str) -> Option<(&str, &str, &str)> {
    let (first, rest) = pair(text)?;
    let (second, rest) = pair(rest)?;
    Some((first, second, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casts_are_commands_or_output() {
        let (alias, message) = ("a", "m n");
        assert_eq!(cast("recast a m n"), Cast::Recast { alias, message });
        let (node, function) = ("x", "y");
        assert_eq!(
            cast("recast-raw x y m n"),
            Cast::RecastRaw {
                node,
                function,
                message
            }
        );
        assert_eq!(
            cast("recast-delayed 250 a m n"),
            Cast::RecastDelayed {
                delay_ms: 250,
                alias,
                message
            }
        );
        let target = "t";
        assert_eq!(
            cast("telemetry-log t m n"),
            Cast::TelemetryLog { target, message }
        );
        assert_eq!(cast("sync a b"), Cast::Sync("a b"));
        for text in ["hello", "", "recasting a b", "Recast a b", " recast a b"] {
            assert_eq!(cast(text), Cast::Output(text));
        }
        for (text, command) in [
            ("recast a", "recast"),
            ("recast", "recast"),
            ("recast-raw a b", "recast-raw"),
            ("recast-delayed soon a b", "recast-delayed"),
            ("recast-delayed -1 a b", "recast-delayed"),
            ("telemetry-log t", "telemetry-log"),
        ] {
            assert_eq!(cast(text), Cast::Incomplete(command), "{text}");
        }
    }

    #[test]
    fn calls_are_commands_or_an_echo() {
        let (alias, message) = ("a", "m n");
        assert_eq!(call("recall a m n"), Call::Recall { alias, message });
        let (node, function) = ("x", "y");
        assert_eq!(
            call("recall-raw x y m n"),
            Call::RecallRaw {
                node,
                function,
                message
            }
        );
        assert_eq!(call("noret"), Call::NoReply);
        assert_eq!(call("err"), Call::Error);
        for text in ["hello", "", "error", "noret now"] {
            assert_eq!(call(text), Call::Echo, "{text}");
        }
        assert_eq!(call("recall a"), Call::Incomplete("recall"));
        assert_eq!(call("recall-raw a b"), Call::Incomplete("recall-raw"));
    }
}
