//! What a message answers, and whether it does so once too often (`desk/exchange.rs`).

use super::arrival::Case;
use super::looks::{Echo, Words};
use crate::actions::{Act, ActionError, find};
use crate::desk::authority::{Holder, Writer};
use crate::desk::entry::{Door, Entry, Kind, State};
use crate::desk::exchange::{PROMPT, Step};
use crate::desk::id::{EntryId, MemberId};
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
/// team wrote last.
fn on_ticket(tx: &Tx<'_>, act: &Act<'_>, case: &Case<'_>, ticket: &Ticket) -> Result<Step, ActionError> {
    let by_member = matches!(case.author.writer, Writer::Member(_));
    let mut step = Step { by_member, ..Step::default() };
    let recent: Vec<Entry> = recent(tx, act, ticket)?.into_iter().filter(|e| e.state == State::Relayed).collect();
    let persons = [holder(case), writer(case)];
    let is_his = |entry: &&Entry| {
        entry.author.person().is_some_and(|person| persons.contains(&Some(person)))
            || entry.author.mailbox().is_some_and(|mailbox| mailbox.address == case.author.mailbox.address)
    };
    let said = Words::of(&case.mail.understood.subject, &case.mail.understood.text.new);
    let again = recent.iter().filter(is_his).filter(|entry| Words::of(&entry.subject, &entry.text) == said);
    step.repeats = said.repeated(again.count());
    let by_person = recent.iter().position(|entry| entry.author.is_member() && entry.turn == 0);
    let since = &recent[..by_person.map_or(recent.len(), |at| at + 1)];
    let answered = recent[..by_person.unwrap_or(recent.len())].iter().filter(is_his).count();
    let mut sent = 0;
    for entry in since.iter().rev().filter(|entry| !is_his(entry)) {
        for id in &entry.copies {
            let to_him = tx
                .get(&COPIES, id)?
                .is_some_and(|copy| persons.contains(&Some(copy.person)) || copy.to == case.author.mailbox.address);
            if to_him {
                if sent == answered {
                    step.answers = Some(entry.turn);
                    return Ok(step);
                }
                sent += 1;
                break;
            }
        }
    }
    Ok(step)
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

    /// It answers the tickets that it names, as the line on top of members' copies and letters do.
    fn names(&mut self, tx: &Tx<'_>, act: &Act<'_>, case: &Case<'_>) -> Result<(), ActionError> {
        let said = case.mail.understood;
        for text in [&said.subject, &said.text.new, &said.text.quoted, &said.text.signature] {
            let text = &text[..text.floor_char_boundary(LONGEST)];
            for number in ticket_refs_in(text, case.property.slug.as_str(), MOST_NAMED) {
                let Some(id) = tx.get(&TICKET_NUMBERS, &(case.property.id, number))? else { continue };
                let ticket = find::ticket_by_id(tx, id)?;
                if let Some(turn) = recent(tx, act, &ticket)?.first().map(|newest| newest.turn) {
                    self.answers(turn, ticket);
                }
            }
        }
        Ok(())
    }

    /// Its words opened tickets just now, and somebody next to its writer was sent each: a
    /// distribution address behind which another desk is, that acknowledges whatever it gets.
    fn alike(&mut self, tx: &Tx<'_>, act: &Act<'_>, case: &Case<'_>) -> Result<(), ActionError> {
        let Some(opened) = case.mail.looks.opened(&Echo::of(case.mail, case.property.id), act.now) else {
            return Ok(());
        };
        let ticket = find::ticket_by_id(tx, opened.ticket)?;
        let Some(first) = tx.starting(&ENTRIES, (ticket.id,), Order::Up, 1)?.into_iter().next() else { return Ok(()) };
        for id in &first.1.copies {
            let Some(copy) = tx.get(&COPIES, id)? else { continue };
            if let Person::Member(member) = copy.person
                && is_near(case, copy.to.domain())
                && find::member_by_id(tx, member)?.list
            {
                self.step.alike = opened.count;
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
            let Some((_, first)) = tx.starting(&ENTRIES, (id,), Order::Up, 1)?.into_iter().next() else { continue };
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

/// The public messages of the last minutes, the newest first.
fn recent(tx: &Tx<'_>, act: &Act<'_>, ticket: &Ticket) -> Result<Vec<Entry>, ActionError> {
    let all = (ticket.id, EntryId(0))..=(ticket.id, EntryId(u64::MAX));
    let newest = tx.range(&ENTRIES, all, Order::Down, MOST_ENTRIES)?;
    let newest = newest.into_iter().map(|(_, entry)| entry);
    let newest = newest.take_while(|entry| act.now.duration_since(entry.at) <= PROMPT);
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
