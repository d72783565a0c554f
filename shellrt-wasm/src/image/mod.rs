//! Images: where they come from, what is kept of them, and their programs, ready to run.
//!
//! A pull goes through these in order: `source` reads the reference, `origin` is the registry or
//! directory that it names, `layout` finds the program in the image's documents, `archive` gets it
//! out of a tar where it lies in one, `program` keeps and compiles it, and `record` is written last:
//! where there is a record, everything it names is on the disk.

mod config;
mod layout;
mod patience;
mod program;
mod record;
mod source;

pub use self::program::{collect, compiled, program_dir};
pub use self::record::{all, find, users, Record};
pub use self::source::{canonical, Source};
