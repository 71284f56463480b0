//! Answers on the wire: the pieces that responses are written with (RFC 3501 §7, §9), and the way to
//! the client.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// Octets that are gathered before they are sent.
const BUFFER: usize = 64 << 10;

/// What is being said to a client. Whoever says much waits for the client to read it.
pub struct Out<'a> {
    stream: &'a mut (dyn AsyncWrite + Unpin + Send),
    /// What was not sent yet.
    pub bytes: &'a mut Vec<u8>,
    /// How long the client may take to read what fills the buffer.
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
        let whole = async {
            self.stream.write_all(self.bytes).await?;
            self.stream.flush().await
        };
        timeout(self.patience, whole).await??;
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

/// A literal: a length, and that many octets of anything but NUL.
pub fn literal(out: &mut Vec<u8>, octets: &[u8]) {
    out.push(b'{');
    decimal(out, octets.len() as u64);
    out.extend_from_slice(b"}\r\n");
    out.extend_from_slice(octets);
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
    use super::*;

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
    }
}
