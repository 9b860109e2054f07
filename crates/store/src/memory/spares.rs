//! Buffers that held messages and are to hold others.

/// Emptied buffers for pieces of segments. New memory comes from the operating system page by page, each cleared before, which
/// takes longer than all that is done for the messages that go there.
#[derive(Debug)]
pub(super) struct Spares {
    bytes_max: usize,
    bytes: usize,
    buffers: Vec<Vec<u8>>,
}

impl Spares {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            buffers: Vec::new(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The buffer that was kept last, if it is one for `bytes`.
    pub(super) fn take(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let buffer = self.buffers.pop_if(|buffer| is_for(buffer, bytes))?;
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    /// Keeps a buffer without what is in it for those who want `bytes`; frees it when it is not one of these, or too many are
    /// kept.
    pub(super) fn keep(&mut self, mut buffer: Vec<u8>, bytes: usize) {
        let capacity = buffer.capacity();
        if is_for(&buffer, bytes) && self.bytes + capacity <= self.bytes_max {
            buffer.clear();
            self.bytes += capacity;
            self.buffers.push(buffer);
        }
    }

    /// Lets all go; the caller gives them back to the operating system, when no lock is held.
    pub(super) fn release(&mut self) -> Vec<Vec<u8>> {
        self.bytes = 0;
        std::mem::take(&mut self.buffers)
    }
}

/// Whether a buffer has room for `bytes` and not much more.
fn is_for(buffer: &Vec<u8>, bytes: usize) -> bool {
    (bytes..=bytes.saturating_mul(2)).contains(&buffer.capacity())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = 32 << 10;

    fn full(capacity: usize) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(capacity);
        buffer.extend_from_slice(b"a message of somebody else");
        buffer
    }

    #[test]
    fn what_is_taken_again_is_empty_and_as_large_as_wished() {
        let mut spares = Spares::new(1 << 20);
        spares.keep(full(PIECE), PIECE);
        assert_eq!(spares.take(PIECE + 1), None, "too small");
        assert_eq!(spares.take(PIECE / 2 - 1), None, "much too large");
        let buffer = spares.take(PIECE).expect("it was kept");
        assert_eq!((buffer.len(), buffer.capacity()), (0, PIECE));
        assert_eq!((spares.take(PIECE), spares.bytes()), (None, 0));
    }

    #[test]
    fn no_more_is_kept_than_the_bound() {
        let mut spares = Spares::new(2 * PIECE + 1);
        spares.keep(full(PIECE / 2), PIECE);
        assert_eq!(spares.bytes(), 0, "too small for anybody");
        for _ in 0..3 {
            spares.keep(full(PIECE), PIECE);
        }
        assert_eq!(spares.bytes(), 2 * PIECE);
        assert_eq!(spares.release().len(), 2);
        assert_eq!((spares.take(PIECE), spares.bytes()), (None, 0));
    }
}
