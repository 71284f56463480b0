//! What a member writes by mail, with the commands that it begins with: both are done, or nothing
//! is, and then he is told why (`docs/mail.md`, Commands).
//!
//! [`add`] is the one way in for every door by which a member's own mail comes. That it is his was
//! decided before: the act is by that member, the standpoint says on what evidence.

use std::collections::BTreeMap;

use super::post::{self, Content, Obeyed, Standpoint};
use super::{Act, ActionError, Actor, change, find, held, notices, state};
use crate::desk::address::Mailbox;
use crate::desk::command::{Asked, Command, Joins, Who};
use crate::desk::copy::Scope;
use crate::desk::entry::{Attachment, Door, Entry, Kind, Reason, State, What};
use crate::desk::fanout::Voice;
use crate::desk::id::{EntryId, MemberId};
use crate::desk::member::Member;
use crate::desk::mistake::Mistake;
use crate::desk::property::Property;
use crate::desk::ticket::{Assignee, Person, Standing, Status, Ticket};
use crate::mime::understand::{Limits, Protection, Understood, understand};
use crate::store::tables::ENTRIES;
use crate::store::{Read, Tx};

/// The commands that a mail begins with. What is signed or encrypted is never searched for them, nor
/// what is all quotation and signature: those lines are not its writer's.
#[must_use]
pub fn asked(understood: &Understood) -> Asked {
    match understood.protection {
        Protection::None if understood.text.nothing_new => Asked::default(),
        Protection::None => Asked { below: understood.text.below, ..Asked::of(&understood.text.new) },
        Protection::Signed | Protection::Encrypted => Asked::default(),
    }
}

/// What somebody who acts for a property says.
#[derive(Clone, Debug)]
pub struct Said {
    pub content: Content,
    pub standpoint: Standpoint,
    /// People outside whom he addresses: they become accepted Cc.
    pub admits: Vec<Mailbox>,
    /// Colleagues whom he addresses: they follow the ticket.
    pub followed_by: Vec<MemberId>,
}

impl Said {
    /// To those who are on the ticket.
    #[must_use]
    pub fn new(content: Content, standpoint: Standpoint) -> Self {
        Self { content, standpoint, admits: Vec::new(), followed_by: Vec::new() }
    }

    /// Puts whom he addresses or names on the ticket, each as far as that goes.
    fn address(
        &self,
        tx: &mut Tx<'_>,
        act: &Act<'_>,
        property: &Property,
        ticket: &mut Ticket,
        opens: bool,
    ) -> Result<(), ActionError> {
        for mailbox in &self.admits {
            post::admit(tx, act, property, ticket, mailbox)?;
        }
        for member in &self.followed_by {
            post::follow(tx, ticket, *member)?;
        }
        if !opens {
            post::propose(tx, act, property, ticket, &self.content.named, Standing::Proposed, false)?;
        }
        Ok(())
    }
}

/// Adds what a member said, as [`post::add`] does, once the commands of its [`Content::asked`] are
/// carried out. Where one of them is wrong, none is: the entry is held, and he gets his text back.
pub fn add(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    before: Option<&Ticket>,
    ticket: &mut Ticket,
    mut said: Said,
) -> Result<Entry, ActionError> {
    let asked = std::mem::take(&mut said.content.asked);
    let Actor::Member { id, .. } = act.actor else { return plainly(tx, act, property, before, ticket, said) };
    if asked.is_empty() {
        return plainly(tx, act, property, before, ticket, said);
    }
    let member = find::member_by_id(tx, id)?;
    let read = asked.read(act.now);
    let ok = || read.iter().filter_map(|(_, command)| command.as_ref().ok());
    let standpoint = &mut said.standpoint;
    if ok().any(|command| *command == Command::Note) {
        standpoint.scope = Scope::Note;
    }
    let empty = is_empty(&asked, &said.content.attachments);
    let asks_alone = empty && read.iter().all(|(_, command)| command.as_ref().is_ok_and(Command::asks));
    // Who opens a ticket for himself may say all in the subject.
    let silent = empty && (standpoint.voice == Voice::Member || asks_alone);
    if !silent && post::is_crossed(tx, ticket, standpoint)? {
        // It waits, and its commands with it.
        return plainly(tx, act, property, before, ticket, said);
    }
    let done = tx.attempt(|tx| {
        let mut ticket = ticket.clone();
        said.address(tx, act, property, &mut ticket, before.is_none())?;
        let parent = said.standpoint.parent;
        let mut work = Work {
            property,
            member: &member,
            before: before.cloned(),
            ticket,
            parent,
            outside: !said.admits.is_empty(),
            opens: before.is_none(),
            held: false,
        };
        let obeyed = work.carry_out(tx, act, &read)?;
        Ok((work.before, work.ticket, obeyed))
    });
    let Said { mut content, mut standpoint, .. } = said;
    match done {
        Ok((before, changed, obeyed)) => {
            *ticket = changed;
            let asked_for = obeyed.asked_for.clone();
            standpoint.obeyed = Some(obeyed);
            if silent {
                standpoint.state = State::Kept;
                standpoint.reason = Some(Reason::OnlyCommands);
                if asks_alone && before.is_none() {
                    ticket.status = Status::Closed;
                }
            } else {
                content.text.clone_from(&asked.rest);
            }
            let mut entry = post::add(tx, act, property, before.as_ref(), ticket, content, standpoint)?;
            notices::asked(tx, act, property, ticket, &mut entry, &member, &asked_for)?;
            Ok(entry)
        }
        Err(Stop::Wrong(wrong)) => {
            standpoint.state = State::Held;
            standpoint.reason = Some(Reason::Command);
            standpoint.warning = Some(Reason::Command);
            standpoint.claims = Some(id);
            standpoint.hands_on = standpoint.author.person() != Some(Person::Member(id));
            let mut entry = post::add(tx, act, property, before, ticket, content, standpoint)?;
            notices::wrong(tx, act, property, ticket, &mut entry, &wrong)?;
            Ok(entry)
        }
        Err(Stop::Error(error)) => Err(error),
    }
}

/// The same where there are no commands, or none that count now.
fn plainly(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    before: Option<&Ticket>,
    ticket: &mut Ticket,
    said: Said,
) -> Result<Entry, ActionError> {
    said.address(tx, act, property, ticket, before.is_none())?;
    post::add(tx, act, property, before, ticket, said.content, said.standpoint)
}

/// Carries out the commands that a held entry begins with, now that it is let pass, and takes them
/// from its text; marks it where there was nothing besides.
///
/// # Errors
/// [`Mistake::Commands`] where one is wrong; then the entry is as before.
pub(super) fn obey(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    before: &mut Option<Ticket>,
    ticket: &mut Ticket,
    entry: &mut Entry,
    member: &Member,
) -> Result<Obeyed, ActionError> {
    let by_mail = matches!(entry.door, Door::Smtp | Door::Submission | Door::Imap);
    let Some(raw) = entry.raw.filter(|_| by_mail) else { return Ok(Obeyed::default()) };
    let asked = understand(&tx.raw(raw)?, &Limits::default()).map(|said| asked(&said)).unwrap_or_default();
    if asked.is_empty() {
        return Ok(Obeyed::default());
    }
    let read = asked.read(act.now);
    let mut work = Work {
        property,
        member,
        before: before.clone(),
        ticket: ticket.clone(),
        parent: entry.parent,
        outside: false,
        opens: entry.hands_on,
        held: true,
    };
    let obeyed = match tx.attempt(|tx| work.carry_out(tx, act, &read)) {
        Ok(obeyed) => obeyed,
        Err(Stop::Wrong(wrong)) => return Err(Mistake::Commands(wrong).into()),
        Err(Stop::Error(error)) => return Err(error),
    };
    *before = work.before;
    *ticket = work.ticket;
    entry.ticket = ticket.id;
    if read.iter().any(|(_, command)| *command == Ok(Command::Note)) {
        entry.kind = Kind::Note;
    }
    if is_empty(&asked, &entry.attachments) {
        entry.reason = Some(Reason::OnlyCommands);
    } else {
        entry.commands.clone_from(&obeyed.lines);
        entry.text = post::bounded(asked.rest.clone());
    }
    Ok(obeyed)
}

/// Whether there is nothing besides the commands: no word, and no file. Images within the text are
/// a signature's more often than a message.
fn is_empty(asked: &Asked, attachments: &[Attachment]) -> bool {
    asked.rest.trim().is_empty() && attachments.iter().all(|attachment| attachment.inline)
}

/// The lines that are wrong, each with what is wrong about it.
type Wrong = Vec<(String, Mistake)>;

/// A ticket on which commands are carried out.
struct Work<'w> {
    property: &'w Property,
    member: &'w Member,
    /// As the store has it; `None`: a new one.
    before: Option<Ticket>,
    ticket: Ticket,
    /// The entry that the commands answer.
    parent: Option<EntryId>,
    /// Their mail is addressed to people outside.
    outside: bool,
    /// Their mail opens the ticket, or makes it somebody else's.
    opens: bool,
    /// They stand in mail that was held until now.
    held: bool,
}

impl Work<'_> {
    /// Carries all of them out, in the name of the act's member. Where some are wrong, that is told
    /// of each, and the caller forgets what was done.
    fn carry_out(
        &mut self,
        tx: &mut Tx<'_>,
        act: &Act<'_>,
        read: &[(&str, Result<Command, Mistake>)],
    ) -> Result<Obeyed, Stop> {
        let mut wrong = BTreeMap::new();
        let mut obeyed =
            Obeyed { lines: read.iter().map(|(line, _)| (*line).to_owned()).collect(), ..Obeyed::default() };
        let mut lines: Vec<_> = read.iter().enumerate().collect();
        // What is merged first is what the others change.
        lines.sort_by_key(|(_, (_, command))| !matches!(command, Ok(Command::Merge(_))));
        for (at, (line, command)) in lines {
            let done = match command {
                Ok(command) if !self.property.commands.allows(command.verb()) => {
                    Err(Mistake::NotAllowed(command.verb()))
                }
                Ok(command) => {
                    obeyed.status |= command.moves();
                    obeyed.aside |= *command == Command::Unfollow;
                    obeyed.asked_for.extend(command.asks().then(|| command.verb()));
                    self.one(tx, act, command)?
                }
                Err(mistake) => Err(mistake.clone()),
            };
            wrong.extend(done.err().map(|mistake| (at, ((*line).to_owned(), mistake))));
        }
        if wrong.is_empty() { Ok(obeyed) } else { Err(Stop::Wrong(wrong.into_values().collect())) }
    }

    /// Carries one out. The inner error is its own fault.
    fn one(&mut self, tx: &mut Tx<'_>, act: &Act<'_>, command: &Command) -> Result<Result<(), Mistake>, ActionError> {
        match self.apply(tx, act, command) {
            Ok(()) => Ok(Ok(())),
            Err(ActionError::Mistake(mistake)) => Ok(Err(mistake)),
            Err(ActionError::NotFound { near, .. }) => Ok(Err(Mistake::NotThere { name: named(command), near })),
            // These have words in one language alone, so no command may lead to them.
            Err(
                error @ (ActionError::Store(_)
                | ActionError::Taken { .. }
                | ActionError::Doubled(_)
                | ActionError::Refused(_)),
            ) => Err(error),
        }
    }

    fn apply(&mut self, tx: &mut Tx<'_>, act: &Act<'_>, command: &Command) -> Result<(), ActionError> {
        let ticket = &mut self.ticket;
        match command {
            Command::Note | Command::Accept { .. } | Command::Reject { .. } | Command::Merge(_) if self.opens => {
                return Err(Mistake::NewTicket(command.verb()).into());
            }
            Command::Note if self.outside => return Err(Mistake::NoteOutside.into()),
            Command::Accept { .. } | Command::Reject { .. } if self.held => {
                return Err(Mistake::WhenHeld(command.verb()).into());
            }
            Command::Close => change::set_status(tx, act, ticket, Status::Closed)?,
            Command::Open => change::set_status(tx, act, ticket, Status::Open)?,
            Command::Pending => change::set_status(tx, act, ticket, Status::Pending)?,
            Command::Spam => change::set_status(tx, act, ticket, Status::Spam)?,
            Command::Snooze(until) => change::snooze(tx, act, ticket, *until)?,
            Command::Assign(who) => {
                let assignee = match who {
                    Who::Me => Some(Assignee::Member(self.member.id)),
                    Who::Nobody => None,
                    Who::Named(who) => find::assignee(tx, self.property, who)?,
                };
                change::assign(tx, act, self.property, ticket, assignee)?;
            }
            Command::Follow => change::follow(tx, act, ticket, self.member)?,
            Command::Unfollow => {
                if ticket.participant(Person::Member(self.member.id)).is_some() {
                    change::unfollow(tx, act, ticket, self.member)?;
                }
            }
            Command::Tag(tags) => {
                for tag in tags {
                    change::tag(tx, act, ticket, tag)?;
                }
            }
            Command::Untag(tags) => {
                for tag in tags {
                    change::untag(tx, act, ticket, tag)?;
                }
            }
            Command::Priority(priority) => change::set_priority(tx, act, ticket, *priority)?,
            Command::Cc(addresses) => {
                for address in addresses {
                    change::cc(tx, act, self.property, ticket, address)?;
                }
            }
            Command::Uncc(addresses) => {
                for address in addresses {
                    change::uncc(tx, act, ticket, address)?;
                }
            }
            Command::Accept { entry, joins } => self.accept(tx, act, *entry, *joins)?,
            Command::Reject { entry } => {
                let entry = self.decided(tx, *entry)?.ok_or_else(|| self.nothing_waits())?;
                let entry = held::reject_on(tx, act, &mut self.ticket, entry)?;
                notices::decided(tx, act, &entry)?;
            }
            Command::Merge(into) => {
                let Some(before) = &self.before else { return Ok(()) };
                // Of another property he is told nothing, not even which tickets are there.
                if into.property != self.property.slug {
                    return Err(Mistake::OtherProperty.into());
                }
                let into = find::ticket(tx, &into.to_string())?;
                if into.id == ticket.id {
                    let (one, other) = (ticket.reference.to_string(), into.reference.to_string());
                    return Err(Mistake::OneTicket { one, other }.into());
                }
                let merged = change::merge(tx, act, before, ticket.clone(), &into)?;
                self.before = Some(merged.clone());
                self.ticket = merged;
            }
            // The message itself is a note; letters are written when all is done.
            Command::Note | Command::Help | Command::Status => {}
        }
        Ok(())
    }

    /// `#accept`: what waits, or else those whom the answered entry named.
    fn accept(
        &mut self,
        tx: &mut Tx<'_>,
        act: &Act<'_>,
        entry: Option<EntryId>,
        joins: Option<Joins>,
    ) -> Result<(), ActionError> {
        if let Some(entry) = self.decided(tx, entry)? {
            let entry = held::accept_on(tx, act, self.property, &mut self.before, &mut self.ticket, entry, joins)?;
            return notices::decided(tx, act, &entry);
        }
        let parent = self.parent.map(|parent| tx.get(&ENTRIES, &(self.ticket.id, parent))).transpose()?.flatten();
        let named = parent.map(|parent| parent.named).unwrap_or_default();
        let mut accepted = Vec::new();
        for participant in &mut self.ticket.participants {
            let is_named = named.iter().any(|mailbox| mailbox.address == participant.address);
            if is_named && participant.standing == Standing::Proposed {
                participant.standing = Standing::Accepted;
                accepted.push(participant.address.to_string());
            }
        }
        if accepted.is_empty() {
            return Err(self.nothing_waits().into());
        }
        for address in accepted {
            state::event(tx, act, &self.ticket, What::Participant, None, Some(address))?;
        }
        Ok(())
    }

    /// The entry that a decision is about: the named one, the answered one if it waits, or the only
    /// one that does.
    fn decided(&self, tx: &impl Read, entry: Option<EntryId>) -> Result<Option<EntryId>, ActionError> {
        if entry.is_some() {
            return Ok(entry);
        }
        let waiting = held::waiting(tx, &self.ticket)?;
        if let Some(parent) = self.parent.filter(|parent| waiting.contains(parent)) {
            return Ok(Some(parent));
        }
        match waiting.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(*only)),
            _ => Err(Mistake::SeveralWait(waiting).into()),
        }
    }

    fn nothing_waits(&self) -> Mistake {
        Mistake::NothingWaits(self.ticket.reference.clone())
    }
}

/// Why commands were not carried out.
enum Stop {
    Wrong(Wrong),
    /// It is not their fault.
    Error(ActionError),
}

impl From<ActionError> for Stop {
    fn from(error: ActionError) -> Self {
        Self::Error(error)
    }
}

/// What a command named, where it was not found.
fn named(command: &Command) -> String {
    match command {
        Command::Assign(Who::Named(who)) => who.clone(),
        Command::Untag(tags) => tags.join(", "),
        Command::Uncc(addresses) => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Command::Accept { entry: Some(entry), .. } | Command::Reject { entry: Some(entry) } => entry.to_string(),
        Command::Merge(ticket) => ticket.to_string(),
        other => other.verb().to_string(),
    }
}
