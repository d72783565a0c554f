//! Settings: what the files, the environment and the command line say, with the names of each world.

mod daemon;

pub use daemon::{Daemon, OnShutdown};
