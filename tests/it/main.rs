//! The promises, a module each. One binary, so that one link serves all.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

mod architecture;
mod command_line;
mod config;
mod conversation;
mod kit;
mod look_alikes;
mod next_server;
mod rfcs;
mod smtp_dialogues;
mod smtp_server;
mod store_faults;
mod store_model;
mod store_power;
mod store_sim;
mod store_trust;
mod store_work;
mod trust;
mod understanding;
