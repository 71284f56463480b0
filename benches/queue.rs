//! A long queue that nothing can be done about: what it costs a daemon to sit on it, and a postmaster
//! to look at it.
//!
//! `cargo bench --bench queue [-- --copies N]`. So many copies, 100 of a message, wait once for one
//! smarthost that is not there, and once for a thousand domains whose name server is not there. The
//! daemon is the binary, with its defaults. With `--profile dev` it is the debug build.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use guichet::actions::post::Content;
use guichet::actions::ticket::{self, Composition, Worker};
use guichet::actions::{Act, ActionError, Actor, find, property};
use guichet::config::Config;
use guichet::daemon;
use guichet::desk::address::Mailbox;
use guichet::desk::command::Asked;
use guichet::desk::entry::Door;
use guichet::desk::language::Language;
use guichet::desk::ticket::Priority;
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};

/// Readers of one message.
const READERS: usize = 100;
const DOMAINS: usize = 1_000;
/// How long the daemon is watched, and for how long at first it may do as it likes.
const WATCHED: Duration = Duration::from_mins(1);
const SETTLES: Duration = Duration::from_secs(20);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let copies = match arguments[..] {
        [] => 100_000,
        ["--copies", copies] => copies.parse().expect("a number of copies"),
        _ => panic!("usage: cargo bench --bench queue [-- --copies N]"),
    };
    let dead = dead_port();
    println!(
        "{copies} copies wait                      resident  at most  CPU of one core  summary  list  hold  release"
    );
    for (name, relay) in [
        ("for one smarthost", format!("mode = \"smarthost\"\nsmarthost = \"smtp://127.0.0.1:{dead}\"")),
        ("for 1,000 domains", "mode = \"direct\"".to_owned()),
    ] {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory to work in");
        let file = dir.path().join("guichet.toml");
        let config = format!(
            "hostname = \"mx.desk.example.org\"\ndomains = [\"desk.example.org\"]\ndata_dir = \"{}\"\n\
             postmaster = \"acme\"\n[smtp]\nlisten = [\"127.0.0.1:0\"]\n[submission]\nlisten_tls = []\nlisten = []\n[imap]\nlisten_tls = []\n\
             [dns]\nresolvers = [\"127.0.0.1:{dead}\"]\n[relay]\n{relay}\n",
            dir.path().join("data").display()
        );
        fs::write(&file, config).expect("a config");
        fs::create_dir_all(dir.path().join("data")).expect("a data directory");
        tokio::runtime::Runtime::new().expect("a runtime").block_on(fill(&file, copies));
        watch(name, &file, copies);
    }
}

/// A port of loopback where nobody listens, by TCP or UDP.
fn dead_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Queues the copies.
async fn fill(file: &Path, copies: usize) {
    let config = Config::load(file).expect("a good config");
    let opened = daemon::open(&config).await.unwrap_or_else(|_| panic!("a store"));
    let begun = Instant::now();
    for message in 0..copies.div_ceil(READERS) {
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let number = message * READERS + reader;
                let address = format!("reader{number}@domain{}.example", number % DOMAINS);
                Mailbox::new("A reader", address.parse().expect("a good address"))
            })
            .collect();
        let made = opened.store.transact(|tx| {
            let now = Timestamp::now();
            let trace = Some(opened.desk.mint_trace());
            let act = Act { desk: &opened.desk, now, door: Door::Cli, actor: Actor::System, trace, client: None };
            if message == 0 {
                let new = property::New {
                    slug: "acme".parse().expect("a good slug"),
                    name: "Acme".to_owned(),
                    addresses: Vec::new(),
                    public: None,
                    language: Language::En,
                };
                property::add(tx, &act, new)?;
            }
            let property = find::property(tx, "acme")?;
            let composition = Composition {
                requester: readers[0].clone(),
                cc: readers[1..].to_vec(),
                followers: Vec::new(),
                priority: Priority::Normal,
                tags: Vec::new(),
                worker: Worker::Author,
            };
            let content = Content {
                message_id: Some(act.desk.mint()),
                date: Some(now),
                subject: "News".to_owned(),
                text: "Hello.".to_owned(),
                attachments: Vec::new(),
                raw: tx.put_raw(b"Subject: News\r\n\r\nHello.\r\n".to_vec())?,
                named: Vec::new(),
                mentioned: Vec::new(),
                conversation: None,
                verdict: None,
                arrived_at: None,
                from: None,
                asked: Asked::default(),
            };
            ticket::compose(tx, &act, &property, composition, content)?;
            Ok::<_, ActionError>(())
        });
        made.await.expect("a commit");
    }
    eprintln!("queued in {:.0} s", begun.elapsed().as_secs_f64());
    opened.store.close().await.expect("an orderly end");
}

/// Runs the daemon on them for a while.
fn watch(name: &str, file: &Path, copies: usize) {
    let log = File::create(file.with_extension("log")).expect("a log");
    let mut child = guichet(file, &["serve"]).stderr(log).spawn().expect("the daemon");
    sleep(SETTLES);
    let before = processor(&child);
    sleep(WATCHED);
    let share = (processor(&child) - before) / WATCHED.as_secs_f64();
    let (now, most) = (memory(&child, "VmRSS:"), memory(&child, "VmHWM:"));
    let (summary, _) = run(file, &["queue", "summary", "--json"]);
    let (list, text) = run(file, &["queue", "list", "--json"]);
    let listed = text.matches("\"ticket\":").count();
    assert_eq!(listed, copies, "all of them are listed, and none has failed");
    let (hold, _) = run(file, &["queue", "hold", "--all"]);
    let (release, text) = run(file, &["queue", "release", "--all"]);
    assert!(text.starts_with(&copies.to_string()), "{text}");
    println!(
        "{name:<38} {now:>4} MiB {most:>4} MiB {:>14.1} % {summary:>6.1} s {list:>3.0} s {hold:>3.0} s {release:>6.0} s",
        100.0 * share
    );
    let most = memory(&child, "VmHWM:");
    println!("  the most after a postmaster was at it  {most:>4} MiB");
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::TERM).expect("it runs");
    assert!(child.wait().expect("it ran").success(), "an orderly end");
}

fn guichet(file: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guichet"));
    command.args(args).arg("--config").arg(file);
    command
}

/// How many seconds a command took, and what it printed.
fn run(file: &Path, args: &[&str]) -> (f64, String) {
    let begun = Instant::now();
    let output = guichet(file, args).output().expect("a command");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    (begun.elapsed().as_secs_f64(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A line of `/proc/PID/status`, in MiB.
fn memory(child: &Child, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it runs");
    let value = status.lines().find_map(|text| text.strip_prefix(line)).expect("the kernel tells it");
    value.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// Seconds of processor time.
fn processor(child: &Child) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("it runs");
    // The name, in brackets, may hold blanks.
    let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
    let ticks: u32 = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u32>().expect("ticks")).sum();
    // Linux counts a hundred a second there, whatever it counts inside.
    f64::from(ticks) / 100.0
}
