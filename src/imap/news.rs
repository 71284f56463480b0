//! Who waits for which shelves: sessions that idle are woken by what concerns them, and by nothing
//! else.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::selected::FIRST;
use crate::desk::shelf::{Shelf, Trail};
use crate::net::stop::Stop;
use crate::store::tables::VIEW_LOG;
use crate::store::{Order, Read as _, Store, StoreError};

/// Log entries that are read at a time.
const PAGE: usize = 1_000;

/// Everybody who waits.
#[derive(Debug, Default)]
pub struct News {
    waiting: Mutex<HashMap<Shelf, Vec<Arc<Bell>>>>,
}

/// What wakes one session.
#[derive(Debug)]
struct Bell {
    notify: Notify,
    /// The commit of the first change that it was not asked about; 0 for none.
    since: AtomicU64,
}

/// Somebody who waits, for as long as he has this.
#[derive(Debug)]
pub struct Waiting {
    news: Arc<News>,
    shelves: Vec<Shelf>,
    bell: Arc<Bell>,
}

impl News {
    /// Begins to wait for changes on these shelves; those of [`Shelf::Mine`] are a member's own flags.
    /// Whoever begins reads what there is afterwards, and misses nothing.
    #[must_use]
    pub fn wait_for(self: &Arc<Self>, shelves: Vec<Shelf>) -> Waiting {
        let bell = Arc::new(Bell { notify: Notify::new(), since: AtomicU64::new(0) });
        let mut waiting = self.lock();
        for shelf in &shelves {
            waiting.entry(*shelf).or_default().push(Arc::clone(&bell));
        }
        drop(waiting);
        Waiting { news: Arc::clone(self), shelves, bell }
    }

    /// Follows the store, and wakes whom its changes concern, until the word to stop.
    pub async fn follow(self: Arc<Self>, store: Store, mut stop: Stop) {
        let mut changed = store.changed();
        let mut seen = store.read(|view| Ok::<_, StoreError>(view.version())).unwrap_or(0);
        loop {
            match self.ring(&store, seen) {
                Ok(now) => seen = now,
                Err(error) => tracing::warn!(%error, "mail clients can't be told of changes now"),
            }
            tokio::select! {
                () = stop.stopped() => return,
                more = changed.changed() => if more.is_err() { return },
            }
        }
    }

    /// Wakes whom changes after a commit concern; answers which commit was the last.
    fn ring(&self, store: &Store, seen: u64) -> Result<u64, StoreError> {
        let mut from = Bound::Included((seen + 1, FIRST));
        loop {
            let (page, now) = store.read(|view| {
                let page = view.range(&VIEW_LOG, (from, Bound::Unbounded), Order::Up, PAGE)?;
                Ok::<_, StoreError>((page, view.version()))
            })?;
            let waiting = self.lock();
            for ((at, trail), _) in &page {
                let shelf = match trail {
                    Trail::Row(shelf, _) => *shelf,
                    Trail::Mine(member, ..) | Trail::Rights(member) => Shelf::Mine(*member),
                };
                for bell in waiting.get(&shelf).into_iter().flatten() {
                    // The first stays.
                    let _ = bell.since.compare_exchange(0, *at, Ordering::AcqRel, Ordering::Acquire);
                    bell.notify.notify_one();
                }
            }
            drop(waiting);
            match page.last().filter(|_| page.len() == PAGE) {
                Some((last, _)) => from = Bound::Excluded(*last),
                None => return Ok(now),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Shelf, Vec<Arc<Bell>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Waits until something changed; the number of the first commit that did.
    pub async fn news(&self) -> u64 {
        self.bell.notify.notified().await;
        self.bell.since.swap(0, Ordering::AcqRel)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.news.lock();
        for shelf in &self.shelves {
            if let Some(bells) = waiting.get_mut(shelf) {
                bells.retain(|bell| !Arc::ptr_eq(bell, &self.bell));
                if bells.is_empty() {
                    waiting.remove(shelf);
                }
            }
        }
    }
}
