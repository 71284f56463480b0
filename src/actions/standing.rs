//! How a ticket stands, in words: the answer to `#status`.

use std::fmt::Write as _;

use super::{ActionError, find, held, state};
use crate::desk::address::Mailbox;
use crate::desk::entry::{Entry, Kind, State};
use crate::desk::id::EntryId;
use crate::desk::language::Language;
use crate::desk::language::commands::Label;
use crate::desk::letter::Letter;
use crate::desk::property::Property;
use crate::desk::ticket::{Person, Ticket};
use crate::store::tables::ENTRIES;
use crate::store::{Order, Read};

/// How many of the newest messages and notes are told, and how much of each, in characters.
const LATEST: usize = 5;
const EXCERPT: usize = 200;
/// How many entries back those are looked for.
const LOOKED_AT: usize = 100;

/// The letter about a ticket: status, people, assignee, tags, what waits, and what was said last.
pub(super) fn letter(tx: &impl Read, property: &Property, ticket: &Ticket) -> Result<Letter, ActionError> {
    let language = property.language;
    let facts = state::facts(tx, ticket)?;
    let mut text = format!("{} · {}", ticket.reference, language.status(facts.status));
    if let Some(at) = ticket.wake_at {
        let _ = write!(text, ", {} {}", language.label(Label::Wakes), language.time(at));
    }
    if let Some(priority) = language.priority(facts.priority) {
        let _ = write!(text, " · {priority}");
    }
    let _ = writeln!(text, " · {}", language.assigned(facts.assignee.as_deref()));
    let _ = writeln!(text, "{}\n", ticket.subject);

    let requester = ticket.requester().map(|requester| requester.address.clone());
    let (requester, others): (Vec<_>, Vec<_>) =
        facts.contacts.iter().partition(|contact| Some(&contact.address) == requester.as_ref());
    let mut followers = Vec::new();
    for participant in &ticket.participants {
        if let Person::Member(id) = participant.person {
            followers.push(find::member_by_id(tx, id)?.name);
        }
    }
    let shown = |list: Vec<&Mailbox>| list.into_iter().map(Mailbox::shown).collect::<Vec<_>>();
    let proposed = facts.proposed.iter().collect();
    let mut line = |label: Label, items: Vec<String>| {
        if !items.is_empty() {
            let _ = writeln!(text, "{}", labelled(language, language.label(label), &items.join(", ")));
        }
    };
    line(Label::Requester, shown(requester));
    line(Label::Others, shown(others));
    line(Label::Proposed, shown(proposed));
    line(Label::Followers, followers);
    line(Label::Tags, facts.tags.clone());

    let mut waiting = Vec::new();
    for id in held::waiting(tx, ticket)? {
        waiting.push(find::entry(tx, ticket, id)?);
    }
    let newest =
        tx.range(&ENTRIES, (ticket.id, EntryId(0))..=(ticket.id, EntryId(u64::MAX)), Order::Down, LOOKED_AT)?;
    let said = |entry: &Entry| entry.kind != Kind::Event && entry.state == State::Relayed;
    let latest: Vec<Entry> = newest.into_iter().map(|(_, entry)| entry).filter(said).take(LATEST).collect();
    for (label, entries) in [(Label::Waiting, waiting), (Label::Latest, latest)] {
        if !entries.is_empty() {
            let _ = writeln!(text, "\n{}", labelled(language, language.label(label), "").trim_end());
            for entry in entries {
                text.push_str(&told(language, &entry));
            }
        }
    }
    let subject = labelled(language, &ticket.reference.to_string(), &ticket.subject);
    Ok(Letter::asked_for(language, subject, &text))
}

/// `label: value`, as the language sets its colons.
fn labelled(language: Language, label: &str, value: &str) -> String {
    match language {
        Language::En => format!("{label}: {value}"),
        Language::Fr => format!("{label}\u{a0}: {value}"),
    }
}

/// An entry in two lines: its number, its author, the moment, and how it begins.
fn told(language: Language, entry: &Entry) -> String {
    let author = entry.author.mailbox().map_or("Guichet", Mailbox::label);
    let note = if entry.kind == Kind::Note { format!(" · {}", language.internal_note()) } else { String::new() };
    let words: Vec<&str> = entry.text.split_whitespace().collect();
    let words = words.join(" ");
    let excerpt: String = words.chars().take(EXCERPT).collect();
    let cut = if excerpt.len() < words.len() { "…" } else { "" };
    format!("  #{} · {author} · {}{note}\n    {excerpt}{cut}\n", entry.id, language.time(entry.at))
}
