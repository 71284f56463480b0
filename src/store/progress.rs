//! How far the index is when it is brought up to the journal, for whoever waits for it.

use tokio::sync::watch;

/// Tells how far it is. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Progress(watch::Sender<Step>);

/// What is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Work {
    /// What is new in the journal is put into the index.
    #[default]
    Reading,
    /// The index is built again.
    Rebuilding,
    /// What an older release stored is brought up to this one.
    Upgrading,
}

/// A stand of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub work: Work,
    /// Octets that were read, or what was brought up to date, of so many.
    pub done: u64,
    pub total: u64,
}

impl Step {
    /// Whether there is more to read.
    #[must_use]
    pub fn is_under_way(self) -> bool {
        self.done < self.total
    }

    /// From 0 to 100.
    #[must_use]
    pub fn percent(self) -> u64 {
        if self.is_under_way() { self.done.saturating_mul(100) / self.total } else { 100 }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self(watch::Sender::new(Step::default()))
    }
}

impl Progress {
    /// Sees every step from now on, and the one that it is at.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Step> {
        self.0.subscribe()
    }

    /// Something begins that comes to so much.
    pub fn begin(&self, work: Work, total: u64) {
        self.0.send_replace(Step { work, done: 0, total });
    }

    /// So much more is done.
    pub fn read(&self, octets: u64) {
        self.0.send_modify(|step| step.done = step.done.saturating_add(octets).min(step.total));
    }

    /// It gets on with something that is not counted.
    pub(super) fn moves(&self) {
        self.0.send_modify(|_| {});
    }

    /// All of it is done.
    pub fn end(&self) {
        self.0.send_modify(|step| step.done = step.total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_a_hundred_and_never_beyond() {
        let progress = Progress::default();
        let follow = progress.follow();
        assert!(!follow.borrow().is_under_way());
        progress.begin(Work::Rebuilding, 200);
        assert_eq!((follow.borrow().percent(), follow.borrow().is_under_way()), (0, true));
        progress.read(81);
        assert_eq!(follow.borrow().percent(), 40);
        progress.read(u64::MAX);
        assert_eq!((follow.borrow().percent(), follow.borrow().is_under_way()), (100, false));
        progress.begin(Work::Reading, 0);
        progress.end();
        assert_eq!(follow.borrow().percent(), 100);
    }
}
