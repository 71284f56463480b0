//! MTA-STS (RFC 8461): what a domain says about TLS to its mail servers, as text in and text out.
//!
//! Both directions stand on this: policies of others are parsed and held against their servers, and
//! our own is written. Asking the DNS, fetching and keeping are elsewhere.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::address::check_domain;

/// What a domain's policy asks of those who send to it (RFC 8461 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Mail only goes to servers that match and prove their name.
    Enforce,
    /// What would have failed is reported, and the mail goes out all the same.
    Testing,
    /// No policy any more.
    None,
}

/// A policy (RFC 8461 §3.2). Written with CRLF, one field a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub mode: Mode,
    /// The servers that may take the domain's mail; empty in mode `none` alone.
    pub mx: Vec<Pattern>,
    /// For how many seconds after it was fetched the policy holds, up to [`Policy::LONGEST_AGE`].
    pub max_age: u32,
}

/// `mail.example.org`, or `*.example.org` for every name with one label more (RFC 8461 §4.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    any_label: bool,
    /// In lower case, without the asterisk.
    domain: String,
}

/// The TXT record at `_mta-sts.` that announces a policy (RFC 8461 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Up to 32 letters and digits; another policy has another one.
    pub id: String,
}

/// A policy of a domain that mail goes to, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPolicy {
    pub policy: Policy,
    /// What announced it.
    pub id: String,
    pub fetched_at: Timestamp,
}

impl KeptPolicy {
    /// Whether it has not ended (RFC 8461 §3.2, `max_age`).
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        now.duration_since(self.fetched_at) < SignedDuration::from_secs(self.policy.max_age.into())
    }
}

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("a policy has up to 65536 octets")]
    TooLong,
    #[error("a policy has up to 128 mx lines")]
    TooMany,
    #[error("line {0} is not \"key: value\"")]
    Line(usize),
    #[error("the policy's version is not STSv1")]
    Version,
    #[error("the policy has no mode of enforce, testing and none")]
    Mode,
    #[error("the policy has no max_age in seconds")]
    MaxAge,
    #[error("the policy names no mx, or one that is no host name")]
    Mx,
}

/// A text that is no announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not \"v=STSv1; id=…;\" with an id of up to 32 letters and digits")]
pub struct AnnouncementError;

impl Policy {
    /// Where a policy is, on the web server of [`Policy::host`] (RFC 8461 §3.3).
    pub const PATH: &'static str = "/.well-known/mta-sts.txt";
    /// The most octets that a policy may have (RFC 8461 §3.3 suggests this bound).
    pub const LONGEST: usize = 64 * 1024;
    /// The most patterns: some domains have a dozen.
    pub const MOST_MX: usize = 128;
    /// A year: a longer `max_age` is taken for this (RFC 8461 §3.2).
    pub const LONGEST_AGE: u32 = 31_557_600;

    /// One of our own: all mail comes to one host. It holds for two weeks where it is enforced (RFC 8461
    /// §3.2 expects weeks), and for a day where it is tried out or taken back.
    #[must_use]
    pub fn ours(mode: Mode, host: &str) -> Self {
        let max_age = if mode == Mode::Enforce { 14 * 86_400 } else { 86_400 };
        Self { mode, mx: host.parse().into_iter().collect(), max_age }
    }

    /// The web server that has a domain's policy (RFC 8461 §3.3).
    #[must_use]
    pub fn host(domain: &str) -> String {
        format!("mta-sts.{domain}")
    }

    /// Whether mail for the domain may go to this server. A policy of mode `none` allows every one.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        self.mode == Mode::None || self.mx.iter().any(|pattern| pattern.matches(host))
    }

    /// What announces this policy: the id is made of its content, 32 hexadecimal digits, so that it
    /// changes with it.
    #[must_use]
    pub fn announcement(&self) -> Announcement {
        let hash = digest::digest(&digest::SHA256, self.to_string().as_bytes());
        Announcement { id: HEXLOWER.encode(&hash.as_ref()[..16]) }
    }
}

impl FromStr for Policy {
    type Err = PolicyError;

    /// Lines end with CRLF or LF; unknown keys mean nothing; of a key that stands twice the first
    /// counts, but for `mx` (RFC 8461 §3.2).
    fn from_str(text: &str) -> Result<Self, PolicyError> {
        if text.len() > Self::LONGEST {
            return Err(PolicyError::TooLong);
        }
        let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
        for (at, line) in text.split('\n').enumerate() {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.trim().is_empty() {
                continue;
            }
            let (key, value) = line.split_once(':').ok_or(PolicyError::Line(at + 1))?;
            let value = value.trim_matches([' ', '\t']);
            match key {
                "version" => _ = version.get_or_insert(value),
                "mode" => _ = mode.get_or_insert(value),
                "max_age" => _ = max_age.get_or_insert(value),
                "mx" if mx.len() == Self::MOST_MX => return Err(PolicyError::TooMany),
                "mx" => mx.push(value.parse()?),
                _ => {}
            }
        }
        if version != Some("STSv1") {
            return Err(PolicyError::Version);
        }
        let mode = match mode {
            Some("enforce") => Mode::Enforce,
            Some("testing") => Mode::Testing,
            Some("none") => Mode::None,
            _ => return Err(PolicyError::Mode),
        };
        if mx.is_empty() && mode != Mode::None {
            return Err(PolicyError::Mx);
        }
        let max_age = max_age.filter(|digits| (1..=10).contains(&digits.len()) && is_number(digits));
        let max_age: u64 = max_age.and_then(|digits| digits.parse().ok()).ok_or(PolicyError::MaxAge)?;
        let max_age = u32::try_from(max_age).unwrap_or(u32::MAX).min(Self::LONGEST_AGE);
        Ok(Self { mode, mx, max_age })
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version: STSv1\r\nmode: {}\r\n", self.mode)?;
        for pattern in &self.mx {
            write!(f, "mx: {pattern}\r\n")?;
        }
        write!(f, "max_age: {}\r\n", self.max_age)
    }
}

/// As it stands in a policy.
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        })
    }
}

impl Pattern {
    /// Whether a server of this name, with or without a dot at its end, is meant. An asterisk
    /// stands for one label, never for none and never for two (RFC 8461 §4.1).
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let meant = if self.any_label {
            match host.split_once('.') {
                Some((label, rest)) if !label.is_empty() => rest,
                _ => return false,
            }
        } else {
            host
        };
        meant.eq_ignore_ascii_case(&self.domain)
    }
}

impl FromStr for Pattern {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let (any_label, domain) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if !domain.is_ascii() || check_domain(domain).is_err() {
            return Err(PolicyError::Mx);
        }
        Ok(Self { any_label, domain: domain.to_ascii_lowercase() })
    }
}

impl TryFrom<String> for Pattern {
    type Error = PolicyError;

    fn try_from(text: String) -> Result<Self, PolicyError> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.any_label { "*." } else { "" }, self.domain)
    }
}

impl Announcement {
    /// The one announcement among the TXT records at a domain's `_mta-sts.`. Records of something
    /// else are passed over; two announcements, or a broken one, are as none (RFC 8461 §3.1).
    pub fn among<T: AsRef<str>>(records: &[T]) -> Option<Self> {
        let mut announcing = records.iter().map(AsRef::as_ref).filter(|text| names_version(text));
        match (announcing.next(), announcing.next()) {
            (Some(only), None) => only.parse().ok(),
            _ => None,
        }
    }
}

fn names_version(text: &str) -> bool {
    text.split(';').next().is_some_and(|first| first.trim_end_matches([' ', '\t']) == "v=STSv1") && text.contains(';')
}

impl FromStr for Announcement {
    type Err = AnnouncementError;

    fn from_str(text: &str) -> Result<Self, AnnouncementError> {
        if !names_version(text) {
            return Err(AnnouncementError);
        }
        let mut fields = text.split(';').skip(1).map(|field| field.trim_matches([' ', '\t']));
        let id = fields.find_map(|field| field.strip_prefix("id=")).ok_or(AnnouncementError)?;
        let fine = (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
        if fine { Ok(Self { id: id.to_owned() }) } else { Err(AnnouncementError) }
    }
}

/// As it is published.
impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v=STSv1; id={};", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Policy {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let text =
            "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n";
        let read = policy(text);
        assert_eq!((read.mode, read.mx.len(), read.max_age), (Mode::Enforce, 2, 604_800));
        assert_eq!(read.to_string(), text);
        let other = Policy { max_age: 604_801, ..read.clone() };
        assert_ne!(read.announcement(), other.announcement());
        assert_eq!(read.announcement(), policy(text).announcement());
        assert_eq!(read.announcement().to_string().parse(), Ok(read.announcement()));
    }

    #[test]
    fn read_as_others_write_it() {
        let loose = policy(
            "mode:testing\nmax_age:\t9999999999\r\nfuture: x: y\n\nmode: none\nmx:A.Example.Com \nversion: STSv1",
        );
        assert_eq!(loose.mode, Mode::Testing, "the first counts");
        assert_eq!(loose.mx[0].to_string(), "a.example.com");
    }

    #[test]
    fn what_is_no_policy() {
        let with = |lines: &str| format!("version: STSv1\n{lines}");
        for (text, error) in [
            ("mode: enforce\nmx: a.example\nmax_age: 1".to_owned(), PolicyError::Version),
            ("version: STSv2\nmode: enforce\nmx: a.example\nmax_age: 1".to_owned(), PolicyError::Version),
            (with("mode: Enforce\nmx: a.example\nmax_age: 1"), PolicyError::Mode),
            (with("mx: a.example\nmax_age: 1"), PolicyError::Mode),
            (with("mode: enforce\nmax_age: 1"), PolicyError::Mx),
            (with("mode: enforce\nmx: a..example\nmax_age: 1"), PolicyError::Mx),
            (with("mode: enforce\nmx: a.*.example\nmax_age: 1"), PolicyError::Mx),
            (with("mode: enforce\nmx: *\nmax_age: 1"), PolicyError::Mx),
            (with("mode: enforce\nmx: a.example"), PolicyError::MaxAge),
            (with("mode: enforce\nmx: a.example\nmax_age: -1"), PolicyError::MaxAge),
            (with("mode: enforce\nmx: a.example\nmax_age: a day"), PolicyError::MaxAge),
            (with("<html>"), PolicyError::Line(2)),
            (with(&"mx: a.example\n".repeat(129)), PolicyError::TooMany),
            ("x:\n".repeat(30_000), PolicyError::TooLong),
        ] {
            assert_eq!(text.parse::<Policy>(), Err(error), "{:?}", text.get(..60));
        }
        assert_eq!(policy("version: STSv1\nmode: none\nmax_age: 9999999999").max_age, Policy::LONGEST_AGE);
    }

    #[test]
    fn which_servers_match() {
        let read = policy("version: STSv1\nmode: enforce\nmx: Mail.example.com\nmx: *.example.net\nmax_age: 1");
        for (host, meant) in [
            ("mail.example.com", true),
            ("MAIL.Example.COM.", true),
            ("mx.example.net", true),
            ("a.mail.example.com", false),
            ("example.net", false),
            (".example.net", false),
            ("a.b.example.net", false),
            ("mx.example.net.evil.example", false),
            ("", false),
        ] {
            assert_eq!(read.matches(host), meant, "{host}");
        }
        assert!(policy("version: STSv1\nmode: none\nmax_age: 1").matches("any.example"));
    }

    #[test]
    fn one_announcement_among_records() {
        let id = |records: &[&str]| Announcement::among(records).map(|announcement| announcement.id);
        assert_eq!(id(&["v=STSv1; id=20160831085700Z;"]).as_deref(), Some("20160831085700Z"));
        assert_eq!(id(&["v=spf1 -all", "v=STSv1 ;\tx=y; id=a"]).as_deref(), Some("a"));
        for none in [
            &[][..],
            &["v=spf1 -all"],
            &["v=STSv1"],
            &["v=STSv1;"],
            &["v=STSv1; id=;"],
            &["v=STSv1; id=a-b;"],
            &["v=STSv1; id=012345678901234567890123456789012;"],
            &["v=STSv10; id=a;"],
            &["V=STSv1; id=a;"],
            &["v=STSv1; id=a;", "v=STSv1; id=a;"],
        ] {
            assert_eq!(id(none), None, "{none:?}");
        }
    }
}
