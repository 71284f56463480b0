//! SELECT and EXAMINE (RFC 3501 §6.3.1): what a client is told of a mailbox that it opens, and what it missed.

use std::borrow::Cow;
use std::sync::Arc;

use super::Trouble;
use super::command::{FetchItem, ListBy, Name, Resync, Set};
use super::fetch::{self, Wanted, fetch};
use super::reader::{encode_keyword, encode_name};
use super::seat::{Done, Seat, modseq, uid_next};
use super::selected::{MINE_AT_ONCE, Selected, mine};
use super::write::Out;
use crate::desk::folder::DELIMITER;
use crate::desk::id::EntryId;

impl Seat {
    /// SELECT and EXAMINE.
    pub(super) async fn select(
        &mut self,
        mailbox: &Name,
        read_only: bool,
        resync: Option<&Resync>,
        out: &mut Out<'_>,
    ) -> Result<Done, Trouble> {
        if resync.is_some() && !self.enabled.qresync {
            return Err(Trouble::Bad("enable QRESYNC first".into()));
        }
        // What was said before this line was said of that one (RFC 7162 §3.2.11, RFC 9051 §6.3.2).
        if self.selected.take().is_some() {
            out.line("* OK [CLOSED] the mailbox before is closed");
        }
        self.saved.clear();
        let named = self.named(mailbox)?.clone();
        let folder = named.folder;
        if folder.is_level() {
            return Err(Trouble::no("CANNOT", "this only holds other mailboxes"));
        }
        let shelves = self.folders.shelves(folder);
        let validity = self.validity(folder, &shelves).await?;
        let member = self.member.id;
        self.desk.rolls.make_ready(&self.desk.store, &shelves)?;
        let (selected, roll, next, modseq) = self.desk.store.read(|view| {
            let roll = self.desk.rolls.of(view, &shelves)?;
            let (next, modseq) = (uid_next(view, &shelves)?, modseq(view, &shelves, member)?);
            let selected =
                Selected::open(view, folder, shelves.clone(), Arc::clone(&roll), validity, read_only, member);
            Ok::<_, Trouble>((selected, roll, next, modseq))
        })?;
        tell_flags(&selected, out);
        out.line(&format!("* {} EXISTS", selected.count()));
        if !self.enabled.rev2 {
            out.line("* 0 RECENT");
            if let Some(at) = self.first_unseen(roll.entries())? {
                out.line(&format!("* OK [UNSEEN {}] the first to read", at + 1));
            }
        }
        out.line(&format!("* OK [UIDVALIDITY {validity}] valid"));
        out.line(&format!("* OK [UIDNEXT {next}] next"));
        out.line(&format!("* OK [HIGHESTMODSEQ {modseq}] changed last"));
        out.line(&format!("* OK [MAILBOXID ({})] its name for good", folder.id()));
        if self.enabled.rev2 {
            // Under the name that it has, and whoever called it otherwise is told so (RFC 9051 §6.3.2).
            let name = |name: &str| encode_name(&Name(name.to_owned()), self.enabled.names_in_utf8());
            let old = &mailbox.0;
            let old = if *old == named.name { String::new() } else { format!(" (\"OLDNAME\" ({}))", name(old)) };
            let attributes = self.attributes(&named, ListBy::List).join(" ");
            out.line(&format!("* LIST ({attributes}) \"{DELIMITER}\" {}{old}", name(&named.name)));
        }
        self.selected = Some(selected);
        if let Some(resync) = resync.filter(|resync| resync.uid_validity == validity) {
            self.resync(resync, out).await?;
        }
        let code = if read_only { "READ-ONLY" } else { "READ-WRITE" };
        Ok(Done::coded(code.to_owned(), "selected"))
    }

    /// Tells a client that was here before what it missed (RFC 7162 §3.2.5).
    async fn resync(&mut self, resync: &Resync, out: &mut Out<'_>) -> Result<(), Trouble> {
        let selected = self.selected()?;
        let known = resync.known_uids.as_ref().map(Set::uids);
        let is_known = |uid: u32| known.as_ref().is_none_or(|known| known.has(uid));
        if let Some(vanished) = fetch::vanished(&self.desk, selected, resync.modseq, is_known).await? {
            out.line(&format!("* VANISHED (EARLIER) {vanished}"));
        }
        let uids: Vec<_> = selected.uids().iter().copied().filter(|uid| is_known(*uid)).collect();
        let items = [FetchItem::Uid, FetchItem::Flags];
        let wanted = Wanted { items: &items, uid: true, modseq: true, changed_since: Some(resync.modseq), known: &[] };
        fetch(self, selected, &uids, &wanted, out).await?;
        Ok(())
    }

    /// Which of some messages is the first that he has not seen.
    fn first_unseen(&self, entries: &[EntryId]) -> Result<Option<usize>, Trouble> {
        for (n, some) in entries.chunks(MINE_AT_ONCE).enumerate() {
            let mine = self.desk.store.read(|view| mine(view, self.member.id, some.iter().copied()))?;
            if let Some(at) = mine.iter().position(|mine| !mine.seen) {
                return Ok(Some(n * MINE_AT_ONCE + at));
            }
        }
        Ok(None)
    }
}

/// Tells which flags there are, and which a client may set (RFC 3501 §7.2.6, §7.1).
pub(super) fn tell_flags(selected: &Selected, out: &mut Out<'_>) {
    let system = ["\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft", "$Junk", "$NotJunk"];
    let keywords = selected.keywords().iter().map(|keyword| encode_keyword(keyword));
    let flags: Vec<_> = system.into_iter().map(Cow::Borrowed).chain(keywords).collect();
    let flags = flags.join(" ");
    out.line(&format!("* FLAGS ({flags})"));
    if selected.read_only {
        out.line("* OK [PERMANENTFLAGS ()] nothing is kept");
    } else {
        out.line(&format!("* OK [PERMANENTFLAGS ({flags} \\*)] keywords are tags"));
    }
}
