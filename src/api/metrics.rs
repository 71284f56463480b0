//! `GET /metrics`: what the daemon counts, and how much waits.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;

use super::App;
use super::failure::ApiError;
use super::types::{Metric, MetricKind, Metrics};
use crate::actions::ActionError;
use crate::desk::copy::CopyState;
use crate::desk::id::CopyId;
use crate::metrics::{self, Protocol};
use crate::net::tls::Certificates;
use crate::store::tables::COPY_STATES;
use crate::store::{Order, Read};

/// Before every name, so that they stand together among others' metrics.
const PREFIX: &str = "guichet_";
/// The copies that wait in each state; what is sent is only counted.
const WAITING: [CopyState; 3] = [CopyState::Queued, CopyState::Deferred, CopyState::Held];
/// How many waiting copies are counted one by one; a longer queue shows as this long.
const MOST_WAITING: usize = 100_000;

pub(super) async fn show(State(app): State<App>) -> Result<Json<Metrics>, ApiError> {
    let Some(counters) = app.metrics.clone() else {
        return Err(ApiError::not_found("no daemon runs, and nothing else counts"));
    };
    let mut metrics: Vec<Metric> = counters
        .all()
        .map(|(family, value, count)| Metric {
            name: counter(family),
            kind: MetricKind::Counter,
            help: family.help.to_owned(),
            labels: BTreeMap::from([(family.label.to_owned(), value.to_owned())]),
            value: count,
        })
        .collect();
    let waiting = app.read(|tx, _| {
        let count = |state: CopyState| {
            let range = (state as u8, CopyId(0))..=(state as u8, CopyId(u64::MAX));
            let waiting = tx.range(&COPY_STATES, range, Order::Up, MOST_WAITING)?;
            Ok::<_, ActionError>(waiting.len())
        };
        WAITING.into_iter().map(|state| Ok((state, count(state)?))).collect::<Result<Vec<_>, _>>()
    });
    for (state, count) in waiting.await? {
        metrics.push(Metric {
            name: format!("{PREFIX}queue_copies"),
            kind: MetricKind::Gauge,
            help: "Copies that wait to be delivered, by state.".to_owned(),
            labels: BTreeMap::from([("state".to_owned(), state.to_string())]),
            value: count as u64,
        });
    }
    metrics.push(Metric {
        name: format!("{PREFIX}destinations_down"),
        kind: MetricKind::Gauge,
        help: "Destinations that nothing is sent to until they answer.".to_owned(),
        labels: BTreeMap::new(),
        value: counters.outages.count() as u64,
    });
    for (name, help, protocol) in [
        ("open_connections", "SMTP connections now, submission included.", Protocol::Smtp),
        ("open_imap_connections", "IMAP connections now.", Protocol::Imap),
    ] {
        metrics.push(Metric {
            name: format!("{PREFIX}{name}"),
            kind: MetricKind::Gauge,
            help: help.to_owned(),
            labels: BTreeMap::new(),
            value: counters.open(protocol),
        });
    }
    for (name, until) in app.certificates.iter().flat_map(Certificates::expiries) {
        metrics.push(Metric {
            name: format!("{PREFIX}certificate_expiry_timestamp_seconds"),
            kind: MetricKind::Gauge,
            help: "Until when the certificate of a name holds, in seconds since 1970.".to_owned(),
            labels: BTreeMap::from([("name".to_owned(), name)]),
            value: u64::try_from(until.as_second()).unwrap_or(0),
        });
    }
    Ok(Json(Metrics { metrics }))
}

/// The whole name of a counter.
fn counter(family: &metrics::Family) -> String {
    format!("{PREFIX}{}_total", family.name)
}
