//! A customer, those whom he names, and members talk, each in his own client: one ticket, the right
//! readers each time, and one thread in every mailbox.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use data_encoding::BASE64;
use guichet::desk::ticket::Status;

use crate::kit::desk::{TestDesk, field};
use crate::kit::letter::{Letter, letter, reply, reply_by_address};
use crate::kit::peers;
use crate::kit::threads::{threads, threads_by_id};

/// What a client tells of the message that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Both,
    InReplyTo,
    References,
    ThreadIndex,
    AddressAlone,
}

/// Where a client sends its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    /// To Reply-To, as it should.
    ReplyTo,
    /// To From, whatever Reply-To says.
    From,
}

/// Outlook's name for the conversation: 22 octets, and five more an answer.
fn thread_index(answers: u8) -> String {
    let mut octets = vec![1, 0xdc];
    octets.extend(1..=20);
    octets.extend((0..answers).flat_map(|answer| [answer, 1, 2, 3, 4]));
    BASE64.encode(&octets)
}

fn answer(from: &str, copy: &str, says: Says, to: To, round: u8) -> Letter {
    let full = reply(from, copy);
    let (id, references) = (full.get("In-Reply-To").unwrap_or_default(), full.get("References").unwrap_or_default());
    let bare = reply_by_address(from, copy);
    let answer = match says {
        Says::Both => bare.field("In-Reply-To", id).field("References", references),
        Says::InReplyTo => bare.field("In-Reply-To", id),
        Says::References => bare.field("References", references),
        Says::ThreadIndex => bare.field("Thread-Index", &thread_index(round)),
        Says::AddressAlone => bare,
    };
    let text = format!("Round {round}.\n\nOn Mon, somebody wrote:\n> something\n");
    let answer = answer.text(&text);
    if to == To::From {
        let from = field(copy, "From").unwrap();
        answer.field("To", &from)
    } else {
        answer
    }
}

/// With which program a mail is sent.
#[derive(Clone, Copy, Debug)]
enum Client {
    Test,
    Swaks,
    Smtplib,
    Curl,
}

impl Client {
    /// Sends it; `None` where the program was to be left out.
    fn send(self, server: SocketAddr, letter: &Letter) -> Option<()> {
        let to = letter.recipients();
        let mut command = match self {
            Self::Test => return None,
            Self::Swaks => {
                let mut command = Command::new(peers::program("swaks")?);
                command.args(["--server", &server.ip().to_string(), "--port", &server.port().to_string()]);
                command.args(["--helo", "client.example.com", "--from", &letter.sender(), "--to", &to.join(",")]);
                command.args(["--data", "-", "--hide-all"]);
                command
            }
            Self::Smtplib => {
                let mut command = Command::new(peers::python()?);
                let program = "import smtplib, sys\n\
                    host, port, sender, *to = sys.argv[1:]\n\
                    with smtplib.SMTP(host, int(port), local_hostname='client.example.com') as smtp:\n\
                    \x20   smtp.sendmail(sender, to, sys.stdin.read())\n";
                command.args(["-c", program, &server.ip().to_string(), &server.port().to_string(), &letter.sender()]);
                command.args(&to);
                command
            }
            Self::Curl => {
                let mut command = Command::new(peers::program("curl")?);
                command.args(["--silent", "--show-error", "--crlf", "--url", &format!("smtp://{server}/client")]);
                command.args(["--mail-from", &letter.sender(), "--upload-file", "-"]);
                command.args(to.iter().flat_map(|to| ["--mail-rcpt", to]));
                command
            }
        };
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        child.stdin.take().unwrap().write_all(letter.message().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{self:?}: {}", String::from_utf8_lossy(&output.stderr));
        Some(())
    }
}

const ALICE: &str = "Alice <alice@team.example>";
const BOB: &str = "Bob <bob@team.example>";
const CAROL: &str = "Carol Jones <carol@example.com>";
const DAVE: &str = "Dave Jones <dave@example.com>";

fn address(who: &str) -> &str {
    who.rsplit_once('<').map_or(who, |(_, address)| address.trim_end_matches('>'))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_ticket_and_one_thread_in_every_mailbox_whatever_the_clients_say() {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob", "zoe"]).await;
    desk.department("billing", &["alice@team.example", "bob@team.example"]).await;
    let mut sent: BTreeMap<&str, Vec<String>> = BTreeMap::new();

    let first = letter(CAROL)
        .to("Acme <acme+billing@desk.example.org>")
        .cc(DAVE)
        .subject("My invoice")
        .field("Thread-Index", &thread_index(0))
        .text("It is wrong.\n");
    let (server, by_swaks) = (desk.address(), first.clone());
    let by_swaks = tokio::task::spawn_blocking(move || Client::Swaks.send(server, &by_swaks)).await.unwrap();
    if by_swaks.is_none() {
        desk.post(&first).await;
    }
    for reader in [CAROL, DAVE] {
        // Dave's own server brought it to him.
        sent.entry(reader).or_default().push(first.message());
    }
    assert_eq!(desk.readers(&desk.newest("acme-1")), ["alice@team.example", "bob@team.example"]);

    let everyone = [ALICE, BOB, CAROL, DAVE];
    let rounds = [
        (ALICE, Says::Both, To::ReplyTo, Client::Test),
        (CAROL, Says::InReplyTo, To::ReplyTo, Client::Smtplib),
        (BOB, Says::References, To::ReplyTo, Client::Test),
        (CAROL, Says::References, To::ReplyTo, Client::Curl),
        (ALICE, Says::InReplyTo, To::ReplyTo, Client::Test),
        (DAVE, Says::ThreadIndex, To::ReplyTo, Client::Test),
        (BOB, Says::ThreadIndex, To::ReplyTo, Client::Smtplib),
        (CAROL, Says::ThreadIndex, To::From, Client::Swaks),
        (ALICE, Says::AddressAlone, To::ReplyTo, Client::Curl),
        (DAVE, Says::AddressAlone, To::ReplyTo, Client::Test),
        (BOB, Says::InReplyTo, To::From, Client::Test),
        (CAROL, Says::InReplyTo, To::From, Client::Test),
        (ALICE, Says::ThreadIndex, To::From, Client::Test),
        (DAVE, Says::References, To::From, Client::Test),
    ];
    for (round, (writer, says, to, client)) in (1..).zip(rounds) {
        let what = format!("round {round}: {writer} {says:?} {to:?} {client:?}");
        let letter = answer(writer, &desk.last(address(writer)).await, says, to, round);
        let (server, by_program) = (desk.address(), letter.clone());
        let sent_by_program = tokio::task::spawn_blocking(move || client.send(server, &by_program)).await.unwrap();
        if sent_by_program.is_none() {
            assert_eq!(desk.post(&letter).await, "acme-1", "{what}");
        }
        sent.entry(writer).or_default().push(letter.message());
        let entries = desk.messages("acme-1");
        assert_eq!(entries.len(), usize::from(round) + 1, "{what}");
        let entry = entries.last().unwrap();
        assert_eq!(entry.text.trim(), format!("Round {round}."), "{what}");
        let mut readers: Vec<_> = everyone.into_iter().filter(|who| *who != writer).map(address).collect();
        readers.sort_unstable();
        assert_eq!(desk.readers(entry), readers, "{what}");
        let by_member = [ALICE, BOB].contains(&writer);
        let status = if by_member { Status::Pending } else { Status::Open };
        assert_eq!(desk.ticket("acme-1").status, status, "{what}");
    }

    for who in everyone {
        let mut mailbox = desk.inbox(address(who)).await;
        assert_eq!(threads_by_id(&mailbox), 1, "what {who} was sent is one thread by its identifiers");
        assert!(mailbox.iter().all(|copy| !copy.contains(&format!("To: {}", address_of_others(who)))));
        mailbox.extend(sent.remove(who).unwrap_or_default());
        assert_eq!(mailbox.len(), rounds.len() + 1, "{who}");
        // A client that names no message when it answers is left with the subject for its own.
        let unnamed =
            rounds.iter().filter(|(by, says, ..)| *by == who && matches!(says, Says::ThreadIndex | Says::AddressAlone));
        assert!(threads_by_id(&mailbox) <= 1 + unnamed.count(), "{who}");
        assert_eq!(threads(&mailbox), 1, "{who} sees one thread");
    }
    assert_eq!(desk.inbox("zoe@team.example").await.len(), 0, "who is not of the department hears nothing");
}

fn address_of_others(who: &str) -> &str {
    if who == CAROL { "dave@example.com" } else { "carol@example.com" }
}

/// The threads of the tests' own client: what ties messages together, and what does not.
#[test]
fn threads_of_a_mailbox() {
    let mail = |id: &str, references: &[&str], subject: &str| {
        let references = references.iter().map(|id| format!("<{id}>")).collect::<Vec<_>>().join(" ");
        format!("Message-ID: <{id}>\r\nReferences: {references}\r\nSubject: {subject}\r\n\r\n")
    };
    for (mailbox, by_id, shown) in [
        (vec![mail("1", &[], "a"), mail("2", &["1"], "a"), mail("3", &["1", "2"], "b")], 1, 1),
        (vec![mail("1", &[], "a"), mail("2", &[], "b")], 2, 2),
        (vec![mail("1", &[], "a"), mail("2", &[], "Re: a")], 2, 1),
        (vec![mail("2", &["1"], "a"), mail("3", &["1"], "b")], 1, 1),
        (vec![mail("1", &["2"], "a"), mail("2", &["1"], "a")], 1, 1),
        (vec![mail("1", &[], "a"), mail("3", &["2"], "b")], 2, 2),
        (vec![mail("2", &[], "a"), mail("3", &["1", "2"], "b")], 1, 1),
        (vec![mail("3", &["1", "2"], "a"), mail("2", &[], "b"), mail("1", &[], "c")], 2, 2),
    ] {
        assert_eq!((threads_by_id(&mailbox), threads(&mailbox)), (by_id, shown), "{mailbox:?}");
    }
}
