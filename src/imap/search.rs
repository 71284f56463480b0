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
use super::shapes::{Item, bytes, each, fields, prepare, searched, sizes, together};
use super::write::{Out, set};
use crate::desk::id::EntryId;
use crate::desk::shape::{Glance, RenderedHeader};
use crate::desk::shelf::{Mine, Row};
use crate::mime::charset;
use crate::mime::shape::fields::{Fields, Searched};
use crate::mime::shape::thread;
use crate::store::tables::{RENDERINGS, SAID, SHAPES};
use crate::store::{Record, Stored, Table, View};

/// Messages that are looked at at a time, and questions that are asked of each meanwhile: of more
/// questions it is fewer messages, so that nobody who writes waits for long.
const MANY: usize = 500;
const QUESTIONS: usize = 20;

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
        let done = self.look_for(tag, command, out).await;
        // A search that fails has found nothing, but for one that makes no sense (RFC 5182 §2.1).
        if let (
            Err(Trouble::No { .. } | Trouble::Store(_) | Trouble::Broken(_)),
            Command::Search { returns: Some(returns), .. } | Command::Sort { returns: Some(returns), .. },
        ) = (&done, command)
            && returns.contains(&SearchReturn::Save)
        {
            self.saved.clear();
        }
        done
    }

    async fn look_for(&mut self, tag: &str, command: &Command, out: &mut Out<'_>) -> Result<Done, Trouble> {
        self.selected()?;
        let (key, charset) = match command {
            // Texts are in UTF-8 then, and may not be said to be in anything else (RFC 6855 §3).
            Command::Search { charset: Some(_), .. } if self.enabled.utf8 => {
                return Err(Trouble::Bad("with UTF8=ACCEPT a search is in UTF-8, and names no charset".into()));
            }
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
                self.complete(&mut hits).await?;
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
    async fn find(&self, question: &Question<'_>) -> Result<Vec<Hit>, Trouble> {
        let selected = self.selected()?;
        let member = self.member.id;
        let mut hits = Vec::new();
        let at_a_time = (MANY * QUESTIONS / question.count().max(QUESTIONS)).max(1);
        for some in selected.uids().chunks(at_a_time) {
            // Others have their turn too.
            tokio::task::yield_now().await;
            let standing = self.desk.store.read(|view| found(view, &selected.shelves, member, some))?;
            // First what costs nothing.
            let mut open = Vec::new();
            for (uid, row, mine) in standing {
                let one = Open { uid, row, mine, kept: None, said: None, header: None };
                match one.ask(question, None, None) {
                    Some(true) => hits.push(one.hit()),
                    Some(false) => {}
                    None => open.push(one),
                }
            }
            if open.is_empty() {
                continue;
            }
            // Then what is kept of messages; of those that nothing is kept of yet, once it is made.
            let mut undecided = Vec::new();
            let mut new = if question.needs_kept() { Vec::new() } else { std::mem::take(&mut open) };
            self.desk.store.read(|view| look(view, question, &mut open, &mut hits, &mut new))?;
            undecided.append(&mut open);
            if !new.is_empty() {
                let items: Vec<_> = new.iter().map(|one| Item::of(&one.row)).collect();
                prepare(&self.desk, member, &items).await?;
                // What is not there now is gone, and not found.
                self.desk.store.read(|view| look(view, question, &mut new, &mut hits, &mut Vec::new()))?;
                undecided.append(&mut new);
            }
            // What is left can only be answered by reading.
            let items: Vec<_> = undecided.iter().map(|one| Item::of(&one.row)).collect();
            let sizes = sizes(&self.desk, &items)?;
            let mut at = 0;
            while at < undecided.len() {
                let (count, octets) = together(sizes[at..].iter().copied());
                let (messages, _room) = bytes(&self.desk, member, &items[at..at + count], octets).await?;
                for (one, message) in undecided[at..].iter().zip(messages) {
                    let Some(message) = message else { continue };
                    if one.ask(question, one.searched()?, Some(&message)) == Some(true) {
                        hits.push(one.hit());
                    }
                }
                at += count;
            }
        }
        hits.sort_unstable_by_key(|hit| hit.uid);
        Ok(hits)
    }

    /// The fields of what was found, where they are kept, without those that nothing is sorted by: of
    /// twenty thousand messages they would be much.
    async fn fields_of(&self, hits: &[Hit]) -> Result<BTreeMap<u32, Fields>, Trouble> {
        let mut all = BTreeMap::new();
        for some in hits.chunks(MANY) {
            let items: Vec<_> = some.iter().map(|hit| hit.item).collect();
            prepare(&self.desk, self.member.id, &items).await?;
            self.desk.store.read(|view| {
                let entries: Vec<_> = items.iter().map(|item| item.entry).collect();
                each(view, &SAID, &entries, |at, stored| {
                    if let Some(stored) = stored {
                        all.insert(some[at].uid, sorted_by(fields(stored.glance()?)?));
                    }
                    Ok::<_, Trouble>(())
                })
            })?;
        }
        Ok(all)
    }

    /// Adds arrival times and sizes.
    async fn complete(&self, hits: &mut [Hit]) -> Result<(), Trouble> {
        for some in hits.chunks_mut(MANY) {
            let items: Vec<_> = some.iter().map(|hit| hit.item).collect();
            prepare(&self.desk, self.member.id, &items).await?;
            self.desk.store.read(|view| {
                let entries: Vec<_> = items.iter().map(|item| item.entry).collect();
                each(view, &SHAPES, &entries, |at, stored| {
                    if let Some(stored) = stored {
                        let shape: Glance<'_> = stored.glance()?;
                        (some[at].at, some[at].size) = (shape.at(), shape.size);
                    }
                    Ok::<_, Trouble>(())
                })
            })?;
        }
        Ok(())
    }

    async fn sort(&self, criteria: &[SortCriterion], hits: &mut [Hit]) -> Result<(), Trouble> {
        self.complete(hits).await?;
        let is_kept = |criterion: &SortCriterion| matches!(criterion.by, SortBy::Arrival | SortBy::Size);
        let fields = if criteria.iter().all(is_kept) { BTreeMap::new() } else { self.fields_of(hits).await? };
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
            let numbers = numbers.iter().fold(String::new(), |text, number| text + " " + &number.to_string());
            let modseq = modseq.map(|modseq| format!(" (MODSEQ {modseq})")).unwrap_or_default();
            out.line(&format!("* {verb}{numbers}{modseq}"));
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

/// A message that is not decided on, with what was read of it.
struct Open {
    uid: u32,
    row: Row,
    mine: Mine,
    /// Its size, and when it came.
    kept: Option<(u32, Timestamp)>,
    said: Option<Vec<u8>>,
    header: Option<Vec<u8>>,
}

impl Open {
    /// The answer, where what is known suffices for one.
    fn ask(&self, question: &Question<'_>, fields: Option<Searched<'_>>, message: Option<&[u8]>) -> Option<bool> {
        let Self { uid, row, mine, kept, header, .. } = self;
        question.ask(&Candidate { uid: *uid, row, mine, kept: *kept, fields, header: header.as_deref(), message })
    }

    fn searched(&self) -> Result<Option<Searched<'_>>, Trouble> {
        self.said.as_deref().map(searched).transpose()
    }

    /// It is found.
    fn hit(&self) -> Hit {
        let (size, at) = self.kept.unwrap_or((0, Timestamp::UNIX_EPOCH));
        Hit { uid: self.uid, item: Item::of(&self.row), modseq: self.row.modseq.max(self.mine.modseq), at, size }
    }
}

/// Looks at what is kept of all that is open, for as long as something is; what nothing is kept of
/// becomes `new`.
fn look(
    view: &View<'_>,
    question: &Question<'_>,
    open: &mut Vec<Open>,
    hits: &mut Vec<Hit>,
    new: &mut Vec<Open>,
) -> Result<(), Trouble> {
    if question.needs(Depth::Shape) {
        look_into(view, &SHAPES, open, hits, new, |one, stored| {
            let shape: Glance<'_> = stored.glance()?;
            one.kept = Some((shape.size, shape.at()));
            Ok(one.ask(question, None, None))
        })?;
    }
    if question.needs(Depth::Fields) {
        look_into(view, &SAID, open, hits, new, |one, stored| {
            let said: &[u8] = stored.glance()?;
            let answer = one.ask(question, Some(searched(said)?), None);
            one.said = answer.is_none().then(|| said.to_vec());
            Ok(answer)
        })?;
    }
    if question.needs(Depth::Header) {
        look_into(view, &RENDERINGS, open, hits, new, |one, stored| {
            let header = stored.glance::<RenderedHeader<'_>>()?.1;
            one.header = Some(header.to_vec());
            Ok(one.ask(question, one.searched()?, None))
        })?;
    }
    Ok(())
}

/// Looks at what one table has of it.
fn look_into<V: Record>(
    view: &View<'_>,
    table: &Table<EntryId, V>,
    open: &mut Vec<Open>,
    hits: &mut Vec<Hit>,
    new: &mut Vec<Open>,
    mut see: impl FnMut(&mut Open, Stored<'_, V>) -> Result<Option<bool>, Trouble>,
) -> Result<(), Trouble> {
    let entries: Vec<_> = open.iter().map(|one| one.row.entry).collect();
    // `None` for what is not there.
    let mut answers = vec![None; open.len()];
    each(view, table, &entries, |at, stored| {
        if let Some(stored) = stored {
            answers[at] = Some(see(&mut open[at], stored)?);
        }
        Ok::<_, Trouble>(())
    })?;
    for (one, answer) in std::mem::take(open).into_iter().zip(answers) {
        match answer {
            None => new.push(one),
            Some(None) => open.push(one),
            Some(Some(true)) => hits.push(one.hit()),
            Some(Some(false)) => {}
        }
    }
    Ok(())
}

fn sorted_by(fields: Fields) -> Fields {
    let none = String::new;
    Fields { from: none(), to: none(), cc: none(), bcc: none(), subject: none(), ..fields }
}

fn is_known_charset(name: &str) -> bool {
    ["US-ASCII", "UTF-8"].iter().any(|known| known.eq_ignore_ascii_case(name)) || charset::decoder(name).is_some()
}
