//! The four dialects as a table: which words a runtime and its orchestrator have for the same things.

use serde::Deserialize;

/// A generation of the protocol. The orchestrator speaks one of them, and nothing tells which.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// The sideload runtime of 2022, for the orchestrator of that year.
    #[default]
    Sideload,
    /// The sideload runtime of 2024.
    G2,
    /// A runtime as the runtime manager of 2023 has them, for the orchestrator of that year.
    Manager,
    /// The application launcher, which needs no orchestrator.
    AppLauncher,
}

/// How a dialect says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// The `type` of requests to a runtime.
    pub request: &'static str,
    /// The `type` of answers to a runtime.
    pub answer: &'static str,
    /// The `type` of a runtime's own requests.
    pub own_request: &'static str,
    /// The `type` of a runtime's own answers; nothing where it gives none.
    pub own_answer: Option<&'static str>,
    /// Whether a runtime signs with `from`.
    pub signs: bool,
    /// The member of a create with the program's file.
    pub file: &'static str,
    /// The action that reports the end of a module.
    pub end: &'static str,
    /// How output is written.
    pub output: Text,
    /// How input is read.
    pub input: Text,
    /// Whether a request reaches all runtimes, so that only its `parent` says whose it is.
    pub shares_requests: bool,
}

/// How bytes of a module look on its topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// As they are.
    Raw,
    /// As a string of JSON.
    Json,
    /// As they are, without the line's end.
    Line,
}

impl Dialect {
    /// Its words.
    pub const fn words(self) -> Words {
        match self {
            Dialect::Sideload => Words {
                request: "arts_req",
                answer: "arts_resp",
                own_request: "runtime_req",
                own_answer: Some("runtime_resp"),
                signs: false,
                file: "filename",
                end: "delete",
                output: Text::Json,
                input: Text::Json,
                shares_requests: false,
            },
            Dialect::G2 => Words {
                request: "req",
                answer: "resp",
                own_request: "req",
                own_answer: Some("resp"),
                signs: true,
                file: "file",
                end: "delete",
                output: Text::Json,
                input: Text::Line,
                shares_requests: false,
            },
            Dialect::Manager => Words {
                request: "req",
                answer: "resp",
                own_request: "req",
                own_answer: None,
                signs: false,
                file: "file",
                end: "exited",
                output: Text::Raw,
                input: Text::Raw,
                shares_requests: false,
            },
            Dialect::AppLauncher => Words {
                request: "req",
                answer: "resp",
                own_request: "req",
                own_answer: Some("resp"),
                signs: true,
                file: "file",
                end: "delete",
                output: Text::Json,
                input: Text::Line,
                shares_requests: true,
            },
        }
    }
}
