//! A whole daemon in this process: real sockets, a store on disk, a name server and a next server
//! of the tests' own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use guichet::actions::post::Content;
use guichet::actions::ticket::{self, Composition, Worker};
use guichet::actions::{Act, ActionError, Actor, Desk, app_password, department, find, held, member, property};
use guichet::config::{Config, Direct, Relay};
use guichet::daemon::reload::Reloaded;
use guichet::daemon::{self, Opened, Running};
use guichet::desk::address::{Address, Mailbox};
use guichet::desk::command::Asked;
use guichet::desk::copy::{Copy, Scope};
use guichet::desk::entry::{Door, Entry};
use guichet::desk::id::{CopyId, EntryId};
use guichet::desk::language::Language;
use guichet::desk::member::Role;
use guichet::desk::mta_sts::Policy;
use guichet::desk::ticket::Ticket;
use guichet::desk::ticket::{Participant, Priority};
use guichet::dns::Names;
use guichet::metrics::Metrics;
use guichet::mime::compose::{Composed, compose};
use guichet::net::tls::Certificates;
use guichet::relay::probe::Prober;
use guichet::store::tables::COPIES;
use guichet::store::{Read, Store, StoreError, Tx, VerifyReport, View};
use guichet::trust::Signer;
use guichet::trust::keys::{DkimKeys, Record};
use guichet::trust::ring::{First, Ring};
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::daemon::guichet;
use super::dns::Dns;
use super::letter::Letter;
use super::sink::{Received, Sink};

/// The domain of the desk under test.
pub const DOMAIN: &str = "desk.example.org";

/// Where members' mail clients are served, for those who need not know it before.
const LISTENS: &str = "[submission]\nlisten_tls = [\"127.0.0.1:0\"]\nlisten = [\"127.0.0.1:0\"]\n\
                       [imap]\nlisten_tls = [\"127.0.0.1:0\"]\nlisten = [\"127.0.0.1:0\"]\n";

/// Where a desk's mail goes.
enum Out {
    /// To the sink, as the next server.
    Smarthost,
    /// To the sink, as the server of two domains.
    Sink,
    /// To whom a name server names, on a port.
    Named(SocketAddr, u16),
}

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

    /// The same with more lines of config. Where these say where members' clients are served, it is there.
    pub async fn with(more: &str) -> Self {
        Self::begin(DOMAIN, more, None, Out::Smarthost).await
    }

    /// One that delivers to the MX of example.com and team.example, which is the sink.
    pub async fn direct() -> Self {
        Self::direct_with("").await
    }

    /// The same with more lines of config.
    pub async fn direct_with(more: &str) -> Self {
        Self::begin(DOMAIN, more, None, Out::Sink).await
    }

    /// One that asks another program's name server, and delivers to this port of whom that names.
    pub async fn direct_by(name_server: SocketAddr, port: u16) -> Self {
        Self::direct_by_with(name_server, port, "").await
    }

    /// The same with more lines of config.
    pub async fn direct_by_with(name_server: SocketAddr, port: u16, more: &str) -> Self {
        Self::begin(DOMAIN, more, None, Out::Named(name_server, port)).await
    }

    /// The same on a store that the test opened, and can make fail; senders may write alike.
    pub async fn on(store: Store) -> Self {
        Self::begin(DOMAIN, "[limits]\nlook_alike = 1000000\n", Some(store), Out::Smarthost).await
    }

    /// Another desk beside the one under test, of another domain.
    pub async fn of(domain: &str) -> Self {
        Self::begin(domain, "", None, Out::Smarthost).await
    }

    async fn begin(domain: &str, more: &str, store: Option<Store>, out: Out) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let dns = Dns::start().await;
        let sink = Sink::new(&["PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 50000000"]).start().await;
        let mut name_server = dns.servers()[0].clone();
        let direct = |port| format!("mode = \"direct\"\nport = {port}\nallow_loopback = true");
        let relay = match out {
            Out::Smarthost => format!("mode = \"smarthost\"\nsmarthost = \"smtp://{}\"", sink.address()),
            Out::Sink => {
                dns.address("mx.example.net", sink.address().ip());
                dns.exchange("example.com", 10, "mx.example.net").exchange("team.example", 10, "mx.example.net");
                direct(sink.address().port())
            }
            Out::Named(address, port) => {
                name_server = address.to_string();
                direct(port)
            }
        };
        let listens = if more.contains("[imap]") { "" } else { LISTENS };
        let text = format!(
            "hostname = \"mx.{domain}\"\ndomains = [\"{domain}\"]\ndata_dir = \"{}\"\npostmaster = \"acme\"\n\
             [smtp]\nlisten = [\"127.0.0.1:0\"]\n{listens}[relay]\n{relay}\n\
             [dns]\nresolvers = [{:?}]\n{more}",
            dir.path().join("data").display(),
            name_server
        );
        let file = dir.path().join("guichet.toml");
        fs::write(&file, &text).unwrap();
        let config = Config::parse(&text, &file).unwrap();
        put_keys(&dir.path().join("data/dkim"), domain);
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

    /// For a desk that delivers by itself: the mail server of a domain, at 127.0.1.`last`.
    pub async fn server_of(&self, domain: &str, last: u8, sink: Sink) -> Sink {
        let place = SocketAddr::from(([127, 0, 1, last], self.sink.address().port()));
        let host = format!("mx.{domain}");
        self.dns.exchange(domain, 10, &host).address(&host, place.ip());
        sink.start_on(place).await.unwrap()
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

    /// Runs a command of the program beside the daemon: what it printed, its errors and its exit code.
    pub async fn command(&self, args: &[&str]) -> (String, String, i32) {
        let (config, args) = (self.config_file(), args.iter().map(ToString::to_string).collect::<Vec<_>>());
        let output = tokio::task::spawn_blocking(move || {
            let args: Vec<_> = args.iter().map(String::as_str).collect();
            guichet(&config, &args)
        });
        let output = output.await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr), output.status.code().unwrap())
    }

    /// The store and the rules, for a part of the daemon that a test puts together itself.
    pub fn inside(&self) -> (Store, Arc<Desk>) {
        let opened = &self.running().opened;
        (opened.store.clone(), Arc::clone(&opened.desk))
    }

    /// The keys that sign, and the eye on their records.
    pub fn names(&self) -> Arc<Names> {
        Arc::clone(&self.running().names)
    }

    /// The same on this desk's store and keys, at another time.
    pub fn names_at(&self, now: Timestamp) -> Arc<Names> {
        let (store, desk) = self.inside();
        Arc::new(Names::new(Arc::new(self.config.clone()), store, desk, move || now))
    }

    /// The same, of a desk that sends straight to other servers from addresses of its own.
    pub fn names_from(&self, source: &[&str], policy: Option<Policy>) -> Arc<Names> {
        Arc::new(self.unshared_names(source, policy))
    }

    /// The same, to be furnished further.
    pub fn unshared_names(&self, source: &[&str], policy: Option<Policy>) -> Names {
        let (store, desk) = self.inside();
        let mut config = self.config.clone();
        config.relay = Relay::Direct(Direct::default());
        config.egress.source = source.iter().map(|source| source.parse().unwrap()).collect();
        Names::new(Arc::new(config), store, desk, Timestamp::now).with_policy(policy)
    }

    /// Tests the way out.
    pub fn prober(&self) -> Arc<Prober> {
        Arc::clone(&self.running().prober)
    }

    /// What the daemon has counted.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.running().metrics)
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

    /// The daemon itself.
    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.running().listens.smtp[0]
    }

    /// Where members submit: TLS from the start, and STARTTLS.
    pub fn submission(&self) -> (SocketAddr, SocketAddr) {
        (self.running().listens.submission_tls[0], self.running().listens.submission[0])
    }

    /// Where mail clients read, by TLS from the start and by STARTTLS.
    pub fn imap(&self) -> (SocketAddr, SocketAddr) {
        (self.running().listens.imap_tls[0], self.running().listens.imap[0])
    }

    /// Where HTTPS and HTTP are answered.
    pub fn web(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        (self.running().listens.web_tls.first().copied(), self.running().listens.web.first().copied())
    }

    /// What is shown to those who connect.
    pub fn certificates(&self) -> Certificates {
        self.running().certificates().clone()
    }

    /// Changes the config file as an editor does, and does what SIGHUP does.
    pub async fn reload(&mut self, edit: impl FnOnce(String) -> String) -> Reloaded {
        let file = self.config_file();
        fs::write(&file, edit(fs::read_to_string(&file).unwrap())).unwrap();
        self.running.as_mut().unwrap().reload().await
    }

    /// The file with the daemon's certificate.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("data/certs/self-signed.pem")
    }

    /// Makes an app password for a device of a member.
    pub async fn app_password(&self, who: &str, device: &str) -> String {
        self.try_app_password(who, device).await.unwrap()
    }

    pub async fn try_app_password(&self, who: &str, device: &str) -> Result<String, ActionError> {
        let Opened { store, desk } = &self.running().opened;
        let act = Act { desk, now: Timestamp::now(), door: Door::Cli, actor: Actor::System, trace: None, client: None };
        store.transact(|tx| Ok(app_password::add(tx, &act, who, device)?.1)).await
    }

    /// Mail of this domain from this machine is aligned.
    pub fn trust(&self, domain: &str) {
        self.dns.txt(domain, "v=spf1 ip4:127.0.0.1 -all");
    }

    /// Changes the desk as the command line does, and waits for the copies.
    pub async fn act<T: Send>(&self, f: impl FnMut(&mut Tx<'_>, &Act<'_>) -> Result<T, ActionError> + Send) -> T {
        let done = self.begin_to_act(f).await;
        self.settled().await;
        done
    }

    /// The same, and the copies go on their way by themselves.
    pub async fn begin_to_act<T: Send>(
        &self,
        mut f: impl FnMut(&mut Tx<'_>, &Act<'_>) -> Result<T, ActionError> + Send,
    ) -> T {
        let opened = &self.running().opened;
        let done = opened.store.transact(|tx| {
            let act = Act {
                desk: &opened.desk,
                now: Timestamp::now(),
                door: Door::Cli,
                actor: Actor::System,
                trace: None,
                client: None,
            };
            f(tx, &act)
        });
        done.await.unwrap()
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

    /// Adds a distribution address to a property.
    pub async fn list_member(&self, property: &str, login: &str) {
        self.act(|tx, act| {
            let new = member::New {
                login: address(login),
                name: "Another desk".to_owned(),
                property: property.to_owned(),
                role: Role::Agent,
                aliases: Vec::new(),
                list: true,
                password: None,
            };
            member::add(tx, act, new)
        })
        .await;
    }

    /// Removes a member.
    pub async fn remove_member(&self, who: &str) {
        self.act(|tx, act| member::remove(tx, act, who)).await;
    }

    /// Adds a department of acme.
    pub async fn department(&self, slug: &str, members: &[&str]) {
        let members: Vec<String> = members.iter().map(ToString::to_string).collect();
        self.act(|tx, _| department::add(tx, "acme", slug.parse().unwrap(), &title(slug), members.clone())).await;
    }

    /// Changes a property.
    pub async fn edit(&self, slug: &str, changes: property::Changes) {
        self.act(|tx, act| property::edit(tx, act, slug, changes.clone())).await;
    }

    /// A reply or a note of a member, or of the system, by the command line's way.
    pub async fn write(&self, reference: &str, who: Option<&str>, scope: Scope, text: &str) -> Entry {
        self.act(|tx, act| {
            let property = find::property_by_id(tx, find::ticket(tx, reference)?.property)?;
            let actor = ticket::acting(tx, &property, who)?;
            let content = content(tx, act, "", text)?;
            Ok(ticket::write(tx, &act.with_actor(actor), reference, scope, None, content)?.1)
        })
        .await
    }

    /// A ticket that a member, or the system, composes.
    pub async fn compose(&self, slug: &str, who: Option<&str>, to: &[&str], subject: &str, text: &str) -> String {
        let reference = self.begin_to_compose(slug, who, to, subject, text).await;
        self.settled().await;
        reference
    }

    /// The same, and the copies go on their way by themselves.
    pub async fn begin_to_compose(
        &self,
        slug: &str,
        who: Option<&str>,
        to: &[&str],
        subject: &str,
        text: &str,
    ) -> String {
        let mailboxes: Vec<_> = to.iter().map(|to| Mailbox::new("", address(to))).collect();
        let composed = self.begin_to_act(|tx, act| {
            let property = find::property(tx, slug)?;
            let actor = ticket::acting(tx, &property, who)?;
            let composition = Composition {
                requester: mailboxes[0].clone(),
                cc: mailboxes[1..].to_vec(),
                followers: Vec::new(),
                priority: Priority::Normal,
                tags: Vec::new(),
                worker: Worker::Author,
            };
            let content = content(tx, act, subject, text)?;
            Ok(ticket::compose(tx, &act.with_actor(actor), &property, composition, content)?.0)
        });
        composed.await.reference.to_string()
    }

    /// Accepts an entry, as the command line does.
    pub async fn accept(&self, reference: &str, entry: EntryId, joins: Option<held::As>) {
        self.act(|tx, act| held::accept(tx, act, reference, entry, joins)).await;
    }

    /// Sends a mail that must be taken, and waits for its copies, so that mailboxes have an order;
    /// the names of the tickets that it is on.
    pub async fn post(&self, letter: &Letter) -> String {
        let reply = self.offer(letter).await;
        self.settled().await;
        let tickets = reply.strip_prefix("250 2.0.0 ").and_then(|rest| rest.split_once(" as "));
        let Some((tickets, _)) = tickets else { panic!("{reply} for {}", letter.message()) };
        tickets.to_owned()
    }

    /// Sends a mail; the last reply.
    pub async fn offer(&self, letter: &Letter) -> String {
        let recipients = letter.recipients();
        let recipients: Vec<_> = recipients.iter().map(String::as_str).collect();
        self.send(&letter.sender(), &recipients, &letter.message()).await
    }

    /// Publishes the keys of a domain, and signs for it.
    pub fn signer(&self, domain: &str) -> Signer {
        for record in dkim_records(domain) {
            self.dns.txt(&record.name, &record.value);
        }
        Signer::new(domain, &dkim_keys(domain)).unwrap()
    }

    /// Sends one message; the last reply.
    pub async fn send(&self, from: &str, to: &[&str], message: &str) -> String {
        send(self.address(), from, to, message.as_bytes()).await
    }

    /// Sends octets that must be taken, and waits for their copies.
    pub async fn send_octets(&self, from: &str, to: &[&str], message: &[u8]) {
        let reply = send(self.address(), from, to, message).await;
        assert!(reply.starts_with("250"), "{reply} for {}", String::from_utf8_lossy(message));
        self.settled().await;
    }

    /// A ticket, if there is one of that name.
    pub fn find(&self, reference: &str) -> Option<Ticket> {
        self.read(|view| Ok(find::ticket(view, reference).ok()))
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

    /// The newest message or note of a ticket.
    pub fn newest(&self, reference: &str) -> Entry {
        self.messages(reference).pop().unwrap()
    }

    /// The participants with an address.
    pub fn participant(&self, reference: &str, address: &str) -> Option<Participant> {
        self.ticket(reference).participants.into_iter().find(|participant| participant.address.as_str() == address)
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
            let now = (Timestamp::now(), CopyId(u64::MAX));
            let due = self.read(|view| Ok(guichet::actions::copies::due(view, now, 1)?));
            if due.is_empty() {
                return self.sink.received();
            }
            changed.changed().await.unwrap();
        }
    }

    /// What one reader was sent last.
    pub async fn last(&self, reader: &str) -> String {
        self.inbox(reader).await.pop().unwrap_or_else(|| panic!("{reader} was sent nothing"))
    }

    /// What one reader was sent, oldest first.
    pub async fn inbox(&self, reader: &str) -> Vec<String> {
        let is_his = |received: &&Received| received.to.iter().any(|to| to.starts_with(&format!("RCPT TO:<{reader}>")));
        let received = self.settled().await;
        received.iter().filter(is_his).map(|received| String::from_utf8_lossy(&received.message).into_owned()).collect()
    }
}

/// Sends one message to any server; the last reply. Lines may end in LF alone.
pub async fn send(server: SocketAddr, from: &str, to: &[&str], message: &[u8]) -> String {
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
    let mut text = Vec::new();
    for line in message.split(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.starts_with(b".") {
            text.push(b'.');
        }
        text.extend_from_slice(line);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b".\r\n");
    stream.write_all(&text).await.unwrap();
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

/// What the command line makes of a text.
pub fn content(tx: &mut Tx<'_>, act: &Act<'_>, subject: &str, text: &str) -> Result<Content, ActionError> {
    let message_id = act.desk.mint();
    let message = compose(&Composed {
        from: Mailbox::new("", address("acme@desk.example.org")),
        to: Vec::new(),
        cc: Vec::new(),
        subject: subject.to_owned(),
        date: act.now,
        message_id: message_id.clone(),
        in_reply_to: None,
        references: Vec::new(),
        text: text.to_owned(),
        attachments: Vec::new(),
    });
    Ok(Content {
        message_id: Some(message_id),
        date: Some(act.now),
        subject: subject.to_owned(),
        text: text.to_owned(),
        attachments: Vec::new(),
        raw: tx.put_raw(message)?,
        named: Vec::new(),
        mentioned: Vec::new(),
        conversation: None,
        verdict: None,
        arrived_at: None,
        from: None,
        asked: Asked::default(),
    })
}

/// Key files that all desks of one run of the tests share: making an RSA key takes its time.
static KEYS: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    Ring::open(dir.path(), DOMAIN, First::Active, Timestamp::now()).unwrap();
    let files = fs::read_dir(dir.path().join(DOMAIN)).unwrap().map(Result::unwrap);
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
});

/// Puts those keys where a daemon looks for a domain's.
fn put_keys(dkim: &Path, domain: &str) {
    let dir = dkim.join(domain);
    fs::create_dir_all(&dir).unwrap();
    for (name, key) in KEYS.iter() {
        fs::write(dir.join(name), key).unwrap();
    }
}

/// The keys that every domain of the tests signs with.
fn dkim_keys(domain: &str) -> DkimKeys {
    let dir = tempfile::tempdir().unwrap();
    put_keys(dir.path(), domain);
    Ring::open(dir.path(), domain, First::Active, Timestamp::now()).unwrap().signing()
}

/// The selector and the RSA key, in PEM, that a domain of the tests signs with.
pub fn rsa_key(domain: &str) -> (String, String) {
    let selector = dkim_keys(domain).rsa().unwrap().selector.to_string();
    let key = KEYS.iter().find(|(name, _)| *name == format!("{selector}.rsa")).unwrap();
    (selector, String::from_utf8(key.1.clone()).unwrap())
}

/// The records that let others verify what a domain of the tests signs.
pub fn dkim_records(domain: &str) -> Vec<Record> {
    dkim_keys(domain).records(domain)
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
