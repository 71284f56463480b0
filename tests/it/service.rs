//! What the service manager hears, and what the daemon hears of it: readiness, progress, life,
//! reload and stop.

use std::fs;
use std::future::Future as _;
use std::net::SocketAddr;
use std::process::Command;
use std::task::{Context, Waker};
use std::time::Duration;

use guichet::store::{Options, Store};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::kit::daemon::Daemon;
use crate::kit::desk::{TestDesk, send};
use crate::kit::sink::Act;
use crate::store_sim::SimFiles;

const ACME: &str = "acme@desk.example.org";
const MAIL: &[u8] = b"From: carol@example.com\nSubject: x\n\nx\n";

/// A desk whose daemon is to be a process of its own.
async fn stopped(more: &str) -> TestDesk {
    let mut desk = TestDesk::with(more).await;
    desk.members(&["alice"]).await;
    desk.stop().await;
    desk
}

fn guichet(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guichet"));
    command.envs(variables.iter().copied());
    command
}

async fn started(desk: &TestDesk, variables: &[(&str, &str)]) -> Daemon {
    let (command, config) = (guichet(variables), desk.config_file());
    tokio::task::spawn_blocking(move || Daemon::start_by(command, &config)).await.unwrap()
}

/// What waits for a daemon, beside the runtime's own threads.
async fn beside<T: Send + 'static>(wait: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(wait).await.unwrap()
}

/// A client in the middle of a message.
struct Sender(BufReader<TcpStream>);

impl Sender {
    async fn begin(server: SocketAddr) -> Self {
        let mut sender = Self(BufReader::new(TcpStream::connect(server).await.unwrap()));
        sender.reply().await;
        for command in ["HELO client.example.com", "MAIL FROM:<carol@example.com>", "RCPT TO:<acme@desk.example.org>"] {
            sender.ask(command, "250 ").await;
        }
        sender.ask("DATA", "354 ").await;
        sender
    }

    async fn ask(&mut self, command: &str, expected: &str) {
        self.0.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
        let reply = self.reply().await;
        assert!(reply.starts_with(expected), "{command}: {reply}");
    }

    async fn reply(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_when_it_serves_and_tells_what_waits() {
    let desk = stopped("").await;
    desk.sink.rule("RCPT", Act::Say("451 4.2.0 not today".to_owned()), false);
    let mut daemon = started(&desk, &[]).await;
    assert_eq!(daemon.start[0].value("STATUS"), Some("opening the store"));
    let ready = daemon.start.last().unwrap().value("STATUS").unwrap().to_owned();
    assert!(ready.ends_with("; 0 copies queued"), "{ready}");
    assert!(send(daemon.address, "carol@example.com", &[ACME], MAIL).await.starts_with("250 "));
    let told = beside(move || {
        while let Some(word) = daemon.next_word() {
            if let Some(status) = word.value("STATUS").filter(|status| !status.ends_with("; 0 copies queued")) {
                return status.to_owned();
            }
        }
        panic!("it ended");
    });
    let told = told.await;
    assert!(told.ends_with("; 1 copy queued") || told.ends_with("; 0 copies queued, 1 deferred"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_start_tells_how_far_it_is_and_asks_for_more_time() {
    let desk = stopped("").await;
    let daemon = started(&desk, &[]).await;
    assert!(send(daemon.address, "carol@example.com", &[ACME], MAIL).await.starts_with("250 "));
    daemon.kill();
    // As if the machine had gone down, and not only the daemon.
    fs::write(desk.dir.path().join("data/store/unclean"), "boot another\nindex whole\n").unwrap();
    let daemon = started(&desk, &[]).await;
    let word = daemon.start.iter().find(|word| word.value("EXTEND_TIMEOUT_USEC").is_some()).unwrap();
    assert_eq!(word.value("EXTEND_TIMEOUT_USEC"), Some("120000000"));
    let status = word.value("STATUS").unwrap();
    assert!(status.starts_with("rebuilding the index: ") && status.ends_with(" %"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_waits_can_be_stopped() {
    let desk = stopped("").await;
    // Somebody else has the store.
    let lock = fs::File::options().write(true).open(desk.dir.path().join("data/store/lock")).unwrap();
    lock.lock().unwrap();
    let config = desk.config_file();
    let (status, log) = beside(move || {
        let mut daemon = Daemon::begin(guichet(&[]), &config);
        assert_eq!(daemon.next_word().unwrap().value("STATUS"), Some("opening the store"));
        daemon.terminate();
        daemon.wait()
    })
    .await;
    assert!(status.success() && log.contains("told to stop before it served"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_is_asked_for_during_the_start_comes_after_it() {
    let desk = stopped("").await;
    let lock = fs::File::options().write(true).open(desk.dir.path().join("data/store/lock")).unwrap();
    lock.lock().unwrap();
    let config = desk.config_file();
    beside(move || {
        let mut daemon = Daemon::begin(guichet(&[]), &config);
        assert_eq!(daemon.next_word().unwrap().value("STATUS"), Some("opening the store"));
        daemon.signal(Signal::HUP);
        drop(lock);
        daemon.until("READY=1");
        daemon.until("RELOADING=1");
        daemon.until("READY=1");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_is_none_is_not_started_with_again() {
    let desk = stopped("").await;
    let config = desk.config_file();
    let (status, log) = beside(move || Daemon::begin(guichet(&[("GUICHET_LOG", "[[")]), &config).wait()).await;
    assert_eq!(
        (status.code(), log.as_str()),
        (Some(78), "the environment: GUICHET_LOG=[[: invalid filter directive\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_that_it_is_alive_as_often_as_is_wanted() {
    let desk = stopped("").await;
    let mut daemon = started(&desk, &[("WATCHDOG_USEC", "300000")]).await;
    beside(move || {
        for _ in 0..4 {
            daemon.until("WATCHDOG=1");
        }
        daemon.terminate();
        daemon.wait()
    })
    .await;
    // What is wanted of another process is not wanted of this one.
    let mut daemon = started(&desk, &[("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")]).await;
    beside(move || {
        daemon.terminate();
        while let Some(word) = daemon.next_word() {
            assert!(!word.says("WATCHDOG=1"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_is_not_called_alive() {
    const PATIENCE: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_mins(1);
    let files = SimFiles::default();
    let store = Store::open_with(files.parts("this boot"), Options::default()).unwrap();
    let desk = TestDesk::on(store.clone()).await;
    assert_eq!(desk.running().alive(LONG).await, Ok(()));
    let mut write = Box::pin(crate::store_work::step(&store, 0));
    let stuck = tokio::task::block_in_place(|| {
        files.standing_still(|| {
            assert!(write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            // The first one may come round together with the write.
            let twice = async {
                let _ = desk.running().alive(PATIENCE).await;
                desk.running().alive(PATIENCE).await
            };
            Handle::current().block_on(twice)
        })
    });
    assert_eq!(stuck, Err(vec!["the store".to_owned()]));
    write.await.unwrap();
    assert_eq!(desk.running().alive(LONG).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_begins_and_ends_for_the_service_manager() {
    let desk = stopped("").await;
    let mut daemon = started(&desk, &[]).await;
    beside(move || {
        daemon.signal(Signal::HUP);
        let begun = daemon.until("RELOADING=1").pop().unwrap();
        let at: u64 = begun.value("MONOTONIC_USEC").unwrap().parse().unwrap();
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec;
        assert!(at > 0 && at / 1_000_000 <= u64::try_from(now).unwrap());
        let ended = daemon.until("READY=1").pop().unwrap();
        assert!(ended.value("STATUS").unwrap().starts_with("SMTP on "));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_what_has_begun_and_says_how_long() {
    let desk = stopped("[limits]\ndrain = \"10m\"\n").await;
    let mut daemon = started(&desk, &[]).await;
    let mut client = Sender::begin(daemon.address).await;
    daemon.terminate();
    let daemon = beside(move || {
        let word = daemon.until("STOPPING=1").pop().unwrap();
        let longest: u64 = word.value("EXTEND_TIMEOUT_USEC").unwrap().parse().unwrap();
        assert_eq!(longest, 660_000_000, "10 minutes, and what comes after them");
        daemon
    })
    .await;
    client.ask("From: carol@example.com\r\nSubject: x\r\n\r\nx\r\n.", "250 ").await;
    let (status, log) = beside(move || daemon.wait()).await;
    assert!(status.success(), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once_and_loses_nothing_that_was_acknowledged() {
    let mut desk = stopped("[limits]\ndrain = \"10m\"\n").await;
    let mut daemon = started(&desk, &[]).await;
    assert!(send(daemon.address, "carol@example.com", &[ACME], MAIL).await.starts_with("250 "));
    let _client = Sender::begin(daemon.address).await;
    daemon.terminate();
    let (status, log) = beside(move || {
        daemon.until("STOPPING=1");
        daemon.signal(Signal::INT);
        daemon.wait()
    })
    .await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("a second signal ended it before all was finished"), "{log}");
    desk.resume().await;
    assert_eq!(desk.messages("acme-1").len(), 1);
}
