//! A disk that is full or fails: senders hear that they should come back, nothing is there by half,
//! and it goes on by itself once there is room.

use std::io::ErrorKind;
use std::time::Duration;

use guichet::desk::copy::CopyState;
use guichet::store::tables::{ENTRIES, TICKETS};
use guichet::store::{Options, Order, Read, Store};
use rustix::process::Resource;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::kit::daemon::{Daemon, guichet_without_disk};
use crate::kit::desk::{TestDesk, send};
use crate::store_sim::{Fault, SimFiles};

const ACME: &str = "acme@desk.example.org";
const BULLE: &str = "bulle@desk.example.org";

fn mail(number: usize, size: usize) -> String {
    format!(
        "From: Carol <carol{number}@example.com>\nTo: {ACME}\nSubject: Number {number}\n\
         Date: Mon, 23 Nov 2026 10:00:00 +0000\nMessage-ID: <{number}@example.com>\n\n{}\n",
        "All work and no play.\n".repeat(size / 22)
    )
}

/// A desk with two members on a simulated disk.
async fn simulated() -> (TestDesk, SimFiles) {
    let files = SimFiles::default();
    let store = Store::open_with(files.parts("this boot"), Options::default()).unwrap();
    let desk = TestDesk::on(store).await;
    desk.members(&["alice", "bob"]).await;
    (desk, files)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_says_452_and_a_broken_one_451_and_both_work_again() {
    let (desk, files) = simulated().await;
    let always = |kind| Some(Fault { from: 0, until: u64::MAX, kind });
    assert!(desk.send("carol0@example.com", &[ACME], &mail(0, 10)).await.starts_with("250 2.0.0 acme-1"));
    desk.settled().await;
    let mut number = 0;
    for expected in ["452 4.3.1 ", "452 4.3.1 ", "451 4.3.0 "] {
        match number {
            0 => files.say_free(1000),
            3 => files.fail(always(ErrorKind::StorageFull)),
            _ => files.fail(always(ErrorKind::Other)),
        }
        for size in [10, 2000, 400_000] {
            number += 1;
            let sender = format!("carol{number}@example.com");
            let reply = desk.send(&sender, &[ACME, BULLE], &mail(number, size)).await;
            assert!(reply.starts_with(expected), "{number}: {reply}");
        }
        files.say_free(u64::MAX);
        files.fail(None);
    }
    assert_eq!(desk.messages("acme-1").len(), 1);
    let tickets = desk.read(|view| Ok(view.range(&TICKETS, .., Order::Up, 100)?));
    assert_eq!(tickets.len(), 1, "nothing of what was refused is there");

    for number in 1..=number {
        let sender = format!("carol{number}@example.com");
        let reply = desk.send(&sender, &[ACME, BULLE], &mail(number, 400_000 / number)).await;
        assert!(reply.starts_with("250 "), "{reply}");
    }
    assert_eq!(desk.settled().await.len(), 2 * (number + 1), "two members, a copy each");
    assert!(desk.verify().is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_fate_cannot_be_written_down_is_not_sent_again_meanwhile() {
    let (desk, files) = simulated().await;
    // What one message without readers takes.
    let before = files.operations();
    assert!(desk.send("carol1@example.com", &[BULLE], &mail(1, 10)).await.starts_with("250 "));
    let commit = files.operations() - before;

    let from = files.operations() + commit;
    files.fail(Some(Fault { from, until: u64::MAX, kind: ErrorKind::StorageFull }));
    let reply = desk.send("carol2@example.com", &[ACME], &mail(2, 10)).await;
    assert!(reply.starts_with("250 2.0.0 acme-1"), "{reply}");
    assert_eq!(desk.sink.wait(2).await.len(), 2);
    let reply = desk.send("carol3@example.com", &[ACME], &mail(3, 10)).await;
    assert!(reply.starts_with("452 "), "{reply}");
    let entry = desk.messages("acme-1").remove(0);
    assert!(desk.copies_of(&entry).iter().all(|copy| copy.state == CopyState::Queued));

    files.fail(None);
    assert_eq!(desk.settled().await.len(), 2, "the copies went out once");
    assert!(desk.copies_of(&entry).iter().all(|copy| copy.state == CopyState::Sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_can_write_no_file_refuses_and_goes_on_when_it_can() {
    let mut desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    desk.stop().await;
    let config = desk.config_file();
    let daemon = tokio::task::spawn_blocking(move || Daemon::start_with_limits(&config)).await.unwrap();
    let address = daemon.address;
    assert!(send(address, "carol0@example.com", &[ACME], mail(0, 10).as_bytes()).await.starts_with("250 "));
    desk.sink.wait(1).await;

    daemon.limit(Resource::Fsize, Some(0));
    for (number, size) in [(1, 10), (2, 3000), (3, 600_000)] {
        let reply = send(address, &format!("carol{number}@example.com"), &[ACME], mail(number, size).as_bytes()).await;
        assert!(reply.starts_with("451 4.3.") || reply.starts_with("452 4.3.1 "), "{number}: {reply}");
    }
    daemon.limit(Resource::Fsize, None);

    let mut senders = JoinSet::new();
    for (number, size) in [(1, 10), (2, 3000), (3, 600_000)] {
        senders.spawn(async move {
            // The index may have failed as well. Until it is built again, at the next look at timers at
            // the latest, the client has to come back, as it does anyway.
            loop {
                let reply =
                    send(address, &format!("carol{number}@example.com"), &[ACME], mail(number, size).as_bytes()).await;
                if reply.starts_with("250 ") {
                    return;
                }
                assert!(reply.starts_with("451 4.3.0 "), "{number}: {reply}");
            }
        });
    }
    assert!(timeout(Duration::from_mins(2), senders.join_all()).await.is_ok(), "it does not recover");
    desk.sink.wait(4).await;
    daemon.terminate();
    let (status, log) = tokio::task::spawn_blocking(|| daemon.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{log}");

    // Nor does it start in such a state, and it harms nothing.
    let output = guichet_without_disk(&desk.config_file(), &["serve"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(said.matches("the data directory can't be written").count(), 1, "{said}");

    desk.resume().await;
    assert_eq!(desk.settled().await.len(), 4, "a copy each, once");
    assert!(desk.verify().is_clean());
    let entries = desk.read(|view| Ok(view.range(&ENTRIES, .., Order::Up, 100)?));
    let mut ids: Vec<_> = entries.iter().filter_map(|(_, entry)| entry.message_id.clone()).collect();
    ids.sort();
    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    assert_eq!(ids, ["<0@example.com>", "<1@example.com>", "<2@example.com>", "<3@example.com>"]);
}
