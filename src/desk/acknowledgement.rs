//! Whether a requester is told that his message has arrived (`docs/mail.md`, Acknowledgements;
//! RFC 3834 §2). How often is the store's matter.

use super::address::Address;
use super::language::Language;

/// What there is to know of the mail that opened a ticket, where its property acknowledges.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// An SPF or DKIM pass is aligned with From's domain: else anybody could have us write to anybody.
    pub aligned: bool,
    /// A machine of either kind wrote it.
    pub machine: bool,
    /// Its writer asks for no automatic answers.
    pub suppressed: bool,
    /// The envelope's; `None` is `<>`.
    pub reverse_path: Option<&'a Address>,
    pub writer: &'a Address,
    /// An address of the property stands in To or Cc.
    pub addressed: bool,
    /// It answers mail that no person wrote: it names a ticket of minutes ago, or acknowledges itself.
    pub answers: bool,
}

/// Whether the mail may be acknowledged at all.
#[must_use]
pub fn is_wanted(occasion: &Occasion<'_>) -> bool {
    occasion.aligned
        && !occasion.machine
        && !occasion.suppressed
        && occasion.addressed
        && !occasion.answers
        && occasion.reverse_path.is_some_and(|path| !is_role(path))
        && !is_role(occasion.writer)
}

/// Whether a text is another desk's acknowledgement in the words that ours has, in any language: two
/// that thank each other would go on, whatever stands between them.
#[must_use]
pub fn is_one(text: &str) -> bool {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = plain(text);
    [Language::En, Language::Fr].iter().any(|language| text.contains(plain(language.received_first()).as_str()))
}

/// Local parts behind which nobody reads answers, or a machine does.
const ROLES: [&str; 22] = [
    "postmaster",
    "mailer-daemon",
    "mailerdaemon",
    "mdaemon",
    "abuse",
    "hostmaster",
    "webmaster",
    "root",
    "daemon",
    "nobody",
    "noreply",
    "no-reply",
    "no.reply",
    "no_reply",
    "donotreply",
    "do-not-reply",
    "ne-pas-repondre",
    "nepasrepondre",
    "majordomo",
    "listserv",
    "mailman",
    "bounce",
];

/// Whether an address is a machine's or an office's, by its local part.
#[must_use]
pub fn is_role(address: &Address) -> bool {
    let local = address.local().to_lowercase();
    // A tag or a token behind the name: `bounces+x`, `noreply-123`.
    let starts = |word: &str| {
        local
            .strip_prefix(word)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', '-', '=', '.', '_']) || rest == "s")
    };
    ROLES.iter().any(|role| starts(role))
        || starts("bounces")
        || local.starts_with("owner-")
        || ["-owner", "-request", "-bounces", "-relay", "-noreply", "-no-reply"].iter().any(|end| local.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn each_limit_alone_is_enough() {
        let (path, writer, role) =
            (address("carol@example.com"), address("carol@example.com"), address("noreply@x.example"));
        let good = Occasion {
            aligned: true,
            machine: false,
            suppressed: false,
            reverse_path: Some(&path),
            writer: &writer,
            addressed: true,
            answers: false,
        };
        assert!(is_wanted(&good));
        for (what, occasion) in [
            ("nothing vouches for its domain", Occasion { aligned: false, ..good }),
            ("a machine", Occasion { machine: true, ..good }),
            ("he asks for no answer", Occasion { suppressed: true, ..good }),
            ("null reverse-path", Occasion { reverse_path: None, ..good }),
            ("a role's reverse-path", Occasion { reverse_path: Some(&role), ..good }),
            ("a role", Occasion { writer: &role, ..good }),
            ("a blind copy", Occasion { addressed: false, ..good }),
            ("it answers what no person wrote", Occasion { answers: true, ..good }),
        ] {
            assert!(!is_wanted(&occasion), "{what}");
        }
    }

    #[test]
    fn what_another_desk_acknowledges_with() {
        let ticket = "other-7".parse().unwrap();
        for language in [Language::En, Language::Fr] {
            assert!(is_one(&language.received(&ticket, "Another house").replace(' ', "\n")));
        }
        assert!(!is_one("Thank you for your message."));
    }

    #[test]
    fn roles() {
        for role in [
            "Postmaster",
            "MAILER-DAEMON",
            "no-reply",
            "NoReply-123",
            "noreply+x",
            "bounces+abc=d",
            "bounce",
            "bounces",
            "list-bounces",
            "owner-list",
            "list-owner",
            "list-request",
            "do-not-reply",
            "shop-noreply",
        ] {
            assert!(is_role(&Address::new(role, "example.com").unwrap()), "{role}");
        }
        for person in ["carol", "request", "owner", "bob.postmaster", "norepublic", "bounceback", "rootsman", "abused"]
        {
            assert!(!is_role(&Address::new(person, "example.com").unwrap()), "{person}");
        }
    }
}
