//! Two sides in turns, what is said of their times, and what both begin with.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use tests::image::Image;
use tests::registry::{self, Registry};
use tests::shellrt::Shellrt;

/// One side of a comparison.
pub struct Side<'a> {
    /// Its name in the table.
    pub name: String,
    /// Makes the state that `run` begins with; it is not timed.
    prepare: Box<dyn FnMut() + 'a>,
    /// What is timed. It gives back what was done, to be compared with the other side.
    run: Box<dyn FnMut() -> String + 'a>,
}

impl<'a> Side<'a> {
    /// A side that needs no preparation.
    pub fn new(name: &str, run: impl FnMut() -> String + 'a) -> Self {
        Side::prepared(name, || (), run)
    }

    /// A side with something to be done before each run.
    pub fn prepared(
        name: &str,
        prepare: impl FnMut() + 'a,
        run: impl FnMut() -> String + 'a,
    ) -> Self {
        Side {
            name: name.to_owned(),
            prepare: Box::new(prepare),
            run: Box::new(run),
        }
    }

    /// One run: its seconds, and what it did.
    fn once(&mut self) -> (f64, String) {
        (self.prepare)();
        let begun = Instant::now();
        let did = (self.run)();
        (begun.elapsed().as_secs_f64(), did)
    }
}

/// What both sides took, run by run.
pub struct Pairs {
    /// Ours.
    pub ours: Vec<f64>,
    /// The peer's.
    pub peer: Vec<f64>,
}

/// So many rounds are long ones, in which the first is like the others.
const FEW: usize = 10;

/// Runs both sides in turns, `rounds` times; of many rounds there is one more, which does not count.
///
/// # Panics
/// Where the two sides have not done the same.
pub fn pairs(rounds: usize, ours: &mut Side<'_>, peer: &mut Side<'_>) -> Pairs {
    let mut pairs = Pairs {
        ours: Vec::new(),
        peer: Vec::new(),
    };
    let first = usize::from(rounds < FEW);
    for round in first..=rounds {
        let (our_time, we_did) = ours.once();
        let (peer_time, it_did) = peer.once();
        assert_eq!(we_did, it_did, "{} and {}", ours.name, peer.name);
        if round > 0 {
            pairs.ours.push(our_time);
            pairs.peer.push(peer_time);
        }
    }
    pairs
}

impl Pairs {
    /// The ratio of the medians.
    pub fn ratio(&self) -> f64 {
        median(&self.ours) / median(&self.peer)
    }

    /// The ratio in each pair: what a tenth of them is below, and a tenth above.
    pub fn spread(&self) -> (f64, f64) {
        let ratios = self.ours.iter().zip(&self.peer);
        let ratios: Vec<f64> = ratios.map(|(ours, peer)| ours / peer).collect();
        (quantile(&ratios, 0.1), quantile(&ratios, 0.9))
    }
}

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value that this part of them is not above.
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a short list"
    )]
    let place = ((sorted.len() - 1) as f64 * part).round() as usize;
    sorted[place]
}

/// Runs a command to its end with `input` at its stdin.
///
/// # Panics
/// Where it does not start or fails.
pub fn finish(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    // Whoever reads nothing may be gone by now.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    output
}

/// The same, and what it printed.
pub fn printed(command: &mut Command, input: &str) -> String {
    String::from_utf8(finish(command, input).stdout).unwrap()
}

/// A daemon that has an image of busybox, and the image's reference.
pub fn busybox() -> Option<(Shellrt, String)> {
    let shellrt = Shellrt::start()?;
    let registry = Registry::start(&registry::Options::default())?;
    let image = Image::busybox().push(&registry, "busybox", "1");
    shellrt.pull(&image);
    Some((shellrt, image))
}
