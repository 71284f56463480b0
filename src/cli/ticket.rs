//! `guichet ticket`

mod show;

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp, Unit};

use super::client::Call;
use super::output::{print, print_json};
use super::{Desk, Failure, one_of, or_none};
use crate::api::types::{AcceptAs, Action, NewAttachment, NewTicket, Tickets};
use crate::desk::address::Address;
use crate::desk::slug::PropertySlug;
use crate::desk::ticket::{Priority, Status, TicketRef};
pub(super) use show::rows;

#[derive(Debug, Subcommand)]
pub(super) enum TicketCommand {
    /// Write to a customer: makes a ticket, its text is read from standard input
    #[command(after_help = "\
Example:
  echo \"Your parcel has left.\" | guichet ticket new acme --to bob@example.org \\
      --subject Parcel --assign shipping

The customer gets the mail, the assignee a copy.
WHO is a member's address, the part before its @ where that names one member, or a
department's slug. Without --assign the author of --as is the assignee.")]
    New(Box<New>),
    /// List tickets, the latest change first
    #[command(after_help = "\
Examples:
  guichet ticket list --property acme --status open --assignee none
  guichet ticket list --held")]
    List(List),
    /// Show a ticket with its whole conversation
    Show {
        /// Its name, as in acme-1042
        reference: TicketRef,
    },
    /// Show who changed what of a ticket, when, and by which door
    Log {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
    },
    #[command(flatten)]
    Act(Verb),
}

/// What is done to one ticket.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Answer everyone on a ticket; the text is read from standard input
    #[command(after_help = "\
Examples:
  echo \"It is on its way.\" | guichet ticket reply acme-1042 --as jane@acme.com --close")]
    Reply {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
        #[command(flatten)]
        text: Text,
        /// Close the ticket with it
        #[arg(long)]
        close: bool,
    },
    /// Write a note for members only; the text is read from standard input
    Note {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
        #[command(flatten)]
        text: Text,
    },
    /// Assign a ticket to a member, a department, or none
    Assign {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
        /// A member's address, a department's slug, or none
        #[arg(value_name = "WHO|none")]
        who: String,
    },
    /// Close a ticket
    Close {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
    },
    /// Open a ticket again
    Open {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
    },
    /// Let a ticket wait for the customer
    Pending {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
    },
    /// Mark a ticket as spam
    Spam {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
    },
    /// Put a ticket into the trash
    Trash {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
    },
    /// Let a ticket wait and open again by itself
    #[command(
        after_help = "Examples:\n  guichet ticket snooze acme-1042 2d\n  guichet ticket snooze acme-1042 2030-01-07T09:00Z"
    )]
    Snooze {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
        /// For how long (30m, 4h, 2d, 1w), or until when (2030-01-07T09:00Z)
        #[arg(value_name = "TIME", value_parser = wake)]
        time: Wake,
    },
    /// Put a tag on a ticket
    Tag {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
        /// One word, as in repair
        tag: String,
    },
    /// Take a tag from a ticket
    Untag {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
        /// One word, as in repair
        tag: String,
    },
    /// Say how soon a ticket wants an answer
    Priority {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
        /// How soon it wants an answer
        #[arg(value_parser = one_of(Priority::ALL))]
        priority: Priority,
    },
    /// Let someone get the public messages of a ticket
    Cc {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
        /// A mail address
        address: Address,
    },
    /// Let someone get the public messages of a ticket no more
    Uncc {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
        /// A mail address
        address: Address,
    },
    /// Let a member get the public messages of a ticket
    Follow {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
        /// A member's address, or the part before its @ where that names one
        member: String,
    },
    /// Let a member get the public messages of a ticket no more
    Unfollow {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
        /// A member's address, or the part before its @ where that names one
        member: String,
    },
    /// Let a held entry through, or make a proposed writer one of the ticket
    Accept {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
        /// The entry's number, as `ticket show` has it
        entry: String,
        /// What its writer becomes: the same person as the requester, or a participant of his own
        #[arg(long = "as", value_parser = one_of(ACCEPT_AS))]
        writer: Option<AcceptAs>,
    },
    /// Turn a held entry down
    Reject {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
        /// The entry's number, as `ticket show` has it
        entry: String,
    },
    /// Make two tickets one: the entries of REFERENCE go to INTO
    Merge {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
        /// The ticket that gets them
        into: TicketRef,
    },
    /// Say whom a ticket is for
    Requester {
        /// The ticket's name, as in acme-1042
        reference: TicketRef,
        /// A mail address
        address: Address,
    },
}

const ACCEPT_AS: &[(&str, AcceptAs)] = &[("same", AcceptAs::Same), ("cc", AcceptAs::Cc)];

#[derive(Debug, Args)]
pub(super) struct New {
    /// The property's slug, whose customer it is
    property: PropertySlug,
    /// The customer
    #[arg(long, value_name = "ADDRESS")]
    to: Address,
    /// The customer's name
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    to_name: String,
    /// The subject of the mail and the ticket
    #[arg(long)]
    subject: String,
    /// Someone else who gets it
    #[arg(long, value_name = "ADDRESS")]
    cc: Vec<Address>,
    /// A member or a department, or none
    #[arg(long, value_name = "WHO")]
    assign: Option<String>,
    /// How soon it wants an answer
    #[arg(long, default_value = "normal", value_parser = one_of(Priority::ALL))]
    priority: Priority,
    /// A tag to put on the ticket
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    #[command(flatten)]
    text: Text,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those of one property
    #[arg(long)]
    property: Option<PropertySlug>,
    /// Only those in a status; without it all but spam and trash
    #[arg(long, value_parser = one_of(Status::ALL))]
    status: Option<Status>,
    /// Only those of a member, a department, or none
    #[arg(long, value_name = "WHO|none")]
    assignee: Option<String>,
    /// Only those with a tag
    #[arg(long)]
    tag: Option<String>,
    /// Only those with this, in any case, in the name, the subject, the requester or the text
    #[arg(long)]
    query: Option<String>,
    /// Only those with an entry that waits for a member's word, or says in vain that it is a member's
    #[arg(long)]
    held: bool,
    /// How many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Go on where a list ended
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
}

/// What a written entry has besides its text.
#[derive(Debug, Args)]
pub(super) struct Text {
    /// A file to send along
    #[arg(long = "attach", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The member who writes; without it, the system
    #[arg(long = "as", value_name = "MEMBER")]
    author: Option<String>,
}

/// When a snoozed ticket wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    After(SignedDuration),
    At(Timestamp),
}

fn wake(text: &str) -> Result<Wake, String> {
    const UNITS: [(char, i64); 4] = [('m', 60), ('h', 3600), ('d', 86_400), ('w', 604_800)];
    let unit = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, seconds)));
    if let Some((number, seconds)) = unit
        && let Ok(number @ 1..) = number.parse::<i64>()
        && let Some(seconds @ ..=315_360_000) = number.checked_mul(*seconds)
    {
        return Ok(Wake::After(SignedDuration::from_secs(seconds)));
    }
    text.parse().map(Wake::At).map_err(|_| "a time like 30m, 4h, 2d, 1w, or 2030-01-07T09:00Z".to_owned())
}

impl TicketCommand {
    pub(super) fn run(self, desk: &mut Desk<'_>) -> Result<(), Failure> {
        match self {
            Self::New(new) => {
                let call = new.call(desk)?;
                desk.print(&call, show::ticket)
            }
            Self::List(list) => list.run(desk),
            Self::Show { reference } => desk.print(&Call::get(&["tickets", &reference.to_string()]), show::ticket),
            Self::Log { reference } => desk.print(&Call::get(&["tickets", &reference.to_string(), "log"]), show::log),
            Self::Act(verb) => {
                let (reference, action, author) = verb.action(desk)?;
                let call = Call::post(&["tickets", &reference.to_string(), "actions"], &action).query("as", author);
                desk.print(&call, show::ticket)
            }
        }
    }
}

impl Verb {
    /// The ticket, the request's body, and who does it.
    fn action(self, desk: &Desk<'_>) -> Result<(TicketRef, Action, Option<String>), Failure> {
        let status = |reference, status| (reference, Action::Status { status });
        let (reference, action) = match self {
            Self::Reply { reference, text, close } => {
                let (body, attachments, author) = text.read(desk)?;
                return Ok((reference, Action::Reply { text: body, attachments, close }, author));
            }
            Self::Note { reference, text } => {
                let (body, attachments, author) = text.read(desk)?;
                return Ok((reference, Action::Note { text: body, attachments }, author));
            }
            Self::Assign { reference, who } => (reference, Action::Assign { to: or_none(who) }),
            Self::Close { reference } => status(reference, Status::Closed),
            Self::Open { reference } => status(reference, Status::Open),
            Self::Pending { reference } => status(reference, Status::Pending),
            Self::Spam { reference } => status(reference, Status::Spam),
            Self::Trash { reference } => status(reference, Status::Trash),
            Self::Snooze { reference, time } => {
                let until = match time {
                    Wake::At(until) => until,
                    Wake::After(time) => Timestamp::now()
                        .checked_add(time)
                        .and_then(|until| until.round(Unit::Second))
                        .map_err(|_| Failure::Usage("that is beyond the end of the calendar".to_owned()))?,
                };
                (reference, Action::Snooze { until })
            }
            Self::Tag { reference, tag } => (reference, Action::Tag { tag }),
            Self::Untag { reference, tag } => (reference, Action::Untag { tag }),
            Self::Priority { reference, priority } => (reference, Action::Priority { priority }),
            Self::Cc { reference, address } => (reference, Action::Cc { address }),
            Self::Uncc { reference, address } => (reference, Action::Uncc { address }),
            Self::Follow { reference, member } => (reference, Action::Follow { member }),
            Self::Unfollow { reference, member } => (reference, Action::Unfollow { member }),
            Self::Accept { reference, entry, writer } => (reference, Action::Accept { entry, writer }),
            Self::Reject { reference, entry } => (reference, Action::Reject { entry }),
            Self::Merge { reference, into } => (reference, Action::Merge { into: into.to_string() }),
            Self::Requester { reference, address } => (reference, Action::Requester { address }),
        };
        Ok((reference, action, None))
    }
}

impl New {
    fn call(self, desk: &Desk<'_>) -> Result<Call, Failure> {
        let (text, attachments, author) = self.text.read(desk)?;
        let new = NewTicket {
            property: self.property,
            to: self.to,
            to_name: self.to_name,
            subject: self.subject,
            cc: self.cc,
            assign: self.assign,
            priority: self.priority,
            tags: self.tags,
            text,
            attachments,
        };
        Ok(Call::post(&["tickets"], &new).query("as", author))
    }
}

impl List {
    /// Asks until there are as many as wanted: one request looks at so many tickets and no more.
    fn run(self, desk: &mut Desk<'_>) -> Result<(), Failure> {
        let wanted = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut whole = Tickets { tickets: Vec::new(), next: self.after.clone() };
        loop {
            let call = self.call(wanted - whole.tickets.len(), whole.next.take());
            let (page, _) = desk.client.ask::<Tickets>(&call)?;
            whole.tickets.extend(page.tickets);
            whole.next = page.next;
            if whole.next.is_none() || whole.tickets.len() >= wanted {
                break;
            }
        }
        if desk.output.json {
            return print_json(&serde_json::to_value(&whole).expect("texts, numbers and lists"));
        }
        print(&show::page(&whole, desk.output))
    }

    fn call(&self, limit: usize, after: Option<String>) -> Call {
        Call::get(&["tickets"])
            .query("property", self.property.as_ref())
            .query("status", self.status)
            .query("assignee", self.assignee.as_ref())
            .query("tag", self.tag.as_ref())
            .query("query", self.query.as_ref())
            .query("held", self.held.then_some(true))
            .query("limit", Some(limit))
            .query("after", after)
    }
}

impl Text {
    /// The text from standard input, the files and the author.
    fn read(self, desk: &Desk<'_>) -> Result<(String, Vec<NewAttachment>, Option<String>), Failure> {
        let limits = &desk.config.limits;
        if self.files.len() > limits.attachments {
            return Err(Failure::Usage(format!("at most {} attachments (limits.attachments)", limits.attachments)));
        }
        let mut attachments = Vec::with_capacity(self.files.len());
        let mut left = limits.request_size;
        for file in &self.files {
            let attachment = attach(file, left)?;
            left -= u64::try_from(attachment.data.len()).unwrap_or(left).min(left);
            attachments.push(attachment);
        }
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            super::output::say("Write the text; Ctrl-D on an empty line ends it.");
        }
        let mut bytes = Vec::new();
        let read = stdin.lock().take(left + 1).read_to_end(&mut bytes);
        let read = read.map_err(|error| anyhow::anyhow!("cannot read the text: {error}"))?;
        if u64::try_from(read).is_ok_and(|read| read > left) {
            return Err(too_large());
        }
        let text = String::from_utf8(bytes).map_err(|_| Failure::Usage("the text must be in UTF-8".to_owned()))?;
        if text.trim().is_empty() && attachments.is_empty() {
            return Err(Failure::Usage("the text on standard input is empty".to_owned()));
        }
        Ok((text, attachments, self.author))
    }
}

fn attach(file: &Path, most: u64) -> Result<NewAttachment, Failure> {
    let unreadable = |error: std::io::Error| Failure::Other(anyhow::anyhow!("{}: {error}", file.display()));
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    // Base64 makes four octets of three.
    let most = most / 4 * 3;
    let read = opened.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(read).is_ok_and(|read| read > most) {
        return Err(too_large());
    }
    let name = file.file_name().map_or_else(|| "attachment".to_owned(), |name| name.to_string_lossy().into_owned());
    let content_type = content_type(&name).to_owned();
    Ok(NewAttachment { name, content_type, data: data_encoding::BASE64.encode(&bytes) })
}

fn too_large() -> Failure {
    Failure::Usage("text and attachments are larger than limits.request_size allows".to_owned())
}

/// By the name's ending; `application/octet-stream` says nothing wrong of any file.
fn content_type(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or(String::new(), |(_, ending)| ending.to_ascii_lowercase());
    match ending.as_str() {
        "txt" | "log" => "text/plain",
        "html" | "htm" => "text/html",
        "csv" => "text/csv",
        "ics" => "text/calendar",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "json" => "application/json",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "odt" => "application/vnd.oasis.opendocument.text",
        "ods" => "application/vnd.oasis.opendocument.spreadsheet",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::super::{Cli, Command, output::Output};
    use super::*;
    use crate::config::Config;

    fn command(line: &str) -> TicketCommand {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{error}"));
        let Command::Ticket(command) = cli.command else { panic!("{line}") };
        command
    }

    #[test]
    fn every_verb_makes_its_action() {
        let text =
            "hostname = \"a.example\"\ndomains = [\"a.example\"]\npostmaster = \"acme\"\nrelay.mode = \"capture\"";
        let config = Config::parse(text, Path::new("guichet.toml")).unwrap();
        let house = super::super::tests_house();
        let desk = Desk::new(&config, house, Output { json: false, width: None, colour: false }).unwrap();
        for (line, body) in [
            ("assign acme-1 alice", json!({ "action": "assign", "to": "alice" })),
            ("assign acme-1 none", json!({ "action": "assign", "to": null })),
            ("close acme-1", json!({ "action": "status", "status": "closed" })),
            ("open acme-1", json!({ "action": "status", "status": "open" })),
            ("pending acme-1", json!({ "action": "status", "status": "pending" })),
            ("spam acme-1", json!({ "action": "status", "status": "spam" })),
            ("trash acme-1", json!({ "action": "status", "status": "trash" })),
            ("snooze acme-1 2030-01-07T09:00Z", json!({ "action": "snooze", "until": "2030-01-07T09:00:00Z" })),
            ("tag acme-1 vip", json!({ "action": "tag", "tag": "vip" })),
            ("untag acme-1 vip", json!({ "action": "untag", "tag": "vip" })),
            ("priority acme-1 high", json!({ "action": "priority", "priority": "high" })),
            ("cc acme-1 a@b.example", json!({ "action": "cc", "address": "a@b.example" })),
            ("uncc acme-1 a@b.example", json!({ "action": "uncc", "address": "a@b.example" })),
            ("follow acme-1 bob", json!({ "action": "follow", "member": "bob" })),
            ("unfollow acme-1 bob", json!({ "action": "unfollow", "member": "bob" })),
            ("accept acme-1 7", json!({ "action": "accept", "entry": "7", "as": null })),
            ("accept acme-1 7 --as same", json!({ "action": "accept", "entry": "7", "as": "same" })),
            ("reject acme-1 7", json!({ "action": "reject", "entry": "7" })),
            ("merge acme-1 acme-2", json!({ "action": "merge", "into": "acme-2" })),
            ("requester acme-1 a@b.example", json!({ "action": "requester", "address": "a@b.example" })),
        ] {
            let TicketCommand::Act(verb) = command(&format!("guichet ticket {line}")) else { panic!("{line}") };
            let (reference, action, author) = verb.action(&desk).unwrap();
            assert_eq!((reference.to_string().as_str(), author), ("acme-1", None), "{line}");
            assert_eq!(serde_json::to_value(action).unwrap(), body, "{line}");
        }
    }

    #[test]
    fn lists_ask_for_what_they_were_told() {
        let TicketCommand::List(list) = command("guichet ticket list --status open --assignee none --held --after x/y")
        else {
            panic!("a list")
        };
        assert_eq!(
            list.call(50, list.after.clone()).target,
            "/tickets?status=open&assignee=none&held=true&limit=50&after=x%2Fy"
        );
    }

    #[test]
    fn times_to_sleep() {
        assert_eq!(wake("2d"), Ok(Wake::After(SignedDuration::from_hours(48))));
        assert_eq!(wake("1w"), Ok(Wake::After(SignedDuration::from_hours(168))));
        assert!(matches!(wake("2030-01-07T09:00:00+01:00"), Ok(Wake::At(_))));
        for bad in ["", "d", "0d", "-1d", "2", "2 days", "9999w", "9223372036854775807w", "tomorrow"] {
            assert!(wake(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_wrong_usage() {
        for line in
            ["show acme", "priority acme-1 highest", "list --limit 0", "list --status done", "accept acme-1 7 --as x"]
        {
            let line = format!("guichet ticket {line}");
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn files_become_attachments() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("Invoice.PDF");
        std::fs::write(&file, b"%PDF").unwrap();
        let attachment = attach(&file, 1000).unwrap();
        assert_eq!((attachment.name.as_str(), attachment.content_type.as_str()), ("Invoice.PDF", "application/pdf"));
        assert_eq!(attachment.data, "JVBERg==");
        assert_eq!(attach(&file, 4).unwrap_err().exit(), 2);
        assert_eq!(attach(&folder.path().join("none"), 1000).unwrap_err().exit(), 1);
    }
}
