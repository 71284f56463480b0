//! Listening sockets that systemd opens: known by name, in the place of what the configuration says.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::kit::authority::{ask, believer, shake};
use crate::kit::daemon::Daemon;
use crate::kit::desk::send;
use crate::kit::peers::program;

/// Addresses that can't be listened at here: what is passed stands in their place, or nothing starts.
const LISTEN: &str = "[smtp]\nlisten = [\"192.0.2.1:25\"]\n[imap]\nlisten_tls = [\"192.0.2.1:993\"]\n\
                      [submission]\nlisten_tls = [\"192.0.2.1:465\"]\n";

fn config(more: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("guichet.toml");
    let text = format!(
        "hostname = \"mx.desk.example.org\"\ndomains = [\"desk.example.org\"]\ndata_dir = \"data\"\n\
         postmaster = \"acme\"\nrelay.mode = \"capture\"\ndns.resolvers = [\"127.0.0.1:9\"]\n{more}"
    );
    fs::write(&file, text).unwrap();
    (folder, file)
}

/// A free port of loopback. Somebody may take it before it is used; then the test starts anew.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// `systemd-socket-activate`, which waits for the first connection and becomes the daemon.
fn activate(activate: &Path, sockets: &[String], names: &str) -> Command {
    let mut command = Command::new(activate);
    for socket in sockets {
        command.arg("--listen").arg(socket);
    }
    command.arg(format!("--fdname={names}")).args(["-E", "NOTIFY_SOCKET"]);
    command.arg(env!("CARGO_BIN_EXE_guichet"));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_by_name_take_the_place_of_what_is_configured() {
    let Some(program) = program("systemd-socket-activate") else { return };
    // 587 is not passed, and opened as configured.
    let (folder, file) = config(&format!("{LISTEN}listen = [\"127.0.0.1:0\"]\n"));
    let ports = [free(), free(), free(), free()];
    // Two doors to the world, and two for members that begin with TLS.
    let command = activate(&program, &ports.map(|port| port.to_string()), "smtp:submissions:smtp:imaps");
    // Whoever connects before the daemon runs is served by it.
    let early = tokio::spawn(async move {
        while tokio::net::TcpStream::connect(ports[0]).await.is_err() {
            tokio::task::yield_now().await;
        }
        send(ports[0], "carol@example.com", &["nobody@desk.example.org"], b"Subject: x\n\nx\n").await
    });
    let daemon = tokio::task::spawn_blocking(move || Daemon::start_by(command, &file)).await.unwrap();
    let status = daemon.start.last().unwrap().value("STATUS").unwrap();
    let expected = format!("SMTP on {}, {}; submission on {}, 127.0.0.1:", ports[0], ports[2], ports[1]);
    assert!(status.starts_with(&expected) && status.contains(&format!("; IMAP on {};", ports[3])), "{status}");
    let own = CertificateDer::from_pem_file(folder.path().join("data/certs/self-signed.pem")).unwrap();
    let stream = TcpStream::connect(ports[3]).await.unwrap();
    let mut stream = shake(&believer(own), "mx.desk.example.org", stream).await.unwrap();
    let greeted = ask(&mut stream, "a LOGOUT\r\n").await;
    assert!(greeted.starts_with("* OK [CAPABILITY IMAP4rev1 ") && greeted.contains("\r\na OK "), "{greeted}");
    assert!(early.await.unwrap().starts_with("550 5.1.1 "));
    let reply = send(ports[2], "carol@example.com", &["nobody@desk.example.org"], b"Subject: x\n\nx\n").await;
    assert!(reply.starts_with("550 5.1.1 "), "{reply}");
    daemon.terminate();
    let (status, log) = tokio::task::spawn_blocking(move || daemon.wait()).await.unwrap();
    assert!(status.success(), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webs_doors_know_of_each_other_when_systemd_opens_them() {
    let Some(program) = program("systemd-socket-activate") else { return };
    // No word of [web].
    let off =
        "[submission]\nlisten = []\nlisten_tls = []\n[imap]\nlisten_tls = []\n[smtp]\nlisten = [\"127.0.0.1:0\"]\n";
    let (folder, file) = config(off);
    let ports = [free(), free()];
    let command = activate(&program, &ports.map(|port| port.to_string()), "http:https");
    let answer = tokio::spawn(async move {
        let mut stream = loop {
            match TcpStream::connect(ports[0]).await {
                Ok(stream) => break stream,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        ask(&mut stream, "GET / HTTP/1.1\r\nHost: mx.desk.example.org\r\n\r\n").await
    });
    let daemon = tokio::task::spawn_blocking(move || Daemon::start_by(command, &file)).await.unwrap();
    let answer = answer.await.unwrap();
    assert!(answer.contains("location: https://mx.desk.example.org/\r\n"), "{answer}");
    let own = CertificateDer::from_pem_file(folder.path().join("data/certs/self-signed.pem")).unwrap();
    let stream = TcpStream::connect(ports[1]).await.unwrap();
    let mut stream = shake(&believer(own), "mx.desk.example.org", stream).await.unwrap();
    let answer = ask(&mut stream, "GET / HTTP/1.1\r\nHost: mx.desk.example.org\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    daemon.terminate();
    let (status, log) = tokio::task::spawn_blocking(move || daemon.wait()).await.unwrap();
    assert!(status.success(), "{log}");
}

/// Starts it with one socket, and connects.
fn refused(program: &Path, config: &Path, name: &str, unix: bool) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let socket = if unix { path.display().to_string() } else { free().to_string() };
    let mut command = activate(program, std::slice::from_ref(&socket), name);
    command.arg("serve").arg("--config").arg(config).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut process = command.env_remove("NOTIFY_SOCKET").spawn().unwrap();
    let connected =
        || if unix { UnixStream::connect(&path).is_ok() } else { std::net::TcpStream::connect(&socket).is_ok() };
    while !connected() && process.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    process.wait_with_output().unwrap()
}

#[test]
fn a_socket_that_nothing_serves_is_an_error_that_says_what_to_do() {
    let Some(program) = program("systemd-socket-activate") else { return };
    let (_folder, file) = config(LISTEN);
    let (_other, off) = config("smtp.listen = []\n");
    for (name, unix, config, expected) in [
        (
            "pop3s",
            false,
            &file,
            "systemd: passes a socket named \"pop3s\", which nothing here serves; FileDescriptorName= must be one of \
             smtp, submissions, submission, imaps, imap, http, https",
        ),
        ("smtp:smtp", false, &file, "systemd: LISTEN_FDNAMES=smtp:smtp does not name 1 sockets"),
        ("smtp", true, &file, "systemd: the socket smtp is of another kind; its unit must have ListenStream="),
        (
            "smtp",
            false,
            &off,
            "smtp.listen: is [] here, but systemd passes a socket for it: disable guichet-smtp.socket",
        ),
    ] {
        let output = refused(&program, config, name, unix);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{name}: {told}");
        assert!(told.contains(expected), "{name}: {told}");
    }
}
