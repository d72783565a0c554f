//! The HTTP requests that a program sends: only to where its config says.

use std::future::Future;
use std::sync::Arc;

use hyper::http::uri::Scheme;
use hyper::{Request, Response};
use wasmtime_wasi_http::{default_send_request, Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::network::AllowList;

/// Lets requests through to listed hosts.
pub(super) struct Outgoing(Arc<AllowList>);

impl Outgoing {
    /// For the places that `allowed` lists.
    pub fn new(allowed: Arc<AllowList>) -> Outgoing {
        Outgoing(allowed)
    }

    /// The places.
    pub fn allowed(&self) -> &AllowList {
        &self.0
    }
}

/// What sends the rest of a request's body.
type Rest = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Rest,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Rest), Error>> + Send> {
        let allowed = self.0.clone();
        Box::new(async move {
            let authority = request
                .uri()
                .authority()
                .ok_or(Error::HttpRequestUriInvalid)?;
            // What stands before an `@` has no place in a request, and a resolver could take it for
            // the host.
            if authority.as_str().contains('@') {
                return Err(Error::HttpRequestUriInvalid);
            }
            let usual = if request.uri().scheme() == Some(&Scheme::HTTP) {
                80
            } else {
                443
            };
            let port = authority.port_u16().unwrap_or(usual);
            if !allowed.allows_host(authority.host(), port).await {
                return Err(Error::HttpRequestDenied);
            }
            let (response, rest) = default_send_request(request, options).await?;
            let response = response.map(http_body_util::BodyExt::boxed_unsync);
            Ok((response, Box::new(rest) as Rest))
        })
    }
}
