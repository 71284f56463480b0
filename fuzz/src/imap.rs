//! The IMAP server: commands, and the messages of APPEND among them.

use guichet::imap::command::{Append, Command, Name, Tagged};
use guichet::imap::reader::{Input, Reader, ReaderLimits, encode_name};

use super::{options, pieces};

/// Small, so that short inputs reach them.
const LIMITS: ReaderLimits = ReaderLimits { command: 600, skipped: 300 };
/// Messages of more octets are refused.
const MESSAGE: u64 = 100;
/// The longest line that is no command.
const RAW_LINE: usize = 64 << 10;

/// Commands come to the same however they are cut; what is held of them has its bounds; an APPEND's
/// messages have a beginning, an end, and as many octets as were announced; and a mailbox's name that
/// was read is read again as it is written.
///
/// Options: whether names are in UTF-8 (bit 0), whether a line that is no command follows IDLE and
/// AUTHENTICATE (1), whether large messages are refused (2); how it is cut.
pub fn commands(data: &[u8]) {
    let ([ways, seed], stream) = options(data);
    let whole = play(&[stream], ways);
    let octets: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(play(&octets, ways), whole, "it came to something else octet by octet");
    assert_eq!(play(&pieces(stream, seed), ways), whole, "it came to something else in pieces");
    for name in whole.iter().flat_map(names) {
        check_name(name, ways & 1 != 0);
    }
}

/// What came of a stream, a message's octets put together.
#[derive(Debug, PartialEq)]
enum Seen {
    Go,
    Command(Tagged),
    Line(Vec<u8>),
    AppendBegin(Name),
    Message(Append),
    Octets(Vec<u8>),
    MessageEnd,
    AppendEnd,
    Bad(Option<String>, String),
    Over(String),
}

fn play(parts: &[&[u8]], ways: u8) -> Vec<Seen> {
    let mut reader = Reader::new(LIMITS);
    reader.utf8(ways & 1 != 0);
    let mut seen = Vec::new();
    // The tag of the APPEND that has begun, and the octets of its message that are still to come.
    let (mut append, mut left): (Option<String>, Option<u64>) = (None, None);
    for part in parts {
        let mut input = *part;
        loop {
            let before = input.len();
            match reader.advance(&mut input) {
                Input::Read => {
                    assert!(input.is_empty(), "it wants more and left {} octets", input.len());
                    break;
                }
                Input::Over(text) => {
                    seen.push(Seen::Over(text));
                    return seen;
                }
                Input::Go => {
                    assert!(left.is_none() || matches!(seen.last(), Some(Seen::Message(append)) if append.waits));
                    seen.push(Seen::Go);
                }
                Input::Command(tagged) => {
                    assert!(append.is_none(), "a command within an APPEND");
                    check_tag(&tagged.tag);
                    let with_line = matches!(tagged.command, Command::Idle | Command::Authenticate { .. });
                    if with_line && ways & 2 != 0 {
                        reader.expect_line();
                    }
                    seen.push(Seen::Command(tagged));
                }
                Input::Line(line) => {
                    assert!(matches!(seen.last(), Some(Seen::Command(_))) && line.len() <= RAW_LINE);
                    seen.push(Seen::Line(line));
                }
                Input::AppendBegin { tag, mailbox } => {
                    check_tag(&tag);
                    assert!(append.replace(tag).is_none(), "an APPEND within an APPEND");
                    seen.push(Seen::AppendBegin(mailbox));
                }
                Input::Message(message) => {
                    assert!(append.is_some() && left.is_none(), "a message in no APPEND, or in another");
                    if ways & 4 != 0 && message.size > MESSAGE {
                        reader.refuse();
                        append = None;
                    } else {
                        left = Some(message.size);
                    }
                    seen.push(Seen::Message(message));
                }
                Input::Octets(octets) => {
                    assert!(!octets.is_empty() && octets.len() == before - input.len());
                    let left = left.as_mut().expect("octets are a message's");
                    *left = left.checked_sub(octets.len() as u64).expect("not more than were announced");
                    match seen.last_mut() {
                        Some(Seen::Octets(before)) => before.extend_from_slice(octets),
                        _ => seen.push(Seen::Octets(octets.to_vec())),
                    }
                }
                Input::MessageEnd => {
                    assert_eq!(left.take(), Some(0), "a message ends too early, or none has begun");
                    seen.push(Seen::MessageEnd);
                }
                Input::AppendEnd { tag } => {
                    assert!(left.is_none() && append.take() == Some(tag), "another APPEND ends");
                    seen.push(Seen::AppendEnd);
                }
                Input::Bad { tag, text } => {
                    assert!(left.is_none());
                    assert!(!text.is_empty() && text.bytes().all(|octet| (b' '..=b'~').contains(&octet)));
                    if let Some(tag) = &tag {
                        check_tag(tag);
                    }
                    if let Some(begun) = append.take() {
                        assert_eq!(tag, Some(begun), "another APPEND is void");
                    }
                    seen.push(Seen::Bad(tag, text));
                }
            }
        }
        let most = if ways & 2 == 0 { LIMITS.command } else { RAW_LINE + 2 };
        assert!(reader.held() <= 2 * most, "{} octets are held", reader.held());
    }
    seen
}

/// A tag can stand at the front of an answer (RFC 3501 §9).
fn check_tag(tag: &str) {
    let is_tag = |octet: u8| octet.is_ascii_graphic() && !b"(){%*\"\\+".contains(&octet);
    assert!((1..=64).contains(&tag.len()) && tag.bytes().all(is_tag), "{tag:?}");
}

fn names(seen: &Seen) -> Vec<&Name> {
    let Seen::Command(Tagged { command, .. }) = seen else {
        return if let Seen::AppendBegin(name) = seen { vec![name] } else { Vec::new() };
    };
    match command {
        Command::Select { mailbox, .. } | Command::Create { mailbox, .. } | Command::Status { mailbox, .. } => {
            vec![mailbox]
        }
        Command::Delete(name)
        | Command::Subscribe(name)
        | Command::Unsubscribe(name)
        | Command::GetQuotaRoot(name)
        | Command::Copy { to: name, .. }
        | Command::Move { to: name, .. } => vec![name],
        Command::Rename(from, to) => vec![from, to],
        Command::List(list) => vec![&list.reference],
        _ => Vec::new(),
    }
}

fn check_name(name: &Name, utf8: bool) {
    let wire = encode_name(name, utf8);
    assert!(utf8 || wire.is_ascii(), "{wire:?}");
    let line = format!("a DELETE {wire}\r\n");
    let mut reader = Reader::new(ReaderLimits { command: 20_000, ..LIMITS });
    reader.utf8(utf8);
    match reader.advance(&mut line.as_bytes()) {
        Input::Command(Tagged { command: Command::Delete(again), .. }) => assert_eq!(again, *name, "{wire:?}"),
        other => panic!("{wire:?} is read as {other:?}"),
    }
}
