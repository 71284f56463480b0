//! Answers on the wire: the pieces that responses are written with (RFC 3501 §7, §9), and the way to
//! the client.

use std::io;
use std::time::Duration;

use memchr::memchr;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// Octets that are gathered before they are sent.
const BUFFER: usize = 64 << 10;
/// Octets that the client is given its time for.
const AT_ONCE: usize = 1 << 20;

/// What is being said to a client. Whoever says much waits for the client to read it.
pub struct Out<'a> {
    stream: &'a mut (dyn AsyncWrite + Unpin + Send),
    /// What was not sent yet.
    pub bytes: &'a mut Vec<u8>,
    /// How long the client may take to read what fills the buffer, and each MiB of what is larger.
    patience: Duration,
}

impl<'a> Out<'a> {
    pub fn new(stream: &'a mut (dyn AsyncWrite + Unpin + Send), patience: Duration, bytes: &'a mut Vec<u8>) -> Self {
        Self { stream, bytes, patience }
    }

    /// A whole response line.
    pub fn line(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Sends what was gathered if that is much.
    pub async fn relieve(&mut self) -> io::Result<()> {
        if self.bytes.len() >= BUFFER { self.send().await } else { Ok(()) }
    }

    /// Sends what was gathered.
    pub async fn send(&mut self) -> io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        for some in self.bytes.chunks(AT_ONCE) {
            timeout(self.patience, self.stream.write_all(some)).await??;
        }
        timeout(self.patience, self.stream.flush()).await??;
        self.bytes.clear();
        if self.bytes.capacity() > 2 * BUFFER {
            self.bytes.shrink_to(BUFFER);
        }
        Ok(())
    }
}

/// A number.
pub fn decimal(out: &mut Vec<u8>, mut number: u64) {
    // The longest has twenty digits.
    let (mut digits, mut first) = ([0; 20], 20);
    loop {
        first -= 1;
        digits[first] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&digits[first..]);
        }
    }
}

/// A literal: a length, and that many octets (RFC 3501 §4.3).
pub fn literal(out: &mut Vec<u8>, octets: &[u8]) {
    announce(out, octets);
    put(out, octets);
}

/// The beginning of a literal of these octets.
pub fn announce(out: &mut Vec<u8>, octets: &[u8]) {
    out.push(b'{');
    decimal(out, octets.len() as u64);
    out.extend_from_slice(b"}\r\n");
}

/// The same of one that has NUL, if these do (RFC 3516 §4.2).
pub fn announce8(out: &mut Vec<u8>, octets: &[u8]) {
    if memchr(0, octets).is_some() {
        out.push(b'~');
    }
    announce(out, octets);
}

/// Octets of a literal. NUL can't stand in it (RFC 3501 §9, CHAR8), and who wants it asks for
/// [what may have it](announce8): as with other servers 0x80 stands in its place, so that lengths are
/// what they are.
pub fn put(out: &mut Vec<u8>, octets: &[u8]) {
    const INSTEAD: u8 = 0x80;
    let start = out.len();
    out.extend_from_slice(octets);
    if memchr(0, octets).is_some() {
        out[start..].iter_mut().filter(|octet| **octet == 0).for_each(|octet| *octet = INSTEAD);
    }
}

/// A string, or an atom where its octets allow that.
pub fn astring(out: &mut Vec<u8>, text: &str) {
    let is_atom = |byte: u8| (b'!'..=b'~').contains(&byte) && !b"(){%*\"\\".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_atom) && !text.eq_ignore_ascii_case("NIL") {
        out.extend_from_slice(text.as_bytes());
    } else {
        string(out, text);
    }
}

/// A string: quoted where its octets allow that, else a literal.
pub fn string(out: &mut Vec<u8>, text: &str) {
    let quotable = text.len() <= 1_000 && text.bytes().all(|byte| (b' '..0x7f).contains(&byte));
    if !quotable {
        return literal(out, text.as_bytes());
    }
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Numbers in ascending order as a set: `1:3,7`.
pub fn set(numbers: impl IntoIterator<Item = u32>) -> String {
    let mut text = String::new();
    let mut end = |first: u32, last: u32| {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&first.to_string());
        if last > first {
            text.push(':');
            text.push_str(&last.to_string());
        }
    };
    let mut open: Option<(u32, u32)> = None;
    for number in numbers {
        open = match open {
            Some((first, last)) if number == last + 1 => Some((first, number)),
            Some((first, last)) => {
                end(first, last);
                Some((number, number))
            }
            None => Some((number, number)),
        };
    }
    if let Some((first, last)) = open {
        end(first, last);
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_but_reads_gets_all_of_it() {
        let patience = Duration::from_mins(1);
        let (mut ours, theirs) = tokio::io::duplex(1 << 10);
        let message = vec![b'x'; 5 << 20];
        let reading = tokio::spawn(async move {
            let mut theirs = theirs.take(5 << 20);
            let (mut read, mut buffer) = (0, vec![0; 64 << 10]);
            while let Ok(octets @ 1..) = theirs.read(&mut buffer).await {
                read += octets;
                // 1 KiB in 50 ms: less than a minute for each MiB, and more than four for all.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            read
        });
        let mut bytes = message;
        Out::new(&mut ours, patience, &mut bytes).send().await.unwrap();
        drop(ours);
        assert_eq!(reading.await.unwrap(), 5 << 20);

        let (mut ours, _theirs) = tokio::io::duplex(1 << 10);
        let mut bytes = vec![b'x'; 5 << 20];
        let sent = Out::new(&mut ours, patience, &mut bytes).send().await;
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::TimedOut, "nobody reads");
    }

    #[test]
    fn sets_are_short() {
        for (numbers, expected) in [
            (&[][..], ""),
            (&[4], "4"),
            (&[1, 2, 3, 7, 9, 10], "1:3,7,9:10"),
            (&[u32::MAX - 1, u32::MAX], "4294967294:4294967295"),
        ] {
            assert_eq!(set(numbers.iter().copied()), expected);
        }
    }

    #[test]
    fn numbers_are_written_whole() {
        for number in [0, 7, 10, 4_294_967_295, u64::MAX] {
            let mut out = Vec::new();
            decimal(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }

    #[test]
    fn strings_are_quoted_where_they_can_be() {
        for (text, expected) in
            [("", "\"\""), ("a \"b\\", "\"a \\\"b\\\\\""), ("é", "{2}\r\né"), ("a\r\n", "{3}\r\na\r\n")]
        {
            let mut out = Vec::new();
            string(&mut out, text);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        for (text, expected) in
            [("From", "From"), ("a(b", "\"a(b\""), ("a\"", "\"a\\\"\""), ("nil", "\"nil\""), ("", "\"\"")]
        {
            let mut out = Vec::new();
            astring(&mut out, text);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn nul_stands_in_no_literal_but_in_those_that_may_have_it() {
        let (mut plain, mut marked) = (Vec::new(), Vec::new());
        literal(&mut plain, b"a\0b");
        announce8(&mut marked, b"a\0b");
        assert_eq!((&*plain, &*marked), (&b"{3}\r\na\x80b"[..], &b"~{3}\r\n"[..]));
        marked.clear();
        announce8(&mut marked, b"ab");
        assert_eq!(marked, b"{2}\r\n");
    }
}
