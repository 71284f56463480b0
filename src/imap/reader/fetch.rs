//! What FETCH asks for (RFC 3501 §6.4.5, RFC 3516, RFC 7162 §3.1.4, RFC 8474).

use super::cursor::{Cursor, DEPTH, Read, wrong};
use super::set;
use crate::imap::command::{Command, FetchItem, Partial, Section, What};

/// Items in one FETCH. A client that reads a message part by part asks for many.
const ITEMS: usize = 300;

pub(super) fn fetch(cursor: &mut Cursor<'_>, uid: bool) -> Read<Command> {
    let set = set::set(cursor)?;
    cursor.space()?;
    let mut items = Vec::new();
    if cursor.peek()? == b'(' {
        cursor.filled(|cursor| item(cursor, &mut items))?;
    } else {
        item(cursor, &mut items)?;
    }
    let (mut changed_since, mut vanished) = (None, false);
    if cursor.another()? {
        cursor.filled(|cursor| {
            match cursor.word()?.as_str() {
                "CHANGEDSINCE" => {
                    cursor.space()?;
                    changed_since = Some(cursor.modseq()?);
                }
                "VANISHED" => vanished = true,
                _ => return wrong("FETCH knows CHANGEDSINCE and VANISHED"),
            }
            Ok(())
        })?;
    }
    if vanished && !(uid && changed_since.is_some()) {
        return wrong("VANISHED belongs to UID FETCH with CHANGEDSINCE");
    }
    Ok(Command::Fetch { uid, set, items, changed_since, vanished })
}

fn item(cursor: &mut Cursor<'_>, items: &mut Vec<FetchItem>) -> Read<()> {
    const FAST: [FetchItem; 3] = [FetchItem::Flags, FetchItem::InternalDate, FetchItem::Rfc822Size];
    if items.len() >= ITEMS {
        return wrong("FETCH asks for more than 300 things at once");
    }
    let item = match cursor.word()?.as_str() {
        "FAST" => {
            add_all(items, FAST);
            return Ok(());
        }
        "ALL" => {
            add_all(items, FAST);
            FetchItem::Envelope
        }
        "FULL" => {
            add_all(items, FAST);
            add(items, FetchItem::Envelope);
            FetchItem::Body
        }
        "UID" => FetchItem::Uid,
        "FLAGS" => FetchItem::Flags,
        "INTERNALDATE" => FetchItem::InternalDate,
        "ENVELOPE" => FetchItem::Envelope,
        "BODYSTRUCTURE" => FetchItem::BodyStructure,
        "MODSEQ" => FetchItem::ModSeq,
        "EMAILID" => FetchItem::EmailId,
        "THREADID" => FetchItem::ThreadId,
        "RFC822.SIZE" => FetchItem::Rfc822Size,
        "RFC822" => old(What::Whole, false, "RFC822"),
        "RFC822.PEEK" => old(What::Whole, true, "RFC822"),
        "RFC822.HEADER" => old(What::Header, true, "RFC822.HEADER"),
        "RFC822.TEXT" => old(What::Text, false, "RFC822.TEXT"),
        "RFC822.TEXT.PEEK" => old(What::Text, true, "RFC822.TEXT"),
        "BODY" if cursor.peek()? != b'[' => FetchItem::Body,
        "BODY" => body(cursor, false)?,
        "BODY.PEEK" => body(cursor, true)?,
        "BINARY" => FetchItem::Binary { part: binary(cursor)?, peek: false, partial: partial(cursor)? },
        "BINARY.PEEK" => FetchItem::Binary { part: binary(cursor)?, peek: true, partial: partial(cursor)? },
        "BINARY.SIZE" => FetchItem::BinarySize(binary(cursor)?),
        _ => return wrong("FETCH knows no such item"),
    };
    add(items, item);
    Ok(())
}

fn add_all(items: &mut Vec<FetchItem>, more: impl IntoIterator<Item = FetchItem>) {
    more.into_iter().for_each(|item| add(items, item));
}

/// What is asked for twice is answered once.
fn add(items: &mut Vec<FetchItem>, item: FetchItem) {
    if !items.contains(&item) {
        items.push(item);
    }
}

/// What BODY with a section does, as it was called before; some clients still write PEEK behind it.
fn old(what: What, peek: bool, name: &'static str) -> FetchItem {
    FetchItem::Section { section: Section { part: Vec::new(), what }, peek, partial: None, old_name: Some(name) }
}

fn body(cursor: &mut Cursor<'_>, peek: bool) -> Read<FetchItem> {
    Ok(FetchItem::Section { section: section(cursor)?, peek, partial: partial(cursor)?, old_name: None })
}

fn section(cursor: &mut Cursor<'_>) -> Read<Section> {
    cursor.expect(b'[', "a section in brackets is missing")?;
    let mut part = Vec::new();
    let what = loop {
        match cursor.peek()? {
            b']' if part.is_empty() => break What::Whole,
            b'0'..=b'9' => {
                number(cursor, &mut part)?;
                if !cursor.eat(b'.') {
                    break What::Whole;
                }
            }
            _ => break what(cursor, !part.is_empty())?,
        }
    };
    cursor.blanks();
    cursor.expect(b']', "a section does not end where it should")?;
    Ok(Section { part, what })
}

fn what(cursor: &mut Cursor<'_>, of_part: bool) -> Read<What> {
    match cursor.word()?.as_str() {
        "HEADER" => Ok(What::Header),
        "TEXT" => Ok(What::Text),
        "HEADER.FIELDS" => fields(cursor).map(What::HeaderFields),
        "HEADER.FIELDS.NOT" => fields(cursor).map(What::HeaderFieldsNot),
        "MIME" if of_part => Ok(What::Mime),
        "MIME" => wrong("MIME is asked of a part alone"),
        _ => wrong("there is no such section"),
    }
}

/// Names of fields (RFC 5322 §2.2). They come back in the answer as they were asked for.
fn fields(cursor: &mut Cursor<'_>) -> Read<Vec<String>> {
    cursor.blanks();
    cursor.list(|cursor| {
        let name = cursor.text()?;
        let is_name = !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic() && octet != b':');
        if is_name { Ok(name) } else { wrong("a field has no such name") }
    })
}

/// `[1.2]`, or `[]`.
fn binary(cursor: &mut Cursor<'_>) -> Read<Vec<u32>> {
    cursor.expect(b'[', "a part in brackets is missing")?;
    let mut part = Vec::new();
    if cursor.peek()? != b']' {
        number(cursor, &mut part)?;
        while cursor.eat(b'.') {
            number(cursor, &mut part)?;
        }
    }
    cursor.expect(b']', "a part does not end where it should")?;
    Ok(part)
}

fn number(cursor: &mut Cursor<'_>, part: &mut Vec<u32>) -> Read<()> {
    if part.len() == DEPTH {
        return wrong("parts are not nested so deep");
    }
    part.push(cursor.positive()?);
    Ok(())
}

fn partial(cursor: &mut Cursor<'_>) -> Read<Option<Partial>> {
    cursor.peek()?;
    if !cursor.eat(b'<') {
        return Ok(None);
    }
    let first = cursor.number()?;
    cursor.expect(b'.', "a range of octets is written <first.count>")?;
    let count = cursor.positive()?;
    cursor.expect(b'>', "a range of octets is written <first.count>")?;
    Ok(Some(Partial { first, count }))
}
