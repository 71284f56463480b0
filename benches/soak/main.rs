//! Whether a desk under mixed load stays as it is: new mail, answers of customers and members,
//! bounces, mail servers that are slow, broken, silent or refuse, and members who read, flag and move
//! in their mail clients.
//!
//! ```text
//! cargo bench --bench soak                     half an hour
//! cargo bench --bench soak -- --minutes 3      a look
//! cargo bench --bench soak -- --rate 10        so many new mails a second instead of 5
//! cargo bench --bench soak -- --dir DIR        the store there instead of in /var/tmp
//! ```
//!
//! The daemon is the release binary with its defaults but for the rates of one address, since all load
//! comes from one. It delivers directly, to mail servers of the bench's own on loopback addresses.
//! At the end every server is mended and what waits is tried again: nothing may be left. What the
//! lines mean is in `docs/performance.md`.

#[path = "../imap/client.rs"]
#[expect(dead_code, reason = "imap measures more of it")]
mod client;
mod desk_workers;
#[path = "../mail_flow/load.rs"]
#[expect(dead_code, reason = "mail_flow sends many at once")]
mod load;
#[path = "../mail_flow/machine.rs"]
#[expect(dead_code, reason = "mail_flow measures the disk, too")]
mod machine;
#[path = "../mail_flow/mails.rs"]
#[expect(dead_code, reason = "people here write otherwise")]
mod mails;
#[path = "../mail_flow/ours.rs"]
#[expect(dead_code, reason = "mail_flow has one next server")]
mod ours;
mod people;
mod servers;
#[path = "../mail_flow/sink.rs"]
#[expect(dead_code, reason = "mail_flow has servers of another kind")]
mod sink;
#[path = "../imap/work.rs"]
#[expect(dead_code, reason = "imap counts what is there, too")]
mod work;

#[path = "../../tests/it/kit/dns.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "it is the tests', which ask more of it and may panic")]
mod dns;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

use client::Door;
use desk_workers::Workers;
use dns::Dns;
use ours::{Desk, Settings};
use people::People;
use servers::Servers;

/// How often memory and descriptors are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How long the queue may take to empty once every server is mended.
const PATIENCE: Duration = Duration::from_mins(5);
/// More than this in the last third over the second is growth: a share, and so many MiB of noise.
const GROWTH: (f64, f64) = (1.05, 3.0);
/// Descriptors that come and go with connections.
const DESCRIPTORS: usize = 40;

fn main() -> ExitCode {
    let done = Options::read().and_then(|options| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(soak(options))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    time: Duration,
    rate: u32,
    dir: PathBuf,
}

impl Options {
    fn read() -> anyhow::Result<Self> {
        let mut options = Self { time: Duration::from_mins(30), rate: 5, dir: "/var/tmp".into() };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} wants a value"));
            match argument.as_str() {
                "--minutes" => options.time = Duration::from_mins(value()?.parse()?),
                "--rate" => options.rate = value()?.parse()?,
                "--dir" => options.dir = value()?.into(),
                // What cargo says of itself.
                "--bench" => {}
                other => bail!("unknown argument {other}; the head of benches/soak/main.rs tells the known ones"),
            }
        }
        ensure!(options.rate > 0, "--rate wants at least 1");
        Ok(options)
    }
}

/// What was seen of the daemon at one time.
struct Look {
    memory: f64,
    descriptors: usize,
}

async fn soak(options: Options) -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("soak").tempdir_in(&options.dir)?;
    let dns = Dns::start().await;
    let (servers, copies) = Servers::start(&dns).await?;
    let relay = format!("mode = \"direct\"\nport = {}\nallow_loopback = true", servers.port);
    // The load is nobody's rate and looks like itself.
    let limits = "look_alike = 1000000\n";
    let readers = &people::MEMBERS;
    let settings = Settings { readers, relay, name_server: dns.servers()[0].parse()?, limits, imap: true };
    let desk = Desk::start(dir.path(), "desk", &settings).await?;
    let config = dir.path().join("desk/guichet.toml");
    let people = People::start(desk.address, options.rate, copies);
    let (address, passwords) = desk.imap.clone().context("nobody may log in")?;
    let door = |(user, password): (&&str, _)| Door { address, user: (*user).to_owned(), password };
    let workers = Workers::start(&people::MEMBERS.iter().zip(passwords).map(door).collect::<Vec<_>>());

    println!("minute     mails    copies    waiting       MiB  descriptors   CPU ms a mail");
    let start = Instant::now();
    let mut looks = Vec::new();
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut minute = 0;
    while start.elapsed() < options.time {
        ticks.tick().await;
        let look = Look { memory: desk.processes.memory(), descriptors: descriptors(&desk)? };
        if start.elapsed().as_secs() / 60 > minute {
            minute += 1;
            let (mails, copies) = (people.sent(), servers.taken());
            let cpu = desk.processes.cpu().as_secs_f64() * 1_000.0 / f64::from(mails.max(1));
            println!(
                "{minute:>6} {mails:>9} {copies:>9} {:>10} {:>9.1} {:>12} {cpu:>15.2}",
                waiting(&config).await?,
                look.memory,
                look.descriptors,
            );
        }
        looks.push(look);
    }

    let resting = tokio::task::spawn_blocking(move || workers.stop()).await??;
    let sent = people.stop().await?;
    servers.mend();
    let emptying = Instant::now();
    loop {
        let left = retry_all(&config).await?;
        if left == 0 {
            break;
        }
        ensure!(emptying.elapsed() < PATIENCE, "{left} copies still wait {PATIENCE:?} after every server was mended");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    println!("the queue was empty {:.0} seconds after every server was mended", emptying.elapsed().as_secs_f64());
    let (commands, gestures) = tokio::task::spawn_blocking(move || resting.finish()).await??;
    println!("mail clients: {commands} commands, {gestures} of them gestures; all saw the same, and right");
    let last = descriptors(&desk)?;
    let held = desk.stop()?;
    println!("verified: {} tickets, {} messages of {sent} mails sent", held.tickets, held.messages);
    judge(&looks, last)
}

/// Whether memory and descriptors stayed what they were after the first third.
fn judge(looks: &[Look], last: usize) -> anyhow::Result<()> {
    let third = looks.len() / 3;
    let count = f64::from(u32::try_from(third.max(1))?);
    let mean = |looks: &[Look]| looks.iter().take(third).map(|look| look.memory).sum::<f64>() / count;
    let (before, after) = (mean(&looks[third..2 * third]), mean(&looks[2 * third..]));
    let most = looks.iter().map(|look| look.descriptors).max().unwrap_or(0);
    let warm = looks[third..2 * third].iter().map(|look| look.descriptors).max().unwrap_or(0);
    println!("memory: {before:.1} MiB in the second third, {after:.1} MiB in the last");
    println!("descriptors: at most {warm} in the second third, {most} in all, {last} at the end");
    ensure!(after <= before * GROWTH.0 + GROWTH.1, "memory grows: {before:.1} to {after:.1} MiB");
    ensure!(last <= warm && most <= warm + DESCRIPTORS, "descriptors are not given back: {warm}, then {most}, {last}");
    println!("flat");
    Ok(())
}

fn descriptors(desk: &Desk) -> anyhow::Result<usize> {
    let process = desk.processes.0.first().context("the daemon has no process")?;
    Ok(fs::read_dir(format!("/proc/{process}/fd"))?.count())
}

/// How many copies wait, by the daemon's own count.
async fn waiting(config: &Path) -> anyhow::Result<f64> {
    let text = guichet(config, &["metrics"]).await?;
    let count = |line: &str| line.strip_prefix("guichet_queue_copies")?.rsplit(' ').next()?.parse::<f64>().ok();
    Ok(text.lines().filter_map(count).sum::<f64>())
}

/// Has all that waits tried again; how much that is.
async fn retry_all(config: &Path) -> anyhow::Result<usize> {
    let list: Value = serde_json::from_str(&guichet(config, &["queue", "list", "--json"]).await?)?;
    let copies = list["copies"].as_array().context("the queue is no list")?;
    for copy in copies.iter().filter(|copy| copy["state"] == "deferred") {
        // It may be on its way just now.
        let _ = guichet(config, &["queue", "retry", copy["id"].as_str().context("a copy has no id")?]).await;
    }
    Ok(copies.len())
}

async fn guichet(config: &Path, args: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guichet"));
    command.args(args).arg("--config").arg(config).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
