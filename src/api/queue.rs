//! `/queue`: copies on their way.

use std::collections::BTreeMap;
use std::ops::Bound;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;

use super::failure::ApiError;
use super::request::{Asked, Body, Caller, Named, Page};
use super::types::{Queue, QueueAction, QueueDestination, QueueDone, QueueSummary, QueuedCopy};
use super::{App, view};
use crate::actions::queue::Verb;
use crate::actions::{ActionError, copies, find, queue};
use crate::desk::copy::{Copy, CopyState};
use crate::desk::id::CopyId;
use crate::store::tables::{COPIES, COPY_STATES};
use crate::store::{Order, Read, StoreError};
use crate::trust::alignment::ascii;

/// The most copies that one request looks at.
const MOST_LOOKED_AT: usize = 5_000;
/// How many are looked up at once.
const CHUNK: usize = 512;
/// The most that one transaction changes.
const BATCH: usize = 500;
/// The most destinations that a summary names.
const MOST_DESTINATIONS: usize = 500;
/// What waits, for whatever it waits.
const WAITING: &[CopyState] = &[CopyState::Queued, CopyState::Deferred, CopyState::Held];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    state: Option<CopyState>,
    destination: Option<String>,
    ticket: Option<String>,
    /// Only copies that were queued before this.
    before: Option<Timestamp>,
    limit: Option<usize>,
    after: Option<String>,
}

/// The oldest first: those that wait, or those in a state.
pub(super) async fn list(State(app): State<App>, Asked(which): Asked<Which>) -> Result<Json<Queue>, ApiError> {
    let page = Page::of(which.limit, which.after.clone())?;
    let after = CopyId(page.place()?.unwrap_or(0));
    let destination = which.destination.as_deref().map(domain);
    let listed = app.read(move |tx, app| {
        let wanted = |copy: &Copy| {
            which.before.is_none_or(|before| copy.queued_at < before)
                && destination.as_ref().is_none_or(|destination| view::destination(copy) == *destination)
        };
        let states = which.state.as_ref().map_or(WAITING, std::slice::from_ref);
        let (found, next) = look(tx, states, which.ticket.as_deref(), after, page.limit, wanted)?;
        let metrics = app.metrics.as_deref();
        let mut names = view::Names::default();
        let copies = found.iter().map(|copy| view::queued(tx, &mut names, metrics, copy)).collect::<Result<_, _>>()?;
        Ok(Queue { copies, next: next.map(|id| id.to_string()) })
    });
    Ok(Json(listed.await?))
}

/// A domain as people write it, as copies have it.
fn domain(text: &str) -> String {
    ascii(&text.trim_end_matches('.').to_lowercase()).into_owned()
}

type Found = (Vec<Copy>, Option<CopyId>);

/// Up to `limit` wanted copies behind a place, and where to go on.
fn look(
    tx: &impl Read,
    states: &[CopyState],
    ticket: Option<&str>,
    after: CopyId,
    limit: usize,
    wanted: impl Fn(&Copy) -> bool,
) -> Result<Found, ActionError> {
    let on_ticket = ticket.map(|ticket| of_ticket(tx, ticket, after)).transpose()?;
    let (mut found, mut looked_at, mut last) = (Vec::new(), 0, after);
    loop {
        let (ids, more) = match &on_ticket {
            Some(ids) => (ids.clone(), false),
            None => in_states(tx, states, last)?,
        };
        for id in ids {
            if found.len() == limit || looked_at == MOST_LOOKED_AT {
                return Ok((found, Some(last)));
            }
            (looked_at, last) = (looked_at + 1, id);
            let copy = copies::get(tx, id)?;
            if states.contains(&copy.state) && (copy.is_listed() || copy.state == CopyState::Sent) && wanted(&copy) {
                found.push(copy);
            }
        }
        if !more {
            return Ok((found, None));
        }
    }
}

/// The copies on a ticket.
fn of_ticket(tx: &impl Read, ticket: &str, after: CopyId) -> Result<Vec<CopyId>, ActionError> {
    let entries = find::entries(tx, find::ticket(tx, ticket)?.id)?;
    let mut ids: Vec<_> = entries.into_iter().flat_map(|entry| entry.copies).filter(|id| *id > after).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// The next copies in these states, and whether there may be more.
fn in_states(tx: &impl Read, states: &[CopyState], after: CopyId) -> Result<(Vec<CopyId>, bool), StoreError> {
    let mut ids = Vec::new();
    for state in states {
        // Those that were sent are not listed by their state.
        if *state == CopyState::Sent {
            let all = tx.range(&COPIES, (Bound::Excluded(after), Bound::Unbounded), Order::Up, CHUNK)?;
            ids.extend(all.into_iter().map(|(id, _)| id));
        } else {
            let state = *state as u8;
            let range = (Bound::Excluded((state, after)), Bound::Included((state, CopyId(u64::MAX))));
            ids.extend(tx.range(&COPY_STATES, range, Order::Up, CHUNK)?.into_iter().map(|((_, id), ())| id));
        }
    }
    ids.sort_unstable();
    let more = ids.len() >= CHUNK;
    ids.truncate(CHUNK);
    Ok((ids, more))
}

/// What waits, by destination. The store is read a piece at a time, while others write to it.
pub(super) async fn summary(State(app): State<App>) -> Result<Json<QueueSummary>, ApiError> {
    let mut by_name: BTreeMap<String, QueueDestination> = BTreeMap::new();
    let mut after = CopyId(0);
    loop {
        let page = app.read(move |tx, _| look(tx, WAITING, None, after, MOST_LOOKED_AT, |_| true));
        let (copies, next) = page.await?;
        for copy in copies {
            let name = view::destination(&copy);
            let entry = by_name.entry(name).or_insert_with_key(|name| QueueDestination {
                destination: name.clone(),
                queued: 0,
                deferred: 0,
                held: 0,
                oldest_at: copy.queued_at,
                outage: None,
            });
            entry.oldest_at = entry.oldest_at.min(copy.queued_at);
            match copy.state {
                CopyState::Deferred => entry.deferred += 1,
                CopyState::Held => entry.held += 1,
                CopyState::Queued | CopyState::Sent | CopyState::Failed | CopyState::Cancelled => entry.queued += 1,
            }
        }
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    let mut destinations: Vec<_> = by_name.into_values().collect();
    let waiting = |entry: &QueueDestination| entry.queued + entry.deferred + entry.held;
    destinations.sort_by_key(|entry| std::cmp::Reverse(waiting(entry)));
    let more = destinations.len().saturating_sub(MOST_DESTINATIONS);
    destinations.truncate(MOST_DESTINATIONS);
    let mut outage = None;
    if let Some(metrics) = &app.metrics {
        outage = metrics.outages.of_route().map(view::outage);
        for entry in &mut destinations {
            entry.outage = metrics.outages.of(&entry.destination).map(view::outage);
        }
    }
    Ok(Json(QueueSummary { destinations, more, outage }))
}

pub(super) async fn show(State(app): State<App>, Named(id): Named<String>) -> Result<Json<QueuedCopy>, ApiError> {
    let shown = app.read(move |tx, app| {
        let copy = copies::get(tx, copy_id(&id)?)?;
        view::with_tries(tx, app.metrics.as_deref(), &copy)
    });
    Ok(Json(shown.await?))
}

/// Does one thing to one copy.
pub(super) async fn act(
    State(app): State<App>,
    Named((id, verb)): Named<(String, String)>,
    caller: Caller,
) -> Result<Json<QueuedCopy>, ApiError> {
    let verb: Verb = verb.parse().map_err(|_| ApiError::not_found("there is nothing at this path"))?;
    let metrics = app.metrics.clone();
    let done = app.change(&caller, |tx, act| {
        let copy = queue::named(tx, act, verb, copy_id(&id)?)?;
        view::with_tries(tx, metrics.as_deref(), &copy)
    });
    Ok(Json(done.await?))
}

/// Does one thing to all copies of a ticket, to a destination, or at all, as far as one request goes.
pub(super) async fn act_on_many(
    State(app): State<App>,
    caller: Caller,
    Body(action): Body<QueueAction>,
) -> Result<Json<QueueDone>, ApiError> {
    let verb: Verb = action.action.parse().map_err(ApiError::malformed)?;
    let given = [action.ticket.is_some(), action.destination.is_some(), action.all];
    if given.iter().filter(|given| **given).count() != 1 {
        return Err(ApiError::malformed("give one of ticket, destination and all".to_owned()));
    }
    let after = CopyId(Page { limit: BATCH, after: action.after.clone() }.place()?.unwrap_or(0));
    let destination = action.destination.as_deref().map(domain);
    let found = app.read(move |tx, _| {
        let wanted = |copy: &Copy| destination.as_ref().is_none_or(|name| view::destination(copy) == *name);
        look(tx, verb.states(), action.ticket.as_deref(), after, BATCH, wanted)
    });
    let (found, next) = found.await?;
    let ids: Vec<_> = found.iter().map(|copy| copy.id).collect();
    let done = if ids.is_empty() { 0 } else { app.change(&caller, |tx, act| queue::many(tx, act, verb, &ids)).await? };
    Ok(Json(QueueDone { done: done as u64, next: next.map(|id| id.to_string()) }))
}

fn copy_id(text: &str) -> Result<CopyId, ActionError> {
    let unknown = |_| ActionError::refused(format!("{text:?} is no copy's number; `guichet queue list` has them"));
    text.parse().map(CopyId).map_err(unknown)
}
