//! `guichet metrics`: what the daemon counts, for Prometheus and for people.

use std::fmt::Write as _;

use super::client::Call;
use super::{Desk, Failure};
use crate::api::types::{MetricKind, Metrics};

pub(super) fn run(desk: &mut Desk<'_>) -> Result<(), Failure> {
    desk.print(&Call::get(&["metrics"]), |metrics, _| text(metrics))
}

/// Prometheus' text format, version 0.0.4: names, labels and help are ours, so nothing needs escaping.
fn text(metrics: &Metrics) -> String {
    let mut text = String::new();
    let mut last = "";
    for metric in &metrics.metrics {
        if metric.name != last {
            let kind = match metric.kind {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
            };
            let _ = writeln!(text, "# HELP {} {}\n# TYPE {} {kind}", metric.name, metric.help, metric.name);
            last = &metric.name;
        }
        let labels: Vec<_> = metric.labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(text, "{}{labels} {}", metric.name, metric.value);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_name_is_explained_once() {
        let metrics = serde_json::from_value(json!({ "metrics": [
            {"name": "guichet_copies_total", "type": "counter", "help": "Copies.", "labels": {"outcome": "sent"}, "value": 3},
            {"name": "guichet_copies_total", "type": "counter", "help": "Copies.", "labels": {"outcome": "failed"}, "value": 0},
            {"name": "guichet_open_connections", "type": "gauge", "help": "Connections now.", "value": 1}]}))
        .unwrap();
        assert_eq!(
            text(&metrics),
            "\
# HELP guichet_copies_total Copies.
# TYPE guichet_copies_total counter
guichet_copies_total{outcome=\"sent\"} 3
guichet_copies_total{outcome=\"failed\"} 0
# HELP guichet_open_connections Connections now.
# TYPE guichet_open_connections gauge
guichet_open_connections 1
"
        );
    }
}
