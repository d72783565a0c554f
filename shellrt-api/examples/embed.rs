//! An edge daemon's first minute: what runs here, and how is it?
#![allow(clippy::print_stdout)] // What an example is for.

use shellrt_api::v0::client::{Error, Plugin};
use shellrt_api::v0::{list, start, status, Code};

fn main() -> Result<(), Error> {
    let plugin = std::env::args().nth(1);
    let plugin = Plugin::new(plugin.as_deref().unwrap_or("shellrt-wasm"));
    for name in plugin.call(&list::Request::default())?.modules {
        match plugin.call(&start::Request { name: name.clone() }) {
            Ok(_) => {}
            // The plugin's own "no": a code to branch on, a message for people.
            Err(Error::Plugin(error)) if error.code == Code::IMAGE_NOT_FOUND => continue,
            Err(error) => return Err(error),
        }
        let status = plugin.call(&status::Request { name: name.clone() })?;
        println!("{name}: {:?}, {}", status.status, status.status_description);
    }
    Ok(())
}
