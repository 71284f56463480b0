//! Messages in and out: what a mail says, and what a copy looks like.

pub mod compose;
pub mod copy;
pub mod encode;
pub mod tree;
