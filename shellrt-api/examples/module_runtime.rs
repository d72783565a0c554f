//! What an edge daemon wants of a runtime, over any plugin: the trait that such a daemon has anyway,
//! written with [`Plugin`].
//!
//! ```console
//! cargo run -p shellrt-api --example module_runtime -- shellrt-wasm file:hello.wasm
//! ```

#![allow(clippy::print_stdout)] // What an example is for.

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde_json::json;
use shellrt_api::v0::client::{Error, Plugin, Stream};
use shellrt_api::v0::{
    create, img_pull, img_remove, list, logs, remove, restart, start, status, stop, sys_info, top,
    Code, Secret,
};

/// A runtime for modules.
#[allow(dead_code)] // A daemon calls all of them; this example's `main` does not.
trait ModuleRuntime {
    fn pull_image(&self, image: &str, credentials: &[(&str, &str)]) -> Result<(), Error>;
    fn remove_image(&self, image: &str) -> Result<(), Error>;
    fn create(&self, module: create::Request) -> Result<(), Error>;
    /// `None` where there is no module of this name.
    fn get(&self, name: &str) -> Result<Option<status::Response>, Error>;
    fn start(&self, name: &str) -> Result<(), Error>;
    fn stop(&self, name: &str, patience: i64) -> Result<(), Error>;
    fn restart(&self, name: &str) -> Result<(), Error>;
    fn remove(&self, name: &str) -> Result<(), Error>;
    fn list(&self) -> Result<Vec<String>, Error>;
    fn list_with_details(&self) -> Result<BTreeMap<String, status::Response>, Error>;
    fn logs(&self, request: logs::Request) -> Result<Stream, Error>;
    fn top(&self, name: &str) -> Result<top::Response, Error>;
    fn system_info(&self) -> Result<sys_info::Response, Error>;
    fn remove_all(&self) -> Result<(), Error>;
}

impl ModuleRuntime for Plugin {
    fn pull_image(&self, image: &str, credentials: &[(&str, &str)]) -> Result<(), Error> {
        let credentials = credentials.iter();
        let credentials = credentials.map(|&(key, value)| (key.to_owned(), Secret::from(value)));
        let request = img_pull::Request {
            image: image.to_owned(),
            credentials: credentials.collect(),
            ..Default::default()
        };
        self.call(&request).map(|_| ())
    }

    fn remove_image(&self, image: &str) -> Result<(), Error> {
        let request = img_remove::Request {
            image: image.to_owned(),
            force: false,
        };
        self.call(&request).map(|_| ())
    }

    fn create(&self, module: create::Request) -> Result<(), Error> {
        self.call(&module).map(|_| ())
    }

    fn get(&self, name: &str) -> Result<Option<status::Response>, Error> {
        match self.call(&status::Request {
            name: name.to_owned(),
        }) {
            Ok(status) => Ok(Some(status)),
            Err(Error::Plugin(error)) if error.code == Code::MODULE_NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn start(&self, name: &str) -> Result<(), Error> {
        self.call(&start::Request {
            name: name.to_owned(),
        })
        .map(|_| ())
    }

    fn stop(&self, name: &str, patience: i64) -> Result<(), Error> {
        self.call(&stop::Request {
            name: name.to_owned(),
            timeout: Some(patience),
        })
        .map(|_| ())
    }

    fn restart(&self, name: &str) -> Result<(), Error> {
        self.call(&restart::Request {
            name: name.to_owned(),
        })
        .map(|_| ())
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        self.call(&remove::Request {
            name: name.to_owned(),
            force: true,
        })
        .map(|_| ())
    }

    fn list(&self) -> Result<Vec<String>, Error> {
        Ok(self.call(&list::Request::default())?.modules)
    }

    fn list_with_details(&self) -> Result<BTreeMap<String, status::Response>, Error> {
        Ok(self
            .call(&list::Request { details: true })?
            .details
            .unwrap_or_default())
    }

    fn logs(&self, request: logs::Request) -> Result<Stream, Error> {
        self.open(&request).map(|(_, stream)| stream)
    }

    fn top(&self, name: &str) -> Result<top::Response, Error> {
        self.call(&top::Request {
            name: name.to_owned(),
        })
    }

    fn system_info(&self) -> Result<sys_info::Response, Error> {
        self.call(&sys_info::Request::default())
    }

    fn remove_all(&self) -> Result<(), Error> {
        self.list()?.iter().try_for_each(|name| self.remove(name))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (plugin, image) = match (arguments.next(), arguments.next()) {
        (Some(plugin), Some(image)) => (Plugin::new(plugin), image),
        _ => return Err("usage: module_runtime PLUGIN IMAGE".into()),
    };
    plugin.pull_image(&image, &[])?;
    plugin.create(create::Request {
        name: "example".to_owned(),
        env: BTreeMap::new(),
        config_type: "wasm".to_owned(),
        config: json!({ "image": image }),
    })?;
    plugin.start("example")?;
    let follow = logs::Request {
        name: "example".to_owned(),
        follow: true,
        ..Default::default()
    };
    let mut output = Vec::new();
    plugin.logs(follow)?.read_to_end(&mut output)?;
    io::Write::write_all(&mut io::stdout(), &output)?;
    let status = plugin.get("example")?.unwrap_or_default();
    println!("{:?}: {}", status.status, status.status_description);
    plugin.remove_all()?;
    plugin.remove_image(&image)?;
    Ok(())
}
