//! Messages that a member puts into his mailboxes by hand (APPEND, RFC 3501 §6.3.11): one that the
//! desk knows says the same as if he had copied it there, a note of his is one, and what came to
//! another account of his and is the desk's affair becomes a ticket.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::arrival::{self, Case};
use super::filing::Addressed;
use super::writer::{self, Author};
use super::{Arrival, Intake, Mail, filing};
use crate::actions::{Act, ActionError, app_password, find, gesture, own, post, trace, views};
use crate::desk::address::{Address, Mailbox};
use crate::desk::authority::Speaker;
use crate::desk::copy::Scope;
use crate::desk::entry::{Entry, Kind};
use crate::desk::envelope::Envelope;
use crate::desk::folder::{self, Folder, Folders};
use crate::desk::id::{EntryId, PropertyId, RawId, TicketId};
use crate::desk::login::Login;
use crate::desk::member::Member;
use crate::desk::message_id::MessageId;
use crate::desk::property::Property;
use crate::desk::shelf::Marks;
use crate::desk::thread::Found;
use crate::desk::ticket::{Assignee, Person, Status};
use crate::desk::trace::Arrival as Way;
use crate::mime::header::Header;
use crate::mime::understand::Understood;
use crate::mime::{mailboxes, marks};
use crate::store::tables::SHOWN;
use crate::store::{Read, Tx};

/// Header fields that are looked at for whom another server delivered a message to.
const FIELDS: usize = 500;
const MOST_DELIVERED: usize = 10;

/// A message and where it is put.
pub struct Placed<'a> {
    /// Who puts it there.
    pub login: &'a Login,
    /// His mailboxes.
    pub folders: &'a Folders,
    pub folder: Folder,
    /// Where his client is.
    pub client: IpAddr,
    pub raw: Arc<[u8]>,
    /// Its own, if it has one.
    pub message_id: Option<MessageId>,
    /// When it came, as his client says; where it stays his own.
    pub date: Option<Timestamp>,
    /// What his client marked on it; where it stays his own.
    pub marks: Marks,
    /// He has read it.
    pub seen: bool,
}

/// What a message is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On a ticket, where it may have been before.
    OnTicket(TicketId, EntryId),
    /// No ticket's: the member keeps it for himself.
    Own(EntryId),
}

/// How a ticket begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home {
    pub(super) status: Status,
    pub(super) assignee: Option<Assignee>,
}

impl Intake {
    /// Does what it means to put a message there.
    ///
    /// # Errors
    /// [`ActionError::Refused`], with a sentence that says what can be done instead.
    pub async fn place(&self, act: &Act<'_>, placed: &Placed<'_>) -> Result<Placement, ActionError> {
        let read = match placed.folder {
            Folder::Notes(_)
            | Folder::Inbox
            | Folder::Open(_)
            | Folder::Pending(_)
            | Folder::Department(..)
            | Folder::Member(..) => {
                let read = super::read(&placed.raw).map_err(|rejection| ActionError::refused(rejection.text))?;
                Some((writer::message_id(&read, &self.desk), read))
            }
            Folder::Drafts
            | Folder::Sent
            | Folder::Archive
            | Folder::Junk
            | Folder::Trash
            | Folder::Closed(_)
            | Folder::Property(_)
            | Folder::Departments(_)
            | Folder::Members(_) => None,
        };
        let id = read.as_ref().map(|(id, _)| id).or(placed.message_id.as_ref());
        let opens = read.is_some() && !matches!(placed.folder, Folder::Notes(_));
        let by = placed.login.member();
        if opens {
            let taken = self.quota.take(by, 1, act.now);
            taken.map_err(|rejection| ActionError::refused(rejection.text))?;
        }
        let done = self
            .store
            .transact(|tx| {
                let ended = || ActionError::refused("your app password was revoked; log in with another");
                let member = app_password::member(tx, placed.login)?.ok_or_else(ended)?;
                let put = Put { intake: self, placed, member: &member };
                if let Some(id) = id
                    && let Some(entry) = put.known(tx, id)?
                {
                    return Ok((put.known_there(tx, act, &entry)?, false));
                }
                Ok::<_, ActionError>(match &read {
                    Some((_, read)) => (put.new_there(tx, act, read)?, true),
                    None => (put.own(tx, act)?, false),
                })
            })
            .await;
        if opens && !matches!(done, Ok((_, true))) {
            self.quota.give_back(by, 1);
        }
        Ok(done?.0)
    }
}

/// A message that is being put somewhere, in one transaction.
struct Put<'a> {
    intake: &'a Intake,
    placed: &'a Placed<'a>,
    member: &'a Member,
}

impl Put<'_> {
    /// The entry that bears an identifier, in the mailbox's property, or in any of the member's. A draft
    /// is none, and among what he sent only what he wrote is.
    fn known(&self, tx: &impl Read, id: &MessageId) -> Result<Option<Entry>, ActionError> {
        match self.placed.folder {
            Folder::Drafts => return Ok(None),
            Folder::Sent => return own::written(tx, self.member, id),
            _ => {}
        }
        let of_mailbox = folder::property(self.placed.folder);
        for property in find::properties(tx)? {
            let asked = of_mailbox.is_none_or(|only| only == property.id);
            if asked
                && self.placed.folders.may_see(property.id)
                && let Some(entry) = find::bearer(tx, property.id, id)?
            {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// What it means that a message is put there which a ticket has: the same as copying it. Where it
    /// stands there already nothing is said, so that a client may put back all that it has of a mailbox.
    fn known_there(&self, tx: &mut Tx<'_>, act: &Act<'_>, entry: &Entry) -> Result<Placement, ActionError> {
        let here = Placement::OnTicket(entry.ticket, entry.id);
        let folder = self.placed.folder;
        let by_him = entry.author.person() == Some(Person::Member(self.member.id));
        match folder {
            // The desk filed it when he sent it; what a client files besides is the same.
            Folder::Sent => return Ok(here),
            Folder::Notes(_) if by_him && entry.kind == Kind::Note => return Ok(here),
            Folder::Notes(_) => {
                let name = find::ticket_by_id(tx, entry.ticket)?.reference;
                let text =
                    format!("this message is on {name} already; write a note as a reply to it, and put that here");
                return Err(ActionError::refused(text));
            }
            _ => {}
        }
        let shelves = self.placed.folders.shelves(folder);
        let shown = tx.get(&SHOWN, &(Some(entry.ticket), entry.id))?.unwrap_or_default();
        if !shown.at.iter().any(|(shelf, _)| shelves.contains(shelf)) {
            gesture::move_ticket(tx, act, self.member.id, entry.ticket, None, folder)?;
            views::number_first(tx, entry.ticket, entry.id);
        }
        gesture::half_moved(tx, act, self.member.id, (entry.ticket, entry.id), folder)?;
        Ok(here)
    }

    /// What no ticket has nor is to have: it is kept for him, where he has a place for it. In one transaction
    /// with the look whether a ticket has it, since what he sends may arrive at the same moment.
    fn own(&self, tx: &mut Tx<'_>, act: &Act<'_>) -> Result<Placement, ActionError> {
        let Placed { folder, ref raw, ref message_id, date, ref marks, seen, .. } = *self.placed;
        let Some(place) = folder.place() else {
            return Err(ActionError::refused(match folder {
                Folder::Closed(_) => "no ticket has this message, so there is nothing to close; put it into Open first",
                _ => "this only holds other mailboxes; put the message into one of them",
            }));
        };
        let raw = tx.put_raw(Arc::clone(raw))?;
        let at = date.unwrap_or(act.now);
        let new = own::New { raw, at, message_id: message_id.clone(), marks: marks.clone() };
        let entry = own::add(tx, self.member.id, place, new)?;
        views::set_mine(tx, self.member.id, (None, entry), |mine| mine.seen = seen)?;
        Ok(Placement::Own(entry))
    }

    /// What the desk does not know yet.
    fn new_there(&self, tx: &mut Tx<'_>, act: &Act<'_>, read: &Understood) -> Result<Placement, ActionError> {
        let (property, department, home) = match self.placed.folder {
            Folder::Notes(property) => (property, None, None),
            Folder::Inbox => {
                // Everybody of the property sees it there, as he who put it there does.
                let home = Home { status: Status::Open, assignee: None };
                (self.meant(tx, act, read)?, None, Some(home))
            }
            Folder::Open(property) | Folder::Pending(property) => {
                let pending = matches!(self.placed.folder, Folder::Pending(_));
                let status = if pending { Status::Pending } else { Status::Open };
                let assignee = find::property_by_id(tx, property)?.default_assignee;
                (property, None, Some(Home { status, assignee }))
            }
            Folder::Department(property, id) => {
                let assignee = Some(Assignee::Department(id));
                (property, Some(id), Some(Home { status: Status::Open, assignee }))
            }
            Folder::Member(property, id) => {
                (property, None, Some(Home { status: Status::Open, assignee: Some(Assignee::Member(id)) }))
            }
            _ => return self.own(tx, act),
        };
        let property = find::property_by_id(tx, property)?;
        if !self.member.is_of(property.id) {
            return Err(ActionError::refused(format!("you have no role in {}", property.slug)));
        }
        let from = match home {
            None => self.note_from(tx, act, &property, read)?,
            Some(_) => customer(tx, act, &property, read)?,
        };
        let address = property.forwarding_address(act.desk.domains.first());
        let story = act.desk.mint_trace();
        let envelope = Envelope {
            client: self.placed.client,
            helo: act.client.clone().unwrap_or_default(),
            reverse_path: None,
            recipients: vec![address.clone()],
            tls: None,
            extended: false,
            eight_bit: false,
            smtputf8: false,
            login: Some(self.placed.login.clone()),
            at: act.now,
            id: story.to_string(),
        };
        let act = act.as_part_of(Some(story));
        let raw = tx.put_raw(Arc::clone(&self.placed.raw))?;
        trace::arrived(tx, &act, Way::of(&envelope, self.placed.raw.len()))?;
        let mail = Mail {
            envelope: &envelope,
            understood: read,
            from,
            verdict: None,
            machine: marks::machine(&read.marks, false),
            report: None,
            message_id: writer::message_id(read, act.desk),
            looks: &self.intake.looks,
            gate: &self.intake.gate,
            must_keep: true,
        };
        let placement = match home {
            None => self.note(tx, &act, &mail, &address, property, raw)?,
            Some(home) => {
                let author = writer::author(tx, act.desk, &property, &mail)?;
                let case = Case { department, ..Case::new(&mail, &address, property, author, raw) };
                self.mail(tx, &act, case, home)?
            }
        };
        if let Placement::OnTicket(ticket, entry) = placement {
            views::set_mine(tx, self.member.id, (Some(ticket), entry), |mine| mine.seen |= self.placed.seen)?;
        }
        Ok(placement)
    }

    /// A note of his, on the ticket that it answers.
    fn note(
        &self,
        tx: &mut Tx<'_>,
        act: &Act<'_>,
        mail: &Mail<'_>,
        address: &Address,
        property: Property,
        raw: RawId,
    ) -> Result<Placement, ActionError> {
        let slug = property.slug.clone();
        let author = Author::logged_in(tx, self.member, property.id)?;
        let mut case = Case::new(mail, address, property, author, raw);
        arrival::locate(tx, &mut case, None)?;
        if case.ticket.is_none() {
            return Err(ActionError::refused(format!(
                "no ticket of {slug} has what this answers; write the note as a reply to one of its messages"
            )));
        }
        let speaker = Speaker::logged_in(self.placed.login);
        let arrival = filing::by_member(tx, act, &case, speaker, Scope::Note, &Addressed::default())?;
        filed(tx, &case, &arrival)
    }

    /// What somebody outside wrote: on the ticket that it answers, else a new one.
    fn mail(&self, tx: &mut Tx<'_>, act: &Act<'_>, mut case: Case<'_>, home: Home) -> Result<Placement, ActionError> {
        arrival::locate(tx, &mut case, None)?;
        if !matches!(case.found, Some(Found::Minted | Found::Entry)) {
            (case.ticket, case.found, case.parent) = (None, None, None);
            let act = act.with_actor(post::as_member(self.member));
            let (ticket, entry) = filing::placed(tx, &act, &case, home, self.member.addresses())?;
            return Ok(Placement::OnTicket(ticket.id, entry.id));
        }
        let arrival = arrival::decide(tx, act, &case)?;
        let placement = filed(tx, &case, &arrival)?;
        let Placement::OnTicket(ticket, entry) = placement else { return Ok(placement) };
        let entry = find::entry(tx, &find::ticket_by_id(tx, ticket)?, entry)?;
        self.known_there(tx, act, &entry)
    }

    /// The property that a message in the member's inbox is for: the one whose address it names, or the
    /// only one that he has.
    fn meant(&self, tx: &impl Read, act: &Act<'_>, read: &Understood) -> Result<PropertyId, ActionError> {
        let header = Header::read(&self.placed.raw, FIELDS);
        let delivered = header.all("Delivered-To").chain(header.all("X-Original-To"));
        let delivered = delivered.flat_map(|field| mailboxes::read(&field.text(), MOST_DELIVERED).list);
        for mailbox in read.to.iter().chain(&read.cc).cloned().chain(delivered) {
            let property = match super::resolve(tx, act.desk, &mailbox.address)? {
                Ok(target) => target.property(),
                Err(_) => find::property_of_public(tx, &mailbox.address)?,
            };
            if let Some(property) = property.filter(|property| self.placed.folders.may_see(*property)) {
                return Ok(property);
            }
        }
        let mut his = find::properties(tx)?;
        his.retain(|property| self.placed.folders.may_see(property.id));
        match his.as_slice() {
            [only] => Ok(only.id),
            [] => Err(ActionError::refused("you have a role in no property, so no ticket can be opened for you")),
            [first, ..] => Err(ActionError::refused(format!(
                "nothing says which of your properties this is for; put it into {}/Open, or another's",
                first.slug
            ))),
        }
    }

    /// Whose words a note is: nobody's but his own.
    fn note_from(
        &self,
        tx: &impl Read,
        act: &Act<'_>,
        property: &Property,
        read: &Understood,
    ) -> Result<Mailbox, ActionError> {
        let from = match (writer::one(read), read.from.is_empty()) {
            (Some(from), _) => from.clone(),
            (None, true) => self.member.mailbox(),
            (None, false) => return Err(two_writers()),
        };
        let his = self.member.has(&from.address) || writer::is_of(tx, act.desk, property, &from.address)?;
        if his {
            return Ok(from);
        }
        Err(ActionError::refused(format!(
            "a note is what you write yourself, and {} wrote this; put it into {}/Open, or quote it in a note",
            from.address, property.slug
        )))
    }
}

/// Somebody for whom a ticket can be.
fn customer(tx: &impl Read, act: &Act<'_>, property: &Property, read: &Understood) -> Result<Mailbox, ActionError> {
    let from = writer::one(read).ok_or_else(two_writers)?;
    if find::is_outside(tx, act.desk, property.id, &from.address)? {
        return Ok(from.clone());
    }
    Err(ActionError::refused(format!(
        "{} is of the desk or its team, and a ticket is for somebody outside; to open one write to him as {}",
        from.address,
        property.forwarding_address(act.desk.domains.first())
    )))
}

fn two_writers() -> ActionError {
    ActionError::refused("the message needs exactly one From field with exactly one address")
}

/// Where a message is that was filed.
fn filed(tx: &impl Read, case: &Case<'_>, arrival: &Arrival) -> Result<Placement, ActionError> {
    let entry = match arrival {
        Arrival::Filed(..) => find::bearer(tx, case.property.id, &case.mail.message_id)?,
        Arrival::Refused(rejection) => return Err(ActionError::refused(rejection.text.clone())),
    };
    let entry = entry.ok_or_else(|| ActionError::refused("the message is on its ticket under another name"))?;
    Ok(Placement::OnTicket(entry.ticket, entry.id))
}
