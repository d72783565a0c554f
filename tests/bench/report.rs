//! The table, and the page that holds it.

use std::fmt::Write;

use super::machine;
use super::measure::{median, pairs, Pairs, Side};

/// What was measured so far.
pub struct Report {
    machine: String,
    rows: Vec<Row>,
    notes: Vec<String>,
}

struct Row {
    what: String,
    ours: String,
    peer: String,
    ratio: String,
    spread: String,
    target: String,
    is_met: Option<bool>,
}

impl Report {
    /// Nothing yet, on this machine, as busy as it is now.
    pub fn new() -> Self {
        Report {
            machine: machine::description(),
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Compares two sides, and gives their times. `target` is the highest ratio that is wanted.
    pub fn compare(
        &mut self,
        what: &str,
        target: Option<f64>,
        rounds: usize,
        ours: &mut Side<'_>,
        peer: &mut Side<'_>,
    ) -> Pairs {
        let pairs = pairs(rounds, ours, peer);
        self.add(what, &peer.name, target, &pairs);
        pairs
    }

    fn add(&mut self, what: &str, peer: &str, target: Option<f64>, pairs: &Pairs) {
        let (low, high) = pairs.spread();
        self.push(Row {
            what: what.to_owned(),
            ours: time(median(&pairs.ours)),
            peer: format!("{} ({peer})", time(median(&pairs.peer))),
            ratio: format!("{:.2}", pairs.ratio()),
            spread: format!("{low:.2}–{high:.2}"),
            target: target.map_or_else(String::new, |target| format!("{target:.2}")),
            is_met: target.map(|target| pairs.ratio() <= target),
        });
    }

    /// Times of both sides that are not medians of pairs.
    pub fn times(&mut self, what: &str, ours: f64, (name, theirs): (&str, f64)) {
        self.push(Row {
            what: what.to_owned(),
            ours: time(ours),
            peer: format!("{} ({name})", time(theirs)),
            ratio: format!("{:.2}", ours / theirs),
            spread: String::new(),
            target: String::new(),
            is_met: None,
        });
    }

    /// A figure in megabytes, with the peer's where there is one, and the most that is wanted.
    pub fn megabytes(
        &mut self,
        what: &str,
        ours: f64,
        peer: Option<(&str, f64)>,
        most: Option<f64>,
    ) {
        let limits = [most, peer.map(|(_, figure)| figure)];
        let limits: Vec<f64> = limits.into_iter().flatten().collect();
        let target: Vec<String> = limits
            .iter()
            .map(|limit| format!("{limit:.1} MB"))
            .collect();
        self.push(Row {
            what: what.to_owned(),
            ours: format!("{ours:.1} MB"),
            peer: peer.map_or_else(String::new, |(name, figure)| {
                format!("{figure:.1} MB ({name})")
            }),
            ratio: peer.map_or_else(String::new, |(_, figure)| format!("{:.2}", ours / figure)),
            spread: String::new(),
            target: target.join(", "),
            is_met: Some(limits.iter().all(|limit| ours <= *limit)),
        });
    }

    /// Something that the figures can't be understood without.
    pub fn note(&mut self, text: String) {
        eprintln!("  {text}");
        self.notes.push(text);
    }

    fn push(&mut self, row: Row) {
        eprintln!(
            "  {}: {} : {}, ratio {}",
            row.what, row.ours, row.peer, row.ratio
        );
        self.rows.push(row);
    }

    /// The page.
    pub fn text(&self) -> String {
        let mut text = format!(
            "# What shellrt takes, beside its peers\n\n\
            Written by `tests/bench/run`. Times are medians; the ratio is that of the medians, ours to the peer's, \
            and the spread is that of four fifths of the pairs. Both sides ran in turns, and did the same work.\n\n\
            {}\n\n\
            | what | ours | peer | ratio | spread | wanted | |\n\
            |---|---|---|---|---|---|---|\n",
            self.machine
        );
        for row in &self.rows {
            let met = match row.is_met {
                Some(true) => "met",
                Some(false) => "missed",
                None => "",
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {met} |",
                row.what, row.ours, row.peer, row.ratio, row.spread, row.target
            );
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text
    }
}

/// Seconds in a unit that can be read.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 0.1 => format!("{:.2} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}
