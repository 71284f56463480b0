//! `/queue`: copies on their way.

use std::ops::Bound;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::failure::ApiError;
use super::request::{Asked, Caller, Named, Page};
use super::types::{Queue, QueuedCopy};
use super::{App, view};
use crate::actions::{ActionError, copies};
use crate::desk::copy::{Copy, CopyState};
use crate::desk::id::CopyId;
use crate::store::tables::{COPIES, COPY_STATES};
use crate::store::{Order, Read};

/// The most copies that one request looks at.
const MOST_LOOKED_AT: usize = 5_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    state: Option<CopyState>,
    limit: Option<usize>,
    after: Option<String>,
}

/// The oldest first: those that wait, or those in a state.
pub(super) async fn list(State(app): State<App>, Asked(which): Asked<Which>) -> Result<Json<Queue>, ApiError> {
    let page = Page::of(which.limit, which.after)?;
    let after = CopyId(page.place()?.unwrap_or(0));
    let listed = app.read(move |tx, _| {
        let (found, next) = match which.state {
            None => listed(tx, &[CopyState::Queued, CopyState::Deferred], after, page.limit)?,
            Some(CopyState::Sent) => sent(tx, after, page.limit)?,
            Some(state) => listed(tx, &[state], after, page.limit)?,
        };
        let copies = found.iter().map(|copy| view::queued(tx, copy)).collect::<Result<_, _>>()?;
        Ok(Queue { copies, next: next.map(|id| id.to_string()) })
    });
    Ok(Json(listed.await?))
}

type Found = (Vec<Copy>, Option<CopyId>);

fn listed(tx: &impl Read, states: &[CopyState], after: CopyId, limit: usize) -> Result<Found, ActionError> {
    let mut ids = Vec::new();
    for state in states {
        let state = *state as u8;
        let range = (Bound::Excluded((state, after)), Bound::Included((state, CopyId(u64::MAX))));
        ids.extend(tx.range(&COPY_STATES, range, Order::Up, limit + 1)?.into_iter().map(|((_, id), ())| id));
    }
    ids.sort_unstable();
    let more = ids.len() > limit;
    ids.truncate(limit);
    let next = ids.last().copied().filter(|_| more);
    Ok((ids.into_iter().map(|id| copies::get(tx, id)).collect::<Result<_, _>>()?, next))
}

/// Those that were sent are no longer listed by their state.
fn sent(tx: &impl Read, after: CopyId, limit: usize) -> Result<Found, ActionError> {
    let range = (Bound::Excluded(after), Bound::Unbounded);
    let looked_at = tx.range(&COPIES, range, Order::Up, MOST_LOOKED_AT)?;
    let mut next = looked_at.last().filter(|_| looked_at.len() == MOST_LOOKED_AT).map(|(id, _)| *id);
    let mut found: Vec<Copy> = Vec::new();
    for (_, copy) in looked_at {
        if copy.state != CopyState::Sent {
            continue;
        }
        if found.len() == limit {
            next = found.last().map(|copy| copy.id);
            break;
        }
        found.push(copy);
    }
    Ok((found, next))
}

pub(super) async fn show(State(app): State<App>, Named(id): Named<String>) -> Result<Json<QueuedCopy>, ApiError> {
    Ok(Json(app.read(move |tx, _| view::queued(tx, &copies::get(tx, copy_id(&id)?)?)).await?))
}

pub(super) async fn retry(
    State(app): State<App>,
    Named(id): Named<String>,
    caller: Caller,
) -> Result<Json<QueuedCopy>, ApiError> {
    let retried = app.change(&caller, |tx, act| {
        let copy = copies::retry(tx, act, copy_id(&id)?)?;
        view::queued(tx, &copy)
    });
    Ok(Json(retried.await?))
}

pub(super) async fn cancel(
    State(app): State<App>,
    Named(id): Named<String>,
    caller: Caller,
) -> Result<Json<QueuedCopy>, ApiError> {
    let cancelled = app.change(&caller, |tx, act| {
        let copy = copies::cancel(tx, act, copy_id(&id)?)?;
        view::queued(tx, &copy)
    });
    Ok(Json(cancelled.await?))
}

fn copy_id(text: &str) -> Result<CopyId, ActionError> {
    let unknown = |_| ActionError::NotFound { what: "copy", name: text.to_owned(), near: Vec::new() };
    text.parse().map(CopyId).map_err(unknown)
}
