//! Replies (RFC 5321 §4.2) with enhanced status codes (RFC 2034, RFC 3463).

use std::borrow::Cow;
use std::fmt;

/// The longest text of one reply line: 512 octets less the code, the enhanced code and CRLF
/// (RFC 5321 §4.5.3.1.5).
const TEXT_LIMIT: usize = 490;

/// An enhanced status code, class, subject and detail (RFC 3463 §2).
pub type Enhanced = (u8, u16, u16);

/// One reply to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three-digit code, 200 to 599.
    pub code: u16,
    /// Absent on the greeting, on the answers to EHLO and HELO, and on 3xx (RFC 2034 §4).
    pub enhanced: Option<Enhanced>,
    /// What a person reads. Lines are parted by `\n`; each becomes a line of the reply.
    pub text: Cow<'static, str>,
}

impl Reply {
    /// A reply with an enhanced code.
    pub fn new(code: u16, enhanced: Enhanced, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced: Some(enhanced), text: text.into() }
    }

    /// A reply that bears no enhanced code: the greeting, EHLO, 354.
    pub fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced: None, text: text.into() }
    }

    /// `250 2.0.0`: done.
    pub fn ok(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(250, (2, 0, 0), text)
    }

    /// `451 4.3.0`: the fault is ours, the client tries again.
    pub fn try_again(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(451, (4, 3, 0), text)
    }

    /// `452 4.3.1`: no room; the client tries again.
    pub fn no_room(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(452, (4, 3, 1), text)
    }

    /// `550 5.1.1`: nobody of that name here.
    pub fn no_such_recipient(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(550, (5, 1, 1), text)
    }

    /// `550 5.7.1`: refused as a matter of policy, relaying above all.
    pub fn not_allowed(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(550, (5, 7, 1), text)
    }

    /// `421`: this server ends the session (RFC 5321 §3.8).
    pub fn closing(enhanced: Enhanced, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(421, enhanced, text)
    }

    /// Whether it says yes (2xx).
    #[must_use]
    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Appends the reply as it goes over the wire. Control characters and whatever is outside
    /// ASCII become `?`, and a line is cut at 512 octets, so that no text, whatever it quotes, can
    /// make a second reply.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let separator = if lines.peek().is_some() { '-' } else { ' ' };
            out.extend_from_slice(format!("{}{separator}", self.code).as_bytes());
            if let Some((class, subject, detail)) = self.enhanced {
                out.extend_from_slice(format!("{class}.{subject}.{detail} ").as_bytes());
            }
            let printable = |c: char| if c == ' ' || c.is_ascii_graphic() { c as u8 } else { b'?' };
            out.extend(line.chars().take(TEXT_LIMIT).map(printable));
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// As one line, for the log.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.code)?;
        if let Some((class, subject, detail)) = self.enhanced {
            write!(f, "{class}.{subject}.{detail} ")?;
        }
        f.write_str(&self.text.replace('\n', " / "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_reply_is_written_line_by_line() {
        assert_eq!(
            wire(&Reply::plain(250, "desk.example\nSIZE 10\nHELP")),
            "250-desk.example\r\n250-SIZE 10\r\n250 HELP\r\n"
        );
        assert_eq!(wire(&Reply::new(550, (5, 1, 1), "no\nbody")), "550-5.1.1 no\r\n550 5.1.1 body\r\n");
        assert_eq!(Reply::try_again("later").to_string(), "451 4.3.0 later");
    }

    #[test]
    fn a_quoted_text_can_neither_break_the_line_nor_fill_it() {
        assert_eq!(wire(&Reply::ok("a\r\u{7f}é\0b")), "250 2.0.0 a????b\r\n");
        assert!(wire(&Reply::ok("x".repeat(2000))).len() <= 512);
    }
}
