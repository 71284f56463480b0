//! Flags: what members see of them, and STORE (RFC 3501 §6.4.6).
//!
//! \Seen and \Deleted are each member's own; \Flagged says that the ticket is urgent, keywords are its
//! tags, and \Answered is the team's. So one STORE may change many messages.

use std::borrow::Cow;
use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Trouble;
use super::command::{Flag, StoreHow};
use super::reader::encode_keyword;
use super::seat::Seat;
use super::selected::{Selected, found};
use crate::actions::{Act, ActionError, gesture, own, views};
use crate::desk::folder::is_kept;
use crate::desk::id::TicketId;
use crate::desk::shelf::{Mine, Row};
use crate::store::Tx;

/// Messages whose flags are changed in one commit.
const AT_A_TIME: usize = 500;
/// Keywords of one message of a member's own. Tickets have a limit of their own.
const MOST_KEYWORDS: usize = 50;

/// Writes the flags of a message as a parenthesised list.
pub(super) fn write(out: &mut Vec<u8>, uid: u32, row: &Row, mine: &Mine) {
    let marks = &row.marks;
    let system = [
        (marks.answered, "\\Answered"),
        (marks.flagged, "\\Flagged"),
        (mine.deleted.contains(&uid), "\\Deleted"),
        (mine.seen, "\\Seen"),
        (marks.draft, "\\Draft"),
    ];
    let system = system.into_iter().filter(|(set, _)| *set).map(|(_, name)| Cow::Borrowed(name));
    out.push(b'(');
    for (n, flag) in system.chain(marks.keywords.iter().map(|keyword| encode_keyword(keyword))).enumerate() {
        if n > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(flag.as_bytes());
    }
    out.push(b')');
}

/// Whether a message has a flag.
pub(super) fn has(flag: &Flag, uid: u32, row: &Row, mine: &Mine) -> bool {
    match flag {
        Flag::Seen => mine.seen,
        Flag::Answered => row.marks.answered,
        Flag::Flagged => row.marks.flagged,
        Flag::Deleted => mine.deleted.contains(&uid),
        Flag::Draft => row.marks.draft,
        Flag::Keyword(keyword) => row.marks.keywords.iter().any(|known| known.eq_ignore_ascii_case(keyword)),
    }
}

/// What a STORE came to.
#[derive(Default)]
pub(super) struct Stored {
    /// Which were left alone, by UID.
    pub modified: BTreeSet<u32>,
    /// How many of the messages were there.
    pub count: usize,
}

/// A STORE.
pub(super) struct Asked<'a> {
    pub how: StoreHow,
    pub flags: &'a [Flag],
    pub unchanged_since: Option<u64>,
}

impl Seat {
    /// Changes flags, but for those of messages that changed after `unchanged_since` (RFC 7162 §3.1.3).
    pub(super) async fn store_flags(
        &self,
        selected: &Selected,
        uids: &[u32],
        asked: &Asked<'_>,
    ) -> Result<Stored, Trouble> {
        let now = Timestamp::now();
        let mut stored = Stored::default();
        for some in uids.chunks(AT_A_TIME) {
            let done = self.desk.store.transact(|tx| {
                let act = self.act(now);
                let mut left_alone = BTreeSet::new();
                let mut tickets = BTreeSet::new();
                let standing = found(tx, &selected.shelves, self.member.id, some)?;
                let count = standing.len();
                for (uid, row, mine) in standing {
                    if asked.unchanged_since.is_some_and(|since| row.modseq.max(mine.modseq) > since) {
                        left_alone.insert(uid);
                        continue;
                    }
                    self.store_private(tx, uid, &row, &mine, asked)?;
                    // What it says of the ticket it says once.
                    if let Some(ticket) = row.ticket
                        && tickets.insert(ticket)
                    {
                        store_shared(tx, &act, ticket, &row, asked)?;
                    }
                }
                Ok::<_, ActionError>((left_alone, count))
            });
            let (left_alone, count) = done.await?;
            stored.modified.extend(left_alone);
            stored.count += count;
        }
        Ok(stored)
    }

    /// What is the member's own, and what is the one message's.
    fn store_private(
        &self,
        tx: &mut Tx<'_>,
        uid: u32,
        row: &Row,
        mine: &Mine,
        asked: &Asked<'_>,
    ) -> Result<(), ActionError> {
        let seen = asked.on(&Flag::Seen, mine.seen);
        let deleted = asked.on(&Flag::Deleted, mine.deleted.contains(&uid));
        views::set_mine(tx, self.member.id, (row.ticket, row.entry), |mine| {
            mine.seen = seen;
            if deleted {
                mine.deleted.insert(uid);
            } else {
                mine.deleted.remove(&uid);
            }
        })?;
        let answered = asked.on(&Flag::Answered, row.marks.answered);
        let Some(ticket) = row.ticket else {
            let mut keywords = row.marks.keywords.clone();
            asked.keywords(&mut keywords);
            if keywords.len() > MOST_KEYWORDS {
                return Err(ActionError::refused(TOO_MANY));
            }
            return Ok(own::mark(tx, row.entry, |marks| {
                marks.answered = answered;
                marks.flagged = asked.on(&Flag::Flagged, marks.flagged);
                marks.draft = asked.on(&Flag::Draft, marks.draft);
                marks.keywords.clone_from(&keywords);
            })?);
        };
        if answered != row.marks.answered {
            views::set_answered(tx, ticket, row.entry, answered)?;
        }
        Ok(())
    }
}

fn store_shared(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: TicketId,
    row: &Row,
    asked: &Asked<'_>,
) -> Result<(), ActionError> {
    let flagged = asked.on(&Flag::Flagged, row.marks.flagged);
    if flagged != row.marks.flagged {
        gesture::star(tx, act, ticket, flagged)?;
    }
    let mut keywords = row.marks.keywords.clone();
    asked.keywords(&mut keywords);
    for gone in row.marks.keywords.difference(&keywords) {
        gesture::keyword(tx, act, ticket, gone, false)?;
    }
    for new in keywords.difference(&row.marks.keywords) {
        gesture::keyword(tx, act, ticket, new, true)?;
    }
    Ok(())
}

impl Asked<'_> {
    /// Whether a flag is set afterwards.
    fn on(&self, flag: &Flag, before: bool) -> bool {
        match (self.how, self.flags.contains(flag)) {
            (StoreHow::Add, named) => before || named,
            (StoreHow::Remove, named) => before && !named,
            (StoreHow::Replace, named) => named,
        }
    }

    /// Changes keywords, which are compared without case.
    fn keywords(&self, keywords: &mut BTreeSet<String>) {
        let named = || kept(self.flags);
        let is_named = |known: &String| named().any(|keyword| keyword.eq_ignore_ascii_case(known));
        match self.how {
            StoreHow::Add => {}
            StoreHow::Remove => return keywords.retain(|known| !is_named(known)),
            StoreHow::Replace => keywords.retain(is_named),
        }
        for keyword in named() {
            if !keywords.iter().any(|known| known.eq_ignore_ascii_case(keyword)) {
                keywords.insert(keyword.clone());
            }
        }
    }
}

const TOO_MANY: &str = "a message has at most 50 keywords";

/// The keywords among those that a message of a member's own begins with.
pub(super) fn first(flags: &[Flag]) -> Result<BTreeSet<String>, Trouble> {
    let mut keywords = BTreeSet::new();
    Asked { how: StoreHow::Add, flags, unchanged_since: None }.keywords(&mut keywords);
    if keywords.len() > MOST_KEYWORDS { Err(Trouble::no("LIMIT", TOO_MANY)) } else { Ok(keywords) }
}

/// The keywords among some flags that are kept.
fn kept(flags: &[Flag]) -> impl Iterator<Item = &String> {
    flags.iter().filter_map(|flag| match flag {
        Flag::Keyword(keyword) if is_kept(keyword) => Some(keyword),
        _ => None,
    })
}
