//! The store of a desk with a million tickets: how fast it opens, what memory it takes, and whether
//! mail comes in as fast as with a thousand.
//!
//! `cargo bench --bench tickets [-- --tickets N]`. The tickets are made by the same actions as mail
//! makes them: each a message of 2 KiB with copies to two members, every second one answered by a
//! member, all copies sent. It takes about 3 GiB of disk and some minutes.

#![expect(clippy::cast_precision_loss, reason = "rates are not exact anyway")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::ops::Bound;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use guichet::actions::post::{self, Content, Opening, Standpoint};
use guichet::actions::{Act, ActionError, Actor, Desk, Patience, copies, find, member, property};
use guichet::desk::address::{Address, Mailbox};
use guichet::desk::copy::Scope;
use guichet::desk::entry::{Author, Door, Entry, State, Verified};
use guichet::desk::fanout::Voice;
use guichet::desk::id::{RawId, TicketId};
use guichet::desk::language::Language;
use guichet::desk::member::Role;
use guichet::desk::message_id::MessageId;
use guichet::desk::recipient::Domains;
use guichet::desk::ticket::{Person, Priority, Status, Ticket};
use guichet::desk::token::Keys;
use guichet::desk::verdict::{Outcome, Signature, Verdict};
use guichet::store::tables::{ENTRIES, MESSAGE_IDS, TICKET_NUMBERS, TICKETS};
use guichet::store::{Options, Order, Read, Store, Tx};
use jiff::{SignedDuration, Timestamp};
use tokio::runtime::Runtime;

/// Of the small store that the large one is held against.
const FEW: u64 = 1_000;
/// Tickets in one transaction while the store is filled.
const BATCH: u64 = 100;
const WRITERS: u64 = 16;
/// How long mail comes in at a time, and how often, by turns.
const ROUND: Duration = Duration::from_secs(3);
const ROUNDS: usize = 6;
const MESSAGE: usize = 2 * 1024;
/// Tickets that are read once the store is open.
const READS: u64 = 20_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => measure(1_000_000),
        ["--tickets", tickets] => measure(tickets.parse().expect("a number of tickets")),
        ["opened", dir, tickets] => opened(Path::new(dir), tickets.parse().expect("a number of tickets")),
        ["busy", dir, tickets] => busy(Path::new(dir), tickets.parse().expect("a number of tickets")),
        _ => panic!("usage: cargo bench --bench tickets [-- --tickets N]"),
    }
}

fn measure(tickets: u64) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory to work in");
    let (few, many) = (dir.path().join("few"), dir.path().join("many"));
    let runtime = Runtime::new().expect("a runtime");

    let small = Bench::open(&few, 0);
    runtime.block_on(small.fill(FEW));
    small.print_tables();
    let large = Bench::open(&many, 0);
    let start = Instant::now();
    runtime.block_on(large.fill(tickets));
    let time = start.elapsed().as_secs_f64();
    println!("{tickets} tickets made in {time:.0} s, {:.0} a second", tickets as f64 / time);

    // Not while the snapshot is written that filling the store left behind.
    large.store.checkpoint().expect("a snapshot");
    let (mut slow, mut fast) = (0.0, 0.0);
    for _ in 0..ROUNDS {
        let (one, cpu) = runtime.block_on(small.intake(ROUND));
        let (other, other_cpu) = runtime.block_on(large.intake(ROUND));
        println!(
            "mail a second, {WRITERS} writers: {one:.0} at {FEW} tickets, {other:.0} at {tickets}; \
             processor time of each {cpu:.2} and {other_cpu:.2} ms"
        );
        fast += one;
        slow += other;
    }
    println!("ratio {:.2} (at least 0.8)", slow / fast);
    println!("memory of the process that made all this: {} MiB", resident());
    let start = Instant::now();
    runtime.block_on(large.store.close()).expect("an orderly end");
    println!("closing took {:.1} s", start.elapsed().as_secs_f64());
    runtime.block_on(small.store.close()).expect("an orderly end");
    for part in ["journal", "snapshots", "index"] {
        println!("{part:<10} {:>6} MiB", size(&many.join(part)) / (1024 * 1024));
    }

    forget(&many);
    println!("closed in order, cold          {} (at most 2 s, 600 MiB)", child_opens(&many, tickets));
    println!("closed in order, warm          {}", child_opens(&many, tickets));
    kill(&many, tickets);
    println!("killed, warm                   {} (at most 10 s)", child_opens(&many, tickets));
    kill(&many, tickets);
    // As another boot of the machine finds it.
    fs::write(many.join("unclean"), "boot of another time\nindex whole\n").expect("a marker");
    forget(&many);
    println!("power lost, cold               {} (at most 60 s)", child_opens(&many, tickets));
    println!("once more, closed in order     {}", child_opens(&many, tickets));
}

/// In a process of its own: opens a store, says how long that took and what memory it takes.
fn opened(dir: &Path, tickets: u64) {
    let start = Instant::now();
    let bench = Bench::open(dir, tickets);
    let time = start.elapsed().as_secs_f64();
    let open = resident();
    let start = Instant::now();
    for n in 0..READS {
        let id = TicketId(1 + n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % tickets);
        let ticket = bench.store.read(|view| view.get(&TICKETS, &id)).expect("a store to read");
        assert!(ticket.is_some(), "ticket {id} is lost");
    }
    let reads = READS as f64 / start.elapsed().as_secs_f64();
    println!("{time:>6.2} s, {open} MiB; {reads:.0} tickets read a second, then {} MiB", resident());
    Runtime::new().expect("a runtime").block_on(bench.store.close()).expect("an orderly end");
}

/// In a process of its own: takes mail in until it is killed.
fn busy(dir: &Path, tickets: u64) {
    let bench = Bench::open(dir, tickets);
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(bench.intake(Duration::from_secs(1)));
    println!("busy");
    runtime.block_on(bench.intake(Duration::from_hours(1)));
}

fn child(mode: &str, dir: &Path, tickets: u64) -> Child {
    let program = std::env::current_exe().expect("this program's file");
    let mut command = Command::new(program);
    command.arg(mode).arg(dir).arg(tickets.to_string()).stdout(Stdio::piped());
    command.spawn().expect("a second process")
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    let out = child.stdout.take().expect("it was asked for");
    BufReader::new(out).read_line(&mut line).expect("a line");
    line.trim_end().to_owned()
}

fn child_opens(dir: &Path, tickets: u64) -> String {
    let mut child = child("opened", dir, tickets);
    let line = first_line(&mut child);
    assert!(child.wait().expect("an end").success(), "the store did not open");
    line
}

fn kill(dir: &Path, tickets: u64) {
    let mut child = child("busy", dir, tickets);
    assert_eq!(first_line(&mut child), "busy");
    child.kill().expect("it runs");
    child.wait().expect("an end");
}

/// Has the kernel let go of what it keeps in memory of the files.
fn forget(dir: &Path) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            forget(&path);
        } else {
            let file = fs::File::open(path).expect("a file");
            file.sync_all().expect("a disk that works");
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advice is taken");
        }
    }
}

fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry"));
    let sizes = entries.map(|entry| match entry.metadata().expect("a file") {
        found if found.is_dir() => size(&entry.path()),
        found => found.len(),
    });
    sizes.sum()
}

/// Resident memory of this process in MiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// Processor time of this process in milliseconds, in steps of ten.
fn processor() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux tells");
    let (_, fields) = stat.rsplit_once(')').expect("Linux tells");
    let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u32>().expect("a number"));
    f64::from(ticks.sum::<u32>()) * 10.0
}

/// A store with its desk.
#[derive(Clone)]
struct Bench {
    store: Store,
    desk: Arc<Desk>,
    /// Tickets that are there, numbered from 1.
    tickets: Arc<AtomicU64>,
    /// Mail that was made.
    mails: Arc<AtomicU64>,
}

impl Bench {
    fn open(dir: &Path, tickets: u64) -> Self {
        let run = std::process::id();
        let next = AtomicU64::new(0);
        let random = move || {
            let n = next.fetch_add(1, Ordering::Relaxed);
            // Spread as random ones are.
            let spread =
                (u128::from(n) << 32 | u128::from(run)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            spread.to_be_bytes()
        };
        let desk = Desk {
            hostname: "desk.example.org".to_owned(),
            domains: Domains { local: vec!["desk.example.org".to_owned()], delimiters: vec!['+'] },
            keys: Keys::new(1, [(1, [7; 32])]).expect("a key"),
            postmaster: None,
            patience: Patience::default(),
            acknowledgements: 100,
            random: Box::new(random),
        };
        Self {
            store: Store::open(dir, Options::default()).expect("a store"),
            desk: Arc::new(desk),
            tickets: Arc::new(AtomicU64::new(tickets)),
            mails: Arc::new(AtomicU64::new(2 * tickets)),
        }
    }

    /// Makes the desk and its tickets.
    async fn fill(&self, tickets: u64) {
        self.store.transact(|tx| self.found(tx)).await.expect("a desk");
        let mut made = 0;
        while made < tickets {
            let batch = made..tickets.min(made + BATCH);
            self.store
                .transact(|tx| {
                    for n in batch.clone() {
                        let (ticket, _) = self.mail(tx, 2 * n, None, true)?;
                        if n.is_multiple_of(2) {
                            self.mail(tx, 2 * n + 1, Some(ticket), true)?;
                        }
                    }
                    Ok::<_, ActionError>(())
                })
                .await
                .expect("a commit");
            made = batch.end;
            if made % 100_000 == 0 {
                eprintln!("{made} tickets");
            }
        }
        self.tickets.store(tickets, Ordering::Relaxed);
        self.mails.store(2 * tickets, Ordering::Relaxed);
    }

    fn act(&self, n: u64) -> Act<'_> {
        let start: Timestamp = "2024-01-01T00:00:00.123456789Z".parse().expect("a time");
        let now = start + SignedDuration::from_secs(30 * i64::try_from(n).expect("not so many"));
        Act { desk: &self.desk, now, door: Door::Smtp, actor: Actor::System, trace: None, client: None }
    }

    fn found(&self, tx: &mut Tx<'_>) -> Result<(), ActionError> {
        let act = self.act(0);
        let new = property::New {
            slug: "acme".parse().expect("a slug"),
            name: "Acme".to_owned(),
            addresses: Vec::new(),
            public: None,
            language: Language::En,
        };
        property::add(tx, &act, new)?;
        for name in ["alice", "bob"] {
            let new = member::New {
                login: format!("{name}@team.example").parse().expect("an address"),
                name: name.to_owned(),
                property: "acme".to_owned(),
                role: Role::Agent,
                aliases: Vec::new(),
                list: false,
                password: None,
            };
            member::add(tx, &act, new)?;
        }
        Ok(())
    }

    /// Mail as it comes in, from as many writers, for some time: half of it new tickets, half of it
    /// answers to tickets anywhere. Messages a second, and processor time a message in ms.
    async fn intake(&self, time: Duration) -> (f64, f64) {
        let (start, cpu) = (Instant::now(), processor());
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let bench = self.clone();
                tokio::spawn(async move {
                    let mut count = 0u64;
                    while start.elapsed() < time {
                        bench.arrive().await.expect("a commit");
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let mut count = 0;
        for writer in writers {
            count += writer.await.expect("a writer");
        }
        (count as f64 / start.elapsed().as_secs_f64(), (processor() - cpu) / count as f64)
    }

    async fn arrive(&self) -> Result<(), ActionError> {
        let n = self.mails.fetch_add(1, Ordering::Relaxed);
        let answered = TicketId(1 + n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % self.tickets.load(Ordering::Relaxed));
        self.store
            .transact(|tx| {
                let ticket = if n.is_multiple_of(2) { None } else { tx.get(&TICKETS, &answered)? };
                self.mail(tx, n, ticket, false).map(|_| ())
            })
            .await
    }

    /// One message: a contact's that opens a ticket, or a member's answer to one.
    fn mail(
        &self,
        tx: &mut Tx<'_>,
        n: u64,
        answers: Option<Ticket>,
        sent: bool,
    ) -> Result<(Ticket, Entry), ActionError> {
        let act = self.act(n);
        let property = find::property(tx, "acme")?;
        let own: MessageId =
            format!("CAF{n:012x}=0Qm1vTz{:016x}@mail.client.example", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
                .parse()
                .expect("a Message-ID");
        // As the look for the ticket does.
        tx.get(&MESSAGE_IDS, &(property.id, own.clone()))?;
        let raw = tx.put_raw(message(n))?;
        let (before, mut ticket, mut standpoint, mentioned) = match answers {
            None => {
                let name = format!("person{}", n % (n / 3 + 1));
                let from = Mailbox::new(format!("A {name}"), address(&format!("{name}@customer.example")));
                let opening = Opening {
                    requester: from.clone(),
                    status: Status::Open,
                    priority: Priority::Normal,
                    tags: Vec::new(),
                    assignee: None,
                    continues: None,
                };
                let ticket = post::open(tx, &act, &property, "The order that I made last week", opening)?;
                let contact = Person::Contact(post::contact_for(tx, &act, &from)?);
                (None, ticket, standpoint(contact, from, Voice::Contact { to_contacts: false }), Vec::new())
            }
            Some(ticket) => {
                let newest = tx.starting(&ENTRIES, (ticket.id,), Order::Up, 1)?;
                let minted = newest.first().and_then(|(_, entry)| entry.minted_id.clone());
                if let Some(id) = &minted {
                    tx.get(&MESSAGE_IDS, &(property.id, id.clone()))?;
                }
                tx.get(&TICKET_NUMBERS, &(property.id, ticket.reference.number))?;
                let alice = address("alice@team.example");
                let member = find::member_at(tx, property.id, &alice)?.expect("she is of acme");
                let standpoint = standpoint(Person::Member(member.id), member.mailbox(), Voice::Member);
                (Some(ticket.clone()), ticket, standpoint, minted.into_iter().collect())
            }
        };
        standpoint.parent = None;
        let content = content(own, raw, mentioned, act.now);
        let entry = post::add(tx, &act, &property, before.as_ref(), &mut ticket, content, standpoint)?;
        if sent {
            for copy in &entry.copies {
                let reply = "250 2.0.0 Ok: queued as 4ZqX5T3m1Kz9sWH".to_owned();
                copies::attempted(tx, &act, *copy, &copies::Attempt::Sent { reply }, None)?;
            }
        }
        Ok((ticket, entry))
    }

    /// How many keys and octets each table takes a ticket.
    fn print_tables(&self) {
        let span = (Bound::Excluded(vec![0, 0xff]), Bound::Unbounded);
        let pairs = self.store.read(|view| view.span_bytes(span, Order::Up, usize::MAX)).expect("a store to read");
        let mut tables: BTreeMap<u8, (usize, usize)> = BTreeMap::new();
        for (key, value) in &pairs {
            let (keys, octets) = tables.entry(key[0]).or_default();
            *keys += 1;
            *octets += key.len() + value.len();
        }
        println!("table   keys a ticket   octets a ticket");
        let mut all = (0, 0);
        for (table, (keys, octets)) in tables {
            println!("{table:>5} {:>15.2} {:>17.0}", keys as f64 / FEW as f64, octets as f64 / FEW as f64);
            all = (all.0 + keys, all.1 + octets);
        }
        println!("  all {:>15.2} {:>17.0}", all.0 as f64 / FEW as f64, all.1 as f64 / FEW as f64);
    }
}

fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

/// A small message, with a text that does not repeat.
fn message(n: u64) -> Vec<u8> {
    let mut message = format!("Subject: The order that I made last week\r\nX-Number: {n}\r\n\r\n").into_bytes();
    message.resize(MESSAGE, b'm');
    message
}

fn content(own: MessageId, raw: RawId, mentioned: Vec<MessageId>, now: Timestamp) -> Content {
    let signature = Signature {
        domain: "customer.example".to_owned(),
        selector: "s2026".to_owned(),
        outcome: Outcome::Pass,
        aligned: true,
    };
    let verdict = Verdict {
        spf: Outcome::Pass,
        spf_domain: "customer.example".to_owned(),
        spf_aligned: true,
        dkim: vec![signature],
        dmarc: Outcome::Pass,
        ..Verdict::default()
    };
    Content {
        message_id: Some(own),
        date: Some(now),
        subject: "The order that I made last week".to_owned(),
        text: "Good morning,\nthe parcel that came today is not what I ordered.\n".repeat(8),
        attachments: Vec::new(),
        raw,
        named: Vec::new(),
        mentioned,
        conversation: None,
        verdict: Some(verdict),
        arrived_at: Some(address("acme@desk.example.org")),
        from: None,
        asked: guichet::desk::command::Asked::default(),
    }
}

fn standpoint(person: Person, from: Mailbox, voice: Voice) -> Standpoint {
    Standpoint {
        addresses: vec![from.address.clone()],
        author: Author::Person { person, mailbox: from },
        voice,
        verified: Verified::Aligned,
        invited: true,
        scope: Scope::Public,
        state: State::Relayed,
        reason: None,
        warning: None,
        machine: None,
        parent: None,
        claims: None,
        obeyed: None,
        turn: 0,
        hands_on: false,
    }
}
