//! What time does to tickets, as it passes.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::actions::{self, Act, Actor, Desk};
use crate::desk::entry::Door;
use crate::net::beat::Beat;
use crate::net::stop::Stop;
use crate::store::Store;

/// The longest between two looks.
const TIMER: Duration = Duration::from_secs(30);

/// Looks until the word to stop.
pub(super) async fn run(store: Store, desk: Arc<Desk>, mut stop: Stop, beat: Beat) {
    loop {
        let now = Timestamp::now();
        let tick = store.transact(|tx| {
            let trace = Some(desk.mint_trace());
            actions::timers::tick(
                tx,
                &Act { desk: &desk, now, door: Door::Timer, actor: Actor::System, trace, client: None },
            )
        });
        // The store may be long about it, while it builds its index again.
        let moved = beat.during(tick).await;
        let wait = match moved {
            Ok(0) => {
                let next = store.read(|view| actions::timers::next(view, &desk)).ok().flatten();
                let until = next.map_or(SignedDuration::MAX, |next| next.duration_since(now));
                Duration::try_from(until).unwrap_or(Duration::ZERO).clamp(Duration::from_millis(200), TIMER)
            }
            // More may wait than one transaction moves.
            Ok(_) => Duration::ZERO,
            Err(error) => {
                tracing::error!(%error, "tickets can't be woken or closed");
                TIMER
            }
        };
        tokio::select! {
            () = stop.stopped() => return,
            () = beat.answer() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}
