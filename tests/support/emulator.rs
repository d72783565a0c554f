//! Sessions of `shellrt-edged edgeless-cli`.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use super::binaries::program;

/// A session with the function at `port` and what is typed; its output and its exit status.
pub fn session(port: u16, typed: &str) -> (String, Option<i32>) {
    // Taken and given back: whoever else takes it meanwhile spoils the test.
    let host = TcpListener::bind("127.0.0.1:0").and_then(|host| host.local_addr());
    let host = host.expect("a free port").to_string();
    let mut cli = Command::new(program("shellrt-edged"))
        .args(["edgeless-cli", "--host-endpoint", &host])
        .args(["--function-endpoint", &format!("localhost:{port}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the emulator");
    let mut stdin = cli.stdin.take().expect("stdin");
    stdin.write_all(typed.as_bytes()).expect("it reads");
    drop(stdin);
    let output = cli.wait_with_output().expect("its end");
    let printed = String::from_utf8(output.stdout).expect("text");
    (printed, output.status.code())
}
