//! `guichet contact`

use clap::{Args, Subcommand};

use super::client::Call;
use super::output::{Facts, Output, Table, list, time, when};
use super::{Desk, Failure, change, ticket};
use crate::api::types::{Contact, Contacts, EditContact, Merge};
use crate::desk::address::Address;
use crate::desk::slug::PropertySlug;

#[derive(Debug, Subcommand)]
pub(super) enum ContactCommand {
    /// List the contacts
    List {
        /// Only those with a ticket of one property
        #[arg(long)]
        property: Option<PropertySlug>,
        /// Only those with this in a name, an address or the organisation
        #[arg(long)]
        query: Option<String>,
    },
    /// Show a contact with the history of tickets
    Show {
        /// One of the contact's addresses
        address: Address,
    },
    /// Change a contact; an empty text empties
    Edit {
        /// One of the contact's addresses
        address: Address,
        #[command(flatten)]
        changes: Changes,
    },
    /// Make two contacts one: ADDRESS's addresses and tickets go to INTO's
    Merge {
        /// One of the contact's addresses
        address: Address,
        /// An address of the contact that stays
        into: Address,
    },
    /// Send copies again to an address that was suspended since mail to it kept failing
    Resume {
        /// One of the contact's addresses
        address: Address,
    },
}

#[derive(Debug, Args)]
pub(super) struct Changes {
    /// The name shown
    #[arg(long)]
    name: Option<String>,
    /// What members should know; never sent to anybody
    #[arg(long)]
    note: Option<String>,
    /// Where the contact works
    #[arg(long)]
    organisation: Option<String>,
}

impl ContactCommand {
    pub(super) fn run(self, desk: &mut Desk<'_>) -> Result<(), Failure> {
        match self {
            Self::List { property, query } => {
                let call = Call::get(&["contacts"]).query("property", property).query("query", query);
                desk.print_all(&call, "contacts", table)
            }
            Self::Show { address } => desk.print(&Call::get(&["contacts", address.as_str()]), show),
            Self::Edit { address, changes } => {
                let Changes { name, note, organisation } = changes;
                let edit = EditContact { name, note, organisation };
                desk.print(&Call::patch(&["contacts", address.as_str()], &change(edit)?), show)
            }
            Self::Merge { address, into } => {
                desk.print(&Call::post(&["contacts", address.as_str(), "merge"], &Merge { into }), show)
            }
            Self::Resume { address } => {
                desk.print(&Call::new(hyper::Method::POST, &["contacts", address.as_str(), "resume"]), show)
            }
        }
    }
}

fn table(list: &Contacts, output: Output) -> String {
    let mut table = Table::new(["ADDRESS", "NAME", "ORGANISATION", "CHANGED"]);
    for contact in &list.contacts {
        table.row([
            contact.addresses.first().map_or_else(|| "-".to_owned(), ToString::to_string),
            contact.name.clone(),
            contact.organisation.clone(),
            when(contact.updated_at, output),
        ]);
    }
    table.render(output, "No contacts. Whoever writes to a property becomes one.")
}

fn show(contact: &Contact, output: Output) -> String {
    let mut facts = Facts::new(output);
    let first = contact.addresses.first().map_or("", Address::as_str);
    facts.title(&super::output::person(&contact.name, first));
    facts.fact("addresses", &list(&contact.addresses));
    if !contact.organisation.is_empty() {
        facts.fact("organisation", &contact.organisation);
    }
    if !contact.note.is_empty() {
        facts.fact("note", &contact.note);
    }
    super::member::suspended(&mut facts, &contact.suspended);
    facts.fact("since", &time(contact.created_at));
    if let Some(tickets) = &contact.tickets {
        facts.text(&format!("\n{}", ticket::rows(tickets, output, "No tickets.")));
    }
    facts.done()
}
