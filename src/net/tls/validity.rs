//! From when until when a certificate holds: the one thing that the TLS library keeps to itself.
//!
//! A walk over the first fields of the DER, no more. It judges nothing: whoever believes a
//! certificate has had its signature checked elsewhere.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The tags that stand on the way (X.690 §8).
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// RFC 5280 §4.1.2.5. Both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl Validity {
    /// That of a certificate in DER; `None` where it is no X.509 certificate.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let mut outer = Der(certificate);
        let mut signed = Der(outer.expect(SEQUENCE)?);
        let mut fields = Der(signed.expect(SEQUENCE)?);
        if fields.0.first() == Some(&VERSION) {
            fields.expect(VERSION)?;
        }
        fields.expect(INTEGER)?; // serialNumber
        fields.expect(SEQUENCE)?; // signature
        fields.expect(SEQUENCE)?; // issuer
        let mut validity = Der(fields.expect(SEQUENCE)?);
        Some(Self { from: validity.time()?, until: validity.time()? })
    }

    #[must_use]
    pub fn holds_at(&self, now: Timestamp) -> bool {
        (self.from..=self.until).contains(&now)
    }
}

/// What is left to read.
struct Der<'b>(&'b [u8]);

impl<'b> Der<'b> {
    /// The content of the next element, which must have the tag.
    fn expect(&mut self, tag: u8) -> Option<&'b [u8]> {
        let (found, content) = self.element()?;
        (found == tag).then_some(content)
    }

    /// The next element: its tag, which has one octet here, and its content.
    fn element(&mut self) -> Option<(u8, &'b [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            // Certificates are shorter than 16 MiB.
            0x81..=0x83 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }

    /// `YYMMDDHHMMSSZ`, of the years 1950 to 2049, or `YYYYMMDDHHMMSSZ`.
    fn time(&mut self) -> Option<Timestamp> {
        let (tag, content) = self.element()?;
        let text = std::str::from_utf8(content).ok()?;
        let text = match tag {
            UTC_TIME if text.len() == 13 => format!("{}{text}", if *text >= *"50" { "19" } else { "20" }),
            GENERALIZED_TIME if text.len() == 15 => text.to_owned(),
            _ => return None,
        };
        let digits = text.strip_suffix('Z')?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let (date, time) = digits.split_at_checked(8)?;
        let time = format!("{date}T{time}").parse::<DateTime>().ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(from: (i32, u8, u8), until: (i32, u8, u8)) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn both_ways_of_writing_a_time_are_read() {
        for (from, until, expected) in [
            ((2026, 11, 26), (2027, 2, 24), ("2026-11-26T00:00:00Z", "2027-02-24T00:00:00Z")),
            ((1975, 1, 1), (4096, 1, 1), ("1975-01-01T00:00:00Z", "4096-01-01T00:00:00Z")),
            ((1950, 1, 1), (2049, 12, 31), ("1950-01-01T00:00:00Z", "2049-12-31T00:00:00Z")),
        ] {
            let validity = Validity::of(&certificate(from, until)).unwrap();
            assert_eq!((validity.from.to_string().as_str(), validity.until.to_string().as_str()), expected);
            assert!(validity.holds_at(validity.from) && validity.holds_at(validity.until));
            assert!(!validity.holds_at(validity.until + jiff::SignedDuration::from_secs(1)));
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_validity() {
        let whole = certificate((2026, 1, 1), (2027, 1, 1));
        // The whole length stands first, so nothing less is one.
        for length in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..length]), None, "{length}");
        }
        for at in 0..whole.len() {
            for octet in [0x00, 0x30, 0x80, 0x84, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = octet;
                // It may still be one; it must not panic.
                let _ = Validity::of(&damaged);
            }
        }
        assert_eq!(Validity::of(b"0\x84\xff\xff\xff\xff"), None);
    }
}
