//! Memory and open files that the stores of a server share. Each kind has a bound of its own, so that reading old messages takes
//! nothing from the recent ones.

mod blocks;
mod files;
mod spares;
mod tails;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{DiskFile, Fault, StreamId};

use blocks::Blocks;
use files::OpenFiles;
use spares::Spares;
use tails::Tails;

pub(crate) use blocks::{Block, BlockKey, Place};
pub(crate) use files::{FileKey, OpenFile, WINDOW_BYTES};

/// Sizes of what the stores of a server share. They bound memory and never change what the stores answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryOptions {
    /// Memory for what was read back from segment files. Default 64 MiB.
    pub read_bytes_max: usize,
    /// Memory for recent messages that are already on disk, of all streams together; each stream has
    /// [`StoreOptions::tail_bytes_max`](crate::StoreOptions::tail_bytes_max) at most. Default 256 MiB.
    pub tail_bytes_max: usize,
    /// Segment files that are kept open for reading. Default 128.
    pub open_files_max: usize,
    /// Memory that held messages and is kept to hold the next ones, while messages come. Default 64 MiB.
    pub spare_bytes_max: usize,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self {
            read_bytes_max: 64 << 20,
            tail_bytes_max: 256 << 20,
            open_files_max: 128,
            spare_bytes_max: 64 << 20,
        }
    }
}

impl MemoryOptions {
    /// For a store that shares with nobody: while it is being opened, and in tools.
    pub(crate) const ALONE: Self = Self {
        read_bytes_max: 2 << 20,
        tail_bytes_max: usize::MAX,
        open_files_max: 8,
        spare_bytes_max: 0,
    };
}

/// What the stores of a server share: blocks read from segment files, open files, the account of recent messages in memory, and
/// memory for the next ones.
///
/// Safe to use from many threads; no lock is held during an operation of the disk.
#[derive(Debug)]
pub struct StoreMemory {
    blocks: Mutex<Blocks>,
    files: Mutex<OpenFiles>,
    tails: Mutex<Tails>,
    spares: Mutex<Spares>,
}

/// Bytes that are held, for those who watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Blocks that were read back.
    pub read_bytes: usize,
    /// Recent messages that are on disk already.
    pub tail_bytes: usize,
    /// Segment files open for reading.
    pub open_files: usize,
    /// Memory for messages to come.
    pub spare_bytes: usize,
}

impl StoreMemory {
    /// Nothing held yet.
    #[must_use]
    pub fn new(options: MemoryOptions) -> Arc<Self> {
        Arc::new(Self {
            blocks: Mutex::new(Blocks::new(options.read_bytes_max)),
            files: Mutex::new(OpenFiles::new(options.open_files_max)),
            tails: Mutex::new(Tails::new(options.tail_bytes_max)),
            spares: Mutex::new(Spares::new(options.spare_bytes_max)),
        })
    }

    /// What is held now.
    #[must_use]
    pub fn usage(&self) -> MemoryUse {
        MemoryUse {
            read_bytes: lock(&self.blocks).bytes(),
            tail_bytes: lock(&self.tails).bytes(),
            open_files: lock(&self.files).len(),
            spare_bytes: lock(&self.spares).bytes(),
        }
    }

    /// The streams that hold too much of the memory for recent messages, each with the mark for
    /// [`StreamStore::trim_tail`](crate::StreamStore::trim_tail). Empty as long as all fits.
    ///
    /// The oldest go first, whoever's they are; but nobody loses what is within an equal share, so that one busy stream does not
    /// cost a thousand others their last messages.
    #[must_use]
    pub fn tail_excess(&self) -> Vec<(StreamId, u64)> {
        lock(&self.tails).excess()
    }

    /// The block under `key` that was read before, when it covers `from..to`.
    pub(crate) fn block(&self, key: &BlockKey, (from, to): (u32, u32)) -> Option<Arc<Block>> {
        let block = lock(&self.blocks).get(key)?;
        (block.from <= from && to <= block.to).then_some(block)
    }

    /// Keeps a block for those who come later.
    pub(crate) fn keep_block(&self, key: BlockKey, block: &Arc<Block>) {
        lock(&self.blocks).insert(key, Arc::clone(block));
    }

    /// Lets a block go that turned out wrong, so that it is read again.
    pub(crate) fn forget_block(&self, key: &BlockKey) {
        lock(&self.blocks).remove(key);
    }

    /// The file, when it is open.
    pub(crate) fn open_file(&self, key: FileKey) -> Option<Arc<OpenFile>> {
        lock(&self.files).get(key)
    }

    /// The open file, opened by `open` when it is not yet.
    pub(crate) fn file(
        &self,
        key: FileKey,
        open: impl FnOnce() -> Result<Arc<dyn DiskFile>, Fault>,
    ) -> Result<Arc<OpenFile>, Fault> {
        let known = lock(&self.files).get(key);
        if let Some(file) = known {
            return Ok(file);
        }
        let file = Arc::new(OpenFile::new(open()?));
        lock(&self.files).insert(key, Arc::clone(&file));
        Ok(file)
    }

    /// Closes the files of a stream that `is_gone` selects.
    pub(crate) fn close_files(&self, stream: StreamId, is_gone: impl Fn(FileKey) -> bool) {
        lock(&self.files).close(|key| key.stream == stream && is_gone(key));
    }

    /// Notes that a stream keeps so many more bytes of recent messages, and returns the mark of these.
    pub(crate) fn add_tail(&self, stream: StreamId, bytes: usize) -> u64 {
        lock(&self.tails).add(stream, bytes)
    }

    /// Notes that a stream keeps so many bytes less.
    pub(crate) fn remove_tail(&self, stream: StreamId, bytes: usize) {
        lock(&self.tails).remove(stream, bytes);
    }

    /// An empty buffer with room for `bytes`.
    pub(crate) fn buffer(&self, bytes: usize) -> Vec<u8> {
        let spare = lock(&self.spares).take(bytes);
        spare.unwrap_or_else(|| Vec::with_capacity(bytes))
    }

    /// Keeps a buffer for whoever asks [`StoreMemory::buffer`] for as many `bytes`, unless somebody reads it still.
    pub(crate) fn keep_buffer(&self, buffer: Arc<Vec<u8>>, bytes: usize) {
        if let Ok(buffer) = Arc::try_unwrap(buffer) {
            lock(&self.spares).keep(buffer, bytes);
        }
    }

    /// Gives back memory that is kept for messages to come. For when none have come lately.
    pub fn release_spares(&self) {
        let spares = lock(&self.spares).release();
        drop(spares);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in between leaves at worst something uncounted or unkept.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
