//! Copies on their way out.
//!
//! [`exit`] is the configured [`route`] opened: a [`pool`] of connections kept by the SMTP
//! [`client`], or a Maildir that [`capture`]s. [`schedule`] says when to try again.

pub mod capture;
pub mod client;
pub mod exit;
pub mod pool;
pub mod render;
pub mod route;
pub mod schedule;
pub mod worker;
