//! What systemd hands to the service alone (`LoadCredential=`) stands in the configuration by name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use guichet::net::tls::CertificateFiles;
use tempfile::TempDir;

use crate::kit::daemon::Daemon;

const SECRET: &str = "correct horse battery staple";

/// A config that names credentials, and a folder with them.
fn credentials() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let made = CertificateFiles::self_signed(&folder.path().join("made"), &["desk.example.org".to_owned()]).unwrap();
    let given = folder.path().join("credentials");
    fs::create_dir(&given).unwrap();
    fs::copy(made.certificate, given.join("guichet.tls-certificate")).unwrap();
    fs::copy(made.key, given.join("guichet.tls-key")).unwrap();
    fs::write(given.join("guichet.smarthost"), format!("{SECRET}\n")).unwrap();
    let file = folder.path().join("guichet.toml");
    fs::write(
        &file,
        "hostname = \"desk.example.org\"\ndomains = [\"desk.example.org\"]\ndata_dir = \"data\"\npostmaster = \"acme\"\n\
         [smtp]\nlisten = [\"127.0.0.1:0\"]\n[submission]\nlisten = []\nlisten_tls = []\n[imap]\nlisten_tls = []\n\
         [tls]\ncertificate = \"credential:guichet.tls-certificate\"\nkey = \"credential:guichet.tls-key\"\n\
         [relay]\nmode = \"smarthost\"\nsmarthost = \"smtp://desk@127.0.0.1:9\"\n\
         password_file = \"credential:guichet.smarthost\"\n[dns]\nresolvers = [\"127.0.0.1:9\"]\n",
    )
    .unwrap();
    (folder, file, given)
}

fn run(config: &Path, given: &Path, what: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guichet"));
    command.arg(what).arg("--config").arg(config).env("CREDENTIALS_DIRECTORY", given).env("GUICHET_LOG", "trace");
    command.output().unwrap()
}

#[test]
fn a_certificate_its_key_and_a_password_may_be_credentials() {
    let (folder, file, given) = credentials();
    let mut command = Command::new(env!("CARGO_BIN_EXE_guichet"));
    command.env("CREDENTIALS_DIRECTORY", &given).env("GUICHET_LOG", "trace");
    let daemon = Daemon::start_by(command, &file);
    daemon.terminate();
    let (status, log) = daemon.wait();
    assert!(status.success(), "{log}");
    assert!(!log.contains(SECRET), "{log}");
    assert!(!folder.path().join("data/certs").exists(), "a certificate of its own was made");
}

#[test]
fn what_was_not_given_is_told_by_name() {
    let (_folder, file, given) = credentials();
    fs::remove_file(given.join("guichet.tls-key")).unwrap();
    fs::write(given.join("guichet.smarthost"), "\n").unwrap();
    for what in ["serve", "check"] {
        let output = run(&file, &given, what);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{told}");
        let expected = "guichet.toml:14: tls.key: the service has no credential guichet.tls-key; \
                        LoadCredential=guichet.tls-key:/path/of/the/file in its unit gives it";
        assert!(told.contains(expected), "{told}");
        assert!(told.contains("relay.password_file: ") && told.contains("its first line is empty"), "{told}");
    }
}

#[test]
fn what_the_service_alone_is_given_is_not_missed_before_it_runs() {
    let (_folder, file, _) = credentials();
    let mut command = Command::new(env!("CARGO_BIN_EXE_guichet"));
    fs::create_dir(file.with_file_name("data")).unwrap();
    let output = command.args(["check", "--config"]).arg(&file).env_remove("CREDENTIALS_DIRECTORY").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("the credential guichet.tls-key exists only while the service runs"), "{told}");
}

#[test]
fn a_key_that_is_none_is_told_without_its_text() {
    let (_folder, file, given) = credentials();
    fs::write(given.join("guichet.tls-key"), format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n")).unwrap();
    let output = run(&file, &given, "serve");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains("guichet.tls-key") && !told.contains("horse"), "{told}");
}
