//! What a run gives its program, owned, so that each request of a server gets it anew.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use shellrt_api::v0::config;
use shellrt_api::v0::config::wasm::Mount;
use shellrt_api::v0::logs::Stream;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use super::input::Source;
use super::network::AllowList;
use super::output::Sink;
use super::{Output, Settings, StartError};

/// How many random bytes the program may ask for at once.
const RANDOM: u64 = 64 << 20;

/// What a program is given, beside memory.
pub(super) struct Grants {
    args: Vec<String>,
    env: Vec<(String, String)>,
    mounts: Vec<Mount>,
    /// Whether it may use the network at all.
    pub network: bool,
    /// Whether it may look up names.
    pub dns: bool,
    /// Where it may connect to.
    pub allowed: Arc<AllowList>,
    output: Arc<dyn Output>,
}

impl Grants {
    /// What `settings` say, for a program that is called `name`.
    pub fn new(
        name: &str,
        settings: &Settings,
        output: Arc<dyn Output>,
    ) -> Result<Grants, StartError> {
        let config = settings.config;
        let allowed = AllowList::parse(&config.network.connect).map_err(|(index, reason)| {
            let path = format!("/network/connect/{index}");
            StartError::Config(config::invalid(&path, &reason.to_string()))
        })?;
        let env = settings
            .env
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()));
        Ok(Grants {
            args: std::iter::once(name)
                .chain(settings.args.iter().map(String::as_str))
                .map(str::to_owned)
                .collect(),
            env: env.collect(),
            mounts: config.mounts.clone(),
            network: !config.network.connect.is_empty(),
            dns: config.network.dns,
            allowed: Arc::new(allowed),
            output,
        })
    }

    /// A context that gives all of it. It must be called inside the event loop.
    pub fn context(&self, stdin: Option<OwnedFd>) -> Result<WasiCtxBuilder, StartError> {
        let mut builder = WasiCtxBuilder::new();
        // The thread has nothing else to do while the program waits for a file; a pool of threads
        // would cost time and memory.
        builder
            .allow_blocking_current_thread(true)
            .max_random_size(RANDOM)
            .args(&self.args)
            .envs(&self.env)
            .stdout(self.sink(Stream::Stdout))
            .stderr(self.sink(Stream::Stderr));
        if let Some(fd) = stdin {
            builder.stdin(Source::new(fd).map_err(StartError::EventLoop)?);
        }
        for mount in &self.mounts {
            let access = if mount.read_only {
                FsPerms::ReadOnly
            } else {
                FsPerms::ReadWrite
            };
            builder
                .preopened_dir(&mount.source, &mount.target, access)
                .map_err(|error| {
                    let source = error
                        .downcast()
                        .unwrap_or_else(|error| io::Error::other(format!("{error:#}")));
                    StartError::Mount {
                        source_path: mount.source.clone(),
                        source,
                    }
                })?;
        }
        if self.network {
            let allowed = self.allowed.clone();
            builder
                .allow_tcp(true)
                .allow_udp(true)
                .allow_ip_name_lookup(self.dns);
            builder.socket_addr_check(move |address, usage| {
                let allowed = allowed.clone();
                Box::pin(async move { allowed.allows_use(address, usage).await })
            });
        }
        Ok(builder)
    }

    /// Where the program's `stream` goes.
    pub fn sink(&self, stream: Stream) -> Sink {
        Sink::new(&self.output, stream)
    }

    /// Writes words of the engine's to the program's stderr, for whoever wrote the program.
    pub fn tell(&self, text: &str) {
        if let Err(error) = self.output.write(Stream::Stderr, text.as_bytes()) {
            log::error!("can't write to the program's stderr: {error}: {text}");
        }
    }
}
