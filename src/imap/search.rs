//! SEARCH, SORT and THREAD (RFC 3501 §6.4.4, RFC 4731, RFC 5182, RFC 5256).
//!
//! What is kept of messages answers most questions; only for BODY, TEXT and fields that are not kept
//! are messages read, and only those for which nothing else has decided.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::Trouble;
use super::command::{Command, SearchKey, SearchReturn, Set, SortBy, SortCriterion, ThreadAlgorithm};
use super::flags;
use super::seat::{Done, Seat};
use super::selected::{Selected, found};
use super::shapes::{Item, Source, fields, prepare};
use super::write::{Out, set};
use crate::desk::shelf::{Mine, Row};
use crate::mime::charset;
use crate::mime::shape::fields::Fields;
use crate::mime::shape::search::{Needle, header_contains, text_contains};
use crate::mime::shape::thread;
use crate::store::Read as _;
use crate::store::tables::{RENDERINGS, SHAPES};

/// Messages that are looked at at a time, and that are read at a time.
const MANY: usize = 500;
const FEW: usize = 16;

/// How much of a message a question needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    Row,
    Shape,
    Fields,
    Header,
    Message,
}

/// A question, made ready to be asked of many messages.
enum Question {
    All,
    And(Vec<Question>),
    Or(Box<Question>, Box<Question>),
    Not(Box<Question>),
    /// Of these UIDs, which are in ascending order.
    Among(Vec<u32>),
    Flag(super::command::Flag),
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
struct Candidate<'a> {
    uid: u32,
    row: &'a Row,
    mine: &'a Mine,
    size: u32,
    at: Timestamp,
    fields: Option<&'a Fields>,
    header: Option<&'a [u8]>,
    message: Option<&'a [u8]>,
}

impl Question {
    fn of(key: &SearchKey, selected: &Selected, saved: &BTreeSet<u32>, now: Timestamp) -> Result<Self, Trouble> {
        let all = |keys: &[SearchKey]| {
            keys.iter().map(|key| Self::of(key, selected, saved, now)).collect::<Result<Vec<_>, _>>()
        };
        let among = |set: &Set, by_uid| {
            let uids = selected.resolve(set, by_uid, saved);
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

    fn depth(&self) -> Depth {
        match self {
            Self::All
            | Self::Among(_)
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
            Self::And(questions) => questions.iter().map(Self::depth).max().unwrap_or(Depth::Row),
            Self::Or(one, other) => one.depth().max(other.depth()),
            Self::Not(question) => question.depth(),
        }
    }

    /// The answer, where what was read suffices for one.
    fn ask(&self, candidate: &Candidate<'_>) -> Option<bool> {
        let Candidate { uid, row, mine, .. } = *candidate;
        let said =
            |pick: fn(&Fields) -> &str, needle: &Needle| candidate.fields.map(|fields| needle.is_in(pick(fields)));
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
            Self::Among(uids) => Some(uids.binary_search(&uid).is_ok()),
            Self::Flag(flag) => Some(flags::has(flag, uid, row, mine)),
            Self::ModSeq(modseq) => Some(row.modseq.max(mine.modseq) >= *modseq),
            Self::EmailId(id) => Some(Item::of(row).email_id() == *id),
            Self::ThreadId(id) => Some(Item::of(row).thread_id().as_ref() == Some(id)),
            Self::Larger(size) => Some(candidate.size > *size),
            Self::Smaller(size) => Some(candidate.size < *size),
            Self::Arrived(how, than) => Some(lies(candidate.at.to_zoned(TimeZone::UTC).date(), *how, *than)),
            Self::Older(than) => Some(candidate.at <= *than),
            Self::Younger(than) => Some(candidate.at >= *than),
            Self::From(needle) => said(|fields| &fields.from, needle),
            Self::To(needle) => said(|fields| &fields.to, needle),
            Self::Cc(needle) => said(|fields| &fields.cc, needle),
            Self::Bcc(needle) => said(|fields| &fields.bcc, needle),
            Self::Subject(needle) => said(|fields| &fields.subject, needle),
            Self::Sent(how, than) => {
                candidate.fields.map(|fields| fields.day.is_some_and(|day| lies(day, *how, *than)))
            }
            Self::Header(field, needle) => candidate.header.map(|header| header_contains(header, field, needle)),
            Self::Text { needle, headers_too } => {
                candidate.message.map(|message| text_contains(message, needle, *headers_too))
            }
        }
    }
}

/// A message that was found.
struct Hit {
    uid: u32,
    item: Item,
    modseq: u64,
    at: Timestamp,
    size: u32,
}

impl Seat {
    /// SEARCH, SORT and THREAD.
    pub(super) async fn search(&mut self, tag: &str, command: &Command, out: &mut Out<'_>) -> Result<Done, Trouble> {
        let (key, charset) = match command {
            Command::Search { key, charset, .. } => (key, charset.as_deref().unwrap_or("US-ASCII")),
            Command::Sort { key, charset, .. } | Command::Thread { key, charset, .. } => (key, charset.as_str()),
            _ => return Err(Trouble::Bad("not now".into())),
        };
        if !is_known_charset(charset) {
            return Err(Trouble::No {
                code: Some("BADCHARSET (US-ASCII UTF-8)"),
                text: "the charset is not known".into(),
            });
        }
        if asks_modseq(key) {
            self.enabled.condstore = true;
        }
        let question = Question::of(key, self.selected()?, &self.saved, Timestamp::now())?;
        let mut hits = self.find(&question).await?;
        match command {
            Command::Thread { uid, algorithm, .. } => {
                self.thread(*uid, *algorithm, &hits, out).await?;
                Ok(Done::coded(None, "threaded"))
            }
            Command::Sort { uid, returns, criteria, .. } => {
                self.sort(criteria, &mut hits).await?;
                self.tell_hits(tag, "SORT", *uid, returns.as_deref(), asks_modseq(key), &hits, out)
            }
            Command::Search { uid, returns, .. } => {
                // Whoever speaks the later revision knows no other answer (RFC 9051 §6.4.4).
                let returns = returns.as_deref().or(self.enabled.rev2.then_some(&[]));
                self.tell_hits(tag, "SEARCH", *uid, returns, asks_modseq(key), &hits, out)
            }
            _ => Err(Trouble::Bad("not now".into())),
        }
    }

    /// The messages for which the answer is yes, in the order of the mailbox.
    async fn find(&self, question: &Question) -> Result<Vec<Hit>, Trouble> {
        let selected = self.selected()?;
        let member = self.member.id;
        let depth = question.depth();
        let mut hits = Vec::new();
        for some in selected.uids().chunks(MANY) {
            let rows = self.desk.store.read(|view| found(view, &selected.shelves, member, some))?;
            // First what costs nothing.
            let (mut open, mut rest) = (Vec::new(), Vec::new());
            for (uid, row, mine) in rows {
                let candidate = Candidate {
                    uid,
                    row: &row,
                    mine: &mine,
                    size: 0,
                    at: Timestamp::UNIX_EPOCH,
                    fields: None,
                    header: None,
                    message: None,
                };
                let answer = if depth == Depth::Row { question.ask(&candidate) } else { None };
                match answer {
                    Some(false) => {}
                    Some(true) => rest.push(Hit::of(uid, &row, &mine, Timestamp::UNIX_EPOCH, 0)),
                    None => open.push((uid, row, mine)),
                }
            }
            hits.append(&mut rest);
            if open.is_empty() {
                continue;
            }
            let items: Vec<_> = open.iter().map(|(_, row, _)| Item::of(row)).collect();
            prepare(&self.desk, member, &items).await?;
            let mut undecided = Vec::new();
            self.desk.store.read(|view| {
                for (uid, row, mine) in open {
                    let Some(shape) = view.get(&SHAPES, &row.entry)? else { continue };
                    let fields = if depth >= Depth::Fields { fields(view, row.entry)? } else { None };
                    let header = if depth >= Depth::Header { view.get(&RENDERINGS, &row.entry)? } else { None };
                    let candidate = Candidate {
                        uid,
                        row: &row,
                        mine: &mine,
                        size: shape.size,
                        at: shape.at,
                        fields: fields.as_ref(),
                        header: header.as_ref().map(|rendering| rendering.header.as_slice()),
                        message: None,
                    };
                    match question.ask(&candidate) {
                        Some(false) => {}
                        Some(true) => hits.push(Hit::of(uid, &row, &mine, shape.at, shape.size)),
                        None => undecided.push((uid, row, mine, shape, fields, header)),
                    }
                }
                Ok::<_, Trouble>(())
            })?;
            // What is left can only be answered by reading.
            while !undecided.is_empty() {
                let few: Vec<_> = undecided.drain(..undecided.len().min(FEW)).collect();
                let sources = self.desk.store.read(|view| {
                    few.iter()
                        .map(|(_, row, ..)| Source::read(view, member, Item::of(row)))
                        .collect::<Result<Vec<_>, _>>()
                })?;
                for ((uid, row, mine, shape, fields, header), source) in few.into_iter().zip(sources) {
                    let Some(source) = source else { continue };
                    let reading = tokio::task::spawn_blocking(move || source.bytes());
                    let message = reading.await.map_err(|error| Trouble::Broken(error.to_string()))?;
                    let candidate = Candidate {
                        uid,
                        row: &row,
                        mine: &mine,
                        size: shape.size,
                        at: shape.at,
                        fields: fields.as_ref(),
                        header: header.as_ref().map(|rendering| rendering.header.as_slice()),
                        message: Some(&message),
                    };
                    if question.ask(&candidate) == Some(true) {
                        hits.push(Hit::of(uid, &row, &mine, shape.at, shape.size));
                    }
                }
            }
        }
        hits.sort_unstable_by_key(|hit| hit.uid);
        Ok(hits)
    }

    /// The fields of what was found, where they are kept.
    async fn fields_of(&self, hits: &[Hit]) -> Result<BTreeMap<u32, Fields>, Trouble> {
        let mut all = BTreeMap::new();
        for some in hits.chunks(MANY) {
            let items: Vec<_> = some.iter().map(|hit| hit.item).collect();
            prepare(&self.desk, self.member.id, &items).await?;
            self.desk.store.read(|view| {
                for hit in some {
                    if let Some(fields) = fields(view, hit.item.entry)? {
                        all.insert(hit.uid, fields);
                    }
                }
                Ok::<_, Trouble>(())
            })?;
        }
        Ok(all)
    }

    /// Arrival times and sizes, which SORT may ask for although SEARCH did not.
    async fn complete(&self, hits: &mut [Hit]) -> Result<(), Trouble> {
        for some in hits.chunks_mut(MANY) {
            let items: Vec<_> = some.iter().map(|hit| hit.item).collect();
            prepare(&self.desk, self.member.id, &items).await?;
            self.desk.store.read(|view| {
                for hit in some {
                    if let Some(shape) = view.get(&SHAPES, &hit.item.entry)? {
                        (hit.at, hit.size) = (shape.at, shape.size);
                    }
                }
                Ok::<_, Trouble>(())
            })?;
        }
        Ok(())
    }

    async fn sort(&self, criteria: &[SortCriterion], hits: &mut [Hit]) -> Result<(), Trouble> {
        self.complete(hits).await?;
        let fields = self.fields_of(hits).await?;
        let none = Fields::default();
        hits.sort_by(|one, other| {
            let of = |hit: &Hit| fields.get(&hit.uid).unwrap_or(&none);
            let (a, b) = (of(one), of(other));
            for SortCriterion { by, reverse } in criteria {
                let order = match by {
                    SortBy::Arrival => one.at.cmp(&other.at),
                    SortBy::Size => one.size.cmp(&other.size),
                    // A message without a date is as old as its arrival (RFC 5256 §2.2).
                    SortBy::Date => a.date.unwrap_or(one.at).cmp(&b.date.unwrap_or(other.at)),
                    SortBy::Cc => a.sort_cc.cmp(&b.sort_cc),
                    SortBy::From => a.sort_from.cmp(&b.sort_from),
                    SortBy::To => a.sort_to.cmp(&b.sort_to),
                    SortBy::Subject => a.base_subject.cmp(&b.base_subject),
                    SortBy::DisplayFrom => a.display_from.cmp(&b.display_from),
                    SortBy::DisplayTo => a.display_to.cmp(&b.display_to),
                };
                let order = if *reverse { order.reverse() } else { order };
                if order != Ordering::Equal {
                    return order;
                }
            }
            one.uid.cmp(&other.uid)
        });
        Ok(())
    }

    async fn thread(
        &self,
        uid: bool,
        algorithm: ThreadAlgorithm,
        hits: &[Hit],
        out: &mut Out<'_>,
    ) -> Result<(), Trouble> {
        let selected = self.selected()?;
        let fields = self.fields_of(hits).await?;
        let messages: Vec<_> = hits
            .iter()
            .filter_map(|hit| {
                let number = if uid { hit.uid } else { selected.number(hit.uid)? };
                let fields = fields.get(&hit.uid)?;
                Some((number, fields, fields.date.unwrap_or(hit.at)))
            })
            .collect();
        let forest = match algorithm {
            ThreadAlgorithm::OrderedSubject => thread::ordered_subject(&messages),
            ThreadAlgorithm::References => thread::references(&messages),
        };
        out.bytes.extend_from_slice(b"* THREAD");
        let mut threads = Vec::new();
        forest.write(&mut threads);
        if !threads.is_empty() {
            out.bytes.push(b' ');
            out.bytes.extend_from_slice(&threads);
        }
        out.line("");
        Ok(())
    }

    fn tell_hits(
        &mut self,
        tag: &str,
        verb: &str,
        uid: bool,
        returns: Option<&[SearchReturn]>,
        with_modseq: bool,
        hits: &[Hit],
        out: &mut Out<'_>,
    ) -> Result<Done, Trouble> {
        let selected = self.selected()?;
        let numbers: Vec<u32> =
            hits.iter().filter_map(|hit| if uid { Some(hit.uid) } else { selected.number(hit.uid) }).collect();
        let modseq = hits.iter().map(|hit| hit.modseq).max().filter(|_| with_modseq);
        let Some(returns) = returns else {
            let mut line = format!("* {verb}");
            for number in &numbers {
                line.push(' ');
                line.push_str(&number.to_string());
            }
            if let Some(modseq) = modseq {
                line.push_str(&format!(" (MODSEQ {modseq})"));
            }
            out.line(&line);
            return Ok(Done::coded(None, "searched"));
        };
        let asked = |what| returns.contains(&what);
        // Nothing named is ALL (RFC 4731 §3.1), and SAVE alone tells nothing (RFC 5182 §2.1).
        let all = asked(SearchReturn::All) || returns.is_empty();
        if asked(SearchReturn::Save) {
            let uids = hits.iter().map(|hit| hit.uid);
            let limited = (asked(SearchReturn::Min) || asked(SearchReturn::Max)) && !all && !asked(SearchReturn::Count);
            self.saved = if limited {
                let ends = uids.clone().min().filter(|_| asked(SearchReturn::Min)).into_iter();
                ends.chain(uids.max().filter(|_| asked(SearchReturn::Max))).collect()
            } else {
                uids.collect()
            };
            if returns == [SearchReturn::Save] {
                return Ok(Done::coded(None, "saved"));
            }
        }
        let mut line = String::new();
        let (least, most) = (numbers.iter().min(), numbers.iter().max());
        if let Some(least) = least.filter(|_| asked(SearchReturn::Min)) {
            line.push_str(&format!(" MIN {least}"));
        }
        if let Some(most) = most.filter(|_| asked(SearchReturn::Max)) {
            line.push_str(&format!(" MAX {most}"));
        }
        if all && !numbers.is_empty() {
            line.push_str(&format!(" ALL {}", set(numbers.iter().copied())));
        }
        if asked(SearchReturn::Count) {
            line.push_str(&format!(" COUNT {}", numbers.len()));
        }
        if let Some(modseq) = modseq {
            line.push_str(&format!(" MODSEQ {modseq}"));
        }
        let by = if uid { " UID" } else { "" };
        out.line(&format!("* ESEARCH (TAG \"{tag}\"){by}{line}"));
        Ok(Done::coded(None, "searched"))
    }
}

impl Hit {
    fn of(uid: u32, row: &Row, mine: &Mine, at: Timestamp, size: u32) -> Self {
        Self { uid, item: Item::of(row), modseq: row.modseq.max(mine.modseq), at, size }
    }
}

/// Whether a question is about changes, so that the answer says when the last one was (RFC 7162 §3.1.5).
fn asks_modseq(key: &SearchKey) -> bool {
    match key {
        SearchKey::ModSeq(_) => true,
        SearchKey::And(keys) => keys.iter().any(asks_modseq),
        SearchKey::Or(one, other) => asks_modseq(one) || asks_modseq(other),
        SearchKey::Not(key) => asks_modseq(key),
        _ => false,
    }
}

fn is_known_charset(name: &str) -> bool {
    ["US-ASCII", "UTF-8"].iter().any(|known| known.eq_ignore_ascii_case(name)) || charset::decoder(name).is_some()
}
