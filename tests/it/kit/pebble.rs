//! Let's Encrypt's test server, Debian's `pebble`: it looks at names as the real one does, on
//! loopback, through the tests' name server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};

use super::authority::{Authority, ask, shake};
use super::dns::Dns;
use super::peers;

/// A port of this machine that nobody else gets while this is kept: bound, and not listened on, so
/// that a program which is told of it can.
pub struct Port(TcpSocket);

impl Port {
    pub fn reserve() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        Self(socket)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}

/// A running one; killed when it is dropped.
pub struct Pebble {
    folder: TempDir,
    authority: Authority,
    listen: Port,
    management: Port,
    dns: String,
    process: Child,
}

/// Where it looks at names, and for how many seconds its certificates hold.
pub struct Terms {
    pub http: u16,
    pub tls: u16,
    pub seconds: u64,
}

impl Pebble {
    /// `None` only where the tests run without peers.
    pub fn start(dns: &Dns, terms: &Terms) -> Option<Self> {
        peers::program("pebble")?;
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let (listen, management) = (Port::reserve(), Port::reserve());
        let (certificate, key) = authority.issue(&["127.0.0.1"]).write(folder.path());
        fs::write(folder.path().join("ca.pem"), authority.root()).unwrap();
        let config = json!({ "pebble": {
            "listenAddress": listen.address().to_string(),
            "managementListenAddress": management.address().to_string(),
            "certificate": certificate, "privateKey": key,
            "httpPort": terms.http, "tlsPort": terms.tls,
            "certificateValidityPeriod": terms.seconds,
        }});
        fs::write(folder.path().join("pebble.json"), config.to_string()).unwrap();
        let dns = dns.servers()[0].clone();
        let process = run(&folder, &dns);
        Some(Self { folder, authority, listen, management, dns, process })
    }

    /// Ends it and starts another in its place, which knows nobody.
    pub fn forget(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = run(&self.folder, &self.dns);
    }

    /// Lines of config for a desk that asks it.
    pub fn config(&self) -> String {
        format!("acme = true\nacme_directory = \"{}\"\nacme_ca = \"{}\"\n", self.directory(), self.ca().display())
    }

    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.listen.address())
    }

    pub fn ca(&self) -> std::path::PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The root under which its certificates are.
    pub async fn root(&self) -> CertificateDer<'static> {
        let stream = TcpStream::connect(self.management.address()).await.unwrap();
        let mut stream = shake(&self.authority.believer(), "127.0.0.1", stream).await.unwrap();
        let answer = ask(&mut stream, "GET /roots/0 HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").await;
        CertificateDer::from_pem_slice(answer.as_bytes()).unwrap()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(folder: &TempDir, dns: &str) -> Child {
    let mut process = Command::new("pebble")
        .arg("-config")
        .arg(folder.path().join("pebble.json"))
        .args(["-dnsserver", dns])
        // It looks at once; half of what it is asked for the second time it remembers, and some nonces
        // it refuses, as its defaults are.
        .env("PEBBLE_VA_NOSLEEP", "1")
        .env_remove("PEBBLE_VA_ALWAYS_VALID")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let listens = lines.any(|line| line.unwrap().contains("ACME directory available at"));
    assert!(listens, "pebble ended: {:?}", process.wait());
    // It must never wait for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    process
}
