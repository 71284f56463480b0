//! Dovecot, in an instance of its own on loopback: mdbox, TLS, one user with a password in its
//! configuration. Needs root, as Dovecot does that runs its parts as several users.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::client::{Client, Door};
use super::machine::Processes;
use super::messages::message;
use super::sink::{free_address, until_it_listens};

/// Connections that fill it.
const FILLERS: u32 = 4;

/// A running Dovecot.
pub struct Dovecot {
    pub door: Door,
    pub processes: Processes,
    dir: PathBuf,
    child: Child,
}

impl Dovecot {
    /// Starts one whose mailbox `Open` holds the messages; it was filled without waiting for the disk,
    /// and now waits as it does by default.
    pub async fn start(parent: &Path, messages: u32) -> anyhow::Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "Dovecot is started by root only; see --without-peers");
        let dir = parent.join("dovecot");
        for folder in ["run", "state", "mail"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        for folder in [parent, &dir] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        }
        std::os::unix::fs::chown(dir.join("mail"), Some(NOBODY), Some(NOBODY))?;
        let made = rcgen::generate_simple_self_signed(vec!["desk.example.org".to_owned()])?;
        fs::write(dir.join("certificate"), made.cert.pem())?;
        fs::write(dir.join("key"), made.signing_key.serialize_pem())?;
        let filling = Self::run(&dir, "mail_fsync = never").await?;
        filling.fill(messages)?;
        drop(filling);
        Self::run(&dir, "").await
    }

    async fn run(dir: &Path, settings: &str) -> anyhow::Result<Self> {
        let address = free_address()?;
        let file = dir.join("dovecot.conf");
        fs::write(&file, config(dir, address, settings))?;
        let child = Command::new("dovecot")
            .arg("-F")
            .arg("-c")
            .arg(&file)
            .stderr(File::create(dir.join("stderr"))?)
            .stdout(Stdio::null())
            .spawn()
            .context("dovecot can't be started; it is in Debian's package dovecot-imapd")?;
        let door = Door { address, user: "alice".to_owned(), password: "bench".to_owned() };
        let dovecot = Self { door, processes: Processes(vec![child.id()]), dir: dir.to_owned(), child };
        until_it_listens(address).await.with_context(|| format!("see {}", dir.join("log").display()))?;
        Ok(dovecot)
    }

    fn fill(&self, messages: u32) -> anyhow::Result<()> {
        let mut client = Client::connect(&self.door)?;
        for mailbox in ["Open", "Drafts"] {
            client.command(&format!("CREATE {mailbox}"))?;
        }
        std::thread::scope(|scope| {
            let fill = |filler| {
                let mut client = Client::connect(&self.door)?;
                for n in (0..messages).filter(|n| n % FILLERS == filler) {
                    client.append("Open", &message(n).raw)?;
                }
                anyhow::Ok(())
            };
            let fillers: Vec<_> = (0..FILLERS).map(|filler| scope.spawn(move || fill(filler))).collect();
            let filled = fillers.into_iter().map(|filler| filler.join().map_err(|_| anyhow::anyhow!("a filler died")));
            filled.collect::<anyhow::Result<Vec<_>>>()?.into_iter().collect::<anyhow::Result<Vec<_>>>()
        })
        .with_context(|| format!("see {}", self.dir.join("log").display()))?;
        Ok(())
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Debian's user and group `nobody` and `nogroup`.
const NOBODY: u32 = 65_534;

/// Defaults, but for what makes an instance of its own and for limits on connections. Logins are as
/// Dovecot's documentation has it for speed: processes that serve many.
fn config(dir: &Path, address: SocketAddr, settings: &str) -> String {
    format!(
        "base_dir = {0}/run\nstate_dir = {0}/state\nlog_path = {0}/log\nprotocols = imap\nlisten = {1}\n\
         ssl = required\nssl_cert = <{0}/certificate\nssl_key = <{0}/key\n\
         mail_location = mdbox:{0}/mail\nmail_uid = {NOBODY}\nmail_gid = {NOBODY}\n\
         default_client_limit = 5000\ndefault_process_limit = 2500\n\
         passdb {{\n driver = static\n args = password=bench\n}}\n\
         userdb {{\n driver = static\n args = uid={NOBODY} gid={NOBODY} home={0}/mail\n}}\n\
         service imap-login {{\n service_count = 0\n process_min_avail = 2\n process_limit = 2\n \
         inet_listener imap {{\n port = 0\n }}\n inet_listener imaps {{\n port = {2}\n ssl = yes\n }}\n}}\n\
         service imap {{\n process_limit = 2500\n}}\n\
         service anvil {{\n client_limit = 6000\n}}\nservice auth {{\n client_limit = 6000\n}}\n\
         protocol imap {{\n mail_max_userip_connections = 0\n}}\n{settings}\n",
        dir.display(),
        address.ip(),
        address.port()
    )
}
