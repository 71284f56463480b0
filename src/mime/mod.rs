//! Messages in and out: what a mail says, and what a copy looks like.

pub mod encode;
pub mod tree;
