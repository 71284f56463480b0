//! Which mailboxes there are: LIST and its kin, STATUS, subscriptions, and CREATE, which makes none.

use std::collections::BTreeSet;

use super::Trouble;
use super::command::{List, ListBy, Name, StatusItem};
use super::reader::encode_name;
use super::rolls::Roll;
use super::seat::{Done, Seat, modseq, uid_next};
use super::selected::{MINE_AT_ONCE, found, mine};
use super::shapes::{Item, prepare, sizes};
use super::write::Out;
use crate::actions::own;
use crate::desk::folder::{DELIMITER, Folder, Named};
use crate::desk::shelf::{Mine, Shelf};
use crate::store::Read as _;
use crate::store::tables::SUBSCRIPTIONS;

impl Seat {
    /// LIST, LSUB, XLIST.
    pub(super) async fn list(&mut self, list: &List, out: &mut Out<'_>) -> Result<Done, Trouble> {
        if list.patterns.iter().all(String::is_empty) && !list.extended {
            // What separates levels is all that is asked for (RFC 3501 §6.3.8).
            let verb = verb(list.by);
            out.line(&format!("* {verb} (\\Noselect) \"{DELIMITER}\" \"\""));
            return Ok(Done::coded(None, "listed"));
        }
        let subscribed = self.subscribed()?;
        let only_subscribed = list.by == ListBy::Lsub || list.select.subscribed;
        let all = self.folders.all().to_vec();
        // What a client has made under another name is there when it asks for that.
        let asked = list.patterns.iter().map(|pattern| format!("{}{pattern}", list.reference.0));
        let meant = asked.filter_map(|name| self.folders.meant(&name).map(|folder| Named { name, folder }));
        let meant: Vec<_> = meant.collect();
        let below = |named: &Named| {
            let prefix = format!("{}{DELIMITER}", named.name);
            all.iter().any(|other| other.name.starts_with(&prefix) && subscribed.contains(&other.folder.id()))
        };
        for named in all.iter().chain(&meant) {
            let is_subscribed = subscribed.contains(&named.folder.id());
            let matches = |pattern: &String| {
                let whole = format!("{}{pattern}", list.reference.0);
                glob(&whole, &named.name)
            };
            if !list.patterns.iter().any(matches) {
                continue;
            }
            if list.select.special_use && named.folder.special_use().is_none() {
                continue;
            }
            // A level is told of where what is subscribed lies below (RFC 3501 §6.3.9, RFC 5258 §3.5).
            let stands_for = !is_subscribed
                && below(named)
                && (list.select.recursive_match
                    || list.by == ListBy::Lsub && list.patterns.iter().any(|p| p.ends_with('%')));
            if only_subscribed && !is_subscribed && !stands_for {
                continue;
            }
            let mut attributes = self.attributes(named, list.by);
            if is_subscribed && (list.returns.subscribed || list.select.subscribed) {
                attributes.push("\\Subscribed");
            }
            if stands_for && list.by == ListBy::Lsub && !attributes.contains(&"\\Noselect") {
                attributes.push("\\Noselect");
            }
            let line = format!("* {} ({}) \"{DELIMITER}\" ", verb(list.by), attributes.join(" "));
            let name = encode_name(&Name(named.name.clone()), self.enabled.names_in_utf8());
            let children =
                if list.select.recursive_match && below(named) { " (\"CHILDINFO\" (\"SUBSCRIBED\"))" } else { "" };
            out.line(&format!("{line}{name}{children}"));
            if !list.returns.status.is_empty() && !named.folder.is_level() {
                self.status(named, &list.returns.status, out).await?;
            }
            out.relieve().await?;
        }
        Ok(Done::coded(None, "listed"))
    }

    pub(super) fn attributes(&self, named: &Named, by: ListBy) -> Vec<&'static str> {
        let mut attributes = Vec::new();
        if named.folder.is_level() {
            attributes.push("\\Noselect");
        }
        if self.folders.has_children(&named.name) {
            attributes.push("\\HasChildren");
        } else {
            attributes.push("\\HasNoChildren");
            if !named.folder.is_level() {
                attributes.push("\\NoInferiors");
            }
        }
        match (by, named.folder) {
            (ListBy::Xlist, Folder::Inbox) => attributes.push("\\Inbox"),
            (ListBy::Xlist, Folder::Junk) => attributes.push("\\Spam"),
            (ListBy::Lsub, _) => {}
            (_, folder) => attributes.extend(folder.special_use()),
        }
        attributes
    }

    /// STATUS.
    pub(super) async fn status(
        &mut self,
        named: &Named,
        items: &[StatusItem],
        out: &mut Out<'_>,
    ) -> Result<(), Trouble> {
        if named.folder.is_level() {
            return Err(Trouble::no("CANNOT", "this only holds other mailboxes"));
        }
        // Whoever asks for it wants to be told of it (RFC 7162 §3.1).
        self.enabled.condstore |= items.contains(&StatusItem::HighestModSeq);
        let shelves = self.folders.shelves(named.folder);
        let validity = self.validity(named.folder, &shelves).await?;
        let member = self.member.id;
        self.desk.rolls.make_ready(&self.desk.store, &shelves)?;
        let (roll, next, changed) = self.desk.store.read(|view| {
            let roll = self.desk.rolls.of(view, &shelves)?;
            Ok::<_, Trouble>((roll, uid_next(view, &shelves)?, modseq(view, &shelves, member)?))
        })?;
        let mut told = Vec::new();
        for item in items {
            let (name, value) = match item {
                StatusItem::Messages => ("MESSAGES", roll.uids().len().to_string()),
                StatusItem::Recent => ("RECENT", "0".to_owned()),
                StatusItem::UidNext => ("UIDNEXT", next.to_string()),
                StatusItem::UidValidity => ("UIDVALIDITY", validity.to_string()),
                StatusItem::Unseen => ("UNSEEN", self.count(&roll, |_, mine| !mine.seen)?.to_string()),
                StatusItem::Deleted => {
                    ("DELETED", self.count(&roll, |uid, mine| mine.deleted.contains(&uid))?.to_string())
                }
                StatusItem::HighestModSeq => ("HIGHESTMODSEQ", changed.to_string()),
                StatusItem::Size => ("SIZE", self.size(&roll, &shelves).await?.to_string()),
                StatusItem::MailboxId => ("MAILBOXID", format!("({})", named.folder.id())),
                StatusItem::AppendLimit => ("APPENDLIMIT", self.desk.append_limit.to_string()),
            };
            told.push(format!("{name} {value}"));
        }
        let name = encode_name(&Name(named.name.clone()), self.enabled.names_in_utf8());
        out.line(&format!("* STATUS {name} ({})", told.join(" ")));
        Ok(())
    }

    fn count(&self, roll: &Roll, counts: impl Fn(u32, &Mine) -> bool) -> Result<usize, Trouble> {
        let mut counted = 0;
        for (uids, entries) in roll.uids().chunks(MINE_AT_ONCE).zip(roll.entries().chunks(MINE_AT_ONCE)) {
            let mine = self.desk.store.read(|view| mine(view, self.member.id, entries.iter().copied()))?;
            counted += uids.iter().zip(&mine).filter(|(uid, mine)| counts(**uid, mine)).count();
        }
        Ok(counted)
    }

    /// Octets of all messages of a mailbox.
    async fn size(&self, roll: &Roll, shelves: &[Shelf]) -> Result<u64, Trouble> {
        let mut size = 0;
        for some in roll.uids().chunks(500) {
            let there = self.desk.store.read(|view| found(view, shelves, self.member.id, some))?;
            let items: Vec<_> = there.iter().map(|(_, row, _)| Item::of(row)).collect();
            prepare(&self.desk, self.member.id, &items).await?;
            size += sizes(&self.desk, &items)?.into_iter().map(u64::from).sum::<u64>();
        }
        Ok(size)
    }

    /// CREATE. Some clients make an archive or a trash of their own name, or a level under Archive by the
    /// year, before they put something there: that is what there is.
    pub(super) fn create(&self, mailbox: &Name) -> Result<Done, Trouble> {
        let name = mailbox.0.trim_end_matches(DELIMITER);
        if self.folders.meant(name).is_some() {
            return Ok(Done::coded(None, "it is there, under another name"));
        }
        match self.folders.named(name) {
            Some(_) => Err(Trouble::no("ALREADYEXISTS", "it is there")),
            None => Err(Trouble::no("CANNOT", "mailboxes follow the desk: whoever runs it can make a department")),
        }
    }

    /// SUBSCRIBE and UNSUBSCRIBE.
    pub(super) async fn subscribe(&self, mailbox: &Name, on: bool) -> Result<Done, Trouble> {
        let Some(named) = self.folders.named(&mailbox.0) else {
            // Whoever is rid of it already is content (RFC 3501 §6.3.7).
            return if on {
                Err(Trouble::no("NONEXISTENT", "there is no such mailbox"))
            } else {
                Ok(Done::coded(None, "done"))
            };
        };
        let id = named.folder.id();
        let mut subscribed = self.subscribed()?;
        let changed = if on { subscribed.insert(id) } else { subscribed.remove(&id) };
        if changed {
            let chosen = self.desk.store.transact(|tx| own::subscribe(tx, self.member.id, &subscribed));
            chosen.await.map_err(Trouble::Store)?;
        }
        Ok(Done::coded(None, "done"))
    }

    fn subscribed(&self) -> Result<BTreeSet<String>, Trouble> {
        let chosen = self.desk.store.read(|view| view.get(&SUBSCRIPTIONS, &self.member.id)).map_err(Trouble::Store)?;
        let at_first =
            || self.folders.all().iter().map(|named| named.folder).filter(|folder| folder.is_subscribed_at_first());
        Ok(chosen.map_or_else(|| at_first().map(Folder::id).collect(), |chosen| chosen.into_iter().collect()))
    }
}

fn verb(by: ListBy) -> &'static str {
    match by {
        ListBy::List => "LIST",
        ListBy::Lsub => "LSUB",
        ListBy::Xlist => "XLIST",
    }
}

/// Whether a name has the form of a pattern: `*` stands for anything, `%` for anything within a level
/// (RFC 3501 §6.3.8). Takes about as many steps as the name is long, times itself, and one for each octet
/// of the pattern, which may be long.
fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let inbox = name.eq_ignore_ascii_case(b"INBOX");
    // Which positions of the name the pattern so far can end at.
    let mut ends = vec![false; name.len() + 1];
    ends[0] = true;
    let mut before = 0;
    for &token in pattern {
        // Behind one that stands for as much another one says nothing.
        if matches!((before, token), (b'*', b'*' | b'%') | (b'%', b'%')) {
            continue;
        }
        before = token;
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            next[at] = match token {
                b'*' | b'%' => ends[at] || at > 0 && next[at - 1] && (token == b'*' || name[at - 1] != DELIMITER as u8),
                byte => {
                    at > 0
                        && ends[at - 1]
                        && if inbox { name[at - 1].eq_ignore_ascii_case(&byte) } else { name[at - 1] == byte }
                }
            };
        }
        if !next.contains(&true) {
            return false;
        }
        ends = next;
    }
    ends[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*", "acme/Open", true),
            ("%", "acme/Open", false),
            ("%", "acme", true),
            ("acme/%", "acme/Open", true),
            ("acme/%", "acme/Members/Bob", false),
            ("acme/*", "acme/Members/Bob", true),
            ("%/%", "acme/Open", true),
            ("inbox", "INBOX", true),
            ("InB%", "INBOX", true),
            ("Drafts", "Drafts", true),
            ("drafts", "Drafts", false),
            ("", "Drafts", false),
            ("D*s*", "Drafts", true),
            ("%%*%%", "acme/Open", true),
            ("%%%/%%", "acme/Open", true),
            ("%%%", "acme/Open", false),
            ("acme/*%n", "acme/Open", true),
            ("acme/%*x", "acme/Open", false),
        ] {
            assert_eq!(glob(pattern, name), expected, "{pattern} {name}");
        }
    }
}
