//! The promises, a module each. One binary, so that one link serves all.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod kit;
mod next_server;
mod trust;
