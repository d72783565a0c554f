//! From the lists that cross the wire to messages.

use serde_json::Value;

use super::{Dict, Message, Payload, MAX_ID};

/// A list that is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not even a list.
    #[error("a message must be a list that begins with a number")]
    NoList,
    /// A number that the specification does not have.
    #[error("there is no message {0}")]
    UnknownKind(u64),
    /// An element is missing or is something else.
    #[error("message {kind} has no {what} as element {at}")]
    Element {
        /// The message's number.
        kind: u64,
        /// Which element, counted from 0.
        at: usize,
        /// What should stand there.
        what: &'static str,
    },
    /// There is more than belongs there.
    #[error("message {0} has too many elements")]
    TooLong(u64),
}

impl Message {
    /// The message that a list is.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(value: Value) -> Result<Message, Malformed> {
        let Value::Array(items) = value else {
            return Err(Malformed::NoList);
        };
        let kind = items.first().and_then(Value::as_u64);
        let kind = kind.ok_or(Malformed::NoList)?;
        let mut list = List {
            kind,
            at: 0,
            items: items.into_iter(),
        };
        list.items.next();
        let message = list.message()?;
        match list.items.next() {
            Some(_) => Err(Malformed::TooLong(kind)),
            None => Ok(message),
        }
    }
}

/// A list that is taken apart from the left.
struct List {
    kind: u64,
    at: usize,
    items: std::vec::IntoIter<Value>,
}

impl List {
    fn message(&mut self) -> Result<Message, Malformed> {
        Ok(match self.kind {
            1 => Message::Hello {
                realm: self.text()?,
                details: self.dict()?,
            },
            2 => Message::Welcome {
                session: self.id()?,
                details: self.dict()?,
            },
            3 => Message::Abort {
                details: self.dict()?,
                reason: self.text()?,
            },
            4 => Message::Challenge {
                method: self.text()?,
                extra: self.dict()?,
            },
            5 => Message::Authenticate {
                signature: self.text()?,
                extra: self.dict()?,
            },
            6 => Message::Goodbye {
                details: self.dict()?,
                reason: self.text()?,
            },
            8 => Message::Error {
                kind: self.id()?,
                request: self.id()?,
                details: self.dict()?,
                uri: self.text()?,
                payload: self.payload()?,
            },
            16 => Message::Publish {
                request: self.id()?,
                options: self.dict()?,
                topic: self.text()?,
                payload: self.payload()?,
            },
            17 => Message::Published {
                request: self.id()?,
                publication: self.id()?,
            },
            32 => Message::Subscribe {
                request: self.id()?,
                options: self.dict()?,
                topic: self.text()?,
            },
            33 => Message::Subscribed {
                request: self.id()?,
                subscription: self.id()?,
            },
            34 => Message::Unsubscribe {
                request: self.id()?,
                subscription: self.id()?,
            },
            35 => Message::Unsubscribed {
                request: self.id_or_0()?,
                details: self.dict_if_any()?,
            },
            36 => Message::Event {
                subscription: self.id()?,
                publication: self.id()?,
                details: self.dict()?,
                payload: self.payload()?,
            },
            48 => Message::Call {
                request: self.id()?,
                options: self.dict()?,
                procedure: self.text()?,
                payload: self.payload()?,
            },
            49 => Message::Cancel {
                request: self.id()?,
                options: self.dict()?,
            },
            50 => Message::Result {
                request: self.id()?,
                details: self.dict()?,
                payload: self.payload()?,
            },
            64 => Message::Register {
                request: self.id()?,
                options: self.dict()?,
                procedure: self.text()?,
            },
            65 => Message::Registered {
                request: self.id()?,
                registration: self.id()?,
            },
            66 => Message::Unregister {
                request: self.id()?,
                registration: self.id()?,
            },
            67 => Message::Unregistered {
                request: self.id_or_0()?,
                details: self.dict_if_any()?,
            },
            68 => Message::Invocation {
                request: self.id()?,
                registration: self.id()?,
                details: self.dict()?,
                payload: self.payload()?,
            },
            69 => Message::Interrupt {
                request: self.id()?,
                options: self.dict()?,
            },
            70 => Message::Yield {
                request: self.id()?,
                options: self.dict()?,
                payload: self.payload()?,
            },
            kind => return Err(Malformed::UnknownKind(kind)),
        })
    }

    fn next(&mut self) -> Option<Value> {
        self.at += 1;
        // Some routers write null where an element at the end is absent.
        self.items.next().filter(|item| !item.is_null())
    }

    fn wrong(&self, what: &'static str) -> Malformed {
        Malformed::Element {
            kind: self.kind,
            at: self.at,
            what,
        }
    }

    fn id(&mut self) -> Result<u64, Malformed> {
        let id = self.id_or_0();
        let id = id.ok().filter(|id| *id > 0);
        id.ok_or_else(|| self.wrong("id"))
    }

    fn id_or_0(&mut self) -> Result<u64, Malformed> {
        let id = self.next().and_then(|item| item.as_u64());
        let id = id.filter(|id| *id <= MAX_ID);
        id.ok_or_else(|| self.wrong("id"))
    }

    fn text(&mut self) -> Result<String, Malformed> {
        match self.next() {
            Some(Value::String(text)) => Ok(text),
            _ => Err(self.wrong("text")),
        }
    }

    fn dict(&mut self) -> Result<Dict, Malformed> {
        match self.next() {
            Some(Value::Object(dict)) => Ok(dict),
            _ => Err(self.wrong("dictionary")),
        }
    }

    fn dict_if_any(&mut self) -> Result<Dict, Malformed> {
        match self.next() {
            None => Ok(Dict::new()),
            Some(Value::Object(dict)) => Ok(dict),
            Some(_) => Err(self.wrong("dictionary")),
        }
    }

    fn payload(&mut self) -> Result<Payload, Malformed> {
        let args = match self.next() {
            None => Vec::new(),
            Some(Value::Array(args)) => args,
            Some(_) => return Err(self.wrong("list")),
        };
        let kwargs = self.dict_if_any()?;
        Ok(Payload { args, kwargs })
    }
}
