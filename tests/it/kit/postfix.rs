//! Postfix, in an instance of the test's own on loopback, as the server of other people's domains.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

use super::authority::Issued;
use super::peers;

/// How long it may take to start, to deliver, and to end, before the test fails.
const PATIENCE: Duration = Duration::from_mins(1);
const DAEMONS: &str = "/usr/lib/postfix/sbin";
/// `nobody`, whose the mailboxes are.
const NOBODY: &str = "65534";

/// What the test wants of it.
pub struct Wanted<'a> {
    /// Where it listens, and the settings that hold there alone, as `name=value`.
    pub listens: &'a [(IpAddr, &'a [&'a str])],
    pub port: u16,
    pub certificate: &'a Issued,
    /// The domains that it is the server of.
    pub domains: &'a [&'a str],
    /// Its mailboxes, and the folder of each.
    pub mailboxes: &'a [(&'a str, &'a str)],
    /// Where everything else goes.
    pub relay: SocketAddr,
}

/// A running one; ended when it is dropped.
pub struct Postfix {
    folder: TempDir,
    master: Pid,
}

impl Postfix {
    /// `None`, with a line that says so, where peers are left out, or where the tests do not run as
    /// root: no other may start it.
    pub fn start(wanted: &Wanted<'_>) -> Option<Self> {
        let postfix = peers::program("postfix")?;
        if !rustix::process::geteuid().is_root() {
            println!("left out: only root can start Postfix");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        for (name, owner) in [("etc", "root"), ("queue", "root"), ("data", "postfix"), ("mail", NOBODY)] {
            fs::create_dir(dir.join(name)).unwrap();
            run(Command::new("chown").arg(owner).arg(dir.join(name)));
        }
        let (certificate, key) = wanted.certificate.write(dir);
        let mailboxes = wanted.mailboxes.iter().fold(String::new(), |mut text, (address, folder)| {
            writeln!(text, "{address} {folder}/").unwrap();
            text
        });
        fs::write(dir.join("mailboxes"), mailboxes).unwrap();
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {0}/queue\ndata_directory = {0}/data\n\
             daemon_directory = {DAEMONS}\nmyhostname = mx.postfix.example\nmydestination =\nalias_maps =\n\
             mynetworks =\ninet_protocols = ipv4\nrelayhost = [{1}]:{2}\ndisable_dns_lookups = yes\n\
             smtpd_peername_lookup = no\nsmtpd_relay_restrictions = reject_unauth_destination\n\
             smtpd_tls_security_level = may\nsmtpd_tls_received_header = yes\nsmtp_tls_security_level = may\n\
             smtpd_tls_cert_file = {3}\nsmtpd_tls_key_file = {4}\n\
             virtual_mailbox_domains = {5}\nvirtual_mailbox_base = {0}/mail\n\
             virtual_mailbox_maps = texthash:{0}/mailboxes\n\
             virtual_uid_maps = static:{NOBODY}\nvirtual_gid_maps = static:{NOBODY}\n",
            dir.display(),
            wanted.relay.ip(),
            wanted.relay.port(),
            certificate.display(),
            key.display(),
            wanted.domains.join(" "),
        );
        fs::write(dir.join("etc/main.cf"), main).unwrap();
        fs::write(dir.join("etc/master.cf"), master(wanted)).unwrap();
        run(Command::new(postfix).arg("-c").arg(dir.join("etc")).arg("start"));
        let pid = fs::read_to_string(dir.join("queue/pid/master.pid")).unwrap();
        let master = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        let started = Self { folder, master };
        for (address, _) in wanted.listens {
            until(|| TcpStream::connect((*address, wanted.port)).ok());
        }
        Some(started)
    }

    /// Waits for the mails in a mailbox, by its folder, until there are so many.
    pub fn mails(&self, mailbox: &str, count: usize) -> Vec<String> {
        until(|| {
            let files = fs::read_dir(self.folder.path().join("mail").join(mailbox).join("new")).ok()?;
            let read = |path: &Path| String::from_utf8(fs::read(path).unwrap()).unwrap();
            let mails: Vec<_> = files.map(|file| read(&file.unwrap().path())).collect();
            (mails.len() >= count).then_some(mails)
        })
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = kill_process(self.master, Signal::TERM);
        let start = Instant::now();
        while test_kill_process(self.master).is_ok() && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Debian's services without the chroot and those that nothing here needs.
fn master(wanted: &Wanted<'_>) -> String {
    let mut text = String::new();
    for (address, settings) in wanted.listens {
        write!(text, "{address}:{} inet n - n - - smtpd", wanted.port).unwrap();
        settings.iter().for_each(|setting| write!(text, " -o {setting}").unwrap());
        text.push('\n');
    }
    for line in [
        "cleanup unix n - n - 0 cleanup",
        "qmgr unix n - n 300 1 qmgr",
        "rewrite unix - - n - - trivial-rewrite",
        "bounce unix - - n - 0 bounce",
        "defer unix - - n - 0 bounce",
        "trace unix - - n - 0 bounce",
        "proxymap unix - - n - - proxymap",
        "smtp unix - - n - - smtp",
        "error unix - - n - - error",
        "retry unix - - n - - error",
        "virtual unix - n n - - virtual",
        "anvil unix - - n - 1 anvil",
        "scache unix - - n - 1 scache",
        "tlsmgr unix - - n 1000? 1 tlsmgr",
    ] {
        text += line;
        text.push('\n');
    }
    text
}

fn until<T>(mut reached: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = reached() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "Postfix did not do it in time");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
