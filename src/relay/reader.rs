//! Reads what is due from the queue, which may be far longer than what is kept of it in memory.
//!
//! A page at a time, so that nobody waits for it. What came last is read whenever something
//! changes; the whole of what is due only now and then, for it may be a hundred thousand copies that
//! wait for one server. So a new copy to another server is found at once, wherever in the queue
//! the clock or a slow transaction put it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::actions::ActionError;
use crate::actions::copies::{self, Place};
use crate::desk::copy::Copy;
use crate::desk::id::CopyId;
use crate::store::{Read, Store, StoreError};

/// How many copies that came last are read at once.
const NEWEST: usize = 64;
/// How many are read at once on the way through the queue.
const PAGE: usize = 512;
/// The rest after the whole was read, in times of what that took.
const REST: u32 = 10;
/// The rest after an error.
const REST_AFTER_ERROR: Duration = Duration::from_secs(1);

/// Reads the queue.
pub struct Reader {
    /// Copies that were read and wait for their turn, or are under way, and since when they were due.
    known: BTreeMap<CopyId, Timestamp>,
    newest: bool,
    whole: bool,
    /// On the way through the queue: before this place.
    at: Option<Place>,
    spent: Duration,
    rests_until: Instant,
}

/// A copy that is due.
pub struct Found {
    pub since: Timestamp,
    pub id: CopyId,
    /// `None` where its record can't be understood.
    pub copy: Option<Copy>,
    /// It was known, and a person changed since when it is due.
    pub again: bool,
}

impl Reader {
    /// One that has read nothing yet.
    #[must_use]
    pub fn begin() -> Self {
        Self {
            known: BTreeMap::new(),
            newest: true,
            whole: false,
            at: None,
            spent: Duration::ZERO,
            rests_until: Instant::now(),
        }
    }

    /// Something changed: what came last is to be read.
    pub fn read_newest(&mut self) {
        self.newest = true;
    }

    /// The whole of what is due is to be read.
    pub fn read_whole(&mut self) {
        self.whole = true;
    }

    /// Lets a copy be found again.
    pub fn forget(&mut self, id: CopyId) {
        self.known.remove(&id);
    }

    /// How long there is nothing to read, if anything at all.
    #[must_use]
    pub fn rests_for(&self) -> Option<Duration> {
        if self.newest || self.at.is_some() {
            Some(Duration::ZERO)
        } else {
            self.whole.then(|| self.rests_until.saturating_duration_since(Instant::now()))
        }
    }

    /// The next page: the copies in it that are due and were not known yet, or not since then.
    ///
    /// # Errors
    /// Those of the store; the page is read again after a rest.
    pub fn read(&mut self, store: &Store, now: Timestamp) -> Result<Vec<Found>, StoreError> {
        let end = (now, CopyId(u64::MAX));
        let begun = Instant::now();
        if std::mem::take(&mut self.newest) {
            let (found, last) = self.page(store, end, NEWEST)?;
            self.whole |= last.is_some();
            return Ok(found);
        }
        let before = match self.at {
            Some(at) => at,
            None if self.whole && self.rests_until <= begun => {
                self.whole = false;
                end
            }
            None => return Ok(Vec::new()),
        };
        let (found, last) = self.page(store, before, PAGE)?;
        self.spent += begun.elapsed();
        self.at = last;
        if last.is_none() {
            self.rests_until = Instant::now() + std::mem::take(&mut self.spent) * REST;
        }
        Ok(found)
    }

    /// A page, and the place before which there may be more.
    fn page(&mut self, store: &Store, before: Place, length: usize) -> Result<(Vec<Found>, Option<Place>), StoreError> {
        let page = store.read(|view| {
            let places = copies::due(view, before, length)?;
            let last = places.last().copied().filter(|_| places.len() == length);
            let new = places.into_iter().filter(|(since, id)| self.known.get(id) != Some(since));
            let found = |(since, id)| found(view, since, id, self.known.contains_key(&id));
            let found = new.map(found).collect::<Result<Vec<_>, StoreError>>()?;
            Ok::<_, StoreError>((found, last))
        });
        if page.is_err() {
            (self.at, self.whole) = (None, true);
            self.rests_until = Instant::now() + REST_AFTER_ERROR;
        }
        let (found, last) = page?;
        self.known.extend(found.iter().map(|found| (found.id, found.since)));
        Ok((found, last))
    }
}

fn found(view: &impl Read, since: Timestamp, id: CopyId, again: bool) -> Result<Found, StoreError> {
    match copies::get(view, id) {
        Ok(copy) => Ok(Found { since, id, copy: Some(copy), again }),
        Err(ActionError::Store(error)) if error.is_temporary() => Err(error),
        Err(_) => Ok(Found { since, id, copy: None, again }),
    }
}
