//! The message itself: where it ends, and what may not be in it.
//!
//! Only CRLF.CRLF ends a message (RFC 5321 §4.1.1.4). Servers that took `LF.CRLF` or `CR.CR` for
//! the end as well let one message smuggle in a second one under another's name ("SMTP smuggling",
//! CVE-2023-51764 and its kin), so a bare CR or LF is never an end of line here, and a message
//! that has one is refused as a whole.
//!
//! [`Scanner`] hands out slices of what it was given, with the dots removed that the client put in
//! front of lines (§4.5.2). It copies nothing and holds nothing back, however the bytes are split.

use memchr::memchr3;

use super::reply::Reply;

/// How large a message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentLimits {
    /// Octets of the whole message, dots not counted (RFC 1870 §3).
    pub message: u64,
    /// Octets of the header section.
    pub header: u64,
    /// Octets of one line without its CRLF. RFC 5321 §4.5.3.1.6 wants 998 and lets a server take
    /// more; there is much mail with more.
    pub line: u64,
}

impl Default for ContentLimits {
    fn default() -> Self {
        Self { message: 35 << 20, header: 256 << 10, line: 64 << 10 }
    }
}

/// Why a message is refused for its bytes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    BareCrLf,
    Nul,
    LineTooLong,
    HeaderTooLarge,
    TooLarge,
}

impl Defect {
    /// What the client is told once the message is over.
    #[must_use]
    pub fn reply(self) -> Reply {
        match self {
            Self::BareCrLf => Reply::new(
                550,
                (5, 6, 11),
                "the message has a CR or LF of its own; end every line with CR LF (curl: --crlf, unix2dos), or send it \
                 as base64",
            ),
            Self::Nul => Reply::new(550, (5, 6, 0), "the message has a NUL character; send such content as base64"),
            Self::LineTooLong => {
                Reply::new(550, (5, 6, 0), "the message has a line without end; break lines at 998 octets")
            }
            Self::HeaderTooLarge => Reply::new(552, (5, 3, 4), "the message has too large a header section"),
            Self::TooLarge => Reply::new(552, (5, 3, 4), "the message is too large"),
        }
    }
}

/// What the scanner found next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Octets of the message. Never empty; nothing of the kind follows once there is a defect.
    Content(&'a [u8]),
    /// CRLF.CRLF: what is left of the input is commands again.
    End,
    /// All of the input was taken.
    More,
}

/// Reads one message, sent with DATA or in chunks.
#[derive(Debug)]
pub struct Scanner {
    limits: ContentLimits,
    /// Whether lines are dot-stuffed and a lone dot ends the message: DATA, not BDAT.
    dots: bool,
    at: At,
    in_header: bool,
    line: u64,
    header: u64,
    total: u64,
    defect: Option<Defect>,
}

/// Where in a line the scanner stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    /// Behind a dot that began the line and was dropped.
    Dot,
    /// Behind such a dot and a CR that was dropped as well.
    DotCr,
    Text,
    Cr,
}

impl Scanner {
    /// For DATA (RFC 5321 §4.1.1.4).
    #[must_use]
    pub fn dotted(limits: ContentLimits) -> Self {
        Self { limits, dots: true, at: At::Start, in_header: true, line: 0, header: 0, total: 0, defect: None }
    }

    /// For BDAT, where a count ends the message and a dot is a dot (RFC 3030 §2). Takes whatever
    /// it is given at one go.
    #[must_use]
    pub fn counted(limits: ContentLimits) -> Self {
        Self { dots: false, ..Self::dotted(limits) }
    }

    /// Takes from the front of `input` and says what that was.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Piece<'a> {
        while !input.is_empty() {
            let bytes = *input;
            let (content, taken, end) = self.run(bytes);
            *input = &bytes[taken..];
            self.total = self.total.saturating_add(content as u64);
            if self.total > self.limits.message {
                // Whatever else is wrong: it would be refused for its size anyway, and so the
                // answer does not depend on how the bytes were split.
                self.defect = Some(Defect::TooLarge);
            }
            if end {
                return Piece::End;
            }
            if content > 0 && self.defect.is_none() {
                return Piece::Content(&bytes[..content]);
            }
        }
        Piece::More
    }

    /// What is wrong with the message so far.
    #[must_use]
    pub fn defect(&self) -> Option<Defect> {
        self.defect
    }

    /// Says that the last chunk is over. A last line without CRLF is fine, a CR alone is not.
    pub fn finish(&mut self) {
        if self.at == At::Cr {
            self.spot(Defect::BareCrLf);
        }
    }

    /// Scans from the front of `bytes` up to a dot to drop, the end of the message, or the end of
    /// the bytes. Returns how many octets in front are content, how many were taken, and whether
    /// the message is over.
    fn run(&mut self, bytes: &[u8]) -> (usize, usize, bool) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.at {
                At::Start if self.dots && byte == b'.' => {
                    self.at = At::Dot;
                    return (at, at + 1, false);
                }
                At::Dot if byte == b'\r' => {
                    self.at = At::DotCr;
                    return (0, 1, false);
                }
                At::DotCr if byte == b'\n' => return (0, 1, true),
                At::Cr if byte == b'\n' => {
                    at += 1;
                    self.end_line();
                }
                At::DotCr | At::Cr => {
                    self.spot(Defect::BareCrLf);
                    self.at = At::Text;
                }
                At::Start | At::Dot => self.at = At::Text,
                At::Text => {
                    let rest = &bytes[at..];
                    let special = memchr3(b'\r', b'\n', 0, rest);
                    let run = special.unwrap_or(rest.len());
                    self.line = self.line.saturating_add(run as u64);
                    if self.line > self.limits.line {
                        self.spot(Defect::LineTooLong);
                    }
                    at += run;
                    match special.map(|at| rest[at]) {
                        None => break,
                        Some(b'\r') => self.at = At::Cr,
                        Some(b'\n') => self.spot(Defect::BareCrLf),
                        Some(_) => self.spot(Defect::Nul),
                    }
                    at += 1;
                }
            }
        }
        (at, at, false)
    }

    fn end_line(&mut self) {
        if self.in_header {
            self.header = self.header.saturating_add(self.line + 2);
            if self.header > self.limits.header {
                self.spot(Defect::HeaderTooLarge);
            }
            self.in_header = self.line > 0;
        }
        self.line = 0;
        self.at = At::Start;
    }

    /// The first defect is the one that is told.
    fn spot(&mut self, defect: Defect) {
        self.defect.get_or_insert(defect);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: ContentLimits = ContentLimits { message: 200, header: 60, line: 40 };

    /// Content, defect, and what was left behind the end (`None`: no end).
    type Read = (Vec<u8>, Option<Defect>, Option<Vec<u8>>);

    fn read(mut scanner: Scanner, parts: &[&[u8]]) -> Read {
        let mut content = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let mut input = *part;
            loop {
                match scanner.next(&mut input) {
                    Piece::Content(bytes) => content.extend_from_slice(bytes),
                    Piece::More => break,
                    Piece::End => {
                        let left = [&[input], &parts[index + 1..]].concat().concat();
                        return (content, scanner.defect(), Some(left));
                    }
                }
            }
        }
        scanner.finish();
        (content, scanner.defect(), None)
    }

    /// Reads `bytes` whole, split once at every place, and byte by byte; all must agree.
    fn every_way(new: impl Fn() -> Scanner, bytes: &[u8]) -> Read {
        let mut whole = read(new(), &[bytes]);
        let mut check = |parts: &[&[u8]]| {
            let mut other = read(new(), parts);
            if whole.1.is_some() {
                // How much was handed out before the defect is nobody's business.
                whole.0.clear();
                other.0.clear();
            }
            assert_eq!(whole, other, "{:?}", parts.len());
        };
        for at in 0..=bytes.len() {
            check(&[&bytes[..at], &bytes[at..]]);
        }
        check(&bytes.chunks(1).collect::<Vec<_>>());
        whole
    }

    #[test]
    fn only_crlf_dot_crlf_ends_a_message_and_dots_are_removed() {
        for (sent, content) in [
            ("a\r\n.\r\n", "a\r\n"),
            (".\r\n", ""),
            ("\r\n.\r\n", "\r\n"),
            ("..\r\n.\r\n", ".\r\n"),
            (".a\r\n..b\r\n...\r\n.\r\n", "a\r\n.b\r\n..\r\n"),
            ("a.\r\nb\r\n.\r\n", "a.\r\nb\r\n"),
            ("h: 1\r\n\r\nbody\r\n.\r\n", "h: 1\r\n\r\nbody\r\n"),
        ] {
            let sent = format!("{sent}QUIT\r\n");
            let read = every_way(|| Scanner::dotted(SMALL), sent.as_bytes());
            assert_eq!(read, (content.as_bytes().to_vec(), None, Some(b"QUIT\r\n".to_vec())), "{sent:?}");
        }
    }

    #[test]
    fn no_other_sequence_ends_a_message_and_each_is_refused() {
        for end in [
            "\n.\n",
            "\r.\r",
            "\n.\r\n",
            "\r\n.\n",
            "\r\n.\r",
            "\r.\r\n",
            "\n.\r",
            "\r.\n",
            "\r\n.\r\r\n",
            "\r\n\r.\r\n",
            "\r\n.\r.\r\n",
            "\r\r\n",
            "\n\r\n",
            "\n\r",
            "\n",
            "\r",
        ] {
            let sent = format!("a{end}MAIL FROM:<x>\r\n.\r\nrest");
            let (_, defect, left) = every_way(|| Scanner::dotted(SMALL), sent.as_bytes());
            assert_eq!(defect, Some(Defect::BareCrLf), "{end:?}");
            assert_eq!(left.as_deref(), Some(&b"rest"[..]), "{end:?}");
        }
        for open in ["a\r\n.", "a\r\n.\r", "a\n.\n", "a\r\n.\0\r\n", "a\0.\r\n"] {
            assert_eq!(every_way(|| Scanner::dotted(SMALL), open.as_bytes()).2, None, "{open:?}");
        }
    }

    #[test]
    fn limits_hold_while_the_end_is_still_found() {
        let line = |n: usize| "x".repeat(n);
        for (sent, defect) in [
            (format!("{}\r\n", line(40)), None),
            (format!("{}\r\n", line(41)), Some(Defect::LineTooLong)),
            (format!("{}\r\n", line(198)), Some(Defect::LineTooLong)),
            (format!("{}\r\n", line(199)), Some(Defect::TooLarge)),
            (format!("{}\r\n", line(28)).repeat(2), None),
            (format!("{}\r\n", line(28)).repeat(3), Some(Defect::HeaderTooLarge)),
            (format!("\r\n{}", format!("{}\r\n", line(28)).repeat(3)), None),
            (format!("\r\n{}", "1234567\r\n".repeat(22)), None),
            (format!("\r\n{}", "1234567\r\n".repeat(23)), Some(Defect::TooLarge)),
            ("a\0b\r\n".into(), Some(Defect::Nul)),
            ("\0\n\r\n".into(), Some(Defect::Nul)),
            (format!("\n{}", "1234567\r\n".repeat(23)), Some(Defect::TooLarge)),
        ] {
            let sent = format!("{sent}.\r\nQUIT\r\n");
            let read = every_way(|| Scanner::dotted(SMALL), sent.as_bytes());
            assert_eq!((read.1, read.2.as_deref()), (defect, Some(&b"QUIT\r\n"[..])), "{sent:?}");
        }
    }

    #[test]
    fn chunks_keep_their_dots_and_are_held_to_the_same_rules() {
        for (sent, defect) in [
            ("a\r\n.\r\nb\r\n", None),
            ("no line end", None),
            ("", None),
            ("a\r", Some(Defect::BareCrLf)),
            ("a\nb\r\n", Some(Defect::BareCrLf)),
            (".\0", Some(Defect::Nul)),
        ] {
            let read = every_way(|| Scanner::counted(SMALL), sent.as_bytes());
            assert_eq!((read.1, read.2), (defect, None), "{sent:?}");
            if defect.is_none() {
                assert_eq!(read.0, sent.as_bytes());
            }
        }
    }
}
