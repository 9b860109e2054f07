//! Segment files that are open for reading.

use std::fmt;
use std::sync::Arc;

use crate::{DiskFile, StreamId};

/// The name of a segment file among those of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileKey {
    pub(crate) stream: StreamId,
    /// The first sequence of the segment.
    pub(crate) first: u64,
    /// How often the segment was rewritten.
    pub(crate) revision: u32,
}

/// Open files, up to a number; the one that was used longest ago is closed for a new one.
pub(super) struct OpenFiles {
    count_max: usize,
    /// The last used one comes last.
    open: Vec<(FileKey, Arc<dyn DiskFile>)>,
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

    pub(super) fn get(&mut self, key: FileKey) -> Option<Arc<dyn DiskFile>> {
        let at = self.open.iter().rposition(|(known, _)| *known == key)?;
        let found = self.open.remove(at);
        let file = Arc::clone(&found.1);
        self.open.push(found);
        Some(file)
    }

    pub(super) fn insert(&mut self, key: FileKey, file: Arc<dyn DiskFile>) {
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
