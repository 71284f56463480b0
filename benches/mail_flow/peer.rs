//! Postfix, in an instance of its own on loopback, and OpenDKIM beside it. Needs root, as Postfix does.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::machine::Processes;
use super::mails::TO;
use super::sink::{free_address, until_it_listens};

const DAEMONS: &str = "/usr/lib/postfix/sbin";

/// What Postfix does with the mail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Relays it, as it came.
    Relay,
    /// Keeps it: what accepting alone costs.
    Hold,
    /// Has it signed (RSA-2048), and relays it to three readers, a transaction each.
    SignForThree,
}

/// A running Postfix.
pub struct Postfix {
    pub address: SocketAddr,
    pub processes: Processes,
    master: Pid,
    milter: Option<Child>,
}

impl Postfix {
    pub async fn start(parent: &Path, name: &str, work: Work, sink: SocketAddr) -> anyhow::Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "Postfix can only be started by root; see --without-peers");
        let dir = parent.join(name);
        for folder in ["etc", "queue", "data"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        for folder in [parent, &dir] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        }
        run(Command::new("chown").arg("postfix").arg(dir.join("data")))?;
        let address = free_address()?;
        let mut main = format!(
            "compatibility_level = 3.6\nqueue_directory = {0}/queue\ndata_directory = {0}/data\n\
             daemon_directory = {DAEMONS}\nmyhostname = mx.postfix.example\nmydestination =\nalias_maps =\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\n\
             relayhost = [127.0.0.1]:{1}\ndisable_dns_lookups = yes\n\
             smtpd_relay_restrictions = permit_mynetworks, reject\n",
            dir.display(),
            sink.port()
        );
        let mut milter = None;
        match work {
            Work::Relay => {}
            Work::Hold => main += "smtpd_recipient_restrictions = check_recipient_access static:HOLD\n",
            Work::SignForThree => {
                fs::write(dir.join("aliases"), format!("{TO} {}\n", super::READERS.join(", ")))?;
                let _ = write!(
                    main,
                    "virtual_alias_domains = desk.example.org\nvirtual_alias_maps = texthash:{0}/aliases\n\
                     default_destination_recipient_limit = 1\nsmtpd_milters = unix:{0}/milter/socket\n",
                    dir.display()
                );
                milter = Some(start_milter(&dir)?);
            }
        }
        fs::write(dir.join("etc/main.cf"), main)?;
        fs::write(dir.join("etc/master.cf"), master(address))?;
        run(Command::new("postfix").arg("-c").arg(dir.join("etc")).arg("start"))?;
        let pid = dir.join("queue/pid/master.pid");
        let pid: u32 = fs::read_to_string(&pid).with_context(|| pid.display().to_string())?.trim().parse()?;
        let master = i32::try_from(pid).ok().and_then(Pid::from_raw).context("Postfix has no process id")?;
        let mut roots = vec![pid];
        roots.extend(milter.as_ref().map(Child::id));
        let postfix = Self { address, processes: Processes(roots), master, milter };
        until_it_listens(address).await?;
        Ok(postfix)
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = kill_process(self.master, Signal::TERM);
        let start = Instant::now();
        while test_kill_process(self.master).is_ok() && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
        if let Some(milter) = &mut self.milter {
            let _ = milter.kill();
            let _ = milter.wait();
        }
    }
}

/// Debian's services without the chroot and those that nothing here needs.
fn master(address: SocketAddr) -> String {
    let mut text = format!("{address} inet n - n - - smtpd\n");
    for line in [
        "pickup unix n - n 60 1 pickup",
        "cleanup unix n - n - 0 cleanup",
        "qmgr unix n - n 300 1 qmgr",
        "rewrite unix - - n - - trivial-rewrite",
        "bounce unix - - n - 0 bounce",
        "defer unix - - n - 0 bounce",
        "trace unix - - n - 0 bounce",
        "proxymap unix - - n - - proxymap",
        "smtp unix - - n - - smtp",
        "relay unix - - n - - smtp",
        "error unix - - n - - error",
        "retry unix - - n - - error",
        "anvil unix - - n - 1 anvil",
        "scache unix - - n - 1 scache",
        "tlsmgr unix - - n 1000? 1 tlsmgr",
    ] {
        text += line;
        text.push('\n');
    }
    text
}

fn start_milter(dir: &Path) -> anyhow::Result<Child> {
    let milter = dir.join("milter");
    fs::create_dir_all(&milter)?;
    run(Command::new("opendkim-genkey")
        .args(["-b", "2048", "-s", "bench", "-d", "postfix.example", "-D"])
        .arg(&milter))?;
    fs::write(milter.join("keys"), format!("key postfix.example:bench:{}/bench.private\n", milter.display()))?;
    fs::write(milter.join("signing"), "* key\n")?;
    let config = format!(
        "Socket local:{0}/socket\nMode s\nKeyTable {0}/keys\nSigningTable refile:{0}/signing\n\
         InternalHosts 127.0.0.1\nCanonicalization relaxed/relaxed\nUMask 000\nUserID opendkim\n\
         RequireSafeKeys no\nBackground no\n",
        milter.display()
    );
    fs::write(milter.join("opendkim.conf"), config)?;
    run(Command::new("chown").arg("-R").arg("opendkim").arg(&milter))?;
    let child = Command::new("opendkim")
        .arg("-f")
        .arg("-x")
        .arg(milter.join("opendkim.conf"))
        .stderr(Stdio::null())
        .spawn()
        .context("opendkim can't be started; it is in Debian's packages opendkim and opendkim-tools")?;
    let socket: PathBuf = milter.join("socket");
    let start = Instant::now();
    while !socket.exists() {
        ensure!(start.elapsed() < Duration::from_secs(10), "opendkim made no socket in 10 seconds");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(child)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let done = command.output().with_context(|| format!("{command:?} can't be run"))?;
    ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}
