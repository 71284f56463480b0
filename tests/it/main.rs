//! The promises, a module each. One binary, so that one link serves all.

mod architecture;
mod command_line;
mod config;
mod kit;
mod next_server;
mod rfcs;
mod trust;
