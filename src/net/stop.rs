//! The word to stop, from whoever hears the signal to everybody who serves.

use tokio::sync::watch;

/// Says stop. When it is dropped without a word, that means stop as well.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Hears it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// A pair of the two.
#[must_use]
pub fn channel() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Says stop, for good.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether it was said.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until it is said. May be dropped and called again.
    pub async fn stopped(&mut self) {
        // An error means that the sender is gone, and so stop.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_hears_it_early_and_late() {
        let (stopper, stop) = channel();
        let mut early = stop.clone();
        assert!(!early.is_stopped());
        let waiting = tokio::spawn(async move { early.stopped().await });
        stopper.stop();
        waiting.await.unwrap();
        assert!(stop.is_stopped());
        stop.clone().stopped().await;
    }

    #[tokio::test]
    async fn a_dropped_stopper_stops() {
        let (stopper, mut stop) = channel();
        drop(stopper);
        stop.stopped().await;
        assert!(stop.is_stopped());
    }
}
