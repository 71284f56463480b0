//! Where a member sits who has logged in: what his client asks for is carried out here, on the desk.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::command::{Command, FetchItem, Name, Set, Tagged};
use super::fetch::{self, Wanted, fetch};
use super::flags::{Asked, Stored};
use super::reader::encode_name;
use super::select::tell_flags;
use super::selected::{MINE_AT_ONCE, News, Selected, found};
use super::write::{Out, set};
use super::{Desk, Trouble};
use crate::actions::{Act, app_password, find, post, views};
use crate::desk::entry::Door;
use crate::desk::folder::{Folder, Folders, Named};
use crate::desk::id::MemberId;
use crate::desk::login::Login;
use crate::desk::member::Member;
use crate::desk::shelf::{Peak, Shelf};
use crate::store::tables::PEAKS;
use crate::store::{Read as _, StoreError, View};

/// A member at his client.
pub struct Seat {
    pub(super) desk: Desk,
    pub(super) login: Login,
    /// Where his client is.
    pub(super) peer: IpAddr,
    pub(super) member: Member,
    pub(super) folders: Folders,
    /// The number of the commit that changed last what he may do.
    rights: u64,
    /// What the client calls itself (RFC 2971).
    client: Option<String>,
    pub(super) selected: Option<Selected>,
    /// What the last search saved (RFC 5182).
    pub(super) saved: BTreeSet<u32>,
    pub(super) enabled: Enabled,
}

/// What the client has asked for (RFC 5161).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enabled {
    pub condstore: bool,
    pub qresync: bool,
    pub utf8: bool,
    pub rev2: bool,
}

impl Enabled {
    /// Whether names of mailboxes are in UTF-8 (RFC 6855 §3, RFC 9051 §5.1).
    #[must_use]
    pub fn names_in_utf8(self) -> bool {
        self.utf8 || self.rev2
    }
}

/// How a command ended well.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// A response code, without its brackets.
    pub code: Option<String>,
    pub text: &'static str,
}

impl Done {
    fn ok(text: &'static str) -> Self {
        Self { code: None, text }
    }

    pub(super) fn coded(code: impl Into<Option<String>>, text: &'static str) -> Self {
        Self { code: code.into(), text }
    }
}

impl Seat {
    /// Seats whoever has this login, at a client there.
    pub fn take(desk: Desk, login: Login, peer: IpAddr) -> Result<Self, Trouble> {
        let Present { member, folders, rights } = desk.store.read(|view| present(view, &login))?;
        Ok(Self {
            desk,
            login,
            peer,
            member,
            folders,
            rights,
            client: None,
            selected: None,
            saved: BTreeSet::new(),
            enabled: Enabled::default(),
        })
    }

    /// Remembers what the client calls itself, for the history of tickets.
    pub fn introduce(&mut self, client: &[(String, Option<String>)]) {
        const LONGEST: usize = 60;
        let of =
            |name: &str| client.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).and_then(|(_, v)| v.clone());
        let words = [of("name"), of("version")].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let words: String = words.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
        self.client = (!words.is_empty()).then_some(words);
    }

    /// What his client calls itself.
    #[must_use]
    pub fn agent(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// His act, by this door.
    pub(super) fn act(&self, now: Timestamp) -> Act<'_> {
        Act {
            desk: &self.desk.desk,
            now,
            door: Door::Imap,
            actor: post::as_member(&self.member),
            trace: None,
            client: self.client.clone(),
        }
    }

    /// What he is to be told of while his client idles.
    #[must_use]
    pub fn watches(&self) -> Vec<Shelf> {
        let shelves = self.selected.iter().flat_map(|selected| selected.shelves.iter().copied());
        shelves.chain([Shelf::Mine(self.member.id)]).collect()
    }

    /// Tells what is new, of commits from that one on; nothing before it concerned him.
    pub async fn news(&mut self, since: u64, out: &mut Out<'_>) -> Result<(), Trouble> {
        self.stay()?;
        if let Some(selected) = &mut self.selected {
            selected.skip_to(since);
        }
        self.tell(out, true, &[]).await?;
        Ok(())
    }

    /// Enables extensions; answers those that are now enabled, of those that were asked for.
    pub fn enable(&mut self, names: &[String]) -> Vec<&'static str> {
        let mut enabled = Vec::new();
        for name in names {
            let (name, on) = match name.as_str() {
                "CONDSTORE" => ("CONDSTORE", &mut self.enabled.condstore),
                "QRESYNC" => {
                    self.enabled.condstore = true;
                    ("QRESYNC", &mut self.enabled.qresync)
                }
                "UTF8=ACCEPT" => ("UTF8=ACCEPT", &mut self.enabled.utf8),
                "IMAP4REV2" => ("IMAP4rev2", &mut self.enabled.rev2),
                _ => continue,
            };
            *on = true;
            enabled.push(name);
        }
        enabled
    }

    /// Carries out a command that needs a login, and tells what is new besides.
    ///
    /// # Errors
    /// [`Trouble`]; nothing was done then.
    pub async fn perform(&mut self, Tagged { tag, command }: &Tagged, out: &mut Out<'_>) -> Result<Done, Trouble> {
        if command.names_mailboxes() {
            self.look_round()?;
        } else {
            self.stay()?;
        }
        let knew_condstore = self.enabled.condstore;
        let done = self.carry_out(tag, command, out).await;
        if let Err(Trouble::Client(_) | Trouble::Bye(_)) = done {
            return done;
        }
        let by_number = matches!(
            command,
            Command::Fetch { uid: false, .. }
                | Command::Store { uid: false, .. }
                | Command::Search { uid: false, .. }
                | Command::Sort { uid: false, .. }
                | Command::Thread { uid: false, .. }
        );
        let highest = self.tell(out, !by_number, &[]).await?;
        // Whoever begins to count changes in a mailbox is told where he begins (RFC 7162 §3.1).
        let begins = self.enabled.condstore && !knew_condstore && !matches!(command, Command::Select { .. });
        if begins && self.selected.is_some() {
            out.line(&format!("* OK [HIGHESTMODSEQ {highest}] changed last"));
        }
        done
    }

    /// Whether he may still be here. Where nothing has changed for him his mailboxes are the same, but for
    /// names, and for those of departments and colleagues: these go without his rights changing.
    fn stay(&mut self) -> Result<(), Trouble> {
        let (member, rights) = self.desk.store.read(|view| here(view, &self.login))?;
        let of_others = |selected: &Selected| matches!(selected.folder, Folder::Department(..) | Folder::Member(..));
        if rights == self.rights && member == self.member && !self.selected.as_ref().is_some_and(of_others) {
            return Ok(());
        }
        self.look_round()
    }

    /// Whether he may still be here, and which mailboxes there are now.
    pub(super) fn look_round(&mut self) -> Result<(), Trouble> {
        let Present { member, folders, rights } = self.desk.store.read(|view| present(view, &self.login))?;
        (self.member, self.folders, self.rights) = (member, folders, rights);
        self.selected.as_ref().map_or(Ok(()), |selected| stands(&self.folders, selected))
    }

    /// Whether a mailbox may be read on: a client that reads slowly may have lost it meanwhile.
    pub(super) fn may_go_on(&self, selected: &Selected) -> Result<(), Trouble> {
        self.desk.store.read(|view| {
            let (member, rights) = here(view, &self.login)?;
            if rights == self.rights && member == self.member {
                return Ok(());
            }
            stands(&present(view, &self.login)?.folders, selected)
        })
    }

    async fn carry_out(&mut self, tag: &str, command: &Command, out: &mut Out<'_>) -> Result<Done, Trouble> {
        match command {
            Command::Noop => Ok(Done::ok("done")),
            Command::Check => self.selected().map(|_| Done::ok("done")),
            Command::Namespace => {
                out.line("* NAMESPACE ((\"\" \"/\")) NIL NIL");
                Ok(Done::ok("one namespace"))
            }
            Command::Select { mailbox, read_only, condstore, qresync } => {
                self.enabled.condstore |= *condstore;
                self.select(mailbox, *read_only, qresync.as_ref(), out).await
            }
            Command::Create { mailbox, .. } => self.create(mailbox),
            Command::Delete(mailbox) => {
                self.named(mailbox)?;
                Err(Trouble::no("CANNOT", "mailboxes follow the desk: they can't be deleted here"))
            }
            Command::Rename(from, _) => {
                self.named(from)?;
                Err(Trouble::no("CANNOT", "mailboxes follow the desk: they can't be renamed here"))
            }
            Command::Subscribe(mailbox) => self.subscribe(mailbox, true).await,
            Command::Unsubscribe(mailbox) => self.subscribe(mailbox, false).await,
            Command::List(list) => self.list(list, out).await,
            Command::Status { mailbox, items } => {
                let named = self.named(mailbox)?.clone();
                self.status(&named, items, out).await?;
                Ok(Done::ok("status"))
            }
            Command::Close => {
                self.expunge(None).await?;
                self.selected = None;
                self.saved.clear();
                Ok(Done::ok("closed"))
            }
            Command::Unselect => {
                self.selected()?;
                self.selected = None;
                self.saved.clear();
                Ok(Done::ok("unselected"))
            }
            Command::Expunge(set) => {
                if self.selected()?.read_only {
                    return Err(Trouble::No { code: None, text: "the mailbox was opened to read only".into() });
                }
                let only = match set {
                    Some(set) => Some(self.resolve(set, true)?),
                    None => None,
                };
                self.expunge(only.as_deref()).await?;
                let highest = self.tell(out, true, &[]).await?;
                Ok(Done::coded(self.all_told(highest), "expunged"))
            }
            Command::Search { .. } | Command::Sort { .. } | Command::Thread { .. } => {
                self.search(tag, command, out).await
            }
            Command::Fetch { uid, set, items, changed_since, vanished } => {
                self.fetch(*uid, set, items, *changed_since, *vanished, out).await
            }
            Command::Store { uid, set, unchanged_since, how, silent, flags } => {
                let asked = Asked { how: *how, flags, unchanged_since: *unchanged_since };
                self.store(*uid, set, &asked, *silent, out).await
            }
            Command::Copy { uid, set, to } => self.relocate(*uid, set, to, false, out).await,
            Command::Move { uid, set, to } => self.relocate(*uid, set, to, true, out).await,
            Command::GetQuota(_) => Err(Trouble::no("NONEXISTENT", "there are no quotas here")),
            Command::GetQuotaRoot(mailbox) => {
                self.named(mailbox)?;
                out.line(&format!("* QUOTAROOT {}", encode_name(mailbox, self.enabled.names_in_utf8())));
                Ok(Done::ok("no quotas"))
            }
            // What the session itself answers.
            Command::Capability
            | Command::Logout
            | Command::Id(_)
            | Command::StartTls
            | Command::Authenticate { .. }
            | Command::Login { .. }
            | Command::Enable(_)
            | Command::Compress(_)
            | Command::Idle => Err(Trouble::Bad("not now".into())),
        }
    }

    pub(super) fn selected(&self) -> Result<&Selected, Trouble> {
        self.selected.as_ref().ok_or_else(|| Trouble::Bad("no mailbox is selected".into()))
    }

    /// The mailbox of a name.
    pub(super) fn named(&self, name: &Name) -> Result<&Named, Trouble> {
        self.folders.named(&name.0).ok_or_else(|| Trouble::no("NONEXISTENT", "there is no such mailbox"))
    }

    /// The UIDs that a set stands for.
    pub(super) fn resolve(&self, set: &Set, by_uid: bool) -> Result<Vec<u32>, Trouble> {
        let uids = self.selected()?.resolve(set, by_uid, &self.saved);
        uids.ok_or_else(|| Trouble::Bad("there is no message with that number".into()))
    }

    async fn fetch(
        &mut self,
        uid: bool,
        set: &Set,
        items: &[FetchItem],
        changed_since: Option<u64>,
        vanished: bool,
        out: &mut Out<'_>,
    ) -> Result<Done, Trouble> {
        let uids = self.resolve(set, uid)?;
        self.enabled.condstore |= changed_since.is_some() || items.contains(&FetchItem::ModSeq);
        let selected = self.selected()?;
        if let (true, Some(since)) = (vanished, changed_since) {
            if !uid || !self.enabled.qresync {
                return Err(Trouble::Bad("VANISHED is for UID FETCH, once QRESYNC is enabled".into()));
            }
            let asked = set.uids();
            if let Some(left) = fetch::vanished(&self.desk, selected, since, |uid| asked.has(uid)).await? {
                out.line(&format!("* VANISHED (EARLIER) {left}"));
            }
        }
        let wanted = Wanted { items, uid, modseq: changed_since.is_some(), changed_since, known: &[] };
        let missing = fetch(self, selected, &uids, &wanted, out).await?;
        if missing.unknown_encoding {
            return Err(Trouble::no("UNKNOWN-CTE", "a part is encoded in a way that is not known here"));
        }
        if missing.gone && !uid {
            return Err(Trouble::no("EXPUNGEISSUED", "some of the messages are here no longer"));
        }
        Ok(Done::ok("fetched"))
    }

    async fn store(
        &mut self,
        uid: bool,
        set_: &Set,
        asked: &Asked<'_>,
        silent: bool,
        out: &mut Out<'_>,
    ) -> Result<Done, Trouble> {
        let uids = self.resolve(set_, uid)?;
        self.enabled.condstore |= asked.unchanged_since.is_some();
        let selected = self.selected()?;
        if selected.read_only {
            return Err(Trouble::No { code: None, text: "the mailbox was opened to read only".into() });
        }
        let Stored { modified, count } = self.store_flags(selected, &uids, asked).await?;
        let stored: Vec<_> = uids.iter().copied().filter(|uid| !modified.contains(uid)).collect();
        self.learn(out)?;
        let selected = self.selected()?;
        // What others do while the client reads the answer is told behind it.
        let known = self.changed_last(selected, &stored)?;
        if !silent || self.enabled.condstore {
            let items = if silent { &[FetchItem::ModSeq][..] } else { &[FetchItem::Flags] };
            let wanted = Wanted { items, uid, modseq: self.enabled.condstore, changed_since: None, known: &[] };
            fetch(self, selected, &stored, &wanted, out).await?;
        }
        self.tell(out, uid, &known).await?;
        if modified.is_empty() {
            // Of those that a client is silent of it wants to hear where nothing was done at all (RFC 2180 §4.2).
            let is_gone = if silent { count == 0 && !uids.is_empty() } else { count < uids.len() };
            if is_gone && !uid {
                return Err(Trouble::no("EXPUNGEISSUED", "some of the messages are here no longer"));
            }
            return Ok(Done::ok("stored"));
        }
        let selected = self.selected()?;
        let numbers = modified.iter().map(|number| if uid { *number } else { selected.number(*number).unwrap_or(0) });
        Ok(Done::coded(format!("MODIFIED {}", set(numbers.filter(|number| *number > 0))), "some had changed before"))
    }

    /// Which commits changed messages last.
    fn changed_last(&self, selected: &Selected, uids: &[u32]) -> Result<Vec<(u32, u64)>, Trouble> {
        let mut changed = Vec::with_capacity(uids.len());
        for some in uids.chunks(MINE_AT_ONCE) {
            let standing = self.desk.store.read(|view| found(view, &selected.shelves, self.member.id, some))?;
            changed.extend(standing.iter().map(|(uid, row, mine)| (*uid, row.modseq.max(mine.modseq))));
        }
        Ok(changed)
    }

    /// Tells which flags there are, where a keyword has come that the client was not told of.
    fn learn(&mut self, out: &mut Out<'_>) -> Result<(), Trouble> {
        let Some(selected) = &mut self.selected else { return Ok(()) };
        let roll = self.desk.store.read(|view| self.desk.rolls.of(view, &selected.shelves))?;
        if selected.learn(&roll) {
            tell_flags(selected, out);
        }
        Ok(())
    }

    /// Tells what is new in the mailbox: what left, where that may be said now, what came, and whose
    /// flags changed, but for changes that the client knows already: of messages, by UID, those by these
    /// commits. Answers the number of the last change that there is.
    pub async fn tell(&mut self, out: &mut Out<'_>, may_expunge: bool, known: &[(u32, u64)]) -> Result<u64, Trouble> {
        let Some(selected) = &mut self.selected else { return Ok(0) };
        let member = self.member.id;
        let (News { more, changed }, highest) = self.desk.store.read(|view| {
            let news = selected.sync(view, &self.desk.rolls)?;
            Ok::<_, Trouble>((news, modseq(view, &selected.shelves, member)?))
        })?;
        if may_expunge && selected.has_left() {
            let left = selected.forget();
            self.saved.retain(|uid| selected.number(*uid).is_some());
            if self.enabled.qresync {
                out.line(&format!("* VANISHED {}", set(left.iter().map(|(uid, _)| *uid))));
            } else {
                for (_, number) in left {
                    out.line(&format!("* {number} EXPUNGE"));
                    out.relieve().await?;
                }
            }
        }
        if more {
            out.line(&format!("* {} EXISTS", selected.count()));
        }
        let roll = Arc::clone(selected.roll());
        if selected.learn(&roll) {
            tell_flags(selected, out);
        }
        if let Some(selected) = self.selected.as_ref().filter(|_| !changed.is_empty()) {
            let uids: Vec<_> = changed.into_iter().collect();
            let modseq = self.enabled.condstore;
            let wanted = Wanted { items: &[FetchItem::Flags], uid: true, modseq, changed_since: None, known };
            fetch(self, selected, &uids, &wanted, out).await?;
        }
        Ok(highest)
    }

    /// The code that tells a client with QRESYNC up to where it knows all that changed (RFC 7162 §3.2.7).
    pub(super) fn all_told(&self, highest: u64) -> Option<String> {
        self.enabled.qresync.then(|| format!("HIGHESTMODSEQ {highest}"))
    }

    pub(super) async fn validity(&self, folder: Folder, shelves: &[Shelf]) -> Result<u32, Trouble> {
        let member = self.member.id;
        if let Some(known) = self.desk.store.read(|view| views::validity(view, member, folder, shelves))? {
            return Ok(known);
        }
        let now = u32::try_from(Timestamp::now().as_second()).unwrap_or(u32::MAX);
        let given = self.desk.store.transact(|tx| views::give_validity(tx, member, folder, shelves, now));
        given.await.map_err(Trouble::Store)
    }
}

/// A member as the desk knows him at some state of it.
struct Present {
    member: Member,
    folders: Folders,
    rights: u64,
}

/// Whether a selected mailbox is there and made of what it was made of.
fn stands(folders: &Folders, selected: &Selected) -> Result<(), Trouble> {
    if folders.has(selected.folder) && folders.shelves(selected.folder) == selected.shelves {
        Ok(())
    } else {
        Err(Trouble::Bye("your mailboxes have changed; please log in again"))
    }
}

/// Who has this login, and when what he may do changed last.
fn here(view: &View<'_>, login: &Login) -> Result<(Member, u64), Trouble> {
    let member = app_password::member(view, login)?;
    let member = member.ok_or(Trouble::Bye("this app password is valid no longer"))?;
    let rights = view.get(&PEAKS, &(Shelf::Mine(member.id), Peak::Rights))?.unwrap_or(0);
    Ok((member, rights))
}

/// The same, with his mailboxes.
fn present(view: &View<'_>, login: &Login) -> Result<Present, Trouble> {
    let (member, rights) = here(view, login)?;
    let properties = find::properties(view)?;
    let mut departments = Vec::new();
    for property in properties.iter().filter(|property| member.is_of(property.id)) {
        departments.extend(find::departments(view, property.id)?);
    }
    let folders = Folders::of(&member, &properties, &departments, &find::members(view)?);
    Ok(Present { member, folders, rights })
}

/// More than any UID that a mailbox had.
pub(super) fn uid_next(view: &View<'_>, shelves: &[Shelf]) -> Result<u64, StoreError> {
    let mut highest = 0;
    for shelf in shelves {
        highest = highest.max(view.get(&PEAKS, &(*shelf, Peak::Uid))?.unwrap_or(0));
    }
    Ok(highest + 1)
}

/// When anything in a mailbox changed last, as the number of the commit.
pub(super) fn modseq(view: &View<'_>, shelves: &[Shelf], member: MemberId) -> Result<u64, StoreError> {
    let mut highest = 1;
    for shelf in shelves.iter().copied().chain([Shelf::Mine(member)]) {
        highest = highest.max(view.get(&PEAKS, &(shelf, Peak::ModSeq))?.unwrap_or(0));
    }
    Ok(highest)
}
