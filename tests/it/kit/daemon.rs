//! The daemon as the world knows it: a process of its own, started by its command line, that tells
//! the service manager when it is ready, and hears signals.

use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use tempfile::TempDir;

/// How long a start may take before the test fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running `guichet serve`; killed when it is dropped.
pub struct Daemon {
    process: Child,
    log: Option<JoinHandle<String>>,
    _manager: ServiceManager,
    /// Where SMTP listens.
    pub address: SocketAddr,
}

impl Daemon {
    /// Starts one and waits until it says that it is ready. Must not be called where other tasks
    /// of the runtime need this thread.
    ///
    /// # Panics
    /// With its log, when it ends instead.
    pub fn start(config: &Path) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_guichet")), config)
    }

    /// The same, for a daemon whose disk is going to fail: a write past the limit of
    /// [`Self::limit`] is an error then, and not the end of the process.
    pub fn start_with_limits(config: &Path) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_guichet")]);
        Self::start_by(shell, config)
    }

    fn start_by(mut command: Command, config: &Path) -> Self {
        let manager = ServiceManager::listen();
        command.arg("serve").arg("--config").arg(config).env("NOTIFY_SOCKET", manager.path());
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = process.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let Some(address) = manager.ready(&mut process) else {
            let _ = process.kill();
            panic!("the daemon did not become ready: {:?}\n{}", process.wait(), log.join().unwrap());
        };
        Self { process, log: Some(log), _manager: manager, address }
    }

    /// Ends it at once, as a power cut of the process.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Says SIGTERM.
    pub fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    /// Says SIGHUP.
    pub fn hang_up(&self) {
        kill_process(self.pid(), Signal::HUP).unwrap();
    }

    /// Waits for its end; the status and the log.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let status = self.process.wait().unwrap();
        (status, self.log.take().unwrap().join().unwrap())
    }

    /// From now on it has only so much of a resource; `None`: as much as this process.
    pub fn limit(&self, resource: Resource, most: Option<u64>) {
        let own = getrlimit(resource);
        prlimit(Some(self.pid()), resource, Rlimit { current: most.or(own.current), ..own }).unwrap();
    }

    /// The most memory that it ever had, in octets.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking()
            && let Some(Ok(log)) = self.log.take().map(JoinHandle::join)
        {
            println!("the daemon's log:\n{log}");
        }
    }
}

/// Runs a command to its end.
pub fn guichet(config: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guichet"));
    command.args(args).arg("--config").arg(config).env_remove("NOTIFY_SOCKET").stdin(Stdio::null()).output().unwrap()
}

/// The same where nothing can be written into any file.
pub fn guichet_without_disk(config: &Path, args: &[&str]) -> Output {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_guichet")]);
    shell.args(args).arg("--config").arg(config).env_remove("NOTIFY_SOCKET").stdin(Stdio::null()).output().unwrap()
}

/// The socket that systemd would have (`sd_notify(3)`).
struct ServiceManager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl ServiceManager {
    fn listen() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        // Only so long, to look now and then whether the process is still there.
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Self { socket, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("notify")
    }

    /// Waits until the daemon is ready; where it serves SMTP. `None` when it ends instead.
    fn ready(&self, process: &mut Child) -> Option<SocketAddr> {
        let started = std::time::Instant::now();
        let mut datagram = [0; 4096];
        while started.elapsed() < PATIENCE {
            if let Ok(length) = self.socket.recv(&mut datagram) {
                let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
                assert!(text.lines().any(|line| line == "READY=1"), "the first word is another: {text}");
                let status = text.lines().find_map(|line| line.strip_prefix("STATUS=SMTP on ")).unwrap();
                return Some(status.split(';').next().unwrap().parse().unwrap());
            }
            if process.try_wait().unwrap().is_some() {
                return None;
            }
        }
        None
    }
}
