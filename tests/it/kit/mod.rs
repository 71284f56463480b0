//! Helpers: a daemon on free ports, a sink, a DNS server, a clock.

pub mod dns;
pub mod peers;
pub mod sink;
