//! What a plugin answers when it can't do what was asked: a code that programs branch on, a message
//! for people, and details.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// An error as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Error {
    /// What went wrong, for programs.
    pub code: Code,
    /// What went wrong and what to do next, for people: lower case, without a full stop.
    pub message: String,
    /// `kind` (the code's name), `retryable`, `caused_by` (the chain of causes, outermost first) and
    /// whatever else helps: `path` for a bad config, `supported` for a bad version,
    /// `retry_after_ms`.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Map::is_empty"
    )]
    pub detail: Map<String, Value>,
}

impl Error {
    /// The wire form of `error`: the message from its `Display`, the chain of its sources in
    /// `detail.caused_by`.
    pub fn new(code: Code, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut answer = Error::message(code, error.to_string());
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push(Value::String(cause.to_string()));
            source = cause.source();
        }
        if !causes.is_empty() {
            answer = answer.with("caused_by", causes);
        }
        answer
    }

    /// An error without causes.
    pub fn message(code: Code, message: impl Into<String>) -> Self {
        let mut detail = Map::new();
        if let Some(kind) = code.kind() {
            detail.insert("kind".to_owned(), kind.into());
        }
        detail.insert("retryable".to_owned(), code.retryable().into());
        Error {
            code,
            message: message.into(),
            detail,
        }
    }

    /// The same error with `key` set in its details; an earlier value is replaced.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(key.to_owned(), value.into());
        self
    }

    /// The chain of causes, outermost first; empty where the plugin sent none.
    pub fn caused_by(&self) -> impl Iterator<Item = &str> {
        let causes = self.detail.get("caused_by").and_then(Value::as_array);
        causes.into_iter().flatten().filter_map(Value::as_str)
    }

    /// Whether the same request may succeed later: what the plugin said, else what the code says.
    pub fn retryable(&self) -> bool {
        let said = self.detail.get("retryable").and_then(Value::as_bool);
        said.unwrap_or_else(|| self.code.retryable())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Old plugins may write `"detail": null`.
fn null_is_empty<'de, D: Deserializer<'de>>(input: D) -> Result<Map<String, Value>, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// What went wrong, for programs. 0 to 99 are shared by all plugins, 100 and up belong to the
/// plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(pub u32);

impl Code {
    /// The request's `_version` is none that the plugin speaks; `detail.supported` lists what is.
    pub const INCOMPATIBLE_VERSION: Code = Code(1);
    /// Not JSON, a wrong type, a missing field, a bad name.
    pub const INVALID_REQUEST: Code = Code(2);
    /// A `_type` that this plugin does not serve.
    pub const UNSUPPORTED_MESSAGE: Code = Code(3);
    /// `create.config` or its `config_type`; `detail.path` is a JSON pointer into the request.
    pub const INVALID_CONFIG: Code = Code(4);
    /// No module has this name.
    pub const MODULE_NOT_FOUND: Code = Code(5);
    /// `create` of a name that exists.
    pub const MODULE_EXISTS: Code = Code(6);
    /// The module is not in a state that allows this: `top` of a stopped one, `remove` of a running
    /// one without `force`, `attach` to stdin where there is none.
    pub const WRONG_STATE: Code = Code(7);
    /// The image is not on this machine.
    pub const IMAGE_NOT_FOUND: Code = Code(8);
    /// A module uses the image.
    pub const IMAGE_IN_USE: Code = Code(9);
    /// The image reference can't be parsed.
    pub const INVALID_REFERENCE: Code = Code(10);
    /// The registry wants other credentials.
    pub const REGISTRY_UNAUTHORIZED: Code = Code(11);
    /// The registry does not have it.
    pub const REGISTRY_NOT_FOUND: Code = Code(12);
    /// Network, TLS, or 5xx after the retries.
    pub const REGISTRY_UNREACHABLE: Code = Code(13);
    /// A digest mismatch, a malformed manifest, a media type that can't be run.
    pub const IMAGE_INVALID: Code = Code(14);
    /// The image has no variant for the platform.
    pub const PLATFORM_UNAVAILABLE: Code = Code(15);
    /// No daemon at the address.
    pub const RUNTIME_UNREACHABLE: Code = Code(16);
    /// The runtime refused; its own words are in `detail.caused_by`.
    pub const RUNTIME_ERROR: Code = Code(17);
    /// The operating system refused.
    pub const PERMISSION_DENIED: Code = Code(18);
    /// Disk full, too many files, no memory.
    pub const OUT_OF_RESOURCES: Code = Code(19);
    /// The request's deadline or timeout ran out.
    pub const TIMEOUT: Code = Code(20);
    /// A bug in the plugin; never used for any of the above.
    pub const INTERNAL: Code = Code(21);

    /// The code's name, as in `detail.kind`; `None` for a plugin's own codes.
    pub fn kind(self) -> Option<&'static str> {
        KINDS
            .get(usize::try_from(self.0).ok()?.checked_sub(1)?)
            .copied()
    }

    /// Whether the same request may succeed later without anybody changing it.
    pub fn retryable(self) -> bool {
        matches!(
            self,
            Code::REGISTRY_UNREACHABLE
                | Code::RUNTIME_UNREACHABLE
                | Code::OUT_OF_RESOURCES
                | Code::TIMEOUT
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The names of the codes from 1 on.
const KINDS: [&str; 21] = [
    "incompatible_version",
    "invalid_request",
    "unsupported_message",
    "invalid_config",
    "module_not_found",
    "module_exists",
    "wrong_state",
    "image_not_found",
    "image_in_use",
    "invalid_reference",
    "registry_unauthorized",
    "registry_not_found",
    "registry_unreachable",
    "image_invalid",
    "platform_unavailable",
    "runtime_unreachable",
    "runtime_error",
    "permission_denied",
    "out_of_resources",
    "timeout",
    "internal",
];
