//! Four sessions and the desk's other doors at random, against what a client makes of what it is told:
//! its picture is the store's whenever it has asked, its numbers never lie, and no UID comes again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use super::command::Tagged;
use super::reader::{Input, Reader, ReaderLimits};
use super::rolls::Rolls;
use super::seat::{Done, Seat};
use super::selected::found;
use super::write::Out;
use super::{Desk, Trouble, flags};
use crate::actions::testing::Office;
use crate::actions::{app_password, ticket};
use crate::desk::login::by_password;
use crate::desk::scram::Keys;
use crate::desk::shelf::{Row, Shelf};
use crate::desk::ticket::{Priority, Status};
use crate::intake::Intake;
use crate::intake::gate::Gate;
use crate::intake::looks::{LookAlikeCap, Looks};
use crate::intake::quota::Quota;
use crate::net::limits::Memory;
use crate::net::resolver::resolver;
use crate::store::tables::ROWS;
use crate::store::{Order, Read as _, StoreError, View};
use crate::trust::Authenticator;

/// Numbers that are always the same.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// A mail client that believes what it is told.
struct Client {
    seat: Seat,
    folder: Option<String>,
    /// The messages in their order; the UID where it was told.
    messages: Vec<Option<u32>>,
    flags: BTreeMap<u32, BTreeSet<String>>,
    /// UIDs that were there and are not, by mailbox and UIDVALIDITY.
    gone: BTreeMap<(String, u32), BTreeSet<u32>>,
    validity: u32,
    qresync: bool,
}

/// A member at his client.
pub(super) async fn seat(office: &Office, rolls: &Arc<Rolls>, who: &str, device: &str) -> Seat {
    let (password, secret) = office.act(|tx, act| app_password::add(tx, act, who, device)).await.unwrap();
    let keys = Keys::of(&secret, &password.salt);
    let login = by_password(&[password], &keys).unwrap();
    let (store, rules) = (office.store.clone(), office.shared());
    let intake = Arc::new(Intake {
        store: store.clone(),
        desk: Arc::clone(&rules),
        trust: Authenticator::new(resolver(&["127.0.0.1:9".to_owned()]).unwrap(), "mx.desk.example.org"),
        looks: Looks::new(LookAlikeCap { count: 1_000, minutes: 60 }),
        quota: Quota::new(1_000),
        gate: Gate::open(1_000, 1_000),
    });
    let memory = Arc::new(Memory::new(1 << 20));
    let desk = Desk { store, desk: rules, intake, append_limit: 1_000_000, rolls: Arc::clone(rolls), memory };
    Seat::take(desk, login, Ipv4Addr::LOCALHOST.into()).unwrap()
}

/// A command as a client says it.
pub(super) fn command(line: &str) -> Tagged {
    let text = format!("a {line}\r\n");
    let mut reader = Reader::new(ReaderLimits { command: 1 << 20, skipped: 0 });
    let Input::Command(tagged) = reader.advance(&mut text.as_bytes()) else { panic!("{line:.40}") };
    tagged
}

/// How it was done, and what was told.
pub(super) async fn say(seat: &mut Seat, line: &str) -> (Result<Done, Trouble>, String) {
    let (mut sent, mut kept) = (Vec::new(), Vec::new());
    let mut out = Out::new(&mut sent, Duration::from_mins(1), &mut kept);
    let done = seat.perform(&command(line), &mut out).await;
    out.send().await.unwrap();
    (done, String::from_utf8(sent).unwrap())
}

impl Client {
    async fn log_in(office: &Office, rolls: &Arc<Rolls>, who: &str, device: &str, qresync: bool) -> Self {
        let mut seat = seat(office, rolls, who, device).await;
        if qresync {
            seat.enable(&["QRESYNC".to_owned()]);
        }
        Self {
            seat,
            folder: None,
            messages: Vec::new(),
            flags: BTreeMap::new(),
            gone: BTreeMap::new(),
            validity: 0,
            qresync,
        }
    }

    /// Says a command and believes the answer; whether it was OK.
    async fn say(&mut self, line: &str) -> bool {
        let selects = line.starts_with("SELECT");
        if selects {
            self.messages.clear();
            self.flags.clear();
        }
        let (done, told) = say(&mut self.seat, line).await;
        let silent = line.starts_with("FETCH") || line.starts_with("STORE") || line.starts_with("SEARCH");
        for told in told.split_terminator("\r\n") {
            self.believe(told, silent, line);
        }
        done.is_ok()
    }

    fn believe(&mut self, told: &str, silent: bool, line: &str) {
        if let Some(validity) = told.strip_prefix("* OK [UIDVALIDITY ") {
            self.validity = validity.split(']').next().unwrap().parse().unwrap();
        }
        if let Some(set) = told.strip_prefix("* VANISHED ") {
            assert!(!silent, "{line}: {told}");
            for uid in numbers(set) {
                let at = self.messages.iter().position(|message| *message == Some(uid));
                // It may be one of those that the client knows the number of, and not yet the UID.
                let before = self.messages.iter().take_while(|message| message.is_none_or(|known| known < uid)).count();
                let unknown = self.messages[..before].iter().rposition(Option::is_none);
                let at = at.or(unknown).unwrap_or_else(|| panic!("{line}: {told}, and the client never had it"));
                self.expunge(at);
            }
            return;
        }
        let words: Vec<&str> = told.splitn(4, ' ').collect();
        let [_, number, what, rest @ ..] = words.as_slice() else { return };
        let Ok(number) = number.parse::<usize>() else { return };
        match *what {
            "EXISTS" => {
                assert!(number >= self.messages.len(), "{line}: {told} of {}", self.messages.len());
                self.messages.resize(number, None);
            }
            "EXPUNGE" => {
                assert!(!silent, "{line}: {told}");
                assert!((1..=self.messages.len()).contains(&number), "{line}: {told} of {}", self.messages.len());
                self.expunge(number - 1);
            }
            "FETCH" => {
                let rest = rest.first().unwrap();
                let after = |name: &str| rest.split_once(name).map(|(_, rest)| rest);
                let uid = after("UID ").map(|uid| uid.split([' ', ')']).next().unwrap().parse().unwrap());
                let slot = &mut self.messages[number - 1];
                let Some(uid) = uid.or(*slot) else { return };
                assert!(slot.is_none_or(|known| known == uid), "{line}: {told}, and it was {slot:?}");
                *slot = Some(uid);
                let folder = (self.folder.clone().unwrap(), self.validity);
                assert!(!self.gone.get(&folder).is_some_and(|gone| gone.contains(&uid)), "{line}: {uid} came again");
                if let Some(flags) = after("FLAGS (") {
                    let flags = flags.split(')').next().unwrap();
                    self.flags.insert(uid, flags.split_whitespace().map(ToOwned::to_owned).collect());
                }
            }
            _ => {}
        }
    }

    fn expunge(&mut self, at: usize) {
        if let Some(uid) = self.messages.remove(at) {
            self.flags.remove(&uid);
            self.gone.entry((self.folder.clone().unwrap(), self.validity)).or_default().insert(uid);
        }
    }

    async fn select(&mut self, folder: &str) {
        self.folder = Some(folder.to_owned());
        if self.say(&format!("SELECT \"{folder}\"")).await {
            assert!(self.say("UID FETCH 1:* (FLAGS)").await);
        } else {
            self.folder = None;
        }
    }

    /// Asks for news, and holds the picture against the store.
    async fn check(&mut self, office: &Office) {
        if self.folder.is_none() {
            return;
        }
        assert!(self.say("NOOP").await);
        // A client asks for what it was only told to be there.
        if self.messages.contains(&None) {
            assert!(self.say("UID FETCH 1:* (FLAGS)").await);
        }
        let uids: Vec<u32> = self.messages.iter().map(|message| message.unwrap()).collect();
        assert!(uids.is_sorted_by(|a, b| a < b), "{uids:?}");
        let selected = self.seat.selected().unwrap();
        let member = self.seat.member.id;
        let (truth, there) = office
            .store
            .read(|view| {
                let there = rows(view, &selected.shelves)?;
                let there: Vec<_> = there.into_iter().map(|(uid, _)| uid).collect();
                Ok::<_, crate::store::StoreError>((found(view, &selected.shelves, member, &there)?, there))
            })
            .unwrap();
        assert_eq!(uids, there, "in {:?}", self.folder);
        for (uid, row, mine) in truth {
            let mut list = Vec::new();
            flags::write(&mut list, uid, &row, &mine);
            let list = String::from_utf8(list).unwrap();
            let list = list.trim_matches(['(', ')']);
            let expected: BTreeSet<String> = list.split_whitespace().map(ToOwned::to_owned).collect();
            assert_eq!(self.flags[&uid], expected, "{uid} in {:?}", self.folder);
        }
    }
}

fn numbers(set: &str) -> Vec<u32> {
    let mut all = Vec::new();
    for range in set.split(',') {
        let (from, to) = range.split_once(':').unwrap_or((range, range));
        all.extend(from.parse::<u32>().unwrap()..=to.parse().unwrap());
    }
    all
}

const FOLDERS: [&str; 9] = [
    "INBOX",
    "Archive",
    "Trash",
    "Junk",
    "acme/Open",
    "acme/Pending",
    "acme/Closed",
    "acme/Members/bob",
    "acme/Members/alice",
];

/// What somebody does at another door.
async fn at_another_door(office: &Office, random: &mut Random, tickets: &mut Vec<String>) {
    let name = random.of(tickets).clone();
    match random.below(8) {
        0 | 1 => {
            let from = format!("contact{}", random.below(5));
            tickets.push(office.ticket(&from).await.reference.to_string());
        }
        2 => {
            let status = *random.of(&[Status::Open, Status::Pending, Status::Closed, Status::Spam, Status::Trash]);
            office.act(|tx, act| ticket::set_status(tx, act, &name, status)).await.unwrap();
        }
        3 => {
            let who = *random.of(&["alice", "bob", "none"]);
            office.act(|tx, act| ticket::assign(tx, act, &name, who)).await.unwrap();
        }
        4 => {
            let priority = *random.of(&[Priority::Low, Priority::Urgent]);
            office.act(|tx, act| ticket::set_priority(tx, act, &name, priority)).await.unwrap();
        }
        5 => {
            let tag = *random.of(&["refund", "vip"]);
            office.act(|tx, act| ticket::tag(tx, act, &name, tag)).await.unwrap();
        }
        6 => {
            let who = *random.of(&["alice", "bob"]);
            office.reply(who, &name, None).await;
        }
        _ => {
            let into = random.of(tickets).clone();
            // Two that are one already are refused.
            let _ = office.act(|tx, act| ticket::merge(tx, act, &name, &into)).await;
        }
    }
}

/// What a member does in his client.
async fn in_a_client(client: &mut Client, random: &mut Random) {
    let folder = *random.of(&FOLDERS);
    if client.folder.is_none() || random.below(8) == 0 {
        return client.select(folder).await;
    }
    let count = client.messages.len();
    if count == 0 {
        return client.select(folder).await;
    }
    let (one, other) = (random.below(count) + 1, random.below(count) + 1);
    let uid = client.messages[one - 1].unwrap_or(1);
    let flag = *random.of(&["\\Seen", "\\Flagged", "\\Deleted", "\\Answered", "blue", "$Junk", "$NotJunk"]);
    let sign = *random.of(&["+", "-", ""]);
    let line = match random.below(10) {
        0 => format!("MOVE {one} \"{folder}\""),
        1 => format!("UID MOVE {uid} \"{folder}\""),
        2 => format!("COPY {one}:{other} \"{folder}\""),
        3 => format!("STORE {one}:{other} {sign}FLAGS ({flag})"),
        4 => format!("UID STORE {uid} {sign}FLAGS.SILENT ({flag})"),
        5 => format!("FETCH {one}:{other} (UID FLAGS)"),
        6 => "EXPUNGE".to_owned(),
        7 => format!("SEARCH OR FLAGGED UNSEEN UID {uid}:*"),
        8 => format!("UID SEARCH RETURN (COUNT) NOT {one}"),
        _ => "NOOP".to_owned(),
    };
    client.say(&line).await;
    if line.contains("SILENT") {
        // He knows what he has set himself, and asks for it as clients do that are unsure.
        client.say(&format!("UID FETCH {uid} (FLAGS)")).await;
    }
}

#[tokio::test]
async fn whatever_happens_each_client_sees_what_there_is() {
    for seed in 0..12 {
        let mut random = Random(seed);
        let office = Office::open().await;
        let rolls = Arc::default();
        let mut tickets = vec![office.ticket("carol").await.reference.to_string()];
        let mut clients = vec![
            Client::log_in(&office, &rolls, "alice", "phone", false).await,
            Client::log_in(&office, &rolls, "alice", "laptop", true).await,
            Client::log_in(&office, &rolls, "bob", "phone", false).await,
            Client::log_in(&office, &rolls, "bob", "laptop", true).await,
        ];
        for _ in 0..250 {
            if random.below(3) == 0 {
                at_another_door(&office, &mut random, &mut tickets).await;
            } else {
                let who = random.below(clients.len());
                in_a_client(&mut clients[who], &mut random).await;
            }
            if random.below(4) == 0 {
                let who = random.below(clients.len());
                clients[who].check(&office).await;
            }
        }
        for client in &mut clients {
            client.check(&office).await;
            assert!(client.qresync || client.validity > 0 || client.folder.is_none());
        }
    }
}

/// All rows of some shelves, by their numbers.
fn rows(view: &View<'_>, shelves: &[Shelf]) -> Result<Vec<(u32, Row)>, StoreError> {
    let mut rows = Vec::new();
    for shelf in shelves {
        let of_it = view.starting(&ROWS, (*shelf,), Order::Up, usize::MAX)?;
        rows.extend(of_it.into_iter().map(|((_, uid), row)| (uid, row)));
    }
    if shelves.len() > 1 {
        rows.sort_unstable_by_key(|(uid, _)| *uid);
    }
    Ok(rows)
}
