//! Segment files that are open for reading.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{DiskFile, StreamId};

/// What is read with a message that somebody wants by itself and that is on the device only. Whoever wants one message of a stream
/// wants others, a device takes hardly longer for this much than for one page, and waking a thread to wait for it costs more than both.
pub(crate) const WINDOW_BYTES: u32 = 256 << 10;
/// Windows of the longest segment, in words of 64.
const WINDOW_WORDS: usize = (1 << 31) / WINDOW_BYTES as usize / 64;

/// The name of a segment file among those of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileKey {
    pub(crate) stream: StreamId,
    /// The first sequence of the segment.
    pub(crate) first: u64,
    /// How often the segment was rewritten.
    pub(crate) revision: u32,
}

/// A segment file that is open, and which windows of it were read: those the operating system most likely has in memory. To ask it
/// for others would have it begin to read a single page, on a thread that has other things to do.
pub(crate) struct OpenFile {
    pub(crate) file: Arc<dyn DiskFile>,
    windows: [AtomicU64; WINDOW_WORDS],
}

impl OpenFile {
    pub(super) fn new(file: Arc<dyn DiskFile>) -> Self {
        Self {
            file,
            windows: [const { AtomicU64::new(0) }; WINDOW_WORDS],
        }
    }

    /// Whether the window of this offset was read, and nothing was heard of its being gone since.
    pub(crate) fn was_read(&self, offset: u32) -> bool {
        let (word, bit) = self.window(offset);
        word.is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// Notes that the window of this offset was read, or that the operating system has let it go.
    pub(crate) fn note(&self, offset: u32, was_read: bool) {
        let (word, bit) = self.window(offset);
        match word {
            Some(word) if was_read => word.fetch_or(bit, Ordering::Relaxed),
            Some(word) => word.fetch_and(!bit, Ordering::Relaxed),
            None => 0,
        };
    }

    fn window(&self, offset: u32) -> (Option<&AtomicU64>, u64) {
        let window = (offset / WINDOW_BYTES) as usize;
        (self.windows.get(window / 64), 1 << (window % 64))
    }
}

/// Open files, up to a number; the one that was used longest ago is closed for a new one.
pub(super) struct OpenFiles {
    count_max: usize,
    /// The last used one comes last.
    open: Vec<(FileKey, Arc<OpenFile>)>,
}

impl OpenFiles {
    pub(super) fn new(count_max: usize) -> Self {
        Self {
            count_max: count_max.max(1),
            open: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn get(&mut self, key: FileKey) -> Option<Arc<OpenFile>> {
        let at = self.open.iter().rposition(|(known, _)| *known == key)?;
        self.open.get_mut(at..)?.rotate_left(1);
        self.open.last().map(|(_, file)| Arc::clone(file))
    }

    pub(super) fn insert(&mut self, key: FileKey, file: Arc<OpenFile>) {
        self.close(|known| known == key);
        if self.open.len() == self.count_max {
            self.open.remove(0);
        }
        self.open.push((key, file));
    }

    pub(super) fn close(&mut self, is_gone: impl Fn(FileKey) -> bool) {
        self.open.retain(|(key, _)| !is_gone(*key));
    }
}

impl fmt::Debug for OpenFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.open.iter().map(|(key, _)| key);
        f.debug_list().entries(keys).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{Disk, OpenMode, SimDisk};

    #[test]
    fn each_window_is_noted_by_itself_up_to_the_longest_segment() {
        let disk = SimDisk::default();
        let file = disk.open(Path::new("/a"), OpenMode::CreateNew);
        let open = OpenFile::new(file.expect("the disk works"));
        let last = i32::MAX.cast_unsigned();
        for offset in [0, WINDOW_BYTES, 64 * WINDOW_BYTES + 1, last] {
            assert!(!open.was_read(offset));
            open.note(offset, true);
            assert!(open.was_read(offset));
            assert!(open.was_read(offset / WINDOW_BYTES * WINDOW_BYTES));
        }
        open.note(WINDOW_BYTES, false);
        assert!(!open.was_read(2 * WINDOW_BYTES - 1) && open.was_read(WINDOW_BYTES - 1));
        // Behind the longest segment there is nothing to note.
        open.note(u32::MAX, true);
        assert!(!open.was_read(u32::MAX));
    }
}
