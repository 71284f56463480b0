//! The bytes of a message on their way in: in memory up to a limit, in a spool file beyond it.
//!
//! A spool file loses its name as soon as it is made, so nothing is left of it when its message is
//! done, refused or cut off, nor after a crash. It is not synced: nothing in it is acknowledged
//! before the store has the message.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the names of spool files end with.
const SUFFIX: &str = ".spool";

/// Where large messages wait, and how large that is.
#[derive(Clone, Debug)]
pub struct Spool {
    dir: Arc<Path>,
    memory: usize,
    made: Arc<AtomicU64>,
}

impl Spool {
    /// How large a message may be that stays in memory, where nothing else is asked for: 256 KiB.
    pub const MEMORY: usize = 256 << 10;

    /// Opens the spool in `dir`, which is made when it is missing. Messages up to `memory` octets
    /// stay in memory. Removes what a crash may have left; so only one process may use `dir`.
    ///
    /// # Errors
    /// When `dir` can't be made, read or cleaned.
    pub fn open(dir: &Path, memory: usize) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(SUFFIX) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(Self { dir: dir.into(), memory: memory.max(1), made: Arc::default() })
    }

    /// Begins a body of which the client said that it has `expected` octets; 0 when it said nothing.
    #[must_use]
    pub fn begin(&self, expected: u64) -> BodyWriter {
        let expected = usize::try_from(expected).unwrap_or(usize::MAX).min(self.memory);
        BodyWriter { spool: self.clone(), buffer: Vec::with_capacity(expected), file: None, spilled: 0 }
    }

    fn create(&self) -> io::Result<File> {
        let name = format!("{}-{}{SUFFIX}", std::process::id(), self.made.fetch_add(1, Ordering::Relaxed));
        let path = self.dir.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        std::fs::remove_file(path)?;
        Ok(file)
    }
}

/// A body that still grows.
#[derive(Debug)]
pub struct BodyWriter {
    spool: Spool,
    buffer: Vec<u8>,
    file: Option<File>,
    spilled: u64,
}

impl BodyWriter {
    /// Appends. Never holds more than the spool's limit in memory.
    ///
    /// # Errors
    /// When the spool file can't be made or written; the body is of no use then.
    pub async fn push(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while self.buffer.len() + bytes.len() > self.spool.memory {
            let (now, later) = bytes.split_at(self.spool.memory - self.buffer.len());
            self.buffer.extend_from_slice(now);
            bytes = later;
            self.spill().await?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Octets so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.spilled + self.buffer.len() as u64
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The body as it is now, whole.
    ///
    /// # Errors
    /// When the rest of it can't be written to the spool file.
    pub async fn finish(mut self) -> io::Result<Body> {
        let len = self.len();
        if self.file.is_some() {
            self.spill().await?;
        }
        Ok(Body(match self.file {
            Some(file) => Place::File(file, len),
            None => Place::Memory(self.buffer),
        }))
    }

    /// Moves the buffer to the file, on a thread that may wait for the disk.
    async fn spill(&mut self) -> io::Result<()> {
        let (spool, file) = (self.spool.clone(), self.file.take());
        let mut buffer = std::mem::take(&mut self.buffer);
        let write = move || -> io::Result<(File, Vec<u8>, usize)> {
            let mut file = file.map_or_else(|| spool.create(), Ok)?;
            file.write_all(&buffer)?;
            let written = buffer.len();
            buffer.clear();
            Ok((file, buffer, written))
        };
        let (file, buffer, written) = tokio::task::spawn_blocking(write).await.map_err(io::Error::other)??;
        self.file = Some(file);
        self.buffer = buffer;
        self.spilled += written as u64;
        Ok(())
    }
}

/// A whole message, the trace field on top.
#[derive(Debug)]
pub struct Body(Place);

#[derive(Debug)]
enum Place {
    Memory(Vec<u8>),
    File(File, u64),
}

impl Body {
    /// A body that is in memory already.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(Place::Memory(bytes))
    }

    /// Octets.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.0 {
            Place::Memory(bytes) => bytes.len() as u64,
            Place::File(_, len) => *len,
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether [`Body::read_all`] needs no file.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        matches!(self.0, Place::Memory(_))
    }

    /// The message in one piece; costs nothing when it is in memory. Blocks on a spooled one.
    ///
    /// # Errors
    /// When the spool file can't be read.
    pub fn read_all(self) -> io::Result<Vec<u8>> {
        match self.0 {
            Place::Memory(bytes) => Ok(bytes),
            Place::File(..) => {
                let mut bytes = Vec::with_capacity(usize::try_from(self.len()).map_err(io::Error::other)?);
                self.reader().read_to_end(&mut bytes)?;
                Ok(bytes)
            }
        }
    }

    /// Reads the message from its beginning; any number of readers may. Blocks on a spooled one.
    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        Reader { body: self, at: 0 }
    }
}

/// Reads a [`Body`] piece by piece.
#[derive(Debug)]
pub struct Reader<'a> {
    body: &'a Body,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = match &self.body.0 {
            Place::Memory(bytes) => {
                let at = usize::try_from(self.at).map_err(io::Error::other)?;
                bytes.get(at..).unwrap_or_default().read(out)?
            }
            Place::File(file, _) => file.read_at(out, self.at)?,
        };
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_the_same_in_memory_and_in_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), 100).unwrap();
        for len in [0_usize, 1, 99, 100, 101, 200, 201, 1000] {
            let bytes: Vec<u8> = (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect();
            for step in [1, 7, 100, 1000] {
                let mut writer = spool.begin(0);
                for part in bytes.chunks(step) {
                    writer.push(part).await.unwrap();
                    assert!(writer.buffer.len() <= 100);
                }
                let body = writer.finish().await.unwrap();
                assert_eq!(matches!(body.0, Place::File(..)), len > 100);
                assert_eq!(body.len(), len as u64);
                let mut read = Vec::new();
                body.reader().read_to_end(&mut read).unwrap();
                assert_eq!(read, bytes);
                assert_eq!(body.read_all().unwrap(), bytes);
                assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
            }
        }
    }

    #[tokio::test]
    async fn opening_removes_what_a_crash_left_and_a_lost_folder_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("spool");
        Spool::open(&inside, 10).unwrap();
        std::fs::write(inside.join("1-0.spool"), "x").unwrap();
        std::fs::write(inside.join("keep"), "x").unwrap();
        let spool = Spool::open(&inside, 10).unwrap();
        let left: Vec<_> = std::fs::read_dir(&inside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["keep"]);
        std::fs::remove_dir_all(&inside).unwrap();
        assert!(spool.begin(1 << 60).push(&[0; 11]).await.is_err());
    }
}
