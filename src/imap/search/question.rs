//! What a search asks of each message, and how much of the message it takes to answer.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::desk::shelf::{Mine, Row};
use crate::imap::Trouble;
use crate::imap::command::{Flag, SearchKey, Set, Uids};
use crate::imap::flags;
use crate::imap::selected::Selected;
use crate::imap::shapes::{email_id, thread_id};
use crate::mime::shape::fields::Searched;
use crate::mime::shape::search::{Needle, header_contains, text_contains};

/// How deep one has to look into a message for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    Row,
    Shape,
    Fields,
    Header,
    Message,
}

/// A question, made ready to be asked of many messages.
pub(super) enum Question<'a> {
    All,
    And(Vec<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Among(Uids),
    /// Among what the last search saved.
    Saved(&'a BTreeSet<u32>),
    Flag(Flag),
    Never,
    Header(String, Needle),
    From(Needle),
    To(Needle),
    Cc(Needle),
    Bcc(Needle),
    Subject(Needle),
    Text {
        needle: Needle,
        headers_too: bool,
    },
    Arrived(Ordering, Date),
    Sent(Ordering, Date),
    Larger(u32),
    Smaller(u32),
    Older(Timestamp),
    Younger(Timestamp),
    ModSeq(u64),
    EmailId(String),
    ThreadId(String),
}

/// A message with as much of it as was read.
pub(super) struct Candidate<'a> {
    pub(super) uid: u32,
    pub(super) row: &'a Row,
    pub(super) mine: &'a Mine,
    /// Its size, and when it came.
    pub(super) kept: Option<(u32, Timestamp)>,
    pub(super) fields: Option<Searched<'a>>,
    pub(super) header: Option<&'a [u8]>,
    pub(super) message: Option<&'a [u8]>,
}

impl<'a> Question<'a> {
    pub(super) fn of(
        key: &SearchKey,
        selected: &Selected,
        saved: &'a BTreeSet<u32>,
        now: Timestamp,
    ) -> Result<Self, Trouble> {
        let all = |keys: &[SearchKey]| {
            keys.iter().map(|key| Self::of(key, selected, saved, now)).collect::<Result<Vec<_>, _>>()
        };
        let among = |set: &Set, by_uid| {
            let Set::Ranges(ranges) = set else { return Ok(Self::Saved(saved)) };
            let uids = selected.named(ranges, by_uid);
            uids.map(Self::Among).ok_or_else(|| Trouble::Bad("there is no message with that number".into()))
        };
        let back = |by: &SignedDuration| now.checked_sub(*by).unwrap_or(Timestamp::MIN);
        Ok(match key {
            SearchKey::All => Self::All,
            SearchKey::And(keys) => Self::And(all(keys)?),
            SearchKey::Or(one, other) => Self::Or(
                Box::new(Self::of(one, selected, saved, now)?),
                Box::new(Self::of(other, selected, saved, now)?),
            ),
            SearchKey::Not(key) => Self::Not(Box::new(Self::of(key, selected, saved, now)?)),
            SearchKey::Sequence(set) => among(set, false)?,
            SearchKey::Uid(set) => among(set, true)?,
            SearchKey::Flag(flag) => Self::Flag(flag.clone()),
            SearchKey::Recent => Self::Never,
            SearchKey::Header(field, text) => Self::Header(field.clone(), Needle::new(text)),
            SearchKey::From(text) => Self::From(Needle::new(text)),
            SearchKey::To(text) => Self::To(Needle::new(text)),
            SearchKey::Cc(text) => Self::Cc(Needle::new(text)),
            SearchKey::Bcc(text) => Self::Bcc(Needle::new(text)),
            SearchKey::Subject(text) => Self::Subject(Needle::new(text)),
            SearchKey::Body(text) => Self::Text { needle: Needle::new(text), headers_too: false },
            SearchKey::Text(text) => Self::Text { needle: Needle::new(text), headers_too: true },
            SearchKey::Before(day) => Self::Arrived(Ordering::Less, *day),
            SearchKey::On(day) => Self::Arrived(Ordering::Equal, *day),
            SearchKey::Since(day) => Self::Arrived(Ordering::Greater, *day),
            SearchKey::SentBefore(day) => Self::Sent(Ordering::Less, *day),
            SearchKey::SentOn(day) => Self::Sent(Ordering::Equal, *day),
            SearchKey::SentSince(day) => Self::Sent(Ordering::Greater, *day),
            SearchKey::Larger(size) => Self::Larger(*size),
            SearchKey::Smaller(size) => Self::Smaller(*size),
            SearchKey::Older(by) => Self::Older(back(by)),
            SearchKey::Younger(by) => Self::Younger(back(by)),
            SearchKey::ModSeq(modseq) => Self::ModSeq(*modseq),
            SearchKey::EmailId(id) => Self::EmailId(id.clone()),
            SearchKey::ThreadId(id) => Self::ThreadId(id.clone()),
        })
    }

    /// Of how many questions it is made.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::And(questions) => questions.iter().map(Self::count).sum(),
            Self::Or(one, other) => one.count() + other.count(),
            Self::Not(question) => question.count(),
            _ => 1,
        }
    }

    /// Whether it asks for something that is kept of messages besides their rows.
    pub(super) fn needs_kept(&self) -> bool {
        [Depth::Shape, Depth::Fields, Depth::Header].into_iter().any(|depth| self.needs(depth))
    }

    /// Whether it asks for something that is found at this depth.
    pub(super) fn needs(&self, depth: Depth) -> bool {
        let found_at = match self {
            Self::And(questions) => return questions.iter().any(|question| question.needs(depth)),
            Self::Or(one, other) => return one.needs(depth) || other.needs(depth),
            Self::Not(question) => return question.needs(depth),
            Self::All
            | Self::Among(_)
            | Self::Saved(_)
            | Self::Flag(_)
            | Self::Never
            | Self::ModSeq(_)
            | Self::EmailId(_)
            | Self::ThreadId(_) => Depth::Row,
            Self::Arrived(..) | Self::Larger(_) | Self::Smaller(_) | Self::Older(_) | Self::Younger(_) => Depth::Shape,
            Self::From(_) | Self::To(_) | Self::Cc(_) | Self::Bcc(_) | Self::Subject(_) | Self::Sent(..) => {
                Depth::Fields
            }
            Self::Header(..) => Depth::Header,
            Self::Text { .. } => Depth::Message,
        };
        found_at == depth
    }

    /// The answer, where what was read suffices for one.
    pub(super) fn ask(&self, candidate: &Candidate<'_>) -> Option<bool> {
        let Candidate { uid, row, mine, .. } = *candidate;
        let said = |pick: for<'f> fn(&Searched<'f>) -> &'f str, needle: &Needle| {
            candidate.fields.map(|fields| needle.is_in(pick(&fields)))
        };
        let size = candidate.kept.map(|(size, _)| size);
        let at = candidate.kept.map(|(_, at)| at);
        // `Greater` stands for "that day or later" (RFC 3501 §6.4.4, SINCE).
        let lies = |day: Date, how: Ordering, than: Date| match how {
            Ordering::Greater => day >= than,
            other => day.cmp(&than) == other,
        };
        match self {
            Self::All => Some(true),
            Self::Never => Some(false),
            Self::And(questions) => {
                let mut answer = Some(true);
                for question in questions {
                    match question.ask(candidate) {
                        Some(false) => return Some(false),
                        Some(true) => {}
                        None => answer = None,
                    }
                }
                answer
            }
            Self::Or(one, other) => match (one.ask(candidate), other.ask(candidate)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Not(question) => question.ask(candidate).map(|answer| !answer),
            Self::Among(uids) => Some(uids.has(uid)),
            Self::Saved(uids) => Some(uids.contains(&uid)),
            Self::Flag(flag) => Some(flags::has(flag, uid, row, mine)),
            Self::ModSeq(modseq) => Some(row.modseq.max(mine.modseq) >= *modseq),
            Self::EmailId(id) => Some(email_id(row) == *id),
            Self::ThreadId(id) => Some(thread_id(row) == *id),
            Self::Larger(than) => size.map(|size| size > *than),
            Self::Smaller(than) => size.map(|size| size < *than),
            Self::Arrived(how, than) => at.map(|at| lies(at.to_zoned(TimeZone::UTC).date(), *how, *than)),
            Self::Older(than) => at.map(|at| at <= *than),
            Self::Younger(than) => at.map(|at| at >= *than),
            Self::From(needle) => said(|fields| fields.from, needle),
            Self::To(needle) => said(|fields| fields.to, needle),
            Self::Cc(needle) => said(|fields| fields.cc, needle),
            Self::Bcc(needle) => said(|fields| fields.bcc, needle),
            Self::Subject(needle) => said(|fields| fields.subject, needle),
            Self::Sent(how, than) => {
                candidate.fields.map(|fields| fields.day().is_some_and(|day| lies(day, *how, *than)))
            }
            Self::Header(field, needle) => candidate.header.map(|header| header_contains(header, field, needle)),
            Self::Text { needle, headers_too } => {
                candidate.message.map(|message| text_contains(message, needle, *headers_too))
            }
        }
    }
}

/// Whether a question is about changes, so that the answer says when the last one was (RFC 7162 §3.1.5).
pub(super) fn asks_modseq(key: &SearchKey) -> bool {
    match key {
        SearchKey::ModSeq(_) => true,
        SearchKey::And(keys) => keys.iter().any(asks_modseq),
        SearchKey::Or(one, other) => asks_modseq(one) || asks_modseq(other),
        SearchKey::Not(key) => asks_modseq(key),
        _ => false,
    }
}
