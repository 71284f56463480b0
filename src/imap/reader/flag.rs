//! Flags and keywords (RFC 3501 §9, flag).

use super::cursor::{Cursor, MANY, Read, wrong};
use super::name;
use crate::imap::command::Flag;

/// Octets of a keyword. Tags, which are up to 50 characters, are less in any script.
const LONGEST: usize = 500;

/// A flag; `None` for \Recent, which clients copy from what they were told, and which nobody sets.
pub(super) fn flag(cursor: &mut Cursor<'_>) -> Read<Option<Flag>> {
    cursor.peek()?;
    if !cursor.eat(b'\\') {
        let keyword = cursor.atom()?;
        if keyword.len() > LONGEST {
            return wrong("a keyword is longer than anybody needs");
        }
        return Ok(Some(Flag::Keyword(name::decode_keyword(keyword))));
    }
    Ok(Some(match cursor.word()?.as_str() {
        "SEEN" => Flag::Seen,
        "ANSWERED" => Flag::Answered,
        "FLAGGED" => Flag::Flagged,
        "DELETED" => Flag::Deleted,
        "DRAFT" => Flag::Draft,
        "RECENT" => return Ok(None),
        _ => return wrong("there is no such flag; keywords begin without \\"),
    }))
}

/// Flags in parentheses.
pub(super) fn list(cursor: &mut Cursor<'_>) -> Read<Vec<Flag>> {
    Ok(cursor.list(flag)?.into_iter().flatten().collect())
}

/// Flags up to the end of the line, in parentheses or bare.
pub(super) fn flags(cursor: &mut Cursor<'_>) -> Read<Vec<Flag>> {
    if cursor.peek()? == b'(' {
        return list(cursor);
    }
    let mut flags = Vec::from_iter(flag(cursor)?);
    while cursor.another()? {
        if flags.len() == MANY {
            return wrong("there are more flags than anybody needs");
        }
        flags.extend(flag(cursor)?);
    }
    Ok(flags)
}
