//! The store's upkeep, and what was counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `POST /verify`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    pub ok: bool,
    /// How many of what was read.
    pub read: BTreeMap<String, u64>,
    pub problems: Vec<String>,
}

/// `POST /backup`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// An absolute path that doesn't exist yet, or an empty folder.
    pub directory: String,
}

/// What was copied, or restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUp {
    pub directory: String,
    pub files: u64,
    /// Octets.
    pub size: u64,
}

/// `GET /metrics`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    pub metrics: Vec<Metric>,
}

/// One number, as Prometheus has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: MetricKind,
    pub help: String,
    /// What tells it from its siblings; at most one label.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    pub value: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// Only grows while the daemon runs.
    Counter,
    Gauge,
}
