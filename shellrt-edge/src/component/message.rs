//! The line protocol's messages: one JSON object per line, told apart by `op`.
//!
//! What a member means, both worlds included, is said once, at the member. Unknown members are ignored.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::payload::{Payload, State};

/// What the daemon says to a component.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum ToComponent {
    /// The first of all; answered by `ready` or `error`.
    Init(Init),
    /// Something that is not answered.
    Cast(Cast),
    /// Something that is answered.
    Call {
        /// Chosen by the daemon.
        id: u64,
        /// What is asked.
        #[serde(flatten)]
        call: Call,
    },
    /// A publication of a topic that the component has subscribed to.
    Event(Event),
    /// The answer to a call of the component's own.
    Reply {
        /// Chosen by the component.
        id: Id,
        /// The answer.
        #[serde(flatten)]
        content: Content,
    },
    /// The answer to a call of the component's own: there is none.
    NoReply {
        /// Chosen by the component.
        id: Id,
    },
    /// A call of the component's own went wrong, or, without an id, it broke the protocol.
    Error {
        /// Chosen by the component.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Id>,
        /// What went wrong.
        #[serde(flatten)]
        problem: Problem,
    },
    /// The answer to an open call is not needed any more.
    Cancel {
        /// Chosen by the daemon.
        id: u64,
    },
    /// The component has to end by itself.
    Stop,
}

/// What a component says to the daemon.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum FromComponent {
    /// Init is done.
    Ready,
    /// Something that is not answered.
    Cast {
        /// For whom.
        #[serde(flatten)]
        target: Target,
        /// What.
        #[serde(flatten)]
        data: Payload,
        /// How long to wait before it goes, in milliseconds.
        #[serde(default)]
        delay_ms: Option<u64>,
    },
    /// Something that is answered.
    Call {
        /// Chosen by the component.
        id: Id,
        /// What is asked.
        #[serde(flatten)]
        call: OwnCall,
    },
    /// It offers a procedure.
    Register {
        /// Chosen by the component.
        id: Id,
        /// Its name.
        procedure: String,
        /// As the orchestrator's protocol has them.
        #[serde(default)]
        options: Map<String, Value>,
    },
    /// It offers a procedure no more.
    Unregister {
        /// Chosen by the component.
        id: Id,
        /// Its name.
        procedure: String,
    },
    /// It wants to hear a topic.
    Subscribe {
        /// Chosen by the component.
        id: Id,
        /// Its name.
        topic: String,
        /// As the orchestrator's protocol has them.
        #[serde(default)]
        options: Map<String, Value>,
    },
    /// It wants to hear a topic no more.
    Unsubscribe {
        /// Chosen by the component.
        id: Id,
        /// Its name.
        topic: String,
    },
    /// It has something for a topic.
    Publish {
        /// Where it is there, the publication is acknowledged by a `reply`.
        #[serde(default)]
        id: Option<Id>,
        /// The topic and what it is.
        #[serde(flatten)]
        event: Event,
        /// As the orchestrator's protocol has them.
        #[serde(default)]
        options: Map<String, Value>,
    },
    /// The state that it wants to be given by the next `init`.
    Sync {
        /// Any bytes.
        #[serde(flatten)]
        state: State,
    },
    /// A line for the log.
    Log(Log),
    /// The answer to a call of the daemon's.
    Reply {
        /// Chosen by the daemon.
        id: u64,
        /// The answer.
        #[serde(flatten)]
        content: Content,
    },
    /// The answer to a call of the daemon's: there is none.
    NoReply {
        /// Chosen by the daemon.
        id: u64,
    },
    /// A call of the daemon's went wrong, or, without an id, init has.
    Error {
        /// Chosen by the daemon.
        #[serde(default)]
        id: Option<u64>,
        /// What went wrong.
        #[serde(flatten)]
        problem: Problem,
    },
    /// The answer to an open call is not needed any more.
    Cancel {
        /// Chosen by the component.
        id: Id,
    },
}

/// All that a component may say.
pub const OPS: [&str; 14] = [
    "ready",
    "cast",
    "call",
    "register",
    "unregister",
    "subscribe",
    "unsubscribe",
    "publish",
    "sync",
    "log",
    "reply",
    "no_reply",
    "error",
    "cancel",
];

/// The name of an open request, chosen by who asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "an id is a text, or a whole number that is not negative"
)]
pub enum Id {
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
}

/// What a component begins with.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Init {
    /// Who it is.
    pub instance: Instance,
    /// What it is started with.
    #[serde(flatten)]
    pub data: Payload,
    /// What it has synced last.
    #[serde(flatten)]
    pub state: State,
    /// Whatever else the link gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
}

/// An instance of a component.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Instance {
    /// The node that it is on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Its own id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub function: String,
    /// The name that the settings have for it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// Something that is not answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cast {
    /// Who says it: an [`Instance`] or a text.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub from: Value,
    /// What.
    #[serde(flatten)]
    pub data: Payload,
}

/// Something that a component is asked: data (EDGELESS), or a procedure's arguments (WAMP).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Call {
    /// Who asks: an [`Instance`] or a text.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub from: Value,
    /// Which procedure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub procedure: Option<String>,
    /// What.
    #[serde(flatten)]
    pub content: Content,
}

/// Something that a component asks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct OwnCall {
    /// Whom.
    #[serde(flatten)]
    pub target: Target,
    /// Which procedure.
    #[serde(default)]
    pub procedure: Option<String>,
    /// What.
    #[serde(flatten)]
    pub content: Content,
    /// As the orchestrator's protocol has them.
    #[serde(default)]
    pub options: Map<String, Value>,
}

/// Data, or arguments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// EDGELESS has this.
    #[serde(flatten)]
    pub data: Payload,
    /// WAMP has these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Value>,
    /// WAMP has these.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub kwargs: Map<String, Value>,
    /// Whether more of the same answer follows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub progress: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// A publication.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its topic.
    pub topic: String,
    /// What.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Value>,
    /// What.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub kwargs: Map<String, Value>,
}

/// What went wrong. WAMP's errors have arguments too.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// In words.
    #[serde(default)]
    pub message: String,
    /// WAMP's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// WAMP's arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Value>,
    /// WAMP's arguments.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub kwargs: Map<String, Value>,
}

impl Problem {
    /// A problem in words only.
    pub fn new(message: impl Into<String>) -> Problem {
        Problem {
            message: message.into(),
            ..Problem::default()
        }
    }
}

/// A line for the log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Log {
    /// How important it is.
    pub level: Level,
    /// Who writes it.
    #[serde(default)]
    pub target: String,
    /// What.
    #[serde(default)]
    pub message: String,
}

/// How important a line for the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Something went wrong.
    Error,
    /// Something may go wrong.
    Warn,
    /// Something has happened.
    Info,
    /// For who looks for a fault.
    Debug,
    /// Everything.
    Trace,
}

/// Whom a component means.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "TargetMembers")]
pub enum Target {
    /// `to`: a name that the orchestrator has mapped to an instance.
    Alias(String),
    /// `to_node` and `to_function`: an instance.
    Instance {
        /// Its node.
        node: String,
        /// Its own id.
        function: String,
    },
    /// Nobody is named: it is a procedure that is called.
    Nobody,
}

#[derive(Deserialize)]
struct TargetMembers {
    to: Option<String>,
    to_node: Option<String>,
    to_function: Option<String>,
}

impl TryFrom<TargetMembers> for Target {
    type Error = &'static str;

    fn try_from(members: TargetMembers) -> Result<Self, Self::Error> {
        match (members.to, members.to_node, members.to_function) {
            (Some(alias), None, None) => Ok(Target::Alias(alias)),
            (None, Some(node), Some(function)) => Ok(Target::Instance { node, function }),
            (None, None, None) => Ok(Target::Nobody),
            _ => Err("it takes either \"to\", or both \"to_node\" and \"to_function\""),
        }
    }
}
