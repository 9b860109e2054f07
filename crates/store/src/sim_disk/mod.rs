//! A disk in memory that forgets what was not synced, fails when told to, and does both the same way for the same seed.
//!
//! What it models: every write is lost or kept by 512-byte sector until the file is synced, and a sector may show any of the
//! states it went through; a file that was created, renamed or removed has its old or its new name until the directory is
//! synced; a failed sync loses what it should have written even though a second sync succeeds; bits flip; space ends.

mod content;
#[cfg(test)]
mod tests;
mod tree;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everjet_values::SeededEntropy;

use crate::disk::{DirEntry, Disk, DiskFile, OpenMode};
use content::pick;
use tree::{NodeId, Tree};

/// How an operation of a [`SimDisk`] fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimFault {
    /// The power (or the process) goes: this operation and all later ones fail. A write is then done in part, other changes
    /// are done but not durable.
    Cut,
    /// The device reports an error. A write is done in part; a failed sync loses its data for good.
    Eio,
    /// The device is full. A write is done in part.
    Enospc,
}

/// The simulated disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug)]
struct State {
    tree: Tree,
    operations: u64,
    faults: BTreeMap<u64, SimFault>,
    cut: bool,
    failed: bool,
    capacity: Option<u64>,
    unreadable: BTreeSet<NodeId>,
    /// Whether [`DiskFile::read_now_at`] has what is read, as if all files were in memory.
    reads_now: bool,
    /// So many reads from now on one fails.
    bad_read: Option<u64>,
    locks: BTreeSet<PathBuf>,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty disk without an end.
    #[must_use]
    pub fn new() -> Self {
        Self::from_tree(Tree::new(), None)
    }

    /// This disk as the store wants it.
    #[must_use]
    pub fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Lets operation number `operation` (as [`SimDisk::operations`] counts, the next one is one more) fail.
    pub fn fail_at(&self, operation: u64, fault: SimFault) {
        self.lock_state().faults.insert(operation, fault);
    }

    /// Lets every read of the file fail with an input/output error, as unreadable sectors do.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn fail_reads(&self, path: &Path) {
        let mut state = self.lock_state();
        let id = state.tree.find_file(path).expect("the test names a file");
        state.unreadable.insert(id);
    }

    /// Whether everything is in memory from now on, so that [`DiskFile::read_now_at`] gives it, or nothing, as at the beginning.
    pub fn set_reads_now(&self, reads_now: bool) {
        self.lock_state().reads_now = reads_now;
    }

    /// Lets one read fail with an input/output error: the next one with 1, the one after with 2, and so on.
    pub fn fail_read(&self, number: u64) {
        self.lock_state().bad_read = Some(number);
    }

    /// Takes back what [`SimDisk::fail_read`] asked for. Returns whether it had happened.
    pub fn heal_reads(&self) -> bool {
        self.lock_state().bad_read.take() == Some(0)
    }

    /// The bytes of all files together.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.lock_state().tree.used()
    }

    /// Limits the bytes of all files together; `None` lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock_state().capacity = bytes;
    }

    /// Damages a file on the medium: bit `bit % 8` of byte `bit / 8` changes.
    ///
    /// # Panics
    /// When the file does not reach that far.
    pub fn flip_bit(&self, path: &Path, bit: u64) {
        let mut state = self.lock_state();
        let id = state.tree.find_file(path).expect("the test names a file");
        let content = state.tree.content_mut(id).expect("found just now");
        assert!(content.flip_bit(bit), "{} has no bit {bit}", path.display());
    }

    /// Damages a file on the medium: only its first `length` bytes are left.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn truncate(&self, path: &Path, length: u64) {
        let mut state = self.lock_state();
        let id = state.tree.find_file(path).expect("the test names a file");
        let content = state.tree.content_mut(id).expect("found just now");
        content.truncate(usize::try_from(length).expect("files fit into memory"));
    }

    /// Damages a file on the medium: `length` bytes from `offset` on are zeros, as far as the file reaches.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn zero(&self, path: &Path, offset: u64, length: u64) {
        let mut state = self.lock_state();
        let id = state.tree.find_file(path).expect("the test names a file");
        let content = state.tree.content_mut(id).expect("found just now");
        let fits = |number| usize::try_from(number).expect("files fit into memory");
        content.zero(fits(offset), fits(length));
    }

    /// The disk after a power cut at this moment; this one stays as it is, so that many cuts can start from it.
    /// The same seed gives the same outcome.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let dice = SeededEntropy::new(seed);
        let odds = [0, 1, 4, 7, 8][pick(&dice, 5)];
        let state = self.lock_state();
        Self::from_tree(state.tree.after_power_cut(&dice, odds), state.capacity)
    }

    /// The disk after the process was killed at this moment: everything written is there, nothing more is durable than before.
    #[must_use]
    pub fn kill(&self) -> Self {
        let state = self.lock_state();
        Self::from_tree(state.tree.clone(), state.capacity)
    }

    /// How many operations that change something were asked for so far. Reading is not counted.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock_state().operations
    }

    /// Whether a [`SimFault::Cut`] has happened.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.lock_state().cut
    }

    /// Whether any fault asked for with [`SimDisk::fail_at`] has happened.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.lock_state().failed
    }

    /// Every file, sorted by path.
    #[must_use]
    pub fn list_files(&self) -> Vec<PathBuf> {
        let files = self.lock_state().tree.files();
        files.into_iter().map(|(path, _)| path).collect()
    }

    fn from_tree(tree: Tree, capacity: Option<u64>) -> Self {
        let state = State {
            tree,
            operations: 0,
            faults: BTreeMap::new(),
            cut: false,
            failed: false,
            capacity,
            unreadable: BTreeSet::new(),
            reads_now: false,
            bad_read: None,
            locks: BTreeSet::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Refuses everything once the power is gone.
    fn check_power(&self) -> io::Result<()> {
        if self.cut { Err(cut()) } else { Ok(()) }
    }

    /// Counts an operation and says how it is to fail, if at all.
    fn count(&mut self) -> io::Result<Option<SimFault>> {
        self.check_power()?;
        self.operations += 1;
        let fault = self.faults.get(&self.operations).copied();
        self.cut |= fault == Some(SimFault::Cut);
        self.failed |= fault.is_some();
        Ok(fault)
    }

    /// A change of names: done, done and then cut off, or refused.
    fn change<T>(&mut self, change: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        match self.count()? {
            None => change(self),
            Some(SimFault::Cut) => {
                let _ = change(self);
                Err(cut())
            }
            Some(SimFault::Eio) => Err(eio()),
            Some(SimFault::Enospc) => Err(enospc()),
        }
    }

    fn write(&mut self, id: NodeId, bytes: &[u8], offset: usize) -> io::Result<()> {
        let fault = self.count()?;
        let (allowed, outcome) = match fault {
            None => (bytes.len(), Ok(())),
            Some(fault) => {
                let dice = SeededEntropy::new(self.operations);
                (pick(&dice, bytes.len() + 1), Err(error_of(fault)))
            }
        };
        let fits = self.room_for(id, offset, bytes.len())?;
        let outcome = if fits < bytes.len() {
            outcome.and(Err(enospc()))
        } else {
            outcome
        };
        let content = self.tree.content_mut(id)?;
        content.write(offset, &bytes[..allowed.min(fits)]);
        outcome
    }

    /// How many of `length` bytes at `offset` fit onto the disk.
    fn room_for(&self, id: NodeId, offset: usize, length: usize) -> io::Result<usize> {
        let Some(capacity) = self.capacity else {
            return Ok(length);
        };
        let held = self.tree.content(id)?.len();
        let growth = (offset + length).saturating_sub(held) as u64;
        let free = capacity.saturating_sub(self.tree.used());
        let missing = growth.saturating_sub(free);
        Ok(length.saturating_sub(usize::try_from(missing).unwrap_or(usize::MAX)))
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.lock_state();
        state.check_power()?;
        let id = match mode {
            OpenMode::Read | OpenMode::Write => state.tree.find_file(path)?,
            OpenMode::CreateNew => state.change(|state| state.tree.create_file(path))?,
        };
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            id,
            writable: mode != OpenMode::Read,
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        state.change(|state| state.tree.create_dir_all(path, !state.cut))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.lock_state();
        state.check_power()?;
        let names = state.tree.list(path)?;
        Ok(names
            .into_iter()
            .map(|(name, is_dir)| DirEntry { name, is_dir })
            .collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.lock_state()
            .change(|state| state.tree.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.lock_state()
            .change(|state| state.tree.remove(path, false))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.lock_state()
            .change(|state| state.tree.remove(path, true))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock_state();
        match state.count()? {
            None => state.tree.sync_dir(path),
            Some(fault) => Err(error_of(fault)),
        }
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let state = self.lock_state();
        state.check_power()?;
        let capacity = state.capacity.unwrap_or(1 << 50);
        Ok(capacity.saturating_sub(state.tree.used()))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut state = self.lock_state();
        state.check_power()?;
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock {
            disk: self.clone(),
            path: path.to_owned(),
        }))
    }
}

struct SimFile {
    disk: SimDisk,
    id: NodeId,
    writable: bool,
}

impl SimFile {
    fn writable(&self) -> io::Result<()> {
        if self.writable {
            Ok(())
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.lock_state();
        state.check_power()?;
        if let Some(number) = state.bad_read.filter(|number| *number > 0) {
            state.bad_read = Some(number - 1);
            if number == 1 {
                return Err(eio());
            }
        }
        if state.unreadable.contains(&self.id) {
            return Err(eio());
        }
        Ok(state.tree.content(self.id)?.read(buffer, position(offset)?))
    }

    fn read_now_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if !self.disk.lock_state().reads_now {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.writable()?;
        self.disk
            .lock_state()
            .write(self.id, bytes, position(offset)?)
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.disk.lock_state();
        state.check_power()?;
        Ok(state.tree.content(self.id)?.len() as u64)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.writable()?;
        let length = position(length)?;
        self.disk.lock_state().change(|state| {
            let held = state.tree.content(self.id)?.len();
            if state.room_for(self.id, held, length.saturating_sub(held))?
                < length.saturating_sub(held)
            {
                return Err(enospc());
            }
            state.tree.content_mut(self.id)?.set_len(length);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.lock_state();
        match state.count()? {
            None => state.tree.content_mut(self.id)?.sync(),
            Some(SimFault::Cut) => return Err(cut()),
            Some(fault) => {
                state.tree.content_mut(self.id)?.fail_sync();
                return Err(error_of(fault));
            }
        }
        Ok(())
    }
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.lock_state().locks.remove(&self.path);
    }
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

fn error_of(fault: SimFault) -> io::Error {
    match fault {
        SimFault::Cut => cut(),
        SimFault::Eio => eio(),
        SimFault::Enospc => enospc(),
    }
}

fn cut() -> io::Error {
    io::Error::other("the simulated power is off")
}

fn eio() -> io::Error {
    io::Error::other("simulated input/output error")
}

fn enospc() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "simulated full disk")
}
