//! The edge daemon, as far as no link makes a difference: shown with the function that is built into the
//! link to EDGELESS, which needs neither an orchestrator nor a plugin.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]
#![allow(clippy::print_stderr, reason = "a test says why it is ignored")]

/// Settings looked at without a start.
#[path = "edge_daemon/check.rs"]
mod check;

/// What it logs, how much of it, and in which form.
#[path = "edge_daemon/log.rs"]
mod log;

/// What a service manager hears.
#[path = "edge_daemon/service_manager.rs"]
mod service_manager;

/// What signals do, and that one daemon has a state directory.
#[path = "edge_daemon/signals.rs"]
mod signals;

/// The status over HTTP.
#[path = "edge_daemon/status.rs"]
mod status;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{json, Value};
use tests::edged::Edged;

/// A machine's part of the file system.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Machine {
        let dir = tempfile::tempdir().unwrap();
        Machine { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The daemon with these settings in `edge`, beside its state directory.
    fn command(&self, settings: Value) -> Command {
        let mut settings = json!({ "edge": settings });
        settings["edge"]["state_dir"] = json!(self.path("state"));
        let file = self.path("settings.yaml");
        // JSON is YAML.
        fs::write(&file, settings.to_string()).unwrap();
        let file = file.to_str().unwrap();
        Edged::command(&[
            "edgeless",
            "--config",
            file,
            "--port",
            "0",
            "--listen",
            "127.0.0.1",
        ])
    }

    /// Starts it with its status on a Unix socket.
    fn start(&self) -> (Edged, String) {
        let socket = format!("unix:{}", self.path("status.sock").display());
        let edged = Edged::start(self.command(json!({ "status": socket })));
        let url = edged.wait_for("the status is served at ");
        assert_eq!(url, socket);
        (edged, url)
    }
}
