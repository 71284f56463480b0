//! `[relay]`: how copies leave.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::credential;
use super::percent::unescape;
use super::reader::Section;
use super::value::{self, Domain};

/// Where copies go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relay {
    /// Into a local Maildir, for trying out.
    Capture { maildir: PathBuf },
    /// To one server that takes them from there.
    Smarthost(Smarthost),
    /// To each recipient domain's own servers (RFC 5321 §5.1).
    Direct(Direct),
}

/// Delivery to MX hosts; what tests need besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direct {
    /// Where MX hosts listen. Other than 25 for tests alone.
    pub port: u16,
    /// Whether an MX on this machine's loopback is delivered to: for tests alone.
    pub allow_loopback: bool,
    /// Where the servers of MTA-STS policies listen. Other than 443 for tests alone.
    pub https_port: u16,
    /// Whether domains that want reports about TLS (RFC 8460) get them.
    pub tls_reports: bool,
}

impl Default for Direct {
    fn default() -> Self {
        Self { port: SMTP_PORT, allow_loopback: false, https_port: HTTPS_PORT, tls_reports: true }
    }
}

/// Who we are to the servers that copies go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// The addresses that connections come from, one a family. Empty: as the system chooses.
    /// Otherwise a family without one is not used.
    pub source: Vec<IpAddr>,
    /// What we call ourselves in EHLO; `None` is the hostname.
    pub helo: Option<Domain>,
}

/// The server that takes all copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smarthost {
    pub protocol: Protocol,
    pub endpoint: Endpoint,
    pub encryption: Encryption,
    pub login: Option<Login>,
}

/// RFC 5321 or RFC 2033.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Smtp,
    Lmtp,
}

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// How much TLS the connection must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// STARTTLS where it is offered (RFC 3207), with any certificate.
    Opportunistic,
    /// STARTTLS with a valid certificate, or nothing is sent.
    Required,
    /// TLS from the first byte with a valid certificate (RFC 8314 §3.3).
    Implicit,
}

/// A name and password for AUTH (RFC 4954).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub password: Secret,
}

/// A password, or where it stands. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    Inline(String),
    File(PathBuf),
}

impl Secret {
    /// The password; from a file, its first line.
    ///
    /// # Errors
    /// When the file can't be read or its first line is empty.
    pub fn read(&self) -> io::Result<String> {
        match self {
            Self::Inline(password) => Ok(password.clone()),
            Self::File(file) => {
                let text = std::fs::read_to_string(file)?;
                match text.lines().next() {
                    Some(line) if !line.is_empty() => Ok(line.to_owned()),
                    _ => Err(io::Error::new(io::ErrorKind::InvalidData, "its first line is empty")),
                }
            }
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(_) => f.write_str("Inline(…)"),
            Self::File(file) => write!(f, "File({})", file.display()),
        }
    }
}

/// RFC 5321 §4.5.4.2.
const SMTP_PORT: u16 = 25;
/// RFC 8461 §3.3.
const HTTPS_PORT: u16 = 443;
const URL: &str = "must look like smtp://host, smtps://user@host:465 or lmtp:/run/lmtp.sock";

const HOST: &str = "the host must be a full name (mail.example.org), an address or localhost, and its port 1 to 65535";

pub(super) fn read(section: &Section<'_, '_>, data_dir: &Path) -> (Option<Relay>, Egress) {
    let source = section.list("source", source).unwrap_or_default();
    if source.len() > 2 || (source.len() == 2 && source[0].is_ipv4() == source[1].is_ipv4()) {
        section.complain("source", "must be one IPv4 address, one IPv6 address, or one of each");
    }
    let egress = Egress { source, helo: section.text("helo", Domain::parse) };
    (read_mode(section, data_dir), egress)
}

fn read_mode(section: &Section<'_, '_>, data_dir: &Path) -> Option<Relay> {
    let mode = section.required("mode", "\"direct\", \"smarthost\" or \"capture\"", mode);
    let smarthost = section.secret("smarthost", smarthost);
    let password_file = section.text("password_file", credential::file);
    let required = section.text("starttls", starttls);
    let capture = section.text("capture", value::path);
    let port = section.integer("port", 1..=65_535).and_then(|port| u16::try_from(port).ok());
    let allow_loopback = section.flag("allow_loopback");
    let https_port = section.integer("https_port", 1..=65_535).and_then(|port| u16::try_from(port).ok());
    let tls_reports = section.flag("tls_reports");
    section.finish();
    match mode? {
        Mode::Direct => {
            let usual = Direct::default();
            Some(Relay::Direct(Direct {
                port: port.unwrap_or(usual.port),
                allow_loopback: allow_loopback.unwrap_or(usual.allow_loopback),
                https_port: https_port.unwrap_or(usual.https_port),
                tls_reports: tls_reports.unwrap_or(usual.tls_reports),
            }))
        }
        Mode::Capture => Some(Relay::Capture { maildir: data_dir.join(capture.unwrap_or_else(|| "outbox".into())) }),
        Mode::Smarthost => {
            if !section.has("smarthost") {
                section.complain("smarthost", "missing; as in smarthost = \"smtp://127.0.0.1:2526\"");
            }
            let (mut smarthost, user) = smarthost?;
            match (&mut smarthost.login, user, password_file) {
                (Some(_), _, Some(_)) => {
                    section.complain("password_file", "the password stands in relay.smarthost too; keep one of them");
                }
                (None, Some(_), None) => {
                    section.complain("smarthost", "the user has no password; give relay.password_file");
                }
                (None, None, Some(_)) => {
                    section.complain("password_file", "needs a user in relay.smarthost, as in smtps://user@host");
                }
                (login @ None, Some(user), Some(file)) => {
                    *login = Some(Login { user, password: Secret::File(data_dir.join(file)) });
                }
                (_, _, None) => {}
            }
            if smarthost.login.is_some() && smarthost.encryption == Encryption::Opportunistic && !is_local(&smarthost) {
                smarthost.encryption = Encryption::Required;
            }
            if let Some(required) = required {
                match (smarthost.encryption, &smarthost.endpoint) {
                    (Encryption::Implicit, _) => section.complain("starttls", "smtps:// has TLS from the start"),
                    (_, Endpoint::Unix(_)) => section.complain("starttls", "a unix socket has no TLS"),
                    _ => smarthost.encryption = required,
                }
            }
            Some(Relay::Smarthost(smarthost))
        }
    }
}

enum Mode {
    Direct,
    Smarthost,
    Capture,
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "smarthost" => Ok(Mode::Smarthost),
        "capture" => Ok(Mode::Capture),
        "direct" => Ok(Mode::Direct),
        _ => Err("must be \"direct\", \"smarthost\" or \"capture\"".to_owned()),
    }
}

fn source(text: &str) -> Result<IpAddr, String> {
    let address = text.parse::<IpAddr>().ok().filter(|address| !address.is_unspecified() && !address.is_multicast());
    address.ok_or_else(|| "must be an address of this machine, as in \"192.0.2.25\" or \"2001:db8::25\"".to_owned())
}

fn starttls(text: &str) -> Result<Encryption, String> {
    match text {
        "required" => Ok(Encryption::Required),
        "opportunistic" => Ok(Encryption::Opportunistic),
        _ => Err("must be \"required\" or \"opportunistic\"".to_owned()),
    }
}

/// The server, and the user when the address has one without a password.
fn smarthost(text: &str) -> Result<(Smarthost, Option<String>), String> {
    let wrong = || URL.to_owned();
    let (scheme, rest) = text.split_once(':').ok_or_else(wrong)?;
    let (protocol, encryption, port) = match scheme {
        "smtp" => (Protocol::Smtp, Encryption::Opportunistic, 25),
        "smtps" => (Protocol::Smtp, Encryption::Implicit, 465),
        "lmtp" => (Protocol::Lmtp, Encryption::Opportunistic, 24),
        _ => return Err(wrong()),
    };
    let plain = |endpoint| Smarthost { protocol, endpoint, encryption, login: None };
    let socket = rest.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(rest);
    if protocol == Protocol::Lmtp && socket.starts_with('/') && !socket.starts_with("//") {
        return Ok((plain(Endpoint::Unix(socket.into())), None));
    }
    let authority = rest.strip_prefix("//").ok_or_else(wrong)?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, authority),
    };
    let (user, password) = match user.map(|user| user.split_once(':').map_or((user, None), |(u, p)| (u, Some(p)))) {
        Some((user, password)) => {
            let user = unescape(user).filter(|user| !user.is_empty()).ok_or_else(wrong)?;
            let password = password.map(|p| unescape(p).filter(|p| !p.is_empty()).ok_or_else(wrong)).transpose()?;
            (Some(user), password)
        }
        None => (None, None),
    };
    let submission = if user.is_some() && scheme == "smtp" { 587 } else { port };
    let bare = !place.is_empty() && !place.contains(['.', '[', '/']);
    let endpoint = host_and_port(place, submission).ok_or_else(|| if bare { HOST.to_owned() } else { wrong() })?;
    match (user, password) {
        (Some(user), Some(password)) => {
            let login = Some(Login { user, password: Secret::Inline(password) });
            Ok((Smarthost { login, ..plain(endpoint) }, None))
        }
        (user, _) => Ok((plain(endpoint), user)),
    }
}

/// `host`, `host:port` or `[v6]:port`.
pub(super) fn host_and_port(text: &str, default: u16) -> Option<Endpoint> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port != 0)?,
        None => default,
    };
    let known = host.parse::<IpAddr>().is_ok() || Domain::parse(host).is_ok();
    known.then(|| Endpoint::Tcp { host: host.to_ascii_lowercase(), port })
}

fn is_local(smarthost: &Smarthost) -> bool {
    match &smarthost.endpoint {
        Endpoint::Unix(_) => true,
        Endpoint::Tcp { host, .. } => {
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smarthosts() {
        let tcp = |host: &str, port| Endpoint::Tcp { host: host.to_owned(), port };
        for (text, protocol, endpoint, encryption) in [
            ("smtp://127.0.0.1:2526", Protocol::Smtp, tcp("127.0.0.1", 2526), Encryption::Opportunistic),
            ("smtp://Mail.example.org", Protocol::Smtp, tcp("mail.example.org", 25), Encryption::Opportunistic),
            ("smtp://[::1]:26/", Protocol::Smtp, tcp("::1", 26), Encryption::Opportunistic),
            ("smtps://mail.example.org", Protocol::Smtp, tcp("mail.example.org", 465), Encryption::Implicit),
            ("smtp://u:p@mail.example.org", Protocol::Smtp, tcp("mail.example.org", 587), Encryption::Opportunistic),
            ("lmtp:/run/x.sock", Protocol::Lmtp, Endpoint::Unix("/run/x.sock".into()), Encryption::Opportunistic),
            ("lmtp:///run/x.sock", Protocol::Lmtp, Endpoint::Unix("/run/x.sock".into()), Encryption::Opportunistic),
            ("lmtp://localhost:2424", Protocol::Lmtp, tcp("localhost", 2424), Encryption::Opportunistic),
        ] {
            let (found, _) = smarthost(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((found.protocol, found.endpoint, found.encryption), (protocol, endpoint, encryption), "{text}");
        }
        for bad in [
            "",
            "mail.example.org",
            "http://mail.example.org",
            "smtp:mail.example.org",
            "smtp://",
            "smtp://mail.example.org:0",
            "smtp://mail.example.org:99999",
            "smtp://mail.example.org/path",
            "smtp://:p@mail.example.org",
            "smtp://u%4@mail.example.org",
            "smtp://[::1",
            "smtp://fe80::1",
            "smtps:/run/x.sock",
        ] {
            assert!(smarthost(bad).is_err(), "{bad}");
        }
        assert_eq!(smarthost("smtp://postfix:25").unwrap_err(), HOST, "why, since it looks as it must");
    }

    #[test]
    fn a_login_is_decoded_and_never_shown() {
        let (found, _) = smarthost("smtps://bob%40example.org:s%3Acret@mail.example.org").unwrap();
        let login = found.login.unwrap();
        assert_eq!(login.user, "bob@example.org");
        assert_eq!(login.password.read().unwrap(), "s:cret");
        assert!(!format!("{login:?}").contains("cret"));
    }
}
