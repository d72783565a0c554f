//! Between what a component says and what crosses the wire. Pure.

use serde_json::Value;

use super::message::Payload;
use super::session::{Answer, CANCELED, RUNTIME_ERROR};
use super::value;
use crate::component::{Content, Problem};

/// What a router's payload is to a component.
pub fn content(payload: Payload, progress: bool) -> Content {
    Content {
        args: payload.args,
        kwargs: payload.kwargs,
        progress,
        ..Content::default()
    }
}

/// What a component's content is to a router. Plain data is the only argument.
pub fn payload(content: Content) -> Payload {
    let Content {
        data,
        mut args,
        kwargs,
        progress: _,
    } = content;
    if args.is_empty() && !data.0.is_empty() {
        args.push(Value::String(match std::str::from_utf8(&data.0) {
            Ok(text) => text.to_owned(),
            Err(_) => value::text_of(&data.0),
        }));
    }
    Payload { args, kwargs }
}

/// What a router's error is to a component.
pub fn problem(uri: String, payload: Payload) -> Problem {
    let said = payload.args.first().and_then(Value::as_str);
    Problem {
        message: said.map_or_else(|| uri.clone(), str::to_owned),
        uri: Some(uri),
        args: payload.args,
        kwargs: payload.kwargs,
    }
}

/// What a component's error is to a router: what it said is its argument, where it gave none.
pub fn error(problem: Problem) -> (String, Payload) {
    let Problem {
        message,
        uri,
        mut args,
        kwargs,
    } = problem;
    if args.is_empty() && !message.is_empty() {
        args.push(message.into());
    }
    let uri = uri.unwrap_or_else(|| RUNTIME_ERROR.to_owned());
    (uri, Payload { args, kwargs })
}

/// An error of the daemon's own, for a component.
pub fn refusal(uri: &str, why: &dyn std::fmt::Display) -> Answer {
    Answer::Error {
        uri: uri.to_owned(),
        payload: Payload {
            args: vec![why.to_string().into()],
            kwargs: Default::default(),
        },
    }
}

/// What a caller hears of a component that is not there any more.
pub fn ended() -> Problem {
    Problem {
        uri: Some(CANCELED.to_owned()),
        ..Problem::new("the component has ended")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_is_an_argument() {
        for (line, args) in [
            (json!({"args": [1], "data": "x"}), json!([1])),
            (json!({"data": "x"}), json!(["x"])),
            (json!({"data_base64": "/w=="}), json!(["\0/w=="])),
            (json!({}), json!([])),
        ] {
            let content: Content = serde_json::from_value(line.clone()).unwrap();
            assert_eq!(Value::Array(payload(content).args), args, "{line}");
        }
    }

    #[test]
    fn errors_both_ways() {
        let payload = Payload {
            args: vec!["no such thing".into()],
            ..Payload::default()
        };
        let heard = problem("org.edge.error.not_found".to_owned(), payload.clone());
        assert_eq!(heard.message, "no such thing");
        assert_eq!(
            error(heard),
            ("org.edge.error.not_found".to_owned(), payload)
        );
        let (uri, payload) = error(Problem::new("it broke"));
        assert_eq!(
            (&*uri, &payload.args[..]),
            ("wamp.error.runtime_error", &[json!("it broke")][..])
        );
        assert_eq!(problem("a.b".to_owned(), Payload::default()).message, "a.b");
    }
}
