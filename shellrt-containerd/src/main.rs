//! `shellrt-containerd`: with no arguments it serves one request and exits.
fn main() {}
