//! The domain: what a ticket is, who may do what to it, and who hears of it.
//!
//! Pure: no I/O, no clock, no randomness of its own; time and fresh identifiers are arguments.
//! Each rule of the desk is one function here, with its table test beside it.

pub mod acknowledgement;
pub mod address;
pub mod authority;
pub mod command;
pub mod confirmation;
pub mod contact;
pub mod copy;
pub mod decision;
pub mod department;
pub mod entry;
pub mod envelope;
pub mod exchange;
pub mod fanout;
pub mod folder;
pub mod forwarder;
pub mod id;
pub mod language;
pub mod letter;
pub mod login;
pub mod member;
pub mod message_id;
pub mod mistake;
pub mod mta_sts;
pub mod pace;
pub mod property;
pub mod public;
pub mod reach;
pub mod recipient;
pub mod references;
pub mod reply_code;
pub mod scram;
pub mod sender;
pub mod shape;
pub mod shelf;
pub mod slug;
pub mod snooze;
pub mod spam;
pub mod subject;
pub mod submission;
pub mod thread;
pub mod ticket;
pub mod tls_report;
pub mod token;
pub mod trace;
pub mod verdict;
