//! Copies on their way out.
//!
//! The [`worker`] has copies that a [`reader`] takes from the queue, [`destinations`] says whose turn it is, [`render`]
//! writes the copy out. [`exit`] is the configured [`route`] opened: to servers, whose connections by
//! the SMTP [`client`] a [`pool`] keeps and whose names [`mx`] finds, or into a Maildir that
//! [`capture`]s. [`schedule`] says when to try again. A [`probe`] tests
//! the way out.

pub mod capture;
pub mod client;
pub mod destinations;
pub mod exit;
pub mod mx;
pub mod pool;
pub mod probe;
pub mod reader;
pub mod render;
pub mod route;
pub mod schedule;
pub mod worker;
