//! Whole dialogues, each cut at every place.

use super::*;
use crate::imap::command::{
    Bound, Command, FetchItem, Flag, List, ListBy, ListReturn, ListSelect, Partial, Resync, SearchKey, SearchReturn,
    Secret, Section, Set, SortBy, SortCriterion, StatusItem, StoreHow, ThreadAlgorithm, What,
};

/// What came, its octets put together.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Go,
    Command(Tagged),
    Line(Vec<u8>),
    AppendBegin(String, Name),
    Message(Append),
    Octets(Vec<u8>),
    MessageEnd,
    AppendEnd(String),
    Bad(Option<String>, String),
    Over(String),
}

#[derive(Clone, Copy)]
struct Client<'a> {
    limits: ReaderLimits,
    utf8: bool,
    /// After IDLE and AUTHENTICATE a line comes.
    lines: bool,
    /// Messages larger than this are refused.
    most: u64,
    parts: &'a [&'a [u8]],
}

const LIMITS: ReaderLimits = ReaderLimits { command: 2_000, skipped: 500 };

impl Client<'_> {
    fn play(self) -> Vec<Seen> {
        let mut reader = Reader::new(self.limits);
        reader.utf8(self.utf8);
        let mut seen = Vec::new();
        for part in self.parts {
            let mut input = *part;
            loop {
                let next = match reader.advance(&mut input) {
                    Input::Read => break assert!(input.is_empty()),
                    Input::Over(text) => {
                        seen.push(Seen::Over(text));
                        return seen;
                    }
                    Input::Go => Seen::Go,
                    Input::Command(tagged) => {
                        if self.lines && matches!(tagged.command, Command::Idle | Command::Authenticate { .. }) {
                            reader.expect_line();
                        }
                        Seen::Command(tagged)
                    }
                    Input::Line(line) => Seen::Line(line),
                    Input::AppendBegin { tag, mailbox } => Seen::AppendBegin(tag, mailbox),
                    Input::Message(append) => {
                        if append.size > self.most {
                            reader.refuse();
                        }
                        Seen::Message(append)
                    }
                    Input::Octets(octets) => {
                        assert!(!octets.is_empty());
                        if let Some(Seen::Octets(before)) = seen.last_mut() {
                            before.extend_from_slice(octets);
                            continue;
                        }
                        Seen::Octets(octets.to_vec())
                    }
                    Input::MessageEnd => Seen::MessageEnd,
                    Input::AppendEnd { tag } => Seen::AppendEnd(tag),
                    Input::Bad { tag, text } => Seen::Bad(tag, text),
                };
                seen.push(next);
            }
            assert!(reader.held() <= 2 * (self.limits.command.max(RAW_LINE) + 2));
        }
        seen
    }
}

/// What comes of a text, whole, octet by octet, and cut once at each place.
fn with(text: &[u8], client: Client<'_>) -> Vec<Seen> {
    let whole = Client { parts: &[text], ..client }.play();
    let octets: Vec<&[u8]> = text.chunks(1).collect();
    assert_eq!(Client { parts: &octets, ..client }.play(), whole, "octet by octet: {}", text.escape_ascii());
    for at in 0..=text.len().min(600) {
        let (one, two) = text.split_at(at);
        assert_eq!(Client { parts: &[one, two], ..client }.play(), whole, "cut at {at}: {}", text.escape_ascii());
    }
    whole
}

const CLIENT: Client<'_> = Client { limits: LIMITS, utf8: false, lines: true, most: 1_000, parts: &[] };

fn read(text: impl AsRef<[u8]>) -> Vec<Seen> {
    with(text.as_ref(), CLIENT)
}

fn read_in_utf8(text: &str) -> Vec<Seen> {
    with(text.as_bytes(), Client { utf8: true, ..CLIENT })
}

/// The one command that a line without tag and end is.
#[track_caller]
fn command(line: &str) -> Command {
    let mut seen = read(format!("a {line}\r\n"));
    seen.retain(|seen| *seen != Seen::Go);
    match seen.as_slice() {
        [Seen::Command(Tagged { tag, command })] if tag == "a" => command.clone(),
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn is_bad(line: &str) {
    let seen = read(format!("a {line}\r\nb NOOP\r\n"));
    match seen.as_slice() {
        [Seen::Bad(Some(tag), text), Seen::Command(noop)] if tag == "a" && !text.is_empty() => {
            assert_eq!(*noop, Tagged { tag: "b".to_owned(), command: Command::Noop });
        }
        other => panic!("{line}: {other:?}"),
    }
}

fn tagged(tag: &str, command: Command) -> Seen {
    Seen::Command(Tagged { tag: tag.to_owned(), command })
}

fn bad(tag: &str) -> impl Fn(&Seen) -> bool {
    move |seen: &Seen| matches!(seen, Seen::Bad(Some(found), _) if found == tag)
}

fn name(text: &str) -> Name {
    Name(text.to_owned())
}

fn login(user: &str, password: &str) -> Command {
    Command::Login { user: user.to_owned(), password: Secret(password.to_owned()) }
}

fn ranges(ranges: &[(u32, u32)]) -> Set {
    Set::Ranges(ranges.iter().map(|(first, last)| (Bound::Number(*first), Bound::Number(*last))).collect())
}

fn from(first: u32) -> Set {
    Set::Ranges(vec![(Bound::Number(first), Bound::Last)])
}

mod commands;
mod framing;
mod messages;
mod on_messages;
