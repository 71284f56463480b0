//! Mails in which a provider asks whoever is to get a forward to confirm it, told by their shape.
//!
//! The shape proves nothing: whether the provider wrote the mail is for the caller to know.

use super::understand::Understood;
use crate::desk::address::Address;
use crate::desk::confirmation::{Provider, Request};

/// The longest link that is kept, in octets.
const LONGEST_LINK: usize = 1_000;

/// One provider's shape.
struct Shape {
    provider: Provider,
    /// From, as addresses of the provider that none of its customers can have.
    from: &'static [&'static str],
    /// What the subject must say, one of each, in lower case; empty where From says enough.
    subject: &'static [&'static [&'static str]],
    /// How the link that confirms begins. The one that declines is another.
    links: &'static [&'static str],
}

const SHAPES: [Shape; 4] = [
    // In every language from one address, which writes about nothing else. `/mail/uf-` declines.
    Shape {
        provider: Provider::Gmail,
        from: &["forwarding-noreply@google.com"],
        subject: &[],
        links: &[
            "https://mail-settings.google.com/mail/vf-",
            "https://mail.google.com/mail/vf-",
            "https://isolated.mail.google.com/mail/vf-",
        ],
    },
    // A guess: none of its mailboxes is known to ask (`docs/decisions.md`, Forwards).
    Shape {
        provider: Provider::Microsoft,
        from: &[
            "no-reply@microsoft.com",
            "noreply@microsoft.com",
            "account-security-noreply@accountprotection.microsoft.com",
            "no-reply@accountprotection.microsoft.com",
            "noreply@email.microsoft.com",
        ],
        subject: &[FORWARDING, CONFIRMING],
        links: &[
            "https://account.live.com/",
            "https://account.microsoft.com/",
            "https://outlook.live.com/",
            "https://outlook.office.com/",
            "https://outlook.office365.com/",
        ],
    },
    // Of this and the next, From is known; the words and the links are guesses.
    Shape {
        provider: Provider::Yahoo,
        from: &["no-reply@cc.yahoo-inc.com", "noreply@cc.yahoo-inc.com", "no-reply@yahoo-inc.com"],
        subject: &[FORWARDING, CONFIRMING],
        links: &["https://mail.yahoo.com/", "https://login.yahoo.com/", "https://edit.yahoo.com/"],
    },
    Shape {
        provider: Provider::Zoho,
        from: &[
            "noreply@zoho.com",
            "noreply@zohomail.com",
            "noreply@zoho.eu",
            "noreply@zohocorp.com",
            "noreply@zohoaccounts.com",
        ],
        subject: &[FORWARDING, CONFIRMING],
        links: &[
            "https://mail.zoho.com/",
            "https://mail.zoho.eu/",
            "https://mail.zoho.in/",
            "https://accounts.zoho.com/",
        ],
    },
];

/// What a subject about forwarding says, in English and French.
const FORWARDING: &[&str] = &["forward", "transfert", "transférer", "redirection"];
/// What one says that asks something. A warning that somebody set up a forward asks nothing.
const CONFIRMING: &[&str] = &["confirm", "verif", "vérif"];

/// Reads the request in a mail that has a provider's shape, and a code or a link of its own.
#[must_use]
pub fn read(said: &Understood) -> Option<Request> {
    let [from] = said.from.as_slice() else { return None };
    let is_from = |shape: &&Shape| shape.from.iter().any(|known| from.address.as_str().eq_ignore_ascii_case(known));
    let shape = SHAPES.iter().find(is_from)?;
    let subject = said.subject.to_lowercase();
    if !shape.subject.iter().all(|words| words.iter().any(|word| subject.contains(word))) {
        return None;
    }
    let text = said.text.new.as_str();
    let code = code_in_subject(&said.subject).or_else(|| text.lines().find_map(code_in_line));
    let link = text.split_whitespace().find_map(|word| link(word, shape.links));
    if code.is_none() && link.is_none() {
        return None;
    }
    let own = said.to.first().map(|to| &to.address);
    let words = said.subject.split_whitespace().chain(text.split_whitespace().take(100));
    let mailbox = words.filter_map(address).find(|found| Some(found) != own);
    Some(Request { provider: shape.provider, mailbox, code, link })
}

/// `(#123456789)` at the beginning, in Japanese with wide brackets.
fn code_in_subject(subject: &str) -> Option<String> {
    digits(subject.trim_start().strip_prefix(['(', '（'])?.strip_prefix('#')?.split_once([')', '）'])?.0)
}

/// Digits alone behind a colon: `Confirmation code: 123456789`, in any language.
fn code_in_line(line: &str) -> Option<String> {
    digits(line.rsplit_once([':', '：'])?.1)
}

fn digits(text: &str) -> Option<String> {
    let text = text.trim();
    ((4..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.to_owned())
}

/// A word that is a link of this shape, whole.
fn link(word: &str, beginnings: &[&str]) -> Option<String> {
    let word = word.trim_start_matches(['<', '(', '"']).trim_end_matches(['>', ')', '"', '.', ',']);
    let own = |beginning: &str| word.len() > beginning.len() && word.starts_with(beginning);
    let plain = word.len() <= LONGEST_LINK && word.bytes().all(|b| b.is_ascii_graphic() && !br#"<>"\`"#.contains(&b));
    (plain && beginnings.iter().any(|beginning| own(beginning))).then(|| word.to_owned())
}

fn address(word: &str) -> Option<Address> {
    word.trim_matches(|c: char| !c.is_alphanumeric()).parse().ok().filter(|_| word.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::understand::{Limits, understand};

    fn request(from: &str, subject: &str, text: &str) -> Option<Request> {
        let raw = format!("From: {from}\r\nTo: acme@desk.example.org\r\nSubject: {subject}\r\n\r\n{text}\r\n");
        read(&understand(raw.as_bytes(), &Limits::default()).unwrap())
    }

    const GMAIL: &str = "Gmail Team <forwarding-noreply@google.com>";
    const LINK: &str = "https://mail-settings.google.com/mail/vf-%5Babc-_%5D-xyz";

    #[test]
    fn what_providers_ask() {
        let found = |subject: &str, text: &str| request(GMAIL, subject, text);
        let expected = |code: Option<&str>, link: Option<&str>| {
            Some(Request {
                provider: Provider::Gmail,
                mailbox: Some("support@acme.com".parse().unwrap()),
                code: code.map(str::to_owned),
                link: link.map(str::to_owned),
            })
        };
        let text = format!(
            "support@acme.com has requested to automatically forward mail to your email\r\naddress acme@desk.example.org.\r\n\
             Confirmation code: 123456789\r\n\r\nTo allow it, click the link:\r\n\r\n{LINK}\r\n\r\nclick this link to cancel:\r\n{}\r\n\
             visit: http://support.google.com/mail/bin/answer.py?answer=184973.",
            LINK.replace("vf-", "uf-")
        );
        let english = "(#123456789) Gmail Forwarding Confirmation - Receive Mail from support@acme.com";
        assert_eq!(found(english, &text), expected(Some("123456789"), Some(LINK)));
        let newer = text.replace("Confirmation code: 123456789\r\n", "");
        let without = "(Gmail Forwarding Confirmation - Receive Mail from support@acme.com";
        assert_eq!(found(without, &newer), expected(None, Some(LINK)));
        let french =
            "=?utf-8?q?(#123456789)_Confirmation_de_transfert_Gmail_-_Recevoir_des_e-mails_de_support@acme.com?=";
        assert_eq!(found(french, "Code de confirmation : 123456789"), expected(Some("123456789"), None));
        for host in ["mail", "isolated.mail"] {
            let other = LINK.replace("mail-settings", host);
            assert_eq!(found(without, &format!("<{other}>.")), expected(None, Some(&other)));
        }
        let japanese = "（#123456789）Gmail の転送の確認 - support@acme.com からメールを受信";
        assert_eq!(found(japanese, "こんにちは"), expected(Some("123456789"), None));

        let zoho = request("noreply@zoho.com", "Confirm mail forwarding for support@acme.com", "Code: 4711");
        assert_eq!(
            zoho.map(|request| (request.provider, request.code)),
            Some((Provider::Zoho, Some("4711".to_owned())))
        );
    }

    #[test]
    fn what_has_not_their_shape_or_leads_elsewhere() {
        let subject = "Gmail Forwarding Confirmation - Receive Mail from support@acme.com";
        for (what, from, subject, text) in [
            ("another From", "forwarding-noreply@gmail.com", subject, LINK.to_owned()),
            ("a name alone", "\"forwarding-noreply@google.com\" <x@evil.example>", subject, LINK.to_owned()),
            ("two of them", "forwarding-noreply@google.com, x@evil.example", subject, LINK.to_owned()),
            ("nothing to confirm with", GMAIL, subject, "Hello.".to_owned()),
            ("the link that declines", GMAIL, subject, LINK.replace("vf-", "uf-")),
            ("plain http", GMAIL, subject, LINK.replace("https", "http")),
            ("another host", GMAIL, subject, LINK.replace("mail-settings.google.com", "mail.evil.example")),
            ("a host that only begins so", GMAIL, subject, LINK.replace("google.com/", "google.com.evil.example/")),
            ("a login before the host", GMAIL, subject, LINK.replace("google.com/", "google.com@evil.example/")),
            ("a port", GMAIL, subject, LINK.replace("google.com/", "google.com:8443/")),
            ("behind another address", GMAIL, subject, format!("https://evil.example/?{LINK}")),
            ("another path", GMAIL, subject, "https://mail.google.com/url?q=https://evil.example".to_owned()),
            ("too long a link", GMAIL, subject, format!("{LINK}{}", "x".repeat(LONGEST_LINK))),
            ("a customer's address at a provider", "help@zoho.com", "Confirm forwarding", "Code: 4711".to_owned()),
            ("about something else", "noreply@zoho.com", "Your login code", "Code: 4711".to_owned()),
            (
                "a warning",
                "account-security-noreply@accountprotection.microsoft.com",
                "A new forwarding rule was created",
                "See https://account.live.com/activity".to_owned(),
            ),
        ] {
            assert_eq!(request(from, subject, &text), None, "{what}");
        }
        let both =
            request(GMAIL, subject, &format!("Code: 123456\r\n{}", LINK.replace("https://", "https://evil.example/")));
        assert_eq!(both.map(|request| (request.code, request.link)), Some((Some("123456".to_owned()), None)));
    }
}
