//! The desk in a mail client: our daemon and Dovecot side by side, in one run, on loopback.
//!
//! ```text
//! cargo bench --bench imap                      everything, some minutes
//! cargo bench --bench imap -- --quick           fewer messages and rounds, about a minute
//! cargo bench --bench imap -- --only SEARCH     the cases with this in their names
//! cargo bench --bench imap -- --without-peers   without Dovecot, which wants root
//! cargo bench --bench imap -- --dir DIR         stores and mailboxes there instead of in /var/tmp
//! ```
//!
//! Both servers are real processes with durable settings and their files on the same file system, and
//! hold the same messages: ours in `acme/Open`, two a ticket, Dovecot (Debian's `dovecot-imapd`, mdbox)
//! in a mailbox of its own. Clients speak TLS, log in with a password and say a command at a time.
//! Clients and servers share the machine, so times are compared within one run; processor time is
//! steadier. What the lines mean is in `docs/performance.md`.
//!
//! The case `work` measures little and checks much: forty sessions of four members read, flag and move at once,
//! and each holds what it is told against what it was told before.

mod client;
mod dovecot;
mod idle;
mod messages;
mod ours;
mod work;

#[path = "../../tests/it/kit/dns.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "it is the tests', which ask more of it and may panic")]
mod dns;
#[path = "../mail_flow/load.rs"]
mod load;
#[path = "../mail_flow/machine.rs"]
#[expect(dead_code, reason = "mail_flow measures the disk, too")]
mod machine;
#[path = "../mail_flow/mails.rs"]
#[expect(dead_code, reason = "mail_flow has signed mail, too")]
mod mails;
#[path = "../mail_flow/sink.rs"]
#[expect(dead_code, reason = "mail_flow has a next server")]
mod sink;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;

use client::{Client, Door, count, time};
use dns::Dns;
use dovecot::Dovecot;
use idle::Idlers;
use machine::Processes;
use messages::{RARE, message};
use ours::Desk;
use work::Worker;

/// Descriptors that so many connections take, with room to spare.
const DESCRIPTORS: u64 = 16_000;
/// How long a client that idles is waited for: longer than between two looks of a server that only looks
/// from time to time.
const PATIENCE: Duration = Duration::from_secs(40);
/// What a client shows in its list of messages.
const FIELDS: &str = "BODY.PEEK[HEADER.FIELDS (FROM TO CC SUBJECT DATE MESSAGE-ID REFERENCES)]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("imap: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let options = Options::read()?;
    let most = getrlimit(Resource::Nofile).maximum;
    let wanted = most.map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: most })?;
    // Waits in this thread; the name server of the bench goes on in the runtime's own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let start = Instant::now();
    let dir = tempfile::Builder::new().prefix("imap").tempdir_in(&options.dir)?;
    let dns = runtime.block_on(Dns::start());
    // Unsigned mail is of a domain that says nothing: an answer that can be remembered.
    dns.txt("example.com", "v=spf1 ?all").txt("_dmarc.example.com", "v=DMARC1; p=none").txt("_dmarc.com", "none");
    let dns = dns.servers()[0].parse()?;
    Bench { options, runtime, dir, dns }.run()?;
    println!("\n{:.0} seconds", start.elapsed().as_secs_f64());
    Ok(())
}

struct Options {
    quick: bool,
    peers: bool,
    only: Option<String>,
    dir: PathBuf,
}

impl Options {
    fn read() -> anyhow::Result<Self> {
        let mut options = Self { quick: false, peers: true, only: None, dir: "/var/tmp".into() };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--without-peers" => options.peers = false,
                "--only" => options.only = Some(arguments.next().context("--only wants a word")?),
                "--dir" => options.dir = arguments.next().context("--dir wants a folder")?.into(),
                // What cargo says of itself.
                "--bench" => {}
                other => bail!("unknown argument {other}; the head of benches/imap/main.rs tells the known ones"),
            }
        }
        Ok(options)
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|word| name.contains(word.as_str()))
    }

    /// Messages in the mailbox.
    fn messages(&self) -> u32 {
        if self.quick { 4_000 } else { 20_000 }
    }

    /// How often something is done that is done so often otherwise.
    fn times(&self, times: usize) -> usize {
        if self.quick { times.div_ceil(4) } else { times }
    }
}

/// A server to be measured.
struct Server<'a> {
    door: &'a Door,
    processes: &'a Processes,
    mailbox: &'static str,
    messages: u32,
}

/// What doing something once takes.
#[derive(Clone, Copy)]
struct Cost {
    /// The median, in milliseconds.
    time: f64,
    /// Processor time of all of the server's processes, in milliseconds.
    cpu: f64,
}

impl Server<'_> {
    fn client(&self) -> anyhow::Result<Client> {
        Client::connect(self.door)
    }

    /// Somebody who has the mailbox selected.
    fn reader(&self) -> anyhow::Result<Client> {
        let mut client = self.client()?;
        client.command(&format!("SELECT {}", self.mailbox))?;
        Ok(client)
    }

    fn measure(&self, times: usize, mut once: impl FnMut() -> anyhow::Result<Duration>) -> anyhow::Result<Cost> {
        let cpu = self.processes.cpu();
        let mut took = (0..times).map(|_| once()).collect::<anyhow::Result<Vec<_>>>()?;
        let cpu = self.processes.cpu().saturating_sub(cpu);
        took.sort();
        Ok(Cost { time: milliseconds(took[took.len() / 2]), cpu: milliseconds(cpu) / number(times) })
    }

    /// A command to somebody who has the mailbox selected; `found` is how many answers it has, by `what`
    /// stands in each.
    fn command(&self, command: &str, times: usize, what: &str, found: usize) -> anyhow::Result<Cost> {
        let mut client = self.reader()?;
        self.measure(times, || {
            let (took, answer) = time(|| client.command(command))?;
            let answers = count(answer, what);
            ensure!(answers == found, "{command}: {answers} answers instead of {found}");
            Ok(took)
        })
    }

    /// A search that finds so many.
    fn search(&self, key: &str, times: usize, found: usize) -> anyhow::Result<Cost> {
        let mut client = self.reader()?;
        let command = format!("UID SEARCH {key}");
        // What may be kept is kept from now on.
        client.command(&command)?;
        self.measure(times, || {
            let (took, answer) = time(|| client.command(&command))?;
            let line = answer.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"* SEARCH"));
            let numbers = line.map_or(0, |line| count(line, " ") - 1);
            ensure!(numbers == found, "{command}: {numbers} found instead of {found}");
            Ok(took)
        })
    }

    /// Messages appended by so many connections; what one takes of all the time.
    fn append(&self, connections: usize, messages: usize) -> anyhow::Result<Cost> {
        let clients = (0..connections).map(|_| self.client()).collect::<anyhow::Result<Vec<_>>>()?;
        let each = messages / connections;
        let (cpu, start) = (self.processes.cpu(), Instant::now());
        std::thread::scope(|scope| {
            let append = |n: usize, mut client: Client| {
                (0..each).try_for_each(|m| client.append("Drafts", &message(u32::try_from(n * each + m)?).raw))
            };
            let clients = clients.into_iter().enumerate();
            let appending: Vec<_> = clients.map(|(n, client)| scope.spawn(move || append(n, client))).collect();
            appending.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("a client died"))?)
        })?;
        let took = start.elapsed();
        let cpu = self.processes.cpu().saturating_sub(cpu);
        let all = number(each * connections);
        Ok(Cost { time: milliseconds(took) / all, cpu: milliseconds(cpu) / all })
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// A count to divide by.
fn number(things: usize) -> f64 {
    u32::try_from(things).map_or(f64::INFINITY, f64::from)
}

/// One thing to measure: what it is called, how many times as fast as Dovecot it is to be, and how it is
/// done.
type Case<'a> = (&'static str, Option<f64>, &'a dyn Fn(&Server<'_>) -> anyhow::Result<Cost>);

/// Everything that the runs share.
struct Bench {
    options: Options,
    runtime: Runtime,
    dir: tempfile::TempDir,
    dns: SocketAddr,
}

impl Bench {
    fn run(&self) -> anyhow::Result<()> {
        let names = CASES.iter().chain(&IDLE);
        if names.into_iter().any(|name| self.options.wants(name)) {
            let messages = self.options.messages();
            let desk = Desk::start(self.dir.path().join("desk"), self.dns, 1, messages);
            let desk = self.runtime.block_on(desk)?;
            let dovecot = if self.options.peers {
                Some(self.runtime.block_on(Dovecot::start(self.dir.path(), messages))?)
            } else {
                None
            };
            let ours = Server { door: desk.door(), processes: &desk.processes, mailbox: "acme/Open", messages };
            let theirs = dovecot.as_ref().map(|dovecot| Server {
                door: &dovecot.door,
                processes: &dovecot.processes,
                mailbox: "Open",
                messages,
            });
            println!("{messages} messages of 4 KiB in one mailbox: milliseconds, each time\n");
            println!(
                "{:<46} {:>9} {:>8} {:>9} {:>8} {:>7} {:>6}  wanted",
                "", "Dovecot", "CPU", "guichet", "CPU", "faster", "CPU"
            );
            self.commands(&ours, theirs.as_ref())?;
            println!();
            self.idling(&ours, theirs.as_ref(), desk.smtp)?;
            drop(dovecot);
            desk.stop()?;
        }
        self.work()?;
        self.intake()
    }

    fn commands(&self, ours: &Server<'_>, theirs: Option<&Server<'_>>) -> anyhow::Result<()> {
        let all = ours.messages as usize;
        let times = |times| self.options.times(times);
        let rare = (0..ours.messages).filter(|n| n % 100 == 42).count();
        let [connect, select, flags, envelope, again, fields, bodies, from, subject, text, one, ten, status] = CASES;
        let cases: [Case<'_>; CASES.len()] = [
            (connect, None, &|server| server.measure(times(40), || time(|| server.client()).map(|(took, _)| took))),
            (select, Some(1.0), &|server| {
                let select = format!("SELECT {}", server.mailbox);
                server.measure(times(20), || {
                    let mut client = server.client()?;
                    time(|| client.command(&select).map(drop)).map(|(took, ())| took)
                })
            }),
            (flags, Some(1.0), &|server| server.command("FETCH 1:* (FLAGS UID)", times(20), " FETCH (", all)),
            (envelope, None, &|server| server.command("FETCH 1:* (UID ENVELOPE)", 1, "ENVELOPE (", all)),
            (again, Some(3.0), &|server| {
                server.command("FETCH 1:* (UID ENVELOPE)", 1, "ENVELOPE (", all)?;
                server.command("FETCH 1:* (UID ENVELOPE)", times(8), "ENVELOPE (", all)
            }),
            (fields, None, &|server| {
                let command = format!("FETCH 1:* (UID {FIELDS})");
                // What may be kept is kept from now on.
                server.command(&command, 1, " FETCH (", all)?;
                server.command(&command, times(8), " FETCH (", all)
            }),
            (bodies, None, &|server| {
                let command = format!("FETCH 1:{} BODY.PEEK[]", 200.min(all));
                server.command(&command, times(20), " FETCH (", 200.min(all))
            }),
            (from, Some(1.0), &|server| server.search("FROM \"Customer 77\"", times(12), customers_from(all))),
            (subject, Some(1.0), &|server| server.search("SUBJECT \"number 77\"", times(12), customers_from(all))),
            (text, None, &|server| server.search(&format!("TEXT {RARE}"), times(3), rare)),
            (one, Some(1.0), &|server| server.append(1, times(400))),
            (ten, Some(1.0), &|server| server.append(10, times(2_000))),
            (status, None, &|server| {
                let mut client = server.client()?;
                let command = format!("STATUS {} (MESSAGES UNSEEN)", server.mailbox);
                server.measure(times(20), || time(|| client.command(&command).map(drop)).map(|(took, ())| took))
            }),
        ];
        for (name, wanted, case) in cases {
            if !self.options.wants(name) {
                continue;
            }
            let their_cost = theirs.map(case).transpose().with_context(|| format!("Dovecot, {name}"))?;
            let cost = case(ours).with_context(|| name.to_owned())?;
            print(name, wanted, cost, their_cost);
        }
        Ok(())
    }

    /// New messages, and when those who idle hear of them.
    fn idling(&self, ours: &Server<'_>, theirs: Option<&Server<'_>>, smtp: SocketAddr) -> anyhow::Result<()> {
        let mails = mails::new_ones(100);
        let mut next = mails.iter();
        for (name, connections) in IDLE.into_iter().zip([100, 1_000]) {
            if !self.options.wants(name) {
                continue;
            }
            if let Some(theirs) = theirs {
                let mut client = theirs.client()?;
                let raw = message(0).raw;
                let idle = self.idle(theirs, connections, || {
                    client.append(theirs.mailbox, &raw)?;
                    Ok(Instant::now())
                })?;
                idle.print(&format!("Dovecot, {name}"), None);
            }
            let idle = self.idle(ours, connections, || {
                let mail = next.next().context("there is no mail left")?;
                self.runtime.block_on(load::send(smtp, mail))
            })?;
            idle.print(&format!("guichet, {name}"), (connections == 1_000).then_some((20.0, 200.0, 40.0)));
        }
        Ok(())
    }

    fn idle(
        &self,
        server: &Server<'_>,
        connections: usize,
        mut deliver: impl FnMut() -> anyhow::Result<Instant> + Send,
    ) -> anyhow::Result<Idle> {
        // What one connection alone makes the server keep counts for nobody.
        drop(server.reader()?);
        std::thread::sleep(Duration::from_secs(1));
        let before = server.processes.memory();
        let mut idlers = Idlers::gather(server.door, server.mailbox, connections)?;
        std::thread::sleep(Duration::from_secs(2));
        let memory = (server.processes.memory() - before) * 1_024.0 / number(connections);
        let (mut ways, mut missed, mut cpu) = (Vec::new(), 0, Duration::ZERO);
        let rounds = self.options.times(12);
        for _ in 0..rounds {
            let wanted = idlers.exists() + 1;
            let at = server.processes.cpu();
            let (sent, seen) = std::thread::scope(|scope| {
                let watching = scope.spawn(|| idlers.until(wanted, PATIENCE));
                let sent = deliver();
                let seen = watching.join().map_err(|_| anyhow::anyhow!("the watcher died"))?;
                anyhow::Ok((sent?, seen?))
            })?;
            for seen in seen {
                match seen {
                    Some(seen) => ways.push(milliseconds(seen.saturating_duration_since(sent))),
                    None => missed += 1,
                }
            }
            std::thread::sleep(Duration::from_millis(700));
            cpu += server.processes.cpu().saturating_sub(at);
        }
        ways.sort_by(f64::total_cmp);
        let way = |share: usize| ways.get(ways.len() * share / 100).copied().unwrap_or(f64::NAN);
        Ok(Idle { half: way(50), most: way(99), missed, memory, cpu: milliseconds(cpu) / number(rounds) })
    }

    /// Many sessions of some members, each doing one thing after the other, all at once.
    fn work(&self) -> anyhow::Result<()> {
        let name = "work";
        if !self.options.wants(name) {
            return Ok(());
        }
        let messages = self.options.messages();
        let desk = self.runtime.block_on(Desk::start(self.dir.path().join("desk-at-work"), self.dns, 4, messages))?;
        // What is kept of messages is made once, and not while the sessions are at it.
        let mut client = Client::connect(desk.door())?;
        client.command("SELECT acme/Open")?;
        client.command("FETCH 1:* (UID ENVELOPE)")?;
        let sessions = 10 * desk.doors.len();
        let steps = self.options.times(400);
        let mut workers = Vec::with_capacity(sessions);
        for n in 0..sessions {
            let member = n % desk.doors.len();
            workers.push((member, Worker::connect(&desk.doors[member], &WORKPLACES, n as u64)?));
        }
        let (before, cpu, start) = (desk.processes.memory(), desk.processes.cpu(), Instant::now());
        let over = AtomicBool::new(false);
        let (workers, most) = std::thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let mut most = before;
                while !over.load(Ordering::Relaxed) {
                    most = desk.processes.memory().max(most);
                    std::thread::sleep(Duration::from_millis(200));
                }
                most
            });
            let work = |(member, mut worker): (usize, Worker)| {
                (0..steps).try_for_each(|_| worker.step()).with_context(|| format!("a session of member {member}"))?;
                anyhow::Ok((member, worker))
            };
            let working: Vec<_> = workers.into_iter().map(|worker| scope.spawn(move || work(worker))).collect();
            let died = |_| anyhow::anyhow!("a session died");
            let done: anyhow::Result<Vec<_>> =
                working.into_iter().map(|one| one.join().map_err(died).and_then(|done| done)).collect();
            over.store(true, Ordering::Relaxed);
            let most = watching.join().map_err(died)?;
            anyhow::Ok((done?, most))
        })?;
        let (took, cpu) = (start.elapsed().as_secs_f64(), desk.processes.cpu().saturating_sub(cpu));
        let commands: u64 = workers.iter().map(|(_, worker)| worker.commands).sum();
        let gestures: u64 = workers.iter().map(|(_, worker)| worker.gestures).sum();
        // Everybody looks once more, when nobody does anything any more.
        let left = workers.into_iter().map(|(member, worker)| Ok((member, worker.finish()?)));
        work::agree(&left.collect::<anyhow::Result<Vec<_>>>()?, &["INBOX"])?;
        let mut there = 0;
        for mailbox in STATES {
            let answer = client.command(&format!("STATUS {mailbox} (MESSAGES)"))?;
            there += work::messages(answer).with_context(|| format!("STATUS {mailbox}"))?;
        }
        ensure!(there == messages, "{there} of {messages} messages are there");
        desk.verify()?;
        let cpu = milliseconds(cpu) / number(usize::try_from(commands)?);
        println!(
            "\n{name}, {sessions} sessions in {messages} messages: {commands} commands, {gestures} of them gestures, \
             {:.0}/s, CPU {cpu:.2} ms; {before:.0} MiB before, at most {most:.0}; all saw the same, and right",
            f64::from(u32::try_from(commands)?) / took
        );
        ensure!(most <= before + WORK_MEMORY, "memory is not bounded: {before:.0} MiB before, {most:.0} at most");
        desk.stop()
    }

    /// What a mail costs a desk of many members who read by IMAP alone.
    fn intake(&self) -> anyhow::Result<()> {
        let name = "intake";
        if !self.options.wants(name) {
            return Ok(());
        }
        println!("\nplain mail of 8 KiB, 10 sessions          taken/s   CPU ms");
        let mut first = None;
        for members in [5, 50, 200] {
            let dir = self.dir.path().join(format!("desk-{members}"));
            let mails = mails::new_ones(if self.options.quick { 500 } else { 3_000 });
            let taken = number(mails.len());
            let (took, cpu) = self.runtime.block_on(async {
                let desk = Desk::start(dir, self.dns, members, 0).await?;
                let cpu = desk.processes.cpu();
                let (took, _) = load::send_all(desk.smtp, 10, Arc::new(mails)).await?;
                let cpu = desk.processes.cpu().saturating_sub(cpu);
                desk.stop()?;
                anyhow::Ok((took, cpu))
            })?;
            let cpu = milliseconds(cpu) / taken;
            let first = *first.get_or_insert(cpu);
            let times = format!("{:.2} times that of 5", cpu / first);
            println!("{name}, {members:>3} members {:>32.0} {cpu:>8.2}   {times}", taken / took.as_secs_f64());
        }
        Ok(())
    }
}

/// Where those who work look, and put what they move: from each of them a ticket can be taken back.
const WORKPLACES: [&str; 7] =
    ["INBOX", "acme/Open", "acme/Pending", "acme/Closed", "\"acme/Members/Member 1\"", "Archive", "Trash"];
/// Mailboxes that have each message once.
const STATES: [&str; 5] = ["acme/Open", "acme/Pending", "acme/Closed", "Junk", "Trash"];
/// MiB that all who work may cost together: their answers on the way, what is read of messages, and lists of
/// mailboxes.
const WORK_MEMORY: f64 = 150.0;

const CASES: [&str; 13] = [
    "connect, TLS, LOGIN",
    "SELECT",
    "FETCH 1:* (FLAGS UID)",
    "FETCH 1:* (UID ENVELOPE), the first time",
    "FETCH 1:* (UID ENVELOPE)",
    "FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS ...])",
    "FETCH 1:200 BODY.PEEK[]",
    "UID SEARCH FROM",
    "UID SEARCH SUBJECT",
    "UID SEARCH TEXT, no index",
    "APPEND of 4 KiB, 1 connection",
    "APPEND of 4 KiB, 10 connections",
    "STATUS (MESSAGES UNSEEN)",
];
const IDLE: [&str; 2] = ["IDLE, 100 connections", "IDLE, 1000 connections"];

/// Messages of customers whose number begins with 77.
fn customers_from(messages: usize) -> usize {
    (0..messages).filter(|n| (n / 2).to_string().starts_with("77")).count()
}

fn print(name: &str, wanted: Option<f64>, ours: Cost, theirs: Option<Cost>) {
    let two = |cost: Option<Cost>| match cost {
        Some(Cost { time, cpu }) => format!("{time:>9.2} {cpu:>8.2}"),
        None => format!("{:>9} {:>8}", "-", "-"),
    };
    let times = |of: fn(&Cost) -> f64| match theirs {
        // Too little to be seen in the kernel's ticks.
        Some(theirs) if of(&ours) > 0.0 => format!("{:.1} x", of(&theirs) / of(&ours)),
        _ => "-".to_owned(),
    };
    let faster = theirs.map(|theirs| theirs.time / ours.time);
    let verdict = match (wanted, faster) {
        (Some(wanted), Some(faster)) => {
            format!("{wanted:.0} x {}", if faster >= wanted { "holds" } else { "DOES NOT HOLD" })
        }
        _ => String::new(),
    };
    let (time, cpu) = (times(|cost| cost.time), times(|cost| cost.cpu));
    println!("{name:<46} {} {} {time:>7} {cpu:>6}  {verdict}", two(theirs), two(Some(ours)));
}

/// What idling came to.
struct Idle {
    /// Milliseconds from the `250` or `OK` of a message until a connection was told: the median.
    half: f64,
    /// The 99th percentile.
    most: f64,
    /// Connections that were not told in time, of all messages.
    missed: usize,
    /// KiB a connection.
    memory: f64,
    /// Milliseconds of processor time a message.
    cpu: f64,
}

impl Idle {
    fn print(&self, name: &str, wanted: Option<(f64, f64, f64)>) {
        let Self { half, most, missed, memory, cpu } = *self;
        println!(
            "{name:<32} seen after {half:>6.1} ms, p99 {most:>7.1} ms, {missed} missed; CPU {cpu:.0} ms a message; \
             {memory:.0} KiB a connection"
        );
        if let Some((wanted_half, wanted_most, wanted_memory)) = wanted {
            let holds = |holds| if holds { "holds" } else { "DOES NOT HOLD" };
            println!(
                "  wanted: {wanted_half:.0} ms {}, p99 {wanted_most:.0} ms {}, none missed {}, {wanted_memory:.0} KiB {}",
                holds(half <= wanted_half),
                holds(most <= wanted_most),
                holds(missed == 0),
                holds(memory <= wanted_memory)
            );
        }
    }
}
