//! Reads of what is not in memory any more.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Disk, DiskFile, Fault, OpenMode};

use super::file_id::{FileId, segment_path};

/// Files that are kept open.
const FILES_MAX: usize = 8;
/// How much is read at once for somebody who reads in order.
const BLOCK_BYTES: u32 = 256 << 10;

/// A few open files and the last block read. Bounded: 8 files and 256 KiB (or one larger message).
#[derive(Default)]
pub(super) struct Reader {
    // The lock is for `&self` only: whoever reads holds the stream's lock anyway.
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    /// The last used one comes last.
    files: Vec<(FileId, Arc<dyn DiskFile>)>,
    block: Option<Block>,
    /// Where the last read ended: the next one is in order when it begins soon after.
    last_end: Option<(FileId, u32)>,
}

struct Block {
    segment: FileId,
    start: u32,
    bytes: Arc<Vec<u8>>,
}

/// Why bytes could not be read.
pub(super) enum ReadFailure {
    /// The file is missing or too short.
    Missing,
    Fault(Fault),
}

impl Reader {
    /// The bytes `from..to` of a segment, of which the first `end` bytes are on disk: a shared buffer and where they
    /// begin in it.
    pub(super) fn read(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        segment: FileId,
        (from, to): (u32, u32),
        end: u32,
    ) -> Result<(Arc<Vec<u8>>, usize), ReadFailure> {
        let mut cache = self.cache();
        if let Some(found) = cache.find(segment, from, to) {
            cache.last_end = Some((segment, to));
            return Ok(found);
        }
        let in_order = cache.last_end.is_some_and(|(last, end)| {
            last == segment && (end..end.saturating_add(BLOCK_BYTES / 4)).contains(&from)
        });
        let until = if in_order {
            to.max(end.min(from.saturating_add(BLOCK_BYTES)))
        } else {
            to
        };
        let path = segment_path(dir, segment);
        let file = cache.file(disk, &path, segment)?;
        let mut bytes = vec![0; (until - from) as usize];
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, u64::from(from) + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) => return Err(ReadFailure::Fault(Fault::read(&path)(error))),
            }
        }
        if done < (to - from) as usize {
            return Err(ReadFailure::Missing);
        }
        bytes.truncate(done);
        let bytes = Arc::new(bytes);
        cache.last_end = Some((segment, to));
        cache.block = Some(Block {
            segment,
            start: from,
            bytes: Arc::clone(&bytes),
        });
        Ok((bytes, 0))
    }

    /// Whether [`Reader::read`] answers without the disk.
    pub(super) fn has(&self, segment: FileId, from: u32, to: u32) -> bool {
        self.cache().find(segment, from, to).is_some()
    }

    /// Forgets a segment whose file goes away, or whose bytes turned out wrong so that they are read again.
    pub(super) fn forget(&self, segment: FileId) {
        let mut cache = self.cache();
        cache.files.retain(|(first, _)| *first != segment);
        cache.block = cache.block.take().filter(|block| block.segment != segment);
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        // A panic while reading leaves at worst a block unset.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    fn find(&self, segment: FileId, from: u32, to: u32) -> Option<(Arc<Vec<u8>>, usize)> {
        let block = self
            .block
            .as_ref()
            .filter(|block| block.segment == segment)?;
        let start = from.checked_sub(block.start)? as usize;
        let end = to.checked_sub(block.start)? as usize;
        (end <= block.bytes.len()).then(|| (Arc::clone(&block.bytes), start))
    }

    fn file(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        segment: FileId,
    ) -> Result<Arc<dyn DiskFile>, ReadFailure> {
        let known = self.files.iter().position(|(first, _)| *first == segment);
        let file = match known {
            Some(at) => self.files.remove(at).1,
            None => disk
                .open(path, OpenMode::Read)
                .map_err(|error| match error.kind() {
                    std::io::ErrorKind::NotFound => ReadFailure::Missing,
                    _ => ReadFailure::Fault(Fault::open(path)(error)),
                })?,
        };
        if self.files.len() == FILES_MAX {
            self.files.remove(0);
        }
        self.files.push((segment, Arc::clone(&file)));
        Ok(file)
    }
}
