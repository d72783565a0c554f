//! What the user typed for this link.

use std::path::PathBuf;

/// The arguments of `shellrt-edged silverline`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder with settings.yaml, .secrets.yaml and .appsettings.yaml. Without it they are searched
    /// where the sideload runtime has them: in the working folder, its conf/ and its config/
    #[arg(long, short, value_name = "DIR")]
    pub config: Option<PathBuf>,
}
