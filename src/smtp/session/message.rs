//! The message itself, by DATA (RFC 5321 §4.1.1.4) or in chunks by BDAT (RFC 3030).

use jiff::Timestamp;

use super::{Effect, Mode, Session, Tls};
use crate::desk::envelope::Envelope;
use crate::smtp::data::{Defect, Piece, Scanner};
use crate::smtp::reply::Reply;

/// A chunk of BDAT on its way in.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    octets: u64,
    left: u64,
    last: bool,
    /// Why it is only taken off the wire.
    refused: Option<Reply>,
}

impl Session {
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

    pub(super) fn data(&mut self, now: Timestamp) {
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
        let envelope = Envelope {
            client: self.client,
            helo: helo.clone(),
            reverse_path: transaction.mail.reverse_path.clone(),
            recipients: transaction.recipients.clone(),
            tls: (self.tls == Tls::Active).then(|| self.negotiated.clone().unwrap_or_default()),
            extended: *extended,
            eight_bit: transaction.mail.eight_bit,
            smtputf8: transaction.mail.smtputf8,
            login: self.login.clone(),
            at,
            id: transaction.id.clone(),
        };
        self.due.push_back(Effect::Begin(envelope, transaction.mail.size.unwrap_or(0)));
    }

    pub(super) fn end_of_message(&mut self) {
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
    pub(super) fn bdat(&mut self, octets: u64, last: bool, now: Timestamp) {
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

    pub(super) fn chunk<'a>(&mut self, input: &mut &'a [u8]) -> Option<Effect<'a>> {
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
}
