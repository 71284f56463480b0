//! Signals, and the word to stop that they turn into.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// The signals that the daemon listens to, from the moment that this is made.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes the signals over from their default, which is to die. Must be called in a runtime.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next wish. Can be dropped and called again without losing one.
    pub async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }
}

/// Makes a word to stop: one end says it, any number of clones of the other hear it.
#[must_use]
pub fn shutdown() -> (Stop, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Stop(sender), Shutdown(receiver))
}

/// The end that says it. Dropping it says it too: nobody is left who could.
#[derive(Debug)]
pub struct Stop(watch::Sender<bool>);

impl Stop {
    /// Everyone who waits is woken; saying it twice changes nothing.
    pub fn now(&self) {
        self.0.send_replace(true);
    }
}

/// The end that hears it.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Returns once it was said.
    pub async fn wait(&mut self) {
        // An error means that the other end is gone, which is the same word.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether it was said.
    #[must_use]
    pub fn is_now(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everyone_hears_the_word_to_stop_also_who_comes_late() {
        let (stop, shutdown) = shutdown();
        let (mut early, mut late) = (shutdown.clone(), shutdown);
        assert!(!late.is_now());
        let waiting = tokio::spawn(async move { early.wait().await });
        stop.now();
        waiting.await.unwrap();
        late.wait().await;
        assert!(late.is_now());
    }

    #[tokio::test]
    async fn nobody_waits_for_one_who_is_gone() {
        let (stop, mut shutdown) = shutdown();
        drop(stop);
        shutdown.wait().await;
        assert!(shutdown.is_now());
    }

    #[tokio::test]
    async fn signals_become_wishes() {
        let mut signals = Signals::new().unwrap();
        let me = rustix::process::getpid();
        for (signal, wish) in [
            (rustix::process::Signal::HUP, Wish::Reload),
            (rustix::process::Signal::TERM, Wish::Stop),
            (rustix::process::Signal::INT, Wish::Stop),
        ] {
            rustix::process::kill_process(me, signal).unwrap();
            assert_eq!(signals.next().await, wish);
        }
    }
}
