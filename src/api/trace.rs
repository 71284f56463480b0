//! `GET /trace/{what}`: what happened to a mail, from what the store keeps of it.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;

use super::failure::ApiError;
use super::request::Named;
use super::types::trace::{Arrival, Carried, Made, Proofs, Sent, Signature, Stories, Story};
use super::{App, view};
use crate::actions::{ActionError, copies, find};
use crate::desk;
use crate::desk::copy::Content;
use crate::desk::entry::{Entry, Kind};
use crate::desk::id::{CopyId, EntryId, TicketId};
use crate::desk::message_id::MessageId;
use crate::desk::thread::Bond;
use crate::desk::ticket::TicketRef;
use crate::desk::trace::{Trace, TraceId};
use crate::metrics::Metrics;
use crate::store::Read;
use crate::store::tables::{COPIES, ENTRIES, MESSAGE_IDS, TRACES};

/// The most mails of one ticket, or with one Message-ID, that are told of: the newest.
const MOST_STORIES: usize = 100;

pub(super) async fn show(State(app): State<App>, Named(what): Named<String>) -> Result<Json<Stories>, ApiError> {
    Ok(Json(app.read(move |tx, app| stories(tx, app.metrics.as_deref(), what.trim())).await?))
}

type Places = Vec<(TicketId, EntryId)>;

fn stories(tx: &impl Read, metrics: Option<&Metrics>, what: &str) -> Result<Stories, ActionError> {
    let Asked { mut places, mut names } = asked(tx, what)?;
    let mut more = places.len().saturating_sub(MOST_STORIES);
    places.drain(..more);
    let mut stories = Vec::new();
    // Two entries may be of one mail: it is told once.
    let mut told: BTreeSet<TraceId> = BTreeSet::new();
    for place in places {
        let Some((ticket, entry)) = entry(tx, place)? else { continue };
        match &entry.trace {
            Some(id) => names.push(id.clone()),
            None => stories.push(Story {
                id: None,
                at: entry.at,
                door: entry.door,
                arrival: None,
                entries: vec![made(tx, metrics, &ticket, &entry)?],
                more: 0,
            }),
        }
    }
    for id in names {
        if told.insert(id.clone()) {
            match tx.get(&TRACES, &id)? {
                Some(trace) => stories.push(story(tx, metrics, &id, trace)?),
                None => more += 1,
            }
        }
    }
    stories.sort_by_key(|story| story.at);
    Ok(Stories { stories, more })
}

/// What somebody asks for: entries, or stories by their names.
#[derive(Default)]
struct Asked {
    places: Places,
    names: Vec<TraceId>,
}

fn asked(tx: &impl Read, what: &str) -> Result<Asked, ActionError> {
    let none = |kind: &'static str| ActionError::NotFound { what: kind, name: what.to_owned(), near: Vec::new() };
    if what.contains('@') {
        let id = what.trim_start_matches('<').trim_end_matches('>').parse::<MessageId>();
        let places = bearers(tx, &id.map_err(|error| ActionError::refused(format!("{what}: {error}")))?)?;
        return if places.is_empty() {
            Err(none("mail with the Message-ID"))
        } else {
            Ok(Asked { places, ..Asked::default() })
        };
    }
    if let Ok(id) = what.parse().map(CopyId) {
        let copy = tx.get(&COPIES, &id)?.ok_or_else(|| none("copy"))?;
        return Ok(Asked { places: vec![(copy.ticket, copy.entry)], ..Asked::default() });
    }
    if let Ok(id) = what.parse::<TraceId>()
        && tx.get(&TRACES, &id)?.is_some()
    {
        return Ok(Asked { names: vec![id], ..Asked::default() });
    }
    if what.parse::<TicketRef>().is_ok() {
        let ticket = find::ticket(tx, what)?;
        let entries = find::entries(tx, ticket.id)?.into_iter().filter(|entry| entry.kind != Kind::Event);
        return Ok(Asked { places: entries.map(|entry| (ticket.id, entry.id)).collect(), ..Asked::default() });
    }
    if what.parse::<TraceId>().is_ok() {
        return Err(none("mail with the trace id"));
    }
    Err(ActionError::refused(format!(
        "{what:?} is neither a Message-ID (with an @), nor a ticket (acme-1042), a copy's number, or a trace id as in the log"
    )))
}

/// The entries that came with a Message-ID, or whose copies bear it, in all properties.
fn bearers(tx: &impl Read, id: &MessageId) -> Result<Places, ActionError> {
    let mut places = Vec::new();
    for property in find::properties_ever(tx)? {
        let bearers = tx.get(&MESSAGE_IDS, &(property.id, id.clone()))?.unwrap_or_default();
        let real = bearers.into_iter().filter(|bearer| matches!(bearer.bond, Bond::Own | Bond::Minted));
        places.extend(real.map(|bearer| (bearer.ticket, bearer.entry)));
    }
    places.sort_unstable_by_key(|(_, entry)| *entry);
    places.dedup();
    Ok(places)
}

fn entry(
    tx: &impl Read,
    (ticket, entry): (TicketId, EntryId),
) -> Result<Option<(desk::ticket::Ticket, Entry)>, ActionError> {
    let ticket = find::ticket_by_id(tx, ticket)?;
    Ok(tx.get(&ENTRIES, &(ticket.id, entry))?.map(|entry| (ticket, entry)))
}

fn story(tx: &impl Read, metrics: Option<&Metrics>, id: &TraceId, trace: Trace) -> Result<Story, ActionError> {
    let mut entries = Vec::new();
    for place in trace.entries {
        if let Some((ticket, entry)) = entry(tx, place)? {
            entries.push(made(tx, metrics, &ticket, &entry)?);
        }
    }
    let arrival = trace.arrival.map(|arrival| arrived(tx, arrival)).transpose()?;
    Ok(Story { id: Some(id.to_string()), at: trace.at, door: trace.door, arrival, entries, more: trace.more })
}

fn arrived(tx: &impl Read, arrival: desk::trace::Arrival) -> Result<Arrival, ActionError> {
    let desk::trace::Arrival { client, helo, tls, member, reverse_path, recipients, count, size } = arrival;
    let member = member.map(|member| find::member_by_id(tx, member)).transpose()?.map(|member| member.login);
    Ok(Arrival { client, helo, tls, member, from: reverse_path, recipients, count, size })
}

fn made(
    tx: &impl Read,
    metrics: Option<&Metrics>,
    ticket: &desk::ticket::Ticket,
    entry: &Entry,
) -> Result<Made, ActionError> {
    let shown = view::entry_alone(entry);
    let mut copies = Vec::with_capacity(entry.copies.len());
    for id in &entry.copies {
        copies.push(sent(tx, metrics, &copies::get(tx, *id)?)?);
    }
    Ok(Made {
        ticket: ticket.reference.to_string(),
        entry: shown.id,
        kind: entry.kind,
        opened: ticket.created_at == entry.at && entry.kind != Kind::Event,
        author: shown.author,
        state: entry.state,
        reason: shown.reason,
        machine: entry.machine,
        verified: entry.verified,
        message_id: shown.message_id,
        arrived_at: entry.arrived_at.clone(),
        answers: entry.parent.map(|parent| parent.to_string()),
        proofs: entry.verdict.as_ref().map(proofs),
        spam: shown.spam,
        event: shown.event,
        copies,
        at: entry.at,
    })
}

fn proofs(verdict: &desk::verdict::Verdict) -> Proofs {
    let signature = |signature: &desk::verdict::Signature| Signature {
        domain: signature.domain.clone(),
        outcome: signature.outcome,
    };
    Proofs {
        spf: verdict.spf,
        spf_domain: verdict.spf_domain.clone(),
        dkim: verdict.dkim.iter().map(signature).collect(),
        dmarc: verdict.dmarc,
        arc: verdict.arc,
        aligned: verdict.is_aligned(),
        believed: verdict.believed.as_ref().map(|hop| hop.domain.clone()),
    }
}

fn sent(tx: &impl Read, metrics: Option<&Metrics>, copy: &desk::copy::Copy) -> Result<Sent, ActionError> {
    let shown = view::with_tries(tx, metrics, copy)?;
    Ok(Sent {
        id: shown.id,
        to: shown.to,
        content: match copy.content {
            Content::Entry => Carried::Entry,
            Content::Conversation => Carried::Conversation,
            Content::Letter(_) => Carried::Letter,
        },
        state: shown.state,
        attempts: shown.attempts,
        reply: shown.reply,
        server: shown.server,
        queued_at: shown.queued_at,
        next_at: shown.next_at,
        updated_at: shown.updated_at,
        outage: shown.outage,
        tries: shown.tries.unwrap_or_default(),
    })
}
