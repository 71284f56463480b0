//! Commands by mail: the lines that a member's text begins with, `#close` or `#assigner moi`, and
//! what each asks for (`docs/mail.md`, Commands).
//!
//! Which lines are commands is one rule, [`Lines`]; the text is read by it, and what readers get is
//! cut by it, so that the two can't differ. Whose text it is decides elsewhere whether anything
//! here counts.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::address::Address;
use super::id::EntryId;
use super::language::commands::{Word, fold, near, verb, word};
use super::mistake::Mistake;
use super::snooze;
use super::ticket::{Priority, TicketRef, named};

/// The most commands of one mail.
pub const MOST: usize = 20;
/// The most addresses or tags of one command.
const MOST_VALUES: usize = 10;
/// The most octets of a line that are looked at.
const LONGEST_LINE: usize = 2_000;

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    Close,
    Open,
    Pending,
    Snooze,
    Assign,
    Follow,
    Unfollow,
    Tag,
    Untag,
    Priority,
    Note,
    Cc,
    Uncc,
    Accept,
    Reject,
    Spam,
    Merge,
    Help,
    Status,
}

named!(
    Verb,
    "command",
    Close = "close",
    Open = "open",
    Pending = "pending",
    Snooze = "snooze",
    Assign = "assign",
    Follow = "follow",
    Unfollow = "unfollow",
    Tag = "tag",
    Untag = "untag",
    Priority = "priority",
    Note = "note",
    Cc = "cc",
    Uncc = "uncc",
    Accept = "accept",
    Reject = "reject",
    Spam = "spam",
    Merge = "merge",
    Help = "help",
    Status = "status"
);

/// The commands that a property allows its members: `all`, `none`, or some by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Allowed {
    /// Also those of later releases.
    #[default]
    All,
    Only(BTreeSet<Verb>),
}

impl Allowed {
    #[must_use]
    pub fn allows(&self, verb: Verb) -> bool {
        match self {
            Self::All => true,
            Self::Only(verbs) => verbs.contains(&verb),
        }
    }
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "all" => Ok(Self::All),
            "none" => Ok(Self::Only(BTreeSet::new())),
            names => names
                .split(',')
                .map(|name| name.trim().trim_start_matches('#').parse())
                .collect::<Result<_, _>>()
                .map(Self::Only)
                .map_err(|error| format!("{error}; or all, or none")),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.pad("all"),
            Self::Only(verbs) if verbs.is_empty() => f.pad("none"),
            Self::Only(verbs) => f.pad(&verbs.iter().map(|verb| verb.as_str()).collect::<Vec<_>>().join(",")),
        }
    }
}

impl TryFrom<String> for Allowed {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Allowed> for String {
    fn from(allowed: Allowed) -> Self {
        allowed.to_string()
    }
}

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Close,
    Open,
    Pending,
    Spam,
    Snooze(Timestamp),
    Assign(Who),
    Follow,
    Unfollow,
    Tag(Vec<String>),
    Untag(Vec<String>),
    Priority(Priority),
    Note,
    Cc(Vec<Address>),
    Uncc(Vec<Address>),
    Accept { entry: Option<EntryId>, joins: Option<Joins> },
    Reject { entry: Option<EntryId> },
    Merge(TicketRef),
    Help,
    Status,
}

/// Whom `#assign` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Me,
    Nobody,
    /// A department's slug, a member's address, or the local part that only he has.
    Named(String),
}

/// What an unknown writer becomes when his mail is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joins {
    /// He is the requester, with one more address.
    Same,
    /// He takes part besides the requester.
    Cc,
}

named!(Joins, "kind of acceptance", Same = "same", Cc = "cc");

impl Command {
    #[must_use]
    pub fn verb(&self) -> Verb {
        match self {
            Self::Close => Verb::Close,
            Self::Open => Verb::Open,
            Self::Pending => Verb::Pending,
            Self::Spam => Verb::Spam,
            Self::Snooze(_) => Verb::Snooze,
            Self::Assign(_) => Verb::Assign,
            Self::Follow => Verb::Follow,
            Self::Unfollow => Verb::Unfollow,
            Self::Tag(_) => Verb::Tag,
            Self::Untag(_) => Verb::Untag,
            Self::Priority(_) => Verb::Priority,
            Self::Note => Verb::Note,
            Self::Cc(_) => Verb::Cc,
            Self::Uncc(_) => Verb::Uncc,
            Self::Accept { .. } => Verb::Accept,
            Self::Reject { .. } => Verb::Reject,
            Self::Merge(_) => Verb::Merge,
            Self::Help => Verb::Help,
            Self::Status => Verb::Status,
        }
    }

    /// Whether it says what becomes of the ticket's status.
    #[must_use]
    pub fn moves(&self) -> bool {
        matches!(self, Self::Close | Self::Open | Self::Pending | Self::Spam | Self::Snooze(_))
    }

    /// Whether it only asks for a letter.
    #[must_use]
    pub fn asks(&self) -> bool {
        matches!(self, Self::Help | Self::Status)
    }

    /// Whether both can't be meant in one mail.
    fn contradicts(&self, other: &Self) -> bool {
        let same_matter = self.moves() && other.moves()
            || self.verb() == other.verb() && matches!(self, Self::Assign(_) | Self::Priority(_) | Self::Merge(_));
        same_matter && self != other
    }
}

/// The commands that a text begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// As they were written, each in one line.
    pub lines: Vec<String>,
    /// The text behind them.
    pub rest: String,
    /// Something that is quoted stands above them. Then they are wrong: what readers get could not
    /// be cut.
    pub below: bool,
}

impl Asked {
    /// Finds them at the beginning of a member's new text; lines end in LF.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut lines: Vec<String> = Vec::new();
        let mut reader = Lines::default();
        let mut rest = text;
        while !rest.is_empty() {
            let (line, behind) = rest.split_once('\n').unwrap_or((rest, ""));
            match reader.next(line) {
                Is::Command => lines.push(tidy(line)),
                Is::More => {
                    if let Some(last) = lines.last_mut() {
                        last.push(' ');
                        last.push_str(&tidy(line));
                    }
                }
                Is::Blank => {}
                Is::Text => break,
            }
            rest = behind;
        }
        let rest = if lines.is_empty() { text } else { rest };
        Self { lines, rest: rest.trim_start_matches('\n').to_owned(), below: false }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Reads each line: what it asks for, or what is wrong with it.
    #[must_use]
    pub fn read(&self, now: Timestamp) -> Vec<(&str, Result<Command, Mistake>)> {
        let mut read: Vec<(&str, Result<Command, Mistake>)> = Vec::with_capacity(self.lines.len());
        for (at, line) in self.lines.iter().enumerate() {
            let earlier = |command: &Command| {
                read.iter().find(|(_, other)| other.as_ref().is_ok_and(|other| other.contradicts(command)))
            };
            let mut command = if at < MOST { read_line(line, now) } else { Err(Mistake::TooMany(MOST)) };
            if let Ok(found) = &command
                && let Some((other, _)) = earlier(found)
            {
                command = Err(Mistake::Contradicts((*other).to_owned()));
            }
            if self.below && at == 0 {
                command = Err(Mistake::Below);
            }
            read.push((line, command));
        }
        read
    }
}

/// What a line is, at the beginning of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    Command,
    /// The last command goes on: a client wrapped its addresses.
    More,
    Blank,
    /// The text begins; no command comes any more.
    Text,
}

/// Tells the lines of a text, from its first on, until [`Is::Text`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines {
    /// The line before was a command that takes addresses.
    addresses: bool,
}

impl Lines {
    pub fn next(&mut self, line: &str) -> Is {
        let line = tidy(line);
        let took_addresses = std::mem::take(&mut self.addresses);
        if line.is_empty() {
            return Is::Blank;
        }
        if let Some((word, _)) = split(&line) {
            self.addresses = matches!(verb(&word), Some(Verb::Cc | Verb::Uncc));
            return Is::Command;
        }
        if took_addresses && addresses(&line).is_ok() {
            self.addresses = true;
            return Is::More;
        }
        Is::Text
    }
}

/// Blanks of any kind, and what has no width: zero-width characters, soft hyphens, marks that turn
/// the direction of writing (Unicode UAX #9).
#[must_use]
pub fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control() || is_invisible(c)
}

fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
    )
}

/// A line as a reader sees it, with one blank where there are some. `*#close*`, as a client writes
/// bold text in plain one, is `#close`.
fn tidy(line: &str) -> String {
    let start = &line[..line.floor_char_boundary(LONGEST_LINE)];
    let mut out = String::with_capacity(start.len());
    for c in start.chars().filter(|c| !is_invisible(*c)) {
        if !c.is_whitespace() && !c.is_control() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with(' ') {
            out.push(' ');
        }
    }
    let shown = out.trim_end();
    let plain = shown.trim_start_matches(['*', '_']);
    if plain.len() < shown.len() && plain.starts_with(is_sharp) {
        return plain.trim_end_matches(['*', '_']).to_owned();
    }
    shown.to_owned()
}

/// `#`, also in the widths of East Asian keyboards.
fn is_sharp(c: char) -> bool {
    matches!(c, '#' | '＃' | '﹟')
}

/// The word of a command and its value, of a tidy line; `None` where it is text.
fn split(line: &str) -> Option<(String, &str)> {
    let behind = line.strip_prefix(is_sharp)?;
    let text = behind.strip_prefix(' ').unwrap_or(behind);
    if !text.starts_with(char::is_alphabetic) {
        return None;
    }
    let part_of_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '\u{300}'..='\u{36f}');
    let (word, value) = text.split_at(text.find(|c| !part_of_word(c)).unwrap_or(text.len()));
    let word = fold(word);
    if text.len() < behind.len() && verb(&word).is_none() {
        return None;
    }
    let value = value.trim_start();
    let value = value.strip_prefix([':', '：']).unwrap_or(value);
    Some((word, value.trim().trim_end_matches(['.', '!']).trim_end()))
}

/// Reads one command.
fn read_line(line: &str, now: Timestamp) -> Result<Command, Mistake> {
    let (name, value) = split(line).ok_or(Mistake::Unknown { near: None })?;
    let verb = verb(&name).ok_or_else(|| Mistake::Unknown { near: near(&name) })?;
    let value = unquoted(value);
    let alone = |command| if value.is_empty() { Ok(command) } else { Err(Mistake::Alone(verb)) };
    let given = || if value.is_empty() { Err(Mistake::Missing(verb)) } else { Ok(value) };
    match verb {
        Verb::Close => alone(Command::Close),
        Verb::Open => alone(Command::Open),
        Verb::Pending => alone(Command::Pending),
        Verb::Spam => alone(Command::Spam),
        Verb::Follow => alone(Command::Follow),
        Verb::Unfollow => alone(Command::Unfollow),
        Verb::Note => alone(Command::Note),
        Verb::Help => alone(Command::Help),
        Verb::Status => alone(Command::Status),
        Verb::Snooze => snooze::until(given()?, now).map(Command::Snooze),
        Verb::Assign => given().map(|who| Command::Assign(assignee(who))),
        Verb::Tag => tags(given()?).map(Command::Tag),
        Verb::Untag => tags(given()?).map(Command::Untag),
        Verb::Priority => match word(given()?) {
            Some(Word::Priority(priority)) => Ok(Command::Priority(priority)),
            _ => Err(Mistake::NoPriority),
        },
        Verb::Cc => addresses(given()?).map(Command::Cc),
        Verb::Uncc => addresses(given()?).map(Command::Uncc),
        Verb::Accept => {
            let (entry, joins) = decision(value)?;
            Ok(Command::Accept { entry, joins })
        }
        Verb::Reject => match decision(value) {
            Ok((entry, None)) => Ok(Command::Reject { entry }),
            Ok((_, Some(_))) | Err(_) => Err(Mistake::NoNumber(value.to_owned())),
        },
        Verb::Merge => {
            let name = given()?;
            let name = name.strip_prefix(is_sharp).unwrap_or(name);
            name.parse().map(Command::Merge).map_err(|_| Mistake::NoTicket(name.to_owned()))
        }
    }
}

/// Without the quotes, straight or typographic, that it stands in.
fn unquoted(value: &str) -> &str {
    value.trim_matches(['"', '\'', '“', '”', '„', '‘', '’', '‚', '«', '»', '‹', '›', ' '])
}

fn assignee(who: &str) -> Who {
    match word(who) {
        Some(Word::Me) => Who::Me,
        Some(Word::Nobody) => Who::Nobody,
        _ => match addresses(who).as_deref() {
            Ok([address]) => Who::Named(address.to_string()),
            _ => Who::Named(who.strip_prefix('@').unwrap_or(who).to_owned()),
        },
    }
}

fn tags(value: &str) -> Result<Vec<String>, Mistake> {
    let words = value.split([' ', ',', ';']).map(unquoted).map(|tag| tag.strip_prefix(is_sharp).unwrap_or(tag));
    let tags: Vec<String> = words.filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    if tags.len() > MOST_VALUES { Err(Mistake::TooManyValues(MOST_VALUES)) } else { Ok(tags) }
}

/// `a@b`, several of them between blanks or commas, `Name <a@b>`, and what clients make of a link:
/// `a@b<mailto:a@b>`.
fn addresses(value: &str) -> Result<Vec<Address>, Mistake> {
    let mut found: Vec<Address> = Vec::new();
    let wrong = |piece: &str| Mistake::NoAddress(piece.to_owned());
    let mut take = |text: &str| {
        let text = text.trim_matches(['<', '>', '(', ')', '[', ']', ' ']);
        let text = text.strip_prefix("mailto:").unwrap_or(text);
        let address: Address = unquoted(text).parse().map_err(|_| wrong(text))?;
        if !found.contains(&address) {
            found.push(address);
        }
        Ok(())
    };
    let list = value.trim().trim_end_matches([',', ';']);
    for piece in list.split([',', ';']) {
        let piece = piece.trim();
        match piece.split_once('<') {
            // Of a name nothing is kept: the contact is called as he calls himself.
            Some((before, inner)) if !before.contains('@') => take(inner.split('>').next().unwrap_or(inner))?,
            _ => {
                for word in piece.replace('<', " <").split(' ').filter(|word| !word.is_empty()) {
                    take(word)?;
                }
            }
        }
    }
    match found.len() {
        0 => Err(wrong(value)),
        1..=MOST_VALUES => Ok(found),
        _ => Err(Mistake::TooManyValues(MOST_VALUES)),
    }
}

/// `17`, `#17`, `same`, `cc`, or both.
fn decision(value: &str) -> Result<(Option<EntryId>, Option<Joins>), Mistake> {
    let (mut entry, mut joins) = (None, None);
    for piece in value.split(' ').filter(|piece| !piece.is_empty()) {
        let number = piece.strip_prefix(is_sharp).unwrap_or(piece).parse().map(EntryId);
        match (number, word(piece)) {
            (Ok(number), _) if entry.is_none() => entry = Some(number),
            (_, Some(Word::Joins(how))) if joins.is_none() => joins = Some(how),
            _ => return Err(Mistake::NoEntry(piece.to_owned())),
        }
    }
    Ok((entry, joins))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-25T09:30:00Z".parse().unwrap()
    }

    fn one(line: &str) -> Result<Command, Mistake> {
        let asked = Asked::of(line);
        assert_eq!((asked.lines.len(), asked.rest.as_str()), (1, ""), "{line}");
        asked.read(now()).remove(0).1
    }

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn each_command_in_both_languages() {
        let named = |who: &str| Command::Assign(Who::Named(who.to_owned()));
        let tag = |tags: &[&str]| Command::Tag(tags.iter().map(ToString::to_string).collect());
        let until = |text: &str| Command::Snooze(text.parse().unwrap());
        let dave = || vec![address("dave@example.com")];
        for (lines, command) in [
            (&["#close", "#fermer", "#FERMÉ", "#clore", "#clôturer"][..], Command::Close),
            (&["#open", "#ouvrir", "#rouvrir", "#reopen"], Command::Open),
            (&["#pending", "#attente", "#en-attente"], Command::Pending),
            (&["#spam", "#indésirable", "#indesirable", "#pourriel"], Command::Spam),
            (
                &["#snooze 2d", "#reporter 2j", "#Snooze: 2 days", "#reporter\u{a0}: 2 jours"],
                until("2026-11-27T09:30:00Z"),
            ),
            (&["#snooze tomorrow", "#reporter demain"], until("2026-11-26T08:00:00Z")),
            (&["#assign me", "#assigner moi", "#attribuer Moi"], Command::Assign(Who::Me)),
            (&["#assign none", "#assigner personne"], Command::Assign(Who::Nobody)),
            (&["#assign alice", "#assign @alice", "#assign: “alice”", "#assigner «\u{a0}alice\u{a0}»"], named("alice")),
            (
                &[
                    "#assign alice@team.example",
                    "#assign alice@team.example<mailto:alice@team.example>",
                    "#assign Alice <alice@team.example>",
                ],
                named("alice@team.example"),
            ),
            (&["#follow", "#suivre"], Command::Follow),
            (&["#unfollow", "#ne-plus-suivre"], Command::Unfollow),
            (&["#tag refund vat", "#étiquette refund, vat", "#etiquette #refund; #vat"], tag(&["refund", "vat"])),
            (&["#untag refund", "#sans-étiquette refund"], Command::Untag(vec!["refund".to_owned()])),
            (&["#priority high", "#priorité haute", "#priorite élevée"], Command::Priority(Priority::High)),
            (&["#priority low", "#priorité basse"], Command::Priority(Priority::Low)),
            (&["#priority normal", "#priorité normale"], Command::Priority(Priority::Normal)),
            (&["#priority urgent", "#priorité urgente"], Command::Priority(Priority::Urgent)),
            (&["#note", "#interne", "# note", "#Note:", "#note."], Command::Note),
            (
                &[
                    "#cc dave@example.com",
                    "#copie dave@example.com",
                    "#cc Dave Jones <dave@example.com>",
                    "#cc <mailto:dave@example.com>, dave@example.com",
                    "#cc dave@example.com <mailto:dave@example.com>",
                    "#cc dave@example.com <dave@example.com>",
                    "#cc “dave@example.com”.",
                ],
                Command::Cc(dave()),
            ),
            (&["#uncc dave@example.com", "#sans-copie dave@example.com"], Command::Uncc(dave())),
            (&["#accept", "#accepter"], Command::Accept { entry: None, joins: None }),
            (&["#accept 17", "#accepter #17"], Command::Accept { entry: Some(EntryId(17)), joins: None }),
            (
                &["#accept 17 same", "#accepter même 17"],
                Command::Accept { entry: Some(EntryId(17)), joins: Some(Joins::Same) },
            ),
            (&["#accept cc", "#accepter copie"], Command::Accept { entry: None, joins: Some(Joins::Cc) }),
            (&["#reject 17", "#rejeter 17", "#refuser 17"], Command::Reject { entry: Some(EntryId(17)) }),
            (&["#merge acme-7", "#fusionner ACME-7", "#merge #acme-7"], Command::Merge("acme-7".parse().unwrap())),
            (&["#help", "#aide"], Command::Help),
            (&["#status", "#état", "#etat", "#e\u{301}tat", "#statut"], Command::Status),
            (
                &[
                    "\u{a0} #close\u{2009}",
                    "#\u{200b}close",
                    "\u{feff}#close",
                    "＃close",
                    "# Close",
                    "#\u{a0}close",
                    "*#close*",
                    "#cl\u{ad}ose",
                    "\u{200e}#close\u{fe0f}",
                ],
                Command::Close,
            ),
        ] {
            for line in lines {
                assert_eq!(one(line), Ok(command.clone()), "{line}");
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_line() {
        for (line, mistake) in [
            ("#noet", Mistake::Unknown { near: Some(Verb::Note) }),
            ("#clsoe", Mistake::Unknown { near: Some(Verb::Close) }),
            ("#christmas is near", Mistake::Unknown { near: None }),
            ("#close now", Mistake::Alone(Verb::Close)),
            ("#close #tag vat", Mistake::Alone(Verb::Close)),
            ("#assign", Mistake::Missing(Verb::Assign)),
            ("#tag:", Mistake::Missing(Verb::Tag)),
            ("#priority highest", Mistake::NoPriority),
            ("#snooze soon", Mistake::NoTime),
            ("#snooze 2020-01-01", Mistake::Past),
            ("#cc dave", Mistake::NoAddress("dave".to_owned())),
            ("#cc dave@example.com dave", Mistake::NoAddress("dave".to_owned())),
            ("#accept it", Mistake::NoEntry("it".to_owned())),
            ("#reject same", Mistake::NoNumber("same".to_owned())),
            ("#reject it", Mistake::NoNumber("it".to_owned())),
            ("#merge 7", Mistake::NoTicket("7".to_owned())),
            ("#tag a b c d e f g h i j k", Mistake::TooManyValues(10)),
        ] {
            assert_eq!(one(line), Err(mistake), "{line}");
        }
    }

    #[test]
    fn which_lines_are_commands() {
        for (text, lines, rest) in [
            ("", &[][..], ""),
            ("Hello\n#close", &[], "Hello\n#close"),
            ("#close\nHello\n#tag vat", &["#close"], "Hello\n#tag vat"),
            ("\n #close\n\n\u{a0}\n# tag\u{a0}vat\n\nHello\n\nBye", &["#close", "# tag vat"], "Hello\n\nBye"),
            ("#1 is the priority", &[], "#1 is the priority"),
            ("#", &[], "#"),
            ("# ", &[], "# "),
            ("##close", &[], "##close"),
            ("#!/bin/sh", &[], "#!/bin/sh"),
            ("# Summary\nHello", &[], "# Summary\nHello"),
            ("#Summary\nHello", &["#Summary"], "Hello"),
            ("> #close", &[], "> #close"),
            ("- #close", &[], "- #close"),
            ("see #close", &[], "see #close"),
            (
                "#cc a@example.com,\nb@example.com c@example.com\nHello",
                &["#cc a@example.com, b@example.com c@example.com"],
                "Hello",
            ),
            ("#cc a@example.com\n\nb@example.com", &["#cc a@example.com"], "b@example.com"),
            ("#close\nb@example.com", &["#close"], "b@example.com"),
        ] {
            let asked = Asked::of(text);
            let found: Vec<_> = asked.lines.iter().map(String::as_str).collect();
            assert_eq!((found.as_slice(), asked.rest.as_str()), (lines, rest), "{text:?}");
        }
    }

    #[test]
    fn commands_of_one_mail_agree() {
        let read = |text: &str| -> Vec<Option<Mistake>> {
            Asked::of(text).read(now()).into_iter().map(|(_, command)| command.err()).collect()
        };
        let against = |line: &str| Some(Mistake::Contradicts(line.to_owned()));
        assert_eq!(read("#close\n#open"), [None, against("#close")]);
        assert_eq!(read("#assign me\n#close\n#assigner bob"), [None, None, against("#assign me")]);
        assert_eq!(read("#close\n#fermer\n#tag a\n#tag b\n#cc a@b.example\n#cc c@d.example"), [const { None }; 6]);
        let many = read(&"#tag a\n".repeat(MOST + 2));
        assert_eq!(many[MOST - 1..], [None, Some(Mistake::TooMany(MOST)), Some(Mistake::TooMany(MOST))]);
        let below = Asked { below: true, ..Asked::of("#close") };
        assert_eq!(below.read(now()), [("#close", Err(Mistake::Below))]);
    }

    #[test]
    fn which_commands_are_allowed() {
        for (text, shown, close, tag) in [
            ("all", "all", true, true),
            ("none", "none", false, false),
            ("tag, #close", "close,tag", true, true),
            ("close", "close", true, false),
        ] {
            let allowed: Allowed = text.parse().unwrap();
            assert_eq!(allowed.to_string(), shown);
            assert_eq!((allowed.allows(Verb::Close), allowed.allows(Verb::Tag)), (close, tag), "{text}");
        }
        for wrong in ["", "close,", "fermer", "close;tag"] {
            assert!(wrong.parse::<Allowed>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn long_and_strange_lines_are_read_in_a_moment() {
        for piece in ["#", "#a", "#cc ", "a@b.example ", "\u{200b}", "<", "#cc a@b.example\n", "*"] {
            let text = piece.repeat(50_000);
            assert!(Asked::of(&text).read(now()).len() <= 50_001);
        }
    }
}
