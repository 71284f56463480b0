//! Where a command goes on behind the end of a line: literals (RFC 3501 §4.3, RFC 7888, RFC 3516 §4).

/// A literal that the end of a line announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Literal {
    /// `u64::MAX` for what no number of octets could be.
    pub size: u64,
    /// The client waits for our word before it sends it.
    pub waits: bool,
}

/// A line without its end, CR LF or LF alone.
pub(super) fn content(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The literal whose octets follow this line, `{12}` or `{12+}` at its end. In a quoted string it
/// announces nothing.
pub(super) fn literal(line: &[u8]) -> Option<Literal> {
    let content = content(line);
    let inside = content.strip_suffix(b"}")?;
    let open = inside.iter().rposition(|octet| *octet == b'{')?;
    let (waits, digits) = match inside[open + 1..].strip_suffix(b"+") {
        Some(digits) => (false, digits),
        None => (true, &inside[open + 1..]),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) || is_quoted(&inside[..open]) {
        return None;
    }
    let size = digits.iter().fold(0u64, |size, digit| size.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Some(Literal { size, waits })
}

/// Whether a quoted string is open at the end of this.
fn is_quoted(text: &[u8]) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for octet in text {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_announced_at_the_end_of_a_line_and_outside_of_quotes() {
        let found = |size, waits| Some(Literal { size, waits });
        for (line, announced) in [
            ("a LOGIN {5}\r\n", found(5, true)),
            ("a LOGIN {5+}\r\n", found(5, false)),
            ("a LOGIN {5}\n", found(5, true)),
            ("a APPEND b ~{07+}\r\n", found(7, false)),
            ("a LOGIN \"a\\\"b\" {0}\r\n", found(0, true)),
            ("a LOGIN {99999999999999999999999+}\r\n", found(u64::MAX, false)),
            ("a LOGIN \"b {5}\r\n", None),
            ("a LOGIN \"b\\\" {5}\r\n", None),
            ("a LOGIN {5} \r\n", None),
            ("a LOGIN {}\r\n", None),
            ("a LOGIN {+}\r\n", None),
            ("a LOGIN {5-}\r\n", None),
            ("a LOGIN {-5}\r\n", None),
            ("a LOGIN 5}\r\n", None),
            ("\r\n", None),
        ] {
            assert_eq!(literal(line.as_bytes()), announced, "{line:?}");
        }
    }

    #[test]
    fn a_line_ends_with_lf_and_perhaps_cr() {
        for (line, inside) in [("a\r\n", "a"), ("a\n", "a"), ("\n", ""), ("a\r\r\n", "a\r"), ("a\r", "a"), ("", "")] {
            assert_eq!(content(line.as_bytes()), inside.as_bytes(), "{line:?}");
        }
    }
}
