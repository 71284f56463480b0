//! Whole commands: the tag, the verb and what it takes (RFC 3501 §6).

use data_encoding::BASE64;

use super::append::{self, Announced};
use super::cursor::{Cursor, MANY, Read, Stop, is_astring, wrong};
use super::{fetch, flag, list, search, set};
use crate::imap::command::{Command, ListBy, Name, Resync, Secret, Set, StoreHow, Tagged};

/// The longest tag.
const TAG: usize = 64;
/// Facts that a client tells of itself (RFC 2971 §3.3).
const FACTS: usize = 30;
/// Special uses in the way that RFC 6154 §2 and RFC 8457 §4 write them.
const USES: [&str; 8] = ["\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Important", "\\Junk", "\\Sent", "\\Trash"];

/// What came of the octets of a command.
pub(super) enum Parsed {
    Command(Tagged),
    /// A message of APPEND is announced.
    Append {
        tag: String,
        mailbox: Name,
        announced: Announced,
    },
    /// It is right so far, and a literal is to come.
    Short(String),
    Bad(Bad),
}

pub(super) struct Bad {
    pub tag: Option<String>,
    pub text: &'static str,
}

enum Said {
    Command(Command),
    Append(Name, Announced),
}

impl From<Command> for Said {
    fn from(command: Command) -> Self {
        Self::Command(command)
    }
}

/// Reads a command, or what there is of it at the end of one of its lines.
pub(super) fn parse(octets: &[u8], utf8: bool) -> Parsed {
    let mut cursor = Cursor::new(octets, utf8);
    let Some(tag) = tag(&mut cursor) else {
        return Parsed::Bad(Bad { tag: None, text: "a command begins with a tag and a verb" });
    };
    match said(&mut cursor) {
        Ok(Said::Command(command)) => Parsed::Command(Tagged { tag, command }),
        Ok(Said::Append(mailbox, announced)) => Parsed::Append { tag, mailbox, announced },
        Err(Stop::Short) => Parsed::Short(tag),
        Err(Stop::Wrong(text)) => Parsed::Bad(Bad { tag: Some(tag), text }),
    }
}

pub(super) fn tag_of(octets: &[u8]) -> Option<String> {
    tag(&mut Cursor::new(octets, false))
}

/// A tag with the blank behind it.
fn tag(cursor: &mut Cursor<'_>) -> Option<String> {
    let tag = cursor.some(|octet| is_astring(octet) && octet != b'+', "").ok()?;
    cursor.space().ok()?;
    (tag.len() <= TAG).then(|| tag.to_owned())
}

fn said(cursor: &mut Cursor<'_>) -> Read<Said> {
    let verb = cursor.word()?;
    let command = match verb.as_str() {
        "CAPABILITY" => Command::Capability,
        "NOOP" => Command::Noop,
        "LOGOUT" => Command::Logout,
        "STARTTLS" => Command::StartTls,
        "NAMESPACE" => Command::Namespace,
        "IDLE" => Command::Idle,
        "CHECK" => Command::Check,
        "CLOSE" => Command::Close,
        "UNSELECT" => Command::Unselect,
        "EXPUNGE" => Command::Expunge(None),
        "APPEND" => {
            cursor.space()?;
            let mailbox = cursor.mailbox()?;
            cursor.space()?;
            return Ok(Said::Append(mailbox, append::announced(cursor)?));
        }
        _ => {
            let command = with_arguments(&verb, cursor)?;
            cursor.end()?;
            return Ok(command.into());
        }
    };
    cursor.end()?;
    Ok(command.into())
}

fn with_arguments(verb: &str, cursor: &mut Cursor<'_>) -> Read<Command> {
    let arguments: fn(&mut Cursor<'_>) -> Read<Command> = match verb {
        "ID" => id,
        "AUTHENTICATE" => authenticate,
        "LOGIN" => login,
        "ENABLE" => enable,
        "COMPRESS" => |cursor| Ok(Command::Compress(cursor.word()?)),
        "SELECT" => |cursor| select(cursor, false),
        "EXAMINE" => |cursor| select(cursor, true),
        "CREATE" => create,
        "DELETE" => |cursor| cursor.mailbox().map(Command::Delete),
        "RENAME" => rename,
        "SUBSCRIBE" => |cursor| cursor.mailbox().map(Command::Subscribe),
        "UNSUBSCRIBE" => |cursor| cursor.mailbox().map(Command::Unsubscribe),
        "LIST" => |cursor| list::list(cursor, ListBy::List),
        "LSUB" => |cursor| list::list(cursor, ListBy::Lsub),
        "XLIST" => |cursor| list::list(cursor, ListBy::Xlist),
        "STATUS" => list::status,
        "GETQUOTA" => |cursor| cursor.text().map(Command::GetQuota),
        "GETQUOTAROOT" => |cursor| cursor.mailbox().map(Command::GetQuotaRoot),
        "UID" => |cursor| match cursor.word()?.as_str() {
            "EXPUNGE" => {
                cursor.space()?;
                set::set(cursor).map(|uids| Command::Expunge(Some(uids)))
            }
            verb => on_messages(verb, cursor, true),
        },
        _ => return on_messages(verb, cursor, false),
    };
    cursor.space()?;
    arguments(cursor)
}

/// The commands that UID may stand before.
fn on_messages(verb: &str, cursor: &mut Cursor<'_>, uid: bool) -> Read<Command> {
    let arguments = match verb {
        "SEARCH" => search::search,
        "SORT" => search::sort,
        "THREAD" => search::thread,
        "FETCH" => fetch::fetch,
        "STORE" => store,
        "COPY" => |cursor: &mut Cursor<'_>, uid| {
            let (set, to) = set_and_mailbox(cursor)?;
            Ok(Command::Copy { uid, set, to })
        },
        "MOVE" => |cursor: &mut Cursor<'_>, uid| {
            let (set, to) = set_and_mailbox(cursor)?;
            Ok(Command::Move { uid, set, to })
        },
        _ => return wrong("there is no such command"),
    };
    cursor.space()?;
    arguments(cursor, uid)
}

/// `NIL`, or names and values (RFC 2971 §3.1).
fn id(cursor: &mut Cursor<'_>) -> Read<Command> {
    if cursor.eat_word("NIL") {
        return Ok(Command::Id(Vec::new()));
    }
    let facts = cursor.list(|cursor| {
        let name = cursor.text()?;
        cursor.space()?;
        Ok((name, cursor.nstring()?))
    })?;
    if facts.len() > FACTS { wrong("ID tells at most 30 things") } else { Ok(Command::Id(facts)) }
}

fn authenticate(cursor: &mut Cursor<'_>) -> Read<Command> {
    let mechanism = cursor.atom()?.to_ascii_uppercase();
    if !cursor.another()? {
        return Ok(Command::Authenticate { mechanism, initial: None });
    }
    let not_base64 = "the first message is not base64";
    let is_base64 = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'=');
    let initial = match cursor.some(is_base64, not_base64)? {
        "=" => Vec::new(),
        text => BASE64.decode(text.as_bytes()).map_err(|_| Stop::Wrong(not_base64))?,
    };
    Ok(Command::Authenticate { mechanism, initial: Some(Secret(initial)) })
}

fn login(cursor: &mut Cursor<'_>) -> Read<Command> {
    let user = cursor.text()?;
    cursor.space()?;
    Ok(Command::Login { user, password: Secret(cursor.text()?) })
}

fn enable(cursor: &mut Cursor<'_>) -> Read<Command> {
    let mut capabilities = vec![cursor.atom()?.to_ascii_uppercase()];
    while cursor.another()? {
        if capabilities.len() == MANY {
            return wrong("ENABLE names more than there could be");
        }
        capabilities.push(cursor.atom()?.to_ascii_uppercase());
    }
    Ok(Command::Enable(capabilities))
}

/// With RFC 7162 §3.1.8 and §3.2.5.
fn select(cursor: &mut Cursor<'_>, read_only: bool) -> Read<Command> {
    let mailbox = cursor.mailbox()?;
    let (mut condstore, mut qresync) = (false, None);
    if cursor.another()? {
        cursor.list(|cursor| {
            match cursor.word()?.as_str() {
                "CONDSTORE" => condstore = true,
                "QRESYNC" => {
                    cursor.space()?;
                    qresync = Some(resync(cursor)?);
                }
                _ => return wrong("SELECT knows CONDSTORE and QRESYNC"),
            }
            Ok(())
        })?;
    }
    Ok(Command::Select { mailbox, read_only, condstore, qresync })
}

fn resync(cursor: &mut Cursor<'_>) -> Read<Resync> {
    cursor.expect(b'(', "a parenthesis is missing")?;
    cursor.blanks();
    let uid_validity = cursor.positive()?;
    cursor.space()?;
    let modseq = cursor.modseq()?;
    let (mut known_uids, mut known_sequence) = (None, None);
    cursor.blanks();
    if set::begins(cursor.peek()?) {
        known_uids = Some(set::known(cursor)?);
        cursor.blanks();
    }
    cursor.peek()?;
    if cursor.eat(b'(') {
        cursor.blanks();
        let numbers = set::known(cursor)?;
        cursor.space()?;
        known_sequence = Some((numbers, set::known(cursor)?));
        cursor.blanks();
        cursor.expect(b')', "a parenthesis is missing")?;
        cursor.blanks();
    }
    cursor.expect(b')', "a parenthesis is missing")?;
    Ok(Resync { uid_validity, modseq, known_uids, known_sequence })
}

/// With RFC 6154 §3.
fn create(cursor: &mut Cursor<'_>) -> Read<Command> {
    let mailbox = cursor.mailbox()?;
    let mut special_use = Vec::new();
    if cursor.another()? {
        cursor.list(|cursor| {
            if cursor.word()? != "USE" {
                return wrong("CREATE knows USE");
            }
            cursor.space()?;
            special_use = cursor.list(|cursor| {
                cursor.expect(b'\\', "a special use begins with \\")?;
                let name = cursor.atom()?;
                let known = USES.iter().find(|known| known[1..].eq_ignore_ascii_case(name));
                Ok(known.map_or_else(|| format!("\\{name}"), |known| (*known).to_owned()))
            })?;
            Ok(())
        })?;
    }
    Ok(Command::Create { mailbox, special_use })
}

fn rename(cursor: &mut Cursor<'_>) -> Read<Command> {
    let from = cursor.mailbox()?;
    cursor.space()?;
    Ok(Command::Rename(from, cursor.mailbox()?))
}

fn set_and_mailbox(cursor: &mut Cursor<'_>) -> Read<(Set, Name)> {
    let set = set::set(cursor)?;
    cursor.space()?;
    Ok((set, cursor.mailbox()?))
}

/// With RFC 7162 §3.1.3.
fn store(cursor: &mut Cursor<'_>, uid: bool) -> Read<Command> {
    let set = set::set(cursor)?;
    cursor.space()?;
    let mut unchanged_since = None;
    if cursor.peek()? == b'(' {
        cursor.filled(|cursor| {
            if cursor.word()? != "UNCHANGEDSINCE" {
                return wrong("STORE knows UNCHANGEDSINCE");
            }
            cursor.space()?;
            unchanged_since = Some(cursor.modseq()?);
            Ok(())
        })?;
        cursor.space()?;
    }
    cursor.peek()?;
    let how = if cursor.eat(b'+') {
        StoreHow::Add
    } else if cursor.eat(b'-') {
        StoreHow::Remove
    } else {
        StoreHow::Replace
    };
    let silent = match cursor.word()?.as_str() {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return wrong("STORE changes FLAGS"),
    };
    cursor.space()?;
    Ok(Command::Store { uid, set, unchanged_since, how, silent, flags: flag::flags(cursor)? })
}
