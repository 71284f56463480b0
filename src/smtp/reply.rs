//! Replies (RFC 5321 §4.2) with enhanced status codes (RFC 2034, RFC 3463).

use std::borrow::Cow;
use std::fmt;

use crate::metrics::Refusal;

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
    /// Why the desk refuses; what the session itself refuses is told by its code.
    reason: Option<Refusal>,
}

impl Reply {
    /// A reply with an enhanced code.
    pub fn new(code: u16, enhanced: Enhanced, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced: Some(enhanced), text: text.into(), reason: None }
    }

    /// A reply that bears no enhanced code: the greeting, EHLO, 354.
    pub fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced: None, text: text.into(), reason: None }
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

    /// The same, counted under a reason.
    #[must_use]
    pub fn because(self, reason: Refusal) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// What it is counted as, if it refuses anything (4xx, 5xx).
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        if self.code < 400 {
            return None;
        }
        let by_code = || match (self.code, self.enhanced) {
            (_, None | Some((_, 5, 0..=2 | 4..) | (_, 1, 3 | 7) | (_, 6, 7))) => Refusal::Syntax,
            (_, Some((_, 5, 3))) | (421, Some((_, 7, _))) => Refusal::TooMany,
            (_, Some((_, 1, _))) => Refusal::Unknown,
            (_, Some((_, 3, 2))) => Refusal::Stopping,
            (_, Some((_, 3, 4))) => Refusal::TooMuch,
            (_, Some((_, 3, _))) => Refusal::Store,
            (_, Some((_, 4, 2))) => Refusal::Late,
            (_, Some((_, 6, _))) => Refusal::Content,
            (_, Some((_, 7, 1))) => Refusal::Foreign,
            (_, Some((_, 7, _))) => Refusal::Login,
            _ => Refusal::Other,
        };
        Some(self.reason.unwrap_or_else(by_code))
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
    fn what_refuses_has_a_reason() {
        use Refusal::{Content, Foreign, Late, Login, Other, Stopping, Store, Syntax, TooMany, TooMuch, Unknown};
        for (code, enhanced, reason) in [
            (500, (5, 5, 2), Syntax),
            (503, (5, 5, 1), Syntax),
            (555, (5, 5, 4), Syntax),
            (501, (5, 1, 3), Syntax),
            (553, (5, 1, 7), Syntax),
            (553, (5, 6, 7), Syntax),
            (550, (5, 1, 1), Unknown),
            (550, (5, 7, 1), Foreign),
            (552, (5, 3, 4), TooMuch),
            (550, (5, 6, 11), Content),
            (550, (5, 6, 0), Content),
            (452, (4, 5, 3), TooMany),
            (421, (4, 7, 0), TooMany),
            (421, (4, 4, 2), Late),
            (421, (4, 3, 2), Stopping),
            (451, (4, 3, 0), Store),
            (452, (4, 3, 1), Store),
            (454, (4, 7, 0), Login),
            (530, (5, 7, 0), Login),
            (535, (5, 7, 8), Login),
            (538, (5, 7, 11), Login),
            (554, (5, 0, 0), Other),
        ] {
            assert_eq!(Reply::new(code, enhanced, "no").refusal(), Some(reason), "{code} {enhanced:?}");
        }
        assert_eq!(Reply::plain(501, "no").refusal(), Some(Syntax));
        assert_eq!(Reply::not_allowed("spam").because(Refusal::Spam).refusal(), Some(Refusal::Spam));
        for yes in [Reply::ok("yes"), Reply::plain(220, "yes"), Reply::plain(334, ""), Reply::plain(354, "yes")] {
            assert_eq!(yes.refusal(), None, "{yes}");
        }
    }

    #[test]
    fn a_quoted_text_can_neither_break_the_line_nor_fill_it() {
        assert_eq!(wire(&Reply::ok("a\r\u{7f}é\0b")), "250 2.0.0 a????b\r\n");
        assert!(wire(&Reply::ok("x".repeat(2000))).len() <= 512);
    }
}
