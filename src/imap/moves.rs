//! COPY, MOVE (RFC 6851) and EXPUNGE: what they say to tickets.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Trouble;
use super::command::{Name, Set};
use super::seat::{Done, Seat};
use super::selected::found;
use super::shapes::Item;
use super::write::{Out, set};
use crate::actions::{ActionError, gesture, own, views};
use crate::desk::folder::{self, Folder};
use crate::desk::id::{EntryId, TicketId};
use crate::desk::shelf::{Marks, Shelf};
use crate::intake::placed::{Placed, Placement};
use crate::store::tables::{OWN, SHOWN};
use crate::store::{Read, StoreError};

/// Messages that are moved in one commit.
const AT_A_TIME: usize = 500;

impl Seat {
    /// COPY and MOVE. To a ticket both mean the same.
    pub(super) async fn relocate(
        &mut self,
        uid: bool,
        numbers: &Set,
        to: &Name,
        moving: bool,
        out: &mut Out<'_>,
    ) -> Result<Done, Trouble> {
        let uids = self.resolve(numbers, uid)?;
        let selected = self.selected()?;
        if moving && selected.read_only {
            return Err(Trouble::No { code: None, text: "the mailbox was opened to read only".into() });
        }
        let (from, here) = (selected.folder, selected.shelves.clone());
        let to = self.named(to).map_err(|_| Trouble::no("NONEXISTENT", "there is no such mailbox"))?.folder;
        let there = self.folders.shelves(to);
        let validity = self.validity(to, &there).await?;
        let now = Timestamp::now();
        let member = self.member.id;
        let mut pairs = Vec::new();
        if uids.len() > AT_A_TIME {
            self.all_movable(&uids, &here, from, to, now)?;
        }
        if to.place().is_none() {
            let placed = self.place_own(&uids, &here, to, moving, now).await?;
            pairs = self.desk.store.read(|view| arrived(view, &placed, &there))?;
        }
        let mut failed = None;
        for some in uids.chunks(AT_A_TIME) {
            let moved = self.desk.store.transact(|tx| {
                let act = self.act(now);
                let mut moved: Vec<(u32, Item)> = Vec::new();
                let mut tickets = BTreeSet::new();
                for (uid, row, _) in found(tx, &here, member, some)? {
                    let mut item = Item::of(&row);
                    if let Some(ticket) = row.ticket {
                        if tickets.insert(ticket) {
                            gesture::move_ticket(tx, &act, member, ticket, Some(from), to)?;
                        }
                        views::number_first(tx, ticket, row.entry);
                        if moving {
                            // What a client has moved is gone from where it was, under that number.
                            views::renumber(tx, (row.ticket, row.entry), &here, uid)?;
                        } else {
                            gesture::half_moved(tx, &act, member, (ticket, row.entry), to)?;
                        }
                    } else {
                        match to.place() {
                            Some(place) if moving => {
                                (item.ticket, item.entry) = own::put(tx, &self.member, row.entry, place)?;
                            }
                            Some(place) => {
                                if let Some(there) = own::copy(tx, &self.member, row.entry, place)? {
                                    (item.ticket, item.entry) = there;
                                }
                            }
                            // It is on a ticket by now.
                            None => continue,
                        }
                    }
                    moved.push((uid, item));
                }
                Ok::<_, ActionError>(moved)
            });
            match moved.await {
                Ok(moved) => pairs.extend(self.desk.store.read(|view| arrived(view, &moved, &there))?),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let code = copy_uid(validity, &pairs);
        if !moving {
            return failed.map_or_else(|| Ok(Done::coded(code, "done")), |error| Err(error.into()));
        }
        // Also where not all were: which messages were, the client must know (RFC 6851 §3.3).
        if let Some(code) = code {
            out.line(&format!("* OK [{code}] moved"));
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        let highest = self.tell(out, true, &[]).await?;
        Ok(Done::coded(self.all_told(highest), "moved"))
    }

    /// Whether all of these may go there. More than fit into one commit are moved by several, and what is
    /// refused is refused before the first.
    fn all_movable(
        &self,
        uids: &[u32],
        here: &[Shelf],
        from: Folder,
        to: Folder,
        now: Timestamp,
    ) -> Result<(), Trouble> {
        let mut asked = BTreeSet::new();
        for some in uids.chunks(AT_A_TIME) {
            self.desk.store.read(|view| {
                for (_, row, _) in found(view, here, self.member.id, some)? {
                    if let Some(ticket) = row.ticket
                        && asked.insert(ticket)
                    {
                        gesture::movable(view, &self.act(now), self.member.id, ticket, Some(from), to)?;
                    }
                }
                Ok::<_, ActionError>(())
            })?;
        }
        Ok(())
    }

    /// Messages of the member's own that he puts among tickets, a draft into Notes for instance: as if
    /// his client had put them there. Answers what each is then.
    async fn place_own(
        &self,
        uids: &[u32],
        here: &[Shelf],
        to: Folder,
        moving: bool,
        now: Timestamp,
    ) -> Result<Vec<(u32, Item)>, Trouble> {
        let member = self.member.id;
        let mut own = Vec::new();
        let shelves: Vec<_> = here.iter().copied().filter(|shelf| matches!(shelf, Shelf::Own(..))).collect();
        for some in uids.chunks(AT_A_TIME) {
            self.desk.store.read(|view| {
                for (uid, row, mine) in found(view, &shelves, member, some)? {
                    let kept = view.get(&OWN, &(member, row.entry))?;
                    own.extend(kept.map(|kept| (uid, row.entry, kept, mine.seen)));
                }
                Ok::<_, StoreError>(())
            })?;
        }
        let mut placed = Vec::new();
        for (uid, draft, kept, seen) in own {
            let message = Placed {
                login: &self.login,
                folders: &self.folders,
                folder: to,
                client: self.peer,
                raw: self.desk.store.raw(kept.raw)?.into(),
                message_id: kept.message_id,
                date: Some(kept.at),
                marks: Marks::default(),
                seen,
            };
            let Placement::OnTicket(ticket, entry) = self.desk.intake.place(&self.act(now), &message).await? else {
                return Err(Trouble::no("CANNOT", "a message of your own can't be put there"));
            };
            if moving {
                self.desk.store.transact(|tx| own::remove(tx, member, draft)).await?;
            }
            placed.push((uid, Item { ticket: Some(ticket), entry }));
        }
        Ok(placed)
    }

    /// What was marked as deleted leaves: the member's own for good, a ticket where [`folder::deleted`]
    /// says. `only`: of these.
    pub(super) async fn expunge(&mut self, only: Option<&[u32]>) -> Result<(), Trouble> {
        let selected = self.selected()?;
        if selected.read_only {
            return Ok(());
        }
        let (from, here) = (selected.folder, &selected.shelves);
        let to = folder::deleted(from);
        let now = Timestamp::now();
        let member = self.member.id;
        let uids = only.unwrap_or(selected.uids());
        for some in uids.chunks(AT_A_TIME) {
            let marked: Vec<u32> = self.desk.store.read(|view| {
                let all = found(view, here, member, some)?.into_iter();
                let marked = all.filter(|(uid, _, mine)| mine.deleted.contains(uid)).map(|(uid, ..)| uid).collect();
                Ok::<_, StoreError>(marked)
            })?;
            if marked.is_empty() {
                continue;
            }
            let expunged = self.desk.store.transact(|tx| {
                let act = self.act(now);
                let mut tickets = BTreeSet::new();
                for (uid, row, mine) in found(tx, here, member, &marked)? {
                    if !mine.deleted.contains(&uid) {
                        continue;
                    }
                    match (row.ticket, to) {
                        (None, _) => own::remove(tx, member, row.entry)?,
                        (Some(ticket), Some(to)) => {
                            if gesture::finishes_move(tx, &act, member, (ticket, row.entry), from)? {
                                views::renumber(tx, (row.ticket, row.entry), here, uid)?;
                            } else if tickets.insert(ticket) {
                                gesture::move_ticket(tx, &act, member, ticket, Some(from), to)?;
                            }
                        }
                        (Some(_), None) => {}
                    }
                    views::set_mine(tx, member, (row.ticket, row.entry), |mine| {
                        mine.deleted.remove(&uid);
                    })?;
                }
                Ok::<_, ActionError>(())
            });
            expunged.await?;
        }
        Ok(())
    }
}

/// Where messages stand now, of those that came to stand on these shelves.
fn arrived(view: &impl Read, moved: &[(u32, Item)], there: &[Shelf]) -> Result<Vec<(u32, u32)>, StoreError> {
    let mut pairs = Vec::new();
    for (uid, item) in moved {
        let key: (Option<TicketId>, EntryId) = (item.ticket, item.entry);
        let shown = view.get(&SHOWN, &key)?.unwrap_or_default();
        pairs.extend(shown.at.iter().find(|(shelf, _)| there.contains(shelf)).map(|(_, now)| (*uid, *now)));
    }
    Ok(pairs)
}

/// COPYUID (RFC 4315 §3); the two sets are in one order.
fn copy_uid(validity: u32, pairs: &[(u32, u32)]) -> Option<String> {
    let (from, to): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
    (!pairs.is_empty()).then(|| format!("COPYUID {validity} {} {}", set(from), set(to)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::actions::member;
    use crate::actions::testing::Office;
    use crate::desk::member::Role;
    use crate::imap::model;

    #[tokio::test]
    async fn what_can_not_be_moved_keeps_all_of_it_where_it_is() {
        let office = Office::open().await;
        for n in 0..AT_A_TIME {
            office.ticket(&format!("carol{n}")).await;
        }
        office.ticket_of("bulle", "dave").await;
        let joins = || member::Changes { roles: [("bulle".to_owned(), Role::Agent)].into(), ..Default::default() };
        office.act(|tx, act| member::edit(tx, act, "bob", joins())).await.unwrap();
        let mut seat = model::seat(&office, &Arc::default(), "bob", "laptop").await;
        let mut say = async |line: &str| model::say(&mut seat, line).await;
        let all = AT_A_TIME + 1;
        assert!(say("SELECT INBOX").await.1.contains(&format!("* {all} EXISTS")));
        for command in ["MOVE", "COPY"] {
            let (done, told) = say(&format!("{command} 1:* acme/Closed")).await;
            assert!(matches!(done, Err(Trouble::No { .. })) && told.is_empty(), "{command}: {done:?} {told}");
        }
        let (done, told) = say("MOVE 1:* Archive").await;
        assert!(done.is_ok() && told.contains("* OK [COPYUID ") && told.matches(" EXPUNGE\r\n").count() == all);
    }
}
