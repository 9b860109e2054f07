//! What a store remembers of what was read back: the blocks of the current turn, and times.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everjet_values::{StreamSequence, Timestamp};

use crate::blocks::{Place, open};
use crate::memory::{BlockKey, FileKey, MemoryOptions, StoreMemory};
use crate::{Disk, DiskFile, Fault};

use super::cold::{Fetched, Outcome};

/// Blocks that a turn holds on to, so that each message need not ask the memory that all share.
const HELD_MAX: usize = 16;
/// Times that are remembered: a search by time looks at seven messages.
const TIMES_MAX: usize = 64;

/// Opens a segment file for reading: the only place that does. The second value: whether it is in blocks.
///
/// # Errors
/// [`Fault`]; one that [is missing](Fault::is_missing) when there is no such file.
pub(super) fn open_segment(
    disk: &dyn Disk,
    path: &Path,
    file: FileKey,
) -> Result<(Arc<dyn DiskFile>, bool), Fault> {
    open(disk, path, Place::segment(file)).map_err(Fault::open(path))
}

/// The way of one store to what is on disk.
pub(super) struct Reader {
    pub(super) memory: Arc<StoreMemory>,
    // The locks are for `&self` only: whoever reads holds the stream's lock anyway.
    held: Mutex<Vec<Fetched>>,
    times: Mutex<VecDeque<(u64, Option<Timestamp>)>>,
    /// What [`StreamStore::get`](crate::StreamStore::get) was asked for last.
    last_read: AtomicU64,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            memory: StoreMemory::new(MemoryOptions::ALONE),
            held: Mutex::default(),
            times: Mutex::default(),
            last_read: AtomicU64::new(0),
        }
    }
}

/// What is known of bytes on disk.
pub(super) enum Found {
    /// A buffer, where they begin in it, and whether they are known to be sound.
    Bytes(Arc<Vec<u8>>, usize, bool),
    /// The file is gone, or ends before.
    Missing,
    Fault(Fault),
    /// Nothing: they have to be read.
    Nothing,
}

impl Reader {
    /// The bytes `from..to` of a file, as far as they are in memory.
    pub(super) fn find(&self, keys: [BlockKey; 2], (from, to): (u32, u32)) -> Found {
        let mut held = lock(&self.held);
        let covers = |fetched: &&Fetched| {
            keys.contains(&fetched.key) && fetched.from <= from && to <= fetched.to
        };
        if let Some(fetched) = held.iter().rev().find(covers) {
            return fetched.outcome.part(from, to);
        }
        for key in keys {
            if let Some(block) = self.memory.block(&key, (from, to)) {
                if held.len() == HELD_MAX {
                    held.remove(0);
                }
                let outcome = Outcome::Block(Arc::clone(&block));
                let found = outcome.part(from, to);
                held.push(Fetched {
                    key,
                    from: block.from,
                    to: block.to,
                    outcome,
                });
                return found;
            }
        }
        Found::Nothing
    }

    /// Holds on to what was read, until [`Reader::release`].
    pub(super) fn hold(&self, fetched: impl IntoIterator<Item = Fetched>) {
        lock(&self.held).extend(fetched);
    }

    /// Lets go of what was held. Failures are forgotten with it: asking again may succeed.
    pub(super) fn release(&self) {
        lock(&self.held).clear();
    }

    /// Forgets blocks that turned out wrong, so that they are read again. This turn still goes on with them: there may be much
    /// in them that is right.
    pub(super) fn forget(&self, keys: [BlockKey; 2]) {
        for key in keys {
            self.memory.forget_block(&key);
        }
    }

    /// Notes who was asked for, and returns who was before.
    pub(super) fn swap_last_read(&self, sequence: StreamSequence) -> StreamSequence {
        StreamSequence(self.last_read.swap(sequence.0, Ordering::Relaxed))
    }

    /// The time of a message that was looked at before; inside, `None` when it could not be read.
    pub(super) fn known_time(&self, sequence: u64) -> Option<Option<Timestamp>> {
        let times = lock(&self.times);
        let known = times.iter().rev().find(|(known, _)| *known == sequence)?;
        Some(known.1)
    }

    pub(super) fn note_time(&self, sequence: u64, time: Option<Timestamp>) {
        let mut times = lock(&self.times);
        if times.len() == TIMES_MAX {
            times.pop_front();
        }
        times.push_back((sequence, time));
    }

    /// A search has come to its end: what could not be read then may be readable the next time.
    pub(super) fn forget_failures(&self) {
        lock(&self.times).retain(|(_, time)| time.is_some());
    }
}

impl Outcome {
    /// Bytes of the file from what was read.
    fn part(&self, from: u32, to: u32) -> Found {
        match self {
            Self::Block(block) => {
                let (start, end) = ((from - block.from) as usize, (to - block.from) as usize);
                if end <= block.bytes.len() {
                    Found::Bytes(Arc::clone(&block.bytes), start, block.is_sound)
                } else {
                    Found::Missing
                }
            }
            Self::Missing => Found::Missing,
            Self::Fault(fault) => Found::Fault(fault.clone()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while reading leaves at worst something unremembered.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
