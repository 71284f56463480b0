//! Guichet: a mail server daemon whose mailboxes are a help desk.
//!
//! The folders tell the way of a mail. [`smtp`] takes the bytes from a socket that [`net`] opened;
//! [`trust`] judges where they came from; [`intake`] reads them with [`mime`], decides what they
//! are and which ticket they join; [`actions`] makes that change, by the rules of [`desk`], in one
//! transaction of the [`store`]; [`relay`] turns it into copies, signs them and delivers them.
//! [`dns`] knows what the DNS should say of all this, and looks whether it does; [`web`] answers for
//! our certificates. [`imap`] shows tickets to members' mail clients, and [`login`] knows who they are. [`api`] and [`cli`]
//! are the desk's other door, [`daemon`] starts and stops the parts in order, [`config`] and [`sys`]
//! are what a system administrator meets, [`metrics`] what he counts by.
//!
//! `docs/architecture.md` has the map with the table of who may import whom.

#![forbid(unsafe_code)]

pub mod actions;
pub mod api;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod desk;
pub mod dns;
pub mod imap;
pub mod intake;
pub mod login;
pub mod metrics;
pub mod mime;
pub mod net;
pub mod relay;
pub mod smtp;
pub mod store;
pub mod sys;
pub mod trust;
pub mod web;
