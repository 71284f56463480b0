//! The words of a command: atoms, strings, numbers and lists (RFC 3501 §4 and §9).
//!
//! Blanks are taken where a client may have put one too many: several for one, inside of parentheses,
//! and at the end of the line.

use std::borrow::Cow;

use memchr::memchr;

use super::line::{self, Literal};
use super::name;
use crate::imap::command::Name;

/// Things in one list, and keywords in one command.
pub(super) const MANY: usize = 1000;
/// Parentheses, NOT and OR within each other, and the numbers of one part.
pub(super) const DEPTH: usize = 50;
/// The largest MODSEQ: 63 bits (RFC 7162 §3.1).
const MODSEQ: u64 = i64::MAX as u64;

/// Why it can't be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// No command has this; the client reads why.
    Wrong(&'static str),
    /// The octets end here, and the command can't: a literal is to come.
    Short,
}

pub(super) type Read<T> = Result<T, Stop>;

pub(super) fn wrong<T>(text: &'static str) -> Read<T> {
    Err(Stop::Wrong(text))
}

/// Reads a command from its front, with the end of its last line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    /// Names of mailboxes are in UTF-8.
    utf8: bool,
}

impl<'a> Cursor<'a> {
    pub fn new(octets: &'a [u8], utf8: bool) -> Self {
        Self { rest: octets, utf8 }
    }

    /// The next octet; there is always one, since a command ends with the end of a line.
    pub fn peek(&self) -> Read<u8> {
        self.rest.first().copied().ok_or(Stop::Short)
    }

    /// Whether the next octet is this one; it is taken then.
    pub fn eat(&mut self, octet: u8) -> bool {
        let found = self.rest.first() == Some(&octet);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    pub fn expect(&mut self, octet: u8, text: &'static str) -> Read<()> {
        if self.peek()? == octet {
            self.rest = &self.rest[1..];
            Ok(())
        } else {
            wrong(text)
        }
    }

    pub fn blanks(&mut self) {
        while self.eat(b' ') {}
    }

    pub fn space(&mut self) -> Read<()> {
        self.expect(b' ', "something is missing: a blank and what follows it")?;
        self.blanks();
        Ok(())
    }

    /// Whether something follows on the line. It must stand behind a blank, which is taken.
    pub fn another(&mut self) -> Read<bool> {
        let apart = self.peek()? == b' ';
        self.blanks();
        match self.peek()? {
            b'\r' | b'\n' => Ok(false),
            _ if apart => Ok(true),
            _ => wrong("something stands where a blank or the end should be"),
        }
    }

    /// The end of the command.
    pub fn end(&mut self) -> Read<()> {
        if self.another()? {
            return wrong("the command goes on where it should end");
        }
        match self.rest {
            b"\r\n" | b"\n" => Ok(()),
            b"\r" => Err(Stop::Short),
            _ => wrong("a CR stands without LF"),
        }
    }

    /// As many octets as are of this kind.
    fn while_is(&mut self, is: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.rest.iter().position(|octet| !is(*octet)).unwrap_or(self.rest.len());
        let (found, rest) = self.rest.split_at(length);
        self.rest = rest;
        found
    }

    /// One or more octets of this kind, all of them ASCII.
    pub fn some(&mut self, is: impl Fn(u8) -> bool, text: &'static str) -> Read<&'a str> {
        self.peek()?;
        match str::from_utf8(self.while_is(is)) {
            Ok(found) if !found.is_empty() => Ok(found),
            _ => wrong(text),
        }
    }

    pub fn atom(&mut self) -> Read<&'a str> {
        self.some(is_atom, "an atom is missing")
    }

    /// A word of the language, in capitals.
    pub fn word(&mut self) -> Read<String> {
        let is = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-');
        self.some(is, "a word is missing").map(str::to_ascii_uppercase)
    }

    /// Whether this word comes next, in any case; it is taken then. Something else must be able to
    /// stand there that is no such word.
    pub fn eat_word(&mut self, word: &str) -> bool {
        let mut ahead = *self;
        let found = ahead.word().is_ok_and(|found| found == word);
        if found {
            *self = ahead;
        }
        found
    }

    /// A quoted string or a literal.
    pub fn string(&mut self) -> Read<Cow<'a, [u8]>> {
        match self.peek()? {
            b'"' => self.quoted(),
            b'{' => self.literal().map(Cow::Borrowed),
            _ => wrong("a string is missing"),
        }
    }

    pub fn astring(&mut self) -> Read<Cow<'a, [u8]>> {
        match self.peek()? {
            b'"' | b'{' => self.string(),
            _ => Ok(Cow::Borrowed(self.some(is_astring, "a string is missing")?.as_bytes())),
        }
    }

    fn quoted(&mut self) -> Read<Cow<'a, [u8]>> {
        let inside = &self.rest[1..];
        let mut plain = Cow::Borrowed(&inside[..0]);
        let mut at = 0;
        loop {
            let octet = *inside.get(at).ok_or(Stop::Short)?;
            match octet {
                b'"' => break,
                0 | b'\r' | b'\n' => return wrong("a quoted string does not end on its line, or has a NUL"),
                b'\\' => {
                    let escaped = *inside.get(at + 1).ok_or(Stop::Short)?;
                    if !matches!(escaped, b'"' | b'\\') {
                        return wrong("in a quoted string \\ stands before \\ and \" alone");
                    }
                    plain.to_mut().push(escaped);
                    at += 2;
                }
                _ => {
                    at += 1;
                    match &mut plain {
                        Cow::Borrowed(plain) => *plain = &inside[..at],
                        Cow::Owned(plain) => plain.push(octet),
                    }
                }
            }
        }
        self.rest = &inside[at + 1..];
        Ok(plain)
    }

    fn literal(&mut self) -> Read<&'a [u8]> {
        let size = self.announcement()?.size;
        let octets = usize::try_from(size).ok().and_then(|size| self.rest.split_at_checked(size));
        let (octets, rest) = octets.ok_or(Stop::Short)?;
        if octets.contains(&0) {
            return wrong("a literal has a NUL");
        }
        self.rest = rest;
        Ok(octets)
    }

    /// What a literal begins with, which ends the line; also a message's, which may have NULs
    /// (RFC 3516 §4.4).
    pub fn announcement(&mut self) -> Read<Literal> {
        let end = memchr(b'\n', self.rest).ok_or(Stop::Short)?;
        let (line, rest) = self.rest.split_at(end + 1);
        let head = line.strip_prefix(b"~").unwrap_or(line);
        let is_alone = head.iter().rposition(|octet| *octet == b'{') == Some(0);
        let literal = line::literal(head).filter(|_| is_alone).ok_or(Stop::Wrong("a literal is missing"))?;
        self.rest = rest;
        Ok(literal)
    }

    /// A string or an atom, which must be UTF-8.
    pub fn text(&mut self) -> Read<String> {
        utf8(self.astring()?)
    }

    /// A string; `None` for NIL.
    pub fn nstring(&mut self) -> Read<Option<String>> {
        match self.peek()? {
            b'"' | b'{' => utf8(self.string()?).map(Some),
            _ if self.eat_word("NIL") => Ok(None),
            _ => wrong("a string or NIL is missing"),
        }
    }

    pub fn mailbox(&mut self) -> Read<Name> {
        let text = self.text()?;
        self.name(text)
    }

    /// A mailbox's name, or a pattern of some, from what stands in the command.
    pub fn name(&self, text: String) -> Read<Name> {
        let text = if self.utf8 { Some(text) } else { name::decode(&text) };
        match text {
            None => wrong("a mailbox's name is not in modified UTF-7"),
            Some(text) if text.contains(char::is_control) => wrong("a mailbox's name has a control character"),
            Some(text) if text.eq_ignore_ascii_case("INBOX") => Ok(Name("INBOX".to_owned())),
            Some(text) => Ok(Name(text)),
        }
    }

    fn digits(&mut self, most: u64) -> Read<u64> {
        let digits = self.some(|octet| octet.is_ascii_digit(), "a number is missing")?;
        match digits.parse() {
            Ok(number) if number <= most => Ok(number),
            _ => wrong("a number is too large"),
        }
    }

    pub fn number(&mut self) -> Read<u32> {
        Ok(u32::try_from(self.digits(u32::MAX.into())?).unwrap_or(u32::MAX))
    }

    /// A number that is not 0.
    pub fn positive(&mut self) -> Read<u32> {
        match self.number()? {
            0 => wrong("a number is 0 that can't be"),
            number => Ok(number),
        }
    }

    pub fn modseq(&mut self) -> Read<u64> {
        self.digits(MODSEQ)
    }

    /// `(…)`, perhaps with nothing in it, of up to [`MANY`] things.
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        self.expect(b'(', "a parenthesis is missing")?;
        self.blanks();
        let mut items = Vec::new();
        while !self.closes()? {
            if items.len() == MANY {
                return wrong("there are more things in one list than anybody needs");
            }
            items.push(item(self)?);
            if self.peek()? != b')' {
                self.expect(b' ', "a parenthesis is missing, or something stands in a list that can't")?;
                self.blanks();
            }
        }
        Ok(items)
    }

    /// As [`Self::list`], with something in it.
    pub fn filled<T>(&mut self, item: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let items = self.list(item)?;
        if items.is_empty() { wrong("there is nothing between two parentheses") } else { Ok(items) }
    }

    fn closes(&mut self) -> Read<bool> {
        self.peek()?;
        Ok(self.eat(b')'))
    }
}

pub(super) fn utf8(octets: Cow<'_, [u8]>) -> Read<String> {
    String::from_utf8(octets.into_owned()).map_err(|_| Stop::Wrong("a string is not in UTF-8"))
}

/// RFC 3501 §9, ATOM-CHAR.
pub(super) fn is_atom(octet: u8) -> bool {
    (b'!'..=b'~').contains(&octet) && !b"(){%*\"\\]".contains(&octet)
}

/// RFC 3501 §9, ASTRING-CHAR.
pub(super) fn is_astring(octet: u8) -> bool {
    is_atom(octet) || octet == b']'
}
