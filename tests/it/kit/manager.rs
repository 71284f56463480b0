//! The service manager as a daemon knows it: a socket that it tells how it is (`sd_notify(3)`).

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Child;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a word may take before the test fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// The socket that systemd would have, and whoever reads it: a daemon never waits for us.
pub struct ServiceManager {
    words: Receiver<Word>,
    folder: TempDir,
}

/// What is told at once: lines such as `READY=1`.
#[derive(Clone, Debug)]
pub struct Word(String);

impl Word {
    /// Whether it has the line.
    pub fn says(&self, line: &str) -> bool {
        self.0.lines().any(|other| other == line)
    }

    /// What it says of a variable.
    pub fn value(&self, variable: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(variable)?.strip_prefix('='))
    }
}

impl ServiceManager {
    pub fn listen() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        let (heard, words) = mpsc::channel();
        std::thread::spawn(move || {
            let mut datagram = [0; 4096];
            // An empty one is our own, and the last.
            while let Ok(length @ 1..) = socket.recv(&mut datagram) {
                let _ = heard.send(Word(String::from_utf8(datagram[..length].to_vec()).unwrap()));
            }
        });
        Self { words, folder }
    }

    /// What NOTIFY_SOCKET is to be.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("notify")
    }

    /// Waits for the next word; `None` when the process ended and said nothing more.
    pub fn next(&self, process: &mut Child) -> Option<Word> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            match self.words.recv_timeout(Duration::from_millis(100)) {
                Ok(word) => return Some(word),
                Err(RecvTimeoutError::Disconnected) => return None,
                // What it said before its end is read before this is.
                Err(RecvTimeoutError::Timeout) if process.try_wait().unwrap().is_some() => self.close(),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        panic!("no word within {PATIENCE:?}");
    }

    /// Waits for a word with that line, and gives all up to it; `None` when the process ended instead.
    pub fn until(&self, process: &mut Child, line: &str) -> Option<Vec<Word>> {
        let mut words = Vec::new();
        loop {
            let word = self.next(process)?;
            let found = word.says(line);
            words.push(word);
            if found {
                return Some(words);
            }
        }
    }

    fn close(&self) {
        // An error means that it was closed before.
        let _ = UnixDatagram::unbound().and_then(|socket| socket.send_to(&[], self.path()));
    }
}

impl Drop for ServiceManager {
    fn drop(&mut self) {
        self.close();
    }
}
