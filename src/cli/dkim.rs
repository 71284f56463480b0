//! `guichet dkim`: the keys that sign, and those before and after them.

use std::fmt::Write as _;

use clap::Subcommand;
use hyper::Method;

use super::client::Call;
use super::output::{Output, Table, clean_line, time};
use super::{Desk, Failure};
use crate::api::types::{Dkim, DkimDomain, DkimKey, Retire};
use crate::trust::ring::KeyState;

#[derive(Debug, Subcommand)]
pub(super) enum DkimCommand {
    /// List the keys of all domains
    ///
    /// A new key waits for its record, the active one signs, an old one is still to be found in the
    /// DNS for mail under way, a retired one is destroyed.
    List,
    /// Make the next keys of a domain
    ///
    /// The old ones go on signing until the records of the new ones are seen: hourly, or at once with
    /// `guichet dns --check`. Asked again before that, it prints the same records.
    Rotate {
        /// One of our domains, or that of a property's public address
        domain: String,
    },
    /// Destroy a key that does not sign
    Retire {
        /// One of our domains, or that of a property's public address
        domain: String,
        /// The key's selector, as `dkim list` has it
        selector: String,
        /// Also while mail that it signed may be under way; for a key that somebody stole
        #[arg(long)]
        now: bool,
    },
}

impl DkimCommand {
    pub(super) fn run(self, desk: &mut Desk<'_>) -> Result<(), Failure> {
        match self {
            Self::List => desk.print(&Call::get(&["dkim"]), list),
            Self::Rotate { domain } => desk.print(&Call::new(Method::POST, &["dkim", &domain, "rotate"]), rotated),
            Self::Retire { domain, selector, now } => {
                let body = Retire { selector: selector.clone(), now };
                let call = Call::post(&["dkim", &domain, "retire"], &body);
                desk.print(&call, |ring: &DkimDomain, _| retired(ring, &selector))
            }
        }
    }
}

fn list(dkim: &Dkim, output: Output) -> String {
    let mut table = Table::new(["DOMAIN", "SELECTOR", "ALGORITHM", "STATE", "SINCE", "NEXT"]);
    for ring in &dkim.domains {
        for key in &ring.keys {
            table.row([
                ring.domain.clone(),
                key.selector.clone(),
                key.algorithm.to_string(),
                key.state.as_str().to_owned(),
                time(key.since),
                next(key),
            ]);
        }
    }
    table.render(output, "No keys.")
}

/// What becomes of a key.
fn next(key: &DkimKey) -> String {
    match (key.state, key.retire_after) {
        (KeyState::New, _) => "signs once its record is seen".to_owned(),
        (KeyState::Old, Some(after)) => format!("retire it after {}", time(after)),
        (KeyState::Active | KeyState::Old | KeyState::Retired, _) => "-".to_owned(),
    }
}

fn rotated(ring: &DkimDomain, output: Output) -> String {
    let mut text = String::from("Publish these records:\n\n");
    for key in ring.keys.iter().filter(|key| key.state == KeyState::New) {
        let (name, value) = (key.name.as_deref().unwrap_or_default(), key.value.as_deref().unwrap_or_default());
        let _ = writeln!(text, "  TXT    {}\n         {}", clean_line(name), clean_line(value));
    }
    let active: Vec<_> =
        ring.keys.iter().filter(|key| key.state == KeyState::Active).map(|key| key.selector.as_str()).collect();
    let domain = clean_line(&ring.domain);
    let look = output.bold(&format!("guichet dns {domain} --check"));
    let look = format!("They are looked for hourly, and at once with\n`{look}`.");
    let _ = if active.is_empty() {
        writeln!(text, "\nNothing signs for the domain until they are seen. {look}")
    } else {
        let verb = if active.len() == 1 { "goes" } else { "go" };
        writeln!(
            text,
            "\n{} {verb} on signing until they are seen. {look} Leave the records of the old keys where they are for a week\nafter that; then `guichet dkim retire {domain} SELECTOR` destroys them.",
            active.join(" and "),
        )
    };
    text
}

fn retired(ring: &DkimDomain, selector: &str) -> String {
    format!(
        "The key {selector} is destroyed, but for copies in backups. Its record,\n{selector}._domainkey.{}, can go; if somebody else has the key, publish \"v=DKIM1; p=\" there for\na while, which says that it is revoked.\n",
        clean_line(&ring.domain)
    )
}
