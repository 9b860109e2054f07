//! Which messages of a segment were removed since a record said so the last time: a bit a slot.

use std::ops::Range;

use crate::segment::Run;

use super::segment::Segment;

/// Slots whose messages were removed and that no removal record names yet. Removals come in any order and are said in
/// that of their sequences, so that nothing has to be sorted.
#[derive(Default)]
pub(super) struct Unsaid {
    /// A bit a slot; as long as it has to be.
    words: Vec<u64>,
}

impl Unsaid {
    /// Whether there is nothing to be said.
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Notes a slot of a segment with `slots` slots.
    #[inline]
    pub(super) fn add(&mut self, slot: usize, slots: usize) {
        let at = slot / 64;
        if at >= self.words.len() {
            // At once for all slots that there are: removals that come in order must not make it grow word by word.
            self.words.resize(slots.div_ceil(64).max(at + 1), 0);
        }
        if let Some(word) = self.words.get_mut(at) {
            *word |= 1 << (slot % 64);
        }
    }

    /// The slots, as runs, ascending. They count as said.
    fn take(&mut self) -> Vec<Range<usize>> {
        let words = std::mem::take(&mut self.words);
        let mut runs: Vec<Range<usize>> = Vec::new();
        for (at, mut word) in words.into_iter().enumerate() {
            while word != 0 {
                let skipped = word.trailing_zeros() as usize;
                let length = (!(word >> skipped)).trailing_zeros() as usize;
                let start = at * 64 + skipped;
                match runs.last_mut() {
                    Some(last) if last.end == start => last.end += length,
                    _ => runs.push(start..start + length),
                }
                let end = skipped + length;
                word &= u64::MAX.checked_shl(end as u32).unwrap_or(0);
            }
        }
        runs
    }
}

impl Segment {
    /// Adds the sequences whose removal has to be said to `out`, ascending. They count as said.
    pub(super) fn say_removed(&mut self, out: &mut Vec<Run>) {
        let runs = self.unsaid.take();
        // A sequence without a slot between two of a run holds nothing either.
        out.extend(runs.into_iter().map(|run| Run {
            first: self.sequence(run.start),
            last: self.sequence(run.end - 1),
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use everjet_values::{Entropy, SeededEntropy};

    use super::*;

    #[test]
    fn what_was_added_comes_back_as_runs_once() {
        let dice = SeededEntropy::new(1);
        for (count, below) in [(0, 1), (1, 1), (40, 64), (64, 64), (500, 1000), (5000, 700)] {
            let mut unsaid = Unsaid::default();
            let mut expected = BTreeSet::new();
            for _ in 0..count {
                let slot = usize::try_from(dice.next_u64() % below).expect("small");
                unsaid.add(slot, 10);
                expected.insert(slot);
            }
            assert_eq!(unsaid.is_empty(), count == 0);
            let runs = unsaid.take();
            let is_apart = |pair: &[Range<usize>]| pair[0].end < pair[1].start;
            assert!(runs.windows(2).all(is_apart), "{runs:?}");
            assert!(runs.into_iter().flatten().eq(expected));
            assert!(unsaid.is_empty() && unsaid.take().is_empty());
        }
    }
}
