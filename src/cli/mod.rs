//! The command line: its definition, and its doing as a client of the JSON API.
//!
//! Each command group is a file: what clap reads, the request that it makes, and the table that it
//! prints. Results go to standard output, everything else to standard error. What starts a daemon
//! or takes a store apart comes in from outside as a [`House`].

mod client;
mod contact;
mod department;
mod dkim;
mod dns;
mod init;
mod member;
mod metrics;
mod output;
mod probe;
mod property;
mod queue;
mod ticket;
mod trace;
mod upkeep;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{CommandFactory, Parser, Subcommand};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::types::{self, ErrorBody};
use crate::config::{self, Config, ConfigError, Problem};
use crate::desk::address::Address;
pub use client::Inside;
use client::{Call, Client};
pub use output::say;
use output::{Output, print, print_json};

/// What the commands set going and don't do themselves.
#[derive(Clone, Copy)]
pub struct House {
    /// Opens the store in this process, and the API on it.
    pub open: fn(&Config) -> Result<Inside, Failure>,
    /// Runs the daemon until it is told to stop.
    pub serve: fn(Config) -> Result<(), Failure>,
    /// Runs the demonstration; `true` to start it anew.
    pub demo: fn(bool) -> Result<(), Failure>,
    /// Makes the index anew from the journal, and verifies it.
    pub rebuild: fn(&Config) -> Result<types::Verified, Failure>,
    /// Puts a backup into the data directory, which must hold no store.
    pub restore: fn(&Config, &Path) -> Result<types::BackedUp, Failure>,
}

/// Why a command failed. Each case has its exit code and its `code` in JSON.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line itself is wrong in a way that clap can't see.
    #[error("{0}")]
    Usage(String),
    /// Something in the config is wrong, or what it names on this machine is.
    #[error("{}", lines(.0))]
    BadConfig(Vec<Problem>),
    /// Another process holds what is needed; the same command may work later.
    #[error("{0}")]
    Busy(String),
    /// The API said no.
    #[error("{}", .0.message)]
    Api(ErrorBody),
    /// The reader of our output has gone away: nothing to say, and nobody to say it to.
    #[error("the reader has gone away")]
    Pipe,
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl Failure {
    /// The exit code: 1 error, 2 usage, 75 busy (`EX_TEMPFAIL`), 78 bad config (`EX_CONFIG`).
    #[must_use]
    pub fn exit(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::BadConfig(_) => 78,
            Self::Busy(_) => 75,
            Self::Api(error) if error.code == "busy" => 75,
            Self::Api(_) | Self::Other(_) => 1,
            Self::Pipe => 0,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Usage(_) => "usage",
            Self::BadConfig(_) => "bad-config",
            Self::Busy(_) => "busy",
            Self::Api(error) => &error.code,
            Self::Pipe | Self::Other(_) => "error",
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::BadConfig(error.problems)
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A mail server daemon whose mailboxes are a help desk.
#[derive(Debug, Parser)]
#[command(name = "guichet", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(after_long_help = "\
First steps:
  guichet demo                     try it on this machine, nothing leaves it
  guichet init                     write the config, the first property and member
  guichet check                    what is wrong, before the daemon starts
  guichet serve                    run the daemon

Times are in UTC; lists on a terminal say how long ago.
Exit codes: 0 done, 1 error, 2 wrong usage, 75 busy (try again), 78 bad config.
GUICHET_LOG sets what the daemon logs, as in GUICHET_LOG=guichet=debug.
NO_COLOR turns colours off.")]
pub struct Cli {
    /// The config file
    #[arg(long, global = true, value_name = "FILE", default_value = config::DEFAULT_FILE, display_order = 900)]
    config: PathBuf,
    /// Print results and errors as JSON
    #[arg(long, global = true, display_order = 901)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Serve,
    /// Try it out: a daemon on loopback with two properties and a dozen mails
    ///
    /// The store is in ./demo, mail comes in at 127.0.0.1:2525, for members at 127.0.0.1:2465 (SMTP) and
    /// 2993 (IMAP), and goes out into a Maildir there. It goes on where it was when it is started again.
    /// GUICHET_DEMO_PORT, GUICHET_DEMO_SUBMISSION_PORT and GUICHET_DEMO_IMAP_PORT name other ports.
    Demo {
        /// Throw ./demo away and start anew
        #[arg(long)]
        fresh: bool,
    },
    Init(Box<init::Init>),
    /// Check the config, and the folders, files and ports that it names
    #[command(after_help = "\
Examples:
  guichet check
  guichet check --send acme@desk.example.org   by the way that copies take, and back: what survives?
  guichet check --send me@gmail.com            sends there what you then look at")]
    Check {
        /// Send a test message through the running daemon, and say what survives the way
        #[arg(long, value_name = "ADDR")]
        send: Option<Address>,
        /// Seconds to wait for it to come back: 60, and 10 from an address elsewhere
        #[arg(long, value_name = "SECONDS", requires = "send", value_parser = clap::value_parser!(u64).range(0..=600))]
        wait: Option<u64>,
    },
    /// Print the DNS records that the domains need, or check them
    Dns(dns::DnsCommand),
    /// The keys that mail is signed with
    #[command(subcommand)]
    Dkim(dkim::DkimCommand),
    /// Read the whole store and check every reference and checksum
    Verify,
    /// Print what the daemon has counted since it started
    ///
    /// In Prometheus' text format, or with --json.
    #[command(after_help = "\
Example, for the textfile collector of node_exporter:
  guichet metrics > /var/lib/node_exporter/guichet.prom.new &&
    mv /var/lib/node_exporter/guichet.prom.new /var/lib/node_exporter/guichet.prom")]
    Metrics,
    /// Make the index anew from the journal; the daemon must be stopped
    Rebuild,
    /// Copy the whole store into a new folder; the daemon may run
    Backup {
        /// A folder that doesn't exist yet, or is empty
        directory: PathBuf,
    },
    /// Put a backup into the data directory, which must hold no store; the daemon must be stopped
    Restore {
        /// A folder that `guichet backup` made
        directory: PathBuf,
    },
    /// Print completions for a shell
    #[command(after_help = "Example:\n  guichet completions bash > /etc/bash_completion.d/guichet")]
    Completions {
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one for every command
    #[command(after_help = "Examples:\n  guichet man | man -l -\n  guichet man /usr/local/share/man/man1")]
    Man {
        /// A folder that gets a page for each command
        directory: Option<PathBuf>,
    },
    /// Sites or brands, each with an inbox, addresses and members of its own
    #[command(subcommand)]
    Property(property::PropertyCommand),
    /// The people of the team
    #[command(subcommand)]
    Member(member::MemberCommand),
    /// Named groups of members of one property
    #[command(subcommand)]
    Department(department::DepartmentCommand),
    /// The people outside
    #[command(subcommand)]
    Contact(contact::ContactCommand),
    /// Conversations
    #[command(subcommand)]
    Ticket(ticket::TicketCommand),
    /// Copies on their way
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Tell what happened to a mail, from the connection that brought it to the last server's last word
    #[command(after_help = "\
Examples:
  guichet trace '<CAF1+abc@mail.example.com>'
  guichet trace acme-1042
  guichet trace 77
  guichet trace 64a5e0f1b2c3d-1f.1

A ticket's name tells of each of its messages, a copy's number of the message that it is of. The
trace id is what the answer to the client, our Received field and the log have.
Mail that was refused left nothing but its line in the log.")]
    Trace {
        /// A Message-ID, a ticket, a copy's number as in `queue list`, or a trace id
        #[arg(value_name = "MESSAGE-ID|REF|QUEUE-ID", value_parser = NonEmptyStringValueParser::new())]
        what: String,
    },
}

/// Runs one command line, the program's name first.
pub fn run(args: impl IntoIterator<Item = OsString>, house: House) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && args.iter().any(|arg| arg == "--json") => {
            let message = error.to_string();
            let message = message.lines().next().unwrap_or_default();
            return failed(&Failure::Usage(message.strip_prefix("error: ").unwrap_or(message).to_owned()), true);
        }
        Err(error) => {
            // Help for a reader that has gone away is no failure.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let json = cli.json;
    match cli.run(house) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure, json),
    }
}

/// The whole definition, for help, completions and manual pages.
#[must_use]
pub fn definition() -> clap::Command {
    Cli::command()
}

/// Tickets as `ticket list` prints them.
#[must_use]
pub fn tickets(tickets: &[types::Ticket]) -> String {
    ticket::rows(tickets, Output::of_stdout(false), "No tickets.")
}

/// Prints a text to standard output.
pub fn tell(text: &str) -> Result<(), Failure> {
    print(text)
}

fn failed(failure: &Failure, json: bool) -> ExitCode {
    match failure {
        Failure::Pipe => {}
        _ if json => {
            let error = ErrorBody { code: failure.code().to_owned(), message: failure.to_string() };
            let body = serde_json::to_string(&types::Failure { error }).expect("two texts");
            say(&body);
        }
        // These lines start with their file, as a compiler's do.
        Failure::BadConfig(_) => say(&output::clean(&failure.to_string())),
        _ => say(&format!("guichet: {}", output::clean(&failure.to_string()))),
    }
    ExitCode::from(failure.exit())
}

impl Cli {
    fn run(self, house: House) -> Result<(), Failure> {
        let output = Output::of_stdout(self.json);
        let load = || Config::load(&self.config).map_err(Failure::from);
        match self.command {
            Command::Serve => {
                let config = load()?;
                upkeep::alone(&config)?;
                (house.serve)(config)
            }
            Command::Demo { fresh } => (house.demo)(fresh),
            Command::Init(init) => init.run(&self.config, house, output),
            Command::Check { send: None, .. } => upkeep::check(&load()?, house, output),
            Command::Check { send: Some(to), wait } => probe::run(to, wait, &mut Desk::new(&load()?, house, output)?),
            Command::Rebuild => upkeep::verified(&(house.rebuild)(&load()?)?, output),
            Command::Restore { directory } => upkeep::restored(&(house.restore)(&load()?, &directory)?, output),
            Command::Completions { shell } => upkeep::completions(shell),
            Command::Man { directory } => upkeep::manual(directory.as_deref()),
            Command::Dns(command) => command.run(&mut Desk::new(&load()?, house, output)?),
            Command::Dkim(command) => command.run(&mut Desk::new(&load()?, house, output)?),
            Command::Metrics => metrics::run(&mut Desk::new(&load()?, house, output)?),
            Command::Verify => upkeep::verify(&mut Desk::new(&load()?, house, output)?),
            Command::Backup { directory } => upkeep::backup(&directory, &mut Desk::new(&load()?, house, output)?),
            Command::Property(command) => command.run(&mut Desk::new(&load()?, house, output)?),
            Command::Member(command) => command.run(&mut Desk::new(&load()?, house, output)?),
            Command::Department(command) => command.run(&mut Desk::new(&load()?, house, output)?),
            Command::Contact(command) => command.run(&mut Desk::new(&load()?, house, output)?),
            Command::Ticket(command) => command.run(&mut Desk::new(&load()?, house, output)?),
            Command::Queue(command) => command.run(&mut Desk::new(&load()?, house, output)?),
            Command::Trace { what } => {
                Desk::new(&load()?, house, output)?.print(&Call::get(&["trace", &what]), trace::stories)
            }
        }
    }
}

/// The desk as a command sees it: somewhere to ask, somewhere to print.
struct Desk<'a> {
    client: Client<'a>,
    output: Output,
    config: &'a Config,
}

impl<'a> Desk<'a> {
    fn new(config: &'a Config, house: House, output: Output) -> Result<Self, Failure> {
        Ok(Self { client: Client::new(config, house.open)?, output, config })
    }

    /// Makes the request and prints its answer: as it came, or as `text` makes of it.
    fn print<T: DeserializeOwned>(&mut self, call: &Call, text: impl Fn(&T, Output) -> String) -> Result<(), Failure> {
        let (typed, value) = self.client.ask(call)?;
        if self.output.json { print_json(&value) } else { print(&text(&typed, self.output)) }
    }

    /// The same for a list: gathers its pages into one.
    fn print_all<T: DeserializeOwned>(
        &mut self,
        call: &Call,
        key: &str,
        text: impl Fn(&T, Output) -> String,
    ) -> Result<(), Failure> {
        let mut gathered = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut page = self.client.call(&call.clone().query("limit", Some(500)).query("after", after))?;
            after = page.get_mut("next").map(Value::take).and_then(|next| next.as_str().map(str::to_owned));
            let items = page.get_mut(key).and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
            gathered.extend(items);
            if after.is_none() {
                break;
            }
        }
        let whole = json!({ key: gathered, "next": null });
        if self.output.json {
            return print_json(&whole);
        }
        let typed = T::deserialize(&whole).map_err(|error| anyhow::anyhow!("the list is not understood: {error}"))?;
        print(&text(&typed, self.output))
    }
}

/// A switch's two words.
const ON_OFF: &[(&str, bool)] = &[("on", true), ("off", false)];

/// One of an enum's named cases, listed in help and completions.
fn one_of<T: Copy + Send + Sync + 'static>(all: &'static [(&'static str, T)]) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(|(name, _)| *name)).map(move |given| {
        let case = all.iter().find(|(name, _)| *name == given);
        case.map(|(_, case)| *case).expect("the parser lets only these names through")
    })
}

/// A change of something, which must change something.
fn change<T: Default + PartialEq>(edit: T) -> Result<T, Failure> {
    if edit == T::default() {
        return Err(Failure::Usage("nothing to change was given; --help lists the flags".to_owned()));
    }
    Ok(edit)
}

/// `none`, or something else: what takes a value away.
fn or_none(text: String) -> Option<String> {
    Some(text).filter(|text| !text.eq_ignore_ascii_case("none"))
}

/// The name that JSON has for a case.
fn word(case: &impl Serialize) -> String {
    serde_json::to_value(case).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A house that nobody may enter.
#[cfg(test)]
fn tests_house() -> House {
    House {
        open: |_| panic!("not opened"),
        serve: |_| panic!("not served"),
        demo: |_| panic!("not played"),
        rebuild: |_| panic!("not rebuilt"),
        restore: |_, _| panic!("not restored"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        definition().debug_assert();
    }

    #[test]
    fn whatever_a_command_takes_is_explained() {
        fn look(command: &clap::Command) {
            for arg in command.get_arguments() {
                let chosen = !arg.get_possible_values().is_empty();
                assert!(chosen || arg.get_help().is_some(), "{} {}", command.get_name(), arg.get_id());
            }
            command.get_subcommands().for_each(look);
        }
        look(&definition());
    }

    #[test]
    fn several_examples_are_called_so() {
        fn look(command: &clap::Command) {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            if let Some(examples) = text.strip_prefix("Example:\n") {
                let block = examples.split("\n\n").next().unwrap_or_default().replace("\\\n", "");
                assert_eq!(block.trim_end().lines().count(), 1, "{}:\n{text}", command.get_name());
            }
            command.get_subcommands().for_each(look);
        }
        look(&definition());
    }

    #[test]
    fn failures_have_the_documented_exit_codes() {
        let api = |code: &str| Failure::Api(ErrorBody { code: code.into(), message: String::new() });
        for (failure, exit) in [
            (Failure::Usage(String::new()), 2),
            (Failure::Busy(String::new()), 75),
            (api("busy"), 75),
            (api("not-found"), 1),
            (Failure::BadConfig(Vec::new()), 78),
            (Failure::Pipe, 0),
            (anyhow::anyhow!("x").into(), 1),
        ] {
            assert_eq!(failure.exit(), exit, "{failure:?}");
        }
    }
}
