//! Command lines (RFC 5321 §4.1) to [`Command`]s.
//!
//! Written here rather than taken from a parser that decodes quoted local parts and drops source
//! routes: what decides whether mail is relayed must see the path as it was sent. A line that is
//! no command is refused with the reply that says why.

use crate::desk::address::{Address, AddressError};

use super::reply::Reply;

/// The longest path, with its angle brackets (RFC 5321 §4.5.3.1.3).
const PATH_LIMIT: usize = 256;
/// The longest name in EHLO and HELO (RFC 5321 §4.5.3.1.2).
const NAME_LIMIT: usize = 255;

/// One command, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Ehlo(String),
    Helo(String),
    Mail(Mail),
    Rcpt(Recipient),
    Data,
    /// A chunk of so many octets follows the line (RFC 3030 §2).
    Bdat {
        octets: u64,
        last: bool,
    },
    StartTls,
    Auth(Auth),
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
}

/// What AUTH said (RFC 4954 §4).
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    pub mechanism: String,
    /// The initial response, in base64; `=` for an empty one.
    pub initial: Option<String>,
}

/// Without the response, which may be a password.
impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Auth({})", self.mechanism)
    }
}

/// What MAIL said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// `None` is the null path `<>`.
    pub reverse_path: Option<Address>,
    /// The declared size in octets (RFC 1870).
    pub size: Option<u64>,
    /// `BODY=8BITMIME` (RFC 6152).
    pub eight_bit: bool,
    /// `SMTPUTF8` (RFC 6531).
    pub smtputf8: bool,
}

/// Whom RCPT named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    Address(Address),
    /// `<postmaster>` without a domain (RFC 5321 §4.5.1).
    Postmaster,
}

/// Why a line is no command that can be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Answer this; the session goes on.
    Reply(Reply),
    /// RCPT named somebody who can't be had here; the session goes on.
    Recipient(Reply),
    /// Answer this and close: what follows on the connection can't be made sense of.
    Close(Reply),
}

impl From<Reply> for Refusal {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// Understands one line, given without its CRLF.
///
/// # Errors
/// [`Refusal`] with the reply that says what is wrong with it.
pub fn parse(line: &[u8]) -> Result<Command, Refusal> {
    if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(Reply::new(500, (5, 5, 2), "a command has no control characters; lines end with CR LF").into());
    }
    let line = std::str::from_utf8(line).map_err(|_| Reply::new(500, (5, 5, 2), "a command is ASCII or UTF-8"))?;
    let line = line.trim_end_matches([' ', '\t']);
    let (verb, rest) = line.split_at(line.find(' ').unwrap_or(line.len()));
    let rest = rest.trim_start_matches(' ');
    match verb.to_ascii_uppercase().as_str() {
        "EHLO" => Ok(Command::Ehlo(name(rest)?)),
        "HELO" => Ok(Command::Helo(name(rest)?)),
        "MAIL" => mail(rest),
        "RCPT" => recipient(rest),
        "DATA" => alone(rest, Command::Data),
        "BDAT" => bdat(rest),
        "STARTTLS" => alone(rest, Command::StartTls),
        "AUTH" => auth(rest),
        "RSET" => alone(rest, Command::Rset),
        "QUIT" => alone(rest, Command::Quit),
        "NOOP" => Ok(Command::Noop),
        "VRFY" => Ok(Command::Vrfy),
        "HELP" => Ok(Command::Help),
        "EXPN" | "ETRN" | "TURN" | "SEND" | "SOML" | "SAML" | "BURL" => {
            Err(Reply::new(502, (5, 5, 1), "this server has no such command").into())
        }
        "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH" | "PRI" => {
            Err(Refusal::Close(Reply::new(554, (5, 5, 1), "this is a mail server, not a web server")))
        }
        _ => Err(Reply::new(500, (5, 5, 1), "no such command; HELP lists them").into()),
    }
}

/// A command that takes no argument (RFC 5321 §4.1.1).
fn alone(rest: &str, command: Command) -> Result<Command, Refusal> {
    if rest.is_empty() { Ok(command) } else { Err(argument("this command takes no argument")) }
}

fn argument(text: &'static str) -> Refusal {
    Reply::new(501, (5, 5, 4), text).into()
}

/// A domain or an address literal (RFC 5321 §4.1.3), ASCII also under SMTPUTF8 (RFC 6531 §3.7.1).
/// Underscores and bare addresses are let by, since many clients say them; nothing is that would
/// not be safe in a trace field. No answer to EHLO bears an enhanced code (RFC 2034 §4).
fn name(rest: &str) -> Result<String, Refusal> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if rest.is_empty() || rest.len() > NAME_LIMIT || !rest.bytes().all(safe) {
        return Err(Reply::plain(501, "say your host name: EHLO mail.example.org").into());
    }
    Ok(rest.to_owned())
}

/// `BDAT octets [LAST]`. When the number can't be read, nobody knows where the chunk ends and
/// where the next command begins, so the session ends.
fn bdat(rest: &str) -> Result<Command, Refusal> {
    let mut words = rest.split_ascii_whitespace();
    let octets =
        words.next().filter(|word| word.bytes().all(|b| b.is_ascii_digit())).and_then(|word| word.parse().ok());
    let last = match words.next() {
        None => Some(false),
        Some(word) => word.eq_ignore_ascii_case("LAST").then_some(true),
    };
    match (octets, last, words.next()) {
        (Some(octets), Some(last), None) => Ok(Command::Bdat { octets, last }),
        _ => Err(Refusal::Close(Reply::new(501, (5, 5, 4), "say BDAT and the number of octets, then LAST or nothing"))),
    }
}

/// `AUTH mechanism [initial-response]`.
fn auth(rest: &str) -> Result<Command, Refusal> {
    let mut words = rest.split_ascii_whitespace().map(str::to_owned);
    match (words.next(), words.next(), words.next()) {
        (Some(mechanism), initial, None) => Ok(Command::Auth(Auth { mechanism, initial })),
        _ => Err(argument("say AUTH, a mechanism, and its first message or nothing")),
    }
}

fn mail(rest: &str) -> Result<Command, Refusal> {
    let (path, parameters) = path(rest, "FROM:")?;
    let mut mail = Mail::default();
    for (keyword, value) in Parameters::of(parameters)? {
        match (keyword.as_str(), value) {
            ("SIZE", Some(value)) if value.len() <= 20 && value.bytes().all(|b| b.is_ascii_digit()) => {
                mail.size = Some(value.parse().unwrap_or(u64::MAX));
            }
            ("BODY", Some(value)) if value.eq_ignore_ascii_case("8BITMIME") => mail.eight_bit = true,
            ("BODY", Some(value)) if value.eq_ignore_ascii_case("7BIT") => {}
            ("SMTPUTF8", None) => mail.smtputf8 = true,
            ("RET" | "ENVID" | "AUTH", Some(_)) => {}
            ("SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID" | "AUTH", _) => {
                return Err(argument("a parameter of MAIL has a value that it can't have"));
            }
            _ => return Err(Reply::new(555, (5, 5, 4), "MAIL has a parameter that this server does not know").into()),
        }
    }
    mail.reverse_path = reverse_path(path, mail.smtputf8)?;
    Ok(Command::Mail(mail))
}

fn recipient(rest: &str) -> Result<Command, Refusal> {
    let (path, parameters) = path(rest, "TO:")?;
    for (keyword, value) in Parameters::of(parameters)? {
        match (keyword.as_str(), value) {
            ("NOTIFY" | "ORCPT", Some(_)) => {}
            ("NOTIFY" | "ORCPT", None) => return Err(argument("a parameter of RCPT lacks its value")),
            _ => return Err(Reply::new(555, (5, 5, 4), "RCPT has a parameter that this server does not know").into()),
        }
    }
    forward_path(path).map(Command::Rcpt)
}

/// Cuts `FROM:<path> parameters` into what is between the angle brackets and what is behind them.
fn path<'a>(rest: &'a str, keyword: &str) -> Result<(&'a str, &'a str), Refusal> {
    let syntax = || Refusal::from(Reply::new(501, (5, 5, 2), "say MAIL FROM:<address> or RCPT TO:<address>"));
    let head = rest.get(..keyword.len()).filter(|head| head.eq_ignore_ascii_case(keyword)).ok_or_else(syntax)?;
    let path = rest[head.len()..].trim_start_matches(' ').strip_prefix('<').ok_or_else(syntax)?;
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in path.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => {
                let (inner, behind) = (&path[..at], &path[at + 1..]);
                if inner.len() + 2 > PATH_LIMIT {
                    return Err(Reply::new(501, (5, 1, 3), "the address is too long").into());
                }
                if !behind.is_empty() && !behind.starts_with(' ') {
                    return Err(syntax());
                }
                return Ok((inner, behind));
            }
            _ => {}
        }
    }
    Err(syntax())
}

/// The reverse-path (RFC 5321 §4.1.1.2). A source route is dropped, as appendix C asks; quotes that
/// quote nothing are too (§4.1.2).
fn reverse_path(path: &str, smtputf8: bool) -> Result<Option<Address>, Refusal> {
    if path.is_empty() {
        return Ok(None);
    }
    let mailbox = if path.starts_with('@') { path.split_once(':').map_or(path, |(_, mailbox)| mailbox) } else { path };
    let plain = mailbox
        .strip_prefix('"')
        .and_then(|rest| rest.rsplit_once("\"@"))
        .map(|(local, domain)| format!("{local}@{domain}"));
    let address: Address = plain.as_deref().unwrap_or(mailbox).parse().map_err(|error| sender_syntax(path, error))?;
    if !smtputf8 && !address.is_ascii() {
        return Err(Reply::new(553, (5, 6, 7), "an address beyond ASCII needs SMTPUTF8").into());
    }
    Ok(Some(address))
}

fn sender_syntax(path: &str, error: AddressError) -> Reply {
    if path.contains(['"', '[']) {
        return Reply::new(553, (5, 1, 7), "no answer could be sent to a quoted name or an address literal");
    }
    Reply::new(501, (5, 1, 7), error.to_string())
}

/// The forward-path (RFC 5321 §4.1.1.3). Whatever once meant "pass it on" is refused here, before
/// anybody is asked whether the address exists: source routes, `user%host@`, `host!user@`, quoted
/// local parts, address literals.
fn forward_path(path: &str) -> Result<Recipient, Refusal> {
    let relaying = |text: &'static str| Err(Refusal::Recipient(Reply::not_allowed(text)));
    if path.eq_ignore_ascii_case("postmaster") {
        return Ok(Recipient::Postmaster);
    }
    if path.starts_with('@') {
        return relaying("no relaying: source routes are not followed");
    }
    let Some((local, domain)) = path.rsplit_once('@') else {
        return Err(Reply::new(501, (5, 1, 3), "the address lacks its domain").into());
    };
    if local.starts_with('"') {
        return Err(Refusal::Recipient(Reply::no_such_recipient("no address here is quoted")));
    }
    if local.contains(['%', '!', '@']) {
        return relaying("no relaying: an address names one user and one domain");
    }
    if domain.starts_with('[') {
        return relaying("no relaying: name the domain, not its address");
    }
    let address = path.parse().map_err(|error: AddressError| Reply::new(501, (5, 1, 3), error.to_string()))?;
    Ok(Recipient::Address(address))
}

/// The esmtp-parameters of MAIL and RCPT (RFC 5321 §4.1.2), each at most once.
struct Parameters;

impl Parameters {
    fn of(text: &str) -> Result<Vec<(String, Option<&str>)>, Refusal> {
        let mut all: Vec<(String, Option<&str>)> = Vec::new();
        for word in text.split_ascii_whitespace() {
            let (keyword, value) = match word.split_once('=') {
                Some((keyword, value)) => (keyword, Some(value)),
                None => (word, None),
            };
            let keyword = keyword.to_ascii_uppercase();
            if value == Some("") || all.iter().any(|(known, _)| *known == keyword) {
                return Err(argument("a parameter is empty or given twice"));
            }
            all.push((keyword, value));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(line: &str) -> u16 {
        match parse(line.as_bytes()) {
            Ok(command) => panic!("{line}: {command:?}"),
            Err(Refusal::Reply(reply) | Refusal::Recipient(reply) | Refusal::Close(reply)) => reply.code,
        }
    }

    #[test]
    fn commands_are_understood_in_any_case() {
        let address = |text: &str| text.parse::<Address>().unwrap();
        for (line, command) in [
            ("EHLO mail.example.org", Command::Ehlo("mail.example.org".into())),
            ("ehlo [IPv6:2001:db8::1]", Command::Ehlo("[IPv6:2001:db8::1]".into())),
            ("HELO my_host ", Command::Helo("my_host".into())),
            ("MAIL FROM:<>", Command::Mail(Mail::default())),
            (
                "Mail From:<a@b.example>",
                Command::Mail(Mail { reverse_path: Some(address("a@b.example")), ..Mail::default() }),
            ),
            (
                "MAIL FROM: <\"a.b\"@c.example> SIZE=99 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x AUTH=<>",
                Command::Mail(Mail {
                    reverse_path: Some(address("a.b@c.example")),
                    size: Some(99),
                    eight_bit: true,
                    smtputf8: true,
                }),
            ),
            (
                "MAIL FROM:<@x,@y:a@b.example>",
                Command::Mail(Mail { reverse_path: Some(address("a@b.example")), ..Mail::default() }),
            ),
            ("RCPT TO:<PostMaster>", Command::Rcpt(Recipient::Postmaster)),
            (
                "RCPT TO:<a@b.example> NOTIFY=NEVER ORCPT=rfc822;a@b",
                Command::Rcpt(Recipient::Address(address("a@b.example"))),
            ),
            ("BDAT 12", Command::Bdat { octets: 12, last: false }),
            ("bdat 0 last", Command::Bdat { octets: 0, last: true }),
            ("NOOP anything at all", Command::Noop),
            ("quit", Command::Quit),
            ("auth login", Command::Auth(Auth { mechanism: "login".into(), initial: None })),
            ("AUTH  PLAIN  = \t", Command::Auth(Auth { mechanism: "PLAIN".into(), initial: Some("=".into()) })),
        ] {
            assert_eq!(parse(line.as_bytes()).unwrap(), command, "{line}");
        }
    }

    #[test]
    fn what_is_no_command_gets_the_right_code() {
        for (line, expected) in [
            ("", 500),
            ("FOO", 500),
            ("NOOP\u{1}", 500),
            ("EHLO", 501),
            ("EHLO two words", 501),
            ("EHLO a(b)", 501),
            ("DATA now", 501),
            ("MAIL", 501),
            ("MAIL FROM:a@b.example", 501),
            ("MAIL FROM:<a@b.example", 501),
            ("MAIL FROM:<a@b.example>SIZE=1", 501),
            ("MAIL FROM:<a@b.example> SIZE=x", 501),
            ("MAIL FROM:<a@b.example> SIZE=1 size=2", 501),
            ("MAIL FROM:<a@b.example> BODY=BINARYMIME", 501),
            ("MAIL FROM:<a@b.example> COLOUR=blue", 555),
            ("MAIL FROM:<\"a b\"@c.example>", 553),
            ("MAIL FROM:<\"a>b\"@c.example>", 553),
            ("MAIL FROM:<\"a\\\">b\"@c.example>", 553),
            ("MAIL FROM:<a@[192.0.2.1]>", 553),
            ("MAIL FROM:<é@b.example>", 553),
            ("RCPT TO:<>", 501),
            ("RCPT TO:<bob>", 501),
            ("RCPT TO:<a@b.example> SIZE=1", 555),
            ("RCPT TO:<@x.example:a@desk.example>", 550),
            ("RCPT TO:<a%b.example@desk.example>", 550),
            ("RCPT TO:<b.example!a@desk.example>", 550),
            ("RCPT TO:<a@b.example@desk.example>", 550),
            ("RCPT TO:<\"a@b.example\"@desk.example>", 550),
            ("RCPT TO:<a@[127.0.0.1]>", 550),
            ("BDAT", 501),
            ("BDAT +5", 501),
            ("BDAT 5 FIRST", 501),
            ("BDAT 99999999999999999999", 501),
            ("AUTH", 501),
            ("AUTH PLAIN AGEAYg== more", 501),
            ("GET / HTTP/1.1", 554),
        ] {
            assert_eq!(code(line), expected, "{line}");
        }
        let long = format!("MAIL FROM:<{}@b.example>", "a".repeat(300));
        assert_eq!(code(&long), 501);
        assert!(matches!(parse(b"MAIL FROM:<\xff@b.example>"), Err(Refusal::Reply(reply)) if reply.code == 500));
    }
}
