//! `GET /tickets`: the latest change first, across properties and statuses, a page at a time.
//!
//! The store lists tickets by property, status and last change; those lists are merged from a
//! place on, which is the moment and id of the last ticket looked at. What the lists don't know
//! (assignee, tag, text, held) is found by looking at each ticket. One request looks at so many
//! tickets and entries and no more; then it answers what it has and where to go on.

use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;

use super::failure::ApiError;
use super::request::{Asked, Page};
use super::types::Tickets;
use super::{App, view};
use crate::actions::{ActionError, find};
use crate::desk::entry::{Entry, Kind};
use crate::desk::id::{PropertyId, TicketId};
use crate::desk::property::Property;
use crate::desk::ticket::{Assignee, Status, Ticket};
use crate::store::tables::{TICKET_LISTS, TICKETS};
use crate::store::{Order, Read, StoreError};

/// The most tickets that one request looks at, and about the most entries.
const MOST_TICKETS: usize = 5_000;
const MOST_ENTRIES: usize = 20_000;

/// How many places of one list are read at once.
const CHUNK: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    property: Option<String>,
    /// All but spam and trash unless said.
    status: Option<Status>,
    assignee: Option<String>,
    tag: Option<String>,
    /// Looked for, in any case, in the ticket's name and subject, the requester's name and
    /// address, and the new text of messages and notes (its first 64 KiB each).
    query: Option<String>,
    #[serde(default)]
    held: bool,
    limit: Option<usize>,
    after: Option<String>,
}

pub(super) async fn list(State(app): State<App>, Asked(which): Asked<Which>) -> Result<Json<Tickets>, ApiError> {
    let page = Page::of(which.limit, which.after.clone())?;
    let after = page.place::<Place>()?;
    Ok(Json(app.read(move |tx, _| search(tx, &which, after, page.limit)).await?))
}

fn search(tx: &impl Read, which: &Which, after: Option<Place>, limit: usize) -> Result<Tickets, ActionError> {
    let properties = match &which.property {
        Some(slug) => vec![find::property(tx, slug)?],
        None => find::properties(tx)?,
    };
    let assignees = which.assignee.as_deref().map(|who| assignees(tx, &properties, who)).transpose()?;
    let wanted = Wanted {
        assignees,
        tag: which.tag.clone(),
        query: which.query.as_ref().map(|query| query.to_lowercase()).filter(|query| !query.is_empty()),
        held: which.held,
    };
    let mut merged = Merged::new(tx, &properties, which.status, after)?;
    let (mut tickets, mut place, mut looked_at, mut entries) = (Vec::new(), None, 0, 0);
    while let Some(next) = merged.next(tx)? {
        if tickets.len() == limit || looked_at == MOST_TICKETS || entries >= MOST_ENTRIES {
            return Ok(Tickets { tickets, next: place.map(|place: Place| place.to_string()) });
        }
        looked_at += 1;
        place = Some(next);
        let Some(ticket) = tx.get(&TICKETS, &next.id)? else { continue };
        if wanted.has(tx, &ticket, &mut entries)? {
            tickets.push(view::ticket(tx, &ticket)?);
        }
    }
    Ok(Tickets { tickets, next: None })
}

/// What `who` means in each property; an error where it means nothing in any.
fn assignees(
    tx: &impl Read,
    properties: &[Property],
    who: &str,
) -> Result<Vec<(PropertyId, Option<Assignee>)>, ActionError> {
    let mut found = Vec::new();
    let mut unknown: Option<ActionError> = None;
    for property in properties {
        match find::assignee(tx, property, who) {
            Ok(assignee) => found.push((property.id, assignee)),
            Err(ActionError::Store(error)) => return Err(error.into()),
            // The first that has a better name to offer speaks for all.
            Err(error) => {
                let helps = matches!(&error, ActionError::NotFound { near, .. } if !near.is_empty());
                if unknown.is_none() || helps {
                    unknown = Some(error);
                }
            }
        }
    }
    match unknown {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// What a ticket must have that the lists don't tell.
struct Wanted {
    assignees: Option<Vec<(PropertyId, Option<Assignee>)>>,
    tag: Option<String>,
    query: Option<String>,
    held: bool,
}

impl Wanted {
    /// Counts the entries that had to be read.
    fn has(&self, tx: &impl Read, ticket: &Ticket, read: &mut usize) -> Result<bool, ActionError> {
        let assigned = |wanted: &Vec<_>| wanted.contains(&(ticket.property, ticket.assignee));
        if !self.assignees.as_ref().is_none_or(assigned)
            || !self.tag.as_ref().is_none_or(|tag| ticket.tags.contains(tag))
        {
            return Ok(false);
        }
        let named = match &self.query {
            Some(query) => names(tx, ticket, query)?,
            None => true,
        };
        if named && !self.held {
            return Ok(true);
        }
        let entries = find::entries(tx, ticket.id)?;
        *read += entries.len();
        let held = !self.held || entries.iter().any(Entry::waits);
        let told = |query: &String| {
            let spoken = |entry: &&Entry| entry.kind != Kind::Event;
            entries.iter().filter(spoken).any(|entry| entry.text.to_lowercase().contains(query))
        };
        Ok(held && (named || self.query.as_ref().is_some_and(told)))
    }
}

/// Whether the ticket's name, subject or requester has `query`, in lower case.
fn names(tx: &impl Read, ticket: &Ticket, query: &str) -> Result<bool, ActionError> {
    if ticket.reference.to_string() == query || ticket.subject.to_lowercase().contains(query) {
        return Ok(true);
    }
    let Some(requester) = ticket.requester() else { return Ok(false) };
    if requester.address.key().contains(query) {
        return Ok(true);
    }
    let crate::desk::ticket::Person::Contact(id) = requester.person else { return Ok(false) };
    Ok(find::contact_by_id(tx, id)?.name.to_lowercase().contains(query))
}

/// Where in the list a ticket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at: Timestamp,
    id: TicketId,
}

/// Opaque to clients: nanoseconds and id.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at.as_nanosecond(), self.id)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, id) = text.rsplit_once('-').ok_or(())?;
        let at = Timestamp::from_nanosecond(at.parse().map_err(drop)?).map_err(drop)?;
        Ok(Self { at, id: TicketId(id.parse().map_err(drop)?) })
    }
}

/// The lists of some properties and statuses as one.
struct Merged {
    streams: Vec<Stream>,
    /// The next place of each stream, the latest on top.
    heads: BinaryHeap<(Place, usize)>,
}

/// One list, read in chunks.
struct Stream {
    property: PropertyId,
    status: u8,
    read: VecDeque<Place>,
    /// Whether the store may have more than was read.
    more: bool,
}

impl Merged {
    fn new(
        tx: &impl Read,
        properties: &[Property],
        status: Option<Status>,
        after: Option<Place>,
    ) -> Result<Self, StoreError> {
        let statuses = match &status {
            Some(status) => std::slice::from_ref(status),
            None => &[Status::Open, Status::Pending, Status::Closed],
        };
        let mut merged = Self { streams: Vec::new(), heads: BinaryHeap::new() };
        for property in properties {
            for status in statuses {
                let mut stream =
                    Stream { property: property.id, status: *status as u8, read: VecDeque::new(), more: true };
                if let Some(head) = stream.next(tx, after)? {
                    merged.heads.push((head, merged.streams.len()));
                }
                merged.streams.push(stream);
            }
        }
        Ok(merged)
    }

    fn next(&mut self, tx: &impl Read) -> Result<Option<Place>, StoreError> {
        let Some((place, at)) = self.heads.pop() else { return Ok(None) };
        if let Some(stream) = self.streams.get_mut(at)
            && let Some(head) = stream.next(tx, Some(place))?
        {
            self.heads.push((head, at));
        }
        Ok(Some(place))
    }
}

impl Stream {
    /// The next place after `last`.
    fn next(&mut self, tx: &impl Read, last: Option<Place>) -> Result<Option<Place>, StoreError> {
        if self.read.is_empty() && self.more {
            let last = last.unwrap_or(Place { at: Timestamp::MAX, id: TicketId(u64::MAX) });
            let range = (self.property, self.status, Timestamp::MIN, TicketId(0))
                ..(self.property, self.status, last.at, last.id);
            let chunk = tx.range(&TICKET_LISTS, range, Order::Down, CHUNK)?;
            self.more = chunk.len() == CHUNK;
            self.read = chunk.into_iter().map(|((_, _, at, id), ())| Place { at, id }).collect();
        }
        Ok(self.read.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_the_way_to_the_client_and_back() {
        for text in ["1795425112123456789-42", "-5-1"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for bad in ["", "x", "1", "1-", "-1", "99999999999999999999999999999999999-1"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
