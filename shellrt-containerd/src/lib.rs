//! The shellrt plugin that runs modules as containers, over containerd's own API: the table of its
//! messages.

mod boot;
mod cgroup;
mod connection;
mod containerd;
mod cri;
mod docker;
mod error;
mod handler;
mod image;
mod lease;
mod module;
mod network;
mod spec;
mod store;
mod volume;

use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::OsString;
use std::io::Read;
use std::mem::ManuallyDrop;
use std::process::ExitCode;
use std::time::Instant;

use shellrt_api::v0::plugin::{self, Call, Reply};
use shellrt_api::v0::{Error as WireError, Request, Response};

use crate::containerd::{Containerd, Place};
pub use crate::error::Error;
use crate::module::{aside, end, monitor, restart};
use crate::network::worker;
use crate::store::Store;

/// What a handler needs beside its request.
pub struct Context {
    /// The state directory.
    pub store: Store,
    /// Where containerd is.
    pub place: Place,
    /// When the request must have been answered.
    pub deadline: Option<Instant>,
    /// What follows the request on stdin; `attach` takes it.
    pub input: RefCell<Option<Box<dyn Read + Send>>>,
    connection: OnceCell<Containerd>,
}

impl Context {
    /// What a request to the containerd at `place` needs; nothing is asked of that yet.
    pub fn new(store: Store, place: Place, deadline: Option<Instant>) -> Self {
        Context {
            store,
            place,
            deadline,
            input: RefCell::new(None),
            connection: OnceCell::new(),
        }
    }

    /// The connection to containerd, made when it is first asked for: a request that is wrong is
    /// refused without.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub fn containerd(&self) -> Result<&Containerd, Error> {
        if let Some(containerd) = self.connection.get() {
            return Ok(containerd);
        }
        let containerd = Containerd::connect(self.place.clone(), self.deadline)?;
        Ok(self.connection.get_or_init(|| containerd))
    }
}

/// Serves the one request on stdin. After a boot the first one also has the modules started that are
/// due, when it has been answered.
pub fn serve() -> ExitCode {
    let due = Cell::new(false);
    plugin::serve_then(
        &served(),
        |call: Call, request| {
            let place = Place::from_env()?;
            let context = Context::new(Store::open(&place)?, place, call.deadline);
            // The answer need not wait until what ends with the process is taken down.
            let context = ManuallyDrop::new(context);
            context.input.replace(Some(call.input));
            due.set(boot::is_first_request(&context.store));
            handle(&context, request).map_err(WireError::from)
        },
        || {
            if due.take() {
                shellrt_plugin::boot::see_to_due_later(boot::MODE);
            }
        },
    )
}

/// The messages that this plugin serves: all.
fn served() -> Vec<&'static str> {
    Request::TYPES.to_vec()
}

/// Answers `request`.
///
/// # Errors
/// See [`Error::code`].
pub fn handle(context: &Context, request: Request) -> Result<Reply, Error> {
    use handler::*;
    Ok(match request {
        Request::ImgPull(request) => img_pull::handle(context, request)?,
        Request::ImgRemove(request) => {
            Response::ImgRemove(img_remove::handle(context, request)?).into()
        }
        Request::Create(request) => Response::Create(create::handle(context, request)?).into(),
        Request::Start(request) => Response::Start(start::handle(context, request)?).into(),
        Request::Restart(request) => Response::Restart(restart::handle(context, request)?).into(),
        Request::Remove(request) => Response::Remove(remove::handle(context, request)?).into(),
        Request::Stop(request) => Response::Stop(stop::handle(context, request)?).into(),
        Request::List(request) => Response::List(list::handle(context, request)?).into(),
        Request::Status(request) => Response::Status(status::handle(context, request)?).into(),
        Request::Logs(request) => logs::handle(context, request)?,
        Request::Version(request) => Response::Version(version::handle(context, request)?).into(),
        Request::Top(request) => Response::Top(top::handle(context, request)?).into(),
        Request::SysInfo(request) => Response::SysInfo(sys_info::handle(context, request)?).into(),
        Request::Wait(request) => Response::Wait(wait::handle(context, request)?).into(),
        Request::Attach(request) => attach::handle(context, request)?,
        Request::ImgList(request) => Response::ImgList(img_list::handle(context, request)?).into(),
        Request::Exec(request) => Response::Exec(exec::handle(context, request)?).into(),
        Request::Health(request) => Response::Health(health::handle(context, request)?).into(),
        Request::Prune(request) => Response::Prune(prune::handle(context, request)?).into(),
        Request::Events(request) => events::handle(context, request)?,
    })
}

/// Runs an internal mode of this program, which it and containerd's shim start with arguments; `None`
/// where the arguments name none.
pub fn internal_mode(arguments: &[OsString]) -> Option<ExitCode> {
    let (mode, argument) = match arguments {
        [mode] => (mode, ""),
        [mode, argument] => (mode, argument.to_str()?),
        _ => return None,
    };
    let result = match mode.to_str()? {
        monitor::LOGGER_MODE => monitor::logger(argument),
        monitor::HOLDER_MODE => monitor::holder(argument),
        aside::START_MODE => aside::serve_start(argument),
        aside::CREATE_MODE => aside::serve_create(argument),
        aside::EXEC_MODE => aside::serve_exec(argument),
        worker::MODE => worker::serve(),
        end::MODE => monitor::parsed(argument).and_then(|(number, dir)| end::record(&dir, number)),
        restart::MODE => {
            monitor::parsed(argument).and_then(|(number, dir)| restart::serve(&dir, number))
        }
        boot::MODE => boot::start_due(),
        _ => return None,
    };
    Some(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    })
}
