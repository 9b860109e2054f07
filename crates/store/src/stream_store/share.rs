//! A store's part of the memory that all stores of a server share.

use std::sync::Arc;

use crate::memory::StoreMemory;

use super::StreamStore;
use super::file_id::FileId;
use super::segment::Segment;

impl StreamStore {
    /// Uses `memory` from now on, together with the other stores of the server. Until then a store keeps to itself.
    pub fn share(&mut self, memory: &Arc<StoreMemory>) {
        let Some(files) = &self.files else { return };
        let stream = files.id;
        self.leave_memory();
        self.reader.memory = Arc::clone(memory);
        for piece in &mut self.tail {
            piece.mark = memory.add_tail(stream, piece.bytes);
        }
    }

    /// Lets recent messages that are on disk go from memory, up to the mark that [`StoreMemory::tail_excess`] gave.
    pub fn trim_tail(&mut self, mark: u64) {
        while self.tail.front().is_some_and(|piece| piece.mark <= mark) {
            self.drop_oldest_piece();
        }
    }

    /// Lets the oldest piece go that is on disk and in memory. Returns false when there is none.
    pub(super) fn drop_oldest_piece(&mut self) -> bool {
        let Some(piece) = self.tail.pop_front() else {
            return false;
        };
        self.uncount_tail(piece.bytes);
        let at = self.segments.binary_search_by_key(&piece.file, Segment::id);
        if let Some(segment) = at.ok().and_then(|at| self.segments.get_mut(at))
            && let Some(bytes) = segment.chunks.pop_first(piece.start)
        {
            let memory = &self.reader.memory;
            memory.keep_buffer(bytes, self.options.chunk_bytes);
        }
        true
    }

    /// Forgets what is in memory of a file that no segment owns any more.
    pub(super) fn forget_file(&mut self, file: FileId) {
        let bytes = |store: &Self| store.tail.iter().map(|piece| piece.bytes).sum::<usize>();
        let before = bytes(self);
        self.tail.retain(|piece| piece.file != file);
        self.uncount_tail(before - bytes(self));
        if let Some(files) = &self.files {
            let key = file.of(files.id);
            self.reader.memory.close_files(files.id, |open| open == key);
        }
    }

    /// Gives back everything that is accounted for this store.
    pub(super) fn leave_memory(&mut self) {
        if let Some(files) = &self.files {
            self.reader.memory.close_files(files.id, |_| true);
            self.reader.memory.remove_tail(files.id, self.tail_bytes);
        }
    }

    fn uncount_tail(&mut self, bytes: usize) {
        self.tail_bytes -= bytes;
        if let Some(files) = &self.files {
            self.reader.memory.remove_tail(files.id, bytes);
        }
    }
}
