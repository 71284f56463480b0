//! Tells systemd how the daemon is (`sd_notify(3)`, `Type=notify`), and hears what it wants to be
//! told. Without systemd, nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;

/// Everything listens: what waits for the daemon may start. Also the end of a reload.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A line for `systemctl status`.
pub fn status(status: &str) {
    send(&[NotifyState::Status(status)]);
}

/// A start goes on, and is to be given so much longer from now, where less of its time is left.
pub fn starting(status: &str, longer: Duration) {
    send(&[NotifyState::Status(status), extend(longer)]);
}

/// The configuration is being read again; [`ready`] says when that is done.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(_) => send(&[NotifyState::Reloading]),
    }
}

/// The daemon is on its way down, and may take so long.
pub fn stopping(longest: Duration) {
    send(&[NotifyState::Stopping, NotifyState::Status("finishing what has begun"), extend(longest)]);
}

/// The daemon is alive.
pub fn watchdog() {
    send(&[NotifyState::Watchdog]);
}

/// How often [`watchdog`] wants to be called at least; `None`: not at all.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
}

fn extend(longer: Duration) -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from(longer.as_micros()).unwrap_or(u32::MAX))
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot speak to the service manager");
    }
}
