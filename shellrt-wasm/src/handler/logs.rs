//! `logs`: what a module wrote.

use shellrt_api::v0::logs::{Request, Response, Stream};
use shellrt_api::v0::plugin::Reply;
use shellrt_plugin::hangup::Hangup;
use shellrt_plugin::log::{Follow, Query, Reader, Streams};

use crate::error::Error;
use crate::module::{Module, State};
use crate::Context;

/// Opens the log.
pub fn handle(context: &Context, request: Request) -> Result<Reply, Error> {
    let Request {
        name,
        follow,
        tail,
        since,
        until,
        since_ns,
        timestamps,
        streams,
    } = request;
    let module = Module::find(&context.store, &name)?;
    let streams = streams.map_or_else(Streams::default, |streams| Streams {
        stdout: streams.contains(&Stream::Stdout),
        stderr: streams.contains(&Stream::Stderr),
    });
    let since = since_ns.or(since.map(nanoseconds));
    let query = Query {
        tail,
        since,
        until: until.map(|until| nanoseconds(until) - 1),
        timestamps,
        streams,
    };
    let response = shellrt_api::v0::Response::Logs(Response {});
    if !follow {
        return Ok(Reply::stream(
            response,
            Reader::open(&module.log_dir(), query)?,
        ));
    }
    let (log, dir) = (module.log_dir(), module.dir().to_owned());
    let ended = move || Ok(module.now().map_err(std::io::Error::other)?.state() == State::Exited);
    let mut follow = Follow::open(&log, query, ended)?
        .wake_on(&dir)
        .until_hangup(Hangup::stdout());
    if let Some(deadline) = context.deadline {
        follow = follow.until_deadline(deadline);
    }
    Ok(Reply::stream(response, follow))
}

/// `since` includes its moment, `until` does not; the log's own bounds are both included.
fn nanoseconds(seconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000)
}
