//! `shellrt-driver` as a user runs it, against a plugin that does what the test says.
//!
//! The plugin is `shellrt-api/examples/scripted.sh`, so every byte that it hears and answers is
//! under control. The real plugins are tested elsewhere.

#[path = "driver/harness.rs"]
mod harness;

/// What is written to a plugin, to the byte, for every message.
#[path = "driver/payload.rs"]
mod payload;

/// What is made of answers, good and bad ones.
#[path = "driver/answer.rs"]
mod answer;

/// What follows an answer: logs, events, progress, attached modules.
#[path = "driver/stream.rs"]
mod stream;

/// What a person at a terminal sees.
#[path = "driver/terminal.rs"]
mod terminal;

/// Which plugin is started, and that no secret is seen anywhere.
#[path = "driver/start.rs"]
mod start;
