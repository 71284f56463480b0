//! Our daemon as it is run: the binary, as a child, with the settings that it has by default but
//! for the number of connections that one address may have.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use guichet::actions::{Act, ActionError, Actor, app_password, member, property};
use guichet::config::Config;
use guichet::daemon;
use guichet::desk::entry::Door;
use guichet::desk::language::Language;
use guichet::desk::member::Role;
use guichet::store::tables::{ENTRIES, TICKETS};
use guichet::store::{Options, Order, Read, Store, StoreError};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};

use super::machine::Processes;
use super::sink::{free_address, until_it_listens};

/// What a desk is made of.
pub struct Settings<'a> {
    /// Who gets copies; nobody: mail is accepted and threaded, no more.
    pub readers: &'a [&'a str],
    /// The lines of `[relay]`.
    pub relay: String,
    pub name_server: SocketAddr,
    /// More lines of `[limits]`.
    pub limits: &'a str,
    /// Whether readers may log in with mail clients.
    pub imap: bool,
}

/// The lines of `[relay]` for one next server.
pub fn smarthost(address: SocketAddr) -> String {
    format!("mode = \"smarthost\"\nsmarthost = \"smtp://{address}\"")
}

/// A running daemon.
pub struct Desk {
    pub address: SocketAddr,
    /// Where mail clients log in by TLS, and the password of each reader; `None` where they may not.
    pub imap: Option<(SocketAddr, Vec<String>)>,
    pub processes: Processes,
    dir: PathBuf,
    child: Child,
}

/// What its store held when it had stopped, and was verified.
pub struct Held {
    pub tickets: u32,
    /// Messages, without events.
    pub messages: u32,
    /// Times that the disk was waited for, at most.
    pub groups: u32,
}

impl Desk {
    pub async fn start(parent: &Path, name: &str, settings: &Settings<'_>) -> anyhow::Result<Self> {
        let dir = parent.join(name);
        fs::create_dir_all(dir.join("data"))?;
        let address = free_address()?;
        let imap = settings.imap.then(free_address).transpose()?;
        let listen = imap.map(|address| format!("\"{address}\"")).unwrap_or_default();
        let config = format!(
            "hostname = \"mx.desk.example.org\"\ndomains = [\"desk.example.org\"]\ndata_dir = \"{}\"\n\
             postmaster = \"acme\"\n[smtp]\nlisten = [\"{address}\"]\n\
             [submission]\nlisten_tls = []\nlisten = []\n[imap]\nlisten_tls = [{listen}]\n[relay]\n{}\n[dns]\nresolvers = [\"{}\"]\n\
             [limits]\nconnections_per_address = 200\nnetwork_messages = 1000000\nsender_messages = 1000000\n\
             new_tickets = 1000000\n{}\n",
            dir.join("data").display(),
            settings.relay,
            settings.name_server,
            settings.limits
        );
        fs::write(dir.join("guichet.toml"), config)?;
        let passwords = furnish(&dir, settings.readers, settings.imap).await?;
        let child = Command::new(env!("CARGO_BIN_EXE_guichet"))
            .arg("--config")
            .arg(dir.join("guichet.toml"))
            .arg("serve")
            .stderr(File::create(dir.join("log"))?)
            .spawn()?;
        let imap = imap.map(|address| (address, passwords));
        let desk = Self { address, imap, processes: Processes(vec![child.id()]), dir, child };
        until_it_listens(address).await?;
        if let Some((address, _)) = desk.imap {
            until_it_listens(address).await?;
        }
        Ok(desk)
    }

    /// Stops it, verifies its store and counts what is in it.
    pub fn stop(mut self) -> anyhow::Result<Held> {
        let pid =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("the daemon has no process id")?;
        kill_process(pid, Signal::TERM)?;
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(start.elapsed() < Duration::from_mins(1), "the daemon does not stop");
            std::thread::sleep(Duration::from_millis(10));
        };
        ensure!(status.success(), "the daemon ended with {status}; see {}", self.dir.join("log").display());
        let store = Store::open(&self.dir.join("data/store"), Options::default())?;
        // What `guichet verify` does.
        let report = store.verify()?;
        ensure!(report.is_clean(), "the store is not clean: {}", report.problems.join("; "));
        let held = store.read(|view| {
            let tickets = view.range(&TICKETS, .., Order::Up, usize::MAX)?.len();
            let entries = view.range(&ENTRIES, .., Order::Up, usize::MAX)?;
            let messages = entries.iter().filter(|(_, entry)| entry.event.is_none()).count();
            Ok::<_, StoreError>((tickets, messages))
        })?;
        Ok(Held {
            tickets: u32::try_from(held.0)?,
            messages: u32::try_from(held.1)?,
            groups: u32::try_from(report.groups)?,
        })
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Adds the property and its members, as the command line does; app passwords of theirs.
async fn furnish(dir: &Path, readers: &[&str], passwords: bool) -> anyhow::Result<Vec<String>> {
    let Ok(opened) = daemon::open(&Config::load(&dir.join("guichet.toml"))?).await else {
        bail!("the store in {} can't be made", dir.display());
    };
    let act = Act {
        desk: &opened.desk,
        now: Timestamp::now(),
        door: Door::Cli,
        actor: Actor::System,
        trace: None,
        client: None,
    };
    let passwords = opened
        .store
        .transact(|tx| {
            let acme = property::New {
                slug: "acme".parse().expect("a good slug"),
                name: "Acme Support".to_owned(),
                addresses: Vec::new(),
                public: None,
                language: Language::En,
            };
            property::add(tx, &act, acme)?;
            for reader in readers {
                let reader = member::New {
                    login: reader.parse().expect("a good address"),
                    name: "Reader".to_owned(),
                    property: "acme".to_owned(),
                    role: Role::Agent,
                    aliases: Vec::new(),
                    list: false,
                    password: None,
                };
                member::add(tx, &act, reader)?;
            }
            let password = |reader: &&str| app_password::add(tx, &act, reader, "bench").map(|(_, text)| text);
            readers.iter().filter(|_| passwords).map(password).collect::<Result<Vec<_>, ActionError>>()
        })
        .await?;
    opened.store.close().await?;
    Ok(passwords)
}
