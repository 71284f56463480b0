//! Sets of messages (RFC 3501 §9, sequence-set; RFC 5182 §2.1 for `$`).

use super::cursor::{Cursor, Read, wrong};
use crate::imap::command::{Bound, Set};

/// Ranges in one set.
const RANGES: usize = 20_000;

pub(super) fn set(cursor: &mut Cursor<'_>) -> Read<Set> {
    if cursor.eat(b'$') {
        return Ok(Set::Saved);
    }
    let mut ranges = Vec::new();
    loop {
        let first = bound(cursor)?;
        let last = if cursor.eat(b':') { bound(cursor)? } else { first };
        if ranges.len() == RANGES {
            return wrong("a set has more than 20000 ranges");
        }
        ranges.push((first, last));
        if !cursor.eat(b',') {
            return Ok(Set::Ranges(ranges));
        }
    }
}

/// A set of numbers alone, without `*` and `$`.
pub(super) fn known(cursor: &mut Cursor<'_>) -> Read<Set> {
    let set = set(cursor)?;
    let is_number = |bound: &Bound| matches!(bound, Bound::Number(_));
    match &set {
        Set::Ranges(ranges) if ranges.iter().all(|(first, last)| is_number(first) && is_number(last)) => Ok(set),
        _ => wrong("a set has * or $ where numbers alone may be"),
    }
}

fn bound(cursor: &mut Cursor<'_>) -> Read<Bound> {
    cursor.peek()?;
    if cursor.eat(b'*') { Ok(Bound::Last) } else { cursor.positive().map(Bound::Number) }
}

/// Whether a set begins with this octet.
pub(super) fn begins(octet: u8) -> bool {
    octet.is_ascii_digit() || matches!(octet, b'*' | b'$')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::reader::cursor::Stop;

    #[test]
    fn sets_and_what_is_none() {
        let number = Bound::Number;
        for (text, ranges) in [
            ("1\r\n", vec![(number(1), number(1))]),
            ("*\r\n", vec![(Bound::Last, Bound::Last)]),
            ("1:*\r\n", vec![(number(1), Bound::Last)]),
            ("*:1\r\n", vec![(Bound::Last, number(1))]),
            ("5:2,007,*\r\n", vec![(number(5), number(2)), (number(7), number(7)), (Bound::Last, Bound::Last)]),
            ("4294967295 \r\n", vec![(number(u32::MAX), number(u32::MAX))]),
        ] {
            assert_eq!(set(&mut Cursor::new(text.as_bytes(), false)), Ok(Set::Ranges(ranges)), "{text}");
        }
        assert_eq!(set(&mut Cursor::new(b"$\r\n", false)), Ok(Set::Saved));
        for text in ["0\r\n", "1:0\r\n", "1,\r\n", ",1\r\n", "1:\r\n", "4294967296\r\n", "a\r\n", "\r\n", "-1\r\n"] {
            assert!(matches!(set(&mut Cursor::new(text.as_bytes(), false)), Err(Stop::Wrong(_))), "{text}");
        }
    }

    #[test]
    fn a_set_has_its_limit() {
        let text = |ranges: usize| format!("1{}\r\n", ",1".repeat(ranges - 1));
        assert!(set(&mut Cursor::new(text(20_000).as_bytes(), false)).is_ok());
        assert!(set(&mut Cursor::new(text(20_001).as_bytes(), false)).is_err());
    }

    #[test]
    fn what_is_known_has_numbers() {
        assert!(known(&mut Cursor::new(b"1:5,7\r\n", false)).is_ok());
        for text in ["*\r\n", "1:*\r\n", "$\r\n"] {
            assert!(known(&mut Cursor::new(text.as_bytes(), false)).is_err());
        }
    }
}
