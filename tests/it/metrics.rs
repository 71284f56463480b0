//! What is counted is documented, and `guichet metrics` prints it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use guichet::metrics::{Attempt, Connection, Message, Metrics};

use crate::kit::daemon::guichet;
use crate::kit::desk::TestDesk;
use crate::kit::letter::letter;

/// Name → label and values, of counters alone.
type Table = BTreeMap<String, (String, Vec<String>)>;

#[test]
fn the_table_of_the_docs_names_every_counter_with_its_values() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap();
    let mut documented = Table::new();
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, label, values, meaning] = cells[..] else { panic!("five cells, not {row}") };
        assert!(!meaning.is_empty(), "{name}");
        if kind == "counter" {
            let values = values.split(", ").map(|value| value.trim_matches('`').to_owned()).collect();
            documented.insert(name.trim_matches('`').to_owned(), (label.to_owned(), values));
        }
    }
    let mut counted = Table::new();
    for (family, value, _) in Metrics::default().all() {
        let name = format!("guichet_{}_total", family.name);
        counted.entry(name).or_insert_with(|| (family.label.to_owned(), Vec::new())).1.push(value.to_owned());
    }
    assert_eq!(documented, counted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_printed_for_prometheus_and_as_json() {
    let mut desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    desk.post(&letter("Carol <carol@example.com>").to("acme@desk.example.org")).await;
    desk.offer(&letter("Carol <carol@example.com>").to("nobody@desk.example.org")).await;
    let metrics = desk.metrics();
    assert_eq!((metrics.counted(Connection::Taken), metrics.counted(Message::Taken)), (2, 1));
    assert_eq!(metrics.counted(Attempt::Sent), 1);

    let config = desk.config_file();
    let printed = |json: bool| {
        let config = config.clone();
        async move {
            let args: &[&str] = if json { &["metrics", "--json"] } else { &["metrics"] };
            let output = tokio::task::spawn_blocking(move || guichet(&config, args)).await.unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap(), output.stderr)
        }
    };
    let (code, text, _) = printed(false).await;
    assert_eq!(code, Some(0));
    for line in [
        "# TYPE guichet_messages_total counter",
        "guichet_messages_total{outcome=\"taken\"} 1",
        "guichet_refusals_total{reason=\"unknown-recipient\"} 1",
        "guichet_copies_total{outcome=\"sent\"} 1",
        "guichet_queue_copies{state=\"queued\"} 0",
        "# TYPE guichet_open_connections gauge",
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line} is missing in\n{text}");
    }
    let (_, json, _) = printed(true).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let all = json["metrics"].as_array().unwrap();
    let taken =
        all.iter().find(|metric| metric["name"] == "guichet_messages_total" && metric["labels"]["outcome"] == "taken");
    assert_eq!(taken.unwrap()["value"], 1);

    // Without a daemon nobody counts, and zeros would be a lie.
    desk.stop().await;
    let (code, text, error) = printed(false).await;
    assert_eq!((code, text.as_str()), (Some(1), ""));
    assert!(String::from_utf8(error).unwrap().contains("no daemon runs"));
}
