use std::num::NonZeroU32;

use super::*;
use crate::desk::id::{AppPasswordId, MemberId};
use crate::desk::login::{AppPassword, by_password};
use crate::desk::scram::{Keys, Salt};
use crate::login::sasl::Answer;

/// Pieces that dialogues are made of, and pieces that they should not be made of.
const PIECES: [&str; 32] = [
    "EHLO a.example\r\n",
    "MAIL FROM:<a@b.example>\r\n",
    "MAIL FROM:<> SIZE=20\r\n",
    "RCPT TO:<c@d.example>\r\n",
    "RCPT TO:<no@d.example>\r\n",
    "MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n",
    "MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nBDAT 9\r\n",
    "MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nhi\r\n.\r\n",
    "RSET\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nBDAT 9\r\none\r\nBDAT",
    "DATA\r\n",
    "BDAT 7\r\n",
    "BDAT 5 LAST\r\n",
    "BDAT 0 LAST\r\n",
    "BDAT 70\r\n",
    "RSET\r\n",
    "NOOP\r\n",
    "STARTTLS\r\n",
    "AUTH PLAIN AGEAYg==\r\n",
    "AUTH PLAIN\r\n",
    "AGEAYg==\r\n",
    "*\r\n",
    "H: 1\r\n\r\nbody\r\n.\r\n",
    "\r\n.\r\n",
    "\r\n",
    "..\r\n",
    ".",
    "\r",
    "\n",
    "\0",
    "\u{16}",
    "text",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

/// Somebody.
fn login() -> Login {
    let salt = Salt { octets: [0; 16], iterations: NonZeroU32::MIN };
    let password = AppPassword {
        id: AppPasswordId(1),
        member: MemberId(1),
        name: String::new(),
        salt,
        keys: Keys::of("b", &salt),
        created_at: Timestamp::UNIX_EPOCH,
        last_use: None,
    };
    by_password(&[password], &Keys::of("b", &salt)).unwrap()
}

/// What comes of a dialogue that arrives in pieces of `size` octets. Text of messages that were
/// dropped counts for nothing.
fn play(dialogue: &[u8], size: usize, service: Service) -> Vec<String> {
    let limits = SessionLimits {
        content: ContentLimits { message: 60, header: 40, line: 50 },
        errors: 20,
        ..SessionLimits::default()
    };
    let client = IpAddr::from([192, 0, 2, 1]);
    let tls = if service == Service::World { Tls::Unavailable } else { Tls::Active };
    let mut session = Session::new("desk.example".into(), client, "s".into(), limits, service, tls);
    let (mut seen, mut text) = (Vec::new(), Vec::new());
    for mut input in dialogue.chunks(size) {
        loop {
            match session.advance(Timestamp::UNIX_EPOCH, &mut input) {
                Effect::Read => break,
                Effect::Content(octets) => text.extend_from_slice(octets),
                Effect::Login(_) => session.login_answered(Answer::Login(login(), None)),
                Effect::Recipient(_, address) => {
                    let known = address.local() != "no";
                    session.recipient_answered(if known { Ok(()) } else { Err(Reply::no_such_recipient("no")) });
                }
                Effect::Discard => {
                    text.clear();
                    seen.push("dropped".into());
                }
                Effect::Complete => {
                    seen.push(format!("message {:?}", text.escape_ascii().to_string()));
                    text.clear();
                    session.delivered(Reply::ok("taken"));
                }
                Effect::Close(reply) => {
                    seen.push(format!("close {reply}"));
                    return seen;
                }
                other => seen.push(format!("{other:?}")),
            }
        }
    }
    seen
}

#[test]
fn any_dialogue_comes_to_the_same_however_it_is_split() {
    let mut random = 7_u64;
    let mut taken = [0; 2];
    for round in 0..4000 {
        let mut dialogue = b"EHLO a.example\r\n".to_vec();
        let service = if round % 2 == 0 { Service::World } else { Service::Submission };
        if round % 4 == 1 {
            dialogue.extend_from_slice(b"AUTH PLAIN AGEAYg==\r\n");
        }
        for _ in 0..30 {
            // Knuth's MMIX generator: the same dialogues at every run.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let piece = usize::try_from(random >> 33).unwrap() % PIECES.len();
            dialogue.extend_from_slice(PIECES[piece].as_bytes());
        }
        let whole = play(&dialogue, dialogue.len(), service);
        for size in [1, 2, 3, 7] {
            assert_eq!(play(&dialogue, size, service), whole, "round {round}, {size}: {}", dialogue.escape_ascii());
        }
        taken[round % 2] += whole.iter().filter(|line| line.starts_with("message")).count();
    }
    assert!(taken.iter().all(|taken| *taken > 500), "the dialogues should come to something, not only to {taken:?}");
}

#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    let client = IpAddr::from([192, 0, 2, 1]);
    let mut session = Session::new(
        "desk.example".into(),
        client,
        "s".into(),
        SessionLimits::default(),
        Service::World,
        Tls::Unavailable,
    );
    session.login_answered(Answer::Login(login(), None));
    session.recipient_answered(Ok(()));
    session.delivered(Reply::ok("taken"));
    session.tls_started();
    let mut input = &b"MAIL FROM:<>\r\n"[..];
    assert!(matches!(session.advance(Timestamp::UNIX_EPOCH, &mut input), Effect::Reply(reply) if reply.code == 220));
    assert!(matches!(session.advance(Timestamp::UNIX_EPOCH, &mut input), Effect::Reply(reply) if reply.code == 503));
    assert!(!session.in_transaction());
}
