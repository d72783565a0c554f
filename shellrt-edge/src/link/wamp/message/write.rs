//! From messages to the lists that cross the wire.

use serde_json::{json, Value};

use super::{Dict, Message, Payload};

impl Message {
    /// The list that crosses the wire.
    pub fn into_value(self) -> Value {
        match self {
            Message::Hello { realm, details } => json!([1, realm, details]),
            Message::Welcome { session, details } => json!([2, session, details]),
            Message::Abort { details, reason } => json!([3, details, reason]),
            Message::Challenge { method, extra } => json!([4, method, extra]),
            Message::Authenticate { signature, extra } => json!([5, signature, extra]),
            Message::Goodbye { details, reason } => json!([6, details, reason]),
            Message::Error {
                kind,
                request,
                details,
                uri,
                payload,
            } => payload.after(json!([8, kind, request, details, uri])),
            Message::Publish {
                request,
                options,
                topic,
                payload,
            } => payload.after(json!([16, request, options, topic])),
            Message::Published {
                request,
                publication,
            } => json!([17, request, publication]),
            Message::Subscribe {
                request,
                options,
                topic,
            } => json!([32, request, options, topic]),
            Message::Subscribed {
                request,
                subscription,
            } => json!([33, request, subscription]),
            Message::Unsubscribe {
                request,
                subscription,
            } => json!([34, request, subscription]),
            Message::Unsubscribed { request, details } => {
                without_empty(json!([35, request]), details)
            }
            Message::Event {
                subscription,
                publication,
                details,
                payload,
            } => payload.after(json!([36, subscription, publication, details])),
            Message::Call {
                request,
                options,
                procedure,
                payload,
            } => payload.after(json!([48, request, options, procedure])),
            Message::Cancel { request, options } => json!([49, request, options]),
            Message::Result {
                request,
                details,
                payload,
            } => payload.after(json!([50, request, details])),
            Message::Register {
                request,
                options,
                procedure,
            } => json!([64, request, options, procedure]),
            Message::Registered {
                request,
                registration,
            } => json!([65, request, registration]),
            Message::Unregister {
                request,
                registration,
            } => json!([66, request, registration]),
            Message::Unregistered { request, details } => {
                without_empty(json!([67, request]), details)
            }
            Message::Invocation {
                request,
                registration,
                details,
                payload,
            } => payload.after(json!([68, request, registration, details])),
            Message::Interrupt { request, options } => json!([69, request, options]),
            Message::Yield {
                request,
                options,
                payload,
            } => payload.after(json!([70, request, options])),
        }
    }
}

fn without_empty(mut head: Value, details: Dict) -> Value {
    if let (Value::Array(items), false) = (&mut head, details.is_empty()) {
        items.push(Value::Object(details));
    }
    head
}

impl Payload {
    /// Appended to a message: what is empty is left out, but by position comes before by name.
    fn after(self, mut head: Value) -> Value {
        if let Value::Array(items) = &mut head {
            let has_kwargs = !self.kwargs.is_empty();
            if has_kwargs || !self.args.is_empty() {
                items.push(Value::Array(self.args));
            }
            if has_kwargs {
                items.push(Value::Object(self.kwargs));
            }
        }
        head
    }
}
