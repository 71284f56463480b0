//! Answers that clients are slow to read, and what happens meanwhile.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::*;
use crate::actions::testing::Office;
use crate::actions::{member, own};
use crate::desk::shelf::{Marks, Place};
use crate::imap::model::{command, say, seat};

async fn keep(office: &Office, seat: &Seat, message: String) {
    let member = seat.member.id;
    let message: Arc<[u8]> = message.into_bytes().into();
    let now = office.now;
    let kept = office.act(|tx, _| {
        let raw = tx.put_raw(Arc::clone(&message))?;
        let new = own::New { raw, at: now, message_id: None, marks: Marks::default() };
        Ok(own::add(tx, member, Place::Drafts, new)?)
    });
    kept.await.unwrap();
}

async fn perform(seat: &mut Seat, line: &str) -> String {
    let (done, told) = say(seat, line).await;
    done.unwrap();
    told
}

/// How much is held of an answer when the client turns out to be gone.
async fn held(seat: &mut Seat, line: &str) -> usize {
    let (mut gone, _) = tokio::io::duplex(1);
    let mut bytes = Vec::new();
    let done = seat.perform(&command(line), &mut Out::new(&mut gone, Duration::from_mins(1), &mut bytes)).await;
    assert!(matches!(done, Err(Trouble::Client(_))), "{line}: {done:?}");
    bytes.len()
}

#[tokio::test]
async fn of_what_is_asked_for_a_piece_is_held_at_a_time() {
    let office = Office::open().await;
    let mut seat = seat(&office, &Arc::default(), "bob", "laptop").await;
    let long = "x".repeat(300_000);
    keep(&office, &seat, format!("Subject: a\r\n\r\n{long}")).await;
    keep(&office, &seat, format!("X-Long: {long}\r\n\r\nb")).await;
    let mut to = String::from("To: ");
    for n in 0..1_000 {
        write!(to, "<somebody-{n}@customer.example>,\r\n ").unwrap();
    }
    for _ in 0..60 {
        keep(&office, &seat, format!("{to}<last@customer.example>\r\n\r\nc")).await;
    }
    perform(&mut seat, "SELECT Drafts").await;

    let pieces = |section: &str| {
        let pieces = (0..200).map(|n| format!("BODY.PEEK[{section}]<{n}.4294967295>")).collect::<Vec<_>>();
        pieces.join(" ")
    };
    for line in [
        format!("FETCH 1 ({})", pieces("")),
        format!("FETCH 2 ({})", pieces("HEADER")),
        "FETCH 3:62 ENVELOPE".to_owned(),
        "FETCH 3:62 BODY.PEEK[HEADER]".to_owned(),
    ] {
        let held = held(&mut seat, &line).await;
        assert!(held < MUCH + 400_000, "{held}: {}", &line[..20]);
    }
}
#[tokio::test]
async fn what_others_do_while_an_answer_is_read_is_told_behind_it() {
    let office = Office::open().await;
    let rolls = Arc::default();
    let mut slow = seat(&office, &rolls, "bob", "laptop").await;
    let mut quick = seat(&office, &rolls, "bob", "phone").await;
    for _ in 0..4 {
        keep(&office, &slow, "Subject: a\r\n\r\nb".to_owned()).await;
    }
    let flags = (0..50).map(|n| format!("{n:0>450}")).collect::<Vec<_>>().join(" ");
    perform(&mut quick, "SELECT Drafts").await;
    perform(&mut slow, "SELECT Drafts").await;
    let (mut ours, mut theirs) = tokio::io::duplex(1_000);
    let store = command(&format!("STORE 1:4 FLAGS ({flags})"));
    let mut bytes = Vec::new();
    let storing = async {
        let mut out = Out::new(&mut ours, Duration::from_mins(1), &mut bytes);
        slow.perform(&store, &mut out).await.unwrap();
        out.send().await.unwrap();
        drop(ours);
    };
    let reading = async {
        let mut told = vec![0; 10];
        theirs.read_exact(&mut told).await.unwrap();
        perform(&mut quick, "STORE 1 +FLAGS.SILENT (\\Flagged)").await;
        theirs.read_to_end(&mut told).await.unwrap();
        String::from_utf8(told).unwrap()
    };
    let ((), told) = tokio::join!(storing, reading);
    let last = told.lines().rfind(|line| line.starts_with("* 1 FETCH ")).unwrap();
    assert!(last.contains("FLAGS (\\Flagged "), "{last}");
    assert!(!told.lines().any(|line| line.starts_with("* 2 FETCH (UID")), "what he did he knows");
}

#[tokio::test]
async fn who_loses_a_mailbox_while_he_reads_it_reads_no_more_of_it() {
    let office = Office::open().await;
    for n in 0..60 {
        office.ticket(&format!("customer{n}")).await;
    }
    // Of each message as much comes back as is asked for by name.
    let line = format!("FETCH 1:* BODY.PEEK[HEADER.FIELDS (X-{})]", "y".repeat(60_000));
    let mut seat = seat(&office, &Arc::default(), "bob", "laptop").await;
    perform(&mut seat, "SELECT acme/Open").await;
    let (mut server, mut client) = tokio::io::duplex(1_000);
    let reading = tokio::spawn(async move {
        let mut bytes = Vec::new();
        let done = seat.perform(&command(&line), &mut Out::new(&mut server, Duration::from_mins(1), &mut bytes)).await;
        done.map(drop)
    });
    client.read_exact(&mut [0; 100]).await.unwrap();
    let gone = member::Changes { remove_properties: vec!["acme".to_owned()], ..Default::default() };
    office.act(|tx, act| member::edit(tx, act, "bob", gone.clone()).map(drop)).await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(matches!(reading.await.unwrap(), Err(Trouble::Bye(_))));
    assert!(rest.len() < 60 * 60_000 / 2, "{}", rest.len());
}
