//! `guichet queue`

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use hyper::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::client::Call;
use super::output::{Facts, Output, Table, print, print_json, time, when};
use super::{Desk, Failure, one_of};
use crate::actions::queue::Verb;
use crate::api::types::{Outage, Queue, QueueAction, QueueDone, QueueSummary, QueuedCopy};
use crate::desk::copy::CopyState;
use crate::desk::ticket::TicketRef;

#[derive(Debug, Subcommand)]
pub(super) enum QueueCommand {
    /// List the copies that wait to be delivered, or those in a state
    #[command(after_help = "\
Examples:
  guichet queue list --state deferred --older-than 2h
  guichet queue list --destination example.com

A copy is queued until it was offered, then sent, deferred (tried again by itself), or failed;
cancelled where it is not wanted any more, held while a person keeps it back. Without --state:
what is queued, deferred or held. AGE is since it was queued; LAST WORDS are those of the server
that it was offered to, or why its destination is left alone.")]
    List(List),
    /// Count the copies that wait by destination, and tell which destinations are down
    Summary,
    /// Show a copy, with each attempt and the remote server's own words
    Show {
        /// The copy's number, as `queue list` has it
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
    /// Keep copies back until they are released
    #[command(after_help = EXAMPLE)]
    Hold(Which),
    /// Let held copies go; the time for which they are tried begins anew
    #[command(after_help = EXAMPLE)]
    Release(Which),
    /// Try copies again now; one that failed too, if it is named
    ///
    /// A destination that was down is asked at once.
    #[command(after_help = EXAMPLE)]
    Retry(Which),
    /// Give copies up
    #[command(after_help = EXAMPLE)]
    Cancel(Which),
}

const EXAMPLE: &str = "\
Examples:
  guichet queue hold 1042
  guichet queue hold --destination example.com
  guichet queue release --all

Copies that are queued afterwards go their way. Each ticket concerned gets an event.";

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those in a state
    #[arg(long, value_parser = one_of(CopyState::ALL))]
    state: Option<CopyState>,
    /// Only those to recipients of a domain
    #[arg(long, value_name = "DOMAIN")]
    destination: Option<String>,
    /// Only those of a ticket
    #[arg(long, value_name = "REF")]
    ticket: Option<TicketRef>,
    /// Only those that were queued so long ago or longer (30m, 4h, 2d)
    #[arg(long, value_name = "TIME", value_parser = age)]
    older_than: Option<SignedDuration>,
    /// How many at most; without it, all
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Go on where a list ended
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
}

/// Which copies something is done to.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Which {
    /// The copy's number, as `queue list` has it
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: Option<String>,
    /// All those of a ticket
    #[arg(long, value_name = "REF")]
    ticket: Option<TicketRef>,
    /// All those to recipients of a domain
    #[arg(long, value_name = "DOMAIN")]
    destination: Option<String>,
    /// All there are
    #[arg(long)]
    all: bool,
}

fn age(text: &str) -> Result<SignedDuration, String> {
    let wrong = || "a time like 30m, 4h, 2d or 1w".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(wrong()),
    };
    let number = number.parse::<u32>().map_err(|_| wrong())?;
    Ok(SignedDuration::from_secs(i64::from(number) * seconds))
}

impl QueueCommand {
    pub(super) fn run(self, desk: &mut Desk<'_>) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(desk),
            Self::Summary => desk.print(&Call::get(&["queue", "summary"]), summary),
            Self::Show { id } => desk.print(&Call::get(&["queue", &id]), show),
            Self::Hold(which) => which.act(Verb::Hold, desk),
            Self::Release(which) => which.act(Verb::Release, desk),
            Self::Retry(which) => which.act(Verb::Retry, desk),
            Self::Cancel(which) => which.act(Verb::Cancel, desk),
        }
    }
}

impl List {
    /// Asks until there are as many as wanted: one request looks at so many copies and no more.
    fn run(self, desk: &mut Desk<'_>) -> Result<(), Failure> {
        let wanted = self.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let before = self.older_than.map(|age| Timestamp::now().saturating_sub(age).unwrap_or(Timestamp::MIN));
        let mut whole = Queue { copies: Vec::new(), next: self.after.clone() };
        loop {
            let call = Call::get(&["queue"])
                .query("state", self.state)
                .query("destination", self.destination.as_ref())
                .query("ticket", self.ticket.as_ref())
                .query("before", before)
                .query("limit", Some((wanted - whole.copies.len()).min(500)))
                .query("after", whole.next.take());
            let (page, _) = desk.client.ask::<Queue>(&call)?;
            whole.copies.extend(page.copies);
            whole.next = page.next;
            if whole.next.is_none() || whole.copies.len() >= wanted {
                break;
            }
        }
        if desk.output.json {
            return print_json(&serde_json::to_value(&whole).expect("texts, numbers and lists"));
        }
        print(&table(&whole, desk.output))
    }
}

impl Which {
    fn act(self, verb: Verb, desk: &mut Desk<'_>) -> Result<(), Failure> {
        if let Some(id) = self.id {
            return desk.print(&Call::new(Method::POST, &["queue", &id, verb.as_str()]), show);
        }
        let mut action = QueueAction {
            action: verb.to_string(),
            ticket: self.ticket.map(|ticket| ticket.to_string()),
            destination: self.destination,
            all: self.all,
            after: None,
        };
        let mut done = 0;
        loop {
            let (some, _) = desk.client.ask::<QueueDone>(&Call::post(&["queue", "actions"], &action))?;
            done += some.done;
            action.after = some.next;
            if action.after.is_none() {
                break;
            }
        }
        if desk.output.json {
            return print_json(&json!({ "done": done }));
        }
        let copies = if done == 1 { "copy" } else { "copies" };
        print(&format!("{done} {copies} {}\n", verb.done()))
    }
}

fn table(list: &Queue, output: Output) -> String {
    let mut table =
        Table::new(["COPY", "STATE", "DESTINATION", "TICKET", "READER", "AGE", "TRIES", "NEXT", "LAST WORDS"])
            .flexible([("LAST WORDS", 20), ("READER", 16), ("DESTINATION", 12)]);
    for copy in &list.copies {
        table.row([
            copy.id.clone(),
            copy.state.to_string(),
            copy.destination.clone(),
            copy.ticket.clone(),
            copy.to.to_string(),
            when(copy.queued_at, output),
            copy.attempts.to_string(),
            next(copy).map_or_else(|| "-".to_owned(), |at| due(at, output)),
            words(copy),
        ]);
    }
    let mut text = table.render(output, "No copies.");
    if let Some(next) = &list.next {
        text.push_str(&output.dim(&format!("More: --after {next}")));
        text.push('\n');
    }
    text
}

fn summary(summary: &QueueSummary, output: Output) -> String {
    let mut text = String::new();
    if let Some(outage) = &summary.outage {
        text.push_str(&output.style("31", &super::output::clean_line(&format!("The way out is {}", down(outage)))));
        text.push_str("\n\n");
    }
    let mut table = Table::new(["DESTINATION", "QUEUED", "DEFERRED", "HELD", "OLDEST", "DOWN"])
        .flexible([("DOWN", 20), ("DESTINATION", 16)]);
    for entry in &summary.destinations {
        // What is said once is not said of each.
        let outage = entry.outage.as_ref().filter(|_| summary.outage.is_none());
        table.row([
            entry.destination.clone(),
            entry.queued.to_string(),
            entry.deferred.to_string(),
            entry.held.to_string(),
            when(entry.oldest_at, output),
            outage.map_or_else(|| "-".to_owned(), down),
        ]);
    }
    text.push_str(&table.render(output, "No copies wait."));
    if summary.more > 0 {
        text.push_str(&output.dim(&format!("And {} more destinations.", summary.more)));
        text.push('\n');
    }
    text
}

fn down(outage: &Outage) -> String {
    format!("down since {}, tried at {}: {}", time(outage.since), time(outage.until), outage.words)
}

/// When it is offered next: not before its destination is.
fn next(copy: &QueuedCopy) -> Option<Timestamp> {
    let outage = copy.outage.as_ref().map(|outage| outage.until);
    copy.next_at.map(|at| outage.map_or(at, |until| until.max(at)))
}

/// The last words to a copy, or, where it was never offered, to its destination.
fn words(copy: &QueuedCopy) -> String {
    match (&copy.reply, &copy.server, &copy.outage) {
        (Some(reply), Some(server), _) => format!("{reply} ({server})"),
        (Some(reply), None, _) => reply.clone(),
        (None, _, Some(outage)) => outage.words.clone(),
        (None, _, None) => String::new(),
    }
}

/// Ages are for the past, and what is due is due now.
fn due(at: Timestamp, output: Output) -> String {
    if output.width.is_some() && at <= Timestamp::now() { "now".to_owned() } else { when(at, output) }
}

fn show(copy: &QueuedCopy, output: Output) -> String {
    let mut facts = Facts::new(output);
    facts.title(&format!("copy {} of {} to {}", copy.id, copy.ticket, copy.to));
    facts.fact("state", copy.state.as_str());
    facts.fact("destination", &copy.destination);
    if let Some(outage) = &copy.outage {
        facts.fact("", &down(outage));
    }
    facts.fact("entry", &copy.entry);
    facts.fact("tries", &copy.attempts.to_string());
    facts.fact("last words", Some(words(copy)).filter(|words| !words.is_empty()).as_deref().unwrap_or("-"));
    facts.fact("queued", &time(copy.queued_at));
    facts.fact("last change", &time(copy.updated_at));
    facts.fact("next try", &next(copy).map_or_else(|| "-".to_owned(), time));
    let mut expected = 1;
    for tried in copy.tries.iter().flatten() {
        if tried.number > expected {
            facts.fact("", &format!("… {} more", tried.number - expected));
        }
        expected = tried.number + 1;
        let server = tried.server.as_ref().map(|server| format!("{server} ")).unwrap_or_default();
        let line = format!("{}  {server}{}: {}", time(tried.at), tried.outcome, tried.reply);
        facts.fact(&format!("try {}", tried.number), &line);
    }
    facts.done()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Cli, Command};
    use super::*;

    fn command(line: &str) -> Result<QueueCommand, clap::Error> {
        let cli = Cli::try_parse_from(format!("guichet queue {line}").split(' '))?;
        let Command::Queue(command) = cli.command else { panic!("{line}") };
        Ok(command)
    }

    #[test]
    fn a_verb_wants_to_know_which_copies_and_says_so() {
        for line in ["hold 7", "release --all", "retry --destination example.com", "cancel --ticket acme-7"] {
            assert!(command(line).is_ok(), "{line}");
        }
        for line in ["hold", "release 7 --all", "retry --all --ticket acme-7", "cancel --ticket seven", "hold 7 8"] {
            assert!(command(line).is_err(), "{line}");
        }
    }

    #[test]
    fn ages_are_times() {
        assert_eq!(age("2h"), Ok(SignedDuration::from_hours(2)));
        assert_eq!(age("1w"), Ok(SignedDuration::from_hours(168)));
        for bad in ["", "h", "2", "2 h", "-2h", "2y", "é", "99999999999h"] {
            assert!(age(bad).is_err(), "{bad}");
        }
    }
}
