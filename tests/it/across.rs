//! Mail between domains as on the internet: daemons that know each other by the DNS alone, another
//! program's name server, and other people's verdict on every mail.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use guichet::store::tables::ENTRIES;
use guichet::store::{Options, Order, Read, Store};
use mail_parser::{MessageParser, MimeHeaders as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::daemon::Daemon;
use crate::kit::named::Named;
use crate::kit::peers;
use crate::kit::ports::free_port;

/// How long a mail may be under way before the test fails.
const PATIENCE: Duration = Duration::from_mins(2);
const REPLIES: usize = 10;

/// SPF by pyspf, DKIM by dkimpy, and what RFC 7489 makes of them.
const JUDGE: &str = "import base64, email, email.utils, json, sys
import dkim, dns.resolver, spf
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers, resolver.port = ['127.0.0.1'], int(sys.argv[1])
dns.resolver.default_resolver = resolver
def judge(mail):
    raw = base64.b64decode(mail['message'])
    message = email.message_from_bytes(raw)
    domain = email.utils.parseaddr(message['From'])[1].split('@')[1].lower()
    aligned = lambda other: other == domain or other.endswith('.' + domain)
    policy = b''.join(list(resolver.resolve('_dmarc.' + domain, 'TXT'))[0].strings).decode()
    passed = spf.check2(i=mail['client'], s=mail['sender'], h=mail['helo'])[0]
    signatures = []
    for at in range(len(message.get_all('DKIM-Signature', []))):
        signature = dkim.DKIM(raw)
        good = signature.verify(idx=at)
        algorithm = signature.signature_fields[b'a'].decode()
        signatures.append([algorithm, good, aligned(signature.domain.decode())])
    spf_passes = passed == 'pass' and aligned(mail['sender'].split('@')[1].lower())
    dkim_passes = any(good and same for _, good, same in signatures)
    return {'policy': policy, 'spf': spf_passes, 'dkim': signatures, 'dmarc': spf_passes or dkim_passes}
json.dump([judge(mail) for mail in json.load(sys.stdin)], sys.stdout)
";

#[test]
fn two_desks_converse_through_the_dns_and_every_copy_passes_dmarc() {
    let (Some(python), Some(sink)) = (peers::python(), peers::program("smtp-sink")) else { return };
    let addresses = [21, 22, 23].map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, last, 1)));
    let port = free_port(&addresses);
    let mut desks = [
        Site::new("one.example", "acme", "alice@team.example", addresses[0], port),
        Site::new("two.example", "bulle", "bernard@team.example", addresses[1], port),
    ];
    let zones = desks.each_ref().map(Site::zone);
    let team = format!("@ IN MX 10 mx\nmx IN A {}\n", addresses[2]);
    let known = [
        ("one.example", zones[0].as_str()),
        ("two.example", zones[1].as_str()),
        ("team.example", &team),
        // Whatever else is asked for is not there.
        (".", ""),
    ];
    let Some(named) = Named::start(&known) else { return };
    let team = Dump::start(&sink, SocketAddr::new(addresses[2], port));
    for desk in &mut desks {
        desk.serve(named.address());
    }

    let [one, two] = &desks;
    let mut said = vec!["Our printer prints nothing but zeros.".to_owned()];
    let subject = "L’imprimante ne rend que des zéros";
    let new =
        ["ticket", "new", "acme", "--to", "bulle@two.example", "--subject", subject, "--as", "alice@team.example"];
    one.say(&new, &said[0], 0);
    two.until("bulle-1", 1);
    for number in 1..=REPLIES {
        let (from, to) = if number % 2 == 1 { (two, one) } else { (one, two) };
        said.push(format!("This is what was said in {number}., with a ø."));
        from.say(&["ticket", "reply", &from.ticket(), "--as", from.member], &said[number], number);
        to.until(&to.ticket(), number + 1);
    }

    let mut mails = Vec::new();
    for desk in &mut desks {
        desk.until_sent();
        let shown = desk.ask(&["ticket", "show", &desk.ticket()]);
        let texts: Vec<_> = messages(&shown).map(|entry| entry["text"].as_str().unwrap().trim().to_owned()).collect();
        assert_eq!(texts, said, "{} tells another story", desk.domain);
        assert_eq!(shown["subject"], subject);
        let tickets = desk.ask(&["ticket", "list"]);
        assert_eq!(tickets["tickets"].as_array().unwrap().len(), 1, "{tickets}");
        desk.stop();
        mails.extend(desk.received());
    }
    assert_eq!(mails.len(), 1 + REPLIES);
    for mail in &mails {
        assert_eq!(attachment(&mail.message), contents(mail.number()), "an attachment came otherwise");
    }
    // What the members read: the other's words.
    let copies = team.received();
    assert_eq!(copies.len(), 1 + REPLIES);
    mails.extend(copies);

    let verdicts = judge(&python, named.address().port(), &mails);
    assert_eq!(verdicts.len(), mails.len());
    for (verdict, mail) in verdicts.iter().zip(&mails) {
        let message = String::from_utf8_lossy(&mail.message);
        assert!(mail.helo.starts_with("out."), "as the configuration says: {}", mail.helo);
        assert_eq!(verdict["dmarc"], true, "{verdict}\n{message}");
        assert_eq!(verdict["spf"], true, "{verdict}\n{} {}", mail.client, mail.sender);
        let signatures = json!([["ed25519-sha256", true, true], ["rsa-sha256", true, true]]);
        assert_eq!(verdict["dkim"], signatures, "{message}");
        assert_eq!(verdict["policy"], "v=DMARC1; p=reject");
    }
    // Each mail its own: two copies of one message would be the same mail to a reader.
    let ids: BTreeSet<_> = mails.iter().map(|mail| (mail.id(), mail.sender.clone())).collect();
    assert_eq!(ids.len(), mails.len());
}

/// One daemon with its domain, property and member.
struct Site {
    folder: TempDir,
    domain: &'static str,
    property: &'static str,
    member: &'static str,
    address: IpAddr,
    port: u16,
    daemon: Option<Daemon>,
}

impl Site {
    fn new(domain: &'static str, property: &'static str, member: &'static str, address: IpAddr, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let site = Self { folder, domain, property, member, address, port, daemon: None };
        // Until there is one: no name server is asked.
        site.configure(SocketAddr::new(address, port));
        site.ask(&["property", "add", property, "--name", "Support"]);
        site.ask(&["member", "add", member, "--name", "Somebody", "--property", property]);
        site
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("guichet.toml")
    }

    fn configure(&self, name_server: SocketAddr) {
        let Self { domain, property, address, port, .. } = self;
        let text = format!(
            "hostname = \"mx.{domain}\"\ndomains = [\"{domain}\"]\ndata_dir = \"{}\"\npostmaster = \"{property}\"\n\
             [smtp]\nlisten = [\"{}\"]\n[submission]\nlisten = []\nlisten_tls = []\n[imap]\nlisten_tls = []\n\
             [relay]\nmode = \"direct\"\nport = {port}\nallow_loopback = true\nsource = [\"{address}\"]\n\
             helo = \"out.{domain}\"\n\
             [dns]\nresolvers = [\"{name_server}\"]\n",
            self.folder.path().join("data").display(),
            SocketAddr::new(*address, *port),
        );
        fs::write(self.config(), text).unwrap();
    }

    /// The domain's zone: what `guichet dns` says, and the host's address.
    fn zone(&self) -> String {
        let mut zone = format!("mx IN A {0}\nout IN A {0}\n", self.address);
        for record in self.ask(&["dns"])["records"].as_array().unwrap() {
            let text = |key: &str| record[key].as_str().unwrap().to_owned();
            let (name, kind, value) = (text("name"), text("type"), text("value"));
            match kind.as_str() {
                "MX" => writeln!(zone, "{name}. IN MX {value}.").unwrap(),
                "TXT" => {
                    // A domain that is sure of itself.
                    let value = value.replace("p=quarantine", "p=reject");
                    let strings: Vec<_> = value.as_bytes().chunks(255).map(String::from_utf8_lossy).collect();
                    writeln!(zone, "{name}. IN TXT \"{}\"", strings.join("\" \"")).unwrap();
                }
                _ => {}
            }
        }
        zone
    }

    fn serve(&mut self, name_server: SocketAddr) {
        self.configure(name_server);
        self.daemon = Some(Daemon::start(&self.config()));
    }

    fn stop(&mut self) {
        let daemon = self.daemon.take().unwrap();
        daemon.terminate();
        let (status, log) = daemon.wait();
        assert!(status.success(), "{log}");
    }

    /// Asks on the command line.
    fn ask(&self, args: &[&str]) -> Value {
        self.run(args, "")
    }

    /// Writes something, with a file that has its number.
    fn say(&self, args: &[&str], text: &str, number: usize) {
        let file = self.folder.path().join(format!("zéros-{number}.bin"));
        fs::write(&file, contents(number)).unwrap();
        self.run(&[args, &["--attach", file.to_str().unwrap()]].concat(), text);
    }

    fn run(&self, args: &[&str], input: &str) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guichet"));
        command.args(args).arg("--json").arg("--config").arg(self.config());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{args:?}");
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    fn ticket(&self) -> String {
        format!("{}-1", self.property)
    }

    /// Waits until a ticket is there and has so many messages.
    fn until(&self, ticket: &str, count: usize) {
        self.wait(|| {
            let there = self.ask(&["ticket", "list"])["tickets"].as_array().is_some_and(|list| !list.is_empty());
            there && messages(&self.ask(&["ticket", "show", ticket])).count() == count
        });
    }

    /// Waits until every copy is with its server.
    fn until_sent(&self) {
        self.wait(|| {
            let shown = self.ask(&["ticket", "show", &self.ticket()]);
            let sent = |entry: &Value| entry["copies"].as_array().unwrap().iter().all(|copy| copy["state"] == "sent");
            messages(&shown).all(sent)
        });
    }

    fn wait(&self, mut reached: impl FnMut() -> bool) {
        let start = Instant::now();
        while !reached() {
            if start.elapsed() > PATIENCE {
                let state = [&["ticket", "show", &self.ticket()][..], &["queue", "list"]].map(|args| self.ask(args));
                panic!("{} waits in vain: {:#?}", self.domain, state);
            }
        }
    }

    /// What came in from the other desk, as its trace field and its judge say, from the store of a
    /// daemon that has stopped.
    fn received(&self) -> Vec<Mail> {
        let store = Store::open(&self.folder.path().join("data/store"), Options::default()).unwrap();
        assert!(store.verify().unwrap().is_clean());
        store
            .read(|view| {
                let mut mails = Vec::new();
                for (_, entry) in view.range(&ENTRIES, .., Order::Up, usize::MAX)? {
                    let (Some(raw), Some(verdict)) = (entry.raw, &entry.verdict) else { continue };
                    let message = view.raw(raw)?;
                    let text = String::from_utf8_lossy(&message);
                    let (helo, rest) = text["Received: from ".len()..].split_once(" ([").unwrap();
                    let client = rest.split(']').next().unwrap();
                    mails.push(Mail {
                        client: client.to_owned(),
                        helo: helo.to_owned(),
                        sender: format!("bounces@{}", verdict.spf_domain),
                        message: message.clone(),
                    });
                }
                Ok::<_, guichet::store::StoreError>(mails)
            })
            .unwrap()
    }
}

fn messages(ticket: &Value) -> impl Iterator<Item = &Value> {
    ticket["entries"].as_array().into_iter().flatten().filter(|entry| entry["kind"] == "message")
}

/// What is attached to the message of a number.
fn contents(number: usize) -> Vec<u8> {
    (0..3_000 + number).map(|at| u8::try_from((at * 7 + number) % 256).unwrap()).collect()
}

fn attachment(message: &[u8]) -> Vec<u8> {
    let message = MessageParser::new().parse(message).unwrap();
    let attachments: Vec<_> = message.attachments().collect();
    assert_eq!(attachments.len(), 1);
    assert!(attachments[0].attachment_name().unwrap().starts_with("zéros-"), "{attachments:?}");
    attachments[0].contents().to_vec()
}

/// A mail as a server got it.
struct Mail {
    client: String,
    helo: String,
    sender: String,
    message: Vec<u8>,
}

impl Mail {
    fn id(&self) -> String {
        MessageParser::new().parse(&self.message).unwrap().message_id().unwrap().to_owned()
    }

    fn number(&self) -> usize {
        let message = MessageParser::new().parse(&self.message).unwrap();
        let name = message.attachments().next().unwrap().attachment_name().unwrap().to_owned();
        name["zéros-".len()..].split('.').next().unwrap().parse().unwrap()
    }
}

fn judge(python: &Path, port: u16, mails: &[Mail]) -> Vec<Value> {
    let mut command = Command::new(python);
    command.args(["-c", JUDGE, &port.to_string()]);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let asked: Vec<_> = mails
        .iter()
        .map(|mail| {
            json!({"client": mail.client, "helo": mail.helo, "sender": mail.sender,
                "message": BASE64.encode(&mail.message)})
        })
        .collect();
    process.stdin.take().unwrap().write_all(Value::from(asked).to_string().as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Postfix's smtp-sink, which writes down each mail that it gets.
struct Dump {
    process: Child,
    folder: TempDir,
}

impl Dump {
    fn start(program: &Path, address: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "nobody"]);
            fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        }
        command.args(["-d", "mail."]).arg(address.to_string()).arg("100").current_dir(folder.path());
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < PATIENCE, "smtp-sink does not listen at {address}");
            std::thread::yield_now();
        }
        Self { process, folder }
    }

    /// Below its own lines about the session stands the mail.
    fn received(&self) -> Vec<Mail> {
        let mut mails = Vec::new();
        for file in fs::read_dir(self.folder.path()).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            let field = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                line.split(' ').next().unwrap().trim_matches(['<', '>']).to_owned()
            };
            let (_, message) = text.split_once("\nReceived: ").unwrap();
            // Its trace field has folded lines.
            let own = message.split_inclusive('\n').skip(1).take_while(|line| line.starts_with(['\t', ' ']));
            let first = message.find('\n').unwrap() + 1;
            let message = &message[first + own.map(str::len).sum::<usize>()..];
            mails.push(Mail {
                client: field("X-Client-Addr: "),
                helo: field("X-Helo-Args: "),
                sender: field("X-Mail-Args: "),
                message: message.replace('\n', "\r\n").into_bytes(),
            });
        }
        mails
    }
}

impl Drop for Dump {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
