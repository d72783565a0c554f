//! One call of gRPC, as it is answered: a message comes and another one goes, and the trailers say how it
//! went. Every call of a function passes here, so nothing is done that such calls have no use for.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{HeaderValue, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};
use http_body::Frame;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tonic::Status;

use super::LONGEST_MESSAGE;

/// What stands before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// How it went.
const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// What an answer consists of.
#[derive(Debug, Default)]
pub struct Body {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = match self.message.take() {
            Some(message) => Some(Frame::data(message)),
            None => self.trailers.take().map(Frame::trailers),
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && self.trailers.is_none()
    }
}

/// Decodes a request, has it handled, and encodes the answer.
pub async fn unary<T, Q, A, F, W>(
    request: http::Request<Incoming>,
    handle: F,
    it: Arc<T>,
) -> http::Response<Body>
where
    Q: prost::Message + Default,
    A: prost::Message,
    F: Fn(Arc<T>, Q) -> W,
    W: Future<Output = Result<A, Status>>,
{
    let message = match read(request.into_body()).await.and_then(decode) {
        Ok(message) => message,
        Err(status) => return status.into_http(),
    };
    match handle(it, message).await {
        Ok(answer) => reply(&answer),
        Err(status) => status.into_http(),
    }
}

/// All that a request brings.
async fn read(body: Incoming) -> Result<Bytes, Status> {
    let read = Limited::new(body, LONGEST_MESSAGE + PREFIX).collect().await;
    let read = read.map_err(|error| match error.is::<LengthLimitError>() {
        true => Status::out_of_range(format!("a message has at most {LONGEST_MESSAGE} bytes")),
        false => Status::cancelled(format!("the message has not come: {error}")),
    });
    Ok(read?.to_bytes())
}

fn decode<Q: prost::Message + Default>(mut read: Bytes) -> Result<Q, Status> {
    if read.len() < PREFIX {
        return Err(Status::internal("there is no message"));
    }
    let is_compressed = read.get_u8() != 0;
    if is_compressed {
        return Err(Status::unimplemented("messages can't be compressed"));
    }
    if usize::try_from(read.get_u32()) != Ok(read.len()) {
        return Err(Status::internal("the message has another length"));
    }
    Q::decode(read).map_err(|error| Status::internal(format!("the message is none: {error}")))
}

fn reply(answer: &impl prost::Message) -> http::Response<Body> {
    let length = answer.encoded_len();
    let Ok(prefix) = u32::try_from(length) else {
        return Status::out_of_range("the answer is too long").into_http();
    };
    let mut message = BytesMut::with_capacity(PREFIX + length);
    message.put_u8(0);
    message.put_u32(prefix);
    if answer.encode(&mut message).is_err() {
        return Status::internal("the answer can't be encoded").into_http();
    }
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(STATUS, HeaderValue::from_static("0"));
    let mut response = http::Response::new(Body {
        message: Some(message.freeze()),
        trailers: Some(trailers),
    });
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, grpc);
    response
}

#[cfg(test)]
mod tests {
    use super::super::CallReturn;
    use super::*;

    #[test]
    fn a_message_has_its_length_before_it() {
        // The type is 1, and the message is "hi".
        let framed = b"\x00\x00\x00\x00\x06\x08\x01\x12\x02hi";
        let answer: CallReturn = decode(Bytes::from_static(framed)).unwrap();
        assert_eq!((answer.r#type, &answer.msg[..]), (1, &b"hi"[..]));
        let body = reply(&answer).into_body();
        assert_eq!(body.message.as_deref(), Some(&framed[..]));
        assert_eq!(body.trailers.unwrap()["grpc-status"], "0");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for (framed, code) in [
            (&b""[..], tonic::Code::Internal),
            (b"\x00\x00\x00\x00", tonic::Code::Internal),
            (b"\x00\x00\x00\x00\x01", tonic::Code::Internal),
            (b"\x00\x00\x00\x00\x00x", tonic::Code::Internal),
            (b"\x01\x00\x00\x00\x00", tonic::Code::Unimplemented),
            (b"\x00\x00\x00\x00\x01\x08", tonic::Code::Internal),
        ] {
            let decoded = decode::<CallReturn>(Bytes::from_static(framed));
            assert_eq!(decoded.unwrap_err().code(), code, "{framed:?}");
        }
    }
}
