//! Whether the parts of the daemon move: each is asked now and then, and answers from its own loop.
//!
//! A timer would go on while the loop beside it hangs. An answer proves that the loop came round.

use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Asks the parts.
#[derive(Debug)]
pub struct Heart {
    asked: watch::Sender<u64>,
    parts: Mutex<Vec<Part>>,
}

#[derive(Clone, Debug)]
struct Part {
    name: String,
    answered: watch::Receiver<u64>,
}

/// A part's end of it. When it is dropped, the part counts as one that ended, which none does
/// before the daemon stops.
#[derive(Debug)]
pub struct Beat {
    asked: watch::Receiver<u64>,
    answered: watch::Sender<u64>,
}

impl Default for Heart {
    fn default() -> Self {
        Self { asked: watch::Sender::new(0), parts: Mutex::default() }
    }
}

impl Heart {
    /// Begins to ask a part.
    pub fn beat(&self, part: impl Into<String>) -> Beat {
        // All that was asked before it was there is answered.
        let asked = self.asked.subscribe();
        let answered = watch::Sender::new(*asked.borrow());
        self.parts().push(Part { name: part.into(), answered: answered.subscribe() });
        Beat { asked, answered }
    }

    /// Asks every part once, and waits until all have answered.
    ///
    /// # Errors
    /// The parts that did not within the time, and those that ended.
    pub async fn check(&self, within: Duration) -> Result<(), Vec<String>> {
        let deadline = Instant::now() + within;
        let parts = self.parts().clone();
        let mut question = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            question = *asked;
        });
        let mut stuck = Vec::new();
        for mut part in parts {
            let answer = part.answered.wait_for(|answered| *answered >= question);
            if !matches!(timeout_at(deadline, answer).await, Ok(Ok(_))) {
                stuck.push(part.name);
            }
        }
        if stuck.is_empty() { Ok(()) } else { Err(stuck) }
    }

    /// Only pushed to, so a poisoned lock is as good as a sound one.
    fn parts(&self) -> MutexGuard<'_, Vec<Part>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beat {
    /// Waits for the next question and answers it: for a `select!` in the part's loop. May be
    /// dropped and called again.
    pub async fn answer(&self) {
        let answered = *self.answered.borrow();
        let asked = self.asked.clone().wait_for(|asked| *asked > answered).await.map(|asked| *asked);
        match asked {
            Ok(asked) => {
                self.answered.send_replace(asked);
            }
            // Nobody asks any more.
            Err(_) => std::future::pending().await,
        }
    }

    /// Does a piece of work that waits for others, and answers meanwhile.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.answer() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LATE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn who_comes_round_is_alive_and_who_does_not_is_named() {
        let heart = Heart::default();
        let (moving, stuck) = (heart.beat("moving"), heart.beat("stuck"));
        let task = tokio::spawn(async move {
            loop {
                moving.answer().await;
            }
        });
        assert_eq!(heart.check(SOON).await, Err(vec!["stuck".to_owned()]));
        let late = tokio::spawn(async move {
            tokio::time::sleep(SOON).await;
            stuck.answer().await;
            stuck
        });
        assert_eq!(heart.check(LATE).await, Ok(()));
        drop(late.await.unwrap());
        assert_eq!(heart.check(LATE).await, Err(vec!["stuck".to_owned()]), "it has ended");
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(heart.check(LATE).await.unwrap_err().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_for_the_questions_before_it_alone() {
        let heart = Heart::default();
        assert_eq!(heart.check(SOON).await, Ok(()), "nobody to ask");
        let beat = heart.beat("one");
        assert!(tokio::time::timeout(SOON, beat.answer()).await.is_err(), "it was not asked");
        let (checked, ()) = tokio::join!(heart.check(SOON), beat.answer());
        assert_eq!(checked, Ok(()));
        assert!(heart.check(SOON).await.is_err());
        let (checked, done) =
            tokio::join!(heart.check(SOON), tokio::time::timeout(LATE, beat.during(std::future::pending::<()>())));
        assert!(checked.is_ok() && done.is_err(), "it answers while it waits for others");
        drop(heart);
        assert!(tokio::time::timeout(LATE, beat.answer()).await.is_err());
    }
}
