//! APPEND (RFC 3501 §6.3.11): messages that a client puts into a mailbox.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;

use super::Trouble;
use super::command::{Append, Flag, Name};
use super::flags;
use super::seat::{Done, Seat};
use super::write::{Out, set};
use crate::desk::folder::Folder;
use crate::desk::id::{EntryId, TicketId};
use crate::desk::message_id::MessageId;
use crate::desk::shelf::Marks;
use crate::intake::placed::{Placed, Placement};
use crate::mime::header::Header;
use crate::mime::ids;
use crate::smtp::body::{Body, BodyWriter, Spool};
use crate::store::Read as _;
use crate::store::tables::SHOWN;

/// The most messages of one APPEND.
const MOST: usize = 100;
/// Header fields that are looked at for the Message-ID.
const FIELDS: usize = 500;
/// How often the octets of a message are in memory while it is read and filed.
const TIMES: u64 = 2;

/// An APPEND on its way in.
pub struct Appending {
    mailbox: Name,
    messages: Vec<(Append, io::Result<Body>)>,
    open: Option<(Append, io::Result<BodyWriter>)>,
    octets: u64,
}

impl Appending {
    #[must_use]
    pub fn new(mailbox: Name) -> Self {
        Self { mailbox, messages: Vec::new(), open: None, octets: 0 }
    }

    /// A message is announced; whether it is taken.
    pub fn announce(&mut self, message: Append, spool: &Spool, limit: u64) -> bool {
        self.octets = self.octets.saturating_add(message.size);
        if message.size > limit || self.octets > limit.saturating_mul(2) || self.messages.len() >= MOST {
            return false;
        }
        let writer = spool.begin(message.size);
        self.open = Some((message, Ok(writer)));
        true
    }

    /// Some of its octets.
    pub async fn push(&mut self, octets: &[u8]) {
        if let Some((_, body)) = &mut self.open
            && let Ok(writer) = body
            && let Err(error) = writer.push(octets).await
        {
            *body = Err(error);
        }
    }

    /// Its end.
    pub async fn end(&mut self) {
        if let Some((message, body)) = self.open.take() {
            let body = match body {
                Ok(writer) => writer.finish().await,
                Err(error) => Err(error),
            };
            self.messages.push((message, body));
        }
    }
}

impl Seat {
    /// Where an APPEND goes: asked before its messages come, so that none comes for nothing.
    ///
    /// # Errors
    /// [`Trouble`] where there is no such mailbox, or none that could take a message.
    pub fn appends_to(&mut self, mailbox: &Name) -> Result<Folder, Trouble> {
        self.look_round()?;
        let named = self.named(mailbox).map_err(|_| Trouble::no("NONEXISTENT", "there is no such mailbox"))?;
        if named.folder.is_level() {
            return Err(Trouble::no("CANNOT", "this only holds other mailboxes"));
        }
        Ok(named.folder)
    }

    /// Files what was appended.
    pub async fn append(&mut self, append: Appending, out: &mut Out<'_>) -> Result<Done, Trouble> {
        let folder = self.appends_to(&append.mailbox)?;
        // Some clients call an APPEND off by it (RFC 3502 §6.3.11).
        if append.messages.iter().any(|(message, _)| message.size == 0) {
            return Err(Trouble::no("CANNOT", "a message of no octets can't be kept"));
        }
        let shelves = self.folders.shelves(folder);
        let mut uids = Vec::new();
        for (message, body) in append.messages {
            let body = body.map_err(|error| spooled(&error))?;
            let _room = self.desk.memory.room(body.len(), TIMES).await;
            let raw = tokio::task::spawn_blocking(|| body.read_all()).await;
            let raw = raw.map_err(io::Error::other).and_then(|raw| raw).map_err(|error| spooled(&error))?;
            let key = self.append_one(folder, &message, raw.into()).await?;
            let shown =
                self.desk.store.read(|view| view.get(&SHOWN, &key)).map_err(Trouble::Store)?.unwrap_or_default();
            uids.extend(shown.at.iter().find(|(shelf, _)| shelves.contains(shelf)).map(|(_, uid)| *uid));
        }
        self.tell(out, true, &[]).await?;
        if uids.is_empty() {
            return Ok(Done::coded(None, "appended"));
        }
        let validity = self.validity(folder, &shelves).await?;
        Ok(Done::coded(format!("APPENDUID {validity} {}", set(uids)), "appended"))
    }

    /// Files one, with its ticket or among the member's own; answers what it is then.
    async fn append_one(
        &self,
        folder: Folder,
        message: &Append,
        raw: Arc<[u8]>,
    ) -> Result<(Option<TicketId>, EntryId), Trouble> {
        let placed = Placed {
            login: &self.login,
            folders: &self.folders,
            folder,
            client: self.peer,
            message_id: message_id(&raw),
            raw,
            date: message.date,
            marks: marks(message, folder)?,
            seen: message.flags.contains(&Flag::Seen),
        };
        Ok(match self.desk.intake.place(&self.act(Timestamp::now()), &placed).await? {
            Placement::OnTicket(ticket, entry) => (Some(ticket), entry),
            Placement::Own(entry) => (None, entry),
        })
    }
}

/// A disk that is full, most likely.
fn spooled(error: &io::Error) -> Trouble {
    tracing::error!(%error, "a message that a mail client puts into a mailbox can't be spooled");
    Trouble::no("UNAVAILABLE", "the message can't be kept now; try again later")
}

fn marks(message: &Append, folder: Folder) -> Result<Marks, Trouble> {
    let has = |flag| message.flags.contains(&flag);
    Ok(Marks {
        flagged: has(Flag::Flagged),
        answered: has(Flag::Answered),
        keywords: flags::first(&message.flags)?,
        draft: has(Flag::Draft) || folder == Folder::Drafts,
        copy_of: None,
    })
}

fn message_id(raw: &[u8]) -> Option<MessageId> {
    let header = Header::read(raw, FIELDS);
    ids::all(&header.first("Message-ID")?.text()).into_iter().next()
}
