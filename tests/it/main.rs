//! The promises, a module each. One binary, so that one link serves all.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod kit;
mod store_faults;
mod store_model;
mod store_power;
mod store_sim;
mod store_trust;
mod store_work;
