//! Percent-encoding (RFC 3986 §2.1).

/// Encodes all but the unreserved characters (RFC 3986 §2.3).
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.extend(format!("%{byte:02X}").chars());
        }
    }
    escaped
}

/// Undoes it; `None` where it is broken, not UTF-8, or holds control characters.
#[must_use]
pub fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    // A NUL parts the fields of AUTH PLAIN (RFC 4616 §2), and no control character is typed on purpose.
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_comes_back() {
        for text in ["alice+mail@acme.example", "é ü/?&=%", "", "a-b_c.d~e"] {
            assert_eq!(unescape(&escape(text)).as_deref(), Some(text));
        }
        assert_eq!(escape("alice+x@acme.example"), "alice%2Bx%40acme.example");
        for broken in ["%", "%4", "%zz", "%ff", "%00", "a%0Ab"] {
            assert_eq!(unescape(broken), None, "{broken}");
        }
    }
}
