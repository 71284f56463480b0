//! Commands by mail: the lines that a member's text begins with, `#close` or `#assigner moi`, and
//! what each asks for (`docs/mail.md`, Commands).
//!
//! Which lines are commands is one rule, [`Lines`]; the text is read by it, and what readers get is
//! cut by it, so that the two can't differ. Whose text it is decides elsewhere whether anything
//! here counts.

mod lines;
mod values;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::address::Address;
use super::id::EntryId;
use super::mistake::Mistake;
use super::ticket::{Priority, TicketRef, named};
use lines::tidy;
pub use lines::{Is, Lines, is_blank};

/// The most commands of one mail.
pub const MOST: usize = 20;

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
    /// As they were written, each in one line; one more than there may be at most.
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
                // One too many is wrong already.
                Is::Command | Is::More if lines.len() > MOST => {}
                Is::Command => lines.push(tidy(line)),
                Is::More => {
                    if let Some(last) = lines.last_mut() {
                        *last = tidy(&format!("{last} {line}"));
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
            let mut command = if at < MOST { values::read(line, now) } else { Err(Mistake::TooMany(MOST)) };
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
            (
                &[
                    "#cc Dave Jones <dave@example.com> eve@example.com",
                    "#cc Dave <dave@example.com> Eve <eve@example.com>",
                    "#cc dave@example.com eve@example.com;",
                ],
                Command::Cc(vec![address("dave@example.com"), address("eve@example.com")]),
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
    fn a_line_that_is_cut_off_names_nobody_else() {
        for beyond in 1..20 {
            let line = format!("#cc {}<dave@example.community>", "D".repeat(2_000 + beyond - 28));
            assert_eq!(line.len(), 2_000 + beyond);
            assert!(one(&line).is_err(), "{beyond}");
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
        assert_eq!(many[MOST - 1..], [None, Some(Mistake::TooMany(MOST))], "that is told once");
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
            assert!(Asked::of(&text).read(now()).len() <= MOST + 1);
        }
        // Addresses that go on for a megabyte, ten a line.
        let line = |n| (0..10).map(|m| format!("x{n}.{m}@b.example")).collect::<Vec<_>>().join(" ") + "\n";
        let asked = Asked::of(&(String::from("#cc a@b.example\n") + &(0..5_000).map(line).collect::<String>()));
        assert!(asked.lines[0].len() < 2_100 && asked.rest.is_empty());
        assert_eq!(asked.read(now())[0].1, Err(Mistake::TooManyValues(10)));
    }
}
