//! Messages in and out: what a mail says, and what a copy of it looks like.

pub mod attachments;
pub mod charset;
pub mod clean;
pub mod compose;
pub mod confirmation;
pub mod copy;
pub mod encode;
pub mod header;
pub mod html_text;
pub mod ids;
pub mod languages;
pub mod mailboxes;
pub mod marks;
pub mod params;
pub mod parts;
pub mod reply_text;
pub mod report;
pub mod shape;
pub mod text;
pub mod tls_report;
pub mod transfer;
pub mod tree;
pub mod understand;
pub mod words;
