//! The unclean marker: from when the store may be written until it was closed in order, a file
//! tells on which boot of the machine that was, and whether the index is whole.
//!
//! After a process died, what it wrote to the index is in the kernel's hands and comes out in
//! order. After the machine died, nothing is known of the index.

use std::io::{self, ErrorKind};

use super::files::Files;

const NAME: &str = "unclean";
const NEW: &str = "unclean.new";

/// How the store was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Closed in order.
    Clean,
    /// Its process died, the machine did not.
    Died,
    /// The machine died, or the index was not whole, or nobody can tell.
    Suspect,
}

/// How the index is while the marker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Index {
    Whole,
    Building,
}

pub(super) fn read(files: &dyn Files, boot: &str) -> io::Result<Left> {
    let file = match files.open(NAME) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Left::Clean),
        file => file?,
    };
    let mut text = vec![0; 256];
    let length = file.read_at(&mut text, 0)?;
    Ok(if text[..length] == *text_of(boot, Index::Whole).as_bytes() { Left::Died } else { Left::Suspect })
}

/// Sets the marker; durable when it returns.
pub(super) fn set(files: &dyn Files, boot: &str, index: Index) -> io::Result<()> {
    let file = files.create(NEW)?;
    file.write_at(text_of(boot, index).as_bytes(), 0)?;
    file.sync()?;
    files.rename(NEW, NAME)?;
    files.sync_dir("")
}

pub(super) fn clear(files: &dyn Files) -> io::Result<()> {
    files.remove(NAME)?;
    files.sync_dir("")
}

fn text_of(boot: &str, index: Index) -> String {
    let index = match index {
        Index::Whole => "whole",
        Index::Building => "building",
    };
    format!("boot {boot}\nindex {index}\n")
}

/// The kernel's name for this boot. Another one each time where it can't be read: then no index
/// outlives its process.
pub(super) fn boot_id() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(id) => id.trim().to_owned(),
        Err(_) => format!("unknown {:016x}", RandomState::new().hash_one(())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::files::MemoryFiles;

    #[test]
    fn tells_how_the_store_was_left() {
        let files = MemoryFiles::default();
        assert_eq!(read(&files, "a").unwrap(), Left::Clean);
        set(&files, "a", Index::Building).unwrap();
        assert_eq!(read(&files, "a").unwrap(), Left::Suspect);
        set(&files, "a", Index::Whole).unwrap();
        assert_eq!(read(&files, "a").unwrap(), Left::Died);
        assert_eq!(read(&files, "b").unwrap(), Left::Suspect);
        files.open(NAME).unwrap().set_size(5).unwrap();
        assert_eq!(read(&files, "a").unwrap(), Left::Suspect);
        clear(&files).unwrap();
        assert_eq!(read(&files, "a").unwrap(), Left::Clean);
    }
}
