//! `shellrt-wasm`: with no arguments it serves one request and exits.

use std::ffi::OsString;
use std::process::ExitCode;

use shellrt_plugin::cli;

const HELP: &str = "\
shellrt-wasm runs modules as WebAssembly, with no daemon.

It takes no arguments: it reads one JSON request from stdin, answers it on stdout and exits. The
command line over it is shellrt-driver:

  shellrt-driver wasm version

Environment:
  SHELLRT_WASM_ROOT            the state directory [/var/lib/shellrt/wasm for root, else
                               ~/.local/share/shellrt/wasm]
  SHELLRT_WASM_MAX_PROGRAM     the largest program that is compiled, in bytes [256m]
  SHELLRT_WASM_COMPILE_MEMORY  what compiling one may take, in bytes [4g]
  SHELLRT_HOSTS_DIR            registry hosts, as containerd has them [/etc/containerd/certs.d]
  RUST_LOG                     what is logged to stderr [warn]
";

fn main() -> ExitCode {
    let level = env_logger::Env::default().default_filter_or("warn");
    env_logger::Builder::from_env(level).init();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.is_empty() {
        return shellrt_wasm::serve();
    }
    if let Some(status) = shellrt_wasm::internal_mode(&arguments) {
        return status;
    }
    let version = env!("CARGO_PKG_VERSION");
    cli::answer(&arguments, HELP, env!("CARGO_PKG_NAME"), version)
}
