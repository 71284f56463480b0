//! The fuzz targets: one function for each parser of foreign bytes, that takes any octets and
//! panics when a promise about them is broken.
//!
//! Two run them. `main.rs` hands them to libFuzzer (`fuzz/run`), and `tests/it/fuzz_corpus.rs`
//! includes this file and runs each over its seeds and a bounded number of mutations, so that every
//! change is held against them without a fuzzer.
//!
//! To add one: a function here or in a module, a line in [`TARGETS`], and a folder under `corpus/`
//! with what is worth beginning with.

use std::path::Path;

pub mod address;
pub mod clients;
pub mod command;
pub mod config;
pub mod copy;
pub mod header;
pub mod imap;
pub mod message;
pub mod next_server;
pub mod recipient;
pub mod records;
pub mod seeds;
pub mod shape;
pub mod smtp;
pub mod tls;

/// A target.
pub struct Target {
    /// As on the command line, and the name of its folders under `corpus/` and `regressions/`.
    pub name: &'static str,
    /// Takes anything; panics when a promise is broken.
    pub run: fn(&[u8]),
    /// What there is to begin with besides the folders, made from `fixtures/` below the root of the
    /// repository.
    pub seeds: fn(&Path) -> Vec<Vec<u8>>,
}

/// Every target, in the order of a mail's way.
pub const TARGETS: [Target; 20] = [
    Target { name: "session", run: smtp::session, seeds: seeds::dialogues },
    Target { name: "content", run: smtp::content, seeds: seeds::contents },
    Target { name: "address", run: address::address, seeds: seeds::words_of_fields },
    Target { name: "recipient", run: recipient::recipient, seeds: seeds::none },
    Target { name: "mailboxes", run: header::mailboxes, seeds: seeds::fields },
    Target { name: "words", run: header::words, seeds: seeds::fields },
    Target { name: "message", run: message::message, seeds: seeds::mails },
    Target { name: "reply-text", run: message::reply_text, seeds: seeds::texts },
    Target { name: "report", run: message::report, seeds: seeds::mails },
    Target { name: "command-lines", run: command::lines, seeds: seeds::texts },
    Target { name: "commands", run: copy::commands, seeds: seeds::texts },
    Target { name: "copy", run: copy::copy, seeds: seeds::mails_with_options },
    Target { name: "shape", run: shape::shape, seeds: seeds::mails },
    Target { name: "threads", run: shape::threads, seeds: seeds::none },
    Target { name: "next-server", run: next_server::reply, seeds: seeds::none },
    Target { name: "imap", run: imap::commands, seeds: seeds::none },
    Target { name: "clients", run: clients::clients, seeds: seeds::none },
    Target { name: "tls", run: tls::tls, seeds: seeds::none },
    Target { name: "records", run: records::records, seeds: seeds::none },
    Target { name: "config", run: config::config, seeds: seeds::configs },
];

/// The first octets, by which a target chooses among its ways, and the rest; 0 for those that lack.
pub(crate) fn options<const N: usize>(data: &[u8]) -> ([u8; N], &[u8]) {
    let (front, rest) = data.split_at(N.min(data.len()));
    let mut options = [0; N];
    options[..front.len()].copy_from_slice(front);
    (options, rest)
}

/// The octets in pieces of 1 to 16, by a rule that `seed` starts.
pub(crate) fn pieces(octets: &[u8], seed: u8) -> Vec<&[u8]> {
    let (mut rest, mut step, mut pieces) = (octets, seed, Vec::new());
    while !rest.is_empty() {
        step = step.wrapping_mul(5).wrapping_add(3);
        let (piece, behind) = rest.split_at(rest.len().min(1 + usize::from(step >> 4)));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}
