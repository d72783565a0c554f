//! An engine that runs, as its monitor sees it.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::process::Pid;
use shellrt_plugin::process::Identity;

use super::engine_process::Report;
use crate::cgroup::Cgroup;

/// A run that is going on.
pub struct Engine {
    pub process: Pid,
    pub identity: Identity,
    /// What the engine says, one JSON line each.
    pub report: File,
    pub said: Vec<u8>,
    pub silent: bool,
    pub ready: bool,
    pub outcome: Option<Report>,
    /// Whether the run was written down.
    pub recorded: bool,
    /// Keeps the program's stdin open between two attaches.
    pub stdin: Option<OwnedFd>,
    pub cgroup: Option<Cgroup>,
    pub began: Instant,
    pub kill_at: Option<Instant>,
    pub timed_out: bool,
}

impl Engine {
    /// Takes in what the engine said so far.
    pub fn listen(&mut self) {
        let mut buffer = [0; 4096];
        while !self.silent && readable(&self.report) {
            match self.report.read(&mut buffer) {
                Ok(0) | Err(_) => self.silent = true,
                Ok(length) => self.said.extend_from_slice(&buffer[..length]),
            }
        }
        while let Some(end) = self.said.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.said.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(Report::Ready) => self.ready = true,
                Ok(report) => self.outcome = Some(report),
                Err(error) => log::warn!("the engine said something strange: {error}"),
            }
        }
    }
}

fn readable(file: &File) -> bool {
    let mut input = [PollFd::new(file, PollFlags::IN)];
    matches!(poll(&mut input, Some(&Timespec::default())), Ok(count) if count > 0)
}
