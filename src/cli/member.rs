//! `guichet member`

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal};

use clap::{Args, Subcommand};

use super::client::Call;
use super::output::{Output, Table, clean, list, time};
use super::{Desk, Failure, ON_OFF, change, one_of};
use crate::api::types::{
    AppPasswords, EditMember, MadeAppPassword, Member, Members, NewAppPassword, NewMember, Removed, Security,
    ServerPort, Setup, Suspended,
};
use crate::desk::address::Address;
use crate::desk::member::Role;
use crate::desk::slug::PropertySlug;

#[derive(Debug, Subcommand)]
pub(super) enum MemberCommand {
    /// Add a member
    #[command(after_help = "\
Examples:
  guichet member add jane@acme.com --name \"Jane Doe\" --property acme --role admin
  guichet member add team@acme.com --name Team --property acme --list")]
    Add {
        /// The address that copies go to, and the login
        address: Address,
        /// The name for readers
        #[arg(long)]
        name: String,
        /// The property that it belongs to; more with `member edit`
        #[arg(long)]
        property: PropertySlug,
        /// What the member may do in it
        #[arg(long, default_value = "agent", value_parser = one_of(Role::ALL))]
        role: Role,
        /// A further address that counts as this member's
        #[arg(long = "alias", value_name = "ADDRESS")]
        aliases: Vec<Address>,
        /// A distribution address without login: whoever answers from it is another member
        #[arg(long, conflicts_with = "password_stdin")]
        list: bool,
        /// Read a password from the first line of standard input: for doors of later releases, mail
        /// clients take one of `app-password`
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the members
    List {
        /// Only those of one property
        #[arg(long)]
        property: Option<PropertySlug>,
    },
    /// Show a member
    Show {
        /// The member's address
        address: Address,
    },
    /// Send copies again to a member whose address was suspended since mail to it kept failing
    Resume {
        /// The member's address
        address: Address,
    },
    /// Change a member
    Edit {
        /// The member's address
        address: Address,
        #[command(flatten)]
        changes: Box<Changes>,
    },
    /// Remove a member: tickets go to the default assignee, copies on their way are cancelled
    Remove {
        /// The member's address
        address: Address,
    },
    /// Print what to type into a member's mail client: servers, ports, user name, identities
    #[command(after_help = "\
Examples:
  guichet member setup jane@acme.com
  guichet member setup jane --json")]
    Setup {
        /// The member's address, or the local part that only one has
        member: String,
    },
    /// The passwords that a member's mail clients log in with, one a device
    #[command(subcommand, arg_required_else_help = true)]
    AppPassword(AppPasswordCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum AppPasswordCommand {
    /// Make a password for a device, and print it this once
    #[command(after_help = "\
Examples:
  guichet member app-password add jane@acme.com --name laptop")]
    Add {
        /// The member's address, or the local part that only one has
        member: String,
        /// Which device it is for
        #[arg(long)]
        name: String,
    },
    /// List a member's devices, with the last login of each
    List {
        /// The member's address, or the local part that only one has
        member: String,
    },
    /// End a device's password: its logins fail from now on
    Revoke {
        /// The member's address, or the local part that only one has
        member: String,
        /// The device
        #[arg(long)]
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Changes {
    /// The name for readers
    #[arg(long)]
    name: Option<String>,
    /// A new login address; the old one stays as an alias
    #[arg(long, value_name = "ADDRESS")]
    login: Option<Address>,
    /// One more address that counts as this member's
    #[arg(long = "alias", value_name = "ADDRESS")]
    aliases: Vec<Address>,
    /// An address that counts as this member's no more, or is not to after all
    #[arg(long = "remove-alias", value_name = "ADDRESS")]
    remove_aliases: Vec<Address>,
    /// A property to belong to, in the role of --role
    #[arg(long)]
    property: Option<PropertySlug>,
    /// The role in --property
    #[arg(long, requires = "property", value_parser = one_of(Role::ALL))]
    role: Option<Role>,
    /// A property to belong to no more
    #[arg(long = "remove-property", value_name = "PROPERTY")]
    remove_properties: Vec<PropertySlug>,
    /// Whether copies go out by mail
    #[arg(long, value_parser = one_of(ON_OFF))]
    copies: Option<bool>,
    /// Read a new password from the first line of standard input: for doors of later releases, mail
    /// clients take one of `app-password`
    #[arg(long)]
    password_stdin: bool,
}

impl MemberCommand {
    pub(super) fn run(self, desk: &mut Desk<'_>) -> Result<(), Failure> {
        match self {
            Self::List { property } => {
                desk.print_all(&Call::get(&["members"]).query("property", property), "members", table)
            }
            Self::Remove { address } => {
                let call = Call::delete(&["members", address.as_str()]);
                desk.print(&call, |removed: &Removed, _| format!("Removed {}.\n", removed.removed))
            }
            Self::Resume { address } => {
                desk.print(&Call::new(hyper::Method::POST, &["members", address.as_str(), "resume"]), show)
            }
            Self::Show { address } => desk.print(&Call::get(&["members", address.as_str()]), show),
            Self::Setup { member } => desk.print(&Call::get(&["members", &member, "setup"]), setup),
            Self::AppPassword(command) => command.run(desk),
            Self::Add { address, name, property, role, aliases, list, password_stdin } => {
                let password = password_stdin.then(password).transpose()?;
                let new = NewMember { address, name, property, role, aliases, list, password };
                desk.print(&Call::post(&["members"], &new), show)
            }
            Self::Edit { address, changes } => {
                let password = changes.password_stdin.then(password).transpose()?;
                desk.print(&Call::patch(&["members", address.as_str()], &change(changes.edit(password))?), show)
            }
        }
    }
}

impl AppPasswordCommand {
    fn run(self, desk: &mut Desk<'_>) -> Result<(), Failure> {
        match self {
            Self::Add { member, name } => {
                let call = Call::post(&["members", &member, "app-passwords"], &NewAppPassword { name });
                desk.print(&call, made)
            }
            Self::List { member } => desk.print(&Call::get(&["members", &member, "app-passwords"]), app_passwords),
            Self::Revoke { member, name } => {
                let call = Call::delete(&["members", &member, "app-passwords", &name]);
                desk.print(&call, |removed: &Removed, _| format!("Revoked {}.\n", clean(&removed.removed)))
            }
        }
    }
}

fn setup(setup: &Setup, output: Output) -> String {
    let address = setup.address.as_str();
    let mut facts = super::output::Facts::new(output);
    facts.title(&format!("{}, in a mail client", super::output::person(&setup.name, address)));
    let servers = [("incoming", "IMAP", &setup.imap), ("outgoing", "SMTP", &setup.smtp)];
    for (direction, protocol, ports) in servers {
        let Some((first, others)) = ports.split_first() else {
            facts.fact(direction, &format!("{protocol} is off here"));
            continue;
        };
        let way = |port: &ServerPort| match port.security {
            Security::Tls => format!("port {} with TLS (SSL/TLS)", port.port),
            Security::Starttls => format!("port {} with STARTTLS", port.port),
        };
        facts.fact(direction, &format!("{protocol}, {}, {}", first.host, way(first)));
        for other in others {
            facts.fact("", &format!("or {}", way(other)));
        }
    }
    facts.fact("user name", &format!("{address}, for both"));
    facts.fact("password", &format!("an app password: guichet member app-password add {address} --name DEVICE"));
    for (index, identity) in setup.identities.iter().enumerate() {
        let name = if index == 0 { "identities" } else { "" };
        facts.fact(name, &super::output::person(&identity.name, identity.address.as_str()));
    }
    if setup.self_signed {
        facts.fact("certificate", "self-signed: clients refuse it, or ask whether to believe it");
    }
    if setup.finds_itself {
        facts.fact("by itself", "a client that is told the address finds the servers");
    }
    if let Some(url) = &setup.apple {
        facts.fact("iPhone, Mac", &format!("open {url} on it"));
    }
    facts.done()
}

fn made(made: &MadeAppPassword, output: Output) -> String {
    format!(
        "{}\n\nThe password of {} for {}; it is not shown again. Log in as {}.\n`guichet member setup {}` says where.\n",
        output.bold(&made.password),
        made.address,
        clean(&made.name),
        made.address,
        made.address
    )
}

fn app_passwords(list: &AppPasswords, output: Output) -> String {
    let mut table = Table::new(["DEVICE", "MADE", "LAST LOGIN", "FROM", "BY"]);
    for password in &list.app_passwords {
        let (at, client, mechanism) = match &password.last_use {
            Some(last) => (time(last.at), last.client.to_string(), last.mechanism.clone()),
            None => ("never".to_owned(), String::new(), String::new()),
        };
        table.row([password.name.clone(), time(password.created_at), at, client, mechanism]);
    }
    table.render(output, "No app passwords. `guichet member app-password add` makes one.")
}

impl Changes {
    fn edit(self, password: Option<String>) -> EditMember {
        let role = self.role.unwrap_or(Role::Agent);
        EditMember {
            name: self.name,
            address: self.login,
            add_aliases: self.aliases,
            remove_aliases: self.remove_aliases,
            roles: self.property.map(|property| (property.to_string(), role)).into_iter().collect(),
            remove_properties: self.remove_properties,
            copies: self.copies,
            password,
        }
    }
}

/// The first line of standard input.
fn password() -> Result<String, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::Usage("--password-stdin reads from a pipe or a file, not from a terminal".to_owned()));
    }
    let mut line = String::new();
    std::io::Read::take(stdin.lock(), 4096)
        .read_line(&mut line)
        .map_err(|error| anyhow::anyhow!("cannot read the password: {error}"))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::Usage("the password on standard input is empty".to_owned()));
    }
    Ok(password.to_owned())
}

fn roles(roles: &BTreeMap<String, Role>) -> String {
    list(&roles.iter().map(|(property, role)| format!("{property} ({role})")).collect::<Vec<_>>())
}

fn table(list: &Members, output: Output) -> String {
    let mut table = Table::new(["MEMBER", "NAME", "PROPERTIES", "COPIES"]);
    for member in &list.members {
        let copies = match (member.copies, member.suspended.is_empty()) {
            (false, _) => "off",
            (true, true) => "on",
            (true, false) => "suspended",
        };
        let kind = if member.list { format!("{} (list)", member.name) } else { member.name.clone() };
        table.row([member.address.to_string(), kind, roles(&member.roles), copies.to_owned()]);
    }
    table.render(output, "No members. `guichet member add` makes one.")
}

fn show(member: &Member, output: Output) -> String {
    let mut facts = super::output::Facts::new(output);
    facts.title(&super::output::person(&member.name, member.address.as_str()));
    facts.fact("properties", &roles(&member.roles));
    facts.fact("aliases", &list(&member.aliases));
    for claim in &member.claims {
        facts.fact("unconfirmed", &format!("{} (asked, may answer until {})", claim.address, time(claim.expires_at)));
    }
    if member.list {
        facts.fact("kind", "a list: no login, whoever answers is another member");
    }
    facts.fact("copies", if member.copies { "on" } else { "off" });
    facts.fact("password", if member.password { "set" } else { "none" });
    suspended(&mut facts, &member.suspended);
    facts.fact("since", &time(member.created_at));
    facts.done()
}

/// Which addresses get no copies, since when, and why.
pub(super) fn suspended(facts: &mut super::output::Facts, addresses: &[Suspended]) {
    for Suspended { address, since, reason } in addresses {
        facts.fact("suspended", &format!("{address} gets no copies since {}: {reason}", time(*since)));
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::super::{Cli, Command};
    use super::*;

    #[test]
    fn edits_change_what_they_name() {
        for (flags, body) in [
            ("--copies off", json!({ "copies": false })),
            ("--property acme --role admin", json!({ "roles": { "acme": "admin" } })),
            ("--property acme", json!({ "roles": { "acme": "agent" } })),
            (
                "--remove-property acme --alias b@c.example",
                json!({
                "remove_properties": ["acme"], "add_aliases": ["b@c.example"] }),
            ),
            ("--login b@c.example", json!({ "address": "b@c.example" })),
        ] {
            let line = format!("guichet member edit a@b.example {flags}");
            let cli = Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{error}"));
            let Command::Member(MemberCommand::Edit { changes, .. }) = cli.command else { panic!("{line}") };
            assert_eq!(serde_json::to_value(changes.edit(None)).unwrap(), body, "{flags}");
        }
        for line in [
            "guichet member edit a@b.example --role admin",
            "guichet member add a@b.example --name A --property acme --list --password-stdin",
            "guichet member add a@b --name A",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
