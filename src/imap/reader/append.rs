//! What APPEND says before a message and behind it (RFC 3501 §6.3.11, RFC 3502, RFC 6855 §4).

use super::cursor::{Cursor, Read, Stop};
use super::{date, flag};
use crate::imap::command::Append;

/// A message that is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    pub append: Append,
    /// It stands in `UTF8 (…)`.
    pub wrapped: bool,
}

/// Flags, a date and the beginning of the message, with which what there is ends.
pub(super) fn announced(cursor: &mut Cursor<'_>) -> Read<Announced> {
    let mut flags = Vec::new();
    if cursor.peek()? == b'(' {
        flags = flag::list(cursor)?;
        cursor.space()?;
    }
    let mut date = None;
    if cursor.peek()? == b'"' {
        date = Some(date::date_time(cursor)?);
        cursor.space()?;
    }
    let wrapped = cursor.eat_word("UTF8");
    if wrapped {
        cursor.space()?;
        cursor.expect(b'(', "a parenthesis is missing")?;
        cursor.blanks();
    }
    let literal = cursor.announcement()?;
    Ok(Announced { append: Append { flags, date, size: literal.size, waits: literal.waits }, wrapped })
}

/// The line behind a message: the end of the command, or another message.
pub(super) fn go_on(line: &[u8], wrapped: bool) -> Result<Option<Announced>, &'static str> {
    let mut cursor = Cursor::new(line, false);
    let next = |cursor: &mut Cursor<'_>| {
        if wrapped {
            cursor.blanks();
            cursor.expect(b')', "the parenthesis around the message does not close")?;
        }
        if cursor.another()? { announced(cursor).map(Some) } else { cursor.end().map(|()| None) }
    };
    next(&mut cursor).map_err(|stop| match stop {
        Stop::Wrong(text) => text,
        Stop::Short => "the command ends too early",
    })
}
