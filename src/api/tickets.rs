//! `/tickets`: new ones, one of them, and every verb on it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::compose::{Draft, Written, subject};
use super::failure::ApiError;
use super::request::{Body, Caller, Named};
use super::types::{AcceptAs, Action, Log, NewAttachment, NewTicket, Ticket};
use super::{App, view};
use crate::actions::ticket::{Composition, Worker};
use crate::actions::{Act, ActionError, Actor, find, held, ticket};
use crate::desk;
use crate::desk::address::Mailbox;
use crate::desk::copy::Scope;
use crate::desk::id::EntryId;
use crate::desk::subject::canonical_subject;
use crate::desk::ticket::Status;
use crate::mime::clean;
use crate::store::{Read, Tx};

pub(super) async fn show(State(app): State<App>, Named(reference): Named<String>) -> Result<Json<Ticket>, ApiError> {
    Ok(Json(shown(&app, reference).await?))
}

pub(super) async fn log(State(app): State<App>, Named(reference): Named<String>) -> Result<Json<Log>, ApiError> {
    let log = app.read(move |tx, _| {
        let ticket = find::ticket_named(tx, &reference)?;
        Ok(Log { entries: view::entries(tx, &ticket, view::is_event)? })
    });
    Ok(Json(log.await?))
}

pub(super) async fn add(
    State(app): State<App>,
    caller: Caller,
    Body(new): Body<NewTicket>,
) -> Result<(StatusCode, Json<Ticket>), ApiError> {
    let requester = Mailbox::new(clean::line(&new.to_name, 100), new.to.clone());
    let cc: Vec<Mailbox> = new.cc.iter().map(|address| Mailbox::new("", address.clone())).collect();
    let (to, copied, who) = (vec![requester.clone()], cc.clone(), caller.member.clone());
    let (property, text, title) = (new.property.clone(), new.text, new.subject);
    let attachments = new.attachments;
    let draft = app
        .read(move |tx, app| {
            let property = find::property(tx, property.as_str())?;
            let actor = ticket::acting(tx, &property, who.as_deref())?;
            let written = Written::new(app, &text, &attachments)?;
            Ok(written.message(&app.desk, &property, &actor, to, copied, subject(&title)?))
        })
        .await?;
    let made = app
        .change(&caller, |tx, act| {
            let property = find::property(tx, new.property.as_str())?;
            let act = act.with_actor(ticket::acting(tx, &property, caller.member.as_deref())?);
            let worker = match &new.assign {
                None => Worker::Author,
                Some(who) => Worker::Named(find::assignee(tx, &property, who)?),
            };
            let composition = Composition {
                requester: requester.clone(),
                cc: cc.clone(),
                followers: Vec::new(),
                priority: new.priority,
                tags: new.tags.clone(),
                worker,
            };
            let content = draft.content(tx)?;
            Ok(ticket::compose(tx, &act, &property, composition, content)?.0.reference.to_string())
        })
        .await?;
    Ok((StatusCode::CREATED, Json(shown(&app, made).await?)))
}

/// One verb. Answers the ticket as it is after it; after a merge that is the one that goes on.
pub(super) async fn act(
    State(app): State<App>,
    Named(reference): Named<String>,
    caller: Caller,
    Body(action): Body<Action>,
) -> Result<Json<Ticket>, ApiError> {
    let (draft, action) = match action {
        Action::Reply { text, attachments, close } => {
            let draft = draft(&app, &caller, &reference, text, attachments).await?;
            (Some(draft), Action::Reply { text: String::new(), attachments: Vec::new(), close })
        }
        Action::Note { text, attachments } => {
            let draft = draft(&app, &caller, &reference, text, attachments).await?;
            (Some(draft), Action::Note { text: String::new(), attachments: Vec::new() })
        }
        other => (None, other),
    };
    let changed = app
        .change(&caller, |tx, act| {
            let actor = actor(tx, &find::ticket(tx, &reference)?, &caller)?;
            apply(tx, &act.with_actor(actor), &reference, &action, draft.as_ref())
        })
        .await?;
    Ok(Json(shown(&app, changed.reference.to_string()).await?))
}

fn apply(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    reference: &str,
    action: &Action,
    draft: Option<&Draft>,
) -> Result<desk::ticket::Ticket, ActionError> {
    match action {
        Action::Reply { close, .. } => {
            let written = write(tx, act, reference, Scope::Public, draft)?;
            if *close { ticket::set_status(tx, act, reference, Status::Closed) } else { Ok(written) }
        }
        Action::Note { .. } => write(tx, act, reference, Scope::Note, draft),
        Action::Assign { to } => ticket::assign(tx, act, reference, to.as_deref().unwrap_or("none")),
        Action::Status { status } => ticket::set_status(tx, act, reference, *status),
        Action::Snooze { until } => ticket::snooze(tx, act, reference, *until),
        Action::Tag { tag } => ticket::tag(tx, act, reference, tag),
        Action::Untag { tag } => ticket::untag(tx, act, reference, tag),
        Action::Priority { priority } => ticket::set_priority(tx, act, reference, *priority),
        Action::Cc { address } => ticket::cc(tx, act, reference, address),
        Action::Uncc { address } => ticket::uncc(tx, act, reference, address),
        Action::Follow { member } => ticket::follow(tx, act, reference, member),
        Action::Unfollow { member } => ticket::unfollow(tx, act, reference, member),
        Action::Accept { entry, writer } => {
            let joins = writer.map(|writer| match writer {
                AcceptAs::Same => held::As::Same,
                AcceptAs::Cc => held::As::Cc,
            });
            held::accept(tx, act, reference, entry_id(reference, entry)?, joins)
        }
        Action::Reject { entry } => held::reject(tx, act, reference, entry_id(reference, entry)?),
        Action::Merge { into } => ticket::merge(tx, act, reference, into),
        Action::Requester { address } => ticket::set_requester(tx, act, reference, address),
    }
}

fn write(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    reference: &str,
    scope: Scope,
    draft: Option<&Draft>,
) -> Result<desk::ticket::Ticket, ActionError> {
    let draft = draft.ok_or_else(|| ActionError::refused("there is nothing to send"))?;
    let content = draft.content(tx)?;
    Ok(ticket::write(tx, act, reference, scope, None, content)?.0)
}

/// The message of a reply or a note.
async fn draft(
    app: &App,
    caller: &Caller,
    reference: &str,
    text: String,
    attachments: Vec<NewAttachment>,
) -> Result<Draft, ApiError> {
    let (caller, reference) = (caller.clone(), reference.to_owned());
    app.read(move |tx, app| {
        let ticket = find::ticket(tx, &reference)?;
        let property = find::property_by_id(tx, ticket.property)?;
        let actor = actor(tx, &ticket, &caller)?;
        let to = ticket.requester().map(|requester| Mailbox::new("", requester.address.clone()));
        let answers = canonical_subject(&ticket.subject);
        let subject = if answers.is_empty() { String::new() } else { format!("Re: {answers}") };
        let written = Written::new(app, &text, &attachments)?;
        Ok(written.message(&app.desk, &property, &actor, to.into_iter().collect(), Vec::new(), subject))
    })
    .await
}

fn actor(tx: &impl Read, ticket: &desk::ticket::Ticket, caller: &Caller) -> Result<Actor, ActionError> {
    ticket::acting(tx, &find::property_by_id(tx, ticket.property)?, caller.member.as_deref())
}

/// An entry by its number, as `7` or `#7`.
fn entry_id(reference: &str, text: &str) -> Result<EntryId, ActionError> {
    let number = text.strip_prefix('#').unwrap_or(text);
    number.parse().map(EntryId).map_err(|_| ActionError::NotFound {
        what: "entry",
        name: format!("{text} on {reference}"),
        near: Vec::new(),
    })
}

async fn shown(app: &App, reference: String) -> Result<Ticket, ApiError> {
    app.read(move |tx, _| view::conversation(tx, &find::ticket_named(tx, &reference)?)).await
}
