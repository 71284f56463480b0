//! Which ticket a message belongs to (`docs/mail.md`, Which ticket).

use serde::{Deserialize, Serialize};

use super::id::{EntryId, TicketId};
use super::message_id::MessageId;

/// What ties a Message-ID to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bond {
    /// Our copies of the entry bear it.
    Minted,
    /// The entry's own, from its sender's client.
    Own,
    /// The entry only mentioned it in its References.
    Mentioned,
}

/// An entry that bears or mentions a Message-ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bearer {
    pub ticket: TicketId,
    pub entry: EntryId,
    pub bond: Bond,
}

/// By which evidence a ticket was found, from strong to weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// An identifier that only the readers of our copies know.
    Minted,
    /// The Message-ID of an entry.
    Entry,
    /// An identifier that was only mentioned, or Outlook's Thread-Index; of a participant.
    Hint,
    /// The ticket's name in the subject; of an aligned participant.
    Subject,
}

/// A ticket and how it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    pub ticket: TicketId,
    pub found: Found,
    /// The entry that the message answers, where that is known.
    pub parent: Option<EntryId>,
}

/// What a message says about the conversation that it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Signals<'a> {
    pub in_reply_to: &'a [MessageId],
    /// Oldest first, as written.
    pub references: &'a [MessageId],
    /// The first 22 octets of Thread-Index.
    pub conversation: Option<&'a [u8]>,
    /// The number of a ticket of this property in the subject.
    pub number: Option<u64>,
    pub aligned: bool,
}

/// The tickets of one property, as the writer of one message stands to them.
pub trait Threads {
    type Error;

    /// The entries that bear or mention an identifier, first come first.
    fn bearers(&self, id: &MessageId) -> Result<Vec<Bearer>, Self::Error>;
    /// The tickets with a message of this Outlook conversation.
    fn conversation(&self, index: &[u8]) -> Result<Vec<TicketId>, Self::Error>;
    fn numbered(&self, number: u64) -> Result<Option<TicketId>, Self::Error>;
    /// Follows merges to the ticket that has the entries now.
    fn current(&self, ticket: TicketId) -> Result<TicketId, Self::Error>;
    /// Whether the writer is a participant, proposed or accepted, or an assignee.
    fn takes_part(&self, ticket: TicketId) -> Result<bool, Self::Error>;
}

/// Rules 2 and 3. Rule 1, the reply address, stands above them and in the envelope.
pub fn find<T: Threads>(signals: &Signals<'_>, threads: &T) -> Result<Option<Match>, T::Error> {
    let ids = || signals.in_reply_to.iter().chain(signals.references.iter().rev());
    for id in ids() {
        if let Some(found) = by_id(id, threads)? {
            return Ok(Some(found));
        }
    }
    for id in ids() {
        for bearer in threads.bearers(id)?.iter().filter(|bearer| bearer.bond == Bond::Mentioned) {
            let ticket = threads.current(bearer.ticket)?;
            if threads.takes_part(ticket)? {
                return Ok(Some(Match { ticket, found: Found::Hint, parent: None }));
            }
        }
    }
    if let Some(index) = signals.conversation {
        for ticket in threads.conversation(index)? {
            let ticket = threads.current(ticket)?;
            if threads.takes_part(ticket)? {
                return Ok(Some(Match { ticket, found: Found::Hint, parent: None }));
            }
        }
    }
    if let Some(number) = signals.number.filter(|_| signals.aligned)
        && let Some(ticket) = threads.numbered(number)?
    {
        let ticket = threads.current(ticket)?;
        if threads.takes_part(ticket)? {
            return Ok(Some(Match { ticket, found: Found::Subject, parent: None }));
        }
    }
    Ok(None)
}

/// Where several entries bear one id, the ticket that the writer takes part in, else the first.
fn by_id<T: Threads>(id: &MessageId, threads: &T) -> Result<Option<Match>, T::Error> {
    let mut first = None;
    for bearer in threads.bearers(id)? {
        let found = match bearer.bond {
            Bond::Minted => Found::Minted,
            Bond::Own => Found::Entry,
            Bond::Mentioned => continue,
        };
        let ticket = threads.current(bearer.ticket)?;
        let found = Match { ticket, found, parent: Some(bearer.entry) };
        if threads.takes_part(ticket)? {
            return Ok(Some(found));
        }
        first.get_or_insert(found);
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Tickets 1 to 3; the writer takes part in 2; 9 was merged into 2.
    struct Desk;

    fn id(text: &str) -> MessageId {
        text.parse().unwrap()
    }

    impl Threads for Desk {
        type Error = Infallible;

        fn bearers(&self, id: &MessageId) -> Result<Vec<Bearer>, Infallible> {
            let bearer = |ticket, entry, bond| Bearer { ticket: TicketId(ticket), entry: EntryId(entry), bond };
            Ok(match id.as_str() {
                "minted1@d" => vec![bearer(1, 10, Bond::Minted)],
                "own1@c" => vec![bearer(1, 11, Bond::Own)],
                "both@c" => vec![bearer(1, 12, Bond::Own), bearer(2, 20, Bond::Own)],
                "merged@c" => vec![bearer(9, 90, Bond::Own)],
                "mentioned2@c" => vec![bearer(1, 11, Bond::Mentioned), bearer(2, 21, Bond::Mentioned)],
                "mentioned1@c" => vec![bearer(1, 11, Bond::Mentioned)],
                _ => Vec::new(),
            })
        }

        fn conversation(&self, index: &[u8]) -> Result<Vec<TicketId>, Infallible> {
            Ok(if index == b"both" { vec![TicketId(1), TicketId(2)] } else { vec![TicketId(1)] })
        }

        fn numbered(&self, number: u64) -> Result<Option<TicketId>, Infallible> {
            Ok((number < 10).then_some(TicketId(number)))
        }

        fn current(&self, ticket: TicketId) -> Result<TicketId, Infallible> {
            Ok(if ticket.0 == 9 { TicketId(2) } else { ticket })
        }

        fn takes_part(&self, ticket: TicketId) -> Result<bool, Infallible> {
            Ok(ticket.0 == 2)
        }
    }

    #[test]
    fn rules_two_and_three() {
        let found = |ticket, found, parent: Option<u64>| {
            Some(Match { ticket: TicketId(ticket), found, parent: parent.map(EntryId) })
        };
        for (row, in_reply_to, references, conversation, number, aligned, expected) in [
            ("In-Reply-To alone", vec!["minted1@d"], vec![], None, None, false, found(1, Found::Minted, Some(10))),
            (
                "References alone, newest first",
                vec![],
                vec!["own1@c", "minted1@d"],
                None,
                None,
                false,
                found(1, Found::Minted, Some(10)),
            ),
            (
                "In-Reply-To before References",
                vec!["own1@c"],
                vec!["merged@c"],
                None,
                None,
                false,
                found(1, Found::Entry, Some(11)),
            ),
            (
                "unknown In-Reply-To",
                vec!["x@y"],
                vec!["own1@c", "y@z"],
                None,
                None,
                false,
                found(1, Found::Entry, Some(11)),
            ),
            ("one id on two tickets", vec!["both@c"], vec![], None, None, false, found(2, Found::Entry, Some(20))),
            ("a merged ticket", vec!["merged@c"], vec![], None, None, false, found(2, Found::Entry, Some(90))),
            (
                "mentioned, of a participant",
                vec!["mentioned2@c"],
                vec![],
                None,
                None,
                false,
                found(2, Found::Hint, None),
            ),
            ("mentioned, of nobody", vec!["mentioned1@c"], vec![], None, None, false, None),
            (
                "Thread-Index, of a participant",
                vec![],
                vec![],
                Some(b"both".as_slice()),
                None,
                false,
                found(2, Found::Hint, None),
            ),
            ("Thread-Index, of nobody", vec![], vec![], Some(b"one".as_slice()), None, false, None),
            ("number, aligned participant", vec![], vec![], None, Some(2), true, found(2, Found::Subject, None)),
            ("number, unaligned participant", vec![], vec![], None, Some(2), false, None),
            ("number, aligned stranger", vec![], vec![], None, Some(1), true, None),
            (
                "a real id before a hint",
                vec!["mentioned2@c"],
                vec!["own1@c"],
                None,
                Some(2),
                true,
                found(1, Found::Entry, Some(11)),
            ),
            ("nothing", vec![], vec![], None, None, true, None),
        ] {
            let in_reply_to: Vec<_> = in_reply_to.into_iter().map(id).collect();
            let references: Vec<_> = references.into_iter().map(id).collect();
            let signals = Signals { in_reply_to: &in_reply_to, references: &references, conversation, number, aligned };
            let Ok(actual) = find(&signals, &Desk);
            assert_eq!(actual, expected, "{row}");
        }
    }
}
