//! Version 0 of the protocol: one file per message, each with its `Request` and its `Response`.
//!
//! The name of a file is the message's `_type`. [`Request`] and [`Response`] are the tables of all
//! messages. [`plugin`] is the plugin's end of the wire and [`client`] the other one.

pub mod client;
pub mod config;
pub mod plugin;

pub mod attach;
pub mod create;
pub mod events;
pub mod exec;
pub mod health;
pub mod img_list;
pub mod img_pull;
pub mod img_remove;
pub mod list;
pub mod logs;
pub mod prune;
pub mod remove;
pub mod restart;
pub mod start;
pub mod status;
pub mod stop;
pub mod sys_info;
pub mod top;
pub mod version;
pub mod wait;

mod decode;
mod error;
mod secret;

use serde::de::DeserializeOwned;
use serde::Serialize;

pub use error::{Code, Error};
pub use secret::Secret;

/// The version that this crate speaks, and the one that clients send.
pub const VERSION: &str = "0.1.0";

/// What ties a request to its `_type` and to its response.
pub trait Message: Serialize {
    /// The request's `_type`.
    const TYPE: &'static str;
    /// What answers it.
    type Response: Serialize + DeserializeOwned;
}

/// All requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "_type", rename_all = "snake_case")]
pub enum Request {
    /// Fetches an image from its registry and makes it ready to run.
    ImgPull(img_pull::Request),
    /// Removes an image from this machine.
    ImgRemove(img_remove::Request),
    /// Makes a module from an image and a config; it does not start it.
    Create(create::Request),
    /// Starts a module; a running one stays as it is.
    Start(start::Request),
    /// Stops a module that runs, with its own grace time, and starts it.
    Restart(restart::Request),
    /// Removes a module with its log and its state; its image stays.
    Remove(remove::Request),
    /// Ends a module; a stopped one stays as it is.
    Stop(stop::Request),
    /// Names the modules that exist.
    List(list::Request),
    /// How a module is.
    Status(status::Request),
    /// What a module wrote to its stdout and stderr, byte for byte.
    Logs(logs::Request),
    /// What the plugin and its runtime are.
    Version(version::Request),
    /// The processes of a running module and what they use.
    Top(top::Request),
    /// What machine this is.
    SysInfo(sys_info::Request),
    /// Returns when a module has ended and will not be restarted.
    Wait(wait::Request),
    /// A module's live output, and its input.
    Attach(attach::Request),
    /// The images on this machine.
    ImgList(img_list::Request),
    /// Runs one command inside a running module.
    Exec(exec::Request),
    /// Runs a module's configured check once; the caller owns the schedule.
    Health(health::Request),
    /// Removes what no module uses, and what broken requests left behind.
    Prune(prune::Request),
    /// What happened to modules and images.
    Events(events::Request),
}

/// All responses. They are written only: who reads one knows which request it asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Response {
    /// To [`Request::ImgPull`].
    ImgPull(img_pull::Response),
    /// To [`Request::ImgRemove`].
    ImgRemove(img_remove::Response),
    /// To [`Request::Create`].
    Create(create::Response),
    /// To [`Request::Start`].
    Start(start::Response),
    /// To [`Request::Restart`].
    Restart(restart::Response),
    /// To [`Request::Remove`].
    Remove(remove::Response),
    /// To [`Request::Stop`].
    Stop(stop::Response),
    /// To [`Request::List`].
    List(list::Response),
    /// To [`Request::Status`].
    Status(status::Response),
    /// To [`Request::Logs`].
    Logs(logs::Response),
    /// To [`Request::Version`].
    Version(version::Response),
    /// To [`Request::Top`].
    Top(top::Response),
    /// To [`Request::SysInfo`].
    SysInfo(sys_info::Response),
    /// To [`Request::Wait`].
    Wait(wait::Response),
    /// To [`Request::Attach`].
    Attach(attach::Response),
    /// To [`Request::ImgList`].
    ImgList(img_list::Response),
    /// To [`Request::Exec`].
    Exec(exec::Response),
    /// To [`Request::Health`].
    Health(health::Response),
    /// To [`Request::Prune`].
    Prune(prune::Response),
    /// To [`Request::Events`].
    Events(events::Response),
}

impl Request {
    /// Every `_type` of this version.
    pub const TYPES: [&'static str; 20] = [
        img_pull::Request::TYPE,
        img_remove::Request::TYPE,
        create::Request::TYPE,
        start::Request::TYPE,
        restart::Request::TYPE,
        remove::Request::TYPE,
        stop::Request::TYPE,
        list::Request::TYPE,
        status::Request::TYPE,
        logs::Request::TYPE,
        version::Request::TYPE,
        top::Request::TYPE,
        sys_info::Request::TYPE,
        wait::Request::TYPE,
        attach::Request::TYPE,
        img_list::Request::TYPE,
        exec::Request::TYPE,
        health::Request::TYPE,
        prune::Request::TYPE,
        events::Request::TYPE,
    ];

    /// Reads the request that `object` is, envelope and all.
    ///
    /// # Errors
    /// [`Code::UNSUPPORTED_MESSAGE`] for a `_type` that this version does not have,
    /// [`Code::INVALID_REQUEST`] for a field that is missing or of the wrong type.
    pub fn decode(object: &serde_json::Value) -> Result<Self, Error> {
        let kind = match object.get("_type") {
            Some(serde_json::Value::String(kind)) => kind.as_str(),
            Some(_) => return Err(invalid("the request's \"_type\" must be a string")),
            None => return Err(invalid("the request has no \"_type\"")),
        };
        Ok(match kind {
            img_pull::Request::TYPE => Request::ImgPull(decode::request(object)?),
            img_remove::Request::TYPE => Request::ImgRemove(decode::request(object)?),
            create::Request::TYPE => Request::Create(decode::request(object)?),
            start::Request::TYPE => Request::Start(decode::request(object)?),
            restart::Request::TYPE => Request::Restart(decode::request(object)?),
            remove::Request::TYPE => Request::Remove(decode::request(object)?),
            stop::Request::TYPE => Request::Stop(decode::request(object)?),
            list::Request::TYPE => Request::List(decode::request(object)?),
            status::Request::TYPE => Request::Status(decode::request(object)?),
            logs::Request::TYPE => Request::Logs(decode::request(object)?),
            version::Request::TYPE => Request::Version(decode::request(object)?),
            top::Request::TYPE => Request::Top(decode::request(object)?),
            sys_info::Request::TYPE => Request::SysInfo(decode::request(object)?),
            wait::Request::TYPE => Request::Wait(decode::request(object)?),
            attach::Request::TYPE => Request::Attach(decode::request(object)?),
            img_list::Request::TYPE => Request::ImgList(decode::request(object)?),
            exec::Request::TYPE => Request::Exec(decode::request(object)?),
            health::Request::TYPE => Request::Health(decode::request(object)?),
            prune::Request::TYPE => Request::Prune(decode::request(object)?),
            events::Request::TYPE => Request::Events(decode::request(object)?),
            _ => {
                let message = format!(
                    "there is no message {kind:?} in version {VERSION}; \"version\" lists what this \
                     plugin serves"
                );
                return Err(Error::message(Code::UNSUPPORTED_MESSAGE, message));
            }
        })
    }
}

fn invalid(message: &str) -> Error {
    Error::message(Code::INVALID_REQUEST, message)
}

/// For `skip_serializing_if`: an addition that is false is not written, so that old plugins never
/// see it.
fn is_false(value: &bool) -> bool {
    !value
}
