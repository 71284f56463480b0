//! The promises, a module each. One binary, so that one link serves all.

mod kit;
mod understanding;
