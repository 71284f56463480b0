//! Command lines out of a stream of octets, however it is split, in bounded memory.

use std::borrow::Cow;

use memchr::memchr;

/// The longest command line with its CRLF: 512 octets (RFC 5321 §4.5.3.1.4) and what the
/// extensions add to it (RFC 1870, 3461, 4954, 6531).
pub const COMMAND_LINE: usize = 2048;
/// The longest line with its CRLF where AUTH is spoken (RFC 4954 §4).
pub const AUTH_LINE: usize = 12_288 + 2;
/// Octets of one line after which its sender is no mail client.
const FLOOD_LIMIT: usize = 64 << 10;
/// The first octet of a TLS handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// What came in the place of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line without its CRLF.
    Whole(Cow<'a, [u8]>),
    /// A line that ends with LF alone.
    Unended,
    /// A line of more octets than the limit; it is over.
    TooLong,
    /// A line of more than 64 KiB; it goes on.
    Endless,
    /// A TLS handshake.
    Tls,
}

/// Puts lines together. Holds at most as many octets as one may have.
#[derive(Debug)]
pub struct Lines {
    limit: usize,
    /// A line of which the end has not come yet.
    begun: Vec<u8>,
    /// Octets of it that were thrown away because it is too long.
    thrown_away: usize,
}

impl Lines {
    /// Lines of up to so many octets, with their CRLF.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, begun: Vec::new(), thrown_away: 0 }
    }

    /// Takes the next line from the front of `input`; `None` when all was taken and its end has
    /// not come.
    pub fn take<'a>(&mut self, input: &mut &'a [u8]) -> Option<Line<'a>> {
        let bytes = *input;
        let first = self.begun.first().or(bytes.first())?;
        if *first == TLS_HANDSHAKE && self.thrown_away == 0 {
            return Some(Line::Tls);
        }
        let end = memchr(b'\n', bytes);
        let (part, rest) = bytes.split_at(end.map_or(bytes.len(), |at| at + 1));
        *input = rest;
        let length = self.thrown_away + self.begun.len() + part.len();
        if length > FLOOD_LIMIT {
            return Some(Line::Endless);
        }
        if length > self.limit {
            self.begun = Vec::new();
            self.thrown_away = if end.is_some() { 0 } else { length };
            return end.map(|_| Line::TooLong);
        }
        if end.is_none() {
            self.begun.extend_from_slice(part);
            return None;
        }
        let ended = if self.begun.is_empty() {
            part.strip_suffix(b"\r\n").map(Cow::Borrowed)
        } else {
            let mut line = std::mem::take(&mut self.begun);
            line.extend_from_slice(part);
            line.ends_with(b"\r\n").then(|| {
                line.truncate(line.len() - 2);
                Cow::Owned(line)
            })
        };
        Some(ended.map_or(Line::Unended, Line::Whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(parts: &[&[u8]]) -> (Vec<Line<'static>>, Lines) {
        let (mut lines, mut seen) = (Lines::new(COMMAND_LINE), Vec::new());
        for part in parts {
            let mut input = *part;
            while let Some(line) = lines.take(&mut input) {
                seen.push(match line {
                    Line::Whole(line) => Line::Whole(Cow::Owned(line.into_owned())),
                    Line::Unended => Line::Unended,
                    Line::TooLong => Line::TooLong,
                    Line::Endless => return ([seen, vec![Line::Endless]].concat(), lines),
                    Line::Tls => return ([seen, vec![Line::Tls]].concat(), lines),
                });
            }
            assert!(input.is_empty());
        }
        (seen, lines)
    }

    fn whole(text: &str) -> Line<'static> {
        Line::Whole(Cow::Owned(text.as_bytes().to_vec()))
    }

    #[test]
    fn lines_are_the_same_however_they_are_split() {
        let long = "x".repeat(2046);
        let text = format!("NOOP\r\n\r\nbare\nQUIT\r\r\n{long}\r\n{long}x\r\n{long}{long}{long}\nRSET\r\nhalf");
        let expected = vec![
            whole("NOOP"),
            whole(""),
            Line::Unended,
            whole("QUIT\r"),
            whole(&long),
            Line::TooLong,
            Line::TooLong,
            whole("RSET"),
        ];
        for size in [1, 2, 3, 100, 2047, text.len()] {
            let (seen, left) = lines(&text.as_bytes().chunks(size).collect::<Vec<_>>());
            assert_eq!(seen, expected, "{size}");
            assert_eq!(left.begun, b"half");
        }
    }

    #[test]
    fn what_never_ends_is_not_kept() {
        let flood = vec![b'x'; 70_000];
        for size in [1, 1000, 70_000] {
            let (seen, left) = lines(&flood.chunks(size).collect::<Vec<_>>());
            assert_eq!(seen, [Line::Endless]);
            assert!(left.begun.capacity() <= 2 * COMMAND_LINE);
        }
        assert_eq!(lines(&[b"\x16\x03\x01"]).0, [Line::Tls]);
        assert_eq!(lines(&[b"NOOP\x16\r\n"]).0, [whole("NOOP\u{16}")]);
    }
}
