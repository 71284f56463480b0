//! Outgoing mail captured in a Maildir: for trying out, and for tests. Nothing leaves the machine.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::client::Transaction;

/// A Maildir. Every message begins with `Return-Path` and `Envelope-To`, its envelope.
#[derive(Clone, Debug)]
pub struct Capture {
    directory: PathBuf,
}

impl Capture {
    /// Opens the Maildir, making what is missing of it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = directory.into();
        for part in ["tmp", "new", "cur"] {
            fs::create_dir_all(directory.join(part))?;
        }
        sync(&directory)?;
        Ok(Self { directory })
    }

    /// Writes a message; when this returns it is on disk. `name` is the copy's own name: the same
    /// copy written again, after a crash, makes no second file, also where a reader has moved the
    /// first to `cur`.
    ///
    /// Blocks: call it where blocking is allowed.
    ///
    /// # Errors
    /// Those of the file system, and `InvalidInput` for a name that is no file name.
    pub fn write(&self, name: &str, transaction: &Transaction<'_>) -> io::Result<()> {
        if name.is_empty()
            || name.starts_with('.')
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a copy's name is letters, digits, - . and _"));
        }
        let file_name = format!("{name}.guichet");
        if self.is_read(&file_name)? {
            return Ok(());
        }
        let mut header = String::from("Return-Path: <");
        if let Some(path) = &transaction.reverse_path {
            header.push_str(path.as_str());
        }
        header.push_str(">\r\n");
        for recipient in &transaction.recipients {
            write!(header, "Envelope-To: {recipient}\r\n").expect("a string takes what is written");
        }
        let unfinished = self.directory.join("tmp").join(&file_name);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(header.as_bytes())?;
        file.write_all(transaction.message)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.directory.join("new").join(&file_name))?;
        sync(&self.directory.join("new"))
    }

    /// Whether a reader has moved the file to `cur`, where flags follow its name.
    fn is_read(&self, file_name: &str) -> io::Result<bool> {
        for entry in fs::read_dir(self.directory.join("cur"))? {
            let found = entry?.file_name();
            let found = found.to_string_lossy();
            if found.split(':').next() == Some(file_name) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(message: &[u8]) -> Transaction<'_> {
        Transaction {
            reverse_path: Some("bounces+x@desk.example".parse().unwrap()),
            recipients: vec!["bob@example.com".parse().unwrap()],
            message,
            eight_bit: false,
            smtputf8: false,
        }
    }

    #[test]
    fn a_copy_is_captured_once_with_its_envelope() {
        let directory = tempfile::tempdir().unwrap();
        let capture = Capture::open(directory.path().join("outbox")).unwrap();
        let message = b"Subject: x\r\n\r\n.text\r\n";
        capture.write("17", &transaction(message)).unwrap();
        capture.write("17", &transaction(message)).unwrap();
        capture.write("18", &Transaction { reverse_path: None, ..transaction(message) }).unwrap();
        let path = |part: &str| directory.path().join("outbox").join(part);
        assert_eq!(
            fs::read(path("new/17.guichet")).unwrap(),
            [&b"Return-Path: <bounces+x@desk.example>\r\nEnvelope-To: bob@example.com\r\n"[..], message].concat()
        );
        assert!(fs::read(path("new/18.guichet")).unwrap().starts_with(b"Return-Path: <>\r\n"));
        assert_eq!(fs::read_dir(path("new")).unwrap().count(), 2);
        assert_eq!(fs::read_dir(path("tmp")).unwrap().count(), 0);

        fs::rename(path("new/17.guichet"), path("cur/17.guichet:2,S")).unwrap();
        capture.write("17", &transaction(message)).unwrap();
        assert_eq!(fs::read_dir(path("new")).unwrap().count(), 1);
    }

    #[test]
    fn a_name_never_leads_out_of_the_maildir() {
        let directory = tempfile::tempdir().unwrap();
        let capture = Capture::open(directory.path()).unwrap();
        for bad in ["", "../x", "a/b", ".hidden", "a:2,S", "a\0b"] {
            let error = capture.write(bad, &transaction(b"")).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{bad}");
        }
    }
}
