//! The files in `systemd/` are what systemd's own tools call right, and fit the daemon.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use guichet::config::Config;
use guichet::net::passed;
use tempfile::TempDir;

use crate::kit::peers::program;

/// The keys of the configuration that a socket unit may stand for, and their ports.
const KEYS: [(&str, u16); 7] = [
    ("smtp.listen", 25),
    ("submission.listen_tls", 465),
    ("submission.listen", 587),
    ("imap.listen_tls", 993),
    ("imap.listen", 143),
    ("web.listen", 80),
    ("web.listen_tls", 443),
];
/// As many of them as are listened at without a word in the configuration.
const BY_ITSELF: usize = 4;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

/// The files of a kind, by name.
fn files(kind: &str) -> BTreeMap<String, String> {
    let files = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension == kind));
    files.map(|f| (f.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&f).unwrap())).collect()
}

/// What a key of a unit is.
fn value<'u>(unit: &'u str, key: &str) -> &'u str {
    let mut values = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.next_back().unwrap_or_else(|| panic!("no {key}=:\n{unit}"))
}

/// A machine's files with the daemon installed as README.md says.
fn installed() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let put = |file: &str, text: &str| {
        let file = root.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        file
    };
    for program in ["usr/local/bin/guichet", "bin/kill"] {
        fs::set_permissions(put(program, "#!/bin/sh\n"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    // Of systemd itself.
    for unit in ["sysinit", "basic", "shutdown", "sockets", "multi-user", "network-online"] {
        put(&format!("usr/lib/systemd/system/{unit}.target"), "[Unit]\n");
        put(&format!("lib/systemd/system/{unit}.target"), "[Unit]\n");
    }
    for (name, text) in files("service").into_iter().chain(files("socket")) {
        put(&format!("usr/local/lib/systemd/system/{name}"), &text);
    }
    root
}

fn verified(analyze: &Path, root: &Path) -> Output {
    let units = files("service").into_keys().chain(files("socket").into_keys());
    Command::new(analyze).args(["--man=no", "verify"]).arg("--root").arg(root).args(units).output().unwrap()
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let Some(analyze) = program("systemd-analyze") else { return };
    let root = installed();
    let output = verified(&analyze, root.path());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.is_empty(), "{told}");

    // It looks: a key that it does not know is told.
    let socket = root.path().join("usr/local/lib/systemd/system/guichet-smtp.socket");
    fs::write(&socket, files("socket")["guichet-smtp.socket"].replace("BindIPv6Only", "BindIPv6")).unwrap();
    assert!(String::from_utf8_lossy(&verified(&analyze, root.path()).stderr).contains("BindIPv6"));
}

#[test]
fn the_service_is_confined() {
    let Some(analyze) = program("systemd-analyze") else { return };
    let score = |unit: &Path| {
        let output = Command::new(&analyze).args(["security", "--offline=true"]).arg(unit).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = told.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_else(|| {
            panic!("{told}\n{}", String::from_utf8_lossy(&output.stderr));
        });
        let score = line.split(": ").nth(1).unwrap().split(' ').next().unwrap();
        score.parse::<f64>().unwrap()
    };
    let unit = folder().join("guichet.service");
    assert!(score(&unit) <= 2.0, "{}", score(&unit));

    // Without socket units, too.
    let root = tempfile::tempdir().unwrap();
    let both = root.path().join("guichet.service");
    let drop_in = fs::read_to_string(folder().join("without-sockets.conf")).unwrap();
    fs::write(&both, format!("{}\n{drop_in}", fs::read_to_string(&unit).unwrap())).unwrap();
    assert!(score(&both) <= 2.0, "{}", score(&both));
}

#[test]
fn each_socket_unit_stands_for_a_key_at_its_usual_port() {
    let sockets = files("socket");
    let service = fs::read_to_string(folder().join("guichet.service")).unwrap();
    assert_eq!(sockets.len(), KEYS.len());
    for (nth, (key, port)) in KEYS.into_iter().enumerate() {
        let name = passed::name(key).unwrap();
        let file = format!("guichet-{name}.socket");
        let unit = &sockets[&file];
        assert_eq!(value(unit, "FileDescriptorName"), name);
        assert_eq!(value(unit, "ListenStream"), port.to_string());
        assert_eq!(value(unit, "Service"), "guichet.service");
        // The web's ports are often somebody else's, and few need 143: who wants them enables them.
        for list in ["Sockets", "Also"] {
            let there = value(&service, list).split(' ').any(|other| other == file);
            assert_eq!(there, nth < BY_ITSELF, "{list}= and {file}");
        }
        let wanted = value(unit, "WantedBy");
        assert_eq!(wanted.contains("guichet.service"), nth >= BY_ITSELF, "{file}: {wanted}");
    }
    let text = "hostname = \"desk.example.org\"\ndomains = [\"desk.example.org\"]\npostmaster = \"acme\"\n\
                relay.mode = \"capture\"\n";
    let config = Config::parse(text, Path::new("guichet.toml")).unwrap();
    let defaults = [config.smtp.listen, config.submission.listen_tls, config.submission.listen, config.imap.listen_tls];
    assert_eq!(defaults.map(|listen| listen[0].port()), KEYS.map(|(_, port)| port)[..BY_ITSELF]);
    assert!(config.imap.listen.is_empty() && config.web.listen.is_empty() && config.web.listen_tls.is_empty());
}

#[test]
fn a_stop_is_given_the_time_that_the_daemon_takes() {
    let service = fs::read_to_string(folder().join("guichet.service")).unwrap();
    assert_eq!(value(&service, "TimeoutStopSec"), "2min");
    let drain = guichet::config::Limits::default().drain;
    assert!(guichet::daemon::longest_stop(drain).as_secs() < 120);
    assert_eq!(value(&service, "RestartPreventExitStatus"), "78");
}

#[test]
fn the_service_asks_for_what_the_daemon_does() {
    let service = fs::read_to_string(folder().join("guichet.service")).unwrap();
    assert_eq!(value(&service, "Type"), "notify");
    assert_eq!(value(&service, "ExecReload"), "/bin/kill -HUP $MAINPID");
    assert_eq!(value(&service, "WatchdogSec"), "3min");
    assert_eq!(value(&service, "CapabilityBoundingSet"), "");
    // Whatever is passed is named in the documents, by the name that the configuration has for it.
    let credentials: Vec<_> = service.lines().filter_map(|line| line.strip_prefix("LoadCredential=")).collect();
    assert_eq!(credentials, ["guichet.smarthost", "guichet.tls-certificate", "guichet.tls-key"]);
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/systemd.md")).unwrap();
    assert!(credentials.iter().all(|name| page.contains(&format!("/etc/credstore/{name}"))));
}

#[test]
fn the_daemons_user_is_made_by_systemd() {
    let Some(sysusers) = program("systemd-sysusers") else { return };
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    let output = Command::new(sysusers)
        .arg("--dry-run")
        .arg("--root")
        .arg(root.path())
        .arg(folder().join("guichet.sysusers"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("Creating user 'guichet'"), "{told}");
}
