//! Mailboxes of a store that is older than they are, and of a backup that is put back.

use std::path::Path;

use guichet::config::Config;
use guichet::daemon;
use guichet::desk::shelf::{Shelved, Trail};
use guichet::store::tables::{GATHERED, ROWS, SHELVED, SHOWN, VALIDITY, VIEW_LOG};
use guichet::store::{Options, Order, Read as _, Store, StoreError};

use super::kit::desk::TestDesk;
use super::kit::imap::{Client, furnish};
use super::kit::letter::letter;

async fn desk() -> TestDesk {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    for subject in ["One", "Two", "Three"] {
        desk.post(&letter("carol@example.com").to("acme@desk.example.org").subject(subject)).await;
    }
    desk
}

#[tokio::test]
async fn an_older_store_has_its_mailboxes_when_the_daemon_has_opened_it() {
    let mut desk = TestDesk::start().await;
    furnish(&desk).await;
    let marker = |desk: &TestDesk| desk.read(|view| Ok(view.get(&SHELVED, &())?));
    assert_eq!(marker(&desk), Some(Shelved::All), "a new store has them from the start");
    let password = desk.app_password("bob@team.example", "phone").await;
    let mut bob = connect(&desk, &password).await;
    let before = counts(&mut bob).await;
    // As a release before mailboxes leaves it, but for one message at which a daemon was stopped.
    desk.act(|tx, _| {
        let shown = tx.range(&SHOWN, .., Order::Up, 100)?;
        let (first, kept) = shown[0].clone();
        for (key, _) in shown.into_iter().skip(1) {
            tx.delete(&SHOWN, &key);
        }
        for ((shelf, uid), row) in tx.range(&ROWS, .., Order::Up, 100)? {
            if !kept.at.contains(&(shelf, uid)) {
                tx.delete(&ROWS, &(shelf, uid));
                tx.delete(&VIEW_LOG, &(row.modseq, Trail::Row(shelf, uid)));
            }
        }
        Ok(tx.put(&SHELVED, &(), &Shelved::Through(first.0.unwrap(), first.1))?)
    })
    .await;
    let left = desk.read(|view| Ok(view.range(&ROWS, .., Order::Up, 100)?.len()));
    assert!((1..=4).contains(&left), "one message's");
    desk.restart().await;
    assert_eq!(marker(&desk), Some(Shelved::All));
    let mut bob = connect(&desk, &password).await;
    assert_eq!(counts(&mut bob).await, before);
    bob.must("SELECT acme/Open").await;
    assert_eq!(bob.search("SUBJECT printer").await.len(), 2, "Carol's mail, and Bob's answer");
    let found = guichet::actions::verify::references(&desk.inside().0).unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
}

async fn connect(desk: &TestDesk, password: &str) -> Client {
    let mut client = Client::connect(desk.imap().0, &desk.certificate()).await;
    client.must(&format!("LOGIN bob@team.example \"{password}\"")).await;
    client
}

/// How many messages some mailboxes show, and how many of them were not read.
async fn counts(client: &mut Client) -> Vec<String> {
    let mut all = Vec::new();
    for mailbox in ["INBOX", "Archive", "Sent", "acme/Open", "acme/Closed", "acme/Departments/Billing"] {
        let status = client.must(&format!("STATUS {mailbox} (MESSAGES UNSEEN)")).await;
        all.push(status.untagged[0].clone());
    }
    all
}

#[tokio::test]
async fn a_backup_that_is_put_back_gives_no_number_a_second_meaning() {
    let mut desk = desk().await;
    let password = desk.app_password("alice@team.example", "phone").await;
    let mut alice = Client::log_in(&desk, "alice").await;
    let before: Vec<u32> = validities(&mut alice).await;
    let backup = desk.dir.path().join("backup");
    desk.inside().0.copy_to(&backup.join("store")).unwrap();
    // What is lost: other mail, under numbers that are given again to what comes then.
    desk.post(&letter("carol@example.com").to("acme@desk.example.org").subject("Lost")).await;
    alice.must("SELECT INBOX").await;
    let last = *alice.search("ALL").await.last().unwrap();
    desk.stop().await;

    let file = desk.config_file();
    let config = Config::parse(&std::fs::read_to_string(&file).unwrap(), &file).unwrap();
    let store = config.data_dir.join("store");
    std::fs::rename(&store, config.data_dir.join("lost")).unwrap();
    let done = tokio::task::spawn_blocking({
        move || daemon::here::restore(&config, &backup).map(drop).map_err(|_| "it failed")
    });
    done.await.unwrap().unwrap();
    let store = opened(&store);
    let (base, gathered) = store
        .read(|view| Ok::<_, StoreError>((view.get(&VALIDITY, &())?, view.range(&GATHERED, .., Order::Up, 10)?)))
        .unwrap();
    assert!(gathered.is_empty());
    assert!(before.iter().all(|old| base.unwrap() > *old), "{before:?}, then {base:?}");
    store.close().await.unwrap();

    desk.resume().await;
    let mut alice = Client::connect(desk.imap().0, &desk.certificate()).await;
    alice.must(&format!("LOGIN alice@team.example \"{password}\"")).await;
    let after = validities(&mut alice).await;
    assert!(after.iter().all(|new| !before.contains(new)), "{before:?}, then {after:?}");
    alice.must("SELECT INBOX").await;
    desk.post(&letter("carol@example.com").to("acme@desk.example.org").subject("New")).await;
    alice.must("NOOP").await;
    let new = *alice.search("SUBJECT New").await.last().unwrap();
    assert!(new > last, "{new} after {last}");
    let found = guichet::actions::verify::references(&desk.inside().0).unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
}

/// UIDVALIDITY of mailboxes of each kind.
async fn validities(client: &mut Client) -> Vec<u32> {
    let mut all = Vec::new();
    for mailbox in ["INBOX", "Archive", "Drafts", "acme/Open"] {
        let status = client.must(&format!("STATUS {mailbox} (UIDVALIDITY)")).await;
        all.push(status.between("UIDVALIDITY ", ")").parse().unwrap());
    }
    all
}

fn opened(dir: &Path) -> Store {
    Store::open(dir, Options::default()).map_err(|error| error.to_string()).unwrap()
}
