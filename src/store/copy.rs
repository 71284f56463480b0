//! A plain full copy of a store that goes on meanwhile.

use std::path::Path;

use super::files::{File, Files, RealFiles};
use super::index::Index as _;
use super::journal::{Chain, DIR, file_name};
use super::{Shared, StoreError, snapshot};

const CHUNK: usize = 1024 * 1024;

/// Copies one state of the store into an empty or missing directory: the journal up to it and the
/// last table snapshot. The index is not copied; opening the copy builds it.
pub(super) fn copy_to(shared: &Shared, dir: &Path) -> Result<(), StoreError> {
    std::fs::create_dir_all(dir)?;
    let target = RealFiles::new(dir.to_owned());
    if !target.list("")?.is_empty() {
        return Err(StoreError::Io(format!("{} is not empty", dir.display())));
    }
    // First the snapshot, then how far the journal goes: so the journal has all of the snapshot.
    if let Some(start) = snapshot::list(&*shared.files)?.last() {
        target.create_dir(snapshot::DIR)?;
        let name = snapshot::name(*start);
        copy(&*shared.files.open(&name)?, &target, &name, u64::MAX)?;
        target.sync_dir(snapshot::DIR)?;
    }
    let until = shared.state().index()?.position();
    target.create_dir(DIR)?;
    for link in Chain::open(&*shared.files)?.until(until).from(0) {
        let name = file_name(link.header.number);
        copy(&*shared.files.open(&name)?, &target, &name, link.end.unwrap_or(u64::MAX))?;
    }
    target.sync_dir(DIR)?;
    target.sync_dir("")?;
    Ok(())
}

fn copy(from: &dyn File, target: &dyn Files, name: &str, end: u64) -> Result<(), StoreError> {
    let to = target.create(name)?;
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    while at < end {
        let wanted = usize::try_from(end - at).map_or(CHUNK, |left| left.min(CHUNK));
        let read = from.read_at(&mut chunk[..wanted], at)?;
        if read == 0 {
            break;
        }
        to.write_at(&chunk[..read], at)?;
        at += read as u64;
    }
    Ok(to.sync()?)
}
