//! Mailboxes of a store that is older than they are, and of a backup that is put back.

use std::path::Path;

use guichet::config::Config;
use guichet::daemon;
use guichet::desk::shelf::{Peak, Shelf, Shelved};
use guichet::store::tables::{GATHERED, MINE, PEAKS, ROWS, SHELVED, SHOWN, VALIDITY, VIEW_LOG};
use guichet::store::{Options, Order, Read as _, Store, StoreError};

use super::kit::desk::TestDesk;
use super::kit::imap::Client;
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
    let mut desk = desk().await;
    let marker = || desk.read(|view| Ok(view.get(&SHELVED, &())?));
    assert_eq!(marker(), Some(Shelved::All), "a new store has them from the start");
    // As a release before mailboxes leaves it, but for one ticket at which one was stopped.
    desk.act(|tx, _| {
        let shown = tx.range(&SHOWN, .., Order::Up, 100)?;
        let first = shown[0].0;
        for (key, _) in shown.into_iter().skip(1) {
            tx.delete(&SHOWN, &key);
        }
        for (key, row) in tx.range(&ROWS, .., Order::Up, 100)?.into_iter().filter(|(_, row)| row.ticket != first.0) {
            tx.delete(&ROWS, &key);
            tx.delete(&VIEW_LOG, &(row.modseq, guichet::desk::shelf::Trail::Row(key.0, key.1)));
        }
        Ok(tx.put(&SHELVED, &(), &Shelved::Through(first.0.unwrap(), first.1))?)
    })
    .await;
    let mut alice = Client::in_mailbox(&desk, "alice", "INBOX").await;
    assert_eq!(alice.search("ALL").await.len(), 1);
    desk.restart().await;
    let mut alice = Client::in_mailbox(&desk, "bob", "INBOX").await;
    assert_eq!(alice.search("ALL").await.len(), 3);
    assert_eq!(alice.search("SUBJECT Three").await.len(), 1);
    assert_eq!(desk.read(|view| Ok(view.get(&SHELVED, &())?)), Some(Shelved::All));
    let found = guichet::actions::verify::references(&desk.inside().0).unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    assert!(
        desk.read(|view| Ok(view.get(&PEAKS, &(Shelf::Mine(guichet::desk::id::MemberId(1)), Peak::Rights))?)).is_none()
    );
    assert!(desk.read(|view| Ok(view.range(&MINE, .., Order::Up, 1)?)).is_empty());
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
