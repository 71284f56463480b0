//! The promises, a module each. One binary, so that one link serves all.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

mod acknowledgements;
mod architecture;
mod authority;
mod bad_input;
mod command_line;
mod commands;
mod config;
mod conversation;
mod copies;
mod crash;
mod dependencies;
mod desk_by_command_line;
mod fanout;
mod full_disk;
mod fuzz_corpus;
mod held_by_mail;
mod hostile_mail;
mod kit;
mod look_alikes;
mod machines;
mod mail_clients;
mod metrics;
mod next_server;
mod outages;
mod own_addresses;
mod readme;
mod rfcs;
mod security;
mod smtp_dialogues;
mod smtp_server;
mod spam;
mod store_faults;
mod store_model;
mod store_power;
mod store_sim;
mod store_trust;
mod store_work;
mod strangers;
mod submission;
mod trust;
mod understanding;
mod which_ticket;
