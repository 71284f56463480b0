//! Replies (RFC 5321 §4.2) with their enhanced codes (RFC 3463), read within bounds.

use std::fmt;
use std::net::IpAddr;

use smtp_proto::Error;
use smtp_proto::response::parser::ResponseReceiver;

/// The most octets that one reply may have, over all its lines.
const LONGEST_REPLY: usize = 64 * 1024;
/// The most characters of a server's text that are shown. All of it is read: what a server can is in
/// it, and whoever talks much must not hide that he offers TLS.
const LONGEST_TEXT: usize = 500;

/// What a server said, or what kept us from hearing it.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// The reply code; `None` when the words are our own.
    pub code: Option<u16>,
    /// The enhanced status code (RFC 3463), where there is one.
    pub enhanced: Option<[u8; 3]>,
    /// The text, its lines parted by a line feed, without control characters.
    pub text: String,
    /// The server that said it, or that it is about.
    pub server: Option<Server>,
}

/// A server that we talked to, or meant to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// As the configuration or an MX record names it.
    pub host: String,
    /// `None` where there was no connection.
    pub address: Option<IpAddr>,
}

/// `mx.example.com [192.0.2.1]`
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match self.address.map(|address| address.to_canonical().to_string()) {
            // A configuration may name it by its address.
            Some(address) if address != self.host => write!(f, " [{address}]"),
            Some(_) | None => Ok(()),
        }
    }
}

impl Reply {
    /// Words of our own about what went wrong on our side of the line.
    pub fn ours(text: impl Into<String>) -> Self {
        Self { code: None, enhanced: None, text: text.into(), server: None }
    }

    /// The same with the enhanced code that a server would have given.
    pub fn ours_with(enhanced: [u8; 3], text: impl Into<String>) -> Self {
        Self { code: None, enhanced: Some(enhanced), text: text.into(), server: None }
    }

    /// The same, said by a server, unless it is known who said it.
    #[must_use]
    pub fn by(mut self, server: &Server) -> Self {
        self.server.get_or_insert_with(|| server.clone());
        self
    }

    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.code.is_some_and(|code| (200..300).contains(&code))
    }

    /// A `5xx`, or a fault of our own finding with an enhanced code of class 5: the same again
    /// will get the same answer.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self.code {
            Some(code) => (500..600).contains(&code),
            None => self.enhanced.is_some_and(|[class, ..]| class == 5),
        }
    }

    /// Whether the message was refused for its size, so that a smaller one may pass
    /// (RFC 1870 §6, RFC 3463 §3.3 and §3.4). A full mailbox (5.2.2) is not that.
    #[must_use]
    pub fn is_about_size(&self) -> bool {
        match self.enhanced {
            Some(enhanced) => matches!(enhanced, [5, 3, 4] | [5, 2, 3]),
            None => matches!(self.code, Some(552 | 523)),
        }
    }
}

/// One line, as a ticket shows it: `550 5.1.1 no such user`.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = self.code {
            write!(f, "{code} ")?;
        }
        if let Some([class, subject, detail]) = self.enhanced {
            write!(f, "{class}.{subject}.{detail} ")?;
        }
        let text = self.text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let end = text.char_indices().nth(LONGEST_TEXT).filter(|_| self.code.is_some());
        f.write_str(end.map_or(&text, |(end, _)| &text[..end]))
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// Puts replies together from bytes.
#[derive(Default)]
pub struct ReplyReader {
    receiver: ResponseReceiver,
    taken: usize,
    codes: Codes,
}

/// Whether every line of a reply has the code of the first (RFC 5321 §4.2.1): a refusal in the last must
/// not pass for what the first says.
#[derive(Default)]
struct Codes {
    first: [u8; 3],
    column: usize,
    later: bool,
    differ: bool,
}

impl Codes {
    fn read(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match self.first.get_mut(self.column) {
                Some(digit) if self.later => self.differ |= *digit != byte,
                Some(digit) => *digit = byte,
                None => {}
            }
            self.column += 1;
            if byte == b'\n' {
                (self.column, self.later) = (0, true);
            }
        }
    }
}

impl ReplyReader {
    /// Takes bytes from the front of `buffer` up to the end of a reply; `None` wants more.
    ///
    /// # Errors
    /// Words of ours: the server does not speak SMTP, or without end.
    pub fn take(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Reply>, Reply> {
        let mut bytes = buffer.iter();
        let parsed = self.receiver.parse(&mut bytes);
        let taken = buffer.len() - bytes.len();
        self.codes.read(&buffer[..taken]);
        buffer.drain(..taken);
        self.taken += taken;
        match parsed {
            Ok(response) if (200..600).contains(&response.code) && !self.codes.differ => {
                *self = Self::default();
                Ok(Some(Reply {
                    code: Some(response.code),
                    enhanced: (response.esc[0] != 0).then_some(response.esc),
                    text: clean(&response.message),
                    server: None,
                }))
            }
            Err(Error::NeedsMoreData { .. }) if self.taken < LONGEST_REPLY => Ok(None),
            Err(Error::NeedsMoreData { .. } | Error::ResponseTooLong) => {
                Err(Reply::ours("the server's answer has no end"))
            }
            Ok(_) | Err(_) => Err(Reply::ours("the server's answer is no SMTP reply")),
        }
    }
}

fn clean(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || !c.is_control()).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Reply>, Reply> {
        ReplyReader::default().take(&mut bytes.to_vec())
    }

    #[test]
    fn replies_are_read_as_sent_and_shown_on_one_line() {
        for (bytes, shown) in [
            (&b"250 ok\r\n"[..], "250 ok"),
            (b"250 2.1.5 ok\r\n", "250 2.1.5 ok"),
            (b"550-5.1.1 The user\r\n550 5.1.1 does not exist\r\n", "550 5.1.1 The user does not exist"),
            (b"250\r\n", "250 "),
            (b"250-\r\n250 \r\n", "250 "),
            (b"354 go\x1b[31m ahead\r\n", "354 go[31m ahead"),
            (b"250 ok\n", "250 ok"),
            (b"421 4.3.2 \xff\xfe closing\r\n", "421 4.3.2 \u{fffd}\u{fffd} closing"),
        ] {
            let reply = read(bytes).unwrap().unwrap();
            assert_eq!(reply.to_string(), shown);
        }
    }

    #[test]
    fn a_reply_may_come_byte_by_byte_and_leaves_the_next_alone() {
        let bytes = b"250-first\r\n250 second\r\n354 next";
        let (mut reader, mut buffer) = (ReplyReader::default(), Vec::new());
        let mut replies = Vec::new();
        for byte in bytes {
            buffer.push(*byte);
            replies.extend(reader.take(&mut buffer).unwrap());
        }
        assert_eq!(replies.len(), 1);
        assert_eq!(replies[0].text, "first\nsecond");

        let mut buffer = b"250 one\r\n550 two\r\n".to_vec();
        let mut reader = ReplyReader::default();
        assert_eq!(reader.take(&mut buffer).unwrap().unwrap().code, Some(250));
        assert_eq!(reader.take(&mut buffer).unwrap().unwrap().code, Some(550));
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_is_no_reply_is_an_error_and_never_endless() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\x16\x03\x01\x00",
            b"999 what\r\n",
            b"99 x\r\n",
            b"\r\n",
            // Is it a yes or a no?
            b"250-2.0.0 taken\r\n550 5.7.1 or not\r\n",
            b"250-\r\n250-\r\n251 \r\n",
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
        assert!(read(&[b"250 ".to_vec(), vec![b'x'; 10_000]].concat()).is_err());
        assert!(read(&b"250-\r\n".repeat(20_000)).is_err());
    }

    #[test]
    fn no_bytes_whatsoever_panic_or_pile_up() {
        let alphabet = b"0123459.. --\r\r\n\n\n\xffab\0";
        let mut seed = 1_u64;
        let mut random = |below: usize| {
            // A linear congruential generator (Knuth): the same bytes on every run.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap() % below
        };
        for _ in 0..20_000 {
            let (mut reader, mut buffer) = (ReplyReader::default(), b"250".to_vec());
            for _ in 0..random(12) {
                for _ in 0..random(8) {
                    buffer.push(alphabet[random(alphabet.len())]);
                }
                if let Ok(Some(reply)) = reader.take(&mut buffer) {
                    assert!(reply.to_string().len() <= 4 * LONGEST_TEXT && !reply.to_string().contains('\n'));
                }
            }
        }
    }

    #[test]
    fn size_is_told_from_other_refusals() {
        for (text, expected) in [
            ("552 too big", true),
            ("552 5.3.4 too big", true),
            ("550 5.2.3 too big", true),
            ("523 too big", true),
            ("552 5.2.2 mailbox full", false),
            ("552 5.7.0 content", false),
            ("550 5.1.1 no", false),
        ] {
            assert_eq!(read(format!("{text}\r\n").as_bytes()).unwrap().unwrap().is_about_size(), expected, "{text}");
        }
        assert!(Reply::ours_with([5, 3, 4], "larger than the server takes").is_about_size());
    }
}
