//! Volumes: directories of ours that modules have as mounts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use containerd_client::types::Mount;
use shellrt_api::v0::config::containerd::Config;

use crate::error::Error;
use crate::image::Image;
use crate::module::Files;
use crate::Context;

/// Makes the directories of the volumes that `config` and `image` want; the answer has them by the
/// path in the container.
///
/// # Errors
/// What the operating system refuses.
pub fn prepare(
    _context: &Context,
    _files: &Files,
    _config: &Config,
    _image: &Image,
    _rootfs: &[Mount],
) -> Result<BTreeMap<String, PathBuf>, Error> {
    Ok(BTreeMap::new())
}
