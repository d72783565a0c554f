//! The shellrt plugin that runs modules as WebAssembly, with no daemon: the table of its messages.

mod boot;
mod cgroup;
pub mod engine;
mod error;
mod handler;
mod image;
mod module;
mod process;
mod store;

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::Read;
use std::process::ExitCode;
use std::time::Instant;

use shellrt_api::v0::plugin::{self, Call, Reply};
use shellrt_api::v0::{exec, Error as WireError, Message, Request, Response};

pub use crate::error::Error;
use crate::store::Store;

/// What a handler needs beside its request.
pub struct Context {
    /// The state directory.
    pub store: Store,
    /// When the request must have been answered.
    pub deadline: Option<Instant>,
    /// What follows the request on stdin; `attach` takes it.
    pub input: RefCell<Option<Box<dyn Read + Send>>>,
}

/// Serves the one request on stdin. After a boot the first one also starts the modules that are due,
/// when it has been answered.
pub fn serve() -> ExitCode {
    let due = RefCell::new(false);
    plugin::serve_then(
        &served(),
        |call: Call, request| {
            let context = Context {
                store: Store::open()?,
                deadline: call.deadline,
                input: RefCell::new(Some(call.input)),
            };
            let is_first = shellrt_plugin::boot::is_first_request(&context.store.boot());
            // A `wait` may wait for just what is due.
            if is_first && matches!(request, Request::Wait(_)) {
                shellrt_plugin::boot::see_to_due_later(boot::MODE);
            } else {
                *due.borrow_mut() = is_first;
            }
            handle(&context, request).map_err(WireError::from)
        },
        || {
            if due.take() {
                shellrt_plugin::boot::see_to_due_later(boot::MODE);
            }
        },
    )
}

/// The messages that this plugin serves. There is nothing inside a WebAssembly module that the
/// command of an `exec` could run in.
fn served() -> Vec<&'static str> {
    let all = Request::TYPES.into_iter();
    all.filter(|&message| message != exec::Request::TYPE)
        .collect()
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
        Request::Exec(_) => return Err(Error::Wire(plugin::unsupported(&request))),
        Request::Health(request) => Response::Health(health::handle(context, request)?).into(),
        Request::Prune(request) => Response::Prune(prune::handle(context, request)?).into(),
        Request::Events(request) => events::handle(context, request)?,
    })
}

/// Runs an internal mode of this program, which it starts itself with arguments; `None` where the
/// arguments name none.
pub fn internal_mode(arguments: &[OsString]) -> Option<ExitCode> {
    match arguments.first()?.to_str()? {
        engine::CHILD_MODE => Some(engine::child_main()),
        boot::MODE => Some(match boot::start_due() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                log::error!("{error}");
                ExitCode::FAILURE
            }
        }),
        _ => None,
    }
}
