//! A client for OCI registries that resumes: manifests and indexes, and blobs as verified streams.
//!
//! ```no_run
//! # async fn example() -> Result<(), shellrt_plugin::registry::Error> {
//! use std::path::Path;
//! use shellrt_plugin::registry::{Choice, Client, Platform, Reference, Settings};
//!
//! let client = Client::new(Settings::from_env(&Default::default())?);
//! let reference: Reference = "alpine".parse()?;
//! let image = client.resolve(&reference, &Choice::platform(Platform::host())).await?;
//! for layer in &image.manifest.image()?.layers {
//!     let path = Path::new("/var/lib/x/blobs").join(layer.digest.hex());
//!     let partials = Path::new("/var/lib/x/partial");
//!     client.download(&reference, layer, partials, &path, |_, _, _| ()).await?;
//! }
//! # Ok(()) }
//! ```
//!
//! The transfer loop, hosts and credentials are written here on `reqwest`; of `oci-client` come the
//! media types, the registry's error documents and the token document. Its client buffers, never
//! retries, knows no `hosts.toml`, no refresh tokens and no client certificates.
//!
//! Every future here may be dropped at any time: what is on disk then is resumed by the next call.

mod auth;
mod blob;
mod choice;
mod client;
mod credentials;
mod digest;
mod download;
mod error;
mod failure;
mod helper;
mod hosts;
mod hosts_file;
mod manifest;
mod platform;
mod reference;
mod retry;
mod settings;
mod token;
mod transport;

pub use blob::{Blob, Resume};
pub use choice::{Choice, Image};
pub use client::Client;
pub use digest::{Digest, Hasher};
pub use download::Downloaded;
pub use error::Error;
pub use manifest::{Descriptor, ImageManifest, Index, Manifest};
pub use platform::Platform;
pub use reference::Reference;
pub use settings::Settings;
