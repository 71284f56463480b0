//! SEARCH, SORT and THREAD (RFC 3501 §6.4.4, RFC 4731, RFC 5182, RFC 5256).

use jiff::SignedDuration;

use super::cursor::{Cursor, DEPTH, MANY, Read, utf8, wrong};
use super::{date, flag, set};
use crate::imap::command::{Command, Flag, SearchKey, SearchReturn, SortBy, SortCriterion, ThreadAlgorithm};
use crate::mime::charset;

/// Octets of an object's identifier (RFC 8474 §7).
const OBJECT_ID: usize = 255;

pub(super) fn search(cursor: &mut Cursor<'_>, uid: bool) -> Read<Command> {
    let returns = returns(cursor)?;
    let mut charset = None;
    if cursor.eat_word("CHARSET") {
        cursor.space()?;
        charset = Some(cursor.text()?);
        cursor.space()?;
    }
    let key = Keys::read(cursor, charset.as_deref())?;
    Ok(Command::Search { uid, returns, charset, key })
}

pub(super) fn sort(cursor: &mut Cursor<'_>, uid: bool) -> Read<Command> {
    let returns = returns(cursor)?;
    let criteria = cursor.filled(criterion)?;
    cursor.space()?;
    let charset = cursor.text()?;
    cursor.space()?;
    let key = Keys::read(cursor, Some(&charset))?;
    Ok(Command::Sort { uid, returns, criteria, charset, key })
}

pub(super) fn thread(cursor: &mut Cursor<'_>, uid: bool) -> Read<Command> {
    let algorithm = match cursor.word()?.as_str() {
        "ORDEREDSUBJECT" => ThreadAlgorithm::OrderedSubject,
        "REFERENCES" => ThreadAlgorithm::References,
        _ => return wrong("THREAD knows ORDEREDSUBJECT and REFERENCES"),
    };
    cursor.space()?;
    let charset = cursor.text()?;
    cursor.space()?;
    let key = Keys::read(cursor, Some(&charset))?;
    Ok(Command::Thread { uid, algorithm, charset, key })
}

/// `RETURN ()` asks for ALL (RFC 4731 §3.1).
fn returns(cursor: &mut Cursor<'_>) -> Read<Option<Vec<SearchReturn>>> {
    if !cursor.eat_word("RETURN") {
        return Ok(None);
    }
    cursor.space()?;
    let mut returns = cursor.list(|cursor| {
        Ok(match cursor.word()?.as_str() {
            "MIN" => SearchReturn::Min,
            "MAX" => SearchReturn::Max,
            "ALL" => SearchReturn::All,
            "COUNT" => SearchReturn::Count,
            "SAVE" => SearchReturn::Save,
            _ => return wrong("a search returns MIN, MAX, ALL and COUNT, and knows SAVE"),
        })
    })?;
    cursor.space()?;
    if returns.is_empty() {
        returns.push(SearchReturn::All);
    }
    Ok(Some(returns))
}

fn criterion(cursor: &mut Cursor<'_>) -> Read<SortCriterion> {
    let reverse = cursor.eat_word("REVERSE");
    if reverse {
        cursor.space()?;
    }
    let by = match cursor.word()?.as_str() {
        "ARRIVAL" => SortBy::Arrival,
        "CC" => SortBy::Cc,
        "DATE" => SortBy::Date,
        "FROM" => SortBy::From,
        "SIZE" => SortBy::Size,
        "SUBJECT" => SortBy::Subject,
        "TO" => SortBy::To,
        "DISPLAYFROM" => SortBy::DisplayFrom,
        "DISPLAYTO" => SortBy::DisplayTo,
        _ => return wrong("SORT knows no such criterion"),
    };
    Ok(SortCriterion { by, reverse })
}

/// Keys of one search that messages are read for, each of them by itself.
const TEXTS: usize = 20;

/// The keys of one command.
struct Keys<'a> {
    charset: Option<&'a str>,
    count: usize,
    texts: usize,
}

impl Keys<'_> {
    /// Reads keys up to the end of the line.
    fn read(cursor: &mut Cursor<'_>, charset: Option<&str>) -> Read<SearchKey> {
        let mut keys = Keys { charset, count: 0, texts: 0 };
        let mut found = vec![keys.key(cursor, 0)?];
        while cursor.another()? {
            found.push(keys.key(cursor, 0)?);
        }
        Ok(all_of(found))
    }

    fn key(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Read<SearchKey> {
        self.count += 1;
        if self.count > MANY || depth > DEPTH {
            return wrong("a search has more keys than 1000, or deeper ones than 50");
        }
        match cursor.peek()? {
            b'(' => return cursor.filled(|cursor| self.key(cursor, depth + 1)).map(all_of),
            octet if set::begins(octet) => return set::set(cursor).map(SearchKey::Sequence),
            _ => {}
        }
        let word = cursor.word()?;
        Ok(match word.as_str() {
            "ALL" => SearchKey::All,
            "RECENT" => SearchKey::Recent,
            "OLD" => not(SearchKey::Recent),
            "NEW" => SearchKey::And(vec![SearchKey::Recent, not(SearchKey::Flag(Flag::Seen))]),
            "SEEN" => SearchKey::Flag(Flag::Seen),
            "UNSEEN" => not(SearchKey::Flag(Flag::Seen)),
            "ANSWERED" => SearchKey::Flag(Flag::Answered),
            "UNANSWERED" => not(SearchKey::Flag(Flag::Answered)),
            "FLAGGED" => SearchKey::Flag(Flag::Flagged),
            "UNFLAGGED" => not(SearchKey::Flag(Flag::Flagged)),
            "DELETED" => SearchKey::Flag(Flag::Deleted),
            "UNDELETED" => not(SearchKey::Flag(Flag::Deleted)),
            "DRAFT" => SearchKey::Flag(Flag::Draft),
            "UNDRAFT" => not(SearchKey::Flag(Flag::Draft)),
            _ => {
                cursor.expect(b' ', "there is no such search key, or what it looks for is missing")?;
                cursor.blanks();
                self.with_arguments(&word, cursor, depth)?
            }
        })
    }

    fn with_arguments(&mut self, word: &str, cursor: &mut Cursor<'_>, depth: usize) -> Read<SearchKey> {
        Ok(match word {
            "NOT" => not(self.key(cursor, depth + 1)?),
            "OR" => {
                let one = self.key(cursor, depth + 1)?;
                cursor.space()?;
                SearchKey::Or(Box::new(one), Box::new(self.key(cursor, depth + 1)?))
            }
            "UID" => SearchKey::Uid(set::set(cursor)?),
            "KEYWORD" => keyword(cursor)?,
            "UNKEYWORD" => not(keyword(cursor)?),
            "HEADER" => {
                let name = cursor.text()?;
                cursor.space()?;
                SearchKey::Header(name, self.text(cursor)?)
            }
            "FROM" => SearchKey::From(self.text(cursor)?),
            "TO" => SearchKey::To(self.text(cursor)?),
            "CC" => SearchKey::Cc(self.text(cursor)?),
            "BCC" => SearchKey::Bcc(self.text(cursor)?),
            "SUBJECT" => SearchKey::Subject(self.text(cursor)?),
            "BODY" | "TEXT" => {
                self.texts += 1;
                if self.texts > TEXTS {
                    return wrong("a search has more of BODY and TEXT than 20");
                }
                let text = self.text(cursor)?;
                if word == "BODY" { SearchKey::Body(text) } else { SearchKey::Text(text) }
            }
            "BEFORE" => SearchKey::Before(date::date(cursor)?),
            "ON" => SearchKey::On(date::date(cursor)?),
            "SINCE" => SearchKey::Since(date::date(cursor)?),
            "SENTBEFORE" => SearchKey::SentBefore(date::date(cursor)?),
            "SENTON" => SearchKey::SentOn(date::date(cursor)?),
            "SENTSINCE" => SearchKey::SentSince(date::date(cursor)?),
            "LARGER" => SearchKey::Larger(cursor.number()?),
            "SMALLER" => SearchKey::Smaller(cursor.number()?),
            "OLDER" => SearchKey::Older(interval(cursor)?),
            "YOUNGER" => SearchKey::Younger(interval(cursor)?),
            "MODSEQ" => modseq(cursor)?,
            "EMAILID" => SearchKey::EmailId(object_id(cursor)?),
            "THREADID" => SearchKey::ThreadId(object_id(cursor)?),
            _ => return wrong("there is no such search key"),
        })
    }

    /// What is to be found, in UTF-8. In a charset that nobody knows it is guessed at: the answer is
    /// BADCHARSET then.
    fn text(&self, cursor: &mut Cursor<'_>) -> Read<String> {
        let octets = cursor.astring()?;
        match self.charset {
            Some(label) => Ok(charset::decode(Some(label), &octets).0),
            None => utf8(octets),
        }
    }
}

fn all_of(mut keys: Vec<SearchKey>) -> SearchKey {
    match keys.pop() {
        Some(only) if keys.is_empty() => only,
        last => {
            keys.extend(last);
            SearchKey::And(keys)
        }
    }
}

fn not(key: SearchKey) -> SearchKey {
    SearchKey::Not(Box::new(key))
}

fn keyword(cursor: &mut Cursor<'_>) -> Read<SearchKey> {
    Ok(flag::flag(cursor)?.map_or(SearchKey::Recent, SearchKey::Flag))
}

/// Seconds (RFC 5032 §3).
fn interval(cursor: &mut Cursor<'_>) -> Read<SignedDuration> {
    Ok(SignedDuration::from_secs(cursor.positive()?.into()))
}

/// `["/flags/…" priv|shared|all] number` (RFC 7162 §3.1.5).
fn modseq(cursor: &mut Cursor<'_>) -> Read<SearchKey> {
    if cursor.peek()? == b'"' {
        cursor.string()?;
        cursor.space()?;
        if !matches!(cursor.word()?.as_str(), "PRIV" | "SHARED" | "ALL") {
            return wrong("an entry is priv, shared or all");
        }
        cursor.space()?;
    }
    Ok(SearchKey::ModSeq(cursor.modseq()?))
}

fn object_id(cursor: &mut Cursor<'_>) -> Read<String> {
    let is_id = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    let id = cursor.some(is_id, "an object's identifier is missing")?;
    if id.len() > OBJECT_ID { wrong("an object's identifier is too long") } else { Ok(id.to_owned()) }
}
