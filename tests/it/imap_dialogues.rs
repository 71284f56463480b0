//! Dialogues of `fixtures/imap/*.imap`, held against a whole IMAP server with a desk behind it: each as
//! it stands, and each again with every octet on its own. Adding a case is adding a file.
//!
//! A line of a dialogue is
//! - `# …`, a comment;
//! - `! start tls|clear|guest`, how it begins: `tls`, where nothing else is said, is Alice logged in
//!   over TLS; `guest` has not logged in; `clear` is the port where TLS is begun by STARTTLS;
//! - `! errors N`, how many commands may make no sense before the server closes;
//! - `C: …`, what the client sends, with CRLF behind it, or `C> …` without; lines that follow each
//!   other are sent at once. `\r \n \0 \xHH` are octets, `\{40:ab}` is `ab` 40 times, and any other
//!   backslash is itself;
//! - `D: …`, what others do on the desk meanwhile: see [`Meanwhile`];
//! - `S: …`, a line of the server's answer;
//! - `= tls`, the client begins TLS here; `= closed`, the server has closed; `= a < b`, of two numbers
//!   that were said, the second is larger; `= a = b`, they are the same.
//!
//! `{name}` in a line of the server stands for whatever is there, up to what follows it in the line;
//! said again, by either side, it stands for the same, but for `{_}`. `{password}` is Alice's, and `{plain}` is her
//! login in the words of PLAIN. Bob's first ticket and Carol's letters are [`furnish`]ed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::BASE64;
use guichet::actions::{self, Act, ActionError, Actor, department, find, ticket};
use guichet::config::Config;
use guichet::daemon;
use guichet::desk::copy::Scope;
use guichet::desk::entry::Door;
use guichet::desk::ticket::{Priority, Status};
use guichet::imap::news::News;
use guichet::imap::server::{Deadlines, Server};
use guichet::intake::Intake;
use guichet::intake::gate::Gate;
use guichet::intake::looks::{LookAlikeCap, Looks};
use guichet::intake::quota::Quota;
use guichet::login::Logins;
use guichet::login::throttle::Throttle;
use guichet::metrics::Metrics;
use guichet::net::limits::{ConnectionLimits, Memory};
use guichet::net::resolver::resolver;
use guichet::net::stop::{self, Stopper};
use guichet::net::tls::{Acceptor, Certificates};
use guichet::smtp::body::Spool;
use guichet::smtp::server::Start;
use guichet::store::{Store, Tx};
use guichet::trust::Authenticator;
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::kit::desk::{TestDesk, content};
use super::kit::imap::{PATIENCE, Stream, encrypt, furnish};

const ALICE: &str = "alice@team.example";

/// Plays that go on at once.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn every_dialogue_holds_whole_and_octet_by_octet() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/imap");
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "imap"));
    paths.sort();
    assert!(paths.len() >= 20, "only {} dialogues in {}", paths.len(), folder.display());
    let only = std::env::var("GUICHET_TEST_DIALOGUE").ok();
    let scene = Arc::new(Scene::set().await);
    let mut plays = JoinSet::new();
    let mut failures = Vec::new();
    for path in paths {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        let dialogue = Arc::new(Dialogue::parse(&name, &std::fs::read_to_string(&path).unwrap()));
        for pieces in [Pieces::Whole, Pieces::Octets] {
            let (name, dialogue, scene) = (name.clone(), Arc::clone(&dialogue), Arc::clone(&scene));
            plays.spawn(async move {
                let held = scene.play(&dialogue, pieces).await;
                held.err().map(|difference| format!("{name}, {pieces:?}: {difference}"))
            });
            if plays.len() >= AT_ONCE {
                failures.extend(plays.join_next().await.unwrap().unwrap());
            }
        }
    }
    while let Some(held) = plays.join_next().await {
        failures.extend(held.unwrap());
    }
    failures.sort();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// How what the client says reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pieces {
    Whole,
    /// Each octet in a TLS record of its own, and no two records in one read.
    Octets,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    Member,
    Guest,
    Clear,
}

/// One thing after the other.
enum Turn {
    /// What the client says, if anything, and what is answered.
    Said(Vec<String>, Vec<String>),
    Meanwhile(String),
    Tls,
    Closed,
    Compare(String, char, String),
}

struct Dialogue {
    begin: Begin,
    errors: u32,
    turns: Vec<Turn>,
}

impl Dialogue {
    fn parse(name: &str, text: &str) -> Self {
        let mut dialogue = Self { begin: Begin::Member, errors: 10, turns: Vec::new() };
        for line in text.lines() {
            let (mark, rest) = line.split_at(line.len().min(2));
            let rest = rest.strip_prefix(' ').unwrap_or(rest);
            match mark {
                "" | "# " | "#" => {}
                "! " => dialogue.set(rest),
                "C:" | "C>" => {
                    let octets = if mark == "C:" { format!("{rest}\\r\\n") } else { rest.to_owned() };
                    match dialogue.turns.last_mut() {
                        Some(Turn::Said(said, answers)) if answers.is_empty() => said.push(octets),
                        _ => dialogue.turns.push(Turn::Said(vec![octets], Vec::new())),
                    }
                }
                "S:" => match dialogue.turns.last_mut() {
                    Some(Turn::Said(_, answers)) => answers.push(rest.to_owned()),
                    _ => dialogue.turns.push(Turn::Said(Vec::new(), vec![rest.to_owned()])),
                },
                "D:" => dialogue.turns.push(Turn::Meanwhile(rest.to_owned())),
                "= " => dialogue.turns.push(match rest.split(' ').collect::<Vec<_>>()[..] {
                    ["tls"] => Turn::Tls,
                    ["closed"] => Turn::Closed,
                    [one, how @ ("<" | "="), other] => {
                        Turn::Compare(one.to_owned(), how.chars().next().unwrap(), other.to_owned())
                    }
                    _ => panic!("{name}: what is {line:?}?"),
                }),
                _ => panic!("{name}: what is {line:?}?"),
            }
        }
        dialogue
    }

    fn set(&mut self, line: &str) {
        match line.split_once(' ').unwrap() {
            ("start", "tls") => self.begin = Begin::Member,
            ("start", "guest") => self.begin = Begin::Guest,
            ("start", "clear") => self.begin = Begin::Clear,
            ("errors", number) => self.errors = number.parse().unwrap(),
            _ => panic!("no setting {line}"),
        }
    }
}

/// A desk that was furnished, to be copied for each play.
struct Scene {
    desk: TestDesk,
    password: String,
    certificates: Certificates,
}

impl Scene {
    async fn set() -> Self {
        let mut desk = TestDesk::start().await;
        furnish(&desk).await;
        let password = desk.app_password(ALICE, "laptop").await;
        let certificates = desk.certificates();
        desk.stop().await;
        Self { desk, password, certificates }
    }

    async fn play(&self, dialogue: &Dialogue, pieces: Pieces) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        let data = self.desk.dir.path().join("data");
        copy(&daemon::store_dir(&data), &daemon::store_dir(&dir.path().join("data")));
        let file = self.desk.config_file();
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replace(&data.display().to_string(), &dir.path().join("data").display().to_string());
        let config = Config::parse(&text, &file).unwrap();
        let certificate = self.desk.certificate();
        let mut play = Play::begin(dir, &config, &self.certificates, certificate, dialogue, pieces).await;
        let plain = BASE64.encode(format!("\0{ALICE}\0{}", self.password).as_bytes());
        play.known.insert("password".to_owned(), self.password.clone());
        play.known.insert("plain".to_owned(), plain);
        if dialogue.begin == Begin::Member {
            let greeting = ["* OK [CAPABILITY {_}] {_}".to_owned()];
            play.said(&[], &greeting).await?;
            let welcome = ["login OK [CAPABILITY {_}] {_}".to_owned()];
            play.said(&[format!("login LOGIN {ALICE} \"{}\"\\r\\n", self.password)], &welcome).await?;
        }
        // One difference need not be the last, and all are told.
        let mut differences = Vec::new();
        for turn in &dialogue.turns {
            let held = match turn {
                Turn::Said(said, answers) => play.said(said, answers).await,
                Turn::Meanwhile(what) => {
                    play.meanwhile(what).await;
                    Ok(())
                }
                Turn::Tls => {
                    play.encrypt().await;
                    Ok(())
                }
                Turn::Closed => play.closed().await,
                Turn::Compare(one, how, other) => play.compare(one, *how, other),
            };
            differences.extend(held.err());
        }
        differences.extend(play.end().await.err());
        if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let there = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &there);
        } else {
            std::fs::copy(entry.path(), there).unwrap();
        }
    }
}

/// One play: a server on a desk of its own, and the client's end.
struct Play {
    store: Store,
    desk: Arc<actions::Desk>,
    stream: Option<Box<dyn Stream>>,
    certificate: PathBuf,
    came: Vec<u8>,
    pieces: Pieces,
    known: BTreeMap<String, String>,
    server: JoinSet<()>,
    _stopper: Stopper,
    _dir: TempDir,
}

impl Play {
    async fn begin(
        dir: TempDir,
        config: &Config,
        certificates: &Certificates,
        certificate: PathBuf,
        dialogue: &Dialogue,
        pieces: Pieces,
    ) -> Self {
        let daemon::Opened { store, desk } = daemon::open(config).await.unwrap();
        let (stopper, stop) = stop::channel();
        let news = Arc::new(News::default());
        let metrics = Arc::new(Metrics::default());
        // Nobody is asked of anything: no name server has this address.
        let resolver = resolver(&["127.0.0.1:9".to_owned()]).unwrap();
        let intake = Arc::new(Intake {
            store: store.clone(),
            desk: Arc::clone(&desk),
            trust: Authenticator::new(resolver, "mx.desk.example.org".to_owned()),
            looks: Looks::new(LookAlikeCap { count: 1_000, minutes: 10 }),
            quota: Quota::new(1_000),
            gate: Gate::open(1_000, 1_000),
        });
        let server = Server {
            hostname: "mx.desk.example.org".to_owned(),
            desk: guichet::imap::Desk {
                store: store.clone(),
                desk: Arc::clone(&desk),
                intake,
                append_limit: 100_000,
                rolls: Arc::default(),
                memory: Arc::new(Memory::new(1 << 20)),
            },
            logins: Arc::new(Logins {
                store: store.clone(),
                desk: Arc::clone(&desk),
                throttle: Throttle::new(100),
                metrics: Arc::clone(&metrics),
            }),
            news: Arc::clone(&news),
            tls: Some(Acceptor::for_mail(certificates).unwrap()),
            spool: Spool::open(&dir.path().join("spool"), Spool::MEMORY).unwrap(),
            connections: ConnectionLimits::new(1, 1),
            deadlines: Deadlines::default(),
            errors: dialogue.errors,
            metrics,
        };
        // Shorter than a record with one octet in it.
        let (ours, theirs) = tokio::io::duplex(if pieces == Pieces::Octets { 16 } else { 1 << 16 });
        let start = if dialogue.begin == Begin::Clear { Start::Plain } else { Start::Tls };
        let mut tasks = JoinSet::new();
        tasks.spawn(news.follow(store.clone(), stop.clone()));
        tasks.spawn(async move {
            server.converse(theirs, IpAddr::V4(Ipv4Addr::LOCALHOST), start, stop).await;
        });
        let mut play = Self {
            store,
            desk,
            stream: Some(Box::new(ours)),
            certificate,
            came: Vec::new(),
            pieces,
            known: BTreeMap::new(),
            server: tasks,
            _stopper: stopper,
            _dir: dir,
        };
        if start == Start::Tls {
            play.encrypt().await;
        }
        play
    }

    async fn encrypt(&mut self) {
        let clear = self.stream.take().unwrap();
        self.stream = Some(encrypt(&self.certificate, clear).await);
    }

    /// Says something and holds what comes against what is to come.
    async fn said(&mut self, said: &[String], expected: &[String]) -> Result<(), String> {
        let octets: Vec<u8> = said.iter().flat_map(|line| unescape(&self.fill(line))).collect();
        let pieces: Vec<&[u8]> = match self.pieces {
            Pieces::Whole => octets.chunks(octets.len().max(1)).collect(),
            Pieces::Octets => octets.chunks(1).collect(),
        };
        let stream = self.stream.as_mut().ok_or("the connection is closed")?;
        let (mut reading, mut writing) = tokio::io::split(stream);
        let write = async {
            for piece in pieces {
                // Whoever hangs up while we speak is seen to by the reader.
                if writing.write_all(piece).await.is_err() || writing.flush().await.is_err() {
                    return;
                }
            }
        };
        let came = &mut self.came;
        // Where a command's end is expected, all up to it is read, whatever it is.
        let last = expected.last().map(|line| line.split_inclusive(' ').next().unwrap_or_default());
        let tag = last.filter(|word| !matches!(*word, "* " | "+ ") && word.ends_with(' '));
        let read = async {
            let mut lines: Vec<String> = Vec::new();
            let is_over = |lines: &Vec<String>| match tag {
                Some(tag) => lines.last().is_some_and(|line| line.starts_with(tag)),
                None => lines.len() >= expected.len(),
            };
            while !expected.is_empty() && !is_over(&lines) {
                let Some(end) = came.windows(2).position(|two| two == b"\r\n") else {
                    match timeout(PATIENCE, reading.read_buf(came)).await {
                        Ok(Ok(octets)) if octets > 0 => continue,
                        _ => break,
                    }
                };
                lines.push(String::from_utf8_lossy(&came[..end]).into_owned());
                came.drain(..end + 2);
            }
            lines
        };
        let ((), lines) = tokio::join!(write, read);
        let mut differs = lines.len() != expected.len();
        let mut seen = String::new();
        for at in 0..lines.len().max(expected.len()) {
            let (line, wanted) = (lines.get(at), expected.get(at));
            if let (Some(line), Some(wanted)) = (line, wanted)
                && self.matches(line, wanted)
            {
                let _ = writeln!(seen, "  S: {line}");
                continue;
            }
            differs = true;
            let _ = line.map(|line| writeln!(seen, "! S: {line}"));
            let _ = wanted.map(|wanted| writeln!(seen, "  expected: {wanted}"));
        }
        if differs {
            return Err(format!("after {}\n{seen}", octets[..octets.len().min(300)].escape_ascii()));
        }
        Ok(())
    }

    /// A text with what is known in the place of its names.
    fn fill(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        for (name, value) in &self.known {
            filled = filled.replace(&format!("{{{name}}}"), value);
        }
        filled
    }

    /// Whether a line is as expected; learns what its names stand for.
    fn matches(&mut self, line: &str, expected: &str) -> bool {
        let expected = self.fill(expected);
        let mut known = Vec::new();
        let (mut line, mut rest) = (line, expected.as_str());
        while let Some((before, name, after)) = first_name(rest) {
            let Some(tail) = line.strip_prefix(before) else { return false };
            // A name that comes twice in one line.
            if let Some((_, value)) = known.iter().find(|(known, _)| *known == name && name != "_") {
                let Some(tail) = tail.strip_prefix(value) else { return false };
                (line, rest) = (tail, after);
                continue;
            }
            let end = match after.chars().next() {
                Some(next) => tail.find(next),
                None => Some(tail.len()),
            };
            let Some(end) = end.filter(|end| *end > 0) else { return false };
            known.push((name, &tail[..end]));
            (line, rest) = (&tail[end..], after);
        }
        if line != rest {
            return false;
        }
        let learned = known.into_iter().filter(|(name, _)| *name != "_");
        self.known.extend(learned.map(|(name, value)| (name.to_owned(), value.to_owned())));
        true
    }

    fn compare(&self, one: &str, how: char, other: &str) -> Result<(), String> {
        let number = |name: &str| {
            let text = name.parse().ok().map(|number: u64| number.to_string());
            let text = text.or_else(|| self.known.get(name).cloned());
            text.and_then(|text| text.parse::<u64>().ok()).ok_or_else(|| format!("{name} is no number"))
        };
        let (a, b) = (number(one)?, number(other)?);
        let holds = if how == '<' { a < b } else { a == b };
        holds.then_some(()).ok_or_else(|| format!("{one} {how} {other} is {a} {how} {b}"))
    }

    async fn closed(&mut self) -> Result<(), String> {
        let mut rest = std::mem::take(&mut self.came);
        let mut stream = self.stream.take().ok_or("the connection is closed already")?;
        let read = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        if read.is_err() {
            return Err("the server did not close".to_owned());
        }
        if rest.is_empty() { Ok(()) } else { Err(format!("behind the end came {}", rest.escape_ascii())) }
    }

    /// What is not over yet is ended, and nothing more may have been said.
    async fn end(mut self) -> Result<(), String> {
        if self.stream.is_some() {
            let bye = ["* BYE until next time".to_owned(), "end OK logged out".to_owned()];
            self.said(&["end LOGOUT\\r\\n".to_owned()], &bye).await?;
            self.closed().await?;
        }
        self.server.shutdown().await;
        self.store.close().await.map_err(|error| error.to_string())
    }

    /// Does what others do.
    async fn meanwhile(&mut self, what: &str) {
        let desk = Arc::clone(&self.desk);
        let done = self.store.transact(|tx| {
            let act = Act {
                desk: &desk,
                now: Timestamp::now(),
                door: Door::Cli,
                actor: Actor::System,
                trace: None,
                client: None,
            };
            do_it(tx, &act, what)
        });
        done.await.unwrap();
    }
}

/// `open|pending|close|spam|trash REF`, `tag|untag REF TAG`, `priority REF WHICH`, `assign REF WHO`,
/// `reply REF TEXT` (Bob's), `merge REF INTO`, `department SLUG NAME` (a new one of acme's, Alice's).
fn do_it(tx: &mut Tx<'_>, act: &Act<'_>, what: &str) -> Result<(), ActionError> {
    let (verb, rest) = what.split_once(' ').unwrap();
    let (name, more) = rest.split_once(' ').unwrap_or((rest, ""));
    match verb {
        "open" => ticket::set_status(tx, act, name, Status::Open)?,
        "pending" => ticket::set_status(tx, act, name, Status::Pending)?,
        "close" => ticket::set_status(tx, act, name, Status::Closed)?,
        "spam" => ticket::set_status(tx, act, name, Status::Spam)?,
        "trash" => ticket::set_status(tx, act, name, Status::Trash)?,
        "tag" => ticket::tag(tx, act, name, more)?,
        "untag" => ticket::untag(tx, act, name, more)?,
        "priority" => ticket::set_priority(tx, act, name, more.parse::<Priority>().unwrap())?,
        "assign" => ticket::assign(tx, act, name, more)?,
        "merge" => ticket::merge(tx, act, name, more)?,
        "reply" => {
            let property = find::property(tx, "acme")?;
            let actor = ticket::acting(tx, &property, Some("bob"))?;
            let content = content(tx, act, "", more)?;
            ticket::write(tx, &act.with_actor(actor), name, Scope::Public, None, content)?.0
        }
        "department" => {
            department::add(tx, "acme", name.parse().unwrap(), more, vec![ALICE.to_owned()])?;
            return Ok(());
        }
        _ => panic!("nobody does {what:?}"),
    };
    Ok(())
}

/// What stands before the first `{name}`, the name, and what stands behind it. A literal's length is
/// no name.
fn first_name(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(open) = text[from..].find('{').map(|at| from + at) {
        let inside = &text[open + 1..];
        let name = &inside[..inside.find('}')?];
        if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Some((&text[..open], name, &inside[name.len() + 1..]));
        }
        from = open + 1;
    }
    None
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let length = match escape.as_bytes().first() {
            Some(b'r') => (out.push(b'\r'), 1).1,
            Some(b'n') => (out.push(b'\n'), 1).1,
            Some(b'0') => (out.push(b'\0'), 1).1,
            Some(b'x') => (out.push(u8::from_str_radix(&escape[1..3], 16).unwrap()), 3).1,
            Some(b'{') => {
                let end = escape.find('}').unwrap();
                let (count, what) = escape[1..end].split_once(':').unwrap();
                out.extend(unescape(what).repeat(count.parse().unwrap()));
                end + 1
            }
            _ => (out.push(b'\\'), 0).1,
        };
        rest = &escape[length..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

#[test]
fn names_stand_for_what_is_there() {
    assert_eq!(first_name("a {5}{b} c"), Some(("a {5}", "b", " c")));
    assert_eq!(first_name("{12}"), None);
    assert_eq!(unescape("\\Seen \\x41\\{2:ab}\\r"), b"\\Seen Aabab\r");
}
