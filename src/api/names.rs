//! `/dns` and `/dkim`: the records that the domains need, and the keys that some of them publish.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::App;
use super::failure::ApiError;
use super::request::{Asked, Body, Named};
use super::types::{Dkim, DkimDomain, DkimKey, Dns, DnsPolicy, DnsRecord, Need, Retire};
use super::upkeep::apart;
use crate::desk::mta_sts::Policy;
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
    let records: Vec<_> = records.into_iter().map(|expected| record(expected, None)).collect();
    let announced = records.iter().filter_map(|record| record.name.strip_prefix("_mta-sts."));
    let policies = announced.map(|domain| (domain.to_owned(), None)).collect();
    Ok(Json(Dns { policies: shown(&app, policies), records }))
}

/// Asks for them, and acts on what is seen of the keys.
pub(super) async fn check(State(app): State<App>, Asked(which): Asked<Which>) -> Result<Json<Dns>, ApiError> {
    let checked = app.names.check(which.of()).await?;
    let policies = checked.policies.into_iter().map(|(domain, finding)| (domain, Some(finding))).collect();
    let records = checked.records.into_iter().map(|(expected, finding)| record(expected, Some(finding))).collect();
    Ok(Json(Dns { policies: shown(&app, policies), records }))
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

/// The policy that we serve, for each of these domains, with what was found of it.
fn shown(app: &App, domains: Vec<(String, Option<Finding>)>) -> Vec<DnsPolicy> {
    let Some(policy) = app.names.policy() else { return Vec::new() };
    let shown = |(domain, finding): (String, Option<Finding>)| {
        let Finding { found, ok, advice } = finding.unwrap_or_default();
        let url = format!("https://{}{}", Policy::host(&domain), Policy::PATH);
        DnsPolicy { domain, url, text: policy.to_string(), found, ok, advice }
    };
    domains.into_iter().map(shown).collect()
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
