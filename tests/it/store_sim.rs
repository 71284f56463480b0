//! Files for the store's tests: they can lose power, fill up and fail, at any operation.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use guichet::store::files::{File, Files};
use guichet::store::{MemoryEngine, Parts};

/// A small generator of numbers (xorshift64*), so that a test can be run again from its seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// What becomes of what was not synced when the power goes.
#[derive(Clone, Copy, Debug)]
pub enum Unsynced {
    Lost,
    /// The process died, the machine did not.
    Kept,
    /// Some sectors of some writes, some names.
    Some(u64),
}

/// Which operations fail.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub from: u64,
    pub until: u64,
    pub kind: ErrorKind,
}

/// A simulated directory. Clones are the same one.
#[derive(Clone, Default)]
pub struct SimFiles(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    inodes: Vec<Inode>,
    dirs: BTreeSet<String>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes of names since the last sync of their directory, in order.
    renames: Vec<(String, Option<usize>)>,
    operations: u64,
    off_at: Option<u64>,
    fault: Option<Fault>,
    free: Option<u64>,
}

#[derive(Clone, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// What a sync would make durable.
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Size(u64),
}

const SECTOR: usize = 512;

impl SimFiles {
    /// Parts of a store on these files, with its index in memory.
    pub fn parts(&self, boot: &str) -> Parts {
        Parts { files: Arc::new(self.clone()), engine: Box::new(MemoryEngine), boot: boot.to_owned() }
    }

    /// How many changing operations there were.
    pub fn operations(&self) -> u64 {
        self.world().operations
    }

    /// From this operation on nothing happens any more.
    pub fn power_off_at(&self, operation: u64) {
        self.world().off_at = Some(operation);
    }

    pub fn fail(&self, fault: Option<Fault>) {
        self.world().fault = fault;
    }

    /// Does something while no operation can happen.
    pub fn standing_still<T>(&self, f: impl FnOnce() -> T) -> T {
        let _world = self.world();
        f()
    }

    /// How much room there is said to be.
    pub fn say_free(&self, octets: u64) {
        self.world().free = Some(octets);
    }

    /// What is found when the machine, or only the process, is started again.
    pub fn restarted(&self, unsynced: Unsynced) -> Self {
        let world = self.world();
        let (seed, machine) = match unsynced {
            Unsynced::Lost => (None, true),
            Unsynced::Some(seed) => (Some(seed), true),
            Unsynced::Kept => (None, false),
        };
        let mut next = World {
            inodes: world.inodes.clone(),
            dirs: world.dirs.clone(),
            names: world.names.clone(),
            durable_names: world.durable_names.clone(),
            renames: world.renames.clone(),
            ..World::default()
        };
        if machine {
            next.lose_power(seed.map(Random::new));
        }
        Self(Arc::new(Mutex::new(next)))
    }

    /// The names of all files, with what is in them.
    pub fn dump(&self) -> BTreeMap<String, Vec<u8>> {
        let world = self.world();
        world.names.iter().map(|(name, inode)| (name.clone(), world.inodes[*inode].now.clone())).collect()
    }

    /// Replaces what is in a file, durably.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut world = self.world();
        let inode = world.names[name];
        world.inodes[inode] = Inode { now: bytes.to_vec(), durable: bytes.to_vec(), pending: Vec::new() };
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Counts an operation; an error if it is to fail.
    fn operation(&self) -> io::Result<MutexGuard<'_, World>> {
        let mut world = self.world();
        let number = world.operations;
        world.operations += 1;
        if world.off_at.is_some_and(|off| number >= off) {
            return Err(io::Error::other("the power is off"));
        }
        match world.fault {
            Some(fault) if (fault.from..fault.until).contains(&number) => Err(fault.kind.into()),
            _ => Ok(world),
        }
    }
}

impl World {
    /// Forgets what was not synced, but for what the random generator keeps.
    fn lose_power(&mut self, mut random: Option<Random>) {
        if let Some(random) = &mut random {
            let kept = random.below(self.renames.len() as u64 + 1);
            for (name, inode) in self.renames.iter().take(usize::try_from(kept).unwrap()) {
                change_name(&mut self.durable_names, name, *inode);
            }
        }
        self.renames.clear();
        self.names = self.durable_names.clone();
        for inode in &mut self.inodes {
            for change in std::mem::take(&mut inode.pending) {
                if let Some(random) = &mut random {
                    some_of(&change, &mut inode.durable, random);
                }
            }
            inode.now = inode.durable.clone();
        }
    }
}

fn change_name(names: &mut BTreeMap<String, usize>, name: &str, inode: Option<usize>) {
    match inode {
        Some(inode) => names.insert(name.to_owned(), inode),
        None => names.remove(name),
    };
}

fn write(bytes: &mut Vec<u8>, offset: u64, new: &[u8]) {
    let from = usize::try_from(offset).unwrap();
    if bytes.len() < from + new.len() {
        bytes.resize(from + new.len(), 0);
    }
    bytes[from..from + new.len()].copy_from_slice(new);
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, new) => write(bytes, *offset, new),
        Change::Size(size) => bytes.resize(usize::try_from(*size).unwrap(), 0),
    }
}

fn some_of(change: &Change, bytes: &mut Vec<u8>, random: &mut Random) {
    match change {
        Change::Write(offset, new) => {
            for (n, sector) in new.chunks(SECTOR).enumerate() {
                if random.below(2) == 0 {
                    write(bytes, offset + (n * SECTOR) as u64, sector);
                }
            }
        }
        Change::Size(_) if random.below(2) == 0 => {}
        Change::Size(_) => apply(bytes, change),
    }
}

fn dir_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(dir, _)| dir)
}

impl Files for SimFiles {
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let world = self.world();
        let names = world.names.keys().filter(|name| dir_of(name) == dir);
        Ok(names.map(|name| name.rsplit('/').next().unwrap().to_owned()).collect())
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        if !self.world().dirs.contains(dir) {
            self.operation()?.dirs.insert(dir.to_owned());
        }
        Ok(())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let inode = *self.world().names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { files: self.clone(), inode }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut world = self.operation()?;
        assert!(dir_of(name).is_empty() || world.dirs.contains(dir_of(name)), "{name} has no directory");
        let inode = world.inodes.len();
        world.inodes.push(Inode::default());
        world.names.insert(name.to_owned(), inode);
        world.renames.push((name.to_owned(), Some(inode)));
        Ok(Arc::new(SimFile { files: self.clone(), inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.operation()?;
        let inode = world.names.remove(from).ok_or(ErrorKind::NotFound)?;
        world.names.insert(to.to_owned(), inode);
        // One step: a rename is atomic, so the old name goes with the new one's coming.
        world.renames.push((to.to_owned(), Some(inode)));
        world.renames.push((from.to_owned(), None));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.operation()?;
        world.names.remove(name).ok_or(ErrorKind::NotFound)?;
        world.renames.push((name.to_owned(), None));
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut world = self.operation()?;
        let renames = std::mem::take(&mut world.renames);
        for (name, inode) in renames {
            if dir_of(&name) == dir {
                change_name(&mut world.durable_names, &name, inode);
            } else {
                world.renames.push((name, inode));
            }
        }
        Ok(())
    }

    fn free(&self) -> io::Result<u64> {
        Ok(self.world().free.unwrap_or(u64::MAX))
    }
}

struct SimFile {
    files: SimFiles,
    inode: usize,
}

impl SimFile {
    fn change(&self, change: Change) -> io::Result<()> {
        let mut world = self.files.operation()?;
        let inode = &mut world.inodes[self.inode];
        apply(&mut inode.now, &change);
        inode.pending.push(change);
        Ok(())
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let world = self.files.world();
        let bytes = &world.inodes[self.inode].now;
        let from = usize::try_from(offset).unwrap().min(bytes.len());
        let length = buffer.len().min(bytes.len() - from);
        buffer[..length].copy_from_slice(&bytes[from..from + length]);
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let outcome = self.change(Change::Write(offset, bytes.to_vec()));
        if outcome.is_err() && self.files.world().fault.is_some() {
            // A part of it was written before it failed.
            let half = bytes[..bytes.len() / 2].to_vec();
            let mut world = self.files.world();
            let inode = &mut world.inodes[self.inode];
            write(&mut inode.now, offset, &half);
            inode.pending.push(Change::Write(offset, half));
        }
        outcome
    }

    fn sync(&self) -> io::Result<()> {
        match self.files.operation() {
            Ok(mut world) => {
                let inode = &mut world.inodes[self.inode];
                let pending = std::mem::take(&mut inode.pending);
                for change in &pending {
                    apply(&mut inode.durable, change);
                }
                Ok(())
            }
            Err(error) => {
                // As kernels do it: what could not be written counts as written from then on.
                let mut world = self.files.world();
                if world.fault.is_some() {
                    world.inodes[self.inode].pending.clear();
                }
                Err(error)
            }
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.files.world().inodes[self.inode].now.len() as u64)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.change(Change::Size(size))
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        self.files.operation().map(drop)
    }
}
