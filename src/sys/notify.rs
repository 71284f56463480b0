//! Tells systemd how far the daemon is (`sd_notify(3)`, `Type=notify`). Without systemd, nothing
//! happens.

use sd_notify::NotifyState;

/// Everything listens: what waits for the daemon may start.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A line for `systemctl status`.
pub fn status(status: &str) {
    send(&[NotifyState::Status(status)]);
}

/// The daemon is on its way down.
pub fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("finishing what has begun")]);
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot speak to the service manager");
    }
}
