//! Rendered bytes on their way to one connection.

use std::ops::Range;
use std::sync::Arc;

/// Bytes to be written to one connection: copied ones in one buffer, and between them slices shared with other
/// connections (large payloads that go to several receivers).
#[derive(Clone, Debug, Default)]
pub struct OutBatch {
    inline: Vec<u8>,
    shared: Vec<SharedPiece>,
    shared_bytes: usize,
}

/// A shared slice that belongs behind the first `at` inline bytes.
#[derive(Clone, Debug)]
struct SharedPiece {
    at: usize,
    bytes: Arc<[u8]>,
    range: Range<usize>,
}

/// One run of bytes of an [`OutBatch`].
#[derive(Clone, Debug)]
pub enum Piece<'a> {
    /// Bytes inside the batch.
    Inline(&'a [u8]),
    /// A slice that others share.
    Shared(&'a Arc<[u8]>, Range<usize>),
}

impl OutBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies bytes to the end.
    pub fn push(&mut self, bytes: &[u8]) {
        self.inline.extend_from_slice(bytes);
    }

    /// Copies two runs of bytes to the end.
    #[inline]
    pub(crate) fn push_both(&mut self, first: &[u8], second: &[u8]) {
        self.inline.reserve(first.len() + second.len());
        self.inline.extend_from_slice(first);
        self.inline.extend_from_slice(second);
    }

    /// Adds a message that is forwarded; see [`everjet_wire::put_forwarded`].
    pub(crate) fn push_forwarded(&mut self, subject: &[u8], sid: &[u8], rest: &[u8]) {
        everjet_wire::put_forwarded(&mut self.inline, subject, sid, rest);
    }

    /// Adds a part of a shared slice to the end without copying it.
    ///
    /// # Panics
    /// When `range` is not inside `bytes`.
    pub fn push_shared(&mut self, bytes: Arc<[u8]>, range: Range<usize>) {
        assert!(range.start <= range.end && range.end <= bytes.len());
        self.shared_bytes += range.len();
        self.shared.push(SharedPiece {
            at: self.inline.len(),
            bytes,
            range,
        });
    }

    /// Forgets all bytes, keeping the buffer.
    pub fn clear(&mut self) {
        self.inline.clear();
        self.shared.clear();
        self.shared_bytes = 0;
    }

    /// The runs of bytes in order. None is empty.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let ends = self.shared.iter().map(|piece| piece.at);
        let ends = ends.chain(std::iter::once(self.inline.len()));
        let mut start = 0;
        ends.enumerate()
            .flat_map(move |(index, end)| {
                let inline = Piece::Inline(&self.inline[start..end]);
                start = end;
                let shared = self.shared.get(index);
                let shared = shared.map(|piece| Piece::Shared(&piece.bytes, piece.range.clone()));
                std::iter::once(inline).chain(shared)
            })
            .filter(|piece| !piece.as_bytes().is_empty())
    }

    /// All bytes, when none of them is shared: the usual case, and the cheap one.
    #[must_use]
    pub fn as_inline(&self) -> Option<&[u8]> {
        self.shared.is_empty().then_some(&self.inline)
    }

    /// Number of bytes.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.inline.len() + self.shared_bytes
    }

    /// Whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The buffer that copied bytes are appended to.
    pub(crate) fn inline_mut(&mut self) -> &mut Vec<u8> {
        &mut self.inline
    }

    /// Empties the batch and gives its memory back when it grew past `capacity_max` bytes.
    pub(crate) fn recycle(&mut self, capacity_max: usize) {
        self.clear();
        if self.inline.capacity() > capacity_max {
            self.inline = Vec::new();
        }
    }
}

impl From<Vec<u8>> for OutBatch {
    /// A batch of bytes that are not copied.
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            inline: bytes,
            ..Self::default()
        }
    }
}

impl<'a> Piece<'a> {
    /// The bytes of the run.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        match self {
            Self::Inline(bytes) => bytes,
            Self::Shared(bytes, range) => &bytes[range.clone()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_and_shared_bytes_keep_their_order() {
        let shared: Arc<[u8]> = Arc::from(&b"0123456789"[..]);
        let mut batch = OutBatch::new();
        assert_eq!(batch.pieces().count(), 0);
        batch.push_shared(shared.clone(), 0..3);
        batch.push(b"ab");
        batch.push(b"cd");
        batch.push_shared(shared.clone(), 4..4);
        batch.push_shared(shared.clone(), 8..10);
        batch.push(b"ef");
        let pieces: Vec<&[u8]> = batch.pieces().map(|piece| piece.as_bytes()).collect();
        assert_eq!(pieces, [&b"012"[..], b"abcd", b"89", b"ef"]);
        assert_eq!(batch.len(), 11);
        assert_eq!(batch.as_inline(), None);
        batch.clear();
        assert!(batch.is_empty());
        assert_eq!(Arc::strong_count(&shared), 1);
        batch.push(b"x");
        assert_eq!(batch.as_inline(), Some(&b"x"[..]));
    }
}
