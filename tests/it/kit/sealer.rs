//! A forwarder that seals what it passes on (RFC 8617), by a program that is not ours.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::desk::{TestDesk, rsa_key};
use super::peers;

/// How a sealer is made to differ from an honest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    Honest,
    /// With a selector that nobody published.
    Unpublished,
}

/// Publishes the key of a domain that seals.
pub fn publish(desk: &TestDesk, domain: &str) {
    desk.signer(domain);
}

/// A message with a further set of ARC fields on top, sealed by `domain`. `results` are what the
/// sealer says that it found, its authserv-id first, as in the field Authentication-Results.
/// `None` where peers are left out.
pub fn seal(domain: &str, results: &str, how: Seal, message: &str) -> Option<String> {
    const SCRIPT: &str = "import dkim, sys
domain, selector, server, results, key = [a.encode() for a in sys.argv[1:]]
message = b'Authentication-Results: ' + results + b'\\r\\n' + sys.stdin.buffer.read()
fields = dkim.arc_sign(message, selector, domain, key, server)
assert len(fields) == 3, fields
sys.stdout.buffer.write(b''.join(fields))
";
    let (selector, key) = rsa_key(domain);
    let selector = if how == Seal::Honest { selector } else { format!("x{selector}") };
    let server = results.split([';', ' ']).next().unwrap();
    let mut command = Command::new(peers::python()?);
    command.args(["-c", SCRIPT, domain, &selector, server, results, &key]);
    let mut python = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(message.replace('\n', "\r\n").as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n") + message)
}
