//! The identifiers by which mail says what it answers: Message-ID, In-Reply-To, References
//! (RFC 5322 §3.6.4), and Outlook's Thread-Index.

use super::transfer;
use crate::desk::message_id::MessageId;

/// Every identifier in a field's value, in order: what stands in angle brackets, or, where there
/// are none, each word with an `@`. Blanks that folding left inside brackets go.
#[must_use]
pub fn all(value: &str) -> Vec<MessageId> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('<') {
        // A second `<` before the `>`: the first began nothing.
        let Some(end) = after.find(['<', '>']) else { break };
        if after.as_bytes().get(end) == Some(&b'>') {
            found.extend(read(&after[..end]));
            rest = &after[end + 1..];
        } else {
            rest = &after[end..];
        }
    }
    if found.is_empty() && !value.contains('<') {
        found.extend(value.split_whitespace().filter(|word| word.contains('@')).filter_map(read));
    }
    found
}

fn read(text: &str) -> Option<MessageId> {
    if text.len() > 2 * MessageId::LONGEST {
        return None;
    }
    text.chars().filter(|c| !c.is_whitespace()).collect::<String>().parse().ok()
}

/// The first and the newest of a long chain, each once, in the order in which they were written.
#[must_use]
pub fn bounded(ids: Vec<MessageId>, newest: usize) -> Vec<MessageId> {
    let from = ids.len().saturating_sub(newest);
    let mut seen = std::collections::HashSet::new();
    ids.into_iter()
        .enumerate()
        .filter(|(at, _)| *at == 0 || *at >= from)
        .filter(|(_, id)| seen.insert(id.clone()))
        .map(|(_, id)| id)
        .collect()
}

/// Outlook's Thread-Index: 22 octets name the conversation, each 5 more a reply to what stands
/// before them (Microsoft MS-OXOMSG §2.2.1.3, PidTagConversationIndex).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ThreadIndex(Vec<u8>);

impl ThreadIndex {
    const ROOT: usize = 22;
    const REPLY: usize = 5;
    /// No one answers a thousand times; what claims so is noise.
    const LONGEST: usize = Self::ROOT + 1000 * Self::REPLY;

    #[must_use]
    pub fn read(value: &str) -> Option<Self> {
        if value.len() > 2 * Self::LONGEST {
            return None;
        }
        let octets = transfer::base64(value.as_bytes());
        let replies = octets.len().checked_sub(Self::ROOT)?;
        (octets.len() <= Self::LONGEST && replies.is_multiple_of(Self::REPLY)).then_some(Self(octets))
    }

    /// What all messages of the conversation share.
    #[must_use]
    pub fn conversation(&self) -> &[u8] {
        &self.0[..Self::ROOT]
    }

    /// The whole: the name of this message within the conversation.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The index of the message that this one answers; `None` at the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        (self.0.len() > Self::ROOT).then(|| Self(self.0[..self.0.len() - Self::REPLY].to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(value: &str) -> Vec<String> {
        all(value).iter().map(|id| id.as_str().to_owned()).collect()
    }

    #[test]
    fn ids_however_written() {
        for (value, ids) in [
            ("<a@b>", vec!["a@b"]),
            ("<a@b><c@d>,\t<e@f>", vec!["a@b", "c@d", "e@f"]),
            ("Your message of Monday <a@b> (Bob)", vec!["a@b"]),
            ("<a\t @b>", vec!["a@b"]),
            ("a@b c@d", vec!["a@b", "c@d"]),
            ("<a@b", vec![]),
            ("<<a@b>>", vec!["a@b"]),
            ("<>", vec![]),
            ("nothing", vec![]),
        ] {
            assert_eq!(texts(value), ids, "{value}");
        }
    }

    #[test]
    fn a_long_chain_keeps_its_root_and_its_newest() {
        let chain: Vec<MessageId> = (0..10_000).map(|n| format!("{n}@b").parse().unwrap()).collect();
        let kept = bounded(chain, 100);
        assert_eq!(kept.len(), 101);
        assert_eq!(kept[0].as_str(), "0@b");
        assert_eq!(kept[1].as_str(), "9900@b");
        assert_eq!(kept[100].as_str(), "9999@b");
        let circle = all("<a@b> <c@d> <a@b> <c@d>");
        assert_eq!(bounded(circle, 100).len(), 2);
    }

    #[test]
    fn a_thread_index_names_its_parent() {
        let encode = |length: usize| data_encoding::BASE64.encode(&(0..=u8::MAX).take(length).collect::<Vec<_>>());
        let reply = ThreadIndex::read(&encode(32)).unwrap();
        let parent = reply.parent().unwrap();
        assert_eq!(parent, ThreadIndex::read(&encode(27)).unwrap());
        assert_eq!(parent.conversation(), reply.conversation());
        assert_eq!(parent.parent().unwrap().parent(), None);
        for bad in [0, 21, 23, 30] {
            assert_eq!(ThreadIndex::read(&encode(bad)), None, "{bad}");
        }
    }
}
