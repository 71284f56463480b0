//! Helpers: a daemon on free ports, a sink, a DNS server, a clock.
