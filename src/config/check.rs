//! What only the machine can say about a config: asked by `guichet check`, and at the start before
//! anything listens.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Certificates, Config, Problem, Relay, Secret, credential};

/// Makes the data directory where there is none yet, for its owner's eyes only.
///
/// # Errors
/// The problem with `data_dir`.
pub fn create_data_dir(config: &Config) -> Result<(), Problem> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir);
    made.map_err(|error| config.problem("data_dir", format!("{} cannot be made: {error}", config.data_dir.display())))
}

/// Everything that is wrong with the folders, files and source addresses that the config names.
#[must_use]
pub fn files(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let unwritten = write_into(&config.data_dir).err().filter(|error| !is_full(error));
    problems.extend(unwritten.map(|error| unwritable(config, &error)));
    let authorities = "-----BEGIN CERTIFICATE-----";
    let pem: &[(&str, &PathBuf, &str)] = match &config.tls.certificates {
        Certificates::SelfSigned => &[],
        Certificates::Files { certificate, key } => {
            &[("tls.certificate", certificate, authorities), ("tls.key", key, "PRIVATE KEY-----")]
        }
        Certificates::Acme(acme) => match &acme.ca {
            Some(ca) => &[("tls.acme_ca", ca, authorities)],
            None => &[],
        },
    };
    for (key, file, mark) in pem {
        if is_elsewhere(file) {
            continue;
        }
        match fs::read_to_string(file) {
            Ok(text) if text.contains(mark) => {}
            Err(error) if error.kind() != ErrorKind::InvalidData => {
                problems.push(config.problem(key, unreadable(file, "read", &error)));
            }
            // DER is no text at all.
            Ok(_) | Err(_) => problems.push(config.problem(key, format!("{} is not in PEM format", file.display()))),
        }
    }
    match &config.relay {
        Relay::Capture { maildir } if maildir.exists() && !maildir.is_dir() => {
            problems.push(config.problem("relay.capture", format!("{} is not a folder", maildir.display())));
        }
        Relay::Capture { .. } | Relay::Direct(_) => {}
        Relay::Smarthost(smarthost) => {
            if let Some(login) = &smarthost.login
                && let Secret::File(file) = &login.password
                && !is_elsewhere(file)
                && let Err(error) = login.password.read()
            {
                problems.push(config.problem("relay.password_file", unreadable(file, "used", &error)));
            }
        }
    }
    for address in &config.egress.source {
        if let Err(error) = is_of_this_machine(*address) {
            let text = match error.kind() {
                ErrorKind::AddrNotAvailable => format!("{address} is not an address of this machine"),
                _ => format!("{address} cannot be used: {error}"),
            };
            problems.push(config.problem("relay.source", text));
        }
    }
    problems
}

fn unwritable(config: &Config, error: &io::Error) -> Problem {
    let dir = config.data_dir.display();
    let text = match error.kind() {
        ErrorKind::NotFound => format!("{dir} does not exist; `guichet init` or `guichet serve` makes it"),
        _ => format!("{dir} cannot be written: {error}"),
    };
    config.problem("data_dir", text)
}

/// A disk is not full because of what the configuration says: the next start may find room.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Whether it is a credential, and this is not the service, which alone has those.
#[must_use]
pub fn is_elsewhere(file: &Path) -> bool {
    credential::named(file).is_some() && !credential::is_service() && !file.exists()
}

fn unreadable(file: &Path, what: &str, error: &io::Error) -> String {
    match credential::named(file) {
        Some(name) if error.kind() == ErrorKind::NotFound => {
            format!(
                "the service has no credential {name}; LoadCredential={name}:/path/of/the/file in its unit gives it"
            )
        }
        _ => format!("{} cannot be {what}: {error}", file.display()),
    }
}

/// Fails where connections can't come from the address: a socket can be bound to our own alone.
fn is_of_this_machine(address: IpAddr) -> io::Result<()> {
    TcpListener::bind((address, 0)).map(drop)
}

/// Addresses that can't be listened at now. Don't ask while the daemon itself runs.
#[must_use]
pub fn ports(config: &Config) -> Vec<Problem> {
    let mut held = Vec::new();
    let mut problems = Vec::new();
    for (key, addresses) in listening(config) {
        for address in addresses {
            match TcpListener::bind(address) {
                Ok(listener) => held.push(listener),
                Err(error) if error.kind() == ErrorKind::AddrInUse && is_systemds(*address) => {}
                Err(error) => problems.push(config.problem(key, cannot_listen(address, &error))),
            }
        }
    }
    problems
}

/// Whether process 1 listens at the port: then a socket unit holds it for us. Only root is told.
fn is_systemds(address: SocketAddr) -> bool {
    let Ok(open) = fs::read_dir("/proc/1/fd") else { return false };
    let open: Vec<_> = open.flatten().filter_map(|file| fs::read_link(file.path()).ok()).collect();
    let sockets = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let inodes = sockets.iter().flat_map(|table| listening_inodes(table, address.port()));
    inodes.into_iter().any(|inode| open.contains(&PathBuf::from(format!("socket:[{inode}]"))))
}

/// The sockets that listen at a port, of a table of proc(5).
fn listening_inodes(table: &str, port: u16) -> Vec<&str> {
    const LISTEN: &str = "0A";
    let at_port = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter_map(|row| match row.as_slice() {
        [_, local, _, LISTEN, _, _, _, _, _, inode, ..] if local.ends_with(&at_port) => Some(*inode),
        _ => None,
    })
    .collect()
}

/// Every key that names addresses to listen at.
fn listening(config: &Config) -> [(&'static str, &[SocketAddr]); 7] {
    [
        ("smtp.listen", &config.smtp.listen),
        ("submission.listen_tls", &config.submission.listen_tls),
        ("submission.listen", &config.submission.listen),
        ("imap.listen_tls", &config.imap.listen_tls),
        ("imap.listen", &config.imap.listen),
        ("web.listen_tls", &config.web.listen_tls),
        ("web.listen", &config.web.listen),
    ]
}

/// What to say when an address can't be listened at.
#[must_use]
pub fn cannot_listen(address: &SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => format!("{address} is in use by another program"),
        ErrorKind::PermissionDenied => {
            format!("{address} needs a right: ports below 1024 want root or CAP_NET_BIND_SERVICE")
        }
        ErrorKind::AddrNotAvailable => format!("{address} is not an address of this machine"),
        _ => format!("{address} cannot be listened at: {error}"),
    }
}

/// What works but should not stay so.
#[must_use]
pub fn warnings(config: &Config) -> Vec<Problem> {
    let mut warnings = Vec::new();
    let full = write_into(&config.data_dir).err().filter(is_full);
    warnings.extend(full.map(|error| unwritable(config, &error)));
    for (key, file) in named_files(config) {
        if let Some(name) = credential::named(file).filter(|_| is_elsewhere(file)) {
            let text = format!("the credential {name} exists only while the service runs, and is not checked");
            warnings.push(config.problem(key, text));
        }
    }
    if let Relay::Smarthost(smarthost) = &config.relay
        && let Some(login) = &smarthost.login
    {
        let (file, key) = match &login.password {
            Secret::Inline(_) => (&config.source.file, "relay.smarthost"),
            Secret::File(file) => (file, "relay.password_file"),
        };
        if fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0) {
            let text = format!("everyone on this machine can read the password; chmod o= {}", file.display());
            warnings.push(config.problem(key, text));
        }
    }
    if let Relay::Capture { maildir } = &config.relay {
        let text = format!("\"capture\" is for trying out: mail goes to {} and to nobody", maildir.display());
        warnings.push(config.problem("relay.mode", text));
    }
    let (submission, imap) = (&config.submission, &config.imap);
    let members = submission.listen_tls.iter().chain(&submission.listen).chain(&imap.listen_tls).chain(&imap.listen);
    // On loopback it is a trial.
    if config.tls.certificates == Certificates::SelfSigned
        && members.into_iter().any(|address| !address.ip().is_loopback())
    {
        let text = "members' mail clients refuse the self-signed certificate; let tls.acme get one that they \
                    know, or give certificate and key of one, for the hostname";
        warnings.push(config.problem("tls", text.to_owned()));
    }
    if !config.tls.autoconfig.is_empty() && !config.clients().are_served() {
        let text = "mail clients are led here, and find nothing to read from: imap.listen_tls and imap.listen are []";
        warnings.push(config.problem("tls.autoconfig", text));
    }
    warnings
}

/// What there is to say where `postmaster` names no property; `missing` says that there is none.
#[must_use]
pub fn no_postmaster(config: &Config, missing: &dyn fmt::Display) -> Problem {
    config.problem(
        "postmaster",
        format!("mail for postmaster@ and abuse@ goes to the oldest property, if any: {missing}"),
    )
}

/// Every key that names a file to read.
fn named_files(config: &Config) -> Vec<(&'static str, &Path)> {
    let mut files = Vec::new();
    match &config.tls.certificates {
        Certificates::SelfSigned => {}
        Certificates::Files { certificate, key } => {
            files.extend([("tls.certificate", certificate.as_path()), ("tls.key", key.as_path())]);
        }
        Certificates::Acme(acme) => files.extend(acme.ca.iter().map(|ca| ("tls.acme_ca", ca.as_path()))),
    }
    if let Relay::Smarthost(smarthost) = &config.relay
        && let Some(login) = &smarthost.login
        && let Secret::File(file) = &login.password
    {
        files.push(("relay.password_file", file));
    }
    files
}

/// Tries a file in the folder: permission bits alone don't tell of read-only mounts.
fn write_into(folder: &Path) -> io::Result<()> {
    let probe = folder.join(format!(".check-{}", std::process::id()));
    File::create(&probe)?;
    fs::remove_file(&probe)
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    fn config(folder: &Path, rest: &str) -> Config {
        let file = folder.join("guichet.toml");
        let text = format!(
            "hostname = \"desk.example.org\"\ndomains = [\"desk.example.org\"]\ndata_dir = \"data\"\n\
             postmaster = \"acme\"\n{rest}"
        );
        fs::write(&file, text).unwrap();
        Config::load(&file).unwrap()
    }

    fn told(problems: &[Problem]) -> Vec<(Option<usize>, &str)> {
        problems.iter().map(|problem| (problem.line, problem.key.as_str())).collect()
    }

    #[test]
    fn a_missing_folder_is_a_problem_until_it_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), "[relay]\nmode = \"capture\"\n");
        assert_eq!(told(&files(&config)), [(Some(3), "data_dir")]);
        create_data_dir(&config).unwrap();
        assert_eq!(files(&config), []);
        let mode = fs::metadata(&config.data_dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_full_disk_is_no_fault_of_the_configuration() {
        for (errno, full) in [(Errno::NOSPC, true), (Errno::DQUOT, true), (Errno::ROFS, false), (Errno::ACCESS, false)]
        {
            assert_eq!(is_full(&errno.into()), full, "{errno}");
        }
    }

    #[test]
    fn a_folder_that_is_a_file_cannot_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), "[relay]\nmode = \"capture\"\n");
        fs::write(folder.path().join("data"), "").unwrap();
        assert_eq!(create_data_dir(&config).unwrap_err().key, "data_dir");
        assert_eq!(told(&files(&config)), [(Some(3), "data_dir")]);
    }

    #[test]
    fn files_that_are_named_must_be_what_they_are_for() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        fs::write(folder.path().join("data/empty"), "").unwrap();
        let config = config(
            folder.path(),
            "[tls]\ncertificate = \"empty\"\nkey = \"none.pem\"\n[relay]\nmode = \"smarthost\"\n\
             smarthost = \"smtps://bob@mail.example.org\"\npassword_file = \"empty\"\n",
        );
        assert_eq!(
            told(&files(&config)),
            [(Some(6), "tls.certificate"), (Some(7), "tls.key"), (Some(11), "relay.password_file")]
        );
    }

    #[test]
    fn a_source_must_be_an_address_of_this_machine() {
        let folder = tempfile::tempdir().unwrap();
        for (source, expected) in [("127.0.0.1", 0), ("192.0.2.1", 1)] {
            let rest = format!("[relay]\nmode = \"direct\"\nsource = [\"{source}\"]\n");
            let config = config(folder.path(), &rest);
            create_data_dir(&config).unwrap();
            let problems = files(&config);
            assert_eq!(told(&problems), vec![(Some(7), "relay.source"); expected], "{source}");
        }
    }

    #[test]
    fn a_port_in_use_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let config = config(
            folder.path(),
            &format!(
                "[relay]\nmode = \"capture\"\n[smtp]\nlisten = [\"127.0.0.1:0\", \"{address}\"]\n\
                 [submission]\nlisten = []\nlisten_tls = [\"{address}\"]\n[imap]\nlisten_tls = []\n"
            ),
        );
        let problems = ports(&config);
        assert_eq!(told(&problems), [(Some(8), "smtp.listen"), (Some(11), "submission.listen_tls")]);
        assert!(problems[0].text.contains("in use by another program"));
    }

    #[test]
    fn a_certificate_that_members_clients_refuse_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = "[tls]\ncertificate = \"a.pem\"\nkey = \"b.pem\"\n";
        let nobody = "[submission]\nlisten = []\nlisten_tls = []\n[imap]\nlisten_tls = []\n";
        let on_loopback = "[submission]\nlisten = [\"127.0.0.1:2587\"]\nlisten_tls = []\n[imap]\nlisten_tls = []\n";
        for (rest, expected) in [("", 1), (certificate, 0), (nobody, 0), (on_loopback, 0)] {
            let config = config(folder.path(), &format!("[relay]\nmode = \"direct\"\n{rest}"));
            let told: Vec<_> = warnings(&config).into_iter().map(|warning| warning.key).collect();
            assert_eq!(told, vec!["tls"; expected], "{rest}");
        }
    }

    #[test]
    fn a_desk_whose_mail_reaches_nobody_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(
            folder.path(),
            "[submission]\nlisten = []\nlisten_tls = []\n[imap]\nlisten_tls = []\n[relay]\nmode = \"capture\"\ncapture = \"outbox\"\n",
        );
        let warnings = warnings(&config);
        assert_eq!(told(&warnings), [(Some(11), "relay.mode")]);
        assert!(warnings[0].text.ends_with("/data/outbox and to nobody"), "{}", warnings[0].text);
    }

    #[test]
    fn clients_that_are_led_to_nothing_are_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let led = "[web]\nlisten_tls = [\"127.0.0.1:2443\"]\n[submission]\nlisten = []\nlisten_tls = []\n\
                   [tls]\nacme = true\nautoconfig = [\"acme.example\"]\n[relay]\nmode = \"capture\"\n";
        let keys = |imap: &str| {
            let config = config(folder.path(), &format!("{led}[imap]\nlisten_tls = {imap}\n"));
            warnings(&config).into_iter().map(|warning| warning.key).collect::<Vec<_>>()
        };
        assert!(!keys("[\"127.0.0.1:2993\"]").contains(&"tls.autoconfig".to_owned()));
        assert!(keys("[]").contains(&"tls.autoconfig".to_owned()));
    }

    #[test]
    fn what_listens_at_a_port_is_read_from_proc() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 00000000:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0\n\
            1: 0100007F:0019 0100007F:D2A4 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4\n";
        assert_eq!(listening_inodes(table, 25), ["4711"]);
        assert!(listening_inodes(table, 465).is_empty());
        let listening = TcpListener::bind("127.0.0.1:0").unwrap();
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        assert!(!listening_inodes(&table, listening.local_addr().unwrap().port()).is_empty());
    }

    #[test]
    fn a_credential_is_not_looked_for_outside_of_the_service() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(
            folder.path(),
            "[tls]\ncertificate = \"credential:no-chain\"\nkey = \"credential:no-key\"\n[relay]\nmode = \"capture\"\n",
        );
        create_data_dir(&config).unwrap();
        assert_eq!(files(&config), []);
        assert_eq!(
            told(&warnings(&config)),
            [(Some(6), "tls.certificate"), (Some(7), "tls.key"), (Some(9), "relay.mode")]
        );
    }

    #[test]
    fn a_password_that_everyone_can_read_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(
            folder.path(),
            "[relay]\nmode = \"smarthost\"\nsmarthost = \"smtps://bob:x@mail.example.org\"\n\
             [submission]\nlisten = []\nlisten_tls = []\n[imap]\nlisten_tls = []\n",
        );
        for (mode, expected) in [(0o644, 1), (0o640, 0)] {
            fs::set_permissions(&config.source.file, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(warnings(&config).len(), expected, "{mode:o}");
        }
    }
}
