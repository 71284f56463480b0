//! Whether a domain that passed SPF or DKIM stands for the domain in From (RFC 7489 §3.1, relaxed
//! mode).

use std::borrow::Cow;

use hickory_resolver::proto::rr::Name;

/// Whether two domains share their organisational domain (RFC 7489 §3.2): the label below a
/// public suffix. Spelling does not matter, neither case nor a final dot nor U- or A-labels.
///
/// The public suffix list answers, so that it holds whether or not a DMARC policy is published.
/// A public suffix is aligned with itself only: nobody on `github.io` speaks for his neighbour.
#[must_use]
pub fn aligned(domain: &str, from: &str) -> bool {
    let (domain, from) = (ascii(domain), ascii(from));
    if domain.is_empty() || from.is_empty() {
        return false;
    }
    domain == from
        || match (psl::domain_str(&domain), psl::domain_str(&from)) {
            (Some(one), Some(other)) => one == other,
            _ => false,
        }
}

/// A domain in lower case and A-labels (RFC 5890 §2.3.2.1), as DNS and mail compare it. What is
/// not a domain name stays as it is.
#[must_use]
pub fn ascii(domain: &str) -> Cow<'_, str> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if domain.is_ascii() {
        return if domain.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(domain.to_ascii_lowercase())
        } else {
            Cow::Borrowed(domain)
        };
    }
    match Name::from_utf8(domain) {
        Ok(name) => Cow::Owned(name.to_ascii().trim_end_matches('.').to_ascii_lowercase()),
        Err(_) => Cow::Owned(domain.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relaxed_alignment() {
        for (domain, from, expected) in [
            ("example.com", "example.com", true),
            ("Example.COM.", "example.com", true),
            ("mail.example.com", "example.com", true),
            ("example.com", "news.example.com", true),
            ("bounce.example.com", "news.example.com", true),
            ("a.example.co.uk", "b.example.co.uk", true),
            ("exämple.de", "mail.xn--exmple-cua.de", true),
            ("notexample.com", "example.com", false),
            ("example.com.evil.net", "example.com", false),
            ("example.org", "example.com", false),
            ("evil.co.uk", "example.co.uk", false),
            ("co.uk", "example.co.uk", false),
            ("com", "example.com", false),
            ("evil.github.io", "victim.github.io", false),
            ("evil.github.io", "github.io", false),
            ("evil.公司.cn", "victim.公司.cn", false),
            ("a.victim.公司.cn", "victim.公司.cn", true),
            ("", "example.com", false),
            ("example.com", "", false),
            ("", "", false),
        ] {
            assert_eq!(aligned(domain, from), expected, "{domain} for {from}");
            assert_eq!(aligned(from, domain), expected, "{from} for {domain}");
        }
    }
}
