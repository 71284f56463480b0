//! A whole daemon in this process: real sockets, a store on disk, a name server and a next server
//! of the tests' own.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use guichet::actions::{Act, ActionError, Actor, Desk, department, find, member, property};
use guichet::config::Config;
use guichet::daemon::{self, Running};
use guichet::desk::address::Address;
use guichet::desk::copy::Copy;
use guichet::desk::entry::{Door, Entry};
use guichet::desk::language::Language;
use guichet::desk::member::Role;
use guichet::desk::ticket::Ticket;
use guichet::store::tables::COPIES;
use guichet::store::{Read, Store, StoreError, Tx, VerifyReport, View};
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::dns::Dns;
use super::sink::{Received, Sink};

/// The desk under test: domain `desk.example.org`, nothing in it yet.
pub struct TestDesk {
    pub dir: TempDir,
    pub dns: Dns,
    pub sink: Sink,
    config: Config,
    running: Option<Running>,
}

impl TestDesk {
    /// A running one, with properties acme (English) and bulle (French).
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// The same with more lines of config.
    pub async fn with(more: &str) -> Self {
        Self::begin(more, None).await
    }

    /// The same on a store that the test opened, and can make fail; senders may write alike.
    pub async fn on(store: Store) -> Self {
        Self::begin("[limits]\nlook_alike = 1000000\n", Some(store)).await
    }

    async fn begin(more: &str, store: Option<Store>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let dns = Dns::start().await;
        let sink = Sink::new(&["PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 50000000"]).start().await;
        let text = format!(
            "hostname = \"mx.desk.example.org\"\ndomains = [\"desk.example.org\"]\ndata_dir = {:?}\npostmaster = \"acme\"\n\
             [smtp]\nlisten = [\"127.0.0.1:0\"]\n[relay]\nmode = \"smarthost\"\nsmarthost = \"smtp://{}\"\n\
             [dns]\nresolvers = [{:?}]\n{more}",
            dir.path().join("data"),
            sink.address(),
            dns.servers()[0]
        );
        let file = dir.path().join("guichet.toml");
        std::fs::write(&file, &text).unwrap();
        let config = Config::parse(&text, &file).unwrap();
        let running = match store {
            None => daemon::start(&config).await.unwrap(),
            Some(store) => {
                guichet::config::check::create_data_dir(&config).unwrap();
                daemon::start_on(&config, daemon::open_on(&config, store).await.unwrap()).unwrap()
            }
        };
        let running = Some(running);
        let desk = Self { dir, dns, sink, config, running };
        desk.trust("example.com");
        desk.trust("team.example");
        desk.act(|tx, act| {
            for (slug, name, language) in [("acme", "Acme Support", Language::En), ("bulle", "Bulle", Language::Fr)] {
                let new = property::New {
                    slug: slug.parse().unwrap(),
                    name: name.to_owned(),
                    addresses: Vec::new(),
                    public: None,
                    language,
                };
                property::add(tx, act, new)?;
            }
            Ok(())
        })
        .await;
        desk
    }

    /// Stops the daemon as SIGTERM does, and starts it again on what it left.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.resume().await;
    }

    /// Stops the daemon as SIGTERM does.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Starts a daemon in this process again, on whatever the last one left.
    pub async fn resume(&mut self) {
        self.running = Some(daemon::start(&self.config).await.unwrap());
    }

    /// The config file, for daemons of their own process and for commands.
    pub fn config_file(&self) -> PathBuf {
        self.dir.path().join("guichet.toml")
    }

    /// The store and the rules, for a part of the daemon that a test puts together itself.
    pub fn inside(&self) -> (Store, Arc<Desk>) {
        let opened = &self.running().opened;
        (opened.store.clone(), Arc::clone(&opened.desk))
    }

    /// Waits until the store has what `f` looks for.
    pub async fn until<T>(&self, mut f: impl FnMut(&View<'_>) -> Result<Option<T>, ActionError>) -> T {
        let mut changed = self.running().opened.store.changed();
        loop {
            changed.mark_unchanged();
            if let Some(found) = self.read(&mut f) {
                return found;
            }
            changed.changed().await.unwrap();
        }
    }

    /// What `guichet verify` finds.
    pub fn verify(&self) -> VerifyReport {
        self.running().opened.store.verify().unwrap()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.running().smtp[0]
    }

    /// Mail of this domain from this machine is aligned.
    pub fn trust(&self, domain: &str) {
        self.dns.txt(domain, "v=spf1 ip4:127.0.0.1 -all");
    }

    /// Changes the desk as the command line does.
    pub async fn act<T: Send>(&self, mut f: impl FnMut(&mut Tx<'_>, &Act<'_>) -> Result<T, ActionError> + Send) -> T {
        let opened = &self.running().opened;
        opened
            .store
            .transact(|tx| {
                let act = Act { desk: &opened.desk, now: Timestamp::now(), door: Door::Cli, actor: Actor::System };
                f(tx, &act)
            })
            .await
            .unwrap()
    }

    pub fn read<T>(&self, f: impl FnOnce(&View<'_>) -> Result<T, ActionError>) -> T {
        self.running().opened.store.read(f).unwrap()
    }

    /// Adds members of acme, each `name@team.example`.
    pub async fn members(&self, names: &[&str]) {
        for name in names {
            self.act(|tx, act| {
                let new = member::New {
                    login: address(&format!("{name}@team.example")),
                    name: title(name),
                    property: "acme".to_owned(),
                    role: Role::Agent,
                    aliases: Vec::new(),
                    list: false,
                    password: None,
                };
                member::add(tx, act, new)
            })
            .await;
        }
    }

    /// Adds a department of acme.
    pub async fn department(&self, slug: &str, members: &[&str]) {
        let members: Vec<String> = members.iter().map(ToString::to_string).collect();
        self.act(|tx, _| department::add(tx, "acme", slug.parse().unwrap(), title(slug), members.clone())).await;
    }

    /// Sends one message; the last reply.
    pub async fn send(&self, from: &str, to: &[&str], message: &str) -> String {
        send(self.address(), from, to, message).await
    }

    pub fn ticket(&self, reference: &str) -> Ticket {
        self.read(|view| find::ticket(view, reference))
    }

    /// What is on a ticket, events too.
    pub fn entries(&self, reference: &str) -> Vec<Entry> {
        self.read(|view| Ok(find::entries(view, find::ticket(view, reference)?.id)?))
    }

    /// The messages and notes of a ticket.
    pub fn messages(&self, reference: &str) -> Vec<Entry> {
        self.entries(reference).into_iter().filter(|entry| entry.event.is_none()).collect()
    }

    pub fn copies_of(&self, entry: &Entry) -> Vec<Copy> {
        self.read(|view| {
            let copies = entry.copies.iter().map(|id| view.get(&COPIES, id));
            Ok(copies.collect::<Result<Vec<_>, StoreError>>()?.into_iter().flatten().collect())
        })
    }

    /// The recipients of an entry's copies, sorted.
    pub fn readers(&self, entry: &Entry) -> Vec<String> {
        let mut readers: Vec<_> = self.copies_of(entry).iter().map(|copy| copy.to.to_string()).collect();
        readers.sort();
        readers
    }

    /// Waits until nothing is due any more, then gives everything that the next server was sent.
    pub async fn settled(&self) -> Vec<Received> {
        let store = &self.running().opened.store;
        let mut changed = store.changed();
        loop {
            changed.mark_unchanged();
            let due = self.read(|view| Ok(guichet::actions::copies::due(view, Timestamp::now(), 1)?));
            if due.is_empty() {
                return self.sink.received();
            }
            changed.changed().await.unwrap();
        }
    }

    /// What one reader was sent, oldest first.
    pub async fn inbox(&self, reader: &str) -> Vec<String> {
        let is_his = |received: &&Received| received.to.iter().any(|to| to.starts_with(&format!("RCPT TO:<{reader}>")));
        let received = self.settled().await;
        received.iter().filter(is_his).map(|received| String::from_utf8_lossy(&received.message).into_owned()).collect()
    }
}

/// Sends one message to any server; the last reply.
pub async fn send(server: SocketAddr, from: &str, to: &[&str], message: &str) -> String {
    let mut stream = BufReader::new(TcpStream::connect(server).await.unwrap());
    let mut reply = answer(&mut stream).await;
    let mut dialogue = vec!["EHLO client.example.com".to_owned(), format!("MAIL FROM:<{from}>")];
    dialogue.extend(to.iter().map(|to| format!("RCPT TO:<{to}>")));
    dialogue.push("DATA".to_owned());
    for line in dialogue {
        stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        reply = answer(&mut stream).await;
        if !reply.starts_with(['2', '3']) {
            return reply;
        }
    }
    let mut text = String::new();
    for line in message.split('\n') {
        let line = line.trim_end_matches('\r');
        let dot = if line.starts_with('.') { "." } else { "" };
        write!(text, "{dot}{line}\r\n").unwrap();
    }
    text.push_str(".\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    reply.clear();
    reply.push_str(&answer(&mut stream).await);
    stream.write_all(b"QUIT\r\n").await.unwrap();
    reply
}

/// One reply, its last line.
async fn answer(stream: &mut BufReader<TcpStream>) -> String {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        if line.as_bytes().get(3) != Some(&b'-') {
            return line.trim_end().to_owned();
        }
    }
}

pub fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// The value of a header field, unfolded.
pub fn field(message: &str, name: &str) -> Option<String> {
    let header = message.split("\r\n\r\n").next()?.replace("\r\n ", " ").replace("\r\n\t", " ");
    let prefix = format!("{}:", name.to_ascii_lowercase());
    let line = header.split("\r\n").find(|line| line.to_ascii_lowercase().starts_with(&prefix))?.to_owned();
    Some(line[prefix.len()..].trim().to_owned())
}

/// The address in a field such as Reply-To.
pub fn address_in(message: &str, name: &str) -> String {
    let value = field(message, name).unwrap();
    let value = value.rsplit_once('<').map_or(value.as_str(), |(_, rest)| rest.trim_end_matches('>'));
    value.to_owned()
}

fn title(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
