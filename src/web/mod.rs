//! HTTP: challenges of ACME, our MTA-STS policy, what mail clients ask to set themselves up, and a
//! redirect from `http://` to `https://`. The dashboard is to join it here.
//!
//! [`site`] knows what is answered, and no socket; [`server`] the sockets, with a bound on
//! everything that a client could stretch.

pub mod autoconfig;
pub mod server;
pub mod site;
