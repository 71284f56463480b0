//! Copies on their way out.
//!
//! The [`worker`] has copies that a [`reader`] takes from the queue, [`destinations`] says whose turn it is,
//! [`under_way`] for whom there is a place, [`pause`] for how long who is down is left alone; [`render`] writes
//! the copy out. [`exit`] is the configured [`route`] opened: to servers, whose connections by
//! the SMTP [`client`] a [`pool`] keeps and whose names [`mx`] finds, or into a Maildir that
//! [`capture`]s. [`schedule`] says when to try again. A [`probe`] tests
//! the way out.
//!
//! How safe the line to a server must be is said by its zone ([`dane`]) or its domain ([`mta_sts`],
//! fetched by [`https`]); how it went is counted by a [`tally`], of which [`tls_reports`] tell.

pub mod capture;
pub mod client;
pub mod clock;
pub mod dane;
pub mod destinations;
pub mod exit;
pub mod https;
pub mod mta_sts;
pub mod mx;
mod names;
mod pause;
pub mod pool;
pub mod probe;
pub mod reader;
pub mod render;
pub mod route;
pub mod schedule;
pub mod tally;
pub mod tls_reports;
mod under_way;
pub mod worker;
