//! EDGELESS functions: what calls take through one function, and what all its processes take, beside a
//! function server in Python.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tests::edgeless::{examples, grpc_python, Edged};

use super::load::Load;
use super::measure::{finish, median, quantile, Side};
use super::memory;
use super::report::Report;

/// How many calls are one measurement.
const CALLS: usize = 2_000;

/// How many of them are open at a time: as many as a function works on unless it is told otherwise, and many.
const AT_ONCE: [usize; 2] = [10, 100];

/// How many calls both sides work on at a time.
const WORKERS: &str = "100";

/// How many functions a node may well have. Ours are in one process, and their modules share all that they
/// only read.
const FUNCTIONS: usize = 30;

const ROUNDS: usize = 15;

/// What is echoed.
const TEXT: &str = "temperature=21.5,humidity=40,sensor=roof,unit=celsius";

/// Measures them.
pub fn measure(report: &mut Report) {
    let Some(peer) = Peer::start() else {
        return;
    };
    let files = tempfile::tempdir().unwrap();
    let abi = files.path().join("abi.wasm");
    let options = ["--target=wasm32", "-nostdlib", "-Wl,--no-entry"];
    compile(&options, &examples().join("edgeless_function.c"), &abi);
    let lines = files.path().join("lines.wasm");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/echo.c");
    compile(&["--target=wasm32-wasi"], &source, &lines);
    for (program, name, target) in [
        (Some(&abi), "a WASM function with EDGELESS's ABI", Some(0.1)),
        (Some(&lines), "a WASM program that speaks lines", Some(0.1)),
        (None, "the sample that is built in", None),
    ] {
        beside(report, &peer, program, name, target);
    }
    drop(peer);
    several(report, &abi);
    report.note(
        "A call of an EDGELESS function passes two pipes on its way to the module and two back, so that few \
         calls at a time mostly wait for the scheduler. Of the memory of a single one half is the daemon's own \
         program, which all functions of a node share."
            .to_owned(),
    );
}

fn compile(options: &[&str], source: &Path, program: &Path) {
    let mut command = Command::new("clang");
    command.args(options).arg("-O2").arg("-o").arg(program);
    finish(command.arg(source), "");
}

/// One function beside the peer.
fn beside(
    report: &mut Report,
    peer: &Peer,
    program: Option<&PathBuf>,
    name: &str,
    target: Option<f64>,
) {
    let mut arguments = vec!["--log-level", "INFO", "--max-workers", WORKERS];
    if let Some(program) = program {
        arguments.extend(["--module", program.to_str().unwrap()]);
    }
    let edged = Edged::start(&arguments);
    let (ours, theirs) = (Load::on(edged.ports[0]), Load::on(peer.port));
    for at_once in AT_ONCE {
        let what = format!("EDGELESS: {CALLS} calls, {at_once} at a time, {name}");
        let mut our_side = Side::new("shellrt-edged", || echo(&ours, at_once));
        let mut their_side = Side::new(Peer::NAME, || echo(&theirs, at_once));
        let pairs = report.compare(&what, target, ROUNDS, &mut our_side, &mut their_side);
        #[allow(clippy::cast_precision_loss, reason = "a small number")]
        let per_second = |times: &[f64]| CALLS as f64 / median(times);
        report.note(format!(
            "EDGELESS, {name}, {at_once} at a time: {:.0} calls a second, {} {:.0}.",
            per_second(&pairs.ours),
            Peer::NAME,
            per_second(&pairs.peer)
        ));
    }
    let (our_times, their_times) = (ours.echo(TEXT, CALLS, 1), theirs.echo(TEXT, CALLS, 1));
    for (part, which) in [(0.5, "median"), (0.99, "99 of 100")] {
        let figures = (quantile(&our_times, part), quantile(&their_times, part));
        let what = format!("EDGELESS: one call, {which}, {name}");
        report.times(&what, figures.0, (Peer::NAME, figures.1));
    }
    let (our_memory, processes) = memory_of(&edged);
    let peers_memory = memory::shares_of(&peer.mark).0;
    let what = format!("EDGELESS: {processes} processes after that, {name}");
    let most = target.map(|target| peers_memory * target);
    report.megabytes(&what, our_memory, Some((Peer::NAME, peers_memory)), most);
}

/// Several functions at once.
fn several(report: &mut Report, program: &Path) {
    let names: Vec<String> = (0..FUNCTIONS)
        .map(|number| format!("f{number}=0"))
        .collect();
    let mut arguments = vec!["--log-level", "INFO", "--module", program.to_str().unwrap()];
    for name in &names {
        arguments.extend(["--function", name]);
    }
    let edged = Edged::start(&arguments);
    let peers: Option<Vec<Peer>> = (0..FUNCTIONS).map(|_| Peer::start()).collect();
    let Some(peers) = peers else {
        return;
    };
    let ports = peers.iter().map(|peer| &peer.port).chain(&edged.ports);
    let loads: Vec<Load> = ports.map(|port| Load::on(*port)).collect();
    for load in &loads {
        load.echo(TEXT, 200, AT_ONCE[0]);
    }
    let (ours, processes) = memory_of(&edged);
    let theirs: f64 = peers
        .iter()
        .map(|peer| memory::shares_of(&peer.mark).0)
        .sum();
    #[allow(clippy::cast_precision_loss, reason = "a small number")]
    let count = FUNCTIONS as f64;
    let (ours, theirs) = (ours / count, theirs / count);
    let what = format!(
        "EDGELESS: each of {FUNCTIONS} functions with its ABI, which are {processes} processes"
    );
    let most = Some(theirs * 0.1);
    report.megabytes(&what, ours, Some((Peer::NAME, theirs)), most);
}

/// What a daemon takes with all that it has begun, and how many processes that is.
fn memory_of(edged: &Edged) -> (f64, usize) {
    let root = edged.root.path().join("wasm");
    memory::shares_of(&format!("SHELLRT_WASM_ROOT={}\0", root.display()))
}

fn echo(load: &Load, at_once: usize) -> String {
    load.echo(TEXT, CALLS, at_once).len().to_string()
}

/// The function server in Python.
struct Peer {
    child: Child,
    port: u16,
    mark: String,
}

impl Peer {
    const NAME: &str = "grpcio";

    fn start() -> Option<Peer> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let mut python = grpc_python("function.py")?;
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let mark = format!("SHELLRT_BENCH_PEER={}-{number}", std::process::id());
        let (name, value) = mark.split_once('=').unwrap();
        let mut child = python
            .args(["--port", "0", "--max-workers", WORKERS])
            .env(name, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut port).unwrap();
        Some(Peer {
            child,
            port: port.trim().parse().unwrap(),
            mark: format!("{mark}\0"),
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
