//! `guichet queue`

use clap::Subcommand;
use jiff::Timestamp;

use super::client::Call;
use super::output::{Facts, Output, Table, time, when};
use super::{Desk, Failure, one_of};
use crate::api::types::{Queue, QueuedCopy};
use crate::desk::copy::CopyState;

#[derive(Debug, Subcommand)]
pub(super) enum QueueCommand {
    /// List the copies that wait to be delivered, or those in a state
    List {
        /// Only those in a state
        #[arg(long, value_parser = one_of(CopyState::ALL))]
        state: Option<CopyState>,
    },
    /// Show a copy, with the remote server's own words
    Show { id: String },
    /// Try a copy again now; a failed one too
    Retry { id: String },
    /// Give a copy up
    Cancel { id: String },
}

impl QueueCommand {
    pub(super) fn run(self, desk: &mut Desk<'_>) -> Result<(), Failure> {
        match self {
            Self::List { state } => desk.print_all(&Call::get(&["queue"]).query("state", state), "copies", table),
            Self::Show { id } => desk.print(&Call::get(&["queue", &id]), show),
            Self::Retry { id } => desk.print(&Call::new(hyper::Method::POST, &["queue", &id, "retry"]), show),
            Self::Cancel { id } => desk.print(&Call::new(hyper::Method::POST, &["queue", &id, "cancel"]), show),
        }
    }
}

fn table(list: &Queue, output: Output) -> String {
    let mut table =
        Table::new(["COPY", "TICKET", "TO", "STATE", "TRIES", "NEXT", "REPLY"]).flexible([("REPLY", 20), ("TO", 16)]);
    for copy in &list.copies {
        table.row([
            copy.id.clone(),
            copy.ticket.clone(),
            copy.to.to_string(),
            copy.state.to_string(),
            copy.attempts.to_string(),
            copy.next_at.map_or_else(|| "-".to_owned(), |at| due(at, output)),
            copy.reply.clone().unwrap_or_default(),
        ]);
    }
    table.render(output, "No copies.")
}

/// Ages are for the past, and what is due is due now.
fn due(at: Timestamp, output: Output) -> String {
    if output.width.is_some() && at <= Timestamp::now() { "now".to_owned() } else { when(at, output) }
}

fn show(copy: &QueuedCopy, output: Output) -> String {
    let mut facts = Facts::new(output);
    facts.title(&format!("copy {} of {} to {}", copy.id, copy.ticket, copy.to));
    facts.fact("state", copy.state.as_str());
    facts.fact("tries", &copy.attempts.to_string());
    facts.fact("reply", copy.reply.as_deref().unwrap_or("-"));
    facts.fact("queued", &time(copy.queued_at));
    facts.fact("last change", &time(copy.updated_at));
    facts.fact("next try", &copy.next_at.map_or_else(|| "-".to_owned(), time));
    facts.done()
}
