//! HTTP: challenges of ACME and our MTA-STS policy, and a redirect from `http://` to `https://`. The
//! dashboard is to join it here.
//!
//! [`site`] knows what is answered, and no socket; [`server`] the sockets, with a bound on
//! everything that a client could stretch.

pub mod server;
pub mod site;
