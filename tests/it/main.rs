//! The promises, a module each. One binary, so that one link serves all.

mod kit;
mod smtp_dialogues;
mod smtp_server;
