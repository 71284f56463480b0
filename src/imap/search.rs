//! SEARCH, SORT and THREAD (RFC 3501 §6.4.4, RFC 4731, RFC 5182, RFC 5256).
//!
//! What is kept of messages answers most questions; only for BODY, TEXT and fields that are not kept
//! are messages read, and only those for which nothing else has decided.

mod question;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Timestamp;

use self::question::{Candidate, Depth, Question, asks_modseq};
use super::Trouble;
use super::command::{Command, SearchReturn, SortBy, SortCriterion, ThreadAlgorithm};
use super::seat::{Done, Seat};
use super::selected::found;
use super::shapes::{Item, Source, fields, prepare};
use super::write::{Out, set};
use crate::desk::shelf::{Mine, Row};
use crate::mime::charset;
use crate::mime::shape::fields::Fields;
use crate::mime::shape::thread;
use crate::store::Read as _;
use crate::store::tables::{RENDERINGS, SHAPES};

/// Messages that are looked at at a time, and that are read at a time.
const MANY: usize = 500;
const FEW: usize = 16;

/// How an answer is to be written.
struct Answer<'a> {
    tag: &'a str,
    verb: &'static str,
    uid: bool,
    returns: Option<&'a [SearchReturn]>,
    with_modseq: bool,
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
            // A search that fails has found nothing (RFC 5182 §2.1).
            if let Command::Search { returns: Some(returns), .. } = command
                && returns.contains(&SearchReturn::Save)
            {
                self.saved.clear();
            }
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
                let returns = returns.as_deref();
                let answer = Answer { tag, verb: "SORT", uid: *uid, returns, with_modseq: asks_modseq(key) };
                self.tell_hits(&answer, &hits, out)
            }
            Command::Search { uid, returns, .. } => {
                // Whoever speaks the later revision knows no other answer (RFC 9051 §6.4.4).
                let returns = returns.as_deref().or(self.enabled.rev2.then_some(&[]));
                let answer = Answer { tag, verb: "SEARCH", uid: *uid, returns, with_modseq: asks_modseq(key) };
                self.tell_hits(&answer, &hits, out)
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

    fn tell_hits(&mut self, answer: &Answer<'_>, hits: &[Hit], out: &mut Out<'_>) -> Result<Done, Trouble> {
        let Answer { tag, verb, uid, returns, with_modseq } = *answer;
        let selected = self.selected()?;
        let number = |hit: &Hit| if uid { Some(hit.uid) } else { selected.number(hit.uid) };
        let numbers: Vec<u32> = hits.iter().filter_map(number).collect();
        let last_change =
            |hits: &mut dyn Iterator<Item = &Hit>| hits.map(|hit| hit.modseq).max().filter(|_| with_modseq);
        let mut modseq = last_change(&mut hits.iter());
        let Some(returns) = returns else {
            let mut line = format!("* {verb}");
            for number in numbers {
                line.push(' ');
                line.push_str(&number.to_string());
            }
            let modseq = modseq.map(|modseq| format!(" (MODSEQ {modseq})")).unwrap_or_default();
            out.line(&(line + &modseq));
            return Ok(Done::coded(None, "searched"));
        };
        let asked = |what| returns.contains(&what);
        // Nothing named is ALL (RFC 4731 §3.1), and SAVE alone tells nothing (RFC 5182 §2.1).
        let all = asked(SearchReturn::All) || returns.is_empty();
        // Where the ends alone are asked for, they alone are saved (RFC 5182 §2.1) and counted for the
        // last change (RFC 7162 §3.1.10).
        let limited = (asked(SearchReturn::Min) || asked(SearchReturn::Max)) && !all && !asked(SearchReturn::Count);
        let least = hits.iter().min_by_key(|hit| hit.uid).filter(|_| asked(SearchReturn::Min));
        let most = hits.iter().max_by_key(|hit| hit.uid).filter(|_| asked(SearchReturn::Max));
        let ends = || least.into_iter().chain(most);
        if limited {
            modseq = last_change(&mut ends());
        }
        if asked(SearchReturn::Save) {
            let of = |hit: &Hit| hit.uid;
            self.saved = if limited { ends().map(of).collect() } else { hits.iter().map(of).collect() };
            if returns == [SearchReturn::Save] {
                return Ok(Done::coded(None, "saved"));
            }
        }
        let named = |name: &str, value: Option<String>| value.map(|value| format!(" {name} {value}"));
        let facts = [
            named("MIN", numbers.iter().min().filter(|_| asked(SearchReturn::Min)).map(ToString::to_string)),
            named("MAX", numbers.iter().max().filter(|_| asked(SearchReturn::Max)).map(ToString::to_string)),
            named("ALL", (all && !numbers.is_empty()).then(|| set(numbers.iter().copied()))),
            named("COUNT", asked(SearchReturn::Count).then(|| numbers.len().to_string())),
            named("MODSEQ", modseq.map(|modseq| modseq.to_string())),
        ];
        let facts: String = facts.into_iter().flatten().collect();
        let by = if uid { " UID" } else { "" };
        out.line(&format!("* ESEARCH (TAG \"{tag}\"){by}{facts}"));
        Ok(Done::coded(None, "searched"))
    }
}

impl Hit {
    fn of(uid: u32, row: &Row, mine: &Mine, at: Timestamp, size: u32) -> Self {
        Self { uid, item: Item::of(row), modseq: row.modseq.max(mine.modseq), at, size }
    }
}

fn is_known_charset(name: &str) -> bool {
    ["US-ASCII", "UTF-8"].iter().any(|known| known.eq_ignore_ascii_case(name)) || charset::decoder(name).is_some()
}
