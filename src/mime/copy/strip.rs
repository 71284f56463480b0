//! Takes the tokens out of our addresses, so that nobody can answer as somebody else.
//!
//! A reader quotes what he got, and his own reply address with it. Before his text goes on to
//! others, `acme+t<token>@…` becomes `acme@…`, in whatever way the plus sign and the at sign are
//! written: as they are, percent-encoded (once or more often), or as HTML entities. Only the shape
//! is looked at, not the MAC: nothing else looks like this, and it does not matter which key made it.

use std::borrow::Cow;
use std::ops::Range;

use crate::desk::token::{BounceToken, ClaimToken, ConfirmToken, ReplyToken, is_token_byte};

/// Octets of the shortest token.
const SHORTEST: usize = BounceToken::LENGTH;

/// The bytes without tokens of ours. Any charset that has ASCII in its place.
#[must_use]
pub fn strip(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut out: Option<Vec<u8>> = None;
    let mut kept = 0; // up to where `out` has it all
    let mut at = 0;
    while let Some(Range { start, end }) = next_run(bytes, at) {
        if let Some(cut) = token(bytes, start, end).filter(|cut| *cut > kept) {
            out.get_or_insert_default().extend_from_slice(&bytes[kept..cut]);
            kept = end;
        }
        at = end;
    }
    match out {
        None => Cow::Borrowed(bytes),
        Some(mut out) => {
            out.extend_from_slice(&bytes[kept..]);
            Cow::Owned(out)
        }
    }
}

/// The next run of letters and digits that is long enough for a token, from where none is open. Such a
/// run covers one of any so many octets, so most of a text need not be looked at.
fn next_run(bytes: &[u8], mut at: usize) -> Option<Range<usize>> {
    loop {
        let probe = at + SHORTEST - 1;
        if !bytes.get(probe)?.is_ascii_alphanumeric() {
            at = probe + 1;
            continue;
        }
        let other = |byte: &u8| !byte.is_ascii_alphanumeric();
        let start = bytes[at..probe].iter().rposition(other).map_or(at, |before| at + before + 1);
        let end = bytes[probe..].iter().position(other).map_or(bytes.len(), |length| probe + length);
        if end - start >= SHORTEST {
            return Some(start..end);
        }
        at = end;
    }
}

/// [`strip`] for text.
#[must_use]
pub fn strip_text(text: &str) -> Cow<'_, str> {
    match strip(text.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(bytes) => {
            Cow::Owned(String::from_utf8(bytes).expect("only ASCII was taken out, between ASCII and ASCII"))
        }
    }
}

/// Where to cut when the run of letters and digits `start..end` ends in a token: before its
/// delimiter.
fn token(bytes: &[u8], start: usize, end: usize) -> Option<usize> {
    let tail = |length: usize| {
        let from = end.checked_sub(length).filter(|from| *from >= start)?;
        bytes[from..end].iter().copied().all(is_token_byte).then_some(from)
    };
    if let Some(from) = tail(ReplyToken::LENGTH + 1)
        && bytes[from].eq_ignore_ascii_case(&b't')
        && let Some(cut) = before_delimiter(&bytes[..from])
        && bytes[..cut].last().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    {
        return Some(cut);
    }
    let words =
        [(b"bounces", BounceToken::LENGTH), (b"confirm", ConfirmToken::LENGTH), (b"confirm", ClaimToken::LENGTH)];
    for (word, length) in words {
        if let Some(cut) = tail(length).and_then(|from| before_delimiter(&bytes[..from]))
            && cut.checked_sub(word.len()).is_some_and(|from| bytes[from..cut].eq_ignore_ascii_case(word))
        {
            return Some(cut);
        }
    }
    None
}

/// Where the delimiter at the end of `bytes` begins, if there is one.
fn before_delimiter(bytes: &[u8]) -> Option<usize> {
    for plain in [b"+".as_slice(), b"-", b"=", b"&#43;", b"&#x2b;", b"&#x2B;", b"&plus;"] {
        if let Some(rest) = bytes.strip_suffix(plain) {
            return Some(rest.len());
        }
    }
    let hex = bytes.len().checked_sub(2)?;
    if !bytes[hex..].eq_ignore_ascii_case(b"2b") && !bytes[hex..].eq_ignore_ascii_case(b"3d") {
        return None;
    }
    let mut rest = &bytes[..hex];
    while let Some(shorter) = rest.strip_suffix(b"25") {
        rest = shorter;
    }
    rest.strip_suffix(b"%").map(<[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_tokens_go_and_nothing_else() {
        let t = "abcdefghijklmnopqrstuvwxyz234567abcdefghij";
        assert_eq!(t.len(), ReplyToken::LENGTH);
        let upper = t.to_uppercase();
        let bounce = &t[..34];
        let confirm = format!("{t}abcdefgh");
        for (text, stripped) in [
            (format!("acme+t{t}@desk.example"), "acme@desk.example"),
            (format!("x <ACME+T{upper}@DESK.example>, y"), "x <ACME@DESK.example>, y"),
            (format!("mailto:acme%2Bt{t}%40desk.example?x"), "mailto:acme%40desk.example?x"),
            (format!("mailto%3Aacme%252bt{t}%2540desk"), "mailto%3Aacme%2540desk"),
            (format!("acme&#43;t{t}&#64;desk"), "acme&#64;desk"),
            (format!("a-b-t{t}@x a=t{t}@x a%3Dt{t}@x"), "a-b@x a@x a@x"),
            (format!("acme+t{t}@x acme+t{t}@x"), "acme@x acme@x"),
            (format!("acme+t{t}"), "acme"),
            (format!("bounces+{bounce}@x Confirm+{confirm}@x"), "bounces@x Confirm@x"),
            (format!("confirm+{t}@x"), "confirm@x"),
        ] {
            assert_eq!(strip_text(&text), stripped, "{text}");
        }
        for text in [
            String::new(),
            "acme+billing@desk.example".into(),
            format!("acme+t{t}a@x"),
            format!("acme+t{}@x", &t[1..]),
            format!("acme+t{}0@x", &t[1..]),
            format!("+t{t}@x"),
            format!("acmet{t}@x"),
            format!("other+{bounce}@x bounces+{}@x", &bounce[1..]),
            format!("é+t{t}@x"),
        ] {
            assert!(matches!(strip_text(&text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn wherever_a_token_stands_it_goes() {
        let token = &"abcdefghijklmnopqrstuvwxyz234567abcdefghij"[..BounceToken::LENGTH];
        for before in 0..3 * SHORTEST {
            for (filling, behind) in [(" ", ""), ("a ", " b"), ("abcdefg-", "."), ("x", " ")] {
                let mut text: String = filling.chars().cycle().take(before).collect();
                text.push_str(" bounces");
                let stripped = format!("{text}@x{behind}");
                assert_eq!(strip_text(&format!("{text}+{token}@x{behind}")), stripped);
            }
        }
    }
}
