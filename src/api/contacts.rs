//! `/contacts`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::failure::ApiError;
use super::request::{Asked, Body, Caller, Named, Page};
use super::types::{Contact, Contacts, EditContact, Merge};
use super::{App, view};
use crate::actions::{ActionError, contact, find, reach};
use crate::desk::id::{ContactId, PropertyId};
use crate::store::tables::{CONTACT_TICKETS, CONTACTS, TICKETS};
use crate::store::{Order, Read};

/// The most contacts that one request looks at, and the most tickets of one that are shown.
const MOST_LOOKED_AT: usize = 2_000;
const MOST_TICKETS: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    property: Option<String>,
    query: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

/// The newest first. `query` is looked for in name, addresses and organisation, in any case.
pub(super) async fn list(State(app): State<App>, Asked(which): Asked<Which>) -> Result<Json<Contacts>, ApiError> {
    let page = Page::of(which.limit, which.after)?;
    let after = page.place::<u64>()?.unwrap_or(u64::MAX);
    let listed = app.read(move |tx, _| {
        let property = which.property.map(|slug| find::property(tx, &slug)).transpose()?.map(|property| property.id);
        let wanted = which.query.map(|query| query.to_lowercase());
        let looked_at = tx.range(&CONTACTS, ..ContactId(after), Order::Down, MOST_LOOKED_AT)?;
        let mut next = looked_at.last().filter(|_| looked_at.len() == MOST_LOOKED_AT).map(|(id, _)| *id);
        let mut contacts = Vec::new();
        for (id, record) in &looked_at {
            let fits = record.merged_into.is_none()
                && wanted.as_ref().is_none_or(|wanted| bears(record, wanted))
                && property.map_or(Ok(true), |property| writes_to(tx, *id, property))?;
            if !fits {
                continue;
            }
            if contacts.len() == page.limit {
                next = contacts.last().map(|(id, _)| *id);
                break;
            }
            contacts.push((*id, view::contact(tx, record)?));
        }
        let contacts = contacts.into_iter().map(|(_, contact)| contact).collect();
        Ok(Contacts { contacts, next: next.map(|id| id.to_string()) })
    });
    Ok(Json(listed.await?))
}

/// Whether a contact has `wanted`, in lower case, in what names him.
fn bears(contact: &crate::desk::contact::Contact, wanted: &str) -> bool {
    contact.name.to_lowercase().contains(wanted)
        || contact.organisation.to_lowercase().contains(wanted)
        || contact.addresses.iter().any(|address| address.key().contains(wanted))
}

fn writes_to(tx: &impl Read, contact: ContactId, property: PropertyId) -> Result<bool, ActionError> {
    for ((_, ticket), ()) in tx.starting(&CONTACT_TICKETS, (contact,), Order::Down, MOST_TICKETS)? {
        if tx.get(&TICKETS, &ticket)?.is_some_and(|ticket| ticket.property == property) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) async fn show(State(app): State<App>, Named(who): Named<String>) -> Result<Json<Contact>, ApiError> {
    Ok(Json(app.read(move |tx, _| history(tx, &find::contact(tx, &who)?)).await?))
}

pub(super) async fn edit(
    State(app): State<App>,
    Named(who): Named<String>,
    caller: Caller,
    Body(edit): Body<EditContact>,
) -> Result<Json<Contact>, ApiError> {
    let edited = app
        .change(&caller, |tx, act| {
            let EditContact { name, note, organisation } = edit.clone();
            let record = contact::edit(tx, act, &who, contact::Changes { name, note, organisation })?;
            history(tx, &record)
        })
        .await?;
    Ok(Json(edited))
}

/// Sends copies to the contact again.
pub(super) async fn resume(
    State(app): State<App>,
    Named(who): Named<String>,
    caller: Caller,
) -> Result<Json<Contact>, ApiError> {
    let resumed = app
        .change(&caller, |tx, _| {
            let record = reach::resume_contact(tx, &who)?;
            history(tx, &record)
        })
        .await?;
    Ok(Json(resumed))
}

pub(super) async fn merge(
    State(app): State<App>,
    Named(who): Named<String>,
    caller: Caller,
    Body(Merge { into }): Body<Merge>,
) -> Result<Json<Contact>, ApiError> {
    let merged = app
        .change(&caller, |tx, act| {
            let record = contact::merge(tx, act, &who, into.as_str())?;
            history(tx, &record)
        })
        .await?;
    Ok(Json(merged))
}

/// A contact with his tickets, the newest first.
fn history(tx: &impl Read, record: &crate::desk::contact::Contact) -> Result<Contact, ActionError> {
    let mut tickets = Vec::new();
    for ((_, id), ()) in tx.starting(&CONTACT_TICKETS, (record.id,), Order::Down, MOST_TICKETS)? {
        if let Some(ticket) = tx.get(&TICKETS, &id)?.filter(|ticket| ticket.merged_into.is_none()) {
            tickets.push(view::ticket(tx, &ticket)?);
        }
    }
    Ok(Contact { tickets: Some(tickets), ..view::contact(tx, record)? })
}
