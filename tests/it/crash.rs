//! Nothing acknowledged is ever lost: the daemon is killed again and again under load, and stopped
//! under load.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use guichet::desk::copy::{Content, CopyState};
use guichet::desk::entry::Kind;
use guichet::store::tables::{COPIES, COPY_STATES, ENTRIES, MESSAGE_IDS, QUEUE, TICKETS};
use guichet::store::{Order, Read};
use tokio::task::JoinSet;

use crate::kit::daemon::{Daemon, guichet};
use crate::kit::desk::{TestDesk, field};
use crate::kit::load::{Client, Dice, Mail, Office, Unfinished, reader, seed};

const ROUNDS: usize = 54;
/// After so many starts the daemon is asked to verify its store.
const VERIFIED_EVERY: usize = 4;
/// After so many rounds everything is looked at.
const INSPECTED_EVERY: usize = 9;
const SENDERS: usize = 5;
/// Copies under way at one time, as the config of these tests says: the most that one kill can
/// make go out twice.
const DELIVERIES: usize = 8;

/// When the daemon dies: after so many more of these.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Acknowledged(usize),
    Copies(usize),
    Octets(usize),
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_killed_at_any_moment_keeps_every_mail_once_and_delivers_every_copy() {
    let seed = seed();
    let mut dice = Dice::new(seed);
    let mut desk = desk().await;
    let office = Arc::new(Office::new(seed));
    let mut unfinished: Vec<Mail> = Vec::new();
    for round in 1..=ROUNDS {
        let moment = match dice.roll(3) {
            0 => Moment::Acknowledged(dice.roll(16)),
            1 => Moment::Copies(1 + dice.roll(24)),
            _ => Moment::Octets(1 + dice.roll(60_000)),
        };
        let received = desk.sink.received();
        office.saw(&received);
        let daemon = start(&desk.config_file()).await;
        if round % VERIFIED_EVERY == 0 {
            verify(&desk.config_file()).await;
        }
        let senders = senders(&office, &daemon, &mut unfinished);
        until(moment, &office, &desk, received.len()).await;
        daemon.kill();
        unfinished.extend(senders.join_all().await.into_iter().filter_map(|end| end.mail));
        if round % INSPECTED_EVERY == 0 {
            desk.resume().await;
            inspect(&desk, &office);
            desk.stop().await;
        }
    }

    desk.resume().await;
    for mail in unfinished {
        office.finish(desk.address(), mail).await;
    }
    desk.settled().await;
    let entries = inspect(&desk, &office);
    assert_eq!(entries, office.composed(), "each message is there once, and nothing else");
    let twice = delivered(&desk);
    println!("{} messages, {} on the wire, {twice} of them again", entries.len(), desk.sink.received().len());
    assert!(twice <= ROUNDS * DELIVERIES, "{twice} copies went out again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_told_to_stop_answers_every_message_that_has_begun() {
    let seed = seed();
    let mut dice = Dice::new(seed);
    let mut desk = desk().await;
    let office = Arc::new(Office::new(seed));
    let mut unfinished: Vec<Mail> = Vec::new();
    let marker = desk.dir.path().join("data/store/unclean");
    for _ in 0..4 {
        let received = desk.sink.received();
        office.saw(&received);
        let daemon = start(&desk.config_file()).await;
        assert!(marker.exists());
        let senders = senders(&office, &daemon, &mut unfinished);
        until(Moment::Octets(20_000 + dice.roll(200_000)), &office, &desk, received.len()).await;
        daemon.terminate();
        for end in senders.join_all().await {
            assert!(!end.in_data, "a message had begun and was not answered");
            unfinished.extend(end.mail);
        }
        let (status, log) = tokio::task::spawn_blocking(|| daemon.wait()).await.unwrap();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(!marker.exists(), "it left no work to the next start");
    }
    desk.resume().await;
    for mail in unfinished {
        office.finish(desk.address(), mail).await;
    }
    desk.settled().await;
    assert_eq!(inspect(&desk, &office), office.composed());
    assert_eq!(delivered(&desk), 0, "no copy goes out twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_answer_and_comes_back_makes_no_second_entry() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    let mail = Mail {
        id: "hasty@example.com".to_owned(),
        from: "carol@example.com".to_owned(),
        to: vec!["acme@desk.example.org".to_owned()],
        text: "From: <carol@example.com>\nSubject: Hasty\nDate: Mon, 23 Nov 2026 10:00:00 +0000\n\
               Message-ID: <hasty@example.com>\n\nHello."
            .to_owned(),
    };
    let mut hasty = Client::connect(desk.address()).await.unwrap();
    for line in ["MAIL FROM:<carol@example.com>", "RCPT TO:<acme@desk.example.org>", "DATA"] {
        hasty.say(line).await.unwrap();
    }
    hasty.write(format!("{}\r\n.\r\n", mail.text.replace('\n', "\r\n")).as_bytes()).await.unwrap();
    drop(hasty);
    desk.until(|view| Ok(view.range(&ENTRIES, .., Order::Up, 1)?.pop())).await;

    let mut client = Client::connect(desk.address()).await.unwrap();
    for _ in 0..2 {
        let reply = client.send(&mail, |_| {}).await.unwrap();
        assert!(reply.starts_with("250 2.0.0 acme-1 "), "{reply}");
    }
    assert_eq!(desk.messages("acme-1").len(), 1);
    assert_eq!(desk.settled().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_one_ticket_that_come_all_at_once_are_all_there() {
    const ANSWERS: usize = 60;
    let desk = TestDesk::with("[limits]\nconnections_per_address = 100\nlook_alike = 1000\n").await;
    desk.members(&["alice", "bob"]).await;
    let mail = |n: usize| Mail {
        id: format!("{n}@example.com"),
        from: "carol@example.com".to_owned(),
        to: vec!["acme@desk.example.org".to_owned()],
        text: format!(
            "From: <carol@example.com>\nSubject: All at once\nMessage-ID: <{n}@example.com>\n\
             In-Reply-To: <0@example.com>\n\nHello."
        ),
    };
    let address = desk.address();
    let send = move |mail: Mail| async move {
        let mut client = Client::connect(address).await.unwrap();
        let reply = client.send(&mail, |_| {}).await.unwrap();
        assert!(reply.starts_with("250 2.0.0 acme-1 "), "{reply}");
    };
    send(mail(0)).await;
    let mut senders = JoinSet::new();
    for n in 1..=ANSWERS {
        senders.spawn(send(mail(n)));
    }
    senders.join_all().await;
    assert_eq!(desk.messages("acme-1").len(), 1 + ANSWERS);
    assert_eq!(desk.settled().await.len(), 2 * (1 + ANSWERS));
}

/// A desk with two members, not running.
async fn desk() -> TestDesk {
    let limits = format!("[limits]\nlook_alike = 1000000\ndeliveries = {DELIVERIES}\ndeliveries_per_destination = 4\n");
    let mut desk = TestDesk::with(&limits).await;
    desk.members(&["alice", "bob"]).await;
    desk.stop().await;
    desk
}

async fn start(config: &Path) -> Daemon {
    let config = config.to_owned();
    tokio::task::spawn_blocking(move || Daemon::start(&config)).await.unwrap()
}

/// `guichet verify`, which asks the daemon.
async fn verify(config: &Path) {
    let config = config.to_owned();
    let output = tokio::task::spawn_blocking(move || guichet(&config, &["verify"])).await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

fn senders(office: &Arc<Office>, daemon: &Daemon, unfinished: &mut Vec<Mail>) -> JoinSet<Unfinished> {
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        let (office, address, mail) = (Arc::clone(office), daemon.address, unfinished.pop());
        senders.spawn(async move { office.send(address, mail).await });
    }
    senders
}

async fn until(moment: Moment, office: &Office, desk: &TestDesk, received: usize) {
    let mut progress = office.progress();
    let now = *progress.borrow();
    match moment {
        Moment::Acknowledged(more) => {
            progress.wait_for(|then| then.acknowledged >= now.acknowledged + more).await.unwrap();
        }
        Moment::Octets(more) => {
            progress.wait_for(|then| then.octets >= now.octets + more).await.unwrap();
        }
        Moment::Copies(more) => {
            desk.sink.wait(received + more).await;
        }
    }
}

/// Holds a desk against itself and against what was acknowledged; how many entries there are of
/// each message.
fn inspect(desk: &TestDesk, office: &Office) -> BTreeMap<String, usize> {
    let report = desk.verify();
    assert!(report.is_clean(), "{:#?}", report.problems);
    let entries = desk.read(|view| {
        let entries = view.range(&ENTRIES, .., Order::Up, usize::MAX)?;
        for ((ticket, id), entry) in &entries {
            assert!(view.get(&TICKETS, ticket)?.is_some(), "entry {id} is on no ticket");
            if let Some(raw) = entry.raw {
                view.raw(raw)?;
            }
            for copy in &entry.copies {
                assert!(view.get(&COPIES, copy)?.is_some(), "entry {id} has a copy that isn't there");
            }
        }
        for ((_, message_id), bearers) in view.range(&MESSAGE_IDS, .., Order::Up, usize::MAX)? {
            for bearer in bearers {
                let found = view.get(&ENTRIES, &(bearer.ticket, bearer.entry))?;
                assert!(found.is_some(), "{message_id} names an entry that isn't there");
            }
        }
        for (id, copy) in view.range(&COPIES, .., Order::Up, usize::MAX)? {
            let queued = copy.next_at.map(|at| view.get(&QUEUE, &(at, id))).transpose()?.flatten().is_some();
            assert_eq!(queued, copy.next_at.is_some(), "copy {id} waits and is not in the queue");
        }
        Ok(entries)
    });
    let mut found = BTreeMap::new();
    for (_, entry) in entries {
        if entry.kind != Kind::Event {
            let id = entry.message_id.unwrap().to_string();
            *found.entry(id.trim_matches(['<', '>']).to_owned()).or_default() += 1;
        }
    }
    for (id, count) in office.acknowledged() {
        assert_eq!(found.get(&id), Some(&count), "{id} was acknowledged");
    }
    for (id, count) in office.composed() {
        assert!(found.get(&id).is_none_or(|found| *found == count), "{id} is there {:?} times", found.get(&id));
    }
    found
}

/// Holds the copies against what the next server got; how many of them it got again.
fn delivered(desk: &TestDesk) -> usize {
    let mut wire: BTreeMap<(String, String), usize> = BTreeMap::new();
    for received in desk.sink.received() {
        let id = field(&String::from_utf8_lossy(&received.message), "Message-ID").unwrap();
        *wire.entry((id, reader(&received))).or_default() += 1;
    }
    let copies = desk.read(|view| {
        assert_eq!(view.range(&QUEUE, .., Order::Up, 1)?, []);
        assert_eq!(view.range(&COPY_STATES, .., Order::Up, 1)?, []);
        let copies = view.range(&COPIES, .., Order::Up, usize::MAX)?;
        copies
            .into_iter()
            .map(|(_, copy)| {
                assert_eq!(copy.state, CopyState::Sent, "{copy:?}");
                let entry = view.get(&ENTRIES, &(copy.ticket, copy.entry))?.unwrap();
                let own = if copy.content == Content::Entry { entry.minted_id } else { copy.message_id };
                Ok((own.unwrap().to_string(), copy.to.to_string()))
            })
            .collect::<Result<Vec<_>, _>>()
    });
    assert!(!copies.is_empty());
    let mut again = 0;
    for copy in copies {
        let times = wire.remove(&copy).unwrap_or_default();
        assert!(times > 0, "{copy:?} was never delivered");
        again += times - 1;
    }
    assert_eq!(wire, BTreeMap::new(), "nothing goes out that is not in the store");
    again
}
