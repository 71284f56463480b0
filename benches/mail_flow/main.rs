//! How fast mail flows through the desk: our daemon and Postfix in turn, in one run, on loopback.
//!
//! ```text
//! cargo bench --bench mail_flow                      everything, about three minutes
//! cargo bench --bench mail_flow -- --quick           a look, a minute or two
//! cargo bench --bench mail_flow -- --only signed     the cases with this in their names
//! cargo bench --bench mail_flow -- --without-peers   without Postfix, which wants root
//! cargo bench --bench mail_flow -- --dir DIR         stores and queues there instead of /var/tmp
//! ```
//!
//! Both servers are real processes with durable settings and their files on the same file system;
//! Debian's smtp-sink is the next server of both. Load, name server, sink and server share the
//! machine, so rates are compared within one run; processor time a message is steadier. What the
//! lines mean is in `docs/performance.md`.

mod load;
mod machine;
mod mails;
mod ours;
mod peer;
mod sink;

#[path = "../../tests/it/kit/dns.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "it is the tests', which ask more of it and may panic")]
mod dns;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use dns::Dns;
use machine::Processes;
use mails::{Domains, Mail};
use ours::{Desk, Settings, smarthost};
use peer::{Postfix, Work};
use sink::{Clock, Sink};

/// Who gets copies where there is fan-out.
const READERS: [&str; 3] = ["alice@team.example", "bob@team.example", "chris@team.example"];
/// The longest that relaying what was accepted may take.
const PATIENCE: Duration = Duration::from_mins(2);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mail_flow: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let options = Options::read()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(bench(options))
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
                other => bail!("unknown argument {other}; the head of benches/mail_flow/main.rs tells the known ones"),
            }
        }
        Ok(options)
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|word| name.contains(word.as_str()))
    }

    /// Messages of one run.
    fn ours(&self) -> u32 {
        if self.quick { 1_000 } else { 5_000 }
    }

    fn theirs(&self) -> u32 {
        if self.quick { 500 } else { 2_000 }
    }
}

/// What one run came to.
#[derive(Clone, Copy)]
struct Outcome {
    messages: u32,
    accepted: Duration,
    /// Until the last copy was at the sink.
    relayed: Option<Duration>,
    cpu: Duration,
    /// The most that was seen, in MiB.
    memory: f64,
    /// From the connection to the `250`.
    median: Duration,
    /// Messages for each time that our journal waited for the disk, where nothing else is written.
    group: Option<f64>,
}

impl Outcome {
    fn accepted(&self) -> f64 {
        f64::from(self.messages) / self.accepted.as_secs_f64()
    }

    fn relayed(&self) -> Option<f64> {
        Some(f64::from(self.messages) / self.relayed?.as_secs_f64())
    }

    fn cpu(&self) -> f64 {
        self.cpu.as_secs_f64() * 1_000.0 / f64::from(self.messages)
    }

    fn print(&self, name: &str) {
        let relayed = self.relayed().map_or("-".to_owned(), |rate| format!("{rate:.0}"));
        let group = self.group.map_or("-".to_owned(), |group| format!("{group:.1}"));
        println!(
            "{name:<46} {:>7.0} {relayed:>9} {:>7.2} {:>7.1} {:>6.0} {group:>6}",
            self.accepted(),
            self.cpu(),
            self.median.as_secs_f64() * 1_000.0,
            self.memory
        );
    }
}

/// A number of ours beside what it must reach.
struct Aim {
    what: &'static str,
    is: f64,
    unit: &'static str,
    bound: f64,
    /// Otherwise at most.
    at_least: bool,
}

impl Aim {
    fn print(&self) {
        let Self { what, is, unit, bound, at_least } = self;
        let (word, holds) = if *at_least { ("at least", is >= bound) } else { ("at most", is <= bound) };
        println!(
            "{:<62} {is:>8.2} {unit:<4} {word} {bound:>4} {}",
            what,
            if holds { "holds" } else { "DOES NOT HOLD" }
        );
    }
}

/// Everything that the runs share.
struct Bench {
    options: Options,
    dir: tempfile::TempDir,
    dns: Dns,
    domains: Domains,
    runs: u32,
}

async fn bench(options: Options) -> anyhow::Result<()> {
    let start = Instant::now();
    let dir = tempfile::Builder::new().prefix("mail_flow").tempdir_in(&options.dir)?;
    let dns = Dns::start().await;
    let domains = Domains::new()?;
    // Unsigned mail is of a domain that says nothing: an answer that can be remembered.
    dns.txt("example.com", "v=spf1 ?all").txt("_dmarc.example.com", "v=DMARC1; p=none");
    // Walked up to for the organisation; here an answer stands for an absence that is remembered.
    dns.txt("_dmarc.com", "none").txt("_dmarc.example", "none");
    for (name, value) in domains.records() {
        dns.txt(&name, &value);
    }
    let mut bench = Bench { options, dir, dns, domains, runs: 0 };
    bench.run().await?;
    println!("\n{:.0} seconds", start.elapsed().as_secs_f64());
    Ok(())
}

impl Bench {
    async fn run(&mut self) -> anyhow::Result<()> {
        let mut aims = Vec::new();
        if self.options.wants("disk") {
            self.disk()?;
        }
        println!(
            "{:<46} {:>7} {:>9} {:>7} {:>7} {:>6} {:>6}",
            "8 KiB messages, a connection each", "taken/s", "relayed/s", "CPU ms", "250 ms", "MiB", "a sync"
        );
        self.plain(&mut aims).await?;
        self.fan_out(&mut aims).await?;
        self.source().await?;
        self.quiet(&mut aims).await?;
        println!();
        aims.iter().for_each(Aim::print);
        Ok(())
    }

    /// What the disk allows anybody who promises durability.
    fn disk(&self) -> anyhow::Result<()> {
        let time = Duration::from_secs(if self.options.quick { 1 } else { 2 });
        for group in [1, 16, 128] {
            let rate = machine::appends(self.dir.path(), group, time)?;
            println!("append + fdatasync of 8 KiB, in groups of {group:<4} {rate:>8.0}/s");
        }
        println!();
        Ok(())
    }

    /// Accepting: Postfix relays meanwhile, as it does; ours makes tickets that nobody reads.
    async fn plain(&mut self, aims: &mut Vec<Aim>) -> anyhow::Result<()> {
        let mut peer = None;
        for sessions in [1, 10, 50] {
            let name = format!("plain, {sessions} sessions");
            if !self.options.wants(&name) {
                continue;
            }
            let theirs = self.postfix(&name, sessions, Work::Relay).await?;
            if sessions == 10 {
                peer = theirs;
                self.postfix("plain, 10 sessions, kept on hold", sessions, Work::Hold).await?;
            }
            let count = if sessions == 1 { self.options.ours() / 2 } else { self.options.ours() };
            let ours = self.ours(&name, sessions, &[], mails::new_ones(count), count).await?;
            match (sessions, theirs) {
                (10, Some(theirs)) => {
                    let what = "accepted/s plain, 10 sessions, against Postfix";
                    aims.push(Aim {
                        what,
                        is: ours.accepted() / theirs.accepted(),
                        unit: "x",
                        bound: 5.0,
                        at_least: true,
                    });
                    let what = "CPU of an accepted message, plain";
                    aims.push(Aim { what, is: ours.cpu(), unit: "ms", bound: 0.5, at_least: false });
                }
                (50, _) => {
                    let what = "memory, 50 busy sessions";
                    aims.push(Aim { what, is: ours.memory, unit: "MiB", bound: 150.0, at_least: false });
                }
                _ => {}
            }
        }
        let name = "half answers, 10 sessions";
        let count = self.options.ours();
        if self.options.wants(name) {
            let tickets = mails::tickets_of_half_answers(count);
            self.ours(name, 10, &[], mails::half_answers(count), tickets).await?;
        }
        let name = "signed, half answers, 10 sessions";
        if self.options.wants(name) {
            let tickets = mails::tickets_of_half_answers(count);
            let ours = self.ours(name, 10, &[], self.domains.signed(count)?, tickets).await?;
            if let Some(peer) = peer {
                let what = "accepted/s signed and verified, against Postfix plain";
                aims.push(Aim { what, is: ours.accepted() / peer.accepted(), unit: "x", bound: 2.5, at_least: true });
            }
            let what = "CPU of an accepted message, signed";
            aims.push(Aim { what, is: ours.cpu(), unit: "ms", bound: 1.2, at_least: false });
        }
        Ok(())
    }

    /// To three readers, each copy signed.
    async fn fan_out(&mut self, aims: &mut Vec<Aim>) -> anyhow::Result<()> {
        let name = "signed for 3 readers, 10 sessions";
        if !self.options.wants(name) {
            return Ok(());
        }
        let theirs = self.postfix(name, 10, Work::SignForThree).await?;
        let count = self.options.theirs();
        let ours = self.ours(name, 10, &READERS, mails::new_ones(count), count).await?;
        if let (Some(ours), Some(theirs)) = (ours.relayed(), theirs.and_then(|theirs| theirs.relayed())) {
            let what = "relayed/s, 3 signed copies, against Postfix + OpenDKIM";
            aims.push(Aim { what, is: ours / theirs, unit: "x", bound: 2.0, at_least: true });
        }
        Ok(())
    }

    /// Debian's smtp-source, which says the same in every message.
    async fn source(&mut self) -> anyhow::Result<()> {
        let name = "smtp-source, 10 sessions";
        if !self.options.wants(name) {
            return Ok(());
        }
        if self.options.peers {
            let sink = Sink::start().await?;
            let run = self.name("postfix");
            let postfix = Postfix::start(self.dir.path(), &run, Work::Relay, sink.address).await?;
            self.smtp_source(&format!("Postfix, {name}"), postfix.address, &postfix.processes, Some(&sink)).await?;
        }
        let sink = Sink::start().await?;
        let run = self.name("guichet");
        let settings = Settings {
            readers: &[],
            relay: smarthost(sink.address),
            name_server: self.dns.servers()[0].parse()?,
            // One writer, one subject: without this, all but the first few would be kept together.
            limits: "look_alike = 1000000",
            imap: false,
        };
        let desk = Desk::start(self.dir.path(), &run, &settings).await?;
        let count = self.smtp_source(&format!("guichet, {name}"), desk.address, &desk.processes, None).await?;
        let held = desk.stop()?;
        ensure!(held.tickets == count, "{} tickets of {count} messages", held.tickets);
        Ok(())
    }

    async fn smtp_source(
        &self,
        name: &str,
        server: std::net::SocketAddr,
        processes: &Processes,
        sink: Option<&Sink>,
    ) -> anyhow::Result<u32> {
        let messages = self.options.theirs();
        let (cpu, start) = (processes.cpu(), Instant::now());
        let count = messages.to_string();
        let run = move || {
            Command::new("smtp-source")
                .args(["-l", "8192", "-s", "10", "-m", &count, "-f", "writer@example.com", "-t", mails::TO])
                .arg(server.to_string())
                .status()
        };
        // The name server goes on in this thread.
        let done = tokio::task::spawn_blocking(run)
            .await?
            .context("smtp-source can't be started; it is in Debian's package postfix")?;
        ensure!(done.success(), "smtp-source failed");
        let accepted = start.elapsed();
        let mut relayed = None;
        if let Some(sink) = sink {
            relayed = Some(sink.until(messages, PATIENCE).await? - start);
        }
        let (cpu, memory) = (processes.cpu().saturating_sub(cpu), processes.memory());
        Outcome { messages, accepted, relayed, cpu, memory, median: Duration::ZERO, group: None }.print(name);
        Ok(messages)
    }

    /// One message at a time: from its `250` to its first copy.
    async fn quiet(&mut self, aims: &mut Vec<Aim>) -> anyhow::Result<()> {
        if !self.options.wants("quiet") {
            return Ok(());
        }
        let mut clock = Clock::start()?;
        let run = self.name("guichet");
        let settings = Settings {
            readers: &READERS,
            relay: smarthost(clock.address),
            name_server: self.dns.servers()[0].parse()?,
            limits: "",
            imap: false,
        };
        let desk = Desk::start(self.dir.path(), &run, &settings).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let what = "memory, idle";
        aims.push(Aim { what, is: desk.processes.memory(), unit: "MiB", bound: 40.0, at_least: false });
        let mut ways = Vec::new();
        for mail in mails::new_ones(if self.options.quick { 50 } else { 300 }) {
            let accepted = load::send(desk.address, &mail).await?;
            let mut first = None;
            for _ in READERS {
                let next = tokio::time::timeout(PATIENCE, clock.offered.recv()).await?.context("the sink is gone")?;
                first.get_or_insert(next);
            }
            ways.extend(first.map(|first| first.saturating_duration_since(accepted).as_secs_f64() * 1_000.0));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ways.sort_by(f64::total_cmp);
        for (what, share, bound) in
            [("from 250 to the first copy, median", 50, 5.0), ("from 250 to the first copy, p99", 99, 50.0)]
        {
            let is = ways.get(ways.len() * share / 100).copied().unwrap_or_default();
            aims.push(Aim { what, is, unit: "ms", bound, at_least: false });
        }
        let messages = u32::try_from(ways.len())?;
        let held = desk.stop()?;
        ensure!(held.tickets == messages, "{} tickets of {messages} messages", held.tickets);
        Ok(())
    }

    async fn postfix(&mut self, name: &str, sessions: usize, work: Work) -> anyhow::Result<Option<Outcome>> {
        if !self.options.peers {
            return Ok(None);
        }
        let sink = Sink::start().await?;
        let run = self.name("postfix");
        let postfix = Postfix::start(self.dir.path(), &run, work, sink.address).await?;
        let copies = match work {
            Work::Relay => 1,
            Work::Hold => 0,
            Work::SignForThree => 3,
        };
        let mails = mails::new_ones(self.options.theirs());
        let outcome = measure(postfix.address, &postfix.processes, sessions, mails, copies, &sink).await?;
        drop(postfix);
        remove(&self.dir.path().join(run));
        outcome.print(&format!("Postfix, {name}"));
        Ok(Some(outcome))
    }

    async fn ours(
        &mut self,
        name: &str,
        sessions: usize,
        readers: &[&str],
        mails: Vec<Mail>,
        tickets: u32,
    ) -> anyhow::Result<Outcome> {
        let sink = Sink::start().await?;
        let run = self.name("guichet");
        let settings = Settings {
            readers,
            relay: smarthost(sink.address),
            name_server: self.dns.servers()[0].parse()?,
            limits: "",
            imap: false,
        };
        let desk = Desk::start(self.dir.path(), &run, &settings).await?;
        let (messages, copies) = (u32::try_from(mails.len())?, u32::try_from(readers.len())?);
        let mut outcome = measure(desk.address, &desk.processes, sessions, mails, copies, &sink).await?;
        let held = desk.stop()?;
        ensure!(held.tickets == tickets, "{name}: {} tickets, not {tickets}", held.tickets);
        ensure!(held.messages == messages, "{name}: {} of {messages} messages in the store", held.messages);
        remove(&self.dir.path().join(run));
        if readers.is_empty() {
            outcome.group = Some(f64::from(messages) / f64::from(held.groups.max(1)));
        }
        outcome.print(&format!("guichet, {name}"));
        Ok(outcome)
    }

    /// A name for the next run's folder.
    fn name(&mut self, server: &str) -> String {
        self.runs += 1;
        format!("{}-{server}", self.runs)
    }
}

/// Sends the mails, and waits until their copies are at the sink.
async fn measure(
    server: std::net::SocketAddr,
    processes: &Processes,
    sessions: usize,
    mails: Vec<Mail>,
    copies: u32,
    sink: &Sink,
) -> anyhow::Result<Outcome> {
    let messages = u32::try_from(mails.len())?;
    let watched = processes.clone();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let memory = std::thread::spawn(move || {
        let mut most: f64 = 0.0;
        loop {
            most = most.max(watched.memory());
            if stopped.recv_timeout(Duration::from_millis(300)) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                return most;
            }
        }
    });
    let (cpu, start) = (processes.cpu(), Instant::now());
    let (accepted, taken) = load::send_all(server, sessions, Arc::new(mails)).await?;
    let mut relayed = None;
    if copies > 0 {
        relayed = Some(sink.until(messages * copies, PATIENCE).await? - start);
    }
    let cpu = processes.cpu().saturating_sub(cpu);
    drop(stop);
    let memory = memory.join().map_err(|_| anyhow::anyhow!("memory could not be watched"))?;
    let median = taken.get(taken.len() / 2).copied().unwrap_or_default();
    Ok(Outcome { messages, accepted, relayed, cpu, memory, median, group: None })
}

/// What is left is removed with the whole folder at the end.
fn remove(dir: &Path) {
    let _ = std::fs::remove_dir_all(dir);
}
