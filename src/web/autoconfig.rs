//! What mail clients are told that ask how to reach the desk: Thunderbird and its like, Outlook, and
//! Apple's devices.
//!
//! The same is told about every address: whose it is, is nobody's business here. So nothing here
//! knows the store, and an address that somebody asks about is only checked for its shape.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;

use crate::config::clients::{APPLE_PATH, Clients, Port, Security};
use crate::config::{Domain, percent};
use crate::desk::address::Address;

/// Where Thunderbird asks, at `autoconfig.DOMAIN` and at the domain itself.
const THUNDERBIRD_PATHS: [&str; 2] = ["/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml"];
/// Where Outlook asks, in any case of letters.
const OUTLOOK_PATH: &str = "/autodiscover/autodiscover.xml";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    Thunderbird,
    /// By POST, with the address in the body.
    Outlook,
    Apple,
}

impl Asker {
    /// Who asks at a path.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        match path {
            APPLE_PATH => Some(Self::Apple),
            path if THUNDERBIRD_PATHS.contains(&path) => Some(Self::Thunderbird),
            path if path.eq_ignore_ascii_case(OUTLOOK_PATH) => Some(Self::Outlook),
            _ => None,
        }
    }
}

/// Thunderbird's configuration file, version 1.1, for the addresses of any domain. It stands for the
/// address itself by a word, and so says nothing of it.
#[must_use]
pub fn thunderbird(clients: &Clients, domains: &[Domain]) -> String {
    let host = escaped(clients.hostname.as_str());
    let mut servers = String::new();
    let directions = [("incoming", "imap", &clients.imap), ("outgoing", "smtp", &clients.submission)];
    for (direction, protocol, ports) in directions {
        for Port { number, security } in ports {
            let socket = match security {
                Security::Tls => "SSL",
                Security::StartTls => "STARTTLS",
            };
            let _ = write!(
                servers,
                "    <{direction}Server type=\"{protocol}\">\n      <hostname>{host}</hostname>\n      \
                 <port>{number}</port>\n      <socketType>{socket}</socketType>\n      \
                 <username>%EMAILADDRESS%</username>\n      <authentication>password-cleartext</authentication>\n    \
                 </{direction}Server>\n"
            );
        }
    }
    let names = domains
        .iter()
        .chain([&clients.hostname])
        .fold(String::new(), |names, name| names + "    <domain>" + &escaped(name.as_str()) + "</domain>\n");
    format!(
        "{XML}<clientConfig version=\"1.1\">\n  <emailProvider id=\"{host}\">\n{names}    \
         <displayName>{host}</displayName>\n    <displayShortName>{host}</displayShortName>\n{servers}  \
         </emailProvider>\n</clientConfig>\n"
    )
}

/// The address that Outlook asks about, in the body of its request ([MS-OXDSCLI] §2.2.3).
#[must_use]
pub fn outlook_asks(body: &[u8]) -> Option<Address> {
    let body = std::str::from_utf8(body).ok()?;
    let (_, rest) = body.split_once("<EMailAddress>")?;
    let (text, _) = rest.split_once("</EMailAddress>")?;
    unescaped(text.trim()).parse().ok()
}

/// What Outlook is told ([MS-OXDSCLI] §2.2.4).
#[must_use]
pub fn outlook(clients: &Clients, address: &Address) -> String {
    let (host, login) = (escaped(clients.hostname.as_str()), escaped(address.as_str()));
    let mut servers = String::new();
    // It takes one server a kind.
    for (kind, port) in [("IMAP", clients.imap.first()), ("SMTP", clients.submission.first())] {
        let Some(Port { number, security }) = port else { continue };
        let (ssl, encryption) = match security {
            Security::Tls => ("on", "SSL"),
            Security::StartTls => ("off", "TLS"),
        };
        let smtp = "        <UsePOPAuth>on</UsePOPAuth>\n        <SMTPLast>off</SMTPLast>\n";
        let more = if kind == "SMTP" { smtp } else { "" };
        let _ = write!(
            servers,
            "      <Protocol>\n        <Type>{kind}</Type>\n        <Server>{host}</Server>\n        \
             <Port>{number}</Port>\n        <DomainRequired>off</DomainRequired>\n        \
             <LoginName>{login}</LoginName>\n        <SPA>off</SPA>\n        <SSL>{ssl}</SSL>\n        \
             <Encryption>{encryption}</Encryption>\n        <AuthRequired>on</AuthRequired>\n\
             {more}      </Protocol>\n"
        );
    }
    outlook_says(&format!(
        "  <Response xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a\">\n    \
         <Account>\n      <AccountType>email</AccountType>\n      <Action>settings</Action>\n{servers}    \
         </Account>\n  </Response>\n"
    ))
}

/// What it is told about a request without an address.
#[must_use]
pub fn outlook_refused() -> String {
    outlook_says(
        "  <Response>\n    <Error>\n      <ErrorCode>600</ErrorCode>\n      <Message>Invalid Request</Message>\n    \
         </Error>\n  </Response>\n",
    )
}

fn outlook_says(response: &str) -> String {
    format!(
        "{XML}<Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006\">\n\
         {response}</Autodiscover>\n"
    )
}

/// The address that a profile is asked for, `?email=alice@acme.example`.
#[must_use]
pub fn apple_asks(query: &str) -> Option<Address> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("email="))?;
    percent::unescape(value)?.parse().ok()
}

/// A profile of Apple's for one mail account, not signed; the device asks for the password. `None`
/// where the desk lacks one of its two servers: no account is half of it.
#[must_use]
pub fn apple(clients: &Clients, address: &Address) -> Option<String> {
    let (imap, smtp) = (clients.imap.first()?, clients.submission.first()?);
    let (host, login) = (clients.hostname.as_str(), address.as_str());
    let text = |key: &str, value: &str| format!("<key>{key}</key>\n<string>{}</string>\n", escaped(value));
    let server = |direction: &str, port: &Port| {
        text(&format!("{direction}MailServerHostName"), host)
            + &format!("<key>{direction}MailServerPortNumber</key>\n<integer>{}</integer>\n", port.number)
            // By STARTTLS, where the port begins without.
            + &format!("<key>{direction}MailServerUseSSL</key>\n<true/>\n")
            + &text(&format!("{direction}MailServerUsername"), login)
            + &text(&format!("{direction}MailServerAuthentication"), "EmailAuthPassword")
    };
    let payload = |what: &str, kind: &str| {
        text("PayloadType", kind)
            + "<key>PayloadVersion</key>\n<integer>1</integer>\n"
            + &text("PayloadIdentifier", &format!("{host}.{what}"))
            + &text("PayloadUUID", &uuid(&format!("{what} {host} {}", address.key())))
    };
    let account = payload("account", "com.apple.mail.managed")
        + &text("PayloadDisplayName", host)
        + &text("EmailAccountDescription", host)
        + &text("EmailAccountType", "EmailTypeIMAP")
        + &text("EmailAddress", login)
        + &server("Incoming", imap)
        + &server("Outgoing", smtp)
        + "<key>OutgoingPasswordSameAsIncomingPassword</key>\n<true/>\n";
    let profile = payload("profile", "Configuration") + &text("PayloadDisplayName", host);
    Some(format!(
        "{XML}<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
         \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n<dict>\n\
         {profile}<key>PayloadContent</key>\n<array>\n<dict>\n{account}</dict>\n</array>\n</dict>\n</plist>\n"
    ))
}

const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// A UUID that is always the same for the same name, so that a profile that is taken again takes
/// the place of the one before (RFC 9562 §5.8).
fn uuid(name: &str) -> String {
    let mut octets = [0; 16];
    octets.copy_from_slice(&digest(&SHA256, name.as_bytes()).as_ref()[..16]);
    octets[6] = octets[6] & 0x0f | 0x80;
    octets[8] = octets[8] & 0x3f | 0x80;
    let hex = HEXLOWER.encode(&octets).to_ascii_uppercase();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// A text as XML's character data or attribute. What XML has no word for becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Undoes what a client escapes of an address. Other references make no address.
fn unescaped(text: &str) -> String {
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    named.into_iter().fold(text.to_owned(), |text, (reference, c)| text.replace(reference, c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn config() -> Config {
        let text = "hostname = \"desk.example.org\"\ndomains = [\"desk.example.org\"]\npostmaster = \"acme\"\n\
                    relay.mode = \"capture\"\nweb.listen_tls = [\"[::]:443\"]\nimap.listen = [\"[::]:143\"]\n\
                    submission.listen_tls = []\n[tls]\nacme = true\nautoconfig = [\"acme.example\"]\n";
        Config::parse(text, std::path::Path::new("guichet.toml")).unwrap()
    }

    fn clients() -> Clients {
        config().clients()
    }

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn each_client_asks_at_its_own_path() {
        for (path, asker) in [
            ("/mail/config-v1.1.xml", Some(Asker::Thunderbird)),
            ("/.well-known/autoconfig/mail/config-v1.1.xml", Some(Asker::Thunderbird)),
            ("/autodiscover/autodiscover.xml", Some(Asker::Outlook)),
            ("/Autodiscover/Autodiscover.XML", Some(Asker::Outlook)),
            ("/apple.mobileconfig", Some(Asker::Apple)),
            ("/Mail/config-v1.1.xml", None),
            ("/autodiscover/autodiscover.xml/", None),
            ("/autodiscover/autodiscover.json", None),
            ("/", None),
        ] {
            assert_eq!(Asker::at(path), asker, "{path}");
        }
    }

    #[test]
    fn thunderbird_is_told_each_server_with_the_best_way_first() {
        let text = thunderbird(&clients(), &config().tls.autoconfig);
        let expected = "<domain>acme.example</domain>\n    <domain>desk.example.org</domain>\n    \
             <displayName>desk.example.org</displayName>\n    <displayShortName>desk.example.org</displayShortName>\n    \
             <incomingServer type=\"imap\">\n      <hostname>desk.example.org</hostname>\n      <port>993</port>\n      \
             <socketType>SSL</socketType>\n      <username>%EMAILADDRESS%</username>\n      \
             <authentication>password-cleartext</authentication>\n    </incomingServer>\n    \
             <incomingServer type=\"imap\">\n      <hostname>desk.example.org</hostname>\n      <port>143</port>\n      \
             <socketType>STARTTLS</socketType>\n";
        assert!(text.contains(expected), "{text}");
        let outgoing = "<outgoingServer type=\"smtp\">\n      <hostname>desk.example.org</hostname>\n      \
             <port>587</port>\n      <socketType>STARTTLS</socketType>\n";
        assert!(text.contains(outgoing), "{text}");
    }

    #[test]
    fn outlook_is_told_about_the_address_that_it_names() {
        let asks = |address: &str| {
            format!(
                "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<Autodiscover xmlns=\"http://schemas.microsoft.com/\
                 exchange/autodiscover/outlook/requestschema/2006\">\r\n  <Request>\r\n    \
                 <EMailAddress>{address}</EMailAddress>\r\n    <AcceptableResponseSchema>http://schemas.microsoft.com/\
                 exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema>\r\n  </Request>\r\n\
                 </Autodiscover>"
            )
        };
        let known = |text: &str| outlook_asks(asks(text).as_bytes()).map(|address| address.to_string());
        assert_eq!(known("alice@acme.example").as_deref(), Some("alice@acme.example"));
        assert_eq!(known(" a&amp;b@acme.example\r\n").as_deref(), Some("a&b@acme.example"));
        for wrong in ["", "alice", "a&lt;b@acme.example", "a&#38;b@acme.example"] {
            let there = known(wrong);
            assert!(there.is_none() || !there.as_ref().unwrap().contains('<'), "{wrong}: {there:?}");
        }
        assert_eq!(outlook_asks(b"<EMailAddress>alice@acme.example"), None);
        assert_eq!(outlook_asks(b"\xff<EMailAddress>alice@acme.example</EMailAddress>"), None);

        let told = outlook(&clients(), &address("a&b@acme.example"));
        for part in [
            "<Type>IMAP</Type>\n        <Server>desk.example.org</Server>\n        <Port>993</Port>\n",
            "<Type>SMTP</Type>\n        <Server>desk.example.org</Server>\n        <Port>587</Port>\n",
            "<LoginName>a&amp;b@acme.example</LoginName>\n        <SPA>off</SPA>\n        <SSL>on</SSL>\n        \
             <Encryption>SSL</Encryption>\n",
            "<SSL>off</SSL>\n        <Encryption>TLS</Encryption>\n",
            "<SMTPLast>off</SMTPLast>\n      </Protocol>\n    </Account>\n",
        ] {
            assert!(told.contains(part), "{part}\n{told}");
        }
        assert!(!told.contains("<Port>143</Port>"), "{told}");
    }

    #[test]
    fn apples_devices_get_one_account_that_is_always_the_same() {
        assert_eq!(apple_asks("x=y&email=alice%2Bmail@acme.example"), Some(address("alice+mail@acme.example")));
        assert_eq!(apple_asks("email=alice+mail@acme.example"), Some(address("alice+mail@acme.example")));
        for wrong in ["", "email", "email=", "email=alice", "email=a%00@acme.example", "mail=alice@acme.example"] {
            assert_eq!(apple_asks(wrong), None, "{wrong}");
        }
        let profile = |text: &str| apple(&clients(), &address(text)).unwrap();
        let told = profile("a&b@acme.example");
        for part in [
            "<key>EmailAddress</key>\n<string>a&amp;b@acme.example</string>\n",
            "<key>IncomingMailServerPortNumber</key>\n<integer>993</integer>\n",
            "<key>OutgoingMailServerPortNumber</key>\n<integer>587</integer>\n",
            "<key>OutgoingMailServerUsername</key>\n<string>a&amp;b@acme.example</string>\n",
        ] {
            assert!(told.contains(part), "{part}\n{told}");
        }
        assert_eq!(told, profile("a&b@ACME.example"));
        let ids = |text: &str| {
            let pieces = text.split("<key>PayloadUUID</key>\n<string>").skip(1);
            pieces.map(|piece| piece[..36].to_owned()).collect::<Vec<_>>()
        };
        let (one, other) = (ids(&told), ids(&profile("carol@acme.example")));
        assert!(one.len() == 2 && one[0] != one[1] && !other.contains(&one[0]), "{one:?} {other:?}");
        assert!(one.iter().all(|id| &id[14..15] == "8" && "89AB".contains(&id[19..20])), "{one:?}");
        assert_eq!(apple(&Clients { submission: Vec::new(), ..clients() }, &address("a@acme.example")), None);
    }

    #[test]
    fn what_is_written_into_xml_is_no_part_of_it() {
        assert_eq!(
            escaped("<a b='c' d=\"e\">&\u{1}\u{ffff}é"),
            "&lt;a b=&apos;c&apos; d=&quot;e&quot;&gt;&amp;\u{fffd}\u{fffd}é"
        );
        assert_eq!(unescaped("&amp;lt;"), "&lt;");
    }
}
