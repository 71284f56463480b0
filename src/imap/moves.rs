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
use crate::desk::shelf::Shelf;
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
        let to = self.named(to).map_err(|_| Trouble::no("TRYCREATE", "there is no such mailbox"))?.folder;
        let there = self.folders.shelves(to);
        let validity = self.validity(to, &there).await?;
        let now = Timestamp::now();
        let member = self.member.id;
        let mut pairs = Vec::new();
        if to.place().is_none() {
            let placed = self.place_own(&uids, &here, to, moving, now).await?;
            pairs = self.desk.store.read(|view| arrived(view, &placed, &there))?;
        }
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
                        if moving {
                            // What a client has moved is gone from where it was, under that number.
                            views::renumber(tx, (row.ticket, row.entry), &here, uid)?;
                        } else {
                            gesture::half_moved(tx, &act, member, (ticket, row.entry), to)?;
                        }
                    } else {
                        match to.place() {
                            Some(place) if moving => own::put(tx, member, row.entry, place)?,
                            Some(place) => {
                                if let Some(entry) = own::copy(tx, member, row.entry, place)? {
                                    item.entry = entry;
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
            let moved = moved.await?;
            pairs.extend(self.desk.store.read(|view| arrived(view, &moved, &there))?);
        }
        let code = copy_uid(validity, &pairs);
        if !moving {
            return Ok(Done::coded(code, "done"));
        }
        if let Some(code) = code {
            out.line(&format!("* OK [{code}] moved"));
        }
        let highest = self.tell(out, true, &[]).await?;
        Ok(Done::coded(self.all_told(highest), "moved"))
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
        let own = self.desk.store.read(|view| {
            let mut own = Vec::new();
            for (uid, row, mine) in found(view, here, member, uids)? {
                if row.ticket.is_none() {
                    let kept = view.get(&OWN, &(member, row.entry))?;
                    own.extend(kept.map(|kept| (uid, row.entry, kept, mine.seen)));
                }
            }
            Ok::<_, StoreError>(own)
        })?;
        let mut placed = Vec::new();
        for (uid, draft, kept, seen) in own {
            let message = Placed {
                login: &self.login,
                folders: &self.folders,
                folder: to,
                client: self.peer,
                raw: self.desk.store.raw(kept.raw)?.into(),
                message_id: kept.message_id,
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
            let expunged = self.desk.store.transact(|tx| {
                let act = self.act(now);
                let mut tickets = BTreeSet::new();
                for (uid, row, mine) in found(tx, here, member, some)? {
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
