//! Certificates in files are exchanged while the daemon serves: nobody is cut off, and what can't be
//! used changes nothing but the log and what `guichet check` says.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use guichet::daemon::reload::Reloaded;
use guichet::net::stop;
use guichet::net::tls::files::{Refused, Watch};
use guichet::net::tls::{CertificateFiles, Certificates};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::kit::authority::{Authority, Issued, shake, shown};
use crate::kit::daemon::{Daemon, guichet};
use crate::kit::desk::TestDesk;
use crate::kit::load::Client;

const HOST: &str = "mx.desk.example.org";
/// Sessions that are in the middle of a message while certificates change.
const BUSY: usize = 50;

/// All of it, and nothing waits.
const APPLIED: Reloaded = Reloaded::Applied { waiting: Vec::new(), unusable: None };

/// The lines of config that name the files.
fn section(files: &(PathBuf, PathBuf)) -> String {
    format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", files.0.display(), files.1.display())
}

/// What a new connection to the desk is shown.
async fn seen(desk: &TestDesk, authority: &Authority) -> CertificateDer<'static> {
    let stream = TcpStream::connect(desk.submission().0).await.unwrap();
    shown(&shake(&authority.believer(), HOST, stream).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_busy_sessions_outlive_every_exchange() {
    let (authority, folder) = (Arc::new(Authority::new()), TempDir::new().unwrap());
    let files = authority.issue(&[HOST]).write(folder.path());
    let more = format!("{}[limits]\nconnections_per_address = 100\n", section(&files));
    let mut desk = TestDesk::with(&more).await;
    let (begun, exchanged) = (Arc::new(Barrier::new(BUSY + 1)), Arc::new(Barrier::new(BUSY + 1)));
    let mut sessions = JoinSet::new();
    for number in 0..BUSY {
        let (authority, address) = (Arc::clone(&authority), desk.address());
        let (begun, exchanged) = (Arc::clone(&begun), Arc::clone(&exchanged));
        sessions.spawn(async move {
            let mut client = Client::connect(address).await.unwrap();
            assert!(client.say("STARTTLS").await.unwrap().starts_with("220 "));
            let stream = shake(&authority.believer(), HOST, client.into_stream()).await.unwrap();
            let mut stream = BufReader::new(stream);
            for command in [
                "EHLO client.example.com".to_owned(),
                format!("MAIL FROM:<customer{number}@example.com>"),
                "RCPT TO:<acme@desk.example.org>".to_owned(),
                "DATA".to_owned(),
            ] {
                let reply = say(&mut stream, &command).await;
                assert!(reply.starts_with(['2', '3']), "{command}: {reply}");
            }
            let header = format!("From: customer{number}@example.com\r\nSubject: Question {number}\r\n\r\nHalf of it");
            stream.write_all(header.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            begun.wait().await;
            exchanged.wait().await;
            let reply = say(&mut stream, ", and the rest.\r\n.").await;
            assert!(reply.starts_with("250 "), "{reply}");
            assert!(say(&mut stream, "QUIT").await.starts_with("221 "));
        });
    }
    begun.wait().await;
    let mut waiting = Client::connect(desk.address()).await.unwrap();
    let mut last = authority.issue(&[HOST]);
    for _ in 0..5 {
        last = authority.issue(&[HOST]);
        last.write(folder.path());
        assert_eq!(desk.reload(|text| text).await, APPLIED);
        assert_eq!(seen(&desk, &authority).await, last.own());
    }
    // Who was connected already and encrypts now sees the newest, too.
    assert!(waiting.say("STARTTLS").await.unwrap().starts_with("220 "));
    assert_eq!(shown(&shake(&authority.believer(), HOST, waiting.into_stream()).await.unwrap()), last.own());
    exchanged.wait().await;
    while let Some(session) = sessions.join_next().await {
        session.unwrap();
    }
}

/// One line of a session; the last line of the reply.
async fn say<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(stream: &mut BufReader<S>, text: &str) -> String {
    stream.write_all(format!("{text}\r\n").as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    loop {
        let mut line = String::new();
        assert_ne!(stream.read_line(&mut line).await.unwrap(), 0, "cut off after {text}");
        if line.as_bytes().get(3) != Some(&b'-') {
            return line;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_used_changes_nothing_and_is_told() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let good = authority.issue(&[HOST]);
    let files = good.write(folder.path());
    let mut desk = TestDesk::with(&section(&files)).await;
    let other = authority.issue(&[HOST]);
    let cut = |text: &str| text[..text.len() / 2].to_owned();
    let unknown = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned();
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n".to_owned();
    let cases: [(&str, Issued, &str); 10] = [
        ("another's key", Issued { chain: other.chain.clone(), key: good.key.clone() }, "don't work together"),
        ("a key alone", Issued { chain: good.chain.clone(), key: other.key.clone() }, "don't work together"),
        (
            "half a certificate",
            Issued { chain: cut(&other.chain), key: other.key.clone() },
            "no certificate could be read",
        ),
        ("half a key", Issued { chain: other.chain.clone(), key: cut(&other.key) }, "no private key could be read"),
        (
            "a key of no kind",
            Issued { chain: other.chain.clone(), key: unknown },
            "TLS wants one of RSA with 2048 bits",
        ),
        ("a locked key", Issued { chain: other.chain.clone(), key: locked }, "it is encrypted with a passphrase"),
        ("nothing", Issued { chain: String::new(), key: other.key.clone() }, "is not in PEM format"),
        ("no certificate", Issued { chain: other.key.clone(), key: other.key.clone() }, "is not in PEM format"),
        ("yesterday's", authority.issue_for(&[HOST], -10, -1), "the certificate expired at "),
        ("tomorrow's", authority.issue_for(&[HOST], 1, 10), "the certificate does not hold before "),
    ];
    for (name, bad, expected) in cases {
        bad.write(folder.path());
        let (key, text) = refused(&mut desk).await;
        assert!(key.starts_with("tls.") && !text.contains("error"), "{name}: {key}: {text}");
        assert_eq!(seen(&desk, &authority).await, good.own(), "{name}");
        let told = check(&desk).await;
        assert!(told.contains("tls.") && told.contains(expected), "{name}: {told}");
    }
    fs::write(&files.0, other.own()).unwrap();
    assert!(refused(&mut desk).await.1.ends_with("it has no CERTIFICATE section"));
    assert!(check(&desk).await.contains("tls.pem is not in PEM format"));
    good.write(folder.path());
    fs::remove_file(&files.1).unwrap();
    let (key, text) = refused(&mut desk).await;
    assert_eq!(key, "tls.key");
    assert_eq!(text, format!("{} can't be read: No such file or directory (os error 2)", files.1.display()));
    assert_eq!(seen(&desk, &authority).await, good.own());
    assert!(check(&desk).await.contains("tls.key: "));
    // As soon as they are right, they are shown.
    other.write(folder.path());
    desk.reload(|text| text).await;
    assert_eq!(seen(&desk, &authority).await, other.own());
    assert_eq!(check(&desk).await, "");
}

/// What a reload does not use: the key that names it, and why.
async fn refused(desk: &mut TestDesk) -> (String, String) {
    match desk.reload(|text| text).await {
        Reloaded::Applied { unusable: Some(problem), .. } => (problem.key, problem.text),
        other => panic!("{other:?}"),
    }
}

/// What `guichet check` says besides that all is well.
async fn check(desk: &TestDesk) -> String {
    let file = desk.config_file();
    let output = tokio::task::spawn_blocking(move || guichet(&file, &["check"])).await.unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn check_warns_before_a_certificate_ends_and_of_names_that_it_lacks() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let files = authority.issue_for(&[HOST], -80, 10).write(folder.path());
    let config = format!("[web]\nlisten_tls = [\"127.0.0.1:0\"]\n{}mta_sts = \"testing\"\n", section(&files));
    let desk = TestDesk::with(&config).await;
    let told = check(&desk).await;
    assert!(told.contains("warning: ") && told.contains("the certificate ends in 9 days, at "), "{told}");
    assert!(told.contains("the certificate is not for mta-sts.desk.example.org; who looks for that"), "{told}");
    authority.issue_for(&["other.example"], -1, 90).write(folder.path());
    let told = check(&desk).await;
    assert!(told.contains("is not for mx.desk.example.org, mta-sts.desk.example.org; who looks for that"), "{told}");
    let until = desk.certificates().shown().first.validity().until.as_second();
    let file = desk.config_file();
    let output = tokio::task::spawn_blocking(move || guichet(&file, &["metrics"])).await.unwrap();
    let line = format!("guichet_certificate_expiry_timestamp_seconds{{name=\"*\"}} {until}\n");
    assert!(String::from_utf8(output.stdout).unwrap().contains(&line));
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_files_are_noticed_by_themselves_once_both_belong_together() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let (certificate, key) = authority.issue(&[HOST]).write(folder.path());
    let files = CertificateFiles { certificate, key };
    let certificates = Certificates::new(files.load().unwrap());
    let (watch, taken) = Watch::begin(files.clone(), Vec::new(), certificates.clone(), Duration::from_millis(5));
    taken.unwrap();
    let (stopper, stop) = stop::channel();
    let watching = tokio::spawn(watch.run(stop));
    let mut changes = certificates.changes();
    for _ in 0..3 {
        let next = authority.issue(&[HOST]);
        // As certbot does it: another file takes the name, and the two are never exchanged at once.
        replace(&files.certificate, &next.chain);
        replace(&files.key, &next.key);
        changes.wait_for(|shown| shown.first.chain()[0] == next.own()).await.unwrap();
    }
    stopper.stop();
    watching.await.unwrap();
}

#[tokio::test]
async fn something_expired_takes_the_place_only_of_something_expired() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let (certificate, key) = authority.issue_for(&[HOST], -30, -20).write(folder.path());
    let files = CertificateFiles { certificate, key };
    let certificates = Certificates::new(files.load().unwrap());
    let begin = || Watch::begin(files.clone(), Vec::new(), certificates.clone(), Duration::from_secs(1)).1;
    begin().unwrap();
    authority.issue_for(&[HOST], -15, -10).write(folder.path());
    begin().unwrap();
    authority.issue(&[HOST]).write(folder.path());
    begin().unwrap();
    authority.issue_for(&[HOST], -15, -5).write(folder.path());
    assert!(matches!(begin(), Err(Refused::Expired(..))));
}

fn replace(file: &Path, text: &str) {
    let beside = file.with_extension("beside");
    fs::write(&beside, text).unwrap();
    fs::rename(&beside, file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_with_an_error_changes_nothing_and_keys_that_wait_are_named() {
    let (authority, one, two) = (Authority::new(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let first = authority.issue(&[HOST]);
    let files = first.write(one.path());
    let mut desk = TestDesk::with(&section(&files)).await;
    let second = authority.issue(&[HOST]);
    let others = second.write(two.path());
    // Right certificates, and a wrong key elsewhere: all of it or nothing.
    let wrong = format!("{}[limits]\nidel = \"5m\"\n", section(&others));
    let before = section(&files);
    let Reloaded::Kept(problems) = desk.reload(|text| text.replace(&before, &wrong)).await else { panic!("kept") };
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    let line =
        fs::read_to_string(desk.config_file()).unwrap().lines().position(|line| line.starts_with("idel")).unwrap();
    assert_eq!((problem.line, problem.key.as_str()), (Some(line + 1), "limits.idel"));
    assert_eq!(seen(&desk, &authority).await, first.own());

    let right = |text: String| text.replace("idel", "idle").replace("127.0.0.1:0", "127.0.0.2:0");
    let Reloaded::Applied { waiting, .. } = desk.reload(right).await else { panic!("applied") };
    assert_eq!(
        waiting,
        ["imap.listen", "imap.listen_tls", "limits.idle", "smtp.listen", "submission.listen", "submission.listen_tls"]
    );
    assert_eq!(seen(&desk, &authority).await, second.own());
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_policies_are_for_the_names_that_we_have_until_a_restart_brings_others() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let first = authority.issue(&[HOST]);
    let files = first.write(folder.path());
    let more = format!("[web]\nlisten_tls = [\"127.0.0.1:0\"]\n{}", section(&files));
    let mut desk = TestDesk::with(&more).await;
    let renamed = |text: String| text.replace(HOST, "new.desk.example.org") + "mta_sts = \"enforce\"\n";
    let Reloaded::Applied { waiting, unusable: None } = desk.reload(renamed).await else { panic!("applied") };
    assert_eq!(waiting, ["hostname", "tls.mta_sts"]);
    assert_eq!(desk.names().policy(), None);
    // The files are as they were named, and what is in them is taken.
    let second = authority.issue(&[HOST]);
    second.write(folder.path());
    desk.reload(|text| text).await;
    assert_eq!(seen(&desk, &authority).await, second.own());
    assert_eq!(desk.reload(|text| text.replace("new.desk", "mx.desk")).await, APPLIED);
    assert!(desk.names().policy().is_some_and(|policy| policy.to_string().contains(&format!("mx: {HOST}"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_reloads_on_sighup() {
    let (authority, one, two) = (Authority::new(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let files = authority.issue(&[HOST]).write(one.path());
    let mut desk = TestDesk::with(&section(&files)).await;
    desk.stop().await;
    let file = desk.config_file();
    let daemon = {
        let file = file.clone();
        tokio::task::spawn_blocking(move || Daemon::start(&file)).await.unwrap()
    };
    // The new place is known to nobody but the config.
    let second = authority.issue(&["else.example"]);
    let text = fs::read_to_string(&file).unwrap().replace(&section(&files), &section(&second.write(two.path())));
    fs::write(&file, text).unwrap();
    daemon.hang_up();
    loop {
        let mut client = Client::connect(daemon.address).await.unwrap();
        assert!(client.say("STARTTLS").await.unwrap().starts_with("220 "));
        // It is shown, whatever name it is for: most servers take what there is.
        match shake(&authority.believer(), "else.example", client.into_stream()).await {
            Ok(stream) => {
                assert_eq!(shown(&stream), second.own());
                break;
            }
            Err(_) => tokio::task::yield_now().await,
        }
    }
    daemon.terminate();
    let (status, log) = tokio::task::spawn_blocking(move || daemon.wait()).await.unwrap();
    assert!(status.success() && log.contains("configuration read again"), "{log}");
    assert!(log.contains("the certificate is not for mx.desk.example.org"), "{log}");
}
