//! Our daemon as it is run: the binary, as a child, with its defaults but for the number of connections
//! that one address may have. Its desk is filled before it starts, by the actions that mail makes.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use guichet::actions::post::{self, Content, Opening, Standpoint};
use guichet::actions::{Act, ActionError, Actor, app_password, find, member, property};
use guichet::config::Config;
use guichet::daemon::{self, Opened};
use guichet::desk::address::Mailbox;
use guichet::desk::command::Asked;
use guichet::desk::copy::Scope;
use guichet::desk::entry::{Author, Door as By, State, Verified};
use guichet::desk::fanout::Voice;
use guichet::desk::language::Language;
use guichet::desk::member::Role;
use guichet::desk::ticket::{Person, Priority, Status};
use guichet::store::Tx;
use jiff::{SignedDuration, Timestamp};
use rustix::process::{Pid, Signal, kill_process};

use super::client::Door;
use super::machine::Processes;
use super::messages::{Message, message};
use super::sink::{free_address, until_it_listens};

/// Members who log in, of those that there are.
const LOGINS: u32 = 4;
/// Tickets in one transaction while the store is filled.
const BATCH: u32 = 100;

/// A running daemon.
pub struct Desk {
    pub smtp: SocketAddr,
    /// Those of the first members.
    pub doors: Vec<Door>,
    pub processes: Processes,
    dir: PathBuf,
    child: Child,
}

impl Desk {
    /// Starts one with so many members, none of whom wants copies by mail, and so many messages in
    /// `acme/Open`, two a ticket.
    pub async fn start(dir: PathBuf, dns: SocketAddr, members: u32, messages: u32) -> anyhow::Result<Self> {
        fs::create_dir_all(dir.join("data"))?;
        let (smtp, imap, nobody) = (free_address()?, free_address()?, free_address()?);
        let file = dir.join("guichet.toml");
        let config = format!(
            "hostname = \"mx.desk.example.org\"\ndomains = [\"desk.example.org\"]\ndata_dir = \"{}\"\n\
             postmaster = \"acme\"\n[smtp]\nlisten = [\"{smtp}\"]\n[submission]\nlisten_tls = []\nlisten = []\n\
             [imap]\nlisten_tls = [\"{imap}\"]\n[relay]\nmode = \"smarthost\"\nsmarthost = \"smtp://{nobody}\"\n\
             [dns]\nresolvers = [\"{dns}\"]\n\
             [limits]\nconnections_per_address = 200\nnetwork_messages = 1000000\nsender_messages = 1000000\n\
             new_tickets = 1000000\nimap_connections = 3000\nimap_connections_per_address = 3000\n",
            dir.join("data").display(),
        );
        fs::write(&file, config)?;
        let passwords = furnish(&file, members, messages).await?;
        let child = Command::new(env!("CARGO_BIN_EXE_guichet"))
            .arg("--config")
            .arg(&file)
            .arg("serve")
            .stderr(File::create(dir.join("log"))?)
            .spawn()?;
        let door = |(n, password)| Door { address: imap, user: login(n), password };
        let doors = (0..).zip(passwords).map(door).collect();
        let desk = Self { smtp, doors, processes: Processes(vec![child.id()]), dir, child };
        for address in [smtp, imap] {
            until_it_listens(address).await?;
        }
        Ok(desk)
    }

    /// The first member's.
    pub fn door(&self) -> &Door {
        &self.doors[0]
    }

    /// Has all that it keeps held against itself, while it runs.
    pub fn verify(&self) -> anyhow::Result<()> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guichet"));
        let output = command.arg("verify").arg("--config").arg(self.dir.join("guichet.toml")).output()?;
        let said = [output.stdout, output.stderr].concat();
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&said));
        Ok(())
    }

    /// Stops it in good order.
    pub fn stop(mut self) -> anyhow::Result<()> {
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
        Ok(())
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn login(n: u32) -> String {
    format!("member{n}@team.example")
}

/// Makes the desk: the first members' app passwords.
async fn furnish(file: &Path, members: u32, messages: u32) -> anyhow::Result<Vec<String>> {
    let Ok(opened) = daemon::open(&Config::load(file)?).await else {
        bail!("the store of {} can't be made", file.display());
    };
    let act = Act {
        desk: &opened.desk,
        now: Timestamp::now(),
        door: By::Cli,
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
            for n in 0..members {
                let new = member::New {
                    login: login(n).parse().expect("a good address"),
                    name: format!("Member {n}"),
                    property: "acme".to_owned(),
                    role: Role::Agent,
                    aliases: Vec::new(),
                    list: false,
                    password: None,
                };
                member::add(tx, &act, new)?;
                let changes = member::Changes { copies: Some(false), ..member::Changes::default() };
                member::edit(tx, &act, &login(n), changes)?;
            }
            let password = |n| app_password::add(tx, &act, &login(n), "bench").map(|(_, text)| text);
            (0..members.min(LOGINS)).map(password).collect()
        })
        .await?;
    fill(&opened, messages).await?;
    opened.store.close().await?;
    Ok(passwords)
}

async fn fill(opened: &Opened, messages: u32) -> anyhow::Result<()> {
    let start = Timestamp::now() - SignedDuration::from_hours(72);
    let tickets = messages / 2;
    for first in (0..tickets).step_by(BATCH as usize) {
        opened
            .store
            .transact(|tx| {
                (first..tickets.min(first + BATCH)).try_for_each(|ticket| {
                    let now = start + SignedDuration::from_secs(10 * i64::from(ticket));
                    let desk = &opened.desk;
                    let act = Act {
                        desk,
                        now,
                        door: By::Smtp,
                        actor: Actor::System,
                        trace: Some(desk.mint_trace()),
                        client: None,
                    };
                    two(tx, &act, message(2 * ticket), message(2 * ticket + 1))
                })
            })
            .await?;
    }
    Ok(())
}

/// A ticket of two messages of the customer who opens it.
fn two(tx: &mut Tx<'_>, act: &Act<'_>, one: Message, other: Message) -> Result<(), ActionError> {
    let property = find::property(tx, "acme")?;
    let from = Mailbox::new(one.name.clone(), one.address.parse().expect("a good address"));
    let opening = Opening {
        requester: from.clone(),
        status: Status::Open,
        priority: Priority::Normal,
        tags: Vec::new(),
        assignee: None,
        continues: None,
    };
    let mut ticket = post::open(tx, act, &property, &one.subject, opening)?;
    let contact = Person::Contact(post::contact_for(tx, act, &from)?);
    let standpoint = Standpoint {
        addresses: vec![from.address.clone()],
        author: Author::Person { person: contact, mailbox: from },
        voice: Voice::Contact { to_contacts: false },
        verified: Verified::Aligned,
        invited: true,
        scope: Scope::Public,
        state: State::Relayed,
        reason: None,
        warning: None,
        machine: None,
        parent: None,
        claims: None,
        obeyed: None,
        turn: 0,
        hands_on: false,
    };
    let opens = content(tx, act, one)?;
    post::add(tx, act, &property, None, &mut ticket, opens, standpoint.clone())?;
    let before = ticket.clone();
    let answers = content(tx, act, other)?;
    post::add(tx, act, &property, Some(&before), &mut ticket, answers, standpoint)?;
    Ok(())
}

fn content(tx: &mut Tx<'_>, act: &Act<'_>, message: Message) -> Result<Content, ActionError> {
    let id = |text: &str| text.parse().expect("a good Message-ID");
    Ok(Content {
        message_id: Some(id(&message.id)),
        date: Some(act.now),
        subject: message.subject,
        text: message.text,
        attachments: Vec::new(),
        raw: tx.put_raw(message.raw)?,
        named: Vec::new(),
        mentioned: message.answers.iter().map(|answered| id(answered)).collect(),
        conversation: None,
        verdict: None,
        arrived_at: Some("acme@desk.example.org".parse().expect("a good address")),
        from: Some(message.address.parse().expect("a good address")),
        asked: Asked::default(),
    })
}
