//! `shellrt-edged`: the edge daemon.

fn main() {}
