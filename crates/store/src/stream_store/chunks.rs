//! The bytes of a segment that are in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::memory::StoreMemory;

/// Less is not worth a piece of its own.
const EXPECTED_MIN: usize = 4 << 10;

/// Consecutive pieces of a segment: some frozen and shared, the last one open for appending. A record never spans two.
#[derive(Default)]
pub(super) struct Chunks {
    /// Ascending by start; pieces may be missing between them.
    frozen: VecDeque<Frozen>,
    open: Vec<u8>,
    open_start: u32,
    /// Messages in the open piece that were not released.
    open_messages: u32,
    /// Messages of the open piece were released, so it is not needed once none is left.
    open_released: bool,
}

struct Frozen {
    start: u32,
    messages: u32,
    bytes: Arc<Vec<u8>>,
}

/// Where pieces come from.
#[derive(Clone, Copy)]
pub(super) struct Supply<'a> {
    /// The size of a piece; a larger record gets one of its own.
    pub(super) chunk_bytes: usize,
    pub(super) memory: &'a StoreMemory,
}

/// Where bytes were found.
pub(super) enum Found<'a> {
    /// In the open piece.
    Open(&'a [u8]),
    /// In a piece that can be shared, from this position.
    Frozen(&'a Arc<Vec<u8>>, usize),
}

impl Chunks {
    /// The place to append `length` bytes at segment offset `at`; freezes the open piece when it would outgrow
    /// its size.
    #[inline]
    pub(super) fn space(&mut self, at: u32, length: usize, supply: Supply<'_>) -> &mut Vec<u8> {
        if !self.open.is_empty() && self.open.len() + length > supply.chunk_bytes {
            self.freeze();
        }
        if self.open.is_empty() {
            self.begin(at, length, supply);
        }
        &mut self.open
    }

    #[cold]
    fn begin(&mut self, at: u32, length: usize, supply: Supply<'_>) {
        self.open_start = at;
        // Small stores stay small: the first piece grows as needed, the following ones are made whole.
        if self.frozen.is_empty() || self.open.capacity() > 0 {
            return;
        }
        self.open = if length > supply.chunk_bytes {
            Vec::with_capacity(length)
        } else {
            supply.memory.buffer(supply.chunk_bytes)
        };
    }

    /// Makes room for `bytes` that are appended next: they are not moved while they come, and take no more memory than they need.
    /// No piece gets larger than `chunk_bytes` for it.
    pub(super) fn expect(&mut self, bytes: usize, chunk_bytes: usize) {
        let room = self.open.capacity() - self.open.len();
        let is_whole = self.open.capacity() >= chunk_bytes;
        if bytes <= room || bytes < EXPECTED_MIN || is_whole {
            return;
        }
        // What is there already would be moved, so it stays a piece of its own, unless it is next to nothing.
        if self.open.len() >= EXPECTED_MIN {
            self.freeze();
        }
        let room_max = chunk_bytes.saturating_sub(self.open.len());
        self.open.reserve_exact(bytes.min(room_max));
    }

    /// The place to append something small that is no message at segment offset `at`.
    pub(super) fn small_space(&mut self, at: u32) -> &mut Vec<u8> {
        if self.open.is_empty() {
            self.open_start = at;
        }
        &mut self.open
    }

    /// Notes that a message was appended.
    #[inline]
    pub(super) fn count_message(&mut self) {
        self.open_messages += 1;
    }

    /// Makes the open piece a shared one.
    pub(super) fn freeze(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let mut bytes = std::mem::take(&mut self.open);
        let messages = std::mem::take(&mut self.open_messages);
        if std::mem::take(&mut self.open_released) && messages == 0 {
            return;
        }
        if bytes.capacity() > bytes.len() + bytes.len() / 2 {
            bytes.shrink_to_fit();
        }
        self.frozen.push_back(Frozen {
            start: self.open_start,
            messages,
            bytes: Arc::new(bytes),
        });
    }

    /// Frees the piece at `offset` once all of its messages were released. For stores without files.
    pub(super) fn release_message(&mut self, offset: u32) {
        if !self.open.is_empty() && offset >= self.open_start {
            self.open_messages = self.open_messages.saturating_sub(1);
            self.open_released = true;
            return;
        }
        let at = self.at(offset);
        if let Some(chunk) = self.frozen.get_mut(at) {
            chunk.messages = chunk.messages.saturating_sub(1);
            if chunk.messages == 0 {
                self.frozen.remove(at);
            }
        }
    }

    /// Lets the first piece go when it begins at `start`.
    pub(super) fn pop_first(&mut self, start: u32) -> Option<Arc<Vec<u8>>> {
        self.frozen.front().filter(|chunk| chunk.start == start)?;
        self.frozen.pop_front().map(|chunk| chunk.bytes)
    }

    /// Replaces bytes that are in memory and were not taken for writing.
    pub(super) fn overwrite(&mut self, start: u32, bytes: &[u8]) {
        if !self.open.is_empty() && start >= self.open_start {
            overwrite(&mut self.open, (start - self.open_start) as usize, bytes);
            return;
        }
        let at = self.at(start);
        if let Some(chunk) = self.frozen.get_mut(at) {
            let from = (start - chunk.start) as usize;
            let bytes_of: &mut Vec<u8> = Arc::make_mut(&mut chunk.bytes);
            overwrite(bytes_of, from, bytes);
        }
    }

    /// The bytes from `start` to `end`, when they are in memory.
    #[inline]
    pub(super) fn find(&self, start: u32, end: u32) -> Option<Found<'_>> {
        let length = end.checked_sub(start)? as usize;
        if !self.open.is_empty() && start >= self.open_start {
            let from = (start - self.open_start) as usize;
            return self.open.get(from..from + length).map(Found::Open);
        }
        let chunk = self.frozen.get(self.at(start))?;
        let from = start.checked_sub(chunk.start)? as usize;
        (from + length <= chunk.bytes.len()).then_some(Found::Frozen(&chunk.bytes, from))
    }

    /// The shared pieces from `offset`, which is where one begins, with their starts.
    pub(super) fn frozen_from(&self, offset: u32) -> impl Iterator<Item = (u32, &Arc<Vec<u8>>)> {
        self.frozen
            .iter()
            .skip_while(move |chunk| chunk.start < offset)
            .map(|chunk| (chunk.start, &chunk.bytes))
    }

    /// Bytes in memory.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.open.len()
            + self
                .frozen
                .iter()
                .map(|chunk| chunk.bytes.len())
                .sum::<usize>()
    }

    /// Index of the last shared piece that begins at or before `offset`.
    fn at(&self, offset: u32) -> usize {
        self.frozen
            .partition_point(|chunk| chunk.start <= offset)
            .wrapping_sub(1)
    }
}

fn overwrite(piece: &mut [u8], from: usize, bytes: &[u8]) {
    if let Some(place) = piece.get_mut(from..from + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = 64 << 10;

    /// Appends `count` records of `length` bytes and returns where each lies in memory.
    fn append(chunks: &mut Chunks, at: &mut u32, count: usize, length: usize) {
        let memory = StoreMemory::new(crate::MemoryOptions::ALONE);
        let supply = Supply {
            chunk_bytes: CHUNK,
            memory: &memory,
        };
        for _ in 0..count {
            let byte = *at as u8;
            let space = chunks.space(*at, length, supply);
            space.resize(space.len() + length, byte);
            *at += length as u32;
        }
    }

    fn capacity(chunks: &Chunks) -> usize {
        let frozen = chunks.frozen.iter().map(|chunk| chunk.bytes.capacity());
        chunks.open.capacity() + frozen.sum::<usize>()
    }

    #[test]
    fn what_is_expected_is_not_moved_and_takes_no_more_than_it_needs() {
        let (mut chunks, mut at) = (Chunks::default(), 0);
        for round in 1..=5 {
            chunks.expect(100 * 90, CHUNK);
            let place = chunks.open.as_ptr();
            append(&mut chunks, &mut at, 100, 90);
            assert_eq!(chunks.open.as_ptr(), place);
            assert_eq!(capacity(&chunks), round * 100 * 90);
        }
        for start in (0..at).step_by(90) {
            let bytes = match chunks.find(start, start + 90) {
                Some(Found::Open(bytes)) => bytes,
                Some(Found::Frozen(bytes, from)) => &bytes[from..from + 90],
                None => panic!("the record at {start} is not there"),
            };
            assert_eq!(bytes, [start as u8; 90]);
        }
    }

    #[test]
    fn small_expectations_make_no_small_pieces() {
        let (mut chunks, mut at) = (Chunks::default(), 0);
        for _ in 0..100 {
            chunks.expect(90, CHUNK);
            append(&mut chunks, &mut at, 1, 90);
        }
        assert!(chunks.frozen.is_empty());
    }

    #[test]
    fn no_piece_outgrows_its_size_for_what_is_expected() {
        let (mut chunks, mut at) = (Chunks::default(), 0);
        append(&mut chunks, &mut at, 1, 90);
        chunks.expect(1 << 30, CHUNK);
        assert_eq!(capacity(&chunks), CHUNK);
        append(&mut chunks, &mut at, 2_000, 90);
        assert!(chunks.frozen.iter().all(|chunk| chunk.bytes.len() <= CHUNK));
    }
}
