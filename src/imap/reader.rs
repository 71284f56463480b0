//! Octets to [`Command`](super::command::Command)s, however the stream is cut, in bounded memory and
//! without I/O.
//!
//! A command is gathered whole, its literals in their places, and then read: what the grammar says of
//! it stands in the modules below. The messages of APPEND are not gathered; they pass through as they
//! come. Where a literal is announced, what stands before it is read at once, so a client that waits
//! for our word learns of a mistake before it sends anything (RFC 3501 §4.3).

mod append;
mod cursor;
mod date;
mod fetch;
mod flag;
mod line;
mod list;
mod name;
mod search;
mod set;
#[cfg(test)]
mod tests;
mod verb;

use memchr::memchr;

use self::append::Announced;
use self::line::Literal;
use self::verb::{Bad, Parsed};
use super::command::{Append, Name, Tagged};

pub use self::name::{encode_keyword, encode_name};

/// Octets of a line that is no command: an answer to AUTHENTICATE, or DONE.
const RAW_LINE: usize = 16 << 10;
/// Empty lines one after the other; some clients send one behind a literal.
const EMPTY_LINES: u32 = 20;
/// How many literals of a command are looked at when they are announced. What stands before them is
/// read anew each time, so a command of many is not.
const EAGER_LITERALS: u32 = 8;
/// The first octet of a TLS handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderLimits {
    /// Octets of a whole command with its literals, but without the messages of APPEND.
    pub command: usize,
    /// Octets of what is refused and sent nevertheless, in one command, that are read and forgotten.
    pub skipped: u64,
}

impl Default for ReaderLimits {
    /// 16 KiB, as before a login, and 64 MiB.
    fn default() -> Self {
        Self { command: 16 << 10, skipped: 64 << 20 }
    }
}

/// What was read, or what is to be done before more can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// All was taken; there must be more.
    Read,
    /// The client waits to be told to go on with a literal: `+ OK`.
    Go,
    Command(Tagged),
    /// The line that [`Reader::expect_line`] spoke of, without its end.
    Line(Vec<u8>),
    /// An APPEND, whose first message is announced next.
    AppendBegin {
        tag: String,
        mailbox: Name,
    },
    /// A message of the APPEND is announced. Unless it is refused now ([`Reader::refuse`]), its
    /// octets are next, for a client that waits after [`Input::Go`].
    Message(Append),
    /// Some octets of the message, never none.
    Octets(&'a [u8]),
    MessageEnd,
    /// The APPEND is complete.
    AppendEnd {
        tag: String,
    },
    /// No command, or an APPEND that goes on as none does: all of it is void. The rest of it is being
    /// read and forgotten. Without a tag where there is none that could be answered to.
    Bad {
        tag: Option<String>,
        text: String,
    },
    /// What comes can't be made sense of any more, for the reason given; it will never be anything
    /// else.
    Over(String),
}

#[derive(Debug)]
enum State {
    /// A line of a command, or the rest of the line behind a message.
    Line,
    /// So many octets of a literal are still to come.
    Literal(usize),
    /// One line that is no command.
    Raw,
    /// The message is to be told of.
    Announce(Append),
    /// The message was told of.
    Announced(Append),
    /// So many octets of a message are still to come.
    Message(u64),
    /// So many octets of what was refused are still to come, and then the rest of its line.
    Skip(u64),
    SkipLine,
    Over(&'static str),
}

/// An APPEND whose first message was announced.
#[derive(Debug)]
struct Appending {
    tag: String,
    /// The message stands in `UTF8 (…)` (RFC 6855 §4).
    wrapped: bool,
}

/// Reads what one client says.
pub struct Reader {
    pub limits: ReaderLimits,
    utf8: bool,
    state: State,
    /// The command so far; behind a message of APPEND its line so far.
    gathered: Vec<u8>,
    /// Where in it the line begins that is being gathered.
    line_at: usize,
    /// Octets of the command that were gathered and are done with.
    used: usize,
    /// Literals that were announced in it.
    literals: u32,
    skipped: u64,
    empty_lines: u32,
    append: Option<Appending>,
}

/// Without what was gathered, which may be a password.
impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Reader {
    #[must_use]
    pub fn new(limits: ReaderLimits) -> Self {
        Self {
            limits,
            utf8: false,
            state: State::Line,
            gathered: Vec::new(),
            line_at: 0,
            used: 0,
            literals: 0,
            skipped: 0,
            empty_lines: 0,
            append: None,
        }
    }

    /// One line comes next that is no command: what answers AUTHENTICATE, or ends IDLE. Said between
    /// commands.
    pub fn expect_line(&mut self) {
        debug_assert!(matches!(self.state, State::Line | State::Over(_)) && self.gathered.is_empty());
        if matches!(self.state, State::Line) {
            self.state = State::Raw;
        }
    }

    /// Names of mailboxes are in UTF-8 from now on, and no longer in modified UTF-7: the client said
    /// ENABLE UTF8=ACCEPT (RFC 6855 §3) or IMAP4rev2 (RFC 9051 §5.1).
    pub fn utf8(&mut self, utf8: bool) {
        self.utf8 = utf8;
    }

    /// Refuses the message that was announced just now, and with it the APPEND: neither its octets nor
    /// its end will be told. A client that waits does not send it; of one that does not wait, the
    /// rest of the command is read and forgotten.
    pub fn refuse(&mut self) {
        let (State::Announce(append) | State::Announced(append)) = &self.state else {
            debug_assert!(false, "nothing was announced");
            return;
        };
        let (size, waits) = (append.size, append.waits);
        self.drop_rest(Some(Literal { size, waits }));
    }

    /// Octets of memory held for a command that has not ended: at most about twice as many as it may
    /// have.
    pub fn held(&self) -> usize {
        self.gathered.capacity()
    }

    /// Takes the next thing from the front of `input`. After [`Input::Read`] nothing is left of it.
    pub fn advance<'a>(&mut self, input: &mut &'a [u8]) -> Input<'a> {
        loop {
            if let Some(found) = self.step(input) {
                return found;
            }
        }
    }

    fn step<'a>(&mut self, input: &mut &'a [u8]) -> Option<Input<'a>> {
        match &mut self.state {
            State::Announce(append) => {
                let append = append.clone();
                self.state = State::Announced(append.clone());
                Some(Input::Message(append))
            }
            State::Announced(append) => {
                let waits = append.waits;
                self.state = State::Message(append.size);
                waits.then_some(Input::Go)
            }
            State::Message(0) => {
                self.state = State::Line;
                Some(Input::MessageEnd)
            }
            State::Literal(0) => {
                self.line_at = self.gathered.len();
                self.state = State::Line;
                None
            }
            State::Skip(0) => {
                self.state = State::SkipLine;
                None
            }
            State::Over(text) => {
                *input = &[];
                Some(Input::Over((*text).to_owned()))
            }
            _ if input.is_empty() => Some(Input::Read),
            State::Literal(left) => {
                let part = take(input, *left);
                *left -= part.len();
                self.gathered.extend_from_slice(part);
                None
            }
            State::Message(left) => {
                let part = take(input, usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= part.len() as u64;
                Some(Input::Octets(part))
            }
            State::Skip(left) => {
                let part = take(input, usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= part.len() as u64;
                None
            }
            State::Raw => {
                if !self.gather(input, RAW_LINE + 2) {
                    return None;
                }
                let end = line::content(&self.gathered).len();
                if end > RAW_LINE {
                    self.over("the line is too long");
                    return None;
                }
                let mut line = std::mem::take(&mut self.gathered);
                line.truncate(end);
                self.begin();
                Some(Input::Line(line))
            }
            State::SkipLine => {
                if !self.gather(input, self.limits.command) {
                    return None;
                }
                self.skipped += self.gathered.len() as u64;
                let literal = line::literal(&self.gathered);
                self.drop_rest(literal);
                None
            }
            State::Line => {
                if self.gathered.is_empty() && self.append.is_none() && input.first() == Some(&TLS_HANDSHAKE) {
                    self.over("TLS is not spoken here and now");
                    return None;
                }
                let limit = self.limits.command.saturating_sub(self.used);
                if self.gather(input, limit) { self.line_ended() } else { None }
            }
        }
    }

    /// Gathers octets up to the end of the line, or as many as there are; whether its end was met.
    /// With more than `limit` octets in all it is over.
    fn gather(&mut self, input: &mut &[u8], limit: usize) -> bool {
        let end = memchr(b'\n', input);
        let part = take(input, end.map_or(input.len(), |at| at + 1));
        if self.gathered.len() + part.len() > limit {
            self.over("the line is too long");
            return false;
        }
        self.gathered.extend_from_slice(part);
        end.is_some()
    }

    fn over(&mut self, text: &'static str) {
        self.begin();
        self.state = State::Over(text);
    }

    /// A new command may begin.
    fn begin(&mut self) {
        self.state = State::Line;
        self.gathered = Vec::new();
        self.line_at = 0;
        self.used = 0;
        self.literals = 0;
        self.skipped = 0;
        self.append = None;
    }

    /// Leaves the command, whose last line announced this literal. Whoever waits to send a literal
    /// will not send it, nor anything of the command behind it.
    fn drop_rest(&mut self, literal: Option<Literal>) {
        let skipped = self.skipped;
        self.begin();
        let Some(Literal { size, waits: false }) = literal else { return };
        self.skipped = skipped.saturating_add(size);
        if self.skipped > self.limits.skipped {
            self.over("more follows of what was refused than anybody could want to read");
        } else {
            self.state = State::Skip(size);
        }
    }

    fn bad<'a>(&mut self, bad: Bad, literal: Option<Literal>) -> Input<'a> {
        self.drop_rest(literal);
        Input::Bad { tag: bad.tag, text: bad.text.to_owned() }
    }

    fn line_ended<'a>(&mut self) -> Option<Input<'a>> {
        let literal = line::literal(&self.gathered[self.line_at..]);
        if let Some(appending) = self.append.take() {
            return self.behind_message(appending, literal);
        }
        if let Some(literal) = literal {
            return self.literal(literal);
        }
        if line::content(&self.gathered).is_empty() {
            self.begin();
            self.empty_lines += 1;
            if self.empty_lines > EMPTY_LINES {
                self.over("there are empty lines alone");
            }
            return None;
        }
        self.empty_lines = 0;
        Some(match verb::parse(&self.gathered, self.utf8) {
            Parsed::Command(tagged) => {
                self.begin();
                Input::Command(tagged)
            }
            Parsed::Bad(bad) => self.bad(bad, None),
            Parsed::Append { tag, .. } | Parsed::Short(tag) => {
                self.bad(Bad { tag: Some(tag), text: "the command ends too early" }, None)
            }
        })
    }

    /// A literal of a command is announced.
    fn literal<'a>(&mut self, literal: Literal) -> Option<Input<'a>> {
        self.empty_lines = 0;
        self.literals += 1;
        if self.literals <= EAGER_LITERALS {
            match verb::parse(&self.gathered, self.utf8) {
                Parsed::Short(_) => {}
                Parsed::Append { tag, mailbox, announced } => {
                    self.announce(tag.clone(), announced);
                    return Some(Input::AppendBegin { tag, mailbox });
                }
                Parsed::Bad(bad) => return Some(self.bad(bad, Some(literal))),
                Parsed::Command(Tagged { tag, .. }) => {
                    return Some(self.bad(Bad { tag: Some(tag), text: "no literal belongs here" }, Some(literal)));
                }
            }
        }
        let left = self.limits.command.saturating_sub(self.gathered.len());
        match usize::try_from(literal.size) {
            Ok(size) if size <= left => {
                self.state = State::Literal(size);
                literal.waits.then_some(Input::Go)
            }
            _ => {
                let bad = Bad { tag: verb::tag_of(&self.gathered), text: "the command is too long" };
                Some(self.bad(bad, Some(literal)))
            }
        }
    }

    /// The line behind a message has ended.
    fn behind_message<'a>(&mut self, appending: Appending, literal: Option<Literal>) -> Option<Input<'a>> {
        let Appending { tag, wrapped } = appending;
        match append::go_on(&self.gathered, wrapped) {
            Ok(Some(announced)) => {
                self.announce(tag, announced);
                None
            }
            Ok(None) => {
                self.begin();
                Some(Input::AppendEnd { tag })
            }
            Err(text) => Some(self.bad(Bad { tag: Some(tag), text }, literal)),
        }
    }

    /// A message of an APPEND is announced.
    fn announce(&mut self, tag: String, announced: Announced) {
        let used = self.used + self.gathered.len();
        self.begin();
        self.used = used;
        self.append = Some(Appending { tag, wrapped: announced.wrapped });
        self.state = State::Announce(announced.append);
    }
}

/// Takes up to so many octets.
fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (part, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    part
}
