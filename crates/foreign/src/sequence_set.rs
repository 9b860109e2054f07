//! Sets of sequences, and how nats-server writes them.

use std::collections::HashMap;

use crate::input::Input;

/// Sequences that share a node: 32 words of 64 bits.
const NODE_BITS: u64 = 2048;
const WORDS: usize = 32;
const MAGIC: u8 = 22;

/// A set of sequences: 256 bytes for every run of 2,048 in which there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SequenceSet {
    nodes: HashMap<u64, Box<[u64; WORDS]>>,
}

impl SequenceSet {
    /// Adds a sequence.
    pub fn insert(&mut self, sequence: u64) {
        let node = self.node(sequence / NODE_BITS);
        let bit = sequence % NODE_BITS;
        if let Some(word) = node.get_mut(word(bit)) {
            *word |= 1 << (bit % 64);
        }
    }

    /// Whether a sequence is in it.
    #[must_use]
    pub fn contains(&self, sequence: u64) -> bool {
        let bit = sequence % NODE_BITS;
        self.nodes
            .get(&(sequence / NODE_BITS))
            .and_then(|node| node.get(word(bit)))
            .is_some_and(|word| word & (1 << (bit % 64)) != 0)
    }

    /// How many sequences are in it.
    #[must_use]
    pub fn len(&self) -> u64 {
        let ones = |node: &[u64; WORDS]| node.iter().map(|word| u64::from(word.count_ones())).sum();
        self.nodes.values().map(|node| -> u64 { ones(node) }).sum()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the sequences of an encoded set.
    ///
    /// ```text
    ///  0  u8   magic 22     1  u8  version: 2; 1 with nodes of 64 words
    ///  2  u32  nodes        6  u32 sequences
    /// 10       nodes: first sequence u64, 32 words u64, height u16
    /// ```
    pub(crate) fn decode_into(&mut self, input: &mut Input<'_>) -> Option<()> {
        if input.byte()? != MAGIC {
            return None;
        }
        let words = match input.byte()? {
            1 => 64,
            2 => WORDS,
            _ => return None,
        };
        let nodes = input.u32()?;
        let _sequences = input.u32()?;
        for _ in 0..nodes {
            let base = input.u64()?;
            // Nodes begin at a multiple of what they hold.
            if !base.is_multiple_of(words as u64 * 64) {
                return None;
            }
            for at in 0..words as u64 {
                let word = input.u64()?;
                if word != 0 {
                    self.merge(base.checked_add(at * 64)?, word);
                }
            }
            let _height = input.take(2)?;
        }
        Some(())
    }

    /// Adds the sequences from `first`, a multiple of 64, whose bits are set.
    fn merge(&mut self, first: u64, bits: u64) {
        let node = self.node(first / NODE_BITS);
        if let Some(word) = node.get_mut(word(first % NODE_BITS)) {
            *word |= bits;
        }
    }

    fn node(&mut self, number: u64) -> &mut [u64; WORDS] {
        self.nodes
            .entry(number)
            .or_insert_with(|| Box::new([0; WORDS]))
    }
}

fn word(bit: u64) -> usize {
    usize::try_from(bit / 64).expect("below 32")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inserted_is_in_it_and_nothing_else() {
        let mut set = SequenceSet::default();
        assert!(set.is_empty());
        for sequence in [0, 63, 64, 2047, 2048, u64::MAX] {
            assert!(!set.contains(sequence));
            set.insert(sequence);
            set.insert(sequence);
            assert!(set.contains(sequence));
        }
        assert!(!set.contains(1) && !set.contains(2049));
        assert_eq!(set.len(), 6);
    }

    #[test]
    fn both_versions_are_read() {
        let check = |version: u8, words: usize| {
            let mut bytes = vec![22, version];
            bytes.extend_from_slice(&1_u32.to_le_bytes());
            bytes.extend_from_slice(&2_u32.to_le_bytes());
            bytes.extend_from_slice(&4096_u64.to_le_bytes());
            for word in 0..words {
                let bits: u64 = match word {
                    0 => 1 << 5,
                    last if last == words - 1 => 1 << 63,
                    _ => 0,
                };
                bytes.extend_from_slice(&bits.to_le_bytes());
            }
            bytes.extend_from_slice(&[1, 0, 99]);
            let mut input = Input(&bytes);
            let mut set = SequenceSet::default();
            assert_eq!(set.decode_into(&mut input), Some(()));
            assert_eq!(input.0, [99]);
            assert!(set.contains(4101) && set.contains(4096 + words as u64 * 64 - 1));
            assert_eq!(set.len(), 2);
            for length in 0..bytes.len() - 1 {
                let mut set = SequenceSet::default();
                assert_eq!(set.decode_into(&mut Input(&bytes[..length])), None);
            }
        };
        check(1, 64);
        check(2, 32);
    }
}
