//! Tasks that are told to end together.

use std::future::Future;

use tokio::task::JoinSet;

use crate::net::listen::Listener;
use crate::net::stop::{self, Stop, Stopper};

/// The tasks, and the word that ends them.
pub(super) struct Crew {
    tasks: JoinSet<()>,
    stopper: Stopper,
    stop: Stop,
}

impl Crew {
    pub(super) fn new() -> Self {
        let (stopper, stop) = stop::channel();
        Self { tasks: JoinSet::new(), stopper, stop }
    }

    /// Sets somebody to work, until the word. Must be called in a runtime.
    pub(super) fn begin<W>(&mut self, work: impl FnOnce(Stop) -> W)
    where
        W: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(work(self.stop.clone()));
    }

    /// The same at each socket of a door.
    pub(super) fn serve<W>(&mut self, door: Vec<Listener>, serve: impl Fn(Listener, Stop) -> W)
    where
        W: Future<Output = ()> + Send + 'static,
    {
        for listener in door {
            self.begin(|stop| serve(listener, stop));
        }
    }

    /// Says the word.
    pub(super) fn stop(&self) {
        self.stopper.stop();
    }

    /// Waits until all have ended. May be dropped and called again.
    pub(super) async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// Ends those that have not.
    pub(super) async fn cut_off(&mut self) {
        self.tasks.shutdown().await;
    }
}
