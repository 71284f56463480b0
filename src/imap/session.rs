//! One IMAP session without I/O: which command may come when, logins, IDLE, and what is answered
//! (RFC 3501 §3). What a command does on the desk is [`seat`](super::seat)'s matter.

use data_encoding::BASE64;

use super::Trouble;
use super::command::{Append, Command, Name, Secret, Tagged};
use super::reader::{Input, Reader, ReaderLimits};
use super::seat::Done;
use crate::desk::login::{Login, Mechanism};
use crate::login::sasl::{Answer, Denied, Exchange, Question, Step};

/// Octets of a command of somebody who has logged in: long lists of numbers are common.
const LONGEST_COMMAND: usize = 1 << 20;

/// Whether the connection is encrypted, or can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    Active,
    Offered,
    Unavailable,
}

/// What to do next.
#[derive(Debug)]
pub enum Effect<'a> {
    /// Send what was said, and read on. Whoever [idles](Session::is_idling) is told of news meanwhile.
    Read,
    Say(Vec<u8>),
    /// Find out, and give [`Session::login_answered`] the answer.
    Login(Question),
    /// Carry it out, and give [`Session::performed`] what came of it.
    Perform(Tagged),
    /// The client introduced itself: remember how, and say [`introduced`].
    Introduced {
        tag: String,
        client: Vec<(String, Option<String>)>,
    },
    Enable {
        tag: String,
        names: Vec<String>,
    },
    /// An APPEND begins: [`Session::refuse_append`] it, or its messages are announced.
    Append(Name),
    /// A message of it is announced: [`Session::refuse_message`] it, or take its octets.
    Message(Append),
    Octets(&'a [u8]),
    MessageEnd,
    /// All of its messages are there: file them, and give [`Session::performed`] what came of it.
    AppendEnd(String),
    /// Say this in clear, then begin TLS and tell [`Session::tls_started`].
    StartTls(Vec<u8>),
    /// Say this, then go on compressed (RFC 4978).
    Compress(Vec<u8>),
    /// Say this and close.
    Close(Vec<u8>),
}

#[derive(Debug)]
enum State {
    Guest,
    Member,
    Over,
}

#[derive(Debug)]
enum Waiting {
    Nothing,
    /// The client's part of a login.
    Sasl(String, Exchange),
    /// Our answer to a question of it.
    Asked(String, Exchange),
    /// DONE.
    Idle(String),
}

/// One session.
#[derive(Debug)]
pub struct Session {
    reader: Reader,
    state: State,
    tls: Tls,
    waiting: Waiting,
    compressed: bool,
    append_limit: u64,
    /// The tag of an APPEND that is on its way.
    appending: Option<String>,
    /// What made no sense since something was done, and how much of that ends the session.
    errors: u32,
    most_errors: u32,
    login: Option<Login>,
}

impl Session {
    #[must_use]
    pub fn new(tls: Tls, append_limit: u64, most_errors: u32) -> Self {
        Self {
            reader: Reader::new(ReaderLimits::default()),
            state: State::Guest,
            tls,
            waiting: Waiting::Nothing,
            compressed: false,
            append_limit,
            appending: None,
            errors: 0,
            most_errors,
            login: None,
        }
    }

    /// The first thing that is said.
    #[must_use]
    pub fn greeting(&self, hostname: &str) -> Vec<u8> {
        format!("* OK [CAPABILITY {}] {hostname} Guichet is here\r\n", self.capabilities()).into_bytes()
    }

    /// Whether the client waits for news.
    #[must_use]
    pub fn is_idling(&self) -> bool {
        matches!(self.waiting, Waiting::Idle(_))
    }

    #[must_use]
    pub fn is_logged_in(&self) -> bool {
        matches!(self.state, State::Member)
    }

    /// Who just logged in, once.
    pub fn logged_in(&mut self) -> Option<Login> {
        self.login.take()
    }

    /// Takes octets, until there is something to do.
    pub fn advance<'a>(&mut self, input: &mut &'a [u8]) -> Effect<'a> {
        if matches!(self.state, State::Over) {
            return Effect::Close(Vec::new());
        }
        match self.reader.advance(input) {
            Input::Read => Effect::Read,
            Input::Go => Effect::Say(b"+ go on\r\n".to_vec()),
            Input::Line(line) => self.line(&line),
            Input::Command(tagged) => self.command(tagged),
            Input::AppendBegin { tag, mailbox } => {
                if self.is_logged_in() {
                    self.appending = Some(tag);
                    return Effect::Append(mailbox);
                }
                self.reader.refuse();
                self.wrong(&tag, "BAD log in first")
            }
            Input::Message(message) => Effect::Message(message),
            Input::Octets(octets) => Effect::Octets(octets),
            Input::MessageEnd => Effect::MessageEnd,
            Input::AppendEnd { tag } => {
                self.appending = None;
                Effect::AppendEnd(tag)
            }
            Input::Bad { tag, text } => {
                self.appending = None;
                self.wrong(tag.as_deref().unwrap_or("*"), &format!("BAD {text}"))
            }
            Input::Over(text) => self.close(&text),
        }
    }

    fn command(&mut self, tagged: Tagged) -> Effect<'static> {
        let Tagged { tag, command } = &tagged;
        match command {
            Command::Capability => {
                let capabilities = self.capabilities();
                say(&format!("* CAPABILITY {capabilities}\r\n{tag} OK that is all"))
            }
            Command::Logout => {
                self.state = State::Over;
                Effect::Close(format!("* BYE until next time\r\n{tag} OK logged out\r\n").into_bytes())
            }
            Command::Noop if !self.is_logged_in() => say(&format!("{tag} OK done")),
            Command::Id(client) => Effect::Introduced { tag: tag.clone(), client: client.clone() },
            _ if self.is_logged_in() => self.members_command(tagged),
            Command::StartTls => match self.tls {
                Tls::Offered => Effect::StartTls(format!("{tag} OK begin TLS now\r\n").into_bytes()),
                Tls::Active => self.wrong(tag, "BAD the connection is encrypted already"),
                Tls::Unavailable => self.wrong(tag, "BAD there is no TLS here"),
            },
            Command::Login { .. } | Command::Authenticate { .. } if self.tls != Tls::Active => {
                self.wrong(tag, "NO [PRIVACYREQUIRED] encrypt first: say STARTTLS, then log in")
            }
            Command::Login { user, password } => {
                let mechanism = Mechanism::Plain;
                let initial = [b"\0", user.as_bytes(), b"\0", password.0.as_bytes()].concat();
                let (exchange, step) = Exchange::begin(mechanism, Some(initial));
                // Nobody has a name that PLAIN could not say.
                let step = if let Step::Malformed(_) = step { Step::Denied(Denied::Wrong) } else { step };
                self.step(tag.clone(), exchange, step)
            }
            Command::Authenticate { mechanism, initial } => match Mechanism::named(mechanism) {
                Some(mechanism) => {
                    let (exchange, step) = Exchange::begin(mechanism, initial.clone().map(|Secret(initial)| initial));
                    self.step(tag.clone(), exchange, step)
                }
                None => self.wrong(tag, "NO [CANNOT] the mechanisms are those that CAPABILITY tells"),
            },
            _ => self.wrong(tag, "BAD log in first"),
        }
    }

    fn members_command(&mut self, tagged: Tagged) -> Effect<'static> {
        let tag = &tagged.tag;
        match &tagged.command {
            Command::StartTls | Command::Login { .. } | Command::Authenticate { .. } => {
                self.wrong(tag, "BAD you are logged in already")
            }
            Command::Enable(names) => {
                if names.iter().any(|name| name == "UTF8=ACCEPT" || name == "IMAP4REV2") {
                    self.reader.utf8(true);
                }
                Effect::Enable { tag: tag.clone(), names: names.clone() }
            }
            Command::Compress(algorithm) if algorithm == "DEFLATE" => {
                if self.compressed {
                    return self.wrong(tag, "NO [COMPRESSIONACTIVE] it is compressed already");
                }
                self.compressed = true;
                Effect::Compress(format!("{tag} OK compressed from here on\r\n").into_bytes())
            }
            Command::Compress(_) => self.wrong(tag, "BAD DEFLATE is all that there is"),
            Command::Idle => {
                self.waiting = Waiting::Idle(tag.clone());
                self.reader.expect_line();
                Effect::Say(b"+ idling\r\n".to_vec())
            }
            _ => Effect::Perform(tagged),
        }
    }

    /// A line that is no command.
    fn line(&mut self, line: &[u8]) -> Effect<'static> {
        match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Idle(tag) if line.trim_ascii().eq_ignore_ascii_case(b"DONE") => say(&format!("{tag} OK idled")),
            Waiting::Idle(tag) => self.wrong(&tag, "BAD DONE was expected"),
            Waiting::Sasl(tag, _) if line.trim_ascii() == b"*" => self.wrong(&tag, "BAD the login is cancelled"),
            Waiting::Sasl(tag, mut exchange) => match BASE64.decode(line.trim_ascii()) {
                Ok(message) => {
                    let step = exchange.message(&message);
                    self.step(tag, exchange, step)
                }
                Err(_) => self.wrong(&tag, "BAD the answer must be in base64"),
            },
            other @ (Waiting::Nothing | Waiting::Asked(..)) => {
                self.waiting = other;
                self.wrong("*", "BAD nothing was asked")
            }
        }
    }

    fn step(&mut self, tag: String, exchange: Exchange, step: Step) -> Effect<'static> {
        match step {
            Step::Challenge(text) => {
                self.waiting = Waiting::Sasl(tag, exchange);
                self.reader.expect_line();
                say(&format!("+ {}", BASE64.encode(text.as_bytes())))
            }
            Step::Ask(question) => {
                self.waiting = Waiting::Asked(tag, exchange);
                Effect::Login(question)
            }
            Step::Done(login) => {
                self.login = Some(login);
                self.state = State::Member;
                self.reader.limits.command = LONGEST_COMMAND;
                say(&format!("{tag} OK [CAPABILITY {}] welcome", self.capabilities()))
            }
            Step::Denied(denied) => {
                let code = match denied {
                    Denied::Wrong => "AUTHENTICATIONFAILED",
                    Denied::Slowed(_) | Denied::Unavailable => "UNAVAILABLE",
                };
                self.wrong(&tag, &format!("NO [{code}] {denied}"))
            }
            Step::Malformed(text) => self.wrong(&tag, &format!("BAD {text}")),
        }
    }

    /// The answer to [`Effect::Login`].
    pub fn login_answered(&mut self, answer: Answer) -> Effect<'static> {
        match std::mem::replace(&mut self.waiting, Waiting::Nothing) {
            Waiting::Asked(tag, mut exchange) => {
                let step = exchange.answered(answer);
                self.step(tag, exchange, step)
            }
            other => {
                self.waiting = other;
                Effect::Say(Vec::new())
            }
        }
    }

    /// What came of [`Effect::Perform`] and [`Effect::AppendEnd`].
    pub fn performed(&mut self, tag: &str, done: Result<Done, Trouble>) -> Effect<'static> {
        if done.is_ok() {
            self.errors = 0;
        }
        match done {
            Ok(Done { code: Some(code), text }) => say(&format!("{tag} OK [{code}] {text}")),
            Ok(Done { code: None, text }) => say(&format!("{tag} OK {text}")),
            Err(Trouble::No { code: Some(code), text }) => say(&format!("{tag} NO [{code}] {text}")),
            Err(Trouble::No { code: None, text }) => say(&format!("{tag} NO {text}")),
            Err(Trouble::Bad(text)) => self.wrong(tag, &format!("BAD {text}")),
            Err(Trouble::Bye(text)) => self.close(text),
            Err(Trouble::Store(error)) => {
                tracing::warn!(%error, "a command of a mail client could not be carried out");
                say(&format!("{tag} NO [UNAVAILABLE] the desk can't be reached now; try again later"))
            }
            Err(Trouble::Broken(error)) => {
                tracing::error!(error, "a command of a mail client could not be carried out");
                say(&format!("{tag} NO [SERVERBUG] something is wrong on this server"))
            }
            Err(Trouble::Client(error)) => {
                tracing::debug!(%error, "a mail client is gone");
                self.state = State::Over;
                Effect::Close(Vec::new())
            }
        }
    }

    /// The APPEND that has begun is not carried out.
    pub fn refuse_append(&mut self, why: Trouble) -> Effect<'static> {
        self.reader.refuse();
        let tag = self.appending.take().unwrap_or_default();
        self.performed(&tag, Err(why))
    }

    /// The message that was announced is not taken, and so is the whole APPEND.
    pub fn refuse_message(&mut self) -> Effect<'static> {
        let limit = self.append_limit;
        self.refuse_append(Trouble::no("TOOBIG", format!("messages of up to {limit} octets are taken")))
    }

    /// Whether an APPEND is on its way.
    #[must_use]
    pub fn is_appending(&self) -> bool {
        self.appending.is_some()
    }

    /// TLS is active from here on; nothing that was said before counts (RFC 3501 §6.2.1).
    pub fn tls_started(&mut self) {
        self.tls = Tls::Active;
        self.reader = Reader::new(ReaderLimits::default());
    }

    /// Ends the session.
    pub fn close(&mut self, why: &str) -> Effect<'static> {
        self.state = State::Over;
        Effect::Close(format!("* BYE {why}\r\n").into_bytes())
    }

    /// Answers a command that makes no sense here, or that is tried too often.
    fn wrong(&mut self, tag: &str, answer: &str) -> Effect<'static> {
        self.errors += 1;
        if self.errors > self.most_errors {
            return self.close("too many commands made no sense");
        }
        say(&format!("{tag} {answer}"))
    }

    /// What this server can do (RFC 3501 §7.2.1).
    fn capabilities(&self) -> String {
        let mut all = vec!["IMAP4rev1", "IMAP4rev2", "ID", "ENABLE", "LITERAL+", "SASL-IR"];
        if self.is_logged_in() {
            all.extend(MEMBERS);
            if !self.compressed {
                all.push("COMPRESS=DEFLATE");
            }
        } else if self.tls == Tls::Active {
            all.extend(["AUTH=SCRAM-SHA-256", "AUTH=PLAIN", "AUTH=LOGIN"]);
        } else {
            all.push("LOGINDISABLED");
            if self.tls == Tls::Offered {
                all.push("STARTTLS");
            }
        }
        let limit = format!("APPENDLIMIT={}", self.append_limit);
        if self.is_logged_in() {
            all.push(&limit);
        }
        all.join(" ")
    }
}

/// What members' clients may use.
const MEMBERS: [&str; 24] = [
    "IDLE",
    "NAMESPACE",
    "UNSELECT",
    "UIDPLUS",
    "MOVE",
    "SPECIAL-USE",
    "XLIST",
    "CHILDREN",
    "CONDSTORE",
    "QRESYNC",
    "SORT",
    "SORT=DISPLAY",
    "THREAD=ORDEREDSUBJECT",
    "THREAD=REFERENCES",
    "WITHIN",
    "BINARY",
    "QUOTA",
    "UTF8=ACCEPT",
    "STATUS=SIZE",
    "ESEARCH",
    "SEARCHRES",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "OBJECTID",
];

/// What we say of ourselves (RFC 2971).
#[must_use]
pub fn introduced(tag: &str) -> Vec<u8> {
    format!("* ID (\"name\" \"Guichet\" \"version\" \"{}\")\r\n{tag} OK pleased\r\n", env!("CARGO_PKG_VERSION"))
        .into_bytes()
}

fn say(line: &str) -> Effect<'static> {
    Effect::Say(format!("{line}\r\n").into_bytes())
}
