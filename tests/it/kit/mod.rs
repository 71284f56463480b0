//! Helpers: a daemon on free ports, a sink, a DNS server, a clock.

pub mod desk;
pub mod dns;
pub mod letter;
pub mod peers;
pub mod sink;
pub mod threads;
