//! The whole life of a container that does nothing.

use serde_json::json;

use super::measure::{busybox, finish, Side};
use super::report::Report;

const ROUNDS: usize = 30;

/// Measures it.
pub fn measure(report: &mut Report) {
    let Some((shellrt, image)) = busybox() else {
        return;
    };
    // ctr gives a container a network namespace with nothing in it.
    let config = json!({"command": ["true"], "network": "none"});
    let mut ours = Side::new("shellrt-containerd", || {
        shellrt.create_only("m", &image, config.clone());
        shellrt.module("start", "m");
        let status = shellrt.module("wait", "m");
        shellrt.module("remove", "m");
        status["exit_code"].to_string()
    });
    let what = "create, start, wait and remove of a container that does nothing";
    // Ours is made as docker would make it. What of that runc has to do for it as well, ctr asks for only
    // where it is told so: the seccomp profile, the cgroups, and three files of /etc.
    let cgroups = "type=cgroup,src=cgroup,dst=/sys/fs/cgroup,options=ro:nosuid:nodev:noexec";
    let files = ["hosts", "hostname", "resolv.conf"]
        .map(|file| format!("type=bind,src=/etc/{file},dst=/etc/{file},options=rbind:rprivate"));
    let mut alike = vec!["run", "--rm", "--seccomp", "--mount", cgroups];
    for file in &files {
        alike.extend(["--mount", file]);
    }
    for (name, options) in [
        ("ctr run --rm of the same container", alike.as_slice()),
        ("ctr run --rm", &["run", "--rm"]),
    ] {
        let mut peer = Side::new(name, || {
            let command = [options, &[&image, "m", "true"]].concat();
            let output = finish(&mut shellrt.containerd.ctr_command(&command), "");
            output.status.code().unwrap_or(-1).to_string()
        });
        report.compare(what, Some(0.95), ROUNDS, &mut ours, &mut peer);
    }
}
