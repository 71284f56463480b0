//! One SMTP session as a state machine without I/O (RFC 5321 §3 and §4): bytes go in, split in any
//! way, [`Effect`]s come out.
//!
//! Whoever drives it calls [`Session::advance`] until it wants to read, carries out each effect in
//! order, and answers the two that are questions: [`Effect::Recipient`] with
//! [`Session::recipient_answered`], [`Effect::Complete`] with [`Session::delivered`].
//!
//! SMTP AUTH (RFC 4954) has its place beside STARTTLS: one more state between commands, one more
//! question to the driver. Port 25 has no use for it.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::IpAddr;

use jiff::Timestamp;
use memchr::memchr;

use crate::desk::address::Address;
use crate::desk::envelope::Envelope;

use super::command::{self, Command, Mail, Recipient, Refusal};
use super::data::{ContentLimits, Defect, Piece, Scanner};
use super::reply::Reply;

/// The longest command line with its CRLF: 512 octets (RFC 5321 §4.5.3.1.4) and what the
/// extensions add to it (RFC 1870, 3461, 4954, 6531).
const LINE_LIMIT: usize = 2048;
/// Octets of one line after which its sender is no mail client.
const FLOOD_LIMIT: usize = 64 << 10;
/// The first octet of a TLS handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

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
    /// Ask whether mail for this address is taken; answer with [`Session::recipient_answered`].
    Recipient(Address),
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
    tls: Tls,
    /// What EHLO or HELO said, and whether it was EHLO.
    greeted: Option<(String, bool)>,
    transaction: Option<Transaction>,
    mode: Mode,
    /// A command line of which the end has not come yet.
    line: Vec<u8>,
    /// Octets of that line that were thrown away because it is too long.
    flooded: usize,
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
    pub fn new(hostname: String, client: IpAddr, id: String, limits: SessionLimits, tls: Tls) -> Self {
        let mut session = Self {
            hostname,
            client,
            id,
            limits,
            tls,
            greeted: None,
            transaction: None,
            mode: Mode::Command,
            line: Vec::new(),
            flooded: 0,
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
                Mode::Asked(_) | Mode::Delivering => return Effect::Read,
                Mode::Command => match self.take_line(input) {
                    None => return Effect::Read,
                    Some(Ok(line)) => self.command(&line, now),
                    Some(Err(reply)) => self.refuse(reply),
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
        let Mode::Asked(address) = std::mem::replace(&mut self.mode, Mode::Command) else { return };
        let Some(transaction) = &mut self.transaction else { return };
        match answer {
            Ok(()) => {
                if !transaction.recipients.contains(&address) {
                    transaction.recipients.push(address);
                }
                self.say(Reply::new(250, (2, 1, 5), "recipient ok"));
            }
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
            self.transaction = None;
        }
    }

    /// Ends the session from outside: a deadline, a shutdown.
    pub fn close(&mut self, reply: Reply) {
        self.mode = Mode::Closed;
        self.transaction = None;
        self.due.push_back(Effect::Close(reply));
    }

    /// The next command line without its CRLF, the reply to one that is none, or `None` when its
    /// end has not come. Never keeps more than [`LINE_LIMIT`] octets.
    fn take_line<'a>(&mut self, input: &mut &'a [u8]) -> Option<Result<Cow<'a, [u8]>, Reply>> {
        let bytes = *input;
        let first = self.line.first().or(bytes.first())?;
        if *first == TLS_HANDSHAKE && self.flooded == 0 {
            self.close(Reply::new(554, (5, 5, 1), "this port begins without TLS; use STARTTLS"));
            return None;
        }
        let end = memchr(b'\n', bytes);
        let (part, rest) = bytes.split_at(end.map_or(bytes.len(), |at| at + 1));
        *input = rest;
        let length = self.flooded + self.line.len() + part.len();
        if length > FLOOD_LIMIT {
            self.close(Reply::new(554, (5, 5, 2), "this is no command"));
            return None;
        }
        if length > LINE_LIMIT {
            self.line = Vec::new();
            self.flooded = if end.is_some() { 0 } else { length };
            return end.map(|_| Err(Reply::new(500, (5, 5, 2), "the line is too long")));
        }
        if end.is_none() {
            self.line.extend_from_slice(part);
            return None;
        }
        let line = if self.line.is_empty() {
            Cow::Borrowed(part)
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(part);
            Cow::Owned(line)
        };
        let ended = match line {
            Cow::Borrowed(line) => line.strip_suffix(b"\r\n").map(Cow::Borrowed),
            Cow::Owned(mut line) => line.ends_with(b"\r\n").then(|| {
                line.truncate(line.len() - 2);
                Cow::Owned(line)
            }),
        };
        Some(ended.ok_or_else(|| Reply::new(500, (5, 5, 2), "end every line with CR LF")))
    }

    fn command(&mut self, line: &[u8], now: Timestamp) {
        let command = match command::parse(line) {
            Ok(command) => command,
            Err(Refusal::Reply(reply)) => return self.refuse(reply),
            Err(Refusal::Recipient(reply)) => {
                let out_of_order = self.recipient_refusal();
                return match out_of_order {
                    Some(refusal) => self.refuse(refusal),
                    None => self.refuse_recipient(reply),
                };
            }
            Err(Refusal::Close(reply)) => return self.close(reply),
        };
        match command {
            Command::Ehlo(name) => self.hello(name, true),
            Command::Helo(name) => self.hello(name, false),
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
                "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS QUIT\nRFC 5321 tells the rest",
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
            "{}\nPIPELINING\nSIZE {}\n8BITMIME\nSMTPUTF8\nCHUNKING{starttls}\nENHANCEDSTATUSCODES",
            self.hostname, self.limits.content.message
        );
        self.idle(Reply::plain(250, extensions));
    }

    fn mail(&mut self, mail: Mail) {
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
        match &self.transaction {
            None => Some(Reply::new(503, (5, 5, 1), "say MAIL first")),
            Some(transaction) if transaction.chunks.is_some() => {
                Some(Reply::new(503, (5, 5, 1), "the message has begun"))
            }
            Some(_) => None,
        }
    }

    fn recipient(&mut self, recipient: Recipient) {
        if let Some(refusal) = self.recipient_refusal() {
            return self.refuse(refusal);
        }
        let Some(transaction) = &self.transaction else { return };
        let (count, smtputf8) = (transaction.recipients.len(), transaction.mail.smtputf8);
        if count >= self.limits.recipients {
            return self.refuse_recipient(Reply::new(
                452,
                (4, 5, 3),
                "too many recipients; send the rest in another mail",
            ));
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
        self.due.push_back(Effect::Recipient(address.clone()));
        self.mode = Mode::Asked(address);
    }

    /// Why no message may begin now.
    fn message_refusal(&self) -> Option<Reply> {
        match &self.transaction {
            None => Some(Reply::new(503, (5, 5, 1), "say MAIL and RCPT first")),
            Some(transaction) if transaction.recipients.is_empty() => {
                Some(Reply::new(554, (5, 5, 1), "no valid recipients"))
            }
            Some(_) => None,
        }
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
