//! What no decent client does: a tagged NO or BAD, nothing held in memory for it, and nobody else hears of
//! it.

use std::fmt::Write as _;

use super::kit::desk::TestDesk;
use super::kit::imap::{Client, furnish};

async fn desk() -> TestDesk {
    let desk = TestDesk::start().await;
    furnish(&desk).await;
    desk
}

/// Numbers one by one.
fn single(numbers: impl Iterator<Item = u32>) -> String {
    let mut text = String::new();
    for number in numbers {
        write!(text, "{}{number}", if text.is_empty() { "" } else { "," }).unwrap();
    }
    text
}

#[tokio::test]
async fn sets_and_searches_of_any_size_are_answered() {
    let desk = desk().await;
    let mut client = Client::in_mailbox(&desk, "alice", "INBOX").await;
    let all = client.must("UID FETCH 1:4294967295 FLAGS").await.untagged.len();
    assert!(all > 1);
    for (command, status) in [
        ("UID FETCH 4294967295:1 FLAGS".to_owned(), "OK "),
        ("UID STORE 4294967295 +FLAGS (\\Seen)".to_owned(), "OK "),
        ("UID EXPUNGE 4294967200:4294967295".to_owned(), "OK "),
        ("UID MOVE 4294967200:4294967295 Trash".to_owned(), "OK "),
        ("UID SEARCH UID 1:4294967295".to_owned(), "OK "),
        ("FETCH 1:4294967295 FLAGS".to_owned(), "BAD "),
        ("SEARCH 1:4294967295".to_owned(), "BAD "),
        ("UID FETCH 4294967296 FLAGS".to_owned(), "BAD "),
        (format!("UID FETCH {} FLAGS", single(1..=20_000)), "OK "),
        (format!("UID FETCH {} FLAGS", single(1..=20_001)), "BAD "),
        (format!("UID FETCH {} FLAGS", vec!["1:*"; 20_000].join(",")), "OK "),
        (format!("UID STORE {} +FLAGS (\\Seen)", single((1..=40_000).step_by(2))), "OK "),
        (format!("SEARCH {}", vec!["1:*"; 1_000].join(" ")), "OK "),
        (format!("SEARCH {}", vec!["SUBJECT e"; 1_000].join(" ")), "OK "),
        (format!("SEARCH {}", vec!["SUBJECT e"; 1_001].join(" ")), "BAD "),
        (format!("SEARCH {}", vec!["TEXT e"; 20].join(" ")), "OK "),
        (format!("SEARCH {}", vec!["TEXT e"; 21].join(" ")), "BAD "),
        (format!("SORT ({}) UTF-8 ALL", vec!["SUBJECT"; 1_000].join(" ")), "OK "),
        (format!("STATUS INBOX ({})", vec!["UNSEEN SIZE"; 500].join(" ")), "OK "),
        (format!("LIST \"\" {}", "*%".repeat(200_000)), "OK "),
        (format!("FETCH 1 ({})", vec!["FULL"; 1_000].join(" ")), "OK "),
    ] {
        let answer = client.ask(&command).await;
        let shown = &command[..command.len().min(40)];
        assert!(answer.status.starts_with(status), "{shown}: {}", answer.status);
        assert!(answer.untagged.len() <= all.max(30), "{shown}: {}", answer.untagged.len());
        let longest = answer.untagged.iter().map(String::len).max().unwrap_or(0);
        assert!(longest < 10_000, "{shown}: {longest}");
    }
}

#[tokio::test]
async fn a_hundred_thousand_keywords_come_to_fifty() {
    let desk = desk().await;
    let mut client = Client::log_in(&desk, "alice").await;
    let flags = |from: u32, count: u32| (from..from + count).map(|n| format!("word{n}")).collect::<Vec<_>>().join(" ");
    assert!(client.append("Drafts", &flags(0, 51), "Subject: a\n\nb").await.status.starts_with("NO [LIMIT] "));
    assert!(client.append("Drafts", &flags(0, 50), "Subject: a\n\nb").await.is_ok());
    for mailbox in ["Drafts", "INBOX"] {
        client.must(&format!("SELECT {mailbox}")).await;
        client.must(&format!("STORE 1 FLAGS ({})", flags(0, 50))).await;
        let at_once = client.ask(&format!("STORE 1 +FLAGS ({})", flags(0, 100_000))).await;
        assert!(at_once.status.starts_with("BAD "), "{mailbox}: {}", at_once.status);
        for from in [50, 1_000] {
            let more = client.ask(&format!("STORE 1 +FLAGS ({})", flags(from, 900))).await;
            assert!(more.status.starts_with("NO [CANNOT] "), "{mailbox}: {}", more.status);
        }
        let long = client.ask(&format!("STORE 1 +FLAGS ({})", "k".repeat(100_000))).await;
        assert!(long.status.starts_with("BAD "), "{mailbox}: {}", long.status);
        let kept = client.must("FETCH 1 FLAGS").await.between("(FLAGS (", ")");
        assert_eq!(kept.split(' ').filter(|flag| flag.starts_with("word")).count(), 50, "{mailbox}");
    }
}

#[tokio::test]
async fn a_message_of_a_gigabyte_is_refused_before_it_comes() {
    let desk = desk().await;
    let mut client = Client::log_in(&desk, "alice").await;
    for size in ["1073741824", "4294967296", "18446744073709551615"] {
        let refused = client.ask(&format!("APPEND Drafts {{{size}}}")).await;
        assert!(refused.status.starts_with("NO [TOOBIG] "), "{}", refused.status);
    }
    client.must("NOOP").await;
    // Who sends it without a word before hears the same, and then no more: nobody reads a gigabyte for nothing.
    let refused = client.ask("APPEND Drafts {1073741824+}").await;
    assert!(refused.status.starts_with("NO [TOOBIG] "), "{}", refused.status);
    client.hears(|said| said.starts_with("* BYE ")).await;
    Client::log_in(&desk, "alice").await.must("NOOP").await;
}

#[tokio::test]
async fn whoever_never_reads_keeps_nobody_waiting() {
    let desk = desk().await;
    let mut deaf = Client::log_in(&desk, "alice").await;
    let long = format!("Subject: long\n\n{}", "0123456789 all work and no play\n".repeat(50_000));
    assert!(deaf.append("Drafts", "", &long).await.is_ok());
    deaf.must("SELECT Drafts").await;
    for _ in 0..500 {
        deaf.say("FETCH 1 (BODY.PEEK[] BODY.PEEK[TEXT] BODY.PEEK[1])").await;
    }
    // Nothing of it was read, and more is to come than any buffer holds.
    let mut others = Client::in_mailbox(&desk, "bob", "INBOX").await;
    others.must("STORE 1 +FLAGS (\\Seen \\Flagged)").await;
    others.must("FETCH 1:* BODY.PEEK[]").await;
    others.idle().await;
    desk.act(|tx, act| guichet::actions::ticket::tag(tx, act, "acme-1", "heard")).await;
    others.hears(|said| said.contains("heard")).await;
    others.done().await;
    // Alice has another client, and it works; large messages too.
    let mut second = Client::in_mailbox(&desk, "alice", "Drafts").await;
    second.must("STORE 1 +FLAGS.SILENT (\\Answered)").await;
    drop(deaf);
    let whole = second.must("FETCH 1 BODY.PEEK[]").await.untagged;
    assert!(whole.iter().any(|said| said.len() > 1_500_000));
}
