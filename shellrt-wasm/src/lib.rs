//! The shellrt plugin that runs modules as WebAssembly, with no daemon.

mod engine;
