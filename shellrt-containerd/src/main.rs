//! `shellrt-containerd`: with no arguments it serves one request and exits.

use std::ffi::OsString;
use std::process::ExitCode;

use shellrt_plugin::cli;

const HELP: &str = "\
shellrt-containerd runs modules as containers, over containerd.

It takes no arguments: it reads one JSON request from stdin, answers it on stdout and exits. The
command line over it is shellrt-driver:

  shellrt-driver containerd version

Environment:
  CONTAINERD_ADDRESS        containerd's socket [/run/containerd/containerd.sock]
  CONTAINERD_NAMESPACE      the namespace of all that is made [shellrt]
  CONTAINERD_SNAPSHOTTER    the snapshotter unless a config names one [overlayfs, else the best]
  SHELLRT_CONTAINERD_ROOT   the state directory [/var/lib/shellrt/containerd for root, else
                            ~/.local/share/shellrt/containerd]
  SHELLRT_CONTAINERD_UNPACK how layers are unpacked: direct, uncompressed or apply [direct]
  SHELLRT_CDI_DIRS          devices of the Container Device Interface [/etc/cdi:/var/run/cdi]
  SHELLRT_HOSTS_DIR         registry hosts, as containerd has them [/etc/containerd/certs.d]
  NETCONFPATH               CNI's networks [/etc/cni/net.d]
  CNI_PATH                  CNI's plugins [/opt/cni/bin, else the other usual directories]
  RUST_LOG                  what is logged to stderr [warn]
";

fn main() -> ExitCode {
    let level = env_logger::Env::default().default_filter_or("warn");
    env_logger::Builder::from_env(level).init();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.is_empty() {
        return shellrt_containerd::serve();
    }
    if let Some(status) = shellrt_containerd::internal_mode(&arguments) {
        return status;
    }
    let version = env!("CARGO_PKG_VERSION");
    cli::answer(&arguments, HELP, env!("CARGO_PKG_NAME"), version)
}
