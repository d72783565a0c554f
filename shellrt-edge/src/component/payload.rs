//! Bytes as members of a line: text where they are UTF-8, else base64.

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Any bytes: `data` where they are UTF-8, else `data_base64`. Absent where they are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PayloadMembers", into = "PayloadMembers")]
pub struct Payload(pub Bytes);

#[derive(Default, Serialize, Deserialize)]
struct PayloadMembers {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

impl TryFrom<PayloadMembers> for Payload {
    type Error = String;

    fn try_from(members: PayloadMembers) -> Result<Self, Self::Error> {
        decoded("data", members.data, members.data_base64).map(Payload)
    }
}

impl From<Payload> for PayloadMembers {
    fn from(payload: Payload) -> Self {
        let (data, data_base64) = encoded(&payload.0);
        PayloadMembers { data, data_base64 }
    }
}

/// As [`Payload`], under the names `state` and `state_base64`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StateMembers", into = "StateMembers")]
pub struct State(pub Bytes);

#[derive(Serialize, Deserialize)]
struct StateMembers {
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_base64: Option<String>,
}

impl TryFrom<StateMembers> for State {
    type Error = String;

    fn try_from(members: StateMembers) -> Result<Self, Self::Error> {
        decoded("state", members.state, members.state_base64).map(State)
    }
}

impl From<State> for StateMembers {
    fn from(state: State) -> Self {
        let (state, state_base64) = encoded(&state.0);
        StateMembers {
            state,
            state_base64,
        }
    }
}

fn decoded(name: &str, text: Option<String>, base64: Option<String>) -> Result<Bytes, String> {
    match (text, base64) {
        (Some(_), Some(_)) => Err(format!(
            "\"{name}\" and \"{name}_base64\" exclude each other"
        )),
        (Some(text), None) => Ok(text.into()),
        (None, Some(base64)) => STANDARD
            .decode(base64)
            .map(Bytes::from)
            .map_err(|error| format!("\"{name}_base64\" is no base64: {error}")),
        (None, None) => Ok(Bytes::new()),
    }
}

fn encoded(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok("") => (None, None),
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}
