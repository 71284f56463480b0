//! What a server writes down of its own checks: the value of Authentication-Results (RFC 8601
//! §2.2), and of ARC-Authentication-Results, which begins with an instance (RFC 8617 §4.1.1).
//!
//! Reading one believes nothing: whose it is and whether that one is trusted is decided elsewhere.

use super::alignment::{aligned, ascii};
use crate::desk::verdict::{Method, Pass};

/// The most octets of one value that are read.
const LONGEST: usize = 16 * 1024;
/// RFC 1035 §2.3.4.
const LONGEST_DOMAIN: usize = 253;
/// The most results of one value that are read.
const MOST_RESULTS: usize = 100;

/// The results of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Results {
    /// The instance within an ARC chain; 0 where there is none.
    pub(super) instance: u32,
    /// The authserv-id, in lower case.
    pub(super) server: String,
    found: Vec<Vec<(String, String)>>,
}

impl Results {
    /// Reads a value; `None` if it names no server.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(value.get(..LONGEST).unwrap_or(value));
        let mut pieces = pieces(&text).into_iter().peekable();
        let instance = match pieces.peek()?.as_slice() {
            [(name, number)] if name == "i" => number.parse().ok()?,
            _ => 0,
        };
        if instance > 0 {
            pieces.next();
        }
        // A version may follow the name.
        let (server, nothing) = pieces.next()?.into_iter().next()?;
        if server.is_empty() || !nothing.is_empty() {
            return None;
        }
        Some(Self { instance, server: ascii(&server).into_owned(), found: pieces.take(MOST_RESULTS).collect() })
    }

    /// The first result that says that SPF or DKIM passed for a domain aligned with From's, or
    /// DMARC for From's own.
    ///
    /// A result that names one property twice says nothing, and neither do two results of SPF or of
    /// DMARC: one of them came with the message.
    pub(super) fn pass(&self, from: &str) -> Option<Pass> {
        let method = |result: &[(String, String)]| {
            Some(match result.first()?.0.split('/').next()? {
                "dkim" => Method::Dkim,
                "spf" => Method::Spf,
                "dmarc" => Method::Dmarc,
                _ => return None,
            })
        };
        let times = |wanted: Method| self.found.iter().filter(|result| method(result) == Some(wanted)).count();
        self.found.iter().find_map(|result| {
            let method = method(result).filter(|method| *method == Method::Dkim || times(*method) == 1)?;
            let ((_, outcome), properties) = result.split_first()?;
            let property = |wanted: &str| {
                let mut values = properties.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
                values.next().filter(|_| values.next().is_none())
            };
            let domain = match method {
                Method::Dkim => property("header.d").or_else(|| property("header.i"))?,
                Method::Spf => property("smtp.mailfrom")?,
                Method::Dmarc => property("header.from")?,
            };
            let domain = ascii(domain.rsplit_once('@').map_or(domain, |(_, domain)| domain)).into_owned();
            let is_from = match method {
                Method::Dkim | Method::Spf => aligned(&domain, from),
                Method::Dmarc => domain == ascii(from),
            };
            (outcome == "pass" && is_from && domain.len() <= LONGEST_DOMAIN).then_some(Pass { method, domain })
        })
    }
}

/// Splits a value at its semicolons, and each piece into its words `name=value`; a word without `=`
/// has an empty value. Comments are left out (RFC 5322 §3.2.2) and quoted strings are one with what
/// stands beside them, so that nothing within either is taken for a result. Names and outcomes in
/// lower case.
fn pieces(text: &str) -> Vec<Vec<(String, String)>> {
    let mut pieces = vec![Vec::new()];
    let mut word = Word::default();
    let mut depth = 0_usize;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if depth > 0 => {
                chars.next();
            }
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            '"' => {
                while let Some(inner) = chars.next().filter(|inner| *inner != '"') {
                    word.push(if inner == '\\' { chars.next().unwrap_or('\\') } else { inner });
                }
                word.quoted = true;
            }
            ';' => {
                word.end(&mut pieces);
                pieces.push(Vec::new());
            }
            c if c.is_whitespace() => word.pause = true,
            '=' if word.value.is_none() => {
                word.value = Some(String::new());
                word.pause = false;
            }
            c => {
                // A blank ends a word, unless its `=` or its value is still to come.
                let complete = word.value.as_ref().is_none_or(|value| !value.is_empty() || word.quoted);
                if word.pause && complete {
                    word.end(&mut pieces);
                }
                word.push(c);
            }
        }
    }
    word.end(&mut pieces);
    pieces
}

/// A word as far as it was read.
#[derive(Default)]
struct Word {
    name: String,
    value: Option<String>,
    /// A quoted string, even an empty one, was met.
    quoted: bool,
    pause: bool,
}

impl Word {
    fn push(&mut self, c: char) {
        self.pause = false;
        self.value.as_mut().unwrap_or(&mut self.name).push(c);
    }

    fn end(&mut self, pieces: &mut [Vec<(String, String)>]) {
        let word = std::mem::take(self);
        if let Some(piece) = pieces.last_mut().filter(|_| !word.name.is_empty() || word.value.is_some()) {
            piece.push((word.name.to_ascii_lowercase(), word.value.unwrap_or_default().to_ascii_lowercase()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(value: &str) -> Option<(Method, String)> {
        let pass = Results::read(value.as_bytes())?.pass("example.com")?;
        Some((pass.method, pass.domain))
    }

    #[test]
    fn what_servers_write() {
        let dkim = Some((Method::Dkim, "example.com".to_owned()));
        let spf = Some((Method::Spf, "example.com".to_owned()));
        for (value, expected) in [
            (
                "mx.google.com;\r\n       dkim=pass header.i=@example.com header.s=s1 header.b=\"q+/1ab=\";\r\n       \
                 spf=pass (google.com: domain of bob@example.com designates 192.0.2.1 as permitted sender) \
                 smtp.mailfrom=bob@example.com;\r\n       dmarc=pass (p=NONE sp=NONE dis=NONE) header.from=example.com",
                dkim.clone(),
            ),
            (
                "i=1; mx.microsoft.com 1; spf=pass smtp.mailfrom=example.com; dmarc=pass action=none \
                 header.from=example.com; dkim=pass header.d=example.com; arc=none",
                spf.clone(),
            ),
            ("mx.fwd.example; dmarc=pass header.from=example.com", Some((Method::Dmarc, "example.com".to_owned()))),
            (
                "mx.fwd.example 1; dkim=pass header.d=mail.example.com",
                Some((Method::Dkim, "mail.example.com".to_owned())),
            ),
            ("mx.fwd.example; dkim/1 = pass header.d = Example.COM", dkim.clone()),
            ("mx.fwd.example; dkim=fail header.d=example.com; dkim=pass header.d=example.com", dkim.clone()),
            ("mx.fwd.example; spf=pass smtp.mailfrom=\"a b\"@example.com", spf),
            ("mx.fwd.example; none", None),
            ("mx.fwd.example", None),
            ("", None),
            (";", None),
            ("dkim=pass header.d=example.com", None),
        ] {
            assert_eq!(pass(value), expected, "{value}");
        }
    }

    #[test]
    fn what_a_sender_puts_into_a_servers_words_is_no_result() {
        for value in [
            "mx.fwd.example; dkim=pass header.d=evil.example (dkim=pass header.d=example.com)",
            "mx.fwd.example; dkim=none (; dkim=pass header.d=example.com)",
            "mx.fwd.example; dkim=none (\\); dkim=pass header.d=example.com",
            "mx.fwd.example; dkim=none ((a); dkim=pass header.d=example.com",
            "mx.fwd.example; spf=pass smtp.mailfrom=\"; dkim=pass header.d=example.com; \"@evil.example",
            "mx.fwd.example; spf=pass smtp.mailfrom=\"bob@example.com\"@evil.example",
            "mx.fwd.example; spf=pass smtp.mailfrom=\"\\\"; dkim=pass header.d=example.com\"@evil.example",
            "mx.fwd.example; spf=pass reason=\"smtp.mailfrom=bob@example.com\" smtp.mailfrom=x@evil.example",
            "mx.fwd.example; spf=pass smtp.mailfrom=x@evil.example smtp.mailfrom=bob@example.com",
            "mx.fwd.example; spf=fail smtp.mailfrom=bob@example.com; spf=pass smtp.mailfrom=bob@example.com",
            "mx.fwd.example; dmarc=pass header.from=example.com; dmarc=fail header.from=example.com",
            "mx.fwd.example; spf=pass smtp.helo=example.com smtp.mailfrom=evil.example",
            "mx.fwd.example; dkim=fail pass header.d=example.com",
            "mx.fwd.example; dkim=passed header.d=example.com",
            "mx.fwd.example; dkim=\"fail\" header.d=example.com",
            "mx.fwd.example; x-dkim=pass header.d=example.com",
            "mx.fwd.example; dkim=pass header.d=example.com.evil.example",
            "mx.fwd.example; dkim=pass header.d=notexample.com",
            "mx.fwd.example; dmarc=pass header.from=other.example.com",
            "mx.fwd.example; arc=pass header.d=example.com",
        ] {
            assert_eq!(pass(value), None, "{value}");
        }
    }

    #[test]
    fn whose_results_they_are() {
        for (value, instance, server) in [
            ("mx.google.com; none", 0, "mx.google.com"),
            ("(a comment) MX.Google.com 1 ; none", 0, "mx.google.com"),
            (" i=2; mx.google.com; dkim=pass", 2, "mx.google.com"),
            ("\"mx.google.com\"; none", 0, "mx.google.com"),
        ] {
            let found = Results::read(value.as_bytes()).unwrap();
            assert_eq!((found.instance, found.server.as_str()), (instance, server), "{value}");
        }
        for value in ["i=x; mx.google.com", "i=1", "=mx.google.com; dkim=pass"] {
            assert_eq!(Results::read(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn hostile_values_are_read_in_a_moment() {
        for part in ["(", "\"", ";", "=", "a=b ", "\\", "(\\", "\u{e9}"] {
            let _ = Results::read(part.repeat(200_000).as_bytes());
        }
    }
}
