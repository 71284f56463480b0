//! How many recipients one member may write to, so that a stolen password does not make a spammer's
//! relay of the desk. Counted in memory, for members alone: whoever has a password can't have the
//! daemon start anew.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::Rejection;
use crate::desk::id::MemberId;
use crate::desk::pace::{Level, Pace};
use crate::metrics::Refusal;

/// Recipients of each member.
pub struct Quota {
    an_hour: u32,
    pace: Pace,
    used: Mutex<HashMap<MemberId, Level>>,
}

impl Quota {
    /// So many recipients at once; they come back within an hour.
    #[must_use]
    pub fn new(an_hour: u32) -> Self {
        Self { an_hour, pace: Pace::an_hour(an_hour), used: Mutex::default() }
    }

    /// Whether a member may write to so many now. Takes nothing.
    pub(super) fn allows(&self, member: MemberId, recipients: usize, now: Timestamp) -> Result<(), Rejection> {
        let mut level = self.lock().get(&member).copied().unwrap_or_default();
        self.take_of(&mut level, recipients, now)
    }

    /// Takes so many.
    pub(super) fn take(&self, member: MemberId, recipients: usize, now: Timestamp) -> Result<(), Rejection> {
        let mut used = self.lock();
        self.take_of(used.entry(member).or_default(), recipients, now)
    }

    /// Takes for those outside whom a message went to besides its recipients, since they are on its
    /// ticket. It has gone out: what is too much is missing for the next.
    pub(super) fn charge(&self, member: MemberId, more: usize, now: Timestamp) {
        self.pace.charge(self.lock().entry(member).or_default(), more, now);
    }

    /// Gives back what a message took that was refused.
    pub(super) fn give_back(&self, member: MemberId, recipients: usize) {
        if let Some(level) = self.lock().get_mut(&member) {
            self.pace.give_back(level, recipients);
        }
    }

    fn take_of(&self, level: &mut Level, recipients: usize, now: Timestamp) -> Result<(), Rejection> {
        self.pace.take(level, recipients, now).map_err(|wait| {
            let text = format!(
                "more than {} recipients within an hour; try again in {} seconds",
                self.an_hour,
                wait.as_secs()
            );
            Rejection::new(450, (4, 7, 1), text).because(Refusal::Rate)
        })
    }

    /// Numbers can't be left half changed, so a poisoned lock is as good as a sound one.
    fn lock(&self) -> MutexGuard<'_, HashMap<MemberId, Level>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
