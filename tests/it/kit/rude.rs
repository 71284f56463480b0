//! Mail servers of somebody else's making, Python's `aiosmtpd`, that misbehave on command.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::authority::Authority;
use super::peers;

/// What such a server does at one moment; at any other it does as it should.
#[derive(Clone, Debug)]
pub struct Manners {
    /// `CONNECT`, the beginning of a command (`RCPT TO:<late@`), or `.` for the end of the message.
    pub when: &'static str,
    /// What it says instead of its answer, and how often.
    pub say: &'static [u8],
    pub times: usize,
    pub then: Then,
    /// The largest message that it takes; 0: any.
    pub size: usize,
}

/// What follows what it says.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    GoOn,
    Close,
    Stall,
}

/// A process with such servers; killed when it is dropped.
pub struct Rude {
    process: Child,
    _folder: TempDir,
}

impl Rude {
    /// One at each address. Who misbehaves at STARTTLS offers it. `None` where peers are left out.
    pub fn start(hosts: &[(SocketAddr, Manners)]) -> Option<Self> {
        let python = peers::python()?;
        let folder = tempfile::tempdir().unwrap();
        let files = Authority::new().issue(&["rude.example"]).write(folder.path());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kit/rude.py");
        let mut process = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let hosts = hosts.iter().map(|(address, manners)| {
            let tls = (manners.when == "STARTTLS").then_some(&files);
            json!({
                "address": address.ip(), "port": address.port(), "tls": tls, "size": manners.size,
                "when": manners.when, "say": manners.say, "times": manners.times, "then": format!("{:?}", manners.then),
            })
        });
        let hosts: Value = hosts.collect();
        process.stdin.take().unwrap().write_all(hosts.to_string().as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "aiosmtpd ended: run tests/it/kit/rude.py by hand to see why");
        Some(Self { process, _folder: folder })
    }
}

impl Drop for Rude {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
