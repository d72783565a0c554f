//! The connection to containerd: its address, its namespace, and its services with both in their
//! headers.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use containerd_client::services::v1::containers_client::ContainersClient;
use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::diff_client::DiffClient;
use containerd_client::services::v1::events_client::EventsClient;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::introspection_client::IntrospectionClient;
use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::version_client::VersionClient;
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::codegen::http::{self, HeaderValue};
use tonic::{Response, Status};

use crate::connection::{Connection, Incoming, Pending};
use crate::error::Error;

/// The variable that names containerd's socket.
pub const ADDRESS_VARIABLE: &str = "CONTAINERD_ADDRESS";

/// The variable that names the namespace.
pub const NAMESPACE_VARIABLE: &str = "CONTAINERD_NAMESPACE";

/// Where containerd listens unless the variable says otherwise.
const ADDRESS: &str = "/run/containerd/containerd.sock";

/// The namespace unless the variable says otherwise.
const NAMESPACE: &str = "shellrt";

/// The largest answer that is taken, in bytes; containerd sends 16 MiB unless it is told otherwise.
pub const MAX_ANSWER: usize = 64 << 20;

/// How long undoing may take when the request's own time is over.
const TIME_TO_UNDO: Duration = Duration::from_secs(10);

/// Where containerd is, and as whom we ask it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its socket.
    pub address: PathBuf,
    /// The namespace of everything that is asked.
    pub namespace: String,
}

impl Place {
    /// From `CONTAINERD_ADDRESS` and `CONTAINERD_NAMESPACE`.
    ///
    /// # Errors
    /// [`Error::Namespace`].
    pub fn from_env() -> Result<Self, Error> {
        let variable = |name| {
            std::env::var(name)
                .ok()
                .filter(|value: &String| !value.is_empty())
        };
        let address = variable(ADDRESS_VARIABLE).unwrap_or_else(|| ADDRESS.to_owned());
        let address = address.strip_prefix("unix://").unwrap_or(&address);
        let namespace = variable(NAMESPACE_VARIABLE).unwrap_or_else(|| NAMESPACE.to_owned());
        // containerd has the same rule for a namespace as for a container.
        if shellrt_plugin::names::check(&namespace).is_err() {
            return Err(Error::Namespace(namespace));
        }
        Ok(Place {
            address: PathBuf::from(address),
            namespace,
        })
    }
}

/// A connection. Clones share it; each has its own patience and lease.
#[derive(Clone)]
pub struct Containerd {
    runtime: Rc<Runtime>,
    connection: Connection,
    headers: Headers,
    place: Place,
    pid: Option<i32>,
    deadline: Option<Instant>,
}

/// Whatever listens at the socket, asked with our headers.
#[derive(Clone)]
pub struct Service {
    connection: Connection,
    headers: Headers,
}

/// What every request carries.
#[derive(Debug, Clone)]
struct Headers {
    namespace: HeaderValue,
    lease: Option<HeaderValue>,
}

impl tonic::codegen::Service<http::Request<Body>> for Service {
    type Response = http::Response<Incoming>;
    type Error = Status;
    type Future = Pending;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Pending {
        let headers = request.headers_mut();
        headers.insert("containerd-namespace", self.headers.namespace.clone());
        if let Some(lease) = &self.headers.lease {
            headers.insert("containerd-lease", lease.clone());
        }
        Box::pin(self.connection.clone().send(request))
    }
}

impl Containerd {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Unreachable`] where nobody listens, [`Error::Forbidden`] where we may not ask.
    pub fn connect(place: Place, deadline: Option<Instant>) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Error::system("start the runtime", source))?;
        // The socket is tried first: its errors say more than those of the layers above it.
        let unreachable = |source: io::Error| {
            let address = place.address.clone();
            match source.kind() {
                io::ErrorKind::PermissionDenied => Error::Forbidden {
                    user: rustix::process::geteuid().as_raw(),
                    address,
                    source,
                },
                _ => Error::Unreachable { address, source },
            }
        };
        let socket =
            std::os::unix::net::UnixStream::connect(&place.address).map_err(unreachable)?;
        let daemon = rustix::net::sockopt::socket_peercred(&socket).ok();
        let connection = Connection::new(socket, &place.address);
        let headers = Headers {
            namespace: place
                .namespace
                .parse()
                .map_err(|_| Error::Namespace(place.namespace.clone()))?,
            lease: None,
        };
        Ok(Containerd {
            runtime: Rc::new(runtime),
            connection,
            headers,
            place,
            pid: daemon.map(|daemon| daemon.pid.as_raw_nonzero().get()),
            deadline,
        })
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its socket.
    pub fn address(&self) -> &Path {
        &self.place.address
    }

    /// The namespace of everything that is asked.
    pub fn namespace(&self) -> &str {
        &self.place.namespace
    }

    /// The process that listens at its socket: containerd, or who holds the socket for it.
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// When the request must have been answered.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The same connection with a little time of its own, for undoing what was begun.
    pub fn to_undo(&self) -> Self {
        Containerd {
            deadline: Some(Instant::now() + TIME_TO_UNDO),
            ..self.clone()
        }
    }

    /// The same connection; what is made or touched through it is held by the lease `id`.
    pub fn with_lease(&self, id: &str) -> Self {
        let mut leased = self.clone();
        leased.headers.lease = id.parse().ok();
        leased
    }

    /// The same connection for what is in the namespace `namespace`, without a lease.
    ///
    /// # Errors
    /// [`Error::Namespace`].
    pub fn with_namespace(&self, namespace: &str) -> Result<Self, Error> {
        let mut other = self.clone();
        namespace.clone_into(&mut other.place.namespace);
        other.headers = Headers {
            namespace: namespace
                .parse()
                .map_err(|_| Error::Namespace(namespace.to_owned()))?,
            lease: None,
        };
        Ok(other)
    }

    /// The lease that holds what is made or touched through this.
    pub fn lease(&self) -> Option<&str> {
        self.headers.lease.as_ref()?.to_str().ok()
    }

    /// The same connection with a deadline that is no later than `moment`.
    pub fn until(&self, moment: Instant) -> Self {
        Containerd {
            deadline: Some(
                self.deadline
                    .map_or(moment, |deadline| deadline.min(moment)),
            ),
            ..self.clone()
        }
    }

    /// The same connection without the request's deadline.
    pub fn without_deadline(&self) -> Self {
        Containerd {
            deadline: None,
            ..self.clone()
        }
    }

    /// Runs `future` to its end, or to the deadline.
    ///
    /// # Errors
    /// [`Error::Timeout`] at the deadline, with `doing` as in "create a task".
    pub fn run<T>(
        &self,
        doing: &'static str,
        future: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.runtime.block_on(async {
            let Some(deadline) = self.deadline else {
                return future.await;
            };
            match tokio::time::timeout_at(deadline.into(), future).await {
                Ok(result) => result,
                Err(_) => Err(Error::Timeout(format!("there was no time left to {doing}"))),
            }
        })
    }

    /// Makes one call, and waits for its answer or the deadline.
    ///
    /// # Errors
    /// [`Error::Runtime`] with containerd's own words, [`Error::Timeout`] at the deadline.
    pub fn call<T>(
        &self,
        doing: &'static str,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        self.run(doing, ask(doing, call))
    }

    /// Whatever else listens at the same socket.
    pub fn service(&self) -> Service {
        Service {
            connection: self.connection.clone(),
            headers: self.headers.clone(),
        }
    }

    /// Containers: what is known of a module whether it runs or not.
    pub fn containers(&self) -> ContainersClient<Service> {
        ContainersClient::new(self.service()).max_decoding_message_size(MAX_ANSWER)
    }

    /// Tasks: containers that run.
    pub fn tasks(&self) -> TasksClient<Service> {
        TasksClient::new(self.service()).max_decoding_message_size(MAX_ANSWER)
    }

    /// Image records.
    pub fn images(&self) -> ImagesClient<Service> {
        ImagesClient::new(self.service()).max_decoding_message_size(MAX_ANSWER)
    }

    /// Blobs.
    pub fn content(&self) -> ContentClient<Service> {
        ContentClient::new(self.service()).max_decoding_message_size(MAX_ANSWER)
    }

    /// Snapshots: unpacked layers, and the writable one of each container.
    pub fn snapshots(&self) -> SnapshotsClient<Service> {
        SnapshotsClient::new(self.service()).max_decoding_message_size(MAX_ANSWER)
    }

    /// Layers become snapshots.
    pub fn diff(&self) -> DiffClient<Service> {
        DiffClient::new(self.service())
    }

    /// Leases, which keep the garbage collection away.
    pub fn leases(&self) -> LeasesClient<Service> {
        LeasesClient::new(self.service())
    }

    /// Events.
    pub fn events(&self) -> EventsClient<Service> {
        EventsClient::new(self.service())
    }

    /// What the daemon consists of.
    pub fn introspection(&self) -> IntrospectionClient<Service> {
        IntrospectionClient::new(self.service()).max_decoding_message_size(MAX_ANSWER)
    }

    /// The daemon's version.
    pub fn version(&self) -> VersionClient<Service> {
        VersionClient::new(self.service())
    }
}

/// Makes a call; `doing` as in "create a task".
///
/// # Errors
/// [`Error::Runtime`] with containerd's own words.
pub async fn ask<T>(
    doing: &'static str,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Error> {
    match call.await {
        Ok(response) => Ok(response.into_inner()),
        Err(status) => Err(Error::refused(doing, status)),
    }
}

/// `None` where containerd knows of none.
///
/// # Errors
/// Every other one.
pub fn known<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Err(error) if error.is_not_found() => Ok(None),
        answer => answer.map(Some),
    }
}

impl fmt::Debug for Containerd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Containerd")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
