//! Internal identifiers. They only grow and are never reused, so that an old token can't name
//! something new.

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A property.
    PropertyId
);
id!(
    /// A member of the team, in whichever properties he has a role.
    MemberId
);
id!(
    /// A department of one property.
    DepartmentId
);
id!(
    /// A contact; known to all properties alike.
    ContactId
);
id!(
    /// A ticket; its public name is a [`TicketRef`](super::ticket::TicketRef).
    TicketId
);
id!(
    /// An entry of a ticket. Grows with time within a ticket.
    EntryId
);
id!(
    /// A copy; also its name in the queue.
    CopyId
);
id!(
    /// An address that a member says is his.
    ClaimId
);
id!(
    /// Raw bytes in the store: a message as it arrived or as it was composed.
    RawId
);
id!(
    /// An app password of a member.
    AppPasswordId
);
