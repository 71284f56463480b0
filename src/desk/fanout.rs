//! Who gets a copy (`docs/mail.md`, Who gets a copy).

use std::collections::BTreeSet;

use super::address::{Address, Mailbox};
use super::copy::Scope;
use super::entry::Verified;
use super::id::MemberId;
use super::ticket::{Participant, Person, Standing};

/// The most contacts that a member's answer accepts of those whom a requester named.
pub const MOST_ACCEPTED: usize = 5;

/// A member who may get copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Colleague {
    pub id: MemberId,
    pub address: Address,
    /// Whether he wants copies by mail.
    pub copies: bool,
}

/// Who wrote an entry, as far as it matters for who hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    Member,
    /// A contact, and whether what he writes may go to other contacts.
    Contact {
        to_contacts: bool,
    },
}

impl Voice {
    /// A contact's voice: heard by other contacts when aligned or by his own reply address.
    #[must_use]
    pub fn of_contact(verified: Verified) -> Self {
        Self::Contact { to_contacts: matches!(verified, Verified::Aligned | Verified::Token | Verified::Submission) }
    }
}

/// All that decides who gets a copy of one entry.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    pub scope: Scope,
    pub voice: Voice,
    /// `None` for the system.
    pub writer: Option<Person>,
    /// All addresses of the writer.
    pub writer_addresses: &'a [Address],
    pub participants: &'a [Participant],
    /// The assignee, or the assigned department's members.
    pub assignees: &'a [Colleague],
    /// The followers.
    pub followers: &'a [Colleague],
    /// Who is told while nobody works on the ticket: the default assignee, else all members who want copies.
    pub everyone: &'a [Colleague],
    /// Whom the message reached without us: To and Cc of a mail from port 25; empty otherwise.
    pub named: &'a [Mailbox],
}

/// One copy to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    pub person: Person,
    pub address: Address,
    pub scope: Scope,
}

/// The readers of an entry: each person and each address at most once, never its writer.
///
/// `ours` says which addresses are the desk's own; nothing is ever sent to those.
pub fn readers(occasion: &Occasion<'_>, ours: impl Fn(&Address) -> bool) -> Vec<Reader> {
    let mut readers = Vec::new();
    let mut persons = BTreeSet::new();
    let mut addresses: BTreeSet<Address> = occasion.writer_addresses.iter().cloned().collect();
    persons.extend(occasion.writer);
    let mut add = |person: Person, address: &Address| {
        if !ours(address) && persons.insert(person) && addresses.insert(address.clone()) {
            readers.push(Reader { person, address: address.clone(), scope: occasion.scope });
        }
    };
    let contacts = match (occasion.scope, occasion.voice) {
        (Scope::Note, _) => false,
        (Scope::Public, Voice::Member) => true,
        (Scope::Public, Voice::Contact { to_contacts }) => to_contacts,
    };
    if contacts {
        for participant in occasion.participants {
            let has_it = occasion.named.iter().any(|mailbox| mailbox.address == participant.address);
            if matches!(participant.person, Person::Contact(_)) && participant.standing == Standing::Accepted && !has_it
            {
                add(participant.person, &participant.address);
            }
        }
    }
    let nobody = occasion.assignees.is_empty() && occasion.followers.is_empty();
    let rest = if nobody && occasion.voice != Voice::Member { occasion.everyone } else { &[] };
    for colleague in occasion.assignees.iter().chain(occasion.followers).chain(rest) {
        if colleague.copies {
            add(Person::Member(colleague.id), &colleague.address);
        }
    }
    readers
}

/// Whom a member's answer accepts: the first few of those whom an aligned requester named.
#[must_use]
pub fn accepted_by_answer(participants: &[Participant]) -> Vec<Person> {
    let accepted = participants
        .iter()
        .filter(|participant| participant.named_by_requester && participant.standing == Standing::Accepted)
        .count();
    participants
        .iter()
        .filter(|participant| participant.named_by_requester && participant.standing == Standing::Proposed)
        .map(|participant| participant.person)
        .take(MOST_ACCEPTED.saturating_sub(accepted))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::id::ContactId;
    use crate::desk::ticket::Ground;

    fn address(name: &str) -> Address {
        format!("{name}@example.org").parse().unwrap()
    }

    fn contact(id: u64, name: &str, standing: Standing) -> Participant {
        Participant {
            person: Person::Contact(ContactId(id)),
            ground: if id == 1 { Ground::Requester } else { Ground::Cc },
            standing,
            address: address(name),
            named_by_requester: standing == Standing::Proposed,
        }
    }

    fn colleague(id: u64, name: &str) -> Colleague {
        Colleague { id: MemberId(id), address: address(name), copies: true }
    }

    fn names(readers: &[Reader]) -> Vec<&str> {
        readers.iter().map(|reader| reader.address.local()).collect()
    }

    #[test]
    fn who_hears_of_what() {
        let participants = [
            contact(1, "carol", Standing::Accepted),
            contact(2, "dave", Standing::Accepted),
            contact(3, "eve", Standing::Proposed),
        ];
        let alice = [colleague(1, "alice")];
        let both = [colleague(1, "alice"), colleague(2, "bob")];
        let named = [Mailbox::new("", address("dave")), Mailbox::new("", address("bob"))];
        let contact_one = Some(Person::Contact(ContactId(1)));
        let member_one = Some(Person::Member(MemberId(1)));
        let carol = [address("carol")];
        let alice_addresses = [address("alice")];
        let base = Occasion {
            scope: Scope::Public,
            voice: Voice::Member,
            writer: None,
            writer_addresses: &[],
            participants: &participants,
            assignees: &[],
            followers: &[],
            everyone: &both,
            named: &[],
        };
        let requester = Occasion {
            voice: Voice::Contact { to_contacts: true },
            writer: contact_one,
            writer_addresses: &carol,
            ..base
        };
        let member = Occasion { writer: member_one, writer_addresses: &alice_addresses, assignees: &both, ..base };
        for (row, occasion, expected) in [
            ("requester, unassigned", requester, vec!["dave", "alice", "bob"]),
            ("requester, assigned", Occasion { assignees: &alice, ..requester }, vec!["dave", "alice"]),
            ("requester, only followed", Occasion { followers: &alice, ..requester }, vec!["dave", "alice"]),
            (
                "unverified writer",
                Occasion { voice: Voice::Contact { to_contacts: false }, ..requester },
                vec!["alice", "bob"],
            ),
            ("requester who wrote to dave and bob", Occasion { named: &named, ..requester }, vec!["alice", "bob"]),
            ("member", member, vec!["carol", "dave", "bob"]),
            ("member who wrote to dave himself", Occasion { named: &named, ..member }, vec!["carol", "bob"]),
            ("member's note", Occasion { scope: Scope::Note, ..member }, vec!["bob"]),
            ("member on a ticket without assignee", Occasion { assignees: &[], ..member }, vec!["carol", "dave"]),
            ("assignee who follows too", Occasion { followers: &both, ..member }, vec!["carol", "dave", "bob"]),
        ] {
            assert_eq!(names(&readers(&occasion, |_| false)), expected, "{row}");
        }
    }

    #[test]
    fn never_to_the_writers_other_address_nor_to_ourselves_nor_twice() {
        let participants = [contact(1, "carol", Standing::Accepted), contact(2, "support", Standing::Accepted)];
        let assignees = [colleague(1, "alice"), colleague(2, "alice-home"), colleague(3, "team"), colleague(4, "team")];
        let mut silent = colleague(5, "imap");
        silent.copies = false;
        let followers = [silent];
        let occasion = Occasion {
            scope: Scope::Public,
            voice: Voice::Member,
            writer: Some(Person::Member(MemberId(1))),
            writer_addresses: &[address("alice"), address("alice-home")],
            participants: &participants,
            assignees: &assignees,
            followers: &followers,
            everyone: &[],
            named: &[],
        };
        let readers = readers(&occasion, |address| address.local() == "support");
        assert_eq!(names(&readers), ["carol", "team"]);
    }

    #[test]
    fn an_answer_accepts_five_at_most() {
        let mut participants: Vec<_> = (2..10).map(|id| contact(id, "x", Standing::Proposed)).collect();
        assert_eq!(accepted_by_answer(&participants).len(), MOST_ACCEPTED);
        participants[0].standing = Standing::Accepted;
        assert_eq!(accepted_by_answer(&participants).len(), MOST_ACCEPTED - 1);
        participants[1].named_by_requester = false;
        assert_eq!(accepted_by_answer(&participants)[0], Person::Contact(ContactId(4)));
    }
}
