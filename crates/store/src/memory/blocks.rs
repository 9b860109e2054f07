//! Parts of segment files that were read back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::FileKey;

/// What a kept block costs besides its bytes: its entry, its place in the queue, allocations.
const OVERHEAD: usize = 256;

/// Which part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// The records that begin in this block of the file, for those who read in order.
    Block(u32),
    /// The record that begins here, for those who want one message.
    Record(u32),
}

/// The name of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BlockKey {
    pub(crate) file: FileKey,
    pub(crate) place: Place,
}

/// Consecutive whole records of a segment file.
#[derive(Debug)]
pub(crate) struct Block {
    /// Where they begin in the file.
    pub(crate) from: u32,
    /// Where they should end; `bytes` may end before, when the file does.
    pub(crate) to: u32,
    pub(crate) bytes: Arc<Vec<u8>>,
    /// All records passed their check.
    pub(crate) is_sound: bool,
}

/// Blocks by name, up to a number of bytes. When there are more, the queue is gone through from its oldest end: what was used since
/// it was queued goes to the other end, what was not is let go.
#[derive(Debug)]
pub(super) struct Blocks {
    bytes_max: usize,
    bytes: usize,
    kept: HashMap<BlockKey, Kept>,
    queue: VecDeque<BlockKey>,
}

#[derive(Debug)]
struct Kept {
    block: Arc<Block>,
    was_used: bool,
}

impl Blocks {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            kept: HashMap::new(),
            queue: VecDeque::new(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&mut self, key: &BlockKey) -> Option<Arc<Block>> {
        let kept = self.kept.get_mut(key)?;
        kept.was_used = true;
        Some(Arc::clone(&kept.block))
    }

    pub(super) fn insert(&mut self, key: BlockKey, block: Arc<Block>) {
        self.bytes += cost(&block);
        let kept = Kept {
            block,
            was_used: false,
        };
        match self.kept.insert(key, kept) {
            // It has its place in the queue already.
            Some(before) => self.bytes -= cost(&before.block),
            None => self.queue.push_back(key),
        }
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.queue.pop_front() else {
                break;
            };
            match self.kept.get_mut(&oldest) {
                Some(kept) if kept.was_used => {
                    kept.was_used = false;
                    self.queue.push_back(oldest);
                }
                Some(_) => self.take(&oldest),
                None => {}
            }
        }
    }

    pub(super) fn remove(&mut self, key: &BlockKey) {
        if self.kept.contains_key(key) {
            self.take(key);
            self.queue.retain(|queued| queued != key);
        }
    }

    fn take(&mut self, key: &BlockKey) {
        if let Some(kept) = self.kept.remove(key) {
            self.bytes -= cost(&kept.block);
        }
    }
}

fn cost(block: &Block) -> usize {
    block.bytes.capacity() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StreamId;

    fn key(number: u32) -> BlockKey {
        BlockKey {
            file: FileKey {
                stream: StreamId(1),
                first: 1,
                revision: 0,
            },
            place: Place::Block(number),
        }
    }

    fn block(length: usize) -> Arc<Block> {
        Arc::new(Block {
            from: 0,
            to: 0,
            bytes: Arc::new(vec![0; length]),
            is_sound: true,
        })
    }

    fn kept(blocks: &mut Blocks, numbers: std::ops::Range<u32>) -> Vec<u32> {
        let is_kept = |number: &u32| blocks.kept.contains_key(&key(*number));
        numbers.filter(is_kept).collect()
    }

    #[test]
    fn what_is_used_outlives_what_passes_by() {
        let mut blocks = Blocks::new(10 * (1000 + OVERHEAD));
        for number in 0..1000 {
            blocks.insert(key(number), block(1000));
            // Two readers stay where they are while another one goes through everything.
            assert!(blocks.get(&key(0)).is_some() && blocks.get(&key(number.min(1))).is_some());
            assert!(blocks.bytes() <= 10 * (1000 + OVERHEAD), "{number}");
        }
        assert_eq!(kept(&mut blocks, 0..2), [0, 1]);
        assert_eq!(kept(&mut blocks, 0..1000).len(), 10);
    }

    #[test]
    fn a_block_that_is_replaced_or_removed_is_counted_once() {
        let mut blocks = Blocks::new(1 << 20);
        blocks.insert(key(1), block(1000));
        blocks.insert(key(1), block(3000));
        assert_eq!((blocks.bytes(), blocks.queue.len()), (3000 + OVERHEAD, 1));
        blocks.remove(&key(1));
        blocks.remove(&key(1));
        assert_eq!((blocks.bytes(), blocks.queue.len()), (0, 0));
    }

    #[test]
    fn a_block_larger_than_the_bound_is_not_kept() {
        let mut blocks = Blocks::new(1000);
        blocks.insert(key(1), block(5000));
        assert!(blocks.get(&key(1)).is_none());
        assert_eq!((blocks.bytes(), blocks.queue.len()), (0, 0));
    }
}
