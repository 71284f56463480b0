//! Dialogues of `fixtures/smtp/*.txt`, held against the SMTP session without a socket: each whole,
//! each split once at every place, and each octet by octet. Adding a case is adding a file.
//!
//! A line of a dialogue is
//! - `# …`, a comment;
//! - `! name value`, a setting: `size`, `header`, `line`, `recipients`, `errors`, `refused`, `idle`
//!   (numbers), `tls none|offered|active`, `service world|submission`, `deliver CODE X.Y.Z text`, `start ehlo` (the greeting and EHLO
//!   are over when the dialogue begins);
//! - `C: …`, what the client sends, with CRLF behind it, or `C> …` without; lines that follow each
//!   other are sent at once. `\r \n \0 \\ \xHH` are what they look like, `\{40:ab}` is `ab` 40 times;
//! - `S: …`, a line of the server's answer; a `*` at its end stands for the rest;
//!   (Members of submission: `alice@team.example` and `user`, both with the password `pencil`, under
//!   the salt of RFC 7677 §3; failures of `slow@team.example` are too many.)
//! - `= …`, what the server does: `= message FROM to RCPT, … [FLAGS]`, `= text …`, `= dropped`,
//!   `= tls`, `= closed`.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::LazyLock;

use guichet::desk::address::Address;
use guichet::desk::envelope::Envelope;
use guichet::desk::id::{AppPasswordId, MemberId};
use guichet::desk::login::{AppPassword, by_password, by_proof};
use guichet::desk::scram::{Keys, Salt};
use guichet::login::sasl::{Answer, Denied, Question};
use guichet::smtp::reply::Reply;
use guichet::smtp::session::{Effect, Service, Session, SessionLimits, Tls};
use jiff::{SignedDuration, Timestamp};

use crate::fuzz_corpus::targets::seeds::unescape;

#[test]
fn every_dialogue_holds_however_it_is_split() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/smtp");
    let mut paths: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    assert!(paths.len() >= 25, "only {} dialogues in {}", paths.len(), dir.display());
    let mut failures = String::new();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let dialogue = Dialogue::parse(&name, &std::fs::read_to_string(&path).unwrap());
        if let Err(difference) = dialogue.hold_every_way() {
            let _ = writeln!(failures, "\n{name}: {difference}");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// A dialogue: what is set, and each burst of the client with what must follow it.
struct Dialogue {
    settings: Settings,
    turns: Vec<(Vec<u8>, Vec<String>)>,
}

struct Settings {
    limits: SessionLimits,
    tls: Tls,
    service: Service,
    deliver: Reply,
    start_ehlo: bool,
}

/// How the client's bursts are cut.
#[derive(Clone, Copy, Debug)]
enum Split {
    At(usize),
    Everywhere,
}

impl Dialogue {
    fn parse(name: &str, text: &str) -> Self {
        let mut settings = Settings {
            limits: SessionLimits::default(),
            tls: Tls::Unavailable,
            service: Service::World,
            deliver: Reply::ok("taken"),
            start_ehlo: false,
        };
        let mut turns: Vec<(Vec<u8>, Vec<String>)> = vec![(Vec::new(), Vec::new())];
        for line in text.lines() {
            let (mark, rest) = line.split_at(line.len().min(2));
            let rest = rest.strip_prefix(' ').unwrap_or(rest);
            match mark {
                "" | "# " | "#" => {}
                "! " => settings.set(rest),
                "C:" | "C>" => {
                    if turns.last().is_some_and(|turn| !turn.1.is_empty() || turns.len() == 1) {
                        turns.push((Vec::new(), Vec::new()));
                    }
                    let burst = &mut turns.last_mut().unwrap().0;
                    burst.extend(unescape(rest));
                    if mark == "C:" {
                        burst.extend_from_slice(b"\r\n");
                    }
                }
                "S:" => turns.last_mut().unwrap().1.push(format!("S: {rest}")),
                "= " => turns.last_mut().unwrap().1.push(format!("= {rest}")),
                _ => panic!("{name}: what is {line:?}?"),
            }
        }
        Self { settings, turns }
    }

    fn hold_every_way(&self) -> Result<(), String> {
        let longest = self.turns.iter().map(|turn| turn.0.len()).max().unwrap_or(0);
        // A burst of many kilobytes is repetition; its first places and octet by octet will do.
        for split in (0..=longest.min(1500)).map(Split::At).chain([Split::Everywhere]) {
            self.hold(split).map_err(|difference| format!("split {split:?}\n{difference}"))?;
        }
        Ok(())
    }

    fn hold(&self, split: Split) -> Result<(), String> {
        let mut play = Play::new(&self.settings);
        for (burst, expected) in &self.turns {
            let seen = play.burst(burst, split);
            let same =
                seen.len() == expected.len() && seen.iter().zip(expected).all(|(seen, line)| matches(seen, line));
            if !same {
                let sent = String::from_utf8_lossy(&burst[..burst.len().min(300)]).into_owned();
                return Err(format!(
                    "after {sent:?}\nexpected\n  {}\nsaw\n  {}",
                    expected.join("\n  "),
                    seen.join("\n  ")
                ));
            }
        }
        Ok(())
    }
}

fn matches(seen: &str, expected: &str) -> bool {
    match expected.strip_suffix('*') {
        Some(start) => seen.starts_with(start),
        None => seen == expected,
    }
}

impl Settings {
    fn set(&mut self, line: &str) {
        let (name, value) = line.split_once(' ').unwrap();
        let number = || value.parse::<u64>().unwrap();
        let small = || value.parse::<u32>().unwrap();
        match name {
            "size" => self.limits.content.message = number(),
            "header" => self.limits.content.header = number(),
            "line" => self.limits.content.line = number(),
            "recipients" => self.limits.recipients = usize::try_from(number()).unwrap(),
            "errors" => self.limits.errors = small(),
            "refused" => self.limits.refused_recipients = small(),
            "idle" => self.limits.idle_commands = small(),
            "tls" => {
                self.tls = match value {
                    "offered" => Tls::Offered,
                    "active" => Tls::Active,
                    _ => Tls::Unavailable,
                };
            }
            "service" => {
                self.service = if value == "submission" { Service::Submission } else { Service::World };
            }
            "start" => self.start_ehlo = value == "ehlo",
            "deliver" => {
                let mut words = value.splitn(3, ' ');
                let code = words.next().unwrap().parse().unwrap();
                let mut enhanced = words.next().unwrap().split('.').map(|part| part.parse::<u16>().unwrap());
                let mut part = || enhanced.next().unwrap();
                let class = u8::try_from(part()).unwrap();
                self.deliver = Reply::new(code, (class, part(), part()), words.next().unwrap().to_owned());
            }
            _ => panic!("no setting {name}"),
        }
    }
}

/// A session with a host that knows a few addresses.
struct Play<'a> {
    settings: &'a Settings,
    session: Session,
    envelope: Option<Envelope>,
    text: Vec<u8>,
    seen: Vec<String>,
    closed: bool,
}

impl<'a> Play<'a> {
    fn new(settings: &'a Settings) -> Self {
        let client = "192.0.2.1".parse().unwrap();
        let Settings { limits, service, tls, .. } = settings;
        let session = Session::new("desk.example".into(), client, "s1".into(), *limits, *service, *tls);
        let mut play = Self { settings, session, envelope: None, text: Vec::new(), seen: Vec::new(), closed: false };
        if settings.start_ehlo {
            play.burst(b"EHLO client.example\r\n", Split::At(0));
        }
        play
    }

    /// Sends one burst in pieces and says everything that came of it.
    fn burst(&mut self, burst: &[u8], split: Split) -> Vec<String> {
        let pieces: Vec<&[u8]> = match split {
            Split::Everywhere => burst.chunks(1).collect(),
            Split::At(place) => {
                let (front, back) = burst.split_at(place.min(burst.len()));
                vec![front, back]
            }
        };
        for mut piece in std::iter::once(&b""[..]).chain(pieces) {
            if self.closed || self.carry_out(&mut piece) {
                break;
            }
        }
        std::mem::take(&mut self.seen)
    }

    /// Whether the rest of the burst is forgotten.
    fn carry_out(&mut self, input: &mut &[u8]) -> bool {
        loop {
            match self.session.advance(Timestamp::UNIX_EPOCH, input) {
                Effect::Read => {
                    assert!(input.is_empty(), "the session wants more and left {} octets", input.len());
                    return false;
                }
                Effect::Reply(reply) => self.reply(&reply),
                Effect::Login(question) => self.session.login_answered(login(&question)),
                Effect::Recipient(_, address) => self.session.recipient_answered(recipient(&address)),
                Effect::Begin(envelope, _) => {
                    assert!(self.envelope.replace(envelope).is_none(), "two messages at once");
                    self.text.clear();
                }
                Effect::Content(octets) => {
                    assert!(self.envelope.is_some() && !octets.is_empty());
                    self.text.extend_from_slice(octets);
                }
                Effect::Discard => {
                    assert!(self.envelope.take().is_some(), "nothing to drop");
                    self.seen.push("= dropped".into());
                }
                Effect::Complete => {
                    let envelope = self.envelope.take().expect("a message began");
                    self.seen.push(describe(&envelope));
                    let text = match self.text.len() {
                        0..=200 => self.text.escape_ascii().to_string(),
                        length => format!("{length} octets"),
                    };
                    self.seen.push(format!("= text {text}").trim_end().to_owned());
                    self.session.delivered(self.settings.deliver.clone());
                }
                Effect::StartTls(reply) => {
                    self.reply(&reply);
                    self.seen.push("= tls".into());
                    self.session.tls_started();
                    return true;
                }
                Effect::Close(reply) => {
                    self.reply(&reply);
                    self.seen.push("= closed".into());
                    self.closed = true;
                    return true;
                }
            }
        }
    }

    fn reply(&mut self, reply: &Reply) {
        let mut wire = Vec::new();
        reply.write(&mut wire);
        let wire = String::from_utf8(wire).unwrap();
        self.seen.extend(wire.strip_suffix("\r\n").unwrap().split("\r\n").map(|line| format!("S: {line}")));
    }
}

/// What RFC 7677 §3 tells of its user, and one that is never right.
struct Pencil {
    salt: Salt,
    keys: [(&'static str, Keys); 2],
}

static PENCIL: LazyLock<Pencil> = LazyLock::new(|| {
    let octets = data_encoding::BASE64.decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().try_into().unwrap();
    let salt = Salt { octets, iterations: Salt::ITERATIONS };
    let keys = ["pencil", "pen"].map(|password| (password, Keys::of(password, &salt)));
    Pencil { salt, keys }
});

fn login(question: &Question) -> Answer {
    let Pencil { salt, keys } = &*PENCIL;
    let password = AppPassword {
        id: AppPasswordId(1),
        member: MemberId(1),
        name: "desk".to_owned(),
        salt: *salt,
        keys: keys[0].1.clone(),
        created_at: Timestamp::UNIX_EPOCH,
        last_use: None,
    };
    let passwords = match question.user().to_ascii_lowercase().as_str() {
        "alice@team.example" | "user" => vec![password],
        "slow@team.example" => return Answer::Denied(Denied::Slowed(SignedDuration::from_secs(50))),
        "away@team.example" => return Answer::Denied(Denied::Unavailable),
        _ => Vec::new(),
    };
    let found = match question {
        Question::Salt { .. } => {
            return Answer::Salt { salt: *salt, random: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned() };
        }
        Question::Password { password, .. } => {
            let known = keys.iter().find(|(text, _)| text == password);
            known.and_then(|(_, keys)| by_password(&passwords, keys)).map(|login| (login, None))
        }
        Question::Proof(proof) => by_proof(&passwords, proof).map(|(login, verdict)| (login, Some(verdict))),
    };
    found.map_or(Answer::Denied(Denied::Wrong), |(login, verdict)| Answer::Login(login, verdict))
}

fn recipient(address: &Address) -> Result<(), Reply> {
    let key = address.key();
    match key.split_once('@').unwrap() {
        ("acme" | "acme+billing" | "beta" | "postmaster" | "café", "desk.example") => Ok(()),
        ("busy", "desk.example") => Err(Reply::new(450, (4, 2, 1), "come back later")),
        (local, "desk.example") if local.starts_with("user") => Ok(()),
        (_, "desk.example") => Err(Reply::no_such_recipient("nobody here has that address")),
        _ => Err(Reply::not_allowed("no relaying")),
    }
}

fn describe(envelope: &Envelope) -> String {
    let from = envelope.reverse_path.as_ref().map_or("<>", Address::as_str);
    let to: Vec<_> = envelope.recipients.iter().map(Address::as_str).collect();
    let flags = [
        (envelope.extended, " ESMTP"),
        (envelope.eight_bit, " 8BITMIME"),
        (envelope.smtputf8, " SMTPUTF8"),
        (envelope.tls.is_some(), " TLS"),
        (envelope.login.is_some(), " LOGIN"),
    ];
    let flags: String = flags.iter().filter(|flag| flag.0).map(|flag| flag.1).collect();
    format!("= message {from} to {} [{} {}{flags}]", to.join(", "), envelope.id, envelope.helo)
}
