//! Bytes that a socket did not take yet.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::ops::Range;
use std::sync::Arc;

use everjet_routing::{OutBatch, Piece};

/// Copied bytes are kept in blocks of this size, so that many small batches do not become many allocations.
const BLOCK_BYTES: usize = 64 * 1024;

/// Runs written by one call.
const SLICES_MAX: usize = 64;

/// A queue of unsent bytes. Owns no memory while it is empty.
#[derive(Debug, Default)]
pub(crate) struct PendingQueue {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that are already written.
    written: usize,
    len: usize,
}

#[derive(Debug)]
enum Chunk {
    Inline(Vec<u8>),
    Shared(Arc<[u8]>, Range<usize>),
}

impl Chunk {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline(bytes) => bytes,
            Self::Shared(bytes, range) => &bytes[range.clone()],
        }
    }
}

impl PendingQueue {
    /// Adds what follows the first `skip` bytes of the batch.
    pub(crate) fn append(&mut self, batch: &OutBatch, mut skip: usize) {
        for piece in batch.pieces() {
            let size = piece.as_bytes().len();
            if skip >= size {
                skip -= size;
                continue;
            }
            match piece {
                Piece::Inline(bytes) => self.append_copy(&bytes[skip..]),
                Piece::Shared(bytes, range) => {
                    let range = range.start + skip..range.end;
                    self.len += range.len();
                    self.chunks.push_back(Chunk::Shared(bytes.clone(), range));
                }
            }
            skip = 0;
        }
    }

    /// Writes as much as the socket takes, and returns how much that was.
    ///
    /// # Errors
    /// What the socket reports, except that it takes nothing more now.
    pub(crate) fn write_to(&mut self, mut socket: impl Write) -> io::Result<usize> {
        let mut total = 0;
        while self.len > 0 {
            if self.chunks.len() == 1
                && let Some(Chunk::Inline(only)) = self.chunks.front()
            {
                let Some(count) = taken(socket.write(&only[self.written..]))? else {
                    break;
                };
                self.advance(count);
                total += count;
                continue;
            }
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut used = 0;
            for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
                let skip = if used == 0 { self.written } else { 0 };
                *slice = IoSlice::new(&chunk.as_bytes()[skip..]);
                used += 1;
            }
            let Some(count) = taken(socket.write_vectored(&slices[..used]))? else {
                break;
            };
            self.advance(count);
            total += count;
        }
        Ok(total)
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn append_copy(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        if let Some(Chunk::Inline(last)) = self.chunks.back_mut() {
            let room = BLOCK_BYTES.saturating_sub(last.len()).min(bytes.len());
            last.extend_from_slice(&bytes[..room]);
            bytes = &bytes[room..];
        }
        if !bytes.is_empty() {
            // A client that is only a little late does not cost a whole block.
            let mut block = Vec::with_capacity(bytes.len().max(1024));
            block.extend_from_slice(bytes);
            self.chunks.push_back(Chunk::Inline(block));
        }
    }

    fn advance(&mut self, count: usize) {
        self.len -= count;
        self.written += count;
        while let Some(chunk) = self.chunks.front() {
            let size = chunk.as_bytes().len();
            if self.written < size {
                break;
            }
            self.written -= size;
            self.chunks.pop_front();
        }
        if self.len == 0 {
            self.clear();
        }
    }
}

/// Writes a batch, and returns how many of its bytes the socket took.
///
/// # Errors
/// What the socket reports, except that it takes nothing more now.
pub(crate) fn write_batch(mut socket: impl Write, batch: &OutBatch) -> io::Result<usize> {
    let Some(bytes) = batch.as_inline() else {
        return write_pieces(socket, batch);
    };
    let mut total = 0;
    while total < bytes.len() {
        match taken(socket.write(&bytes[total..]))? {
            Some(count) => total += count,
            None => break,
        }
    }
    Ok(total)
}

/// Writes a batch with shared slices, many runs per call. Falls back to the queue when the socket is full.
fn write_pieces(mut socket: impl Write, batch: &OutBatch) -> io::Result<usize> {
    let mut total = 0;
    let mut pieces = batch.pieces().peekable();
    while pieces.peek().is_some() {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut used = 0;
        let mut bytes = 0;
        for slice in &mut slices {
            let Some(piece) = pieces.next() else { break };
            *slice = IoSlice::new(piece.as_bytes());
            bytes += piece.as_bytes().len();
            used += 1;
        }
        let mut left = &mut slices[..used];
        let mut written = 0;
        while written < bytes {
            let Some(count) = taken(socket.write_vectored(left))? else {
                return Ok(total + written);
            };
            written += count;
            IoSlice::advance_slices(&mut left, count);
        }
        total += written;
    }
    Ok(total)
}

/// What a write call took; `None` when the socket takes nothing now.
fn taken(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Some(0)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that takes at most `step` bytes a call, and `room` in all.
    struct Narrow {
        step: usize,
        room: usize,
        taken: Vec<u8>,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.step).min(self.room);
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room -= count;
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn batch() -> (OutBatch, Vec<u8>) {
        let shared: Arc<[u8]> = (0..200u8).collect();
        let mut batch = OutBatch::new();
        batch.push(b"first");
        batch.push_shared(shared.clone(), 10..150);
        batch.push(b"second");
        batch.push_shared(shared, 0..3);
        let bytes = batch.pieces().flat_map(|piece| piece.as_bytes().to_vec());
        let bytes = bytes.collect();
        (batch, bytes)
    }

    #[test]
    fn what_the_socket_does_not_take_follows_later_whatever_the_cut() {
        let (batch, bytes) = batch();
        for cut in 0..=bytes.len() {
            for step in [1, 7, 1000] {
                let mut socket = Narrow {
                    step,
                    room: cut,
                    taken: Vec::new(),
                };
                let written = write_batch(&mut socket, &batch).expect("the socket is full only");
                assert_eq!(written, cut);
                let mut queue = PendingQueue::default();
                queue.append(&batch, written);
                assert_eq!(queue.len(), bytes.len() - cut);
                while !queue.is_empty() {
                    socket.room = 11;
                    queue
                        .write_to(&mut socket)
                        .expect("the socket is full only");
                }
                assert_eq!(socket.taken, bytes, "cut {cut}, step {step}");
                assert!(queue.chunks.is_empty());
            }
        }
    }

    #[test]
    fn small_batches_share_blocks() {
        let mut queue = PendingQueue::default();
        let mut batch = OutBatch::new();
        batch.push(&[7; 100]);
        for _ in 0..1000 {
            queue.append(&batch, 0);
        }
        assert_eq!(queue.len(), 100_000);
        assert_eq!(queue.chunks.len(), 2);
    }
}
