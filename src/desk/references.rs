//! In-Reply-To and References of a copy, so that every reader's client shows one thread
//! (RFC 5322 §3.6.4, RFC 5256 §3).

use super::message_id::MessageId;

/// The most octets of identifiers in References, angle brackets and blanks included. Servers
/// have been seen to cut the field, or to refuse it, not far beyond.
const LONGEST: usize = 1_500;

/// One entry that a copy's entry descends from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// What its sender's client called it; that is what stands in the sender's own folder.
    pub client_id: Option<MessageId>,
    /// What our copies of it are called; that is what stands in everybody else's.
    pub minted: Option<MessageId>,
    /// Whether contacts may know of it.
    pub public: bool,
}

/// In-Reply-To and References for a reader, from the ancestors, root first.
///
/// Each ancestor gives the id of its sender's client, then ours. Ids that other servers would
/// tamper with are left out, an id is named once, and where all is too long the oldest after the
/// root go first. In-Reply-To is what our copies of the newest one are called, else its client's
/// name for it.
#[must_use]
pub fn references(ancestors: &[Ancestor], for_contact: bool) -> (Option<MessageId>, Vec<MessageId>) {
    let mut ids: Vec<&MessageId> = Vec::new();
    let mut known: Vec<&Ancestor> = ancestors.iter().filter(|ancestor| ancestor.public || !for_contact).collect();
    if known.len() > 1 {
        // The root, and no more of the newest than could ever fit.
        known.drain(1..known.len().saturating_sub(LONGEST / 4).max(1));
    }
    for ancestor in known {
        for id in ancestor.client_id.iter().chain(&ancestor.minted).filter(|id| id.is_grammatical()) {
            // The newest mention counts: threading takes the last one for the parent.
            if ids.first() == Some(&id) {
                continue;
            }
            ids.retain(|known| *known != id);
            ids.push(id);
        }
    }
    let Some((root, rest)) = ids.split_first() else { return (None, Vec::new()) };
    let size = |id: &MessageId| id.as_str().len() + 3;
    let mut room = LONGEST.saturating_sub(size(root));
    let mut kept: Vec<MessageId> = Vec::new();
    for id in rest.iter().rev() {
        match room.checked_sub(size(id)) {
            Some(left) => room = left,
            None => break,
        }
        kept.push((*id).clone());
    }
    kept.push((*root).clone());
    kept.reverse();
    (kept.last().cloned(), kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ancestor(client: &str, minted: &str, public: bool) -> Ancestor {
        Ancestor { client_id: client.parse().ok(), minted: minted.parse().ok(), public }
    }

    fn names(ancestors: &[Ancestor], for_contact: bool) -> (String, String) {
        let (parent, all) = references(ancestors, for_contact);
        let all: Vec<_> = all.iter().map(MessageId::as_str).collect();
        (parent.map(String::from).unwrap_or_default(), all.join(" "))
    }

    #[test]
    fn root_first_and_per_ancestor_the_clients_name_then_ours() {
        for (ancestors, for_contact, parent, all) in [
            (vec![], true, "", ""),
            (vec![ancestor("a@c", "a@d", true)], true, "a@d", "a@c a@d"),
            (vec![ancestor("a@c", "", true)], true, "a@c", "a@c"),
            (vec![ancestor("a@c", "a@d", true), ancestor("b@c", "b@d", true)], true, "b@d", "a@c a@d b@c b@d"),
            // A note is nothing to a contact, and part of the thread to a member.
            (vec![ancestor("a@c", "a@d", true), ancestor("n@c", "n@d", false)], true, "a@d", "a@c a@d"),
            (vec![ancestor("a@c", "a@d", true), ancestor("n@c", "n@d", false)], false, "n@d", "a@c a@d n@c n@d"),
            // Ungrammatical ids stay here; one that comes twice is named once.
            (vec![ancestor("not grammatical?", "a@d", true), ancestor("x", "b@d", true)], true, "b@d", "a@d b@d"),
            (vec![ancestor("a@c", "a@d", true), ancestor("a@c", "b@d", true)], true, "b@d", "a@c a@d b@d"),
            (
                vec![ancestor("r@c", "", true), ancestor("a@c", "b@d", true), ancestor("a@c", "", true)],
                true,
                "a@c",
                "r@c b@d a@c",
            ),
        ] {
            assert_eq!(names(&ancestors, for_contact), (parent.to_owned(), all.to_owned()));
        }
    }

    #[test]
    fn root_and_newest_stay_within_the_limit() {
        let many: Vec<_> =
            (0..500).map(|i| ancestor(&format!("client-{i}@mail.example.com"), &format!("m{i}@desk"), true)).collect();
        let (parent, all) = references(&many, true);
        assert_eq!(all.first().unwrap().as_str(), "client-0@mail.example.com");
        assert_eq!(all.last().unwrap().as_str(), "m499@desk");
        assert_eq!(parent.as_ref(), all.last());
        let octets: usize = all.iter().map(|id| id.as_str().len() + 3).sum();
        assert!((LONGEST - 40..=LONGEST).contains(&octets), "{octets}");
    }
}
