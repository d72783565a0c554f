//! The answer to `logs`, from the log store.

use crate::hangup::Hangup;
use crate::log::{Error, Follow, Query, Reader, Streams};
use shellrt_api::v0::logs::{Request, Response, Stream};
use shellrt_api::v0::plugin::Reply;
use shellrt_api::v0::Response as Answer;
use std::io;
use std::path::Path;
use std::time::Instant;

/// What `request` asks for of the log in the directory `log`. With `follow` it goes on until
/// `is_ended` says that the module has ended and will not be restarted, which is asked whenever
/// something in the directory `watched` changes; until `deadline`; and until the reader of stdout
/// goes away.
///
/// # Errors
/// [`Error::Open`] where the log can't be read.
pub fn answer(
    request: &Request,
    log: &Path,
    watched: &Path,
    deadline: Option<Instant>,
    is_ended: impl FnMut() -> io::Result<bool> + Send + 'static,
    settled: impl FnMut() + Send + 'static,
) -> Result<Reply, Error> {
    let query = query(request);
    let response = Answer::Logs(Response {});
    if !request.follow {
        return Ok(Reply::stream(response, Reader::open(log, query)?));
    }
    let mut follow = Follow::open(log, query, is_ended)?
        .wake_on(watched)
        .settle_by(settled)
        .until_hangup(Hangup::stdout());
    if let Some(deadline) = deadline {
        follow = follow.until_deadline(deadline);
    }
    Ok(Reply::stream(response, follow))
}

/// Which records a request asks for.
fn query(request: &Request) -> Query {
    let Request {
        name: _,
        follow: _,
        tail,
        since,
        until,
        since_ns,
        timestamps,
        streams,
    } = request;
    let streams = streams.as_ref();
    Query {
        tail: *tail,
        since: since_ns.or(since.map(nanoseconds)),
        // `since` includes its moment, `until` does not; the log's own bounds are both included.
        until: until.map(|until| nanoseconds(until).saturating_sub(1)),
        timestamps: *timestamps,
        streams: streams.map_or_else(Streams::default, |streams| Streams {
            stdout: streams.contains(&Stream::Stdout),
            stderr: streams.contains(&Stream::Stderr),
        }),
    }
}

fn nanoseconds(seconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_what_the_request_asks_for() {
        assert_eq!(query(&Request::default()), Query::default());
        let mut request = Request {
            tail: Some(3),
            since: Some(5),
            until: Some(7),
            timestamps: true,
            streams: Some(vec![Stream::Stderr]),
            ..Request::default()
        };
        let mut expected = Query {
            tail: Some(3),
            since: Some(5_000_000_000),
            until: Some(6_999_999_999),
            timestamps: true,
            streams: Streams {
                stdout: false,
                stderr: true,
            },
        };
        assert_eq!(query(&request), expected);
        request.since_ns = Some(9);
        expected.since = Some(9);
        assert_eq!(query(&request), expected);
        request.until = Some(i64::MAX);
        expected.until = Some(i64::MAX - 1);
        assert_eq!(query(&request), expected);
        // Seconds before the epoch, more than fit.
        request.until = Some(i64::MIN);
        expected.until = Some(i64::MIN);
        assert_eq!(query(&request), expected);
    }
}
