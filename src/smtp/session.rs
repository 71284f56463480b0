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

use std::collections::VecDeque;
use std::net::IpAddr;

use jiff::Timestamp;

use crate::desk::address::Address;
use crate::desk::envelope::{Envelope, Visit};
use crate::desk::login::Login;
use crate::login::sasl::{Exchange, Question};

use super::command::{self, Command, Mail, Recipient, Refusal};
use super::data::{ContentLimits, Defect, Piece, Scanner};
use super::line::{AUTH_LINE, COMMAND_LINE, Line, Lines};
use super::reply::Reply;

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

#[derive(Clone, Debug)]
struct Chunk {
    octets: u64,
    left: u64,
    last: bool,
    /// Why it is only taken off the wire.
    refused: Option<Reply>,
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
        self.transaction = Some(Transaction { mail, recipients: Vec::new(), chunks: None });
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
        };
        self.due.push_back(Effect::Recipient(visit, address.clone()));
        self.mode = Mode::Asked(address);
    }

    /// Why no message may begin now.
    fn message_refusal(&self) -> Option<Reply> {
        let other = || match &self.transaction {
            None => Some(Reply::new(503, (5, 5, 1), "say MAIL and RCPT first")),
            Some(transaction) if transaction.recipients.is_empty() => {
                Some(Reply::new(554, (5, 5, 1), "no valid recipients"))
            }
            Some(_) => None,
        };
        self.login_refusal().or_else(other)
    }

    fn data(&mut self, now: Timestamp) {
        let mixed = self.transaction.as_ref().is_some_and(|transaction| transaction.chunks.is_some());
        let mixed = mixed.then(|| Reply::new(503, (5, 5, 1), "BDAT has begun the message; RSET forgets it"));
        if let Some(refusal) = mixed.or_else(|| self.message_refusal()) {
            return self.refuse(refusal);
        }
        self.begin(now);
        self.mode = Mode::Data(Scanner::dotted(self.limits.content));
        self.say(Reply::plain(354, "end with a line that has a dot only"));
    }

    fn begin(&mut self, at: Timestamp) {
        let (Some((helo, extended)), Some(transaction)) = (&self.greeted, &self.transaction) else { return };
        self.messages += 1;
        let envelope = Envelope {
            client: self.client,
            helo: helo.clone(),
            reverse_path: transaction.mail.reverse_path.clone(),
            recipients: transaction.recipients.clone(),
            tls: self.tls == Tls::Active,
            extended: *extended,
            eight_bit: transaction.mail.eight_bit,
            smtputf8: transaction.mail.smtputf8,
            login: self.login.clone(),
            at,
            id: format!("{}.{}", self.id, self.messages),
        };
        self.due.push_back(Effect::Begin(envelope, transaction.mail.size.unwrap_or(0)));
    }

    fn end_of_message(&mut self) {
        let Mode::Data(scanner) = std::mem::replace(&mut self.mode, Mode::Command) else { return };
        self.take_message(&scanner);
    }

    /// The message is over: hand it on, or say what is wrong with it.
    fn take_message(&mut self, scanner: &Scanner) {
        self.transaction = None;
        self.idle_commands = 0;
        if let Some(defect) = scanner.defect() {
            self.mode = Mode::Command;
            return self.refuse(defect.reply());
        }
        self.mode = Mode::Delivering;
        self.due.push_back(Effect::Complete);
    }

    /// The chunk is taken off the wire even if it is refused: it follows the command without
    /// waiting for the answer (RFC 3030 §2).
    fn bdat(&mut self, octets: u64, last: bool, now: Timestamp) {
        let mut refused = self.message_refusal();
        if refused.is_none() && octets > self.limits.content.message {
            refused = Some(Defect::TooLarge.reply());
            self.forget_transaction();
        }
        let first = self.transaction.as_ref().is_some_and(|transaction| transaction.chunks.is_none());
        if refused.is_none() && first {
            self.begin(now);
            if let Some(transaction) = &mut self.transaction {
                transaction.chunks = Some(Scanner::counted(self.limits.content));
            }
        }
        self.mode = Mode::Chunk(Chunk { octets, left: octets, last, refused });
    }

    fn chunk<'a>(&mut self, input: &mut &'a [u8]) -> Option<Effect<'a>> {
        let Mode::Chunk(chunk) = &mut self.mode else { return None };
        if chunk.left > 0 {
            if input.is_empty() {
                return Some(Effect::Read);
            }
            let length = usize::try_from(chunk.left).unwrap_or(usize::MAX).min(input.len());
            let (mut part, rest) = input.split_at(length);
            *input = rest;
            chunk.left -= length as u64;
            let scanner = self.transaction.as_mut().and_then(|transaction| transaction.chunks.as_mut());
            return match scanner.filter(|_| chunk.refused.is_none())?.next(&mut part) {
                Piece::Content(bytes) => Some(Effect::Content(bytes)),
                Piece::More | Piece::End => None,
            };
        }
        let chunk = chunk.clone();
        self.end_of_chunk(chunk);
        None
    }

    fn end_of_chunk(&mut self, chunk: Chunk) {
        self.mode = Mode::Command;
        if let Some(reply) = chunk.refused {
            return self.refuse(reply);
        }
        let Some(mut scanner) = self.transaction.as_mut().and_then(|transaction| transaction.chunks.take()) else {
            return;
        };
        if chunk.last {
            scanner.finish();
        }
        match scanner.defect() {
            Some(defect) => {
                self.due.push_back(Effect::Discard);
                self.transaction = None;
                self.refuse(defect.reply());
            }
            None if chunk.last => self.take_message(&scanner),
            None => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.chunks = Some(scanner);
                }
                self.say(Reply::ok(format!("{} octets taken", chunk.octets)));
            }
        }
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::desk::id::{AppPasswordId, MemberId};
    use crate::desk::login::{AppPassword, by_password};
    use crate::desk::scram::{Keys, Salt};
    use crate::login::sasl::Answer;

    /// Pieces that dialogues are made of, and pieces that they should not be made of.
    const PIECES: [&str; 32] = [
        "EHLO a.example\r\n",
        "MAIL FROM:<a@b.example>\r\n",
        "MAIL FROM:<> SIZE=20\r\n",
        "RCPT TO:<c@d.example>\r\n",
        "RCPT TO:<no@d.example>\r\n",
        "MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n",
        "MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nBDAT 9\r\n",
        "MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nhi\r\n.\r\n",
        "RSET\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nBDAT 9\r\none\r\nBDAT",
        "DATA\r\n",
        "BDAT 7\r\n",
        "BDAT 5 LAST\r\n",
        "BDAT 0 LAST\r\n",
        "BDAT 70\r\n",
        "RSET\r\n",
        "NOOP\r\n",
        "STARTTLS\r\n",
        "AUTH PLAIN AGEAYg==\r\n",
        "AUTH PLAIN\r\n",
        "AGEAYg==\r\n",
        "*\r\n",
        "H: 1\r\n\r\nbody\r\n.\r\n",
        "\r\n.\r\n",
        "\r\n",
        "..\r\n",
        ".",
        "\r",
        "\n",
        "\0",
        "\u{16}",
        "text",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ];

    /// Somebody.
    fn login() -> Login {
        let salt = Salt { octets: [0; 16], iterations: NonZeroU32::MIN };
        let password = AppPassword {
            id: AppPasswordId(1),
            member: MemberId(1),
            name: String::new(),
            salt,
            keys: Keys::of("b", &salt),
            created_at: Timestamp::UNIX_EPOCH,
            last_use: None,
        };
        by_password(&[password], &Keys::of("b", &salt)).unwrap()
    }

    /// What comes of a dialogue that arrives in pieces of `size` octets. Text of messages that were
    /// dropped counts for nothing.
    fn play(dialogue: &[u8], size: usize, service: Service) -> Vec<String> {
        let limits = SessionLimits {
            content: ContentLimits { message: 60, header: 40, line: 50 },
            errors: 20,
            ..SessionLimits::default()
        };
        let client = IpAddr::from([192, 0, 2, 1]);
        let tls = if service == Service::World { Tls::Unavailable } else { Tls::Active };
        let mut session = Session::new("desk.example".into(), client, "s".into(), limits, service, tls);
        let (mut seen, mut text) = (Vec::new(), Vec::new());
        for mut input in dialogue.chunks(size) {
            loop {
                match session.advance(Timestamp::UNIX_EPOCH, &mut input) {
                    Effect::Read => break,
                    Effect::Content(octets) => text.extend_from_slice(octets),
                    Effect::Login(_) => session.login_answered(Answer::Login(login(), None)),
                    Effect::Recipient(_, address) => {
                        let known = address.local() != "no";
                        session.recipient_answered(if known { Ok(()) } else { Err(Reply::no_such_recipient("no")) });
                    }
                    Effect::Discard => {
                        text.clear();
                        seen.push("dropped".into());
                    }
                    Effect::Complete => {
                        seen.push(format!("message {:?}", text.escape_ascii().to_string()));
                        text.clear();
                        session.delivered(Reply::ok("taken"));
                    }
                    Effect::Close(reply) => {
                        seen.push(format!("close {reply}"));
                        return seen;
                    }
                    other => seen.push(format!("{other:?}")),
                }
            }
        }
        seen
    }

    #[test]
    fn any_dialogue_comes_to_the_same_however_it_is_split() {
        let mut random = 7_u64;
        let mut taken = [0; 2];
        for round in 0..4000 {
            let mut dialogue = b"EHLO a.example\r\n".to_vec();
            let service = if round % 2 == 0 { Service::World } else { Service::Submission };
            if round % 4 == 1 {
                dialogue.extend_from_slice(b"AUTH PLAIN AGEAYg==\r\n");
            }
            for _ in 0..30 {
                // Knuth's MMIX generator: the same dialogues at every run.
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let piece = usize::try_from(random >> 33).unwrap() % PIECES.len();
                dialogue.extend_from_slice(PIECES[piece].as_bytes());
            }
            let whole = play(&dialogue, dialogue.len(), service);
            for size in [1, 2, 3, 7] {
                assert_eq!(play(&dialogue, size, service), whole, "round {round}, {size}: {}", dialogue.escape_ascii());
            }
            taken[round % 2] += whole.iter().filter(|line| line.starts_with("message")).count();
        }
        assert!(
            taken.iter().all(|taken| *taken > 500),
            "the dialogues should come to something, not only to {taken:?}"
        );
    }

    #[test]
    fn answers_that_nobody_asked_for_change_nothing() {
        let client = IpAddr::from([192, 0, 2, 1]);
        let mut session = Session::new(
            "desk.example".into(),
            client,
            "s".into(),
            SessionLimits::default(),
            Service::World,
            Tls::Unavailable,
        );
        session.login_answered(Answer::Login(login(), None));
        session.recipient_answered(Ok(()));
        session.delivered(Reply::ok("taken"));
        session.tls_started();
        let mut input = &b"MAIL FROM:<>\r\n"[..];
        assert!(
            matches!(session.advance(Timestamp::UNIX_EPOCH, &mut input), Effect::Reply(reply) if reply.code == 220)
        );
        assert!(
            matches!(session.advance(Timestamp::UNIX_EPOCH, &mut input), Effect::Reply(reply) if reply.code == 503)
        );
        assert!(!session.in_transaction());
    }
}
