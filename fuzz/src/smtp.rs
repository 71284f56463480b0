//! The SMTP server: whole dialogues, and the end of a message.

use std::sync::LazyLock;

use guichet::desk::address::Address;
use guichet::desk::envelope::Envelope;
use guichet::desk::id::{AppPasswordId, MemberId};
use guichet::desk::login::{AppPassword, by_password, by_proof};
use guichet::desk::scram::{Keys, Salt};
use guichet::login::sasl::{Answer, Denied, Question};
use guichet::smtp::data::{ContentLimits, Defect, Piece, Scanner};
use guichet::smtp::reply::Reply;
use guichet::smtp::session::{Effect, Service, Session, SessionLimits, Tls};
use jiff::Timestamp;

use super::{options, pieces};

/// Small, so that short inputs reach them.
const CONTENT: ContentLimits = ContentLimits { message: 3_000, header: 500, line: 200 };
const LIMITS: SessionLimits =
    SessionLimits { content: CONTENT, recipients: 5, errors: 20, refused_recipients: 10, idle_commands: 30 };

/// The octet that ends what a client sends at once: it is in no UTF-8.
pub const FLIGHT: u8 = 0xfe;

/// A dialogue comes to the same however it is split, and whatever the client says, a message has one
/// beginning and one end, holds nothing that may not be in it, and no answer can be taken for two.
///
/// On a submission port nobody sends who is not logged in, and nobody logs in unencrypted.
///
/// Options: whether TLS is offered (bit 0) or active (3), messages are refused (1), it is a port for
/// members (2); how it is split. Members are those of the dialogues: `alice@team.example`, with the
/// password `pencil`.
pub fn session(data: &[u8]) {
    let ([ways, seed], dialogue) = options(data);
    let whole = play(dialogue, ways, |flight| vec![flight]);
    let octets = play(dialogue, ways, |flight| flight.chunks(1).collect());
    assert_eq!(octets, whole, "it came to something else octet by octet");
    let split = play(dialogue, ways, |flight| pieces(flight, seed));
    assert_eq!(split, whole, "it came to something else in pieces");
}

/// What came of a dialogue.
#[derive(Debug, PartialEq)]
enum Seen {
    Reply(Reply),
    Begun(Envelope, u64),
    Message(Vec<u8>),
    Dropped,
    Encrypted,
    Closed(Reply),
}

fn play(dialogue: &[u8], ways: u8, cut: impl Fn(&[u8]) -> Vec<&[u8]>) -> Vec<Seen> {
    let mut tls = match ways & 9 {
        0 => Tls::Unavailable,
        1 => Tls::Offered,
        _ => Tls::Active,
    };
    let service = if ways & 4 == 0 { Service::World } else { Service::Submission };
    let verdict = if ways & 2 == 0 { Reply::ok("taken") } else { Reply::try_again("not now") };
    let client = [192, 0, 2, 1].into();
    let mut session = Session::new("desk.example".into(), client, "s".into(), LIMITS, service, tls);
    let mut seen = Vec::new();
    let mut message: Option<Vec<u8>> = None;
    for flight in dialogue.split(|octet| *octet == FLIGHT) {
        'flight: for mut input in std::iter::once(&b""[..]).chain(cut(flight)) {
            loop {
                match session.advance(Timestamp::UNIX_EPOCH, &mut input) {
                    Effect::Read => {
                        assert!(input.is_empty(), "it wants more and left {} octets", input.len());
                        break;
                    }
                    Effect::Reply(reply) => seen.push(Seen::Reply(checked(reply))),
                    Effect::Login(question) => {
                        assert!(tls == Tls::Active && service == Service::Submission, "a password in the clear");
                        session.login_answered(login(&question));
                    }
                    Effect::Recipient(_, address) => {
                        let known = !address.local().starts_with("no");
                        let answer = if known { Ok(()) } else { Err(Reply::no_such_recipient("nobody")) };
                        session.recipient_answered(answer);
                    }
                    Effect::Begin(envelope, announced) => {
                        assert!(message.replace(Vec::new()).is_none(), "a message within a message");
                        check_envelope(&envelope);
                        assert_eq!(envelope.login.is_some(), service == Service::Submission);
                        assert_eq!(envelope.tls.is_some(), tls == Tls::Active);
                        assert!(announced <= CONTENT.message);
                        seen.push(Seen::Begun(envelope, announced));
                    }
                    Effect::Content(octets) => {
                        assert!(!octets.is_empty());
                        message.as_mut().expect("content belongs to a message").extend_from_slice(octets);
                    }
                    Effect::Discard => {
                        assert!(message.take().is_some(), "nothing to drop");
                        seen.push(Seen::Dropped);
                    }
                    Effect::Complete => {
                        let message = message.take().expect("what is complete has begun");
                        assert!(is_sound(&message, &CONTENT), "taken: {}", message.escape_ascii());
                        seen.push(Seen::Message(message));
                        session.delivered(verdict.clone());
                    }
                    Effect::StartTls(reply) => {
                        assert!(tls == Tls::Offered && message.is_none());
                        seen.push(Seen::Reply(checked(reply)));
                        seen.push(Seen::Encrypted);
                        session.tls_started();
                        tls = Tls::Active;
                        // What came before the handshake is forgotten (CVE-2011-0411).
                        break 'flight;
                    }
                    Effect::Close(reply) => {
                        seen.push(Seen::Closed(checked(reply)));
                        return seen;
                    }
                }
            }
        }
    }
    seen
}

struct Member {
    salt: Salt,
    passwords: [AppPassword; 1],
    keys: Keys,
}

static ALICE: LazyLock<Member> = LazyLock::new(|| {
    let octets = *b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81";
    let salt = Salt { octets, iterations: Salt::ITERATIONS };
    let keys = Keys::of("pencil", &salt);
    let password = AppPassword {
        id: AppPasswordId(1),
        member: MemberId(1),
        name: "desk".to_owned(),
        salt,
        keys: keys.clone(),
        created_at: Timestamp::UNIX_EPOCH,
        last_use: None,
    };
    Member { salt, passwords: [password], keys }
});

fn login(question: &Question) -> Answer {
    let Member { salt, passwords, keys } = &*ALICE;
    let known = matches!(question.user().to_ascii_lowercase().as_str(), "alice@team.example" | "user");
    let found = match question {
        Question::Salt { .. } => {
            return Answer::Salt { salt: *salt, random: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned() };
        }
        Question::Password { password, .. } if known && password == "pencil" => {
            by_password(passwords, keys).map(|login| (login, None))
        }
        Question::Proof(proof) if known => by_proof(passwords, proof).map(|(login, verdict)| (login, Some(verdict))),
        Question::Password { .. } | Question::Proof(_) => None,
    };
    found.map_or(Answer::Denied(Denied::Wrong), |(login, verdict)| Answer::Login(login, verdict))
}

fn check_envelope(envelope: &Envelope) {
    let count = envelope.recipients.len();
    assert!((1..=LIMITS.recipients).contains(&count), "{count} recipients");
    for (at, recipient) in envelope.recipients.iter().enumerate() {
        assert!(!envelope.recipients[..at].contains(recipient), "{recipient} twice");
    }
    let addresses = envelope.recipients.iter().chain(&envelope.reverse_path);
    assert!(envelope.smtputf8 || addresses.into_iter().all(Address::is_ascii));
}

/// A reply that is one reply to whoever reads it (RFC 5321 §4.2).
fn checked(reply: Reply) -> Reply {
    let mut wire = Vec::new();
    reply.write(&mut wire);
    let lines = wire.strip_suffix(b"\r\n").expect("a reply ends");
    let lines: Vec<_> = lines.split(|octet| *octet == b'\n').collect();
    for (at, line) in lines.iter().enumerate() {
        let last = at + 1 == lines.len();
        let line = if last { line } else { line.strip_suffix(b"\r").expect("lines end with CRLF") };
        assert!(line.len() <= 510 && line.iter().all(|octet| (b' '..=b'~').contains(octet)));
        assert!(line.starts_with(reply.code.to_string().as_bytes()) && line[3] == if last { b' ' } else { b'-' });
    }
    assert!((200..600).contains(&reply.code));
    reply
}

/// A message ends at CRLF.CRLF or at its count, at nothing else and nowhere else; what is taken is
/// what was sent without its dots; what is refused deserves it.
///
/// Options: dots or a count (bit 0); how it is split.
pub fn content(data: &[u8]) {
    let ([ways, seed], octets) = options(data);
    let dots = ways & 1 == 0;
    let whole = scan(&[octets], dots);
    assert_eq!(scan(&octets.chunks(1).collect::<Vec<_>>(), dots), whole, "something else octet by octet");
    assert_eq!(scan(&pieces(octets, seed), dots), whole, "something else in pieces");

    let (message, rest) = if dots { first_message(octets) } else { (octets, None) };
    assert_eq!(whole.rest.as_deref(), rest, "it ends elsewhere");
    if dots && rest.is_none() {
        return;
    }
    let expected = if dots { without_dots(message) } else { message.to_vec() };
    assert_eq!(whole.defect.is_none(), is_sound(&expected, &CONTENT), "{:?}", whole.defect);
    if whole.defect.is_none() {
        assert_eq!(whole.content, expected);
    }
    assert!(whole.defect != Some(Defect::TooLarge) || expected.len() as u64 > CONTENT.message);
}

#[derive(Debug, PartialEq)]
struct Scanned {
    /// Of a message with a defect nothing.
    content: Vec<u8>,
    defect: Option<Defect>,
    /// What was left behind the end; `None` where none was met.
    rest: Option<Vec<u8>>,
}

fn scan(parts: &[&[u8]], dots: bool) -> Scanned {
    let mut scanner = if dots { Scanner::dotted(CONTENT) } else { Scanner::counted(CONTENT) };
    let (mut content, mut rest) = (Vec::new(), None);
    for (at, part) in parts.iter().enumerate() {
        let mut input = *part;
        loop {
            let defect = scanner.defect();
            match scanner.next(&mut input) {
                Piece::Content(octets) => {
                    assert!(!octets.is_empty() && defect.is_none());
                    content.extend_from_slice(octets);
                }
                Piece::More => {
                    assert!(input.is_empty());
                    break;
                }
                Piece::End => {
                    rest = Some([&[input], &parts[at + 1..]].concat().concat());
                    break;
                }
            }
        }
        if rest.is_some() {
            break;
        }
    }
    if !dots {
        scanner.finish();
    }
    let defect = scanner.defect();
    Scanned { content: if defect.is_none() { content } else { Vec::new() }, defect, rest }
}

/// The message in front, dots and all, and what is behind its end: by the letter of RFC 5321
/// §4.1.1.4, the CRLF of the last line of text being the first two octets of the end.
fn first_message(octets: &[u8]) -> (&[u8], Option<&[u8]>) {
    if let Some(rest) = octets.strip_prefix(b".\r\n") {
        return (&[], Some(rest));
    }
    match octets.windows(5).position(|five| five == b"\r\n.\r\n") {
        Some(at) => (&octets[..at + 2], Some(&octets[at + 5..])),
        None => (octets, None),
    }
}

/// Without the first dot of each line (RFC 5321 §4.5.2).
fn without_dots(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, octet) in message.iter().enumerate() {
        if *octet != b'.' || !(at == 0 || message[..at].ends_with(b"\r\n")) {
            out.push(*octet);
        }
    }
    out
}

/// Whether a message may be taken: no NUL, no CR or LF of its own, nothing past its limit.
fn is_sound(message: &[u8], limits: &ContentLimits) -> bool {
    let bare = |at: usize| match message[at] {
        b'\r' => message.get(at + 1) != Some(&b'\n'),
        b'\n' => at == 0 || message[at - 1] != b'\r',
        octet => octet == 0,
    };
    let lines: Vec<_> = message.split(|octet| *octet == b'\n').collect();
    let length = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).len() as u64;
    // Lines that ended, up to the first empty one.
    let ended = &lines[..lines.len() - 1];
    let header = ended.iter().take_while(|line| length(line) > 0).map(|line| length(line) + 2).sum::<u64>();
    let blank = if ended.iter().any(|line| length(line) == 0) { 2 } else { 0 };
    (0..message.len()).all(|at| !bare(at))
        && message.len() as u64 <= limits.message
        && header + blank <= limits.header
        && lines.iter().all(|line| length(line) <= limits.line)
}
