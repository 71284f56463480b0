//! BIND's name server, with zones that a test writes, on a loopback port.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::peers::program;
use super::ports::free_address;

/// A running `named`; killed when it is dropped.
pub struct Named {
    process: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Named {
    /// One that knows these zones and nothing else: name and records, as in a zone file, without SOA
    /// and NS. `None` where peers are left out.
    ///
    /// # Panics
    /// With its log, when it does not like them.
    pub fn start(zones: &[(&str, &str)]) -> Option<Self> {
        let named = program("named")?;
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let mut config = format!(
            "options {{ directory \"{}\"; pid-file none; session-keyfile none; lock-file none; \
             listen-on port {} {{ {}; }}; listen-on-v6 {{ none; }}; recursion no; notify no; \
             dnssec-validation no; empty-zones-enable no; }};\ncontrols {{ }};\n",
            folder.path().display(),
            address.port(),
            address.ip(),
        );
        for (number, (zone, records)) in zones.iter().enumerate() {
            let file = format!("zone-{number}");
            let head = "$TTL 60\n@ IN SOA ns postmaster 1 3600 600 86400 60\n@ IN NS ns\nns IN A 127.0.0.1\n";
            fs::write(folder.path().join(&file), format!("{head}{records}\n")).unwrap();
            writeln!(config, "zone {zone:?} {{ type primary; file {file:?}; }};").unwrap();
        }
        let file = folder.path().join("named.conf");
        fs::write(&file, config).unwrap();
        let process = launch(&named, &file);
        Some(Self { process, address, _folder: folder })
    }

    /// As `[dns] resolvers` names it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Runs `named` with a config until it serves.
///
/// # Panics
/// With its log, when it does not like its zones.
pub(super) fn launch(named: &Path, config: &Path) -> Child {
    // `-g`: in the foreground, with the log on stderr.
    let mut process = Command::new(named)
        .args(["-4", "-g", "-n", "1", "-c"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let mut log = String::new();
    loop {
        match lines.next() {
            Some(Ok(line)) if line.ends_with(" running") => break,
            Some(Ok(line)) => _ = writeln!(log, "{line}"),
            _ => panic!("named ended: {:?}\n{log}", process.wait()),
        }
    }
    assert!(!log.contains("not loaded due to errors"), "{log}");
    // It would wait for somebody to read on.
    std::thread::spawn(move || lines.for_each(drop));
    process
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
