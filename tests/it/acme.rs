//! With `acme = true` a desk has certificates that others believe, by itself and for as long as it
//! runs; and whatever goes wrong between it and the authority costs nobody any mail.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use guichet::config::{Acme, Config};
use guichet::daemon::reload::Reloaded;
use guichet::net::acme::https::Https;
use guichet::net::acme::state::{Failed, State};
use guichet::net::acme::{Proof, Renewer};
use guichet::net::limits::ConnectionLimits;
use guichet::net::listen::Listener;
use guichet::net::stop::{self, Stopper};
use guichet::net::tls::{Acceptor, CertificateFiles, Certificates};
use guichet::web::server::{Deadlines, Server};
use guichet::web::site::Site;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;

use crate::kit::authority::{Authority, ask, believer, shake, shown, speaking};
use crate::kit::daemon::guichet;
use crate::kit::desk::TestDesk;
use crate::kit::dns::Dns;
use crate::kit::load::Client;
use crate::kit::pebble::{Pebble, Port, Terms};

const HOST: &str = "mx.desk.example.org";
const POLICY_HOST: &str = "mta-sts.desk.example.org";
const DAY: u64 = 86_400;
/// A certificate that is not there by then does not come before the next attempt, in minutes.
const PATIENCE: Duration = Duration::from_mins(2);

/// A name server that knows names as this machine's.
async fn names(names: &[&str]) -> Dns {
    let dns = Dns::start().await;
    for name in names {
        dns.address(name, Ipv4Addr::LOCALHOST.into());
    }
    dns
}

/// Waits until a name has a certificate; the newest.
async fn obtained(certificates: &Certificates, name: &str) -> CertificateDer<'static> {
    let mut changes = certificates.changes();
    let had = changes.wait_for(|shown| shown.named.contains_key(name));
    let shown = tokio::time::timeout(PATIENCE, had).await.expect("a certificate").unwrap();
    shown.named[name].chain()[0].clone()
}

/// What a server shows to somebody who believes the authority and asks for a name.
async fn seen(root: &CertificateDer<'static>, name: &str, address: SocketAddr) -> CertificateDer<'static> {
    shown(&shake(&believer(root.clone()), name, TcpStream::connect(address).await.unwrap()).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn by_https_or_by_http_it_has_certificates_and_shows_them_on_every_port() {
    for key in ["listen_tls", "listen"] {
        let (dns, port) = (names(&[HOST]).await, Port::reserve());
        let closed = Port::reserve();
        let (https, http) = if key == "listen_tls" { (&port, &closed) } else { (&closed, &port) };
        let terms = Terms { http: http.address().port(), tls: https.address().port(), seconds: 90 * DAY };
        let Some(pebble) = Pebble::start(&dns, &terms) else { return };
        let more = format!("[web]\n{key} = [\"{}\"]\n[tls]\n{}", port.address(), pebble.config());
        let mut desk = TestDesk::with(&more).await;
        obtained(&desk.certificates(), HOST).await;
        let root = pebble.root().await;
        let first = seen(&root, HOST, desk.submission().0).await;
        let mut client = Client::connect(desk.address()).await.unwrap();
        assert!(client.say("STARTTLS").await.unwrap().starts_with("220 "));
        assert_eq!(shown(&shake(&believer(root.clone()), HOST, client.into_stream()).await.unwrap()), first);
        if let Some(https) = desk.web().0 {
            assert_eq!(seen(&root, HOST, https).await, first);
        }
        for file in files(&desk.dir.path().join("data/acme")) {
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
        }
        // It is asked for once, and found again, also where nobody could be asked for another: an
        // authority's root that is none is no reason to show less than there is.
        fs::write(pebble.ca(), "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n").unwrap();
        let file = desk.config_file();
        let check = tokio::task::spawn_blocking(move || guichet(&file, &["check"])).await.unwrap();
        let told = String::from_utf8(check.stderr).unwrap();
        assert!(told.contains("tls.acme_ca: ") && check.status.code() == Some(78), "{told}");
        desk.restart().await;
        assert_eq!(seen(&root, HOST, desk.submission().0).await, first, "{key}");
        let Reloaded::Applied { unusable: Some(problem), .. } = desk.reload(|text| text).await else { panic!("{key}") };
        assert!(problem.key == "tls.acme_ca" && problem.text.contains("ca.pem"), "{problem}");
        assert_eq!(seen(&root, HOST, desk.submission().0).await, first, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_name_has_its_own_and_the_policy_is_served_under_one() {
    let (dns, port) = (names(&[HOST, POLICY_HOST]).await, Port::reserve());
    let terms = Terms { http: 9, tls: port.address().port(), seconds: 90 * DAY };
    let Some(pebble) = Pebble::start(&dns, &terms) else { return };
    let more =
        format!("[web]\nlisten_tls = [\"{}\"]\n[tls]\nmta_sts = \"enforce\"\n{}", port.address(), pebble.config());
    let desk = TestDesk::with(&more).await;
    let certificates = desk.certificates();
    let (host, policy_host) = (obtained(&certificates, HOST).await, obtained(&certificates, POLICY_HOST).await);
    assert_ne!(host, policy_host);
    let root = pebble.root().await;
    let stream = TcpStream::connect(port.address()).await.unwrap();
    let mut stream = shake(&believer(root.clone()), POLICY_HOST, stream).await.unwrap();
    assert_eq!(shown(&stream), policy_host);
    let request = format!("GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {POLICY_HOST}\r\n\r\n");
    let answer = ask(&mut stream, &request).await;
    let expected = format!("\r\n\r\nversion: STSv1\r\nmode: enforce\r\nmx: {HOST}\r\nmax_age: 1209600\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(&expected), "{answer}");
    // A server of mail that asks for a name which is nobody's sees the hostname's.
    let stranger = speaking(root, &[]);
    let stream = TcpStream::connect(desk.submission().0).await.unwrap();
    assert!(shake(&stranger, "else.example", stream).await.is_err());
    assert_eq!(certificates.shown().first.chain()[0], host);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_lived_certificate_is_renewed_again_and_again_while_connections_stand() {
    let (dns, port) = (names(&[HOST]).await, Port::reserve());
    let terms = Terms { http: 9, tls: port.address().port(), seconds: 6 };
    let Some(pebble) = Pebble::start(&dns, &terms) else { return };
    let more = format!("[web]\nlisten_tls = [\"{}\"]\n[tls]\n{}", port.address(), pebble.config());
    let desk = TestDesk::with(&more).await;
    let certificates = desk.certificates();
    obtained(&certificates, HOST).await;
    let mut standing = Client::connect(desk.address()).await.unwrap();
    let mut changes = certificates.changes();
    let mut before = changes.borrow_and_update().named[HOST].validity().until;
    for _ in 0..2 {
        changes.changed().await.unwrap();
        let after = changes.borrow_and_update().named[HOST].validity().until;
        assert!(after > before);
        before = after;
    }
    assert!(standing.say("NOOP").await.unwrap().starts_with("250 "));
    // All of them for one account.
    assert_eq!(files(&desk.dir.path().join("data/acme")).len(), 2);
}

/// A web server and somebody who asks for certificates, without a desk around them.
struct Bench {
    dir: tempfile::TempDir,
    certificates: Certificates,
    config: Config,
    _serving: Stopper,
}

impl Bench {
    /// The desk's names are `HOST` and, by its policy, `POLICY_HOST`.
    fn new(pebble_config: &str, https: Option<&Port>, http: Option<&Port>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let list = |port: Option<&Port>| port.map(|port| format!("\"{}\"", port.address())).unwrap_or_default();
        let text = format!(
            "hostname = \"{HOST}\"\ndomains = [\"desk.example.org\"]\ndata_dir = \"{}\"\npostmaster = \"acme\"\n\
             relay.mode = \"capture\"\n[smtp]\nlisten = [\"127.0.0.1:0\"]\n[submission]\nlisten = []\nlisten_tls = []\n[imap]\nlisten_tls = []\n\
             [web]\nlisten_tls = [{}]\nlisten = [{}]\n[tls]\nacme_names = [\"{HOST}\", \"{POLICY_HOST}\"]\n{pebble_config}",
            dir.path().display(),
            list(https),
            list(http),
        );
        let file = dir.path().join("guichet.toml");
        fs::write(&file, &text).unwrap();
        let config = Config::parse(&text, &file).unwrap();
        let files = CertificateFiles::self_signed(&dir.path().join("certs"), &[HOST.to_owned()]).unwrap();
        let certificates = Certificates::new(files.load().unwrap());
        let server = Arc::new(Server {
            site: Site::new(&config, certificates.clone(), https.is_some()),
            connections: ConnectionLimits::default(),
            deadlines: Deadlines::default(),
        });
        let (stopper, stop) = stop::channel();
        for (port, tls) in [(https, Some(Acceptor::for_web(&certificates).unwrap())), (http, None)] {
            let addresses: Vec<_> = port.iter().map(|port| port.address().to_string()).collect();
            for listener in Listener::bind_all("web", &addresses).unwrap() {
                tokio::spawn(Arc::clone(&server).serve(listener, tls.clone(), stop.clone()));
            }
        }
        Self { dir, certificates, config, _serving: stopper }
    }

    fn acme(&self) -> Acme {
        match &self.config.tls.certificates {
            guichet::config::Certificates::Acme(acme) => acme.clone(),
            other => panic!("{other:?}"),
        }
    }

    async fn renewer(&self, proofs: &[Proof]) -> Renewer {
        let acme = self.acme();
        let https = Https::new(Dns::start().await.resolver(), acme.ca.as_deref()).unwrap();
        Renewer::new(acme, proofs.to_vec(), self.dir.path(), self.certificates.clone(), https)
    }

    fn state(&self) -> State {
        State::new(self.dir.path(), &self.acme().directory)
    }

    fn has(&self, name: &str) -> bool {
        self.certificates.shown().named.contains_key(name)
    }

    /// What `guichet check` warns of.
    async fn warnings(&self) -> String {
        let file = self.config.source.file.clone();
        let output = tokio::task::spawn_blocking(move || guichet(&file, &["check"])).await.unwrap();
        String::from_utf8(output.stderr).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_authority_says_is_told_and_a_name_that_fails_keeps_no_other_back() {
    let (dns, port) = (names(&[HOST]).await, Port::reserve());
    let terms = Terms { http: 9, tls: port.address().port(), seconds: 90 * DAY };
    let Some(pebble) = Pebble::start(&dns, &terms) else { return };
    let bench = Bench::new(&pebble.config(), Some(&port), None);
    let told = bench.warnings().await;
    assert!(told.contains("tls.acme: mx.desk.example.org: no certificate was obtained yet"), "{told}");
    let mut renewer = bench.renewer(&[Proof::TlsAlpn]).await;
    renewer.renew().await;
    assert_eq!(bench.state().failed(HOST), None);
    assert!(bench.has(HOST) && !bench.has(POLICY_HOST));
    let failed = bench.state().failed(POLICY_HOST).unwrap();
    assert!(failed.words.contains(POLICY_HOST), "the name that was looked for: {}", failed.words);
    assert!(failed.words.starts_with("the authority refuses it: "), "{}", failed.words);
    let told = bench.warnings().await;
    assert!(told.contains(failed.words.split('"').next().unwrap()) && !told.contains("tls.acme: mx."), "{told}");

    // The DNS is mended. It waits, even when it is started anew, until it is time or somebody says so.
    dns.address(POLICY_HOST, Ipv4Addr::LOCALHOST.into());
    renewer.renew().await;
    bench.renewer(&[Proof::TlsAlpn]).await.renew().await;
    assert_eq!(bench.state().failed(POLICY_HOST), Some(failed));
    bench.renewer(&[Proof::TlsAlpn]).await.at_once().renew().await;
    assert!(bench.has(POLICY_HOST));
    assert_eq!(bench.state().failed(POLICY_HOST), None);
    let told = bench.warnings().await;
    assert!(!told.contains("tls."), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_wears_out_no_authority_and_keeps_no_name_waiting() {
    let (dns, http) = (names(&[HOST, POLICY_HOST]).await, Port::reserve());
    let terms = Terms { http: http.address().port(), tls: 9, seconds: 90 * DAY };
    let Some(pebble) = Pebble::start(&dns, &terms) else { return };
    let bench = Bench::new(&pebble.config(), None, Some(&http));
    let ahead = Arc::new(AtomicI64::new(0));
    let set = |days: i64| ahead.store(24 * days, Ordering::Relaxed);
    // What failed in a future that did not come keeps nobody waiting.
    let at = Timestamp::now() + SignedDuration::from_hours(99_999);
    bench.state().fail(HOST, &Failed { times: 9, at, words: String::new() }).unwrap();
    let hours = Arc::clone(&ahead);
    let mut renewer = bench
        .renewer(&[Proof::Http])
        .await
        .by(move || Timestamp::now() + SignedDuration::from_hours(hours.load(Ordering::Relaxed)));
    renewer.renew().await;
    let shown = || bench.certificates.shown().named[HOST].chain()[0].clone();
    let first = shown();
    // Ahead, every certificate is as old as one that is to be renewed: it is, and not again and again.
    set(70);
    renewer.renew().await;
    let second = shown();
    assert_ne!(second, first);
    renewer.renew().await;
    assert_eq!(shown(), second);
    // Where not even a new one holds, the one before stays, and the authority is left in peace.
    set(1_000);
    renewer.renew().await;
    let failed = bench.state().failed(HOST).unwrap();
    assert_eq!((failed.times, failed.words.as_str()), (1, "what it made does not hold now; is the clock right?"));
    renewer.renew().await;
    assert_eq!(bench.state().failed(HOST).unwrap().times, 1);
    set(0);
    renewer.renew().await;
    assert_eq!((shown(), bench.state().failed(HOST).unwrap().times), (second, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_kind_of_proof_fails_the_other_is_tried_next() {
    let (dns, https, http) = (names(&[HOST, POLICY_HOST]).await, Port::reserve(), Port::reserve());
    let elsewhere = Port::reserve();
    // The world's port 443 leads elsewhere, as behind a proxy that speaks TLS itself.
    let terms = Terms { http: http.address().port(), tls: elsewhere.address().port(), seconds: 90 * DAY };
    let Some(pebble) = Pebble::start(&dns, &terms) else { return };
    let bench = Bench::new(&pebble.config(), Some(&https), Some(&http));
    bench.renewer(&[Proof::TlsAlpn, Proof::Http]).await.renew().await;
    assert!(!bench.has(HOST));
    bench.renewer(&[Proof::TlsAlpn, Proof::Http]).await.at_once().renew().await;
    assert!(bench.has(HOST) && bench.has(POLICY_HOST));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_forgot_us_gets_to_know_us_again() {
    let (dns, http) = (names(&[HOST, POLICY_HOST]).await, Port::reserve());
    let terms = Terms { http: http.address().port(), tls: 9, seconds: 90 * DAY };
    let Some(mut pebble) = Pebble::start(&dns, &terms) else { return };
    let bench = Bench::new(&pebble.config(), None, Some(&http));
    bench.renewer(&[Proof::Http]).await.renew().await;
    let account = |bench: &Bench| read(bench.dir.path(), "account.json");
    let first = account(&bench);
    pebble.forget();
    fs::remove_file(bench.state().file(HOST)).unwrap();
    bench.renewer(&[Proof::Http]).await.renew().await;
    assert_eq!(bench.state().failed(HOST), None);
    let second = account(&bench);
    assert_ne!(second, first);

    // Somebody gave the account up.
    let https = Https::new(Dns::start().await.resolver(), Some(&pebble.ca())).unwrap();
    let account_there = instant_acme::Account::builder_with_http(Box::new(https))
        .from_credentials(bench.state().account().unwrap())
        .await
        .unwrap();
    account_there.deactivate().await.unwrap();
    fs::remove_file(bench.state().file(HOST)).unwrap();
    bench.renewer(&[Proof::Http]).await.renew().await;
    assert_eq!(bench.state().failed(HOST), None);
    assert_ne!(account(&bench), second);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_away_or_somebody_else_is_told_of_in_a_line() {
    let dns = names(&[HOST, POLICY_HOST]).await;
    let nobody = Port::reserve();
    let stranger = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    fs::write(&ca, stranger.root()).unwrap();
    let Some(pebble) = Pebble::start(&dns, &Terms { http: 9, tls: 9, seconds: DAY }) else { return };
    let config =
        |directory: &str| format!("acme = true\nacme_directory = \"{directory}\"\nacme_ca = \"{}\"\n", ca.display());
    for (config, expected) in [
        (config(&format!("https://{}/dir", nobody.address())), "no connection to 127.0.0.1: Connection refused"),
        (config("https://acme.example/dir"), "no address for acme.example"),
        (config(&pebble.directory()), "certificate"),
        (
            format!(
                "acme = true\nacme_directory = \"{}x\"\nacme_ca = \"{}\"\n",
                pebble.directory(),
                pebble.ca().display()
            ),
            "is no ACME",
        ),
    ] {
        // One each: who served the last one may still have it.
        let bench = Bench::new(&config, None, Some(&Port::reserve()));
        bench.renewer(&[Proof::Http]).await.renew().await;
        let words = bench.state().failed(HOST).unwrap().words;
        assert!(words.contains(expected) && !words.contains('\n') && !words.is_empty(), "{words}");
    }
    // And mail goes on, under the self-signed one.
    let directory = config(&format!("https://{}/dir", nobody.address()));
    let desk = TestDesk::with(&format!("[web]\nlisten = [\"127.0.0.1:0\"]\n[tls]\n{directory}")).await;
    let own = CertificateFiles { certificate: desk.certificate(), key: desk.certificate().with_extension("key") };
    let own = own.load().unwrap().chain()[0].clone();
    assert_eq!(seen(&own, HOST, desk.submission().0).await, own);
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The content of the one file of a name below a folder.
fn read(folder: &Path, name: &str) -> Vec<u8> {
    let found: BTreeMap<_, _> =
        files(folder).into_iter().map(|file| (file.file_name().unwrap().to_owned(), file)).collect();
    fs::read(&found[std::ffi::OsStr::new(name)]).unwrap()
}
