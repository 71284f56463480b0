//! The daemon's life under a service manager: starting, serving, reloading, stopping, and the words
//! about it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::doors::Addresses;
use super::{longest_stop, start_with};
use crate::cli::Failure;
use crate::config::Config;
use crate::desk::copy::CopyState;
use crate::desk::id::CopyId;
use crate::net::beat::Heart;
use crate::net::passed::Passed;
use crate::store::tables::COPY_STATES;
use crate::store::{Order, Progress, Read, Step, Store, StoreError, Work};
use crate::sys::notify;
use crate::sys::signals::{Signals, Wish};

/// The least between two words to the service manager.
const REST: Duration = Duration::from_secs(2);
/// How much longer a start is given with every word of its progress: until the next one.
const LONGER: Duration = Duration::from_mins(2);
/// How many waiting copies are counted one by one.
const MOST_COUNTED: usize = 1_000;

/// Runs the daemon until a signal stops it; a second one ends it at once.
pub(super) async fn run(config: &Config, passed: Passed) -> Result<(), Failure> {
    let mut signals = Signals::new().context("signals can't be heard")?;
    notify::status("opening the store");
    let progress = Progress::default();
    let mut early = None;
    let mut running = tokio::select! {
        biased;
        () = wish_to_stop(&mut signals, &mut early) => {
            tracing::warn!("told to stop before it served");
            return Ok(());
        }
        never = tell_progress(&progress) => match never {},
        started = start_with(config, passed, progress.clone()) => started?,
    };
    let told = Told { listens: listens(&running.listens), store: running.opened.store.clone() };
    notify::ready(&told.line());

    let mut beside = JoinSet::new();
    if let Some(interval) = notify::watchdog_interval() {
        beside.spawn(watch(interval, Arc::clone(&running.heart), told.store.clone()));
    }
    beside.spawn(told.clone().go_on());
    // A reload that was asked for while it started may be about what was written meanwhile.
    let mut wish = match early {
        Some(wish) => wish,
        None => signals.next().await,
    };
    while wish == Wish::Reload {
        notify::reloading();
        // What came of it is in the log.
        let _ = running.reload().await;
        notify::ready(&told.line());
        wish = signals.next().await;
    }
    beside.shutdown().await;
    notify::stopping(longest_stop(config.limits.drain));
    tokio::select! {
        () = running.stop() => Ok(()),
        () = wish_to_stop(&mut signals, &mut early) => {
            let text = "a second signal ended it before all was finished; the next start goes on from there";
            Err(anyhow::anyhow!(text).into())
        }
    }
}

/// Waits for it, and keeps another wish that comes before.
async fn wish_to_stop(signals: &mut Signals, other: &mut Option<Wish>) {
    loop {
        match signals.next().await {
            Wish::Stop => return,
            wish @ Wish::Reload => *other = Some(wish),
        }
    }
}

/// Tells of a start that takes its time as long as it gets on, and has it given more of it.
async fn tell_progress(progress: &Progress) -> Infallible {
    let mut steps = progress.follow();
    // An error means that the sender is gone; we have it.
    while steps.changed().await.is_ok() {
        let step = *steps.borrow_and_update();
        notify::starting(&word(step), LONGER);
        sleep(REST).await;
    }
    std::future::pending().await
}

fn word(step: Step) -> String {
    let what = match step.work {
        Work::Rebuilding => "rebuilding the index",
        Work::Reading => "reading what is new in the journal",
        Work::Upgrading => "bringing the store up to this release",
    };
    format!("{what}: {} %", step.percent())
}

fn listens(doors: &Addresses) -> String {
    let both = |one: &[SocketAddr], other: &[SocketAddr]| [one, other].concat();
    let submission = both(&doors.submission_tls, &doors.submission);
    let imap = both(&doors.imap_tls, &doors.imap);
    let web = both(&doors.web_tls, &doors.web);
    let served = [("SMTP", &doors.smtp), ("submission", &submission), ("IMAP", &imap), ("web", &web)];
    let served = served.into_iter().filter(|(_, addresses)| !addresses.is_empty()).map(|(what, addresses)| {
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        format!("{what} on {}", addresses.join(", "))
    });
    served.collect::<Vec<_>>().join("; ")
}

/// What the status line is made of.
#[derive(Clone)]
struct Told {
    listens: String,
    store: Store,
}

impl Told {
    fn line(&self) -> String {
        let step = *self.store.progress().borrow();
        let now = if step.is_under_way() {
            word(step)
        } else {
            waiting(&self.store).unwrap_or_else(|error| format!("the queue can't be read: {error}"))
        };
        if self.listens.is_empty() { now } else { format!("{}; {now}", self.listens) }
    }

    /// Tells whenever it is another line.
    async fn go_on(self) {
        let mut last = self.line();
        let (mut changed, mut steps) = (self.store.changed(), self.store.progress());
        loop {
            tokio::select! {
                Ok(()) = changed.changed() => {}
                Ok(()) = steps.changed() => {}
                else => return,
            }
            let line = self.line();
            if line != last {
                notify::status(&line);
                last = line;
            }
            sleep(REST).await;
        }
    }
}

/// How many copies wait.
fn waiting(store: &Store) -> Result<String, StoreError> {
    store.read(|view| {
        let count = |state: CopyState| {
            let range = (state as u8, CopyId(0))..=(state as u8, CopyId(u64::MAX));
            let found = view.range(&COPY_STATES, range, Order::Up, MOST_COUNTED + 1)?.len();
            let text = if found > MOST_COUNTED { format!("over {MOST_COUNTED}") } else { found.to_string() };
            Ok::<_, StoreError>(text)
        };
        let (queued, deferred) = (count(CopyState::Queued)?, count(CopyState::Deferred)?);
        let copies = if queued == "1" { "copy" } else { "copies" };
        let deferred = if deferred == "0" { String::new() } else { format!(", {deferred} deferred") };
        Ok(format!("{queued} {copies} queued{deferred}"))
    })
}

/// Says that the daemon is alive, as long as it is proven: every loop has come round, and so has
/// the store's committer, or the index that it is building gets on. What does not is named in the log
/// before the service manager loses patience.
async fn watch(interval: Duration, heart: Arc<Heart>, store: Store) {
    // Together less than the interval.
    let (patience, pause) = (interval / 2, interval / 3);
    loop {
        match alive(patience, &heart, &store).await {
            Ok(()) => notify::watchdog(),
            Err(stuck) => {
                let stuck = stuck.join(", ");
                tracing::error!(%stuck, ?patience, "does not move; the service manager is not told that all is well");
            }
        }
        sleep(pause).await;
    }
}

/// # Errors
/// What does not move within the time.
pub(super) async fn alive(patience: Duration, heart: &Heart, store: &Store) -> Result<(), Vec<String>> {
    let steps = store.progress();
    let committer =
        async { matches!(timeout(patience, store.pulse()).await, Ok(Ok(()))) || steps.has_changed().unwrap_or(false) };
    let (parts, committer) = tokio::join!(heart.check(patience), committer);
    let mut stuck = parts.err().unwrap_or_default();
    if !committer {
        stuck.push("the store".to_owned());
    }
    if stuck.is_empty() { Ok(()) } else { Err(stuck) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_says_what_takes_its_time() {
        let step = Step { work: Work::Rebuilding, done: 41, total: 100 };
        assert_eq!(word(step), "rebuilding the index: 41 %");
        assert_eq!(word(Step { work: Work::Reading, ..step }), "reading what is new in the journal: 41 %");
    }
}
