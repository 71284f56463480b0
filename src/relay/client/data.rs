//! The message as it goes over the line: CRLF line ends, dots doubled (RFC 5321 §4.5.2).

/// Makes a message ready for the line, piece by piece.
///
/// A bare CR or LF becomes CRLF, so that none ever leaves, and a dot after it is a first dot too:
/// nothing in a message can end it early.
pub(super) struct Stuffer {
    after_cr: bool,
    line_start: bool,
}

impl Stuffer {
    pub(super) fn new() -> Self {
        Self { after_cr: false, line_start: true }
    }

    /// Appends a piece of the message to `out`.
    pub(super) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        out.reserve(piece.len() + piece.len() / 64);
        for &byte in piece {
            if self.after_cr && byte != b'\n' {
                out.push(b'\n');
                self.line_start = true;
            }
            match byte {
                b'\n' => {
                    if !self.after_cr {
                        out.push(b'\r');
                    }
                    self.line_start = true;
                }
                b'.' if self.line_start => {
                    out.push(b'.');
                    self.line_start = false;
                }
                _ => self.line_start = false,
            }
            out.push(byte);
            self.after_cr = byte == b'\r';
        }
    }

    /// Ends the last line, if the message did not, and the message.
    pub(super) fn finish(self, out: &mut Vec<u8>) {
        if self.after_cr {
            out.push(b'\n');
        } else if !self.line_start {
            out.extend(b"\r\n");
        }
        out.extend(b".\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_message_early_wherever_it_is_cut() {
        for (message, expected) in [
            (&b""[..], &b".\r\n"[..]),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"..\r\n", b"...\r\n.\r\n"),
            (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r.\rb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r\r\n.", b"a\r\n\r\n..\r\n.\r\n"),
            (b"a\r\n.\r", b"a\r\n..\r\n.\r\n"),
            (b"a.b\r\n", b"a.b\r\n.\r\n"),
        ] {
            for cut in 0..=message.len() {
                let (mut stuffer, mut out) = (Stuffer::new(), Vec::new());
                stuffer.push(&message[..cut], &mut out);
                stuffer.push(&message[cut..], &mut out);
                stuffer.finish(&mut out);
                assert_eq!(out, expected, "{:?} cut at {cut}", String::from_utf8_lossy(message));
            }
        }
    }
}
