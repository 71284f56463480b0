//! `/dns` and `/dkim`: the records that the domains need, and the keys that some of them publish.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::App;
use super::failure::ApiError;
use super::request::{Asked, Body, Named};
use super::types::{Dkim, DkimDomain, DkimKey, Dns, DnsPolicy, DnsRecord, Need, Retire};
use super::upkeep::apart;
use crate::dns::check::Finding;
use crate::dns::expected::{self, Expected};
use crate::dns::{NamesError, Of, Shown};
use crate::trust::ring::{KeyState, RetireError, until};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    domain: Option<String>,
}

impl Which {
    fn of(self) -> Of {
        self.domain.map_or(Of::All, Of::Domain)
    }
}

pub(super) async fn dns(State(app): State<App>, Asked(which): Asked<Which>) -> Result<Json<Dns>, ApiError> {
    let names = app.names.clone();
    let records = apart(move || names.expected(&which.of())).await??;
    let records = records.into_iter().map(|expected| record(expected, None)).collect();
    Ok(Json(with_policies(&app, records)))
}

/// Asks for them, and acts on what is seen of the keys.
pub(super) async fn check(State(app): State<App>, Asked(which): Asked<Which>) -> Result<Json<Dns>, ApiError> {
    let checked = app.names.check(which.of()).await?;
    let records = checked.into_iter().map(|(expected, finding)| record(expected, Some(finding))).collect();
    Ok(Json(with_policies(&app, records)))
}

pub(super) async fn keys(State(app): State<App>) -> Result<Json<Dkim>, ApiError> {
    let names = app.names.clone();
    let domains = apart(move || names.list()).await??;
    Ok(Json(Dkim { domains: domains.into_iter().map(domain).collect() }))
}

pub(super) async fn rotate(State(app): State<App>, Named(name): Named<String>) -> Result<Json<DkimDomain>, ApiError> {
    let names = app.names.clone();
    Ok(Json(domain(apart(move || names.rotate(&name)).await??)))
}

pub(super) async fn retire(
    State(app): State<App>,
    Named(name): Named<String>,
    Body(Retire { selector, now }): Body<Retire>,
) -> Result<Json<DkimDomain>, ApiError> {
    let names = app.names.clone();
    Ok(Json(domain(apart(move || names.retire(&name, &selector, now)).await??)))
}

fn record(expected: Expected, finding: Option<Finding>) -> DnsRecord {
    let Finding { found, ok, advice } = finding.unwrap_or_default();
    DnsRecord {
        name: expected.name.clone(),
        kind: expected.kind().to_owned(),
        value: expected.value(),
        need: match expected.need {
            expected::Need::Required => Need::Required,
            expected::Need::Recommended => Need::Recommended,
            expected::Need::Optional => Need::Optional,
        },
        domain: expected.domain,
        purpose: expected.purpose,
        found,
        ok,
        advice,
    }
}

/// With the text of our policy, for the domains that records announce one for.
fn with_policies(app: &App, records: Vec<DnsRecord>) -> Dns {
    let announced = records.iter().filter_map(|record| record.name.strip_prefix("_mta-sts."));
    let policies = app.names.policy().map_or_else(Vec::new, |policy| {
        let shown = |domain: &str| DnsPolicy {
            domain: domain.to_owned(),
            url: format!("https://mta-sts.{domain}/.well-known/mta-sts.txt"),
            text: policy.to_string(),
        };
        announced.map(shown).collect()
    });
    Dns { records, policies }
}

fn domain(shown: Shown) -> DkimDomain {
    let keys = shown.keys.into_iter().map(|(key, record)| DkimKey {
        selector: key.selector.to_string(),
        algorithm: key.algorithm,
        state: key.state,
        since: key.since,
        retire_after: (key.state == KeyState::Old).then(|| until(&key)),
        name: record.as_ref().map(|record| record.name.clone()),
        value: record.map(|record| record.value),
    });
    DkimDomain { domain: shown.domain, keys: keys.collect() }
}

impl From<NamesError> for ApiError {
    fn from(error: NamesError) -> Self {
        match error {
            NamesError::Action(error) => error.into(),
            NamesError::Domain { .. } | NamesError::Retire(RetireError::Unknown { .. }) => {
                Self::not_found(error.to_string())
            }
            NamesError::Retire(RetireError::Signs { .. } | RetireError::UnderWay { .. }) | NamesError::Resolver(_) => {
                Self::invalid(error.to_string())
            }
            NamesError::Retire(RetireError::Key(_))
            | NamesError::Key(_)
            | NamesError::Sign(_)
            | NamesError::Broken(_) => Self::internal(error.to_string()),
        }
    }
}
