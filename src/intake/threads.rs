//! The tickets of one property as the writer of one message stands to them.

use crate::actions::{ActionError, find};
use crate::desk::authority::Writer;
use crate::desk::id::{PropertyId, TicketId};
use crate::desk::message_id::MessageId;
use crate::desk::thread::{Bearer, Threads};
use crate::desk::ticket::Person;
use crate::store::Read;
use crate::store::tables::{CONVERSATIONS, MESSAGE_IDS, TICKET_NUMBERS};

/// A view of the store as [`Threads`].
pub struct StoredThreads<'a, R> {
    pub tx: &'a R,
    pub property: PropertyId,
    pub writer: Writer,
}

impl<R: Read> Threads for StoredThreads<'_, R> {
    type Error = ActionError;

    fn bearers(&self, id: &MessageId) -> Result<Vec<Bearer>, ActionError> {
        Ok(self.tx.get(&MESSAGE_IDS, &(self.property, id.clone()))?.unwrap_or_default())
    }

    fn conversation(&self, index: &[u8]) -> Result<Vec<TicketId>, ActionError> {
        let Ok(index) = <[u8; 22]>::try_from(index) else { return Ok(Vec::new()) };
        Ok(self.tx.get(&CONVERSATIONS, &(self.property, index))?.unwrap_or_default())
    }

    fn numbered(&self, number: u64) -> Result<Option<TicketId>, ActionError> {
        Ok(self.tx.get(&TICKET_NUMBERS, &(self.property, number))?)
    }

    fn current(&self, ticket: TicketId) -> Result<TicketId, ActionError> {
        Ok(find::ticket_by_id(self.tx, ticket)?.id)
    }

    fn takes_part(&self, ticket: TicketId) -> Result<bool, ActionError> {
        let person = match self.writer {
            Writer::Member(id) => Person::Member(id),
            Writer::Outside(Some(id)) => Person::Contact(id),
            Writer::Outside(None) | Writer::Property => return Ok(false),
        };
        let ticket = find::ticket_by_id(self.tx, ticket)?;
        if ticket.participant(person).is_some() {
            return Ok(true);
        }
        let Person::Member(id) = person else { return Ok(false) };
        let assignees = find::colleagues(self.tx, self.property, ticket.assignee)?;
        Ok(assignees.iter().any(|colleague| colleague.id == id))
    }
}
