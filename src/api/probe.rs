//! `/probe`: a message that tests the way out.

use std::time::Duration;

use axum::Json;
use axum::extract::State;

use super::App;
use super::failure::ApiError;
use super::request::Body;
use super::types::{Probe, ProbeFinding, ProbeSignature, ProbeState, ProbeWay, Probed};
use crate::relay::client::Outcome;
use crate::relay::probe::{End, Way};

/// The longest that is waited for a probe to come back, in seconds.
const LONGEST: u64 = 600;

pub(super) async fn send(
    State(app): State<App>,
    Body(Probe { to, wait }): Body<Probe>,
) -> Result<Json<Probed>, ApiError> {
    let Some(prober) = app.prober.clone() else {
        return Err(ApiError::invalid("no daemon runs, and it is its way out that is tested: start it first"));
    };
    let wait = wait.unwrap_or(if prober.is_ours(&to) { 60 } else { 10 });
    if wait > LONGEST {
        return Err(ApiError::malformed(format!("wait={wait}: at most {LONGEST} seconds")));
    }
    let sent = prober.send(&to, Duration::from_secs(wait)).await.map_err(ApiError::internal)?;
    let (report, back_after, findings) = match sent.end {
        End::NotAwaited | End::Silence => (None, None, Vec::new()),
        End::Reported(words) => (Some(words), None, Vec::new()),
        End::Back { after, findings } => (None, Some(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)), findings),
    };
    let state = match &sent.outcome {
        Outcome::Sent(_) if report.is_none() => ProbeState::Sent,
        Outcome::Sent(_) | Outcome::Failed(_) => ProbeState::Failed,
        Outcome::Deferred(_) | Outcome::RouteDown(_) | Outcome::Busy(_) => ProbeState::Deferred,
    };
    Ok(Json(Probed {
        to,
        message_id: sent.message_id,
        date: sent.date,
        signatures: sent.signatures.into_iter().map(|(domain, selector)| ProbeSignature { domain, selector }).collect(),
        way: match sent.way {
            Way::AsCopies => ProbeWay::Route,
            Way::Captured => ProbeWay::Captured,
            Way::ToOurselves => ProbeWay::Ourselves,
        },
        state,
        reply: sent.outcome.reply().to_string(),
        report,
        back_after,
        findings: findings
            .into_iter()
            .map(|finding| ProbeFinding { what: finding.what.to_owned(), ok: finding.ok, seen: finding.seen })
            .collect(),
    }))
}
