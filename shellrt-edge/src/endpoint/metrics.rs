//! The status as Prometheus reads it: its text format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use super::snapshot::{Module, Snapshot};
use crate::supervisor::Stage;

/// All stages, so that none is missing where no module is in it.
const STAGES: [(Stage, &str); 4] = [
    (Stage::Preparing, "preparing"),
    (Stage::Running, "running"),
    (Stage::Stopping, "stopping"),
    (Stage::Ended, "ended"),
];

/// What is known of modules: the metric, its kind, its help, the name in [`Module::usage`], and by how much
/// that has to be divided.
const USAGE: [(&str, &str, &str, &str, f64); 7] = [
    (
        "module_cpu_seconds_total",
        "counter",
        "Processor time of a module since it was started.",
        "cpu_ns",
        1e9,
    ),
    (
        "module_memory_bytes",
        "gauge",
        "Memory that a module uses.",
        "memory_bytes",
        1.0,
    ),
    (
        "module_memory_limit_bytes",
        "gauge",
        "Memory that a module may use.",
        "memory_limit_bytes",
        1.0,
    ),
    (
        "module_network_receive_bytes_total",
        "counter",
        "What a module received over its networks.",
        "network_rx_bytes",
        1.0,
    ),
    (
        "module_network_transmit_bytes_total",
        "counter",
        "What a module sent over its networks.",
        "network_tx_bytes",
        1.0,
    ),
    (
        "module_block_read_bytes_total",
        "counter",
        "What a module read from disks.",
        "block_read_bytes",
        1.0,
    ),
    (
        "module_block_written_bytes_total",
        "counter",
        "What a module wrote to disks.",
        "block_write_bytes",
        1.0,
    ),
];

/// The answer to `GET /metrics`.
pub(super) fn text(snapshot: &Snapshot) -> String {
    let mut text = Text::default();
    let about = &snapshot.daemon;
    text.family("build_info", "gauge", "The daemon's version.");
    text.sample("build_info", &[("version", about.version)], 1);
    text.family(
        "start_time_seconds",
        "gauge",
        "When the daemon was started.",
    );
    let started = about.started.as_millisecond() as f64 / 1000.0;
    text.sample("start_time_seconds", &[], started);
    links(&mut text, snapshot);
    text.family("modules", "gauge", "Modules by the stage of their life.");
    for (stage, name) in STAGES {
        let count = snapshot.modules.iter().filter(|it| it.stage == stage);
        text.sample("modules", &[("stage", name)], count.count());
    }
    for (metric, kind, help, name, unit) in USAGE {
        let value =
            |module: &Module| Some(*module.usage.as_ref()?.numbers.get(name)? as f64 / unit);
        let known = snapshot
            .modules
            .iter()
            .filter_map(|module| Some((module, value(module)?)));
        let known: Vec<_> = known.collect();
        if !known.is_empty() {
            text.family(metric, kind, help);
        }
        for (module, value) in known {
            let labels = [("id", module.id.as_str()), ("plugin", &module.plugin)];
            text.sample(metric, &labels, value);
        }
    }
    text.0
}

fn links(text: &mut Text, snapshot: &Snapshot) {
    if snapshot.links.is_empty() {
        return;
    }
    text.family(
        "link_connected",
        "gauge",
        "Whether a link's orchestrator is there.",
    );
    // A family stands in one piece, whatever link has it.
    let mut counters: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
    for link in &snapshot.links {
        let labels = [("link", link.name.as_str())];
        text.sample("link_connected", &labels, u8::from(link.connected));
        for (name, value) in &link.counters {
            counters.entry(name).or_default().push((&link.name, *value));
        }
    }
    for (name, values) in counters {
        let metric = format!("link_{name}_total");
        text.family(&metric, "counter", "What a link counts.");
        for (link, value) in values {
            text.sample(&metric, &[("link", link)], value);
        }
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to text can't fail.
        let _ = writeln!(self.0, "# HELP shellrt_edge_{name} {help}");
        let _ = writeln!(self.0, "# TYPE shellrt_edge_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.0, "shellrt_edge_{name}");
        if !labels.is_empty() {
            let labels: Vec<String> = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
                .collect();
            let _ = write!(self.0, "{{{}}}", labels.join(","));
        }
        let _ = writeln!(self.0, " {value}");
    }
}

/// A label's value: the backslash, the quote and the end of a line are the ones that the format escapes.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::tests::example;
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let expected = r##"# HELP shellrt_edge_build_info The daemon's version.
# TYPE shellrt_edge_build_info gauge
shellrt_edge_build_info{version="0.1.0"} 1
# HELP shellrt_edge_start_time_seconds When the daemon was started.
# TYPE shellrt_edge_start_time_seconds gauge
shellrt_edge_start_time_seconds 1795257399.5
# HELP shellrt_edge_link_connected Whether a link's orchestrator is there.
# TYPE shellrt_edge_link_connected gauge
shellrt_edge_link_connected{link="silverline/rt"} 1
# HELP shellrt_edge_link_dropped_out_total What a link counts.
# TYPE shellrt_edge_link_dropped_out_total counter
shellrt_edge_link_dropped_out_total{link="silverline/rt"} 0
# HELP shellrt_edge_link_published_total What a link counts.
# TYPE shellrt_edge_link_published_total counter
shellrt_edge_link_published_total{link="silverline/rt"} 3
# HELP shellrt_edge_modules Modules by the stage of their life.
# TYPE shellrt_edge_modules gauge
shellrt_edge_modules{stage="preparing"} 1
shellrt_edge_modules{stage="running"} 1
shellrt_edge_modules{stage="stopping"} 0
shellrt_edge_modules{stage="ended"} 0
# HELP shellrt_edge_module_cpu_seconds_total Processor time of a module since it was started.
# TYPE shellrt_edge_module_cpu_seconds_total counter
shellrt_edge_module_cpu_seconds_total{id="a\"\\\nb",plugin="wasm"} 1.5
# HELP shellrt_edge_module_memory_bytes Memory that a module uses.
# TYPE shellrt_edge_module_memory_bytes gauge
shellrt_edge_module_memory_bytes{id="a\"\\\nb",plugin="wasm"} 4096
"##;
        assert_eq!(text(&example()), expected);
    }
}
