//! One SMTP session as a state machine without I/O (RFC 5321 §3 and §4): bytes go in, split in any
//! way, [`Effect`]s come out.
//!
//! Whoever drives it calls [`Session::advance`] until it wants to read, carries out each effect in
//! order, and answers the three that are questions: [`Effect::Login`] with
//! [`Session::login_answered`], [`Effect::Recipient`] with [`Session::recipient_answered`],
//! [`Effect::Complete`] with [`Session::delivered`].
//!
//! The same session serves the world and, once they have logged in, members (RFC 6409): which of
//! them it is for is its [`Service`].

mod auth;
mod message;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::IpAddr;

use jiff::Timestamp;

use crate::desk::address::Address;
use crate::desk::envelope::{Envelope, Visit};
use crate::desk::login::Login;
use crate::login::sasl::{Exchange, Question};

use super::command::{self, Command, Mail, Recipient, Refusal};
use super::data::{ContentLimits, Piece, Scanner};
use super::line::{AUTH_LINE, COMMAND_LINE, Line, Lines};
use super::reply::Reply;
use message::Chunk;

/// What a session may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    pub content: ContentLimits,
    /// Recipients of one message; RFC 5321 §4.5.3.1.8 forbids less than 100.
    pub recipients: usize,
    /// Refused commands and broken messages, recipients not counted, since the last message that
    /// was taken; then the session is closed.
    pub errors: u32,
    /// Refused recipients since the last message that was taken; then the session is closed.
    pub refused_recipients: u32,
    /// Commands between two messages that bring no mail any further.
    pub idle_commands: u32,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            content: ContentLimits::default(),
            recipients: 100,
            errors: 20,
            refused_recipients: 100,
            idle_commands: 100,
        }
    }
}

/// Whom a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Everybody, for mail to the desk: port 25. Nobody logs in.
    World,
    /// Members, who log in first: ports 465 and 587 (RFC 6409, RFC 8314).
    Submission,
}

/// Whether the session is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    Unavailable,
    /// Not yet; STARTTLS is advertised.
    Offered,
    Active,
}

/// What the driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// All input was taken: send what is due, then read.
    Read,
    Reply(Reply),
    /// Ask who somebody is that wants to log in; answer with [`Session::login_answered`].
    Login(Question),
    /// Ask whether mail for this address is taken from this client; answer with
    /// [`Session::recipient_answered`].
    Recipient(Visit, Address),
    /// A message begins. So many octets were announced, 0 for none.
    Begin(Envelope, u64),
    /// Octets of it.
    Content(&'a [u8]),
    /// The message will not come to anything: forget what there is of it.
    Discard,
    /// The message is whole: take it, answer with [`Session::delivered`].
    Complete,
    /// Send the reply, forget every octet read so far, do the TLS handshake, and answer with
    /// [`Session::tls_started`].
    StartTls(Reply),
    /// Send the reply and close.
    Close(Reply),
}

/// A session, from the greeting to the close.
#[derive(Debug)]
pub struct Session {
    hostname: String,
    client: IpAddr,
    id: String,
    limits: SessionLimits,
    service: Service,
    tls: Tls,
    /// What was agreed on for TLS.
    negotiated: Option<String>,
    /// Who logged in.
    login: Option<Login>,
    /// What EHLO or HELO said, and whether it was EHLO.
    greeted: Option<(String, bool)>,
    transaction: Option<Transaction>,
    mode: Mode,
    lines: Lines,
    /// What was decided and not handed out yet.
    due: VecDeque<Effect<'static>>,
    errors: u32,
    refused_recipients: u32,
    idle_commands: u32,
    messages: u64,
}

/// From MAIL on (RFC 5321 §3.3).
#[derive(Debug)]
struct Transaction {
    /// The name of its message.
    id: String,
    mail: Mail,
    recipients: Vec<Address>,
    /// The message, once BDAT has begun it.
    chunks: Option<Scanner>,
}

#[derive(Debug)]
enum Mode {
    Command,
    /// The next line is the client's part of a login.
    Auth(Exchange),
    /// The driver owes an answer to it.
    AuthAsked(Exchange),
    /// The driver owes an answer.
    Asked(Address),
    Delivering,
    Data(Scanner),
    /// Inside the chunk of a BDAT.
    Chunk(Chunk),
    HandshakeDue,
    Closed,
}

impl Session {
    /// A session with a client. `id` is unique among all sessions; it names the session in the
    /// log, and its messages in their trace fields.
    #[must_use]
    pub fn new(
        hostname: String,
        client: IpAddr,
        id: String,
        limits: SessionLimits,
        service: Service,
        tls: Tls,
    ) -> Self {
        let mut session = Self {
            hostname,
            client,
            id,
            limits,
            service,
            tls,
            negotiated: None,
            login: None,
            greeted: None,
            transaction: None,
            mode: Mode::Command,
            lines: Lines::new(match service {
                Service::World => COMMAND_LINE,
                Service::Submission => AUTH_LINE,
            }),
            due: VecDeque::new(),
            errors: 0,
            refused_recipients: 0,
            idle_commands: 0,
            messages: 0,
        };
        let greeting = Reply::plain(220, format!("{} ESMTP Guichet", session.hostname));
        session.due.push_back(Effect::Reply(greeting));
        session
    }

    /// The name of the session.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The client's address.
    #[must_use]
    pub fn client(&self) -> IpAddr {
        self.client
    }

    /// Whether the client is between MAIL and the answer to its message, where a shutdown waits.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some() || matches!(self.mode, Mode::Data(_) | Mode::Delivering)
    }

    /// Whether the client is sending a message rather than commands.
    #[must_use]
    pub fn in_message(&self) -> bool {
        matches!(self.mode, Mode::Data(_) | Mode::Chunk(_))
    }

    /// Takes bytes from the front of `input` as far as the next thing to do. `now` is the time
    /// that a message gets which begins here.
    pub fn advance<'a>(&mut self, now: Timestamp, input: &mut &'a [u8]) -> Effect<'a> {
        loop {
            if let Some(effect) = self.due.pop_front() {
                return effect;
            }
            match &mut self.mode {
                Mode::Closed | Mode::HandshakeDue => {
                    *input = &[];
                    return Effect::Read;
                }
                Mode::Asked(_) | Mode::AuthAsked(_) | Mode::Delivering => return Effect::Read,
                Mode::Command | Mode::Auth(_) => match self.lines.take(input) {
                    None => return Effect::Read,
                    Some(line) => self.line(line, now),
                },
                Mode::Data(scanner) => {
                    let sound = scanner.defect().is_none();
                    let piece = scanner.next(input);
                    if sound && scanner.defect().is_some() {
                        self.due.push_back(Effect::Discard);
                    }
                    match piece {
                        Piece::Content(bytes) => return Effect::Content(bytes),
                        Piece::More if self.due.is_empty() => return Effect::Read,
                        Piece::More => {}
                        Piece::End => self.end_of_message(),
                    }
                }
                Mode::Chunk(_) => {
                    if let Some(effect) = self.chunk(input) {
                        return effect;
                    }
                }
            }
        }
    }

    /// The answer to [`Effect::Recipient`].
    pub fn recipient_answered(&mut self, answer: Result<(), Reply>) {
        let (Mode::Asked(address), Some(transaction)) = (&self.mode, &mut self.transaction) else { return };
        let address = address.clone();
        self.mode = Mode::Command;
        match answer {
            Ok(()) => {
                if !transaction.recipients.contains(&address) {
                    transaction.recipients.push(address);
                }
                self.say(Reply::new(250, (2, 1, 5), "recipient ok"));
            }
            // It always ends the session (RFC 5321 §3.8).
            Err(reply) if reply.code == 421 => self.close(reply),
            Err(reply) => self.refuse_recipient(reply),
        }
    }

    /// The answer to [`Effect::Complete`].
    pub fn delivered(&mut self, reply: Reply) {
        if matches!(self.mode, Mode::Delivering) {
            self.mode = Mode::Command;
            if reply.is_positive() {
                (self.errors, self.refused_recipients) = (0, 0);
            }
            self.say(reply);
        }
    }

    /// The handshake that [`Effect::StartTls`] asked for is done. What the client said before it
    /// is forgotten (RFC 3207 §4.2).
    pub fn tls_started(&mut self) {
        if matches!(self.mode, Mode::HandshakeDue) {
            self.mode = Mode::Command;
            self.tls = Tls::Active;
            self.greeted = None;
            self.login = None;
        }
    }

    /// What was agreed on for TLS, which is active or about to be.
    pub fn negotiated(&mut self, tls: String) {
        self.negotiated = Some(tls);
    }

    /// Ends the session from outside: a deadline, a shutdown.
    pub fn close(&mut self, reply: Reply) {
        self.mode = Mode::Closed;
        self.transaction = None;
        self.due.push_back(Effect::Close(reply));
    }

    fn line(&mut self, line: Line<'_>, now: Timestamp) {
        if let (Mode::Auth(_), Line::Whole(line)) = (&self.mode, &line) {
            return self.auth_line(line);
        }
        self.mode = Mode::Command;
        match line {
            Line::Whole(line) => self.command(&line, now),
            Line::Unended => self.refuse(Reply::new(500, (5, 5, 2), "end every line with CR LF")),
            Line::TooLong => self.refuse(Reply::new(500, (5, 5, 2), "the line is too long")),
            Line::Endless => self.close(Reply::new(554, (5, 5, 2), "this is no command")),
            Line::Tls => self.close(Reply::new(554, (5, 5, 1), "this port begins without TLS; use STARTTLS")),
        }
    }

    fn command(&mut self, line: &[u8], now: Timestamp) {
        let command = match command::parse(line) {
            Ok(command) => command,
            Err(Refusal::Reply(reply)) => return self.refuse(reply),
            Err(Refusal::Recipient(reply)) => {
                return match self.recipient_refusal() {
                    Some(refusal) => self.refuse(refusal),
                    None => self.refuse_recipient(reply),
                };
            }
            Err(Refusal::Close(reply)) => return self.close(reply),
        };
        match command {
            Command::Ehlo(name) => self.hello(name, true),
            Command::Helo(name) => self.hello(name, false),
            Command::Auth(auth) => self.auth(&auth),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(recipient) => self.recipient(recipient),
            Command::Data => self.data(now),
            Command::Bdat { octets, last } => self.bdat(octets, last, now),
            Command::StartTls => self.start_tls(),
            Command::Rset => {
                self.forget_transaction();
                self.idle(Reply::ok("flushed"));
            }
            Command::Noop => self.idle(Reply::ok("ok")),
            Command::Vrfy => self.idle(Reply::new(252, (2, 5, 0), "send some mail, and see")),
            Command::Help => self.idle(Reply::new(
                214,
                (2, 0, 0),
                match self.service {
                    Service::World => {
                        "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS QUIT\nRFC 5321 tells the rest"
                    }
                    Service::Submission => {
                        "EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY QUIT\nRFC 6409 tells the rest"
                    }
                },
            )),
            Command::Quit => self.close(Reply::new(221, (2, 0, 0), "bye")),
        }
    }

    /// EHLO and HELO also reset (RFC 5321 §4.1.4).
    fn hello(&mut self, name: String, extended: bool) {
        self.forget_transaction();
        self.greeted = Some((name, extended));
        if !extended {
            return self.idle(Reply::plain(250, self.hostname.clone()));
        }
        let starttls = if self.tls == Tls::Offered { "\nSTARTTLS" } else { "" };
        let extensions = format!(
            "{}\nPIPELINING\nSIZE {}\n8BITMIME\nSMTPUTF8\nCHUNKING{starttls}{}\nENHANCEDSTATUSCODES",
            self.hostname,
            self.limits.content.message,
            self.auth_offered(),
        );
        self.idle(Reply::plain(250, extensions));
    }

    fn mail(&mut self, mail: Mail) {
        if let Some(refusal) = self.login_refusal() {
            return self.refuse(refusal);
        }
        if self.greeted.is_none() {
            return self.refuse(Reply::new(503, (5, 5, 1), "say EHLO first"));
        }
        if self.transaction.is_some() {
            return self.refuse(Reply::new(503, (5, 5, 1), "one MAIL at a time; RSET forgets this one"));
        }
        if mail.size.is_some_and(|size| size > self.limits.content.message) {
            let text = format!("the message is too large; the limit is {} octets", self.limits.content.message);
            return self.refuse(Reply::new(552, (5, 3, 4), text));
        }
        self.messages += 1;
        let id = format!("{}.{}", self.id, self.messages);
        self.transaction = Some(Transaction { id, mail, recipients: Vec::new(), chunks: None });
        self.idle(Reply::new(250, (2, 1, 0), "sender ok"));
    }

    /// Why no RCPT may come now.
    fn recipient_refusal(&self) -> Option<Reply> {
        let other = || match &self.transaction {
            None => Some(Reply::new(503, (5, 5, 1), "say MAIL first")),
            Some(transaction) if transaction.chunks.is_some() => {
                Some(Reply::new(503, (5, 5, 1), "the message has begun"))
            }
            Some(_) => None,
        };
        self.login_refusal().or_else(other)
    }

    fn recipient(&mut self, recipient: Recipient) {
        if let Some(refusal) = self.recipient_refusal() {
            return self.refuse(refusal);
        }
        let (Some((helo, _)), Some(transaction)) = (&self.greeted, &self.transaction) else { return };
        let (count, smtputf8) = (transaction.recipients.len(), transaction.mail.smtputf8);
        if count >= self.limits.recipients {
            // Not counted as an error: the client does as RFC 5321 §4.5.3.1.10 tells it to.
            return self.say(Reply::new(452, (4, 5, 3), "too many recipients; send the rest in another mail"));
        }
        let address = match recipient {
            Recipient::Address(address) => address,
            Recipient::Postmaster => match Address::new("postmaster", &self.hostname) {
                Ok(address) => address,
                Err(_) => return self.refuse_recipient(Reply::no_such_recipient("no postmaster without a domain")),
            },
        };
        if !smtputf8 && !address.is_ascii() {
            return self.refuse(Reply::new(553, (5, 6, 7), "an address beyond ASCII needs SMTPUTF8"));
        }
        let visit = Visit {
            client: self.client,
            helo: helo.clone(),
            reverse_path: transaction.mail.reverse_path.clone(),
            recipients: count,
            login: self.login.clone(),
            id: transaction.id.clone(),
        };
        self.due.push_back(Effect::Recipient(visit, address.clone()));
        self.mode = Mode::Asked(address);
    }

    /// Whatever the client sent behind STARTTLS without waiting is thrown away, here by
    /// [`Self::advance`] and in the driver's buffer: else a man in the middle could put commands
    /// in front of the encrypted ones (CVE-2011-0411).
    fn start_tls(&mut self) {
        match self.tls {
            Tls::Offered => {
                self.forget_transaction();
                self.mode = Mode::HandshakeDue;
                self.due.push_back(Effect::StartTls(Reply::new(220, (2, 0, 0), "go ahead")));
            }
            Tls::Active => self.refuse(Reply::new(503, (5, 5, 1), "TLS is active already")),
            Tls::Unavailable => self.refuse(Reply::new(502, (5, 5, 1), "this server has no TLS")),
        }
    }

    fn forget_transaction(&mut self) {
        if self.transaction.take().is_some_and(|transaction| transaction.chunks.is_some()) {
            self.due.push_back(Effect::Discard);
        }
    }

    fn say(&mut self, reply: Reply) {
        self.due.push_back(Effect::Reply(reply));
    }

    /// Answers a command that brings no mail any further.
    fn idle(&mut self, reply: Reply) {
        self.say(reply);
        self.idle_commands += 1;
        if self.idle_commands > self.limits.idle_commands {
            self.close(Reply::closing((4, 7, 0), "too many commands and no mail"));
        }
    }

    fn refuse(&mut self, reply: Reply) {
        self.say(reply);
        self.errors += 1;
        if self.errors >= self.limits.errors {
            self.close(Reply::closing((4, 7, 0), "too many errors"));
        }
    }

    fn refuse_recipient(&mut self, reply: Reply) {
        self.say(reply);
        self.refused_recipients += 1;
        if self.refused_recipients >= self.limits.refused_recipients {
            self.close(Reply::closing((4, 7, 0), "too many refused recipients"));
        }
    }
}
