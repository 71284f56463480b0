//! What the values of single keys look like.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A domain name in lower case: ASCII labels of letters, digits and hyphens (RFC 1035 §2.3.1,
/// RFC 1123 §2.1), at least two of them unless it is `localhost`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(String);

impl Domain {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if !text.is_ascii() {
            return Err("write a domain beyond ASCII in its xn-- form".to_owned());
        }
        let number = text.split('.').next_back().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if text.len() > 253 || !text.split('.').all(label) || number {
            return Err("must be a domain name, as in \"desk.example.org\"".to_owned());
        }
        if !text.contains('.') && !text.eq_ignore_ascii_case("localhost") {
            return Err("must be a full domain name with a dot, as in \"desk.example.org\"".to_owned());
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') { Err("must be a path".to_owned()) } else { Ok(text.into()) }
}

/// The shape of a property's slug. Whether there is such a property, only the store knows.
pub(super) fn slug(text: &str) -> Result<String, String> {
    let shape = (1..=20).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if shape {
        Ok(text.to_owned())
    } else {
        Err("must be a property's slug: up to 20 of a-z, 0-9 and -, with a letter first".to_owned())
    }
}

pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "must be an address with a port, as in \"127.0.0.1:25\" or \"[::]:25\"".to_owned())
}

/// A name server; port 53 where none is given.
pub(super) fn resolver(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse().or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)));
    address.map_err(|_| "must be a name server's address, as in \"127.0.0.1\" or \"127.0.0.1:5353\"".to_owned())
}

pub(super) fn delimiters(text: &str) -> Result<Vec<char>, String> {
    if text.contains('+') && text.chars().all(|c| "+-=".contains(c)) {
        Ok(text.chars().collect())
    } else {
        Err("must be \"+\", with - and = besides where wanted, as in \"+-=\"".to_owned())
    }
}

pub(super) fn engine(text: &str) -> Result<(), String> {
    match text {
        "embedded" => Ok(()),
        "postgresql" => Err("not in this release; must be \"embedded\"".to_owned()),
        _ => Err("must be \"embedded\"".to_owned()),
    }
}

pub(super) fn web_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'<') => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err("must be a web address, as in \"https://desk.example.org\"".to_owned()),
    }
}

/// The directory of an ACME server (RFC 8555 §7.1.1), which is spoken with under TLS alone.
pub(super) fn acme_directory(text: &str) -> Result<String, String> {
    match web_url(text) {
        // A slash at its end may mean something.
        Ok(_) if text.starts_with("https://") => Ok(text.to_owned()),
        _ => Err("must be the https:// address of an ACME directory".to_owned()),
    }
}

pub(super) fn mail_address(text: &str) -> Result<String, String> {
    let (local, domain) = text.rsplit_once('@').unwrap_or_default();
    if !local.is_empty() && local.bytes().all(|b| b.is_ascii_graphic()) && Domain::parse(domain).is_ok() {
        Ok(text.to_owned())
    } else {
        Err("must be a mail address, as in \"postmaster@example.org\"".to_owned())
    }
}

const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = SIZES.iter().find_map(|(unit, octets)| Some((text.strip_suffix(unit)?, octets)))?;
    digits(number)?.checked_mul(*unit)
}

pub(super) fn show_size(octets: u64) -> String {
    let (unit, size) = SIZES.iter().find(|(_, size)| octets.is_multiple_of(*size)).unwrap_or(&("B", 1));
    format!("{}{unit}", octets / size)
}

pub(super) fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let (number, unit) = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))?;
    let seconds = digits(number)?.checked_mul(*unit)?;
    (1..=30 * 86_400).contains(&seconds).then(|| Duration::from_secs(seconds))
}

fn digits(text: &str) -> Option<u64> {
    let text = text.trim_end();
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times() {
        for (text, octets) in [("35MiB", Some(36_700_160)), ("1 GiB", Some(1 << 30)), ("12B", Some(12))] {
            assert_eq!(size(text), octets, "{text}");
        }
        for bad in ["", "MiB", "35", "35MB", "-1KiB", "1.5MiB", "99999999999999999999GiB", "18446744073709551615GiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        assert_eq!(duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("5d"), Some(Duration::from_hours(120)));
        for bad in ["", "s", "5", "0s", "31d", "1h30m", "-5m"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        assert_eq!(show_size(64 << 10), "64KiB");
    }

    #[test]
    fn domain_names() {
        assert_eq!(Domain::parse("Desk.Example.ORG").unwrap().as_str(), "desk.example.org");
        assert!(Domain::parse("localhost").is_ok());
        for bad in ["", "desk", "desk..org", "-a.org", "a_b.org", "127.0.0.1", "café.fr", "a b.org", "a.org."] {
            assert!(Domain::parse(bad).is_err(), "{bad}");
        }
    }
}
