//! APPEND (RFC 3501 §6.3.11): messages that a client puts into a mailbox.

use std::io;

use jiff::Timestamp;

use super::Trouble;
use super::command::{Append, Flag, Name};
use super::seat::{Done, Seat};
use super::write::{Out, set};
use crate::actions::{ActionError, find, gesture, own, views};
use crate::desk::entry::Entry;
use crate::desk::folder::Folder;
use crate::desk::id::{EntryId, TicketId};
use crate::desk::message_id::MessageId;
use crate::desk::shelf::{Marks, Place};
use crate::mime::header::Header;
use crate::smtp::body::{Body, BodyWriter, Spool};
use crate::store::tables::{ENTRIES, MESSAGE_IDS, SHOWN};
use crate::store::{Read, StoreError, Tx};

/// The most messages of one APPEND.
const MOST: usize = 100;
/// Header fields that are looked at for the Message-ID.
const FIELDS: usize = 500;

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

/// Where an appended message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    /// On a ticket, which knew it before.
    Known(TicketId, EntryId),
    Own(EntryId),
}

impl Seat {
    /// Files what was appended.
    pub async fn append(&mut self, append: Appending, out: &mut Out<'_>) -> Result<Done, Trouble> {
        let folder = match self.named(&append.mailbox) {
            Ok(named) => named.folder,
            Err(_) => return Err(Trouble::no("TRYCREATE", "there is no such mailbox")),
        };
        let shelves = self.folders.shelves(folder);
        let mut uids = Vec::new();
        for (message, body) in append.messages {
            let body = body.map_err(|error| Trouble::Broken(format!("a message could not be kept: {error}")))?;
            let raw = tokio::task::spawn_blocking(|| body.read_all()).await;
            let raw = raw
                .map_err(io::Error::other)
                .and_then(|raw| raw)
                .map_err(|error| Trouble::Broken(error.to_string()))?;
            let stands = self.append_one(folder, &message, raw).await?;
            let key = match stands {
                Stands::Known(ticket, entry) => (Some(ticket), entry),
                Stands::Own(entry) => (None, entry),
            };
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

    async fn append_one(&self, folder: Folder, message: &Append, raw: Vec<u8>) -> Result<Stands, Trouble> {
        let id = message_id(&raw);
        let raw: std::sync::Arc<[u8]> = raw.into();
        let now = Timestamp::now();
        let member = self.member.id;
        let filed = self.desk.store.transact(|tx| {
            let act = self.act(now);
            let known = match &id {
                Some(id) => self.known(tx, id)?,
                None => None,
            };
            match (folder, known) {
                // The desk filed it when he sent it; what a client files besides is the same.
                (Folder::Sent, Some(entry)) if is_by(&entry, member) => {
                    return Ok(Stands::Known(entry.ticket, entry.id));
                }
                // A client that puts its cache back puts nothing new there.
                (folder, Some(entry)) if crate::desk::folder::gesture(folder).is_some() => {
                    gesture::move_ticket(tx, &act, member, entry.ticket, folder, folder)?;
                    return Ok(Stands::Known(entry.ticket, entry.id));
                }
                _ => {}
            }
            let Some(place) = folder.place() else {
                return Err(ActionError::refused("a message can't be put there; move one of a ticket, or compose one"));
            };
            let raw = tx.put_raw(std::sync::Arc::clone(&raw))?;
            let at = message.date.unwrap_or(now);
            let entry = own::add(
                tx,
                member,
                place,
                own::New { raw, at, message_id: id.clone(), marks: marks(message, place) },
            )?;
            let has = |flag| message.flags.contains(&flag);
            views::set_mine(tx, member, (None, entry), |mine| mine.seen = has(Flag::Seen))?;
            Ok(Stands::Own(entry))
        });
        Ok(filed.await?)
    }

    /// The entry that bears a Message-ID in one of the member's properties.
    fn known(&self, tx: &mut Tx<'_>, id: &MessageId) -> Result<Option<Entry>, StoreError> {
        for property in find::properties(tx)? {
            if !self.folders.may_see(property.id) {
                continue;
            }
            for bearer in tx.get(&MESSAGE_IDS, &(property.id, id.clone()))?.unwrap_or_default() {
                let entry = tx.get(&ENTRIES, &(bearer.ticket, bearer.entry))?;
                if let Some(entry) = entry.filter(|entry| bears(entry, id)) {
                    return Ok(Some(entry));
                }
            }
        }
        Ok(None)
    }
}

fn bears(entry: &Entry, id: &MessageId) -> bool {
    entry.message_id.as_ref() == Some(id) || entry.minted_id.as_ref() == Some(id)
}

fn is_by(entry: &Entry, member: crate::desk::id::MemberId) -> bool {
    entry.author.person() == Some(crate::desk::ticket::Person::Member(member))
}

fn marks(message: &Append, place: Place) -> Marks {
    let has = |flag| message.flags.contains(&flag);
    let keywords = message.flags.iter().filter_map(|flag| match flag {
        Flag::Keyword(keyword) => Some(keyword.clone()),
        _ => None,
    });
    Marks {
        flagged: has(Flag::Flagged),
        answered: has(Flag::Answered),
        keywords: keywords.collect(),
        draft: has(Flag::Draft) || place == Place::Drafts,
    }
}

fn message_id(raw: &[u8]) -> Option<MessageId> {
    let header = Header::read(raw, FIELDS);
    let text = header.first("Message-ID")?.text();
    text.trim_start_matches('<').trim_end_matches('>').parse().ok()
}
