//! An edge daemon's first minute: what runs here, and how is it?

use shellrt_api::v0::client::{Error, Plugin};
use shellrt_api::v0::{list, start, status, Code};

fn main() -> Result<(), Error> {
    let plugin = Plugin::new(
        std::env::args()
            .nth(1)
            .unwrap_or_else(|| "shellrt-wasm".to_owned()),
    );
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
