//! Mail clients that know an address find the desk: Thunderbird, Outlook and Apple's devices ask on
//! the HTTPS listener, and are told the same about everybody.

use std::io::Write as _;
use std::process::{Command, Stdio};

use guichet::daemon::reload::Reloaded;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::kit::authority::{Authority, ask, shake};
use crate::kit::desk::TestDesk;
use crate::kit::peers;

const HOST: &str = "mx.desk.example.org";
const PATH: &str = "/mail/config-v1.1.xml";
const WELL_KNOWN: &str = "/.well-known/autoconfig/mail/config-v1.1.xml";
const OUTLOOK: &str = "/autodiscover/autodiscover.xml";

struct Site {
    desk: TestDesk,
    authority: Authority,
    _folder: TempDir,
}

impl Site {
    /// A desk that clients of addresses at team.example are led to.
    async fn new() -> Self {
        let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
        let names = [HOST, "autoconfig.team.example", "autodiscover.team.example"];
        let (certificate, key) = authority.issue(&names).write(folder.path());
        let desk = TestDesk::with(&format!(
            "[web]\nlisten_tls = [\"127.0.0.1:0\"]\nlisten = [\"127.0.0.1:0\"]\n\
             [tls]\ncertificate = \"{}\"\nkey = \"{}\"\nautoconfig = [\"team.example\"]\n",
            certificate.display(),
            key.display(),
        ))
        .await;
        desk.members(&["alice"]).await;
        Self { desk, authority, _folder: folder }
    }

    /// What is answered over TLS.
    async fn ask(&self, request: &str) -> Answer {
        let stream = TcpStream::connect(self.desk.web().0.unwrap()).await.unwrap();
        Answer::of(&ask(&mut shake(&self.authority.believer(), HOST, stream).await.unwrap(), request).await)
    }

    async fn get(&self, host: &str, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
    }

    async fn post(&self, host: &str, path: &str, body: &str) -> Answer {
        let length = body.len();
        self.ask(&format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}")).await
    }

    async fn outlook(&self, address: &str) -> Answer {
        self.post("autodiscover.team.example", "/Autodiscover/Autodiscover.xml", &outlook_asks(address)).await
    }
}

#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    header: String,
    body: String,
}

impl Answer {
    fn of(text: &str) -> Self {
        let (header, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = header.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
        // The time of day differs.
        let header = header.lines().filter(|line| !line.starts_with("date: ")).collect::<Vec<_>>().join("\n");
        Self { status, header, body: body.to_owned() }
    }
}

fn outlook_asks(address: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/\
         autodiscover/outlook/requestschema/2006\">\n <Request>\n  <EMailAddress>{address}</EMailAddress>\n  \
         <AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a\
         </AcceptableResponseSchema>\n </Request>\n</Autodiscover>\n"
    )
}

/// What Python's own readers make of an answer, by a script that prints what it finds.
fn understood(script: &str, text: &str) -> Option<String> {
    let mut child = Command::new(peers::python()?)
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

const READ_THUNDERBIRD: &str = r"
import sys, xml.etree.ElementTree as tree
root = tree.fromstring(sys.stdin.buffer.read())
provider = root.find('emailProvider')
print(root.tag, root.get('version'), *[domain.text for domain in provider.iter('domain')])
for server in provider:
    if server.tag.endswith('Server'):
        print(server.tag, server.get('type'), *[field.text for field in server])
";

const READ_OUTLOOK: &str = r"
import sys, xml.etree.ElementTree as tree
space = '{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}'
account = tree.fromstring(sys.stdin.buffer.read()).find(f'{space}Response/{space}Account')
print(*[account.find(space + name).text for name in ('AccountType', 'Action')])
for protocol in account.iter(space + 'Protocol'):
    names = ('Type', 'Server', 'Port', 'LoginName', 'SSL', 'Encryption', 'AuthRequired')
    print(*[protocol.find(space + name).text for name in names])
";

const READ_APPLE: &str = r"
import sys, plistlib
profile = plistlib.loads(sys.stdin.buffer.read())
[account] = profile['PayloadContent']
print(profile['PayloadType'], profile['PayloadVersion'], account['PayloadType'], account['EmailAccountType'])
print(account['EmailAddress'], account['OutgoingPasswordSameAsIncomingPassword'])
for way in ('Incoming', 'Outgoing'):
    names = ('HostName', 'PortNumber', 'UseSSL', 'Username', 'Authentication')
    print(*[account[f'{way}MailServer{name}'] for name in names])
";

#[tokio::test(flavor = "multi_thread")]
async fn each_client_gets_what_it_asks_for_where_it_asks() {
    let site = Site::new().await;
    for (host, path) in [
        ("autoconfig.team.example", "/mail/config-v1.1.xml?emailaddress=alice%40team.example"),
        ("AutoConfig.Team.Example:443", PATH),
        ("autoconfig.team.example", WELL_KNOWN),
        (HOST, WELL_KNOWN),
        (HOST, PATH),
    ] {
        let answer = site.get(host, path).await;
        assert_eq!(answer.status, 200, "{host}{path}: {answer:?}");
        assert!(answer.header.contains("content-type: text/xml; charset=utf-8"), "{answer:?}");
        let Some(found) = understood(READ_THUNDERBIRD, &answer.body) else { return };
        // Ports are given by the system here.
        let server = |way: &str, protocol: &str, socket: &str| {
            format!("{way}Server {protocol} mx.desk.example.org 0 {socket} %EMAILADDRESS% password-cleartext\n")
        };
        let servers = [("incoming", "imap"), ("outgoing", "smtp")];
        let both = |(way, protocol)| server(way, protocol, "SSL") + &server(way, protocol, "STARTTLS");
        let servers: String = servers.into_iter().map(both).collect();
        assert_eq!(found, format!("clientConfig 1.1 team.example mx.desk.example.org\n{servers}"));
    }

    let answer = site.outlook("alice@team.example").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let expected = "email settings\nIMAP mx.desk.example.org 0 alice@team.example on SSL on\n\
                    SMTP mx.desk.example.org 0 alice@team.example on SSL on\n";
    assert_eq!(understood(READ_OUTLOOK, &answer.body).unwrap(), expected);

    let answer = site.get(HOST, "/apple.mobileconfig?email=alice%2Bphone%40team.example").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header.contains("content-type: application/x-apple-aspen-config"), "{answer:?}");
    let server = "mx.desk.example.org 0 True alice+phone@team.example EmailAuthPassword\n";
    let expected = format!(
        "Configuration 1 com.apple.mail.managed EmailTypeIMAP\nalice+phone@team.example True\n{server}{server}"
    );
    assert_eq!(understood(READ_APPLE, &answer.body).unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_an_address_is_a_members_is_told_to_nobody() {
    let site = Site::new().await;
    let thunderbird =
        async |address: &str| site.get("autoconfig.team.example", &format!("{PATH}?emailaddress={address}")).await;
    let (known, unknown) = ("alice@team.example", "nancy@team.example");
    assert_eq!(thunderbird(known).await, thunderbird(unknown).await);
    let renamed = |answer: Answer| Answer { body: answer.body.replace(unknown, known), ..answer };
    assert_eq!(site.outlook(known).await, renamed(site.outlook(unknown).await));
    let apple = async |address: &str| {
        let mut answer = site.get(HOST, &format!("/apple.mobileconfig?email={address}")).await;
        let pieces = answer.body.split("<key>PayloadUUID</key>\n<string>").skip(1);
        let ids: Vec<_> = pieces.map(|piece| piece[..36].to_owned()).collect();
        assert_eq!(ids.len(), 2, "{answer:?}");
        for id in ids {
            answer.body = answer.body.replace(&id, "an id");
        }
        answer
    };
    assert_eq!(apple(known).await, renamed(apple(unknown).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_elsewhere_or_otherwise_is_not_answered() {
    let site = Site::new().await;
    let asked = outlook_asks("alice@team.example");
    let elsewhere =
        ["team.example", "autoconfig.desk.example.org", "autoconfig.example.com", "mx.desk.example.org.evil.example"];
    for host in elsewhere {
        assert_eq!(site.get(host, PATH).await.status, 404, "{host}");
        assert_eq!(site.get(host, "/apple.mobileconfig?email=alice@team.example").await.status, 404, "{host}");
        assert_eq!(site.post(host, OUTLOOK, &asked).await.status, 405, "{host}");
    }
    for query in ["", "?email=", "?email=alice", "?email=%00", "?email=%3Cb%3E@team.example", "?mail=a@team.example"] {
        let answer = site.get(HOST, &format!("/apple.mobileconfig{query}")).await;
        assert!(answer.status == 400 && answer.body.contains("?email=name@example.org"), "{query}: {answer:?}");
    }
    let answer = site.get(HOST, OUTLOOK).await;
    assert!(answer.status == 405 && answer.header.contains("allow: POST"), "{answer:?}");
    for body in ["", "<EMailAddress>", "\u{0}", &outlook_asks("nobody"), &outlook_asks("&lt;b&gt;@team.example")] {
        let answer = site.post(HOST, OUTLOOK, body).await;
        assert!(answer.status == 200 && answer.body.contains("<ErrorCode>600</ErrorCode>"), "{body:?}: {answer:?}");
    }
    assert_eq!(site.post(HOST, OUTLOOK, &"x".repeat(17 << 10)).await.status, 413);
    let endless = format!("POST {OUTLOOK} HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n");
    assert_eq!(site.ask(&(endless + &"x".repeat(20 << 10))).await.status, 413);
    // A body where none is looked at is neither waited for nor read.
    let announced = format!("POST {PATH} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000000\r\n\r\n");
    assert_eq!(site.ask(&announced).await.status, 405);

    // In clear there is nothing but the way to TLS; Outlook follows an older word.
    for (path, status) in [(PATH, 308), (OUTLOOK, 302), ("/apple.mobileconfig", 308)] {
        let mut stream = TcpStream::connect(site.desk.web().1.unwrap()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: autodiscover.team.example\r\n\r\n");
        let answer = Answer::of(&ask(&mut stream, &request).await);
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.header.contains(&format!("location: https://autodiscover.team.example{path}")), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn which_domains_are_led_here_changes_without_a_restart() {
    let mut site = Site::new().await;
    let reloaded = site.desk.reload(|text| text.replace("[\"team.example\"]", "[\"other.example\"]")).await;
    let Reloaded::Applied { waiting, .. } = reloaded else { panic!("{reloaded:?}") };
    assert_eq!(waiting, Vec::<String>::new());
    assert_eq!(site.get("autoconfig.team.example", PATH).await.status, 404);
    let answer = site.get("autoconfig.other.example", PATH).await;
    assert!(answer.status == 200 && answer.body.contains("<domain>other.example</domain>"), "{answer:?}");
    let names = site.desk.names();
    assert!(names.leads_clients_of("Other.example") && !names.leads_clients_of("team.example"));
}
