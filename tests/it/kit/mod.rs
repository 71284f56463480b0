//! Helpers: a daemon on free ports, a sink, a DNS server, a clock.

pub mod authority;
pub mod daemon;
pub mod desk;
pub mod dns;
pub mod imap;
pub mod letter;
pub mod load;
pub mod manager;
pub mod named;
pub mod pebble;
pub mod peers;
pub mod ports;
pub mod postfix;
pub mod rspamd;
pub mod rude;
pub mod sealer;
pub mod signed_zones;
pub mod sink;
pub mod socks;
pub mod submit;
pub mod threads;
pub mod web;
