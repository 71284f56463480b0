//! A ticket as people read it: what it is, who is on it, then what was said, oldest first.

use crate::api::types::{Assignee, AuthorKind, Entry, Log, ParticipantRole, Spam, Ticket, Tickets};
use crate::cli::output::{Facts, Output, Table, clean, clean_line, list, person, size, time, when};
use crate::cli::word;
use crate::desk::copy::CopyState;
use crate::desk::entry::{Kind, State, Verified, What};
use crate::desk::spam::Sentence;
use crate::desk::ticket::{Priority, Standing};

/// Tickets as a table.
pub(in crate::cli) fn rows(tickets: &[Ticket], output: Output, nothing: &str) -> String {
    let mut table = Table::new(["TICKET", "STATUS", "SUBJECT", "REQUESTER", "ASSIGNEE", "CHANGED"]).flexible([
        ("SUBJECT", 20),
        ("REQUESTER", 12),
        ("ASSIGNEE", 10),
    ]);
    for ticket in tickets {
        let requester = &ticket.requester;
        table.row([
            ticket.reference.clone(),
            if ticket.priority == Priority::Normal {
                ticket.status.to_string()
            } else {
                format!("{}, {}", ticket.status, ticket.priority)
            },
            ticket.subject.clone(),
            if requester.name.is_empty() { requester.address.to_string() } else { requester.name.clone() },
            ticket.assignee.as_ref().map_or_else(|| "-".to_owned(), |assignee| assignee.name.clone()),
            when(ticket.updated_at, output),
        ]);
    }
    table.render(output, nothing)
}

/// One page of a list, with the way to the next.
pub(super) fn page(page: &Tickets, output: Output) -> String {
    let mut text = rows(&page.tickets, output, "No tickets.");
    if let Some(next) = &page.next {
        text.push_str(&output.dim(&format!("More: --after {}", clean_line(next))));
        text.push('\n');
    }
    text
}

/// A ticket with its entries.
pub(super) fn ticket(ticket: &Ticket, output: Output) -> String {
    let mut facts = Facts::new(output);
    facts.title(&format!("{}  {}", ticket.reference, ticket.subject));
    let mut state = ticket.status.to_string();
    if let Some(wake) = ticket.wake_at {
        state = format!("{state} until {}", time(wake));
    }
    if ticket.priority != Priority::Normal {
        state = format!("{state}, {} priority", ticket.priority);
    }
    facts.fact("status", &state);
    if let Some(into) = &ticket.merged_into {
        facts.fact("merged into", into);
    }
    facts.fact("assigned to", &ticket.assignee.as_ref().map_or_else(|| "nobody".to_owned(), assignee));
    if !ticket.tags.is_empty() {
        facts.fact("tags", &list(&ticket.tags));
    }
    facts.fact("requester", &person(&ticket.requester.name, ticket.requester.address.as_str()));
    for (role, name) in [(ParticipantRole::Cc, "cc"), (ParticipantRole::Follower, "follower")] {
        for participant in ticket.participants.iter().filter(|participant| participant.role == role) {
            let proposed = if participant.state == Standing::Proposed { " (proposed, gets nothing)" } else { "" };
            facts.fact(name, &(person(&participant.name, participant.address.as_str()) + proposed));
        }
    }
    facts.fact("created", &format!("{} by {}", time(ticket.created_at), ticket.door));
    let mut after_event = false;
    for item in ticket.entries.iter().flatten() {
        let is_event = item.kind == Kind::Event;
        // Events that follow each other stand together.
        facts.text(if is_event && after_event { "" } else { "\n" });
        facts.text(&entry(item, output));
        after_event = is_event;
    }
    facts.done()
}

/// The events of a ticket as a table.
pub(super) fn log(log: &Log, output: Output) -> String {
    let mut table = Table::new(["AT", "WHO", "DOOR", "WHAT", "FROM", "TO"]);
    for entry in &log.entries {
        let Some(event) = &entry.event else { continue };
        table.row([
            time(entry.at),
            author(entry),
            door(entry),
            word(&event.what),
            event.from.clone().unwrap_or_default(),
            event.to.clone().unwrap_or_default(),
        ]);
    }
    table.render(output, "No events.")
}

fn entry(entry: &Entry, output: Output) -> String {
    if let (Kind::Event, Some(event)) = (entry.kind, &entry.event) {
        let change = match (&event.from, &event.to) {
            (Some(from), Some(to)) => format!(" {from} → {to}"),
            (Some(from), None) if event.what == What::Assignee => format!(" {from} → none"),
            (Some(part), None) | (None, Some(part)) => format!(" {part}"),
            (None, None) => String::new(),
        };
        let line = format!("· {}  {}: {}{change} ({})", time(entry.at), author(entry), word(&event.what), door(entry));
        return format!("{}\n", output.dim(&clean_line(&line)));
    }
    let mut head = format!("#{} {}  {}  {}", entry.id, word(&entry.kind), author(entry), time(entry.at));
    let mut marks = vec![format!("by {}", door(entry))];
    let somebodys = matches!(entry.author.kind, AuthorKind::Contact | AuthorKind::Member);
    match entry.verified {
        Verified::None if somebodys => marks.push("not verified".to_owned()),
        // Who was logged in is known by the door.
        Verified::None | Verified::Submission => {}
        verified => marks.push(word(&verified)),
    }
    if let Some(machine) = entry.machine {
        marks.push(format!("{} machine", word(&machine)));
    }
    marks.extend(entry.spam.iter().flat_map(thought_of));
    head = clean_line(&format!("{head}  ({})", marks.join(", ")));
    let mut text = format!("{}\n", output.bold(&head));
    match (entry.state, &entry.reason) {
        (State::Relayed, None) => {}
        (state, reason) => {
            let reason = reason.as_ref().map(|reason| format!(": {}", word(reason))).unwrap_or_default();
            let mark =
                if state == State::Relayed { format!("marked{reason}") } else { format!("{}{reason}", word(&state)) };
            text.push_str(&output.style("33", &format!("  ! {mark}")));
            text.push('\n');
        }
    }
    for line in clean(entry.text.trim_end()).lines() {
        text.push_str(format!("  {line}").trim_end());
        text.push('\n');
    }
    for attachment in &entry.attachments {
        let line = format!("  + {} ({}, {})", attachment.name, attachment.content_type, size(attachment.size));
        text.push_str(&clean_line(&line));
        text.push('\n');
    }
    for copy in &entry.copies {
        let reply = copy.reply.as_ref().map(|reply| format!(": {reply}")).unwrap_or_default();
        let tries = if copy.attempts > 1 { format!(" after {} tries", copy.attempts) } else { String::new() };
        let line = clean_line(&format!("  > {} {}{tries}{reply}", copy.to, copy.state));
        let colour = if copy.state == CopyState::Failed { "31" } else { "2" };
        text.push_str(&output.style(colour, &line));
        text.push('\n');
    }
    text
}

/// What the filter and a blocklist said.
fn thought_of(spam: &Spam) -> Vec<String> {
    let mut marks = Vec::new();
    match (spam.verdict, spam.score) {
        (Sentence::Unasked, _) => {}
        (Sentence::Unfiltered, _) => marks.push("unfiltered".to_owned()),
        (verdict, Some(score)) => marks.push(format!("filter: {} at {score:.1}", word(&verdict))),
        (verdict, None) => marks.push(format!("filter: {}", word(&verdict))),
    }
    marks.extend(spam.listed.iter().map(|list| format!("listed by {list}")));
    marks
}

/// The way in, with the client that took it.
fn door(entry: &Entry) -> String {
    match &entry.client {
        Some(client) => format!("{}, {client}", entry.door),
        None => entry.door.to_string(),
    }
}

fn author(entry: &Entry) -> String {
    match (&entry.author.kind, &entry.author.address) {
        (AuthorKind::Contact | AuthorKind::Member, Some(address)) => person(&entry.author.name, address.as_str()),
        (AuthorKind::System, _) | (_, None) => "the system".to_owned(),
    }
}

fn assignee(assignee: &Assignee) -> String {
    format!("{} ({})", assignee.name, assignee.id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Ticket {
        serde_json::from_value(json!({
            "ref": "acme-12", "number": 12, "property": "acme", "subject": "Printer\u{1b}[2J on fire",
            "status": "pending", "wake_at": "2030-01-07T09:00:00Z", "priority": "high", "tags": ["vip"],
            "door": "smtp", "merged_into": null,
            "requester": {"name": "Jane Doe", "address": "jane@example.org"},
            "assignee": {"kind": "department", "id": "billing", "name": "Billing"},
            "participants": [
                {"role": "requester", "name": "Jane Doe", "address": "jane@example.org", "state": "accepted"},
                {"role": "cc", "name": "", "address": "boss@example.org", "state": "proposed"},
                {"role": "assignee", "name": "Alice", "address": "alice@acme.com", "state": "accepted"}],
            "created_at": "2026-03-14T09:26:53Z", "updated_at": "2026-03-14T09:30:00Z",
            "entries": [
                {"id": "1", "kind": "message", "author": {"kind": "contact", "name": "Jane Doe", "address": "jane@example.org"},
                 "state": "held", "reason": "unverified", "machine": null, "verified": "none", "message_id": "a@b",
                 "text": "It burns.\r\nPlease come.\n", "attachments": [{"name": "fire.jpg", "type": "image/jpeg", "size": 2048}],
                 "copies": [{"to": "alice@acme.com", "state": "failed", "attempts": 2, "reply": "550 5.1.1 no such user"}],
                 "event": null, "door": "smtp", "at": "2026-03-14T09:26:53Z"},
                {"id": "2", "kind": "event", "author": {"kind": "system", "name": "", "address": null},
                 "state": "kept", "reason": null, "machine": null, "verified": "none", "message_id": null, "text": "",
                 "attachments": [], "copies": [], "event": {"what": "status", "from": "open", "to": "pending"},
                 "door": "timer", "at": "2026-03-14T09:30:00Z"},
                {"id": "3", "kind": "event", "author": {"kind": "member", "name": "Alice", "address": "alice@acme.com"},
                 "state": "kept", "reason": null, "machine": null, "verified": "none", "message_id": null, "text": "",
                 "attachments": [], "copies": [], "event": {"what": "tag", "from": null, "to": "vip"},
                 "door": "imap", "client": "Thunder\u{1b}bird 140.5", "at": "2026-03-14T09:31:00Z"}]
        }))
        .unwrap()
    }

    #[test]
    fn a_ticket_reads_as_a_conversation() {
        let output = Output { json: false, width: None, colour: false };
        assert_eq!(
            ticket(&sample(), output),
            "\
acme-12  Printer\u{fffd}[2J on fire
  status        pending until 2030-01-07 09:00Z, high priority
  assigned to   Billing (billing)
  tags          vip
  requester     Jane Doe <jane@example.org>
  cc            boss@example.org (proposed, gets nothing)
  created       2026-03-14 09:26Z by smtp

#1 message  Jane Doe <jane@example.org>  2026-03-14 09:26Z  (by smtp, not verified)
  ! held: unverified
  It burns.
  Please come.
  + fire.jpg (image/jpeg, 2 KiB)
  > alice@acme.com failed after 2 tries: 550 5.1.1 no such user

· 2026-03-14 09:30Z  the system: status open → pending (timer)
· 2026-03-14 09:31Z  Alice <alice@acme.com>: tag vip (imap, Thunder\u{fffd}bird 140.5)
"
        );
    }

    #[test]
    fn a_list_says_how_it_goes_on() {
        let output = Output { json: false, width: None, colour: false };
        let tickets = Tickets { tickets: vec![Ticket { entries: None, ..sample() }], next: Some("abc".into()) };
        let text = page(&tickets, output);
        assert!(text.contains("acme-12  pending, high  ") && text.ends_with("More: --after abc\n"), "{text}");
    }
}
