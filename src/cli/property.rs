//! `guichet property`

use std::collections::BTreeMap;
use std::io::Read;

use clap::{Args, Subcommand};

use super::client::Call;
use super::output::{Output, Table, list, print, time};
use super::{Desk, Failure, ON_OFF, change, one_of, or_none};
use crate::api::types::{Confirmation, Dns, EditProperty, NewProperty, Properties, Property, Removed};
use crate::desk::address::Address;
use crate::desk::command::Allowed;
use crate::desk::forwarder::Forwarder;
use crate::desk::language::Language;
use crate::desk::sender::Sender;
use crate::desk::slug::PropertySlug;
use crate::desk::ticket::Status;

#[derive(Debug, Subcommand)]
pub(super) enum PropertyCommand {
    /// Add a property
    #[command(after_help = "\
Example:
  guichet property add acme --name \"Acme Support\" --public support@acme.com

Its forwarding address is acme@ the first of the domains; `property show` tells how to use it.")]
    Add {
        /// Its short name in addresses and ticket numbers: up to 20 of a-z, 0-9 and -
        slug: PropertySlug,
        /// What readers see as the sender's house
        #[arg(long)]
        name: String,
        /// A further address in the local domains that it takes mail at
        #[arg(long = "address", value_name = "ADDRESS")]
        addresses: Vec<Address>,
        /// The well-known address that forwards to it
        #[arg(long, value_name = "ADDRESS")]
        public: Option<Address>,
        /// The language of what the desk itself writes
        #[arg(long, default_value = "en", value_parser = one_of(Language::ALL))]
        language: Language,
    },
    /// List the properties
    List,
    /// Show a property, and how mail is forwarded to it
    Show {
        /// The property's slug
        slug: PropertySlug,
    },
    /// Change a property
    #[command(after_help = "\
Example:
  guichet property edit acme --acknowledge on --acknowledgement fr=merci.txt

A text for acknowledgements is plain; {ticket} in it stands for the ticket's number. It goes to the
writer of a new ticket, at most once a day, in the language of the mail.")]
    Edit {
        /// The property's slug
        slug: PropertySlug,
        #[command(flatten)]
        changes: Box<Changes>,
    },
    /// Believe Reply-To in mail from an address: a web form, or a group in front of the property
    #[command(after_help = "\
Example:
  guichet property trust acme forms@acme.com

Mail that bears this address in From and proves its domain is taken as its Reply-To's.")]
    Trust {
        /// The property's slug
        slug: PropertySlug,
        /// The address in From
        address: Address,
        /// Believe it no more
        #[arg(long)]
        remove: bool,
    },
    /// Refuse mail from an address, or from a domain and all below it
    #[command(after_help = "\
Examples:
  guichet property block acme spammer@example.net
  guichet property block acme example.net

Neither a reply address nor a known conversation helps a blocked sender; members are never blocked.")]
    Block {
        /// The property's slug
        slug: PropertySlug,
        /// An address, or a domain and all below it
        sender: Sender,
    },
    /// Take mail from a blocked sender again
    Unblock {
        /// The property's slug
        slug: PropertySlug,
        /// An address, or a domain and all below it
        sender: Sender,
    },
    /// Let mail from an address or a domain in whatever the spam filter and blocklists say
    ///
    /// Only while SPF or DKIM proves the domain in From: anybody can write it there.
    Allow {
        /// The property's slug
        slug: PropertySlug,
        /// An address, or a domain and all below it
        sender: Sender,
    },
    /// Ask the spam filter and blocklists about a sender again
    Disallow {
        /// The property's slug
        slug: PropertySlug,
        /// An address, or a domain and all below it
        sender: Sender,
    },
    /// Remove a property: it takes no more mail and keeps its tickets
    Remove {
        /// The property's slug
        slug: PropertySlug,
    },
}

#[derive(Debug, Args)]
pub(super) struct Changes {
    /// What readers see as the sender's house
    #[arg(long)]
    name: Option<String>,
    /// One more address that it takes mail at
    #[arg(long = "address", value_name = "ADDRESS")]
    addresses: Vec<Address>,
    /// An address that it takes mail at no more
    #[arg(long = "remove-address", value_name = "ADDRESS")]
    remove_addresses: Vec<Address>,
    /// The well-known address that forwards to it, or none
    #[arg(long, value_name = "ADDRESS|none")]
    public: Option<String>,
    /// The language of what the desk itself writes
    #[arg(long, value_parser = one_of(Language::ALL))]
    language: Option<Language>,
    /// Who gets a ticket that nobody was assigned: a member, a department, or none
    #[arg(long, value_name = "WHO|none")]
    default_assignee: Option<String>,
    /// What a member's public reply makes of a ticket
    #[arg(long, value_parser = one_of(AFTER_REPLY))]
    after_reply: Option<Status>,
    /// Days after which a pending ticket closes by itself, or off
    #[arg(long, value_name = "DAYS|off", value_parser = days)]
    auto_close: Option<Days>,
    /// Believe what this forwarder says of SPF and DKIM: a provider (gmail.com), or your own server
    #[arg(long = "forwarder", value_name = "DOMAIN")]
    forwarders: Vec<Forwarder>,
    /// Believe this forwarder no more
    #[arg(long = "remove-forwarder", value_name = "DOMAIN")]
    remove_forwarders: Vec<Forwarder>,
    /// A member must use his reply address; a From that proves its domain is not enough
    #[arg(long, conflicts_with = "no_strict")]
    strict: bool,
    /// A member's From that proves its domain is enough
    #[arg(long)]
    no_strict: bool,
    /// Whether the writer of a new ticket is told that it has arrived
    #[arg(long, value_parser = one_of(ON_OFF))]
    acknowledge: Option<bool>,
    /// The text of that in one language, from a file; `-` is standard input
    #[arg(long = "acknowledgement", value_name = "LANGUAGE=FILE", value_parser = text_of)]
    acknowledgements: Vec<(Language, String)>,
    /// A language in which the text is the desk's own again
    #[arg(long = "remove-acknowledgement", value_name = "LANGUAGE", value_parser = one_of(Language::ALL))]
    remove_acknowledgements: Vec<Language>,
    /// The commands that members may give by mail: all, none, or some, as in close,tag,note
    #[arg(long, value_name = "all|none|NAMES")]
    commands: Option<Allowed>,
}

const AFTER_REPLY: &[(&str, Status)] =
    &[("pending", Status::Pending), ("open", Status::Open), ("closed", Status::Closed)];

/// The most octets of a text that is read from a file.
const LONGEST_TEXT: u64 = 64 * 1024;

/// `fr=merci.txt`
fn text_of(text: &str) -> Result<(Language, String), String> {
    let (language, file) = text.split_once('=').ok_or("a language and a file, such as fr=merci.txt")?;
    if file.is_empty() {
        return Err("a file after the =, or - for standard input".to_owned());
    }
    Ok((language.parse()?, file.to_owned()))
}

fn read_text(file: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file == "-" {
        std::io::stdin().lock().take(LONGEST_TEXT).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(LONGEST_TEXT).read_to_string(&mut text))
    };
    read.map_err(|error| anyhow::anyhow!("{file}: {error}"))?;
    Ok(text)
}

#[derive(Clone, Copy, Debug)]
struct Days(Option<u16>);

fn days(text: &str) -> Result<Days, String> {
    match text.parse() {
        _ if text == "off" => Ok(Days(None)),
        Ok(days @ 1..=3650) => Ok(Days(Some(days))),
        _ => Err("a number of days from 1 to 3650, or off".to_owned()),
    }
}

impl PropertyCommand {
    pub(super) fn run(self, desk: &mut Desk<'_>) -> Result<(), Failure> {
        let (list, remove) = (matches!(self, Self::List), matches!(self, Self::Remove { .. }));
        let whole = matches!(self, Self::Show { .. });
        let call = self.call()?;
        if list {
            desk.print_all(&call, "properties", table)
        } else if remove {
            desk.print(&call, |removed: &Removed, _| format!("Removed {}.\n", removed.removed))
        } else {
            desk.print(&call, show)?;
            if whole && !desk.output.json { to_publish(&call, desk) } else { Ok(()) }
        }
    }

    fn call(self) -> Result<Call, Failure> {
        Ok(match self {
            Self::Add { slug, name, addresses, public, language } => {
                Call::post(&["properties"], &NewProperty { slug, name, addresses, public, language })
            }
            Self::Edit { slug, changes } => Call::patch(&["properties", slug.as_str()], &change(changes.edit()?)?),
            Self::Trust { slug, address, remove } => {
                let (trust, distrust) = if remove { (vec![], vec![address]) } else { (vec![address], vec![]) };
                edit(&slug, &EditProperty { trust, distrust, ..EditProperty::default() })
            }
            Self::Block { slug, sender } => {
                edit(&slug, &EditProperty { block: vec![sender], ..EditProperty::default() })
            }
            Self::Unblock { slug, sender } => {
                edit(&slug, &EditProperty { unblock: vec![sender], ..EditProperty::default() })
            }
            Self::Allow { slug, sender } => {
                edit(&slug, &EditProperty { allow: vec![sender], ..EditProperty::default() })
            }
            Self::Disallow { slug, sender } => {
                edit(&slug, &EditProperty { disallow: vec![sender], ..EditProperty::default() })
            }
            Self::Show { slug } => Call::get(&["properties", slug.as_str()]),
            Self::Remove { slug } => Call::delete(&["properties", slug.as_str()]),
            Self::List => Call::get(&["properties"]),
        })
    }
}

/// The records that let contacts see the public address, while they don't.
fn to_publish(call: &Call, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let (property, _) = desk.client.ask::<Property>(call)?;
    let Some(public) = property.public.filter(|_| !property.public_verified) else { return Ok(()) };
    let call = Call::get(&["dns"]).query("domain", Some(public.domain()));
    let (mut dns, _) = desk.client.ask::<Dns>(&call)?;
    dns.records.retain(|record| record.name.contains("._domainkey."));
    print(&format!(
        "\nContacts see {public} in From once these records are published; that is looked for hourly, and\nat once with `guichet dns --check`:\n\n{}",
        super::dns::table(&dns, desk.output)
    ))
}

fn edit(slug: &PropertySlug, edit: &EditProperty) -> Call {
    Call::patch(&["properties", slug.as_str()], edit)
}

impl Changes {
    fn edit(self) -> Result<EditProperty, Failure> {
        let public = self.public.map(|public| match or_none(public) {
            None => Ok(None),
            Some(public) => match public.parse() {
                Ok(address) => Ok(Some(address)),
                Err(error) => Err(Failure::Usage(format!("--public {public}: {error}"))),
            },
        });
        let mut acknowledgements: BTreeMap<_, _> =
            self.remove_acknowledgements.into_iter().map(|language| (language, None)).collect();
        for (language, file) in self.acknowledgements {
            acknowledgements.insert(language, Some(read_text(&file)?));
        }
        Ok(EditProperty {
            name: self.name,
            add_addresses: self.addresses,
            remove_addresses: self.remove_addresses,
            public: public.transpose()?,
            language: self.language,
            default_assignee: self.default_assignee.map(or_none),
            after_reply: self.after_reply,
            auto_close_days: self.auto_close.map(|days| days.0),
            strict: (self.strict || self.no_strict).then_some(self.strict),
            acknowledge: self.acknowledge,
            acknowledgements,
            commands: self.commands,
            add_forwarders: self.forwarders,
            remove_forwarders: self.remove_forwarders,
            ..EditProperty::default()
        })
    }
}

fn table(list: &Properties, output: Output) -> String {
    let mut table = Table::new(["PROPERTY", "NAME", "LANGUAGE", "FORWARDING ADDRESS", "PUBLIC ADDRESS"]);
    for property in &list.properties {
        table.row([
            property.slug.to_string(),
            property.name.clone(),
            property.language.to_string(),
            property.forwarding_address.to_string(),
            property.public.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
        ]);
    }
    table.render(output, "No properties. `guichet property add` makes one.")
}

fn show(property: &Property, output: Output) -> String {
    let mut facts = super::output::Facts::new(output);
    facts.title(&format!("{}  {}", property.slug, property.name));
    facts.fact("forwarding", &property.forwarding_address.to_string());
    facts.fact("takes mail at", &list(&property.addresses));
    if let Some(public) = &property.public {
        facts.fact("public", &format!("{public} ({})", in_from(property)));
    }
    facts.fact("language", &property.language.to_string());
    let assignee = property.default_assignee.as_ref();
    facts
        .fact("assigned to", &assignee.map_or_else(|| "nobody, all members are told".to_owned(), |to| to.name.clone()));
    facts.fact("after a reply", property.after_reply.as_str());
    facts.fact(
        "closes itself",
        &property.auto_close_days.map_or_else(|| "never".to_owned(), |days| format!("pending for {days} days")),
    );
    facts.fact("commands", &property.commands.to_string());
    facts.fact("strict", if property.strict { "yes: members use their reply address" } else { "no" });
    facts.fact("acknowledges", if property.acknowledge { "yes: the writer of a new ticket is told" } else { "no" });
    for (language, text) in &property.acknowledgements {
        facts.fact(&format!("in {language}"), &first_line(text));
    }
    if !property.trusted.is_empty() {
        facts.fact("trusts", &list(&property.trusted));
    }
    if !property.forwarders.is_empty() {
        facts.fact("forwarders", &list(&property.forwarders));
    }
    for asked in &property.forwarding_confirmations {
        facts.fact("to confirm", &confirmation(asked));
    }
    for (name, senders) in [("blocked", &property.blocked), ("always let in", &property.allowed)] {
        if !senders.is_empty() {
            facts.fact(name, &list(senders));
        }
    }
    let support = property.public.as_ref().map_or("your support address".to_owned(), ToString::to_string);
    facts.text(&how_to_forward(&support, property.forwarding_address.as_str()));
    facts.done()
}

/// Whether contacts see the public address, and what would change that.
fn in_from(property: &Property) -> String {
    match (property.public_verified, property.public_missing_since) {
        (true, None) => "contacts see it in From".to_owned(),
        (true, Some(since)) => format!("contacts see it in From, but its DKIM record is missing since {}", time(since)),
        (false, None) => "not yet seen by contacts".to_owned(),
        (false, Some(since)) => {
            format!("not seen by contacts: its DKIM record is missing, looked for since {}", time(since))
        }
    }
}

/// How a text begins.
fn first_line(text: &str) -> String {
    let mut lines = text.trim().lines();
    let first = lines.next().unwrap_or_default().to_owned();
    if lines.next().is_some() { format!("{first} …") } else { first }
}

/// What a provider asked, on one line.
fn confirmation(asked: &Confirmation) -> String {
    let mailbox = asked.mailbox.as_ref().map_or_else(|| "a mailbox".to_owned(), ToString::to_string);
    let code = asked.code.as_ref().map(|code| format!(", code {code}")).unwrap_or_default();
    let link = asked.link.as_ref().map(|link| format!(", {link}")).unwrap_or_default();
    format!(
        "{} on {}: forwarding from {mailbox}{code}{link} ({})",
        asked.provider.label(),
        time(asked.at),
        asked.ticket
    )
}

fn how_to_forward(support: &str, forwarding: &str) -> String {
    format!(
        "
How to use it: let {support} forward everything to {forwarding}.
  Gmail          Settings, Forwarding: add the address. What to confirm it with is mailed to the
                 admins, and shown here.
  Microsoft 365  Exchange admin centre, the mailbox, Mail flow: forward to the address; the outbound
                 spam policy must allow automatic forwarding.
  Sieve          redirect \"{forwarding}\";
The mail must come on as it is, with its sender: redirected, not sent anew as an attachment.
"
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::super::{Cli, Command};
    use super::*;

    fn call(line: &str) -> Call {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{error}"));
        let Command::Property(command) = cli.command else { panic!("{line}") };
        command.call().unwrap()
    }

    #[test]
    fn commands_make_their_requests() {
        let add = call("guichet property add acme --name Acme --address help@desk.example.org --language fr");
        assert_eq!(
            add.body.unwrap(),
            json!({"slug": "acme", "name": "Acme", "addresses": ["help@desk.example.org"], "public": null,
                "language": "fr"})
        );
        for (flags, body) in [
            ("--public none", json!({ "public": null })),
            ("--auto-close off", json!({ "auto_close_days": null })),
            (
                "--forwarder Gmail.com --remove-forwarder mx.acme.com",
                json!({ "add_forwarders": ["google.com"], "remove_forwarders": ["mx.acme.com"] }),
            ),
            ("--auto-close 14 --no-strict", json!({ "auto_close_days": 14, "strict": false })),
            ("--acknowledge on", json!({ "acknowledge": true })),
            (
                "--acknowledge off --remove-acknowledgement fr",
                json!({ "acknowledge": false, "acknowledgements": { "fr": null } }),
            ),
            ("--commands close,#tag", json!({ "commands": "close,tag" })),
            ("--default-assignee billing", json!({ "default_assignee": "billing" })),
            (
                "--default-assignee none --after-reply closed",
                json!({ "default_assignee": null, "after_reply": "closed" }),
            ),
        ] {
            let edit = call(&format!("guichet property edit acme {flags}"));
            assert_eq!((edit.target.as_str(), edit.body.unwrap()), ("/properties/acme", body), "{flags}");
        }
        let trust = call("guichet property trust acme forms@acme.com");
        assert_eq!(trust.body.unwrap(), json!({ "trust": ["forms@acme.com"] }));
        for (line, body) in [
            ("block acme Example.NET", json!({ "block": ["example.net"] })),
            ("unblock acme eve@example.net", json!({ "unblock": ["eve@example.net"] })),
            ("allow acme example.org", json!({ "allow": ["example.org"] })),
            ("disallow acme example.org", json!({ "disallow": ["example.org"] })),
        ] {
            assert_eq!(call(&format!("guichet property {line}")).body.unwrap(), body, "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_wrong_usage() {
        for line in [
            "guichet property edit acme --auto-close 0",
            "guichet property edit acme --strict --no-strict",
            "guichet property edit acme --after-reply spam",
            "guichet property edit acme --acknowledgement merci.txt",
            "guichet property edit acme --acknowledgement de=danke.txt",
            "guichet property edit acme --acknowledgement fr=",
            "guichet property edit acme --commands close,dance",
            "guichet property edit acme --forwarder carol@gmail.com",
            "guichet property edit acme --forwarder co.uk",
            "guichet property add Bounces --name x",
            "guichet property add acme",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
        let cli = Cli::try_parse_from(["guichet", "property", "edit", "acme"]).unwrap();
        let Command::Property(command) = cli.command else { panic!("property") };
        assert_eq!(command.call().unwrap_err().exit(), 2, "an edit without a change");
    }
}
