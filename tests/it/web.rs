//! The web listeners answer what they are there for, to the names that they are there for; and nobody
//! holds them open.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use guichet::config::Config;
use guichet::daemon::reload::Reloaded;
use guichet::net::limits::ConnectionLimits;
use guichet::net::listen::Listener;
use guichet::net::stop::{self, Stopper};
use guichet::net::tls::{Acceptor, CertificateFiles, Certificates};
use guichet::web::server::{Deadlines, Server};
use guichet::web::site::Site;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::authority::{Authority, ask, shake, speaking};
use crate::kit::desk::TestDesk;

const HOST: &str = "mx.desk.example.org";
const POLICY_HOST: &str = "mta-sts.desk.example.org";
const POLICY: &str = "/.well-known/mta-sts.txt";

/// A desk with both listeners and certificates for both names.
async fn desk(authority: &Authority, folder: &TempDir, mta_sts: &str) -> TestDesk {
    let (certificate, key) = authority.issue(&[HOST, POLICY_HOST]).write(folder.path());
    TestDesk::with(&format!(
        "[web]\nlisten_tls = [\"127.0.0.1:0\"]\nlisten = [\"127.0.0.1:0\"]\n\
         [tls]\ncertificate = \"{}\"\nkey = \"{}\"\n{mta_sts}",
        certificate.display(),
        key.display(),
    ))
    .await
}

async fn over_tls(authority: &Authority, desk: &TestDesk, request: &str) -> String {
    let stream = TcpStream::connect(desk.web().0.unwrap()).await.unwrap();
    ask(&mut shake(&authority.believer(), HOST, stream).await.unwrap(), request).await
}

fn get(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_is_there_for_its_own_name_and_nothing_else_is() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let mut desk = desk(&authority, &folder, "mta_sts = \"testing\"\n").await;
    let policy = format!("\r\n\r\nversion: STSv1\r\nmode: testing\r\nmx: {HOST}\r\nmax_age: 86400\r\n");
    for (request, status, end) in [
        (get(POLICY_HOST, POLICY), 200, policy.as_str()),
        (get("MTA-STS.Desk.Example.ORG:443", POLICY), 200, &policy),
        (get(&format!("{POLICY_HOST}."), POLICY), 200, &policy),
        (format!("GET https://{POLICY_HOST}{POLICY} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), 200, &policy),
        (format!("GET {POLICY} HTTP/1.0\r\nHost: {POLICY_HOST}\r\n\r\n"), 200, &policy),
        (format!("HEAD {POLICY} HTTP/1.1\r\nHost: {POLICY_HOST}\r\n\r\n"), 200, "\r\n\r\n"),
        (get(HOST, POLICY), 404, "there is nothing here\n"),
        (get("mta-sts.example.com", POLICY), 404, "there is nothing here\n"),
        (get("mta-sts.mta-sts.desk.example.org", POLICY), 404, "there is nothing here\n"),
        (format!("GET {POLICY} HTTP/1.1\r\n\r\n"), 404, "there is nothing here\n"),
        (get(POLICY_HOST, "/.well-known/mta-sts.txt/"), 404, "there is nothing here\n"),
        (get(POLICY_HOST, "/.well-known/../.well-known/mta-sts.txt"), 404, "there is nothing here\n"),
        (get(HOST, "/"), 404, "there is nothing here\n"),
        (get(HOST, "/.well-known/acme-challenge/x"), 404, "no such challenge\n"),
        (
            format!("POST {POLICY} HTTP/1.1\r\nHost: {POLICY_HOST}\r\nContent-Length: 9\r\n\r\n"),
            405,
            "alone are answered here\n",
        ),
        ("nonsense\r\n\r\n".to_owned(), 400, ""),
    ] {
        let answer = over_tls(&authority, &desk, &request).await;
        let begin = answer.get(9..12).unwrap_or_default();
        assert!(begin == status.to_string() && answer.ends_with(end), "{request}{answer}");
    }
    // Taken back, and gone, without a restart.
    for (before, after, expected) in
        [("\"testing\"", "\"none\"", "mode: none\r\n"), ("mta_sts = \"none\"", "", "there is no policy\n")]
    {
        let reloaded = desk.reload(|text| text.replace(before, after)).await;
        assert_eq!(reloaded, Reloaded::Applied { waiting: Vec::new(), unusable: None });
        let answer = over_tls(&authority, &desk, &get(POLICY_HOST, POLICY)).await;
        assert!(answer.contains(expected), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_leads_to_https_and_to_no_name_but_ours() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let desk = desk(&authority, &folder, "mta_sts = \"testing\"\n").await;
    for (host, path, location) in [
        (HOST, "/", Some("https://mx.desk.example.org/")),
        ("MX.desk.example.org:80", "/a/b?c=%0d%0a", Some("https://mx.desk.example.org/a/b?c=%0d%0a")),
        (POLICY_HOST, POLICY, Some("https://mta-sts.desk.example.org/.well-known/mta-sts.txt")),
        (HOST, "//evil.example/", Some("https://mx.desk.example.org//evil.example/")),
        ("evil.example", "/", None),
        ("mx.desk.example.org@evil.example", "/", None),
        ("127.0.0.1", "/", None),
        (HOST, "/.well-known/acme-challenge/x", None),
    ] {
        let mut stream = TcpStream::connect(desk.web().1.unwrap()).await.unwrap();
        let answer = ask(&mut stream, &get(host, path)).await;
        let found = answer.lines().find_map(|line| line.strip_prefix("location: "));
        assert_eq!(found, location, "{host}{path}: {answer}");
        assert!(answer.starts_with(if location.is_some() { "HTTP/1.1 308 " } else { "HTTP/1.1 404 " }), "{answer}");
    }
}

/// A server by itself: its address with TLS and without.
struct Bench {
    certificates: Certificates,
    root: rustls::pki_types::CertificateDer<'static>,
    server: Arc<Server>,
    tls: SocketAddr,
    plain: SocketAddr,
    _dir: TempDir,
    _serving: Stopper,
}

impl Bench {
    fn new(deadlines: Deadlines, connections: ConnectionLimits) -> Self {
        let dir = TempDir::new().unwrap();
        let text = format!(
            "hostname = \"{HOST}\"\ndomains = [\"desk.example.org\"]\npostmaster = \"acme\"\nrelay.mode = \"capture\"\n"
        );
        let config = Config::parse(&text, &dir.path().join("guichet.toml")).unwrap();
        let files = CertificateFiles::self_signed(dir.path(), &[HOST.to_owned()]).unwrap();
        let certificates = Certificates::new(files.load().unwrap());
        let root = certificates.shown().first.chain()[0].clone();
        let server = Arc::new(Server { site: Site::new(&config, certificates.clone(), false), connections, deadlines });
        let (stopper, stop) = stop::channel();
        let serve = |tls: Option<Acceptor>| {
            let listener = Listener::bind_all("web", &["127.0.0.1:0"]).unwrap().remove(0);
            let address = listener.address();
            tokio::spawn(Arc::clone(&server).serve(listener, tls, stop.clone()));
            address
        };
        let (tls, plain) = (serve(Some(Acceptor::for_web(&certificates).unwrap())), serve(None));
        Self { certificates, root, server, tls, plain, _dir: dir, _serving: stopper }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_let_go_at_every_step() {
    let short = Duration::from_millis(100);
    let (long, total) = (Duration::from_hours(1), ConnectionLimits::default());
    for (deadlines, over_tls, sent) in [
        (Deadlines { handshake: short, header: long, whole: long }, true, ""),
        (Deadlines { handshake: short, header: long, whole: long }, true, "\x16\x03\x01\x02"),
        (Deadlines { handshake: long, header: short, whole: long }, false, ""),
        (Deadlines { handshake: long, header: short, whole: long }, false, "GET / HTTP/1.1\r\nHost: a\r\n"),
        (Deadlines { handshake: long, header: long, whole: short }, false, "GET / HTTP/1.1\r\nA:"),
    ] {
        let bench = Bench::new(deadlines, total.clone());
        let mut stream = TcpStream::connect(if over_tls { bench.tls } else { bench.plain }).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // It ends; with what, is not said.
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP/1.1 2"), "{sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_bounded_and_a_connection_has_one() {
    let bench = Bench::new(Deadlines::default(), ConnectionLimits::default());
    for (request, status) in [
        (format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX: {}\r\n\r\n", "x".repeat(100_000)), "431"),
        (format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{}\r\n", "X: y\r\n".repeat(100)), "431"),
        (format!("GET /{} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", "x".repeat(100_000)), "4"),
        (get(HOST, "/one") + &get(HOST, "/two"), "404"),
        (format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n"), "404"),
    ] {
        let mut stream = TcpStream::connect(bench.plain).await.unwrap();
        // Who is cut off while he still writes may not see the answer.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        let answers = answer.matches("HTTP/1.1 ").count();
        assert!(answers <= 1, "{answer}");
        if answers == 1 {
            assert!(answer[9..].starts_with(status), "{answer}");
        }
    }
    assert_eq!(bench.server.connections.held(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_does_not_take_all_places() {
    let bench = Bench::new(Deadlines::default(), ConnectionLimits::new(10, 2));
    let _held = (TcpStream::connect(bench.plain).await.unwrap(), TcpStream::connect(bench.tls).await.unwrap());
    let mut third = TcpStream::connect(bench.plain).await.unwrap();
    assert_eq!(ask(&mut third, &get(HOST, "/")).await, "");
    let local = tokio::net::TcpSocket::new_v4().unwrap();
    local.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, 9), 0))).unwrap();
    let mut other = local.connect(bench.plain).await.unwrap();
    assert!(ask(&mut other, &get(HOST, "/")).await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_is_answered_to_who_asks_for_it_and_only_while_it_stands() {
    let bench = Bench::new(Deadlines::default(), ConnectionLimits::default());
    let asking = speaking(bench.root.clone(), &[b"acme-tls/1"]);
    let shake_now = async || shake(&asking, HOST, TcpStream::connect(bench.tls).await.unwrap()).await;
    assert!(shake_now().await.is_err(), "nothing is to be proven");
    // The certificate of a challenge is one that the client would not believe; ours, to be seen.
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let proof = rustls::sign::CertifiedKey::from_der(vec![made.cert.der().clone()], key, &provider).unwrap();
    let answering = bench.certificates.answer_name(HOST, proof);
    let believing = speaking(made.cert.der().clone(), &[b"acme-tls/1"]);
    let stream = TcpStream::connect(bench.tls).await.unwrap();
    let mut stream = shake(&believing, HOST, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    assert_eq!(ask(&mut stream, &get(HOST, "/")).await, "", "the handshake was all");
    // Everybody else goes on seeing the certificate, and mail's ports know nothing of challenges.
    let browser = speaking(bench.root.clone(), &[b"h2", b"http/1.1", b"acme-tls/1"]);
    shake(&browser, HOST, TcpStream::connect(bench.tls).await.unwrap()).await.unwrap();
    drop(answering);
    assert!(shake_now().await.is_err());

    let token = bench.certificates.answer_token("token", "token.thumb");
    let path = "/.well-known/acme-challenge/token";
    let ask_plain = async || ask(&mut TcpStream::connect(bench.plain).await.unwrap(), &get("any.example", path)).await;
    assert!(ask_plain().await.ends_with("\r\n\r\ntoken.thumb"));
    drop(token);
    assert!(ask_plain().await.starts_with("HTTP/1.1 404 "));
}
