//! What a message answers, and whether it does so once too often (`desk/exchange.rs`).

use jiff::SignedDuration;

use super::arrival::Case;
use super::looks::{Echo, Words};
use crate::actions::{Act, ActionError, find};
use crate::desk::authority::{Holder, Writer};
use crate::desk::entry::{Door, Entry, Kind, State};
use crate::desk::exchange::{AT_ONCE, LAST_OF_THE_SAME, PROMPT, SLOW, Step};
use crate::desk::id::{EntryId, MemberId, TicketId};
use crate::desk::subject::ticket_refs_in;
use crate::desk::ticket::{Person, Status, Ticket};
use crate::store::tables::{COPIES, ENTRIES, TICKET_LISTS, TICKET_NUMBERS};
use crate::store::{Order, Read, Tx};

/// Entries of a ticket that are looked at, the newest.
const MOST_ENTRIES: usize = 30;
/// Tickets that a text names and that are looked at.
const MOST_NAMED: usize = 10;
/// Open tickets that are looked at for what members opened, the newest.
const MOST_OPENED: usize = 20;
/// Octets of each piece of text in which names are looked for.
const LONGEST: usize = 64 * 1024;

/// What a message is to an exchange, and the ticket that it belongs to if it only is kept.
pub(super) fn step(tx: &Tx<'_>, act: &Act<'_>, case: &Case<'_>) -> Result<(Step, Option<Ticket>), ActionError> {
    if let Some(ticket) = &case.ticket {
        return Ok((on_ticket(tx, act, case, ticket)?, Some(ticket.clone())));
    }
    let mut found = Opening { step: Step { opens: true, ..Step::default() }, belongs: None };
    match case.author.writer {
        Writer::Member(member) => found.by_member(tx, act, case, member)?,
        Writer::Outside(_) | Writer::Property => {
            found.names(tx, act, case)?;
            found.alike(tx, act, case)?;
        }
    }
    Ok((found.step, found.belongs))
}

/// On a known ticket it answers, in their order, what the writer was sent there since a person of the
/// team wrote last, and promptly; or after a while, where neither side says anything new.
fn on_ticket(tx: &Tx<'_>, act: &Act<'_>, case: &Case<'_>, ticket: &Ticket) -> Result<Step, ActionError> {
    let by_member = matches!(case.author.writer, Writer::Member(_));
    let mut entries: Vec<Entry> = recent(tx, act, ticket, SLOW)?;
    entries.retain(|entry| entry.state == State::Relayed);
    let said = Words::of(&case.mail.understood.subject, &case.mail.understood.text.new);
    let prompt = entries.iter().take_while(|entry| act.now.duration_since(entry.at) <= PROMPT).count();
    if let Some(entry) = answered(tx, case, &entries[..prompt])? {
        let times = times_said(said, &entries[..prompt], |entry| is_his(case, entry));
        // A member may send a text again that he keeps ready: nobody would tell him that it was kept.
        let repeats = said.repeated(if by_member { times.saturating_sub(1) } else { times });
        return Ok(Step { answers: Some(entry.turn), repeats, by_member, ..Step::default() });
    }
    let slowly = !by_member && both_repeat(tx, case, said, &entries)?;
    let answers = slowly.then_some(LAST_OF_THE_SAME - 1);
    Ok(Step { answers, repeats: slowly, by_member, ..Step::default() })
}

/// Whether the writer says what he said before, and so does what he was sent last.
fn both_repeat(tx: &Tx<'_>, case: &Case<'_>, said: Words, entries: &[Entry]) -> Result<bool, ActionError> {
    if !said.repeated(times_said(said, entries, |entry| is_his(case, entry))) {
        return Ok(false);
    }
    for (at, entry) in entries.iter().enumerate().filter(|(_, entry)| !is_his(case, entry)) {
        if is_sent_to_him(tx, case, entry)? {
            let theirs = Words::of(&entry.subject, &entry.text);
            let by_them = |before: &Entry| before.author.person() == entry.author.person();
            return Ok(theirs.repeated(times_said(theirs, &entries[at + 1..], by_them)));
        }
    }
    Ok(false)
}

/// What the message answers of these entries, the newest first.
fn answered<'e>(tx: &Tx<'_>, case: &Case<'_>, entries: &'e [Entry]) -> Result<Option<&'e Entry>, ActionError> {
    let by_person = entries.iter().position(|entry| entry.author.is_member() && entry.turn == 0);
    let since = &entries[..by_person.map_or(entries.len(), |at| at + 1)];
    let mut answers = entries[..by_person.unwrap_or(entries.len())].iter().filter(|entry| is_his(case, entry)).count();
    for entry in since.iter().rev().filter(|entry| !is_his(case, entry)) {
        if is_sent_to_him(tx, case, entry)? {
            if answers == 0 {
                return Ok(Some(entry));
            }
            answers -= 1;
        }
    }
    Ok(None)
}

/// How often whoever wrote some of the entries said these words in them.
fn times_said(words: Words, entries: &[Entry], by: impl Fn(&Entry) -> bool) -> usize {
    entries.iter().filter(|entry| by(entry) && Words::of(&entry.subject, &entry.text) == words).count()
}

/// Whether an entry is of whoever writes now, under any of his names.
fn is_his(case: &Case<'_>, entry: &Entry) -> bool {
    entry.author.person().is_some_and(|person| persons(case).contains(&Some(person)))
        || entry.author.mailbox().is_some_and(|mailbox| mailbox.address == case.author.mailbox.address)
}

fn is_sent_to_him(tx: &Tx<'_>, case: &Case<'_>, entry: &Entry) -> Result<bool, ActionError> {
    for id in &entry.copies {
        let copy = tx.get(&COPIES, id)?;
        if copy.is_some_and(|copy| persons(case).contains(&Some(copy.person)) || copy.to == case.author.mailbox.address)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whom the reply address was made for, and whom From names.
fn persons(case: &Case<'_>) -> [Option<Person>; 2] {
    [holder(case), writer(case)]
}

/// What is found out about a mail that opens a ticket.
struct Opening {
    step: Step,
    belongs: Option<Ticket>,
}

impl Opening {
    fn answers(&mut self, turn: u8, ticket: Ticket) {
        if self.step.answers.is_none_or(|known| known < turn) {
            self.step.answers = Some(turn);
            self.belongs = Some(ticket);
        }
    }

    /// It answers the tickets that it names promptly, as the line on top of members' copies and letters
    /// do; after a while, those that it names in that line.
    fn names(&mut self, tx: &Tx<'_>, act: &Act<'_>, case: &Case<'_>) -> Result<(), ActionError> {
        let said = case.mail.understood;
        for text in [&said.subject, &said.text.new, &said.text.quoted, &said.text.signature] {
            let text = &text[..text.floor_char_boundary(LONGEST)];
            for number in ticket_refs_in(text, case.property.slug.as_str(), MOST_NAMED) {
                let Some(id) = tx.get(&TICKET_NUMBERS, &(case.property.id, number))? else { continue };
                let ticket = find::ticket_by_id(tx, id)?;
                let newest = recent(tx, act, &ticket, PROMPT)?.into_iter().next();
                let answered = match newest {
                    None if heads_a_line(text, &ticket.reference.to_string()) => opening(tx, ticket.id)?,
                    newest => newest,
                };
                if let Some(entry) = answered.filter(|entry| act.now.duration_since(entry.at) <= SLOW) {
                    self.answers(entry.turn, ticket);
                }
            }
        }
        Ok(())
    }

    /// Its words opened tickets just now. Where somebody next to its writer was sent the last, that may
    /// be a distribution address behind which another desk is, that acknowledges whatever it gets.
    fn alike(&mut self, tx: &Tx<'_>, act: &Act<'_>, case: &Case<'_>) -> Result<(), ActionError> {
        let echo = Echo::of(case.mail, case.property.id);
        let Some(opened) = case.mail.looks.opened(&echo, act.now, AT_ONCE) else { return Ok(()) };
        let ticket = find::ticket_by_id(tx, opened.ticket)?;
        self.step.alike = opened.count;
        self.step.endless = case.mail.looks.is_endless(&opened);
        self.belongs.get_or_insert_with(|| ticket.clone());
        let Some(first) = opening(tx, ticket.id)? else { return Ok(()) };
        for id in &first.copies {
            let Some(copy) = tx.get(&COPIES, id)? else { continue };
            if let Person::Member(member) = copy.person
                && is_near(case, copy.to.domain())
                && find::member_by_id(tx, member)?.list
            {
                self.step.near = true;
                self.belongs = Some(ticket);
                return Ok(());
            }
        }
        Ok(())
    }

    /// A member's ticket answers the one that a colleague opened just now and of which he got a copy:
    /// two vacation notices at work, if their words come again.
    fn by_member(&mut self, tx: &Tx<'_>, act: &Act<'_>, case: &Case<'_>, member: MemberId) -> Result<(), ActionError> {
        self.step.by_member = true;
        let said = Words::of(&case.mail.understood.subject, &case.mail.understood.text.new);
        let mut again = 0;
        let himself = Person::Member(member);
        let newest = tx.starting(&TICKET_LISTS, (case.property.id, Status::Open as u8), Order::Down, MOST_OPENED)?;
        for ((_, _, updated, id), ()) in newest {
            if act.now.duration_since(updated) > PROMPT {
                break;
            }
            let Some(first) = opening(tx, id)? else { continue };
            if !first.author.is_member() || first.door != Door::Smtp {
                continue;
            }
            if first.author.person() == Some(himself) {
                again += usize::from(Words::of(&first.subject, &first.text) == said);
            } else if self.belongs.is_none() {
                for copy in &first.copies {
                    if tx.get(&COPIES, copy)?.is_some_and(|copy| copy.person == himself) {
                        self.answers(first.turn, find::ticket_by_id(tx, id)?);
                    }
                }
            }
        }
        self.step.repeats = said.repeated(again);
        Ok(())
    }
}

/// Whether a mail comes from a domain: by its writer, its envelope or the client's name.
fn is_near(case: &Case<'_>, domain: &str) -> bool {
    let envelope = case.mail.envelope;
    let same = |other: &str| other.eq_ignore_ascii_case(domain);
    same(case.author.mailbox.address.domain())
        || envelope.reverse_path.as_ref().is_some_and(|sender| same(sender.domain()))
        || envelope.helo.split_once('.').is_some_and(|(_, rest)| same(&envelope.helo) || same(rest))
}

/// The entry that opened a ticket.
fn opening(tx: &Tx<'_>, ticket: TicketId) -> Result<Option<Entry>, ActionError> {
    Ok(tx.starting(&ENTRIES, (ticket,), Order::Up, 1)?.into_iter().next().map(|(_, entry)| entry))
}

/// Whether a text has a line that begins as the one on top of members' copies of a ticket:
/// `acme-1042 · `, with a bar for the dot where it was written in ASCII.
fn heads_a_line(text: &str, reference: &str) -> bool {
    text.match_indices(reference)
        .any(|(at, name)| text[at + name.len()..].trim_start_matches(['*', ' ', '\u{a0}']).starts_with(['·', '|']))
}

/// The public messages of the last while, the newest first.
fn recent(tx: &Tx<'_>, act: &Act<'_>, ticket: &Ticket, within: SignedDuration) -> Result<Vec<Entry>, ActionError> {
    let all = (ticket.id, EntryId(0))..=(ticket.id, EntryId(u64::MAX));
    let newest = tx.range(&ENTRIES, all, Order::Down, MOST_ENTRIES)?;
    let newest = newest.into_iter().map(|(_, entry)| entry);
    let newest = newest.take_while(|entry| act.now.duration_since(entry.at) <= within);
    Ok(newest.filter(|entry| entry.kind == Kind::Message).collect())
}

fn holder(case: &Case<'_>) -> Option<Person> {
    case.holder.map(|holder| match holder {
        Holder::Member { id, .. } => Person::Member(id),
        Holder::Contact { id } => Person::Contact(id),
    })
}

fn writer(case: &Case<'_>) -> Option<Person> {
    match case.author.writer {
        Writer::Member(id) => Some(Person::Member(id)),
        Writer::Outside(contact) => contact.map(Person::Contact),
        Writer::Property => None,
    }
}
