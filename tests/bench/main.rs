//! The measurements: every comparison is made in pairs, one of ours and one of the peer's in turns, in
//! one go, with the same work done on both sides. `tests/bench/run` builds and starts this.
#![allow(clippy::unwrap_used, reason = "a measurement stops where it fails")]
#![allow(clippy::print_stdout, reason = "the table goes there")]
#![allow(clippy::print_stderr, reason = "progress goes there")]

mod edgeless;
mod floor;
mod large;
mod life;
mod load;
mod logs;
mod machine;
mod measure;
mod memory;
mod pulls;
mod report;
mod requests;
mod tree;
mod wamp;
mod wasm;

use std::path::Path;

use report::Report;

/// A part of the measurements.
type Part = fn(&mut Report);

/// All of them by their names, in the order in which they are measured.
const PARTS: [(&str, Part); 7] = [
    ("requests", requests::measure),
    ("life", life::measure),
    ("wasm", wasm::measure),
    ("logs", logs::measure),
    ("pulls", pulls::measure),
    ("edgeless", edgeless::measure),
    ("wamp", wamp::measure),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for name in &wanted {
        let known = PARTS.map(|(name, _)| name);
        assert!(
            known.contains(&name.as_str()),
            "no part {name:?}: {known:?}"
        );
    }
    let mut report = Report::new();
    for (name, measure) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|it| it == name) {
            eprintln!("{name}");
            measure(&mut report);
        }
        if wanted.is_empty() {
            let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/results.md");
            std::fs::write(page, report.text()).expect("results.md is written");
        }
    }
    println!("{}", report.text());
}
