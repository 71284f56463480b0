//! `[spam]`: who is asked what he thinks of a mail, and what that does to it.

use std::time::Duration;

use super::reader::Section;
use super::relay::{Endpoint, host_and_port};
use super::value::Domain;

/// The spam filter and the blocklists.
#[derive(Clone, Debug, PartialEq)]
pub struct Spam {
    pub rspamd: Option<Rspamd>,
    /// How long the filter may take.
    pub timeout: Duration,
    /// The scores from which on mail is refused, or spam, instead of the filter's own.
    pub reject_score: Option<f64>,
    pub spam_score: Option<f64>,
    /// Zones of DNS blocklists (RFC 5782).
    pub blocklists: Vec<Domain>,
    pub blocklisted: Blocklisted,
}

/// Where rspamd listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rspamd {
    pub host: String,
    pub port: u16,
}

/// What a blocklist that names a client does to its mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocklisted {
    Reject,
    Spam,
}

/// The port of rspamd's normal worker.
const PORT: u16 = 11_333;
const SCORES: std::ops::RangeInclusive<f64> = -1000.0..=1000.0;

pub(super) fn read(section: &Section<'_, '_>) -> Spam {
    let spam = Spam {
        rspamd: section.text("rspamd", rspamd),
        timeout: section.duration("timeout").unwrap_or(Duration::from_secs(20)),
        reject_score: section.number("reject_score", SCORES),
        spam_score: section.number("spam_score", SCORES),
        blocklists: section.list("blocklists", Domain::parse).unwrap_or_default(),
        blocklisted: section.text("blocklisted", blocklisted).unwrap_or(Blocklisted::Reject),
    };
    section.finish();
    for key in ["reject_score", "spam_score"] {
        if section.has(key) && !section.has("rspamd") {
            section.complain(key, "needs spam.rspamd beside it, whose scores it judges by");
        }
    }
    if let (Some(reject), Some(spam)) = (spam.reject_score, spam.spam_score)
        && reject < spam
    {
        section.complain("reject_score", "must not be below spam.spam_score");
    }
    if spam.timeout > Duration::from_mins(5) {
        section.complain("timeout", "must be at most \"5m\": the client waits for an answer meanwhile");
    }
    spam
}

fn rspamd(text: &str) -> Result<Rspamd, String> {
    let place = text.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    match place.and_then(|place| host_and_port(place, PORT)) {
        Some(Endpoint::Tcp { host, port }) => Ok(Rspamd { host, port }),
        _ => Err("must look like \"http://127.0.0.1:11333\"".to_owned()),
    }
}

fn blocklisted(text: &str) -> Result<Blocklisted, String> {
    match text {
        "reject" => Ok(Blocklisted::Reject),
        "spam" => Ok(Blocklisted::Spam),
        _ => Err("must be \"reject\" or \"spam\"".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_rspamd_is() {
        for (text, host, port) in [
            ("http://127.0.0.1:11333", "127.0.0.1", 11_333),
            ("http://rspamd.example.org/", "rspamd.example.org", 11_333),
            ("http://[::1]:80", "::1", 80),
            ("http://localhost", "localhost", 11_333),
        ] {
            assert_eq!(rspamd(text), Ok(Rspamd { host: host.to_owned(), port }), "{text}");
        }
        for bad in [
            "",
            "127.0.0.1:11333",
            "https://x.example",
            "http://",
            "http://x:y",
            "http://a/b",
            "http://u@h",
            "http://a b",
        ] {
            assert!(rspamd(bad).is_err(), "{bad}");
        }
    }
}
