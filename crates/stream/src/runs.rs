//! Sets of sequences as runs: the messages that one command removes.
//!
//! ```text
//! run := gap number, length number
//! ```
//! `gap` is the distance from the end of the run before (from 0 for the first), `length` the number of sequences after the
//! run's first. Runs ascend to the end of the field. Numbers as in [`everjet_consumer::codec`].

use std::ops::RangeInclusive;

use everjet_consumer::codec::{Malformed, Reader, put_number};
use everjet_values::StreamSequence;

/// A set of sequences: runs that ascend and do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs(Vec<RangeInclusive<u64>>);

impl Runs {
    /// The set of these sequences, which may be in any order and come several times.
    pub(crate) fn of(sequences: &mut Vec<StreamSequence>) -> Self {
        if !sequences.is_sorted() {
            sequences.sort_unstable();
        }
        let mut runs = Self::default();
        for sequence in sequences {
            runs.push(*sequence..=*sequence);
        }
        runs
    }

    /// Adds a run that does not begin before the last one ends.
    pub(crate) fn push(&mut self, run: RangeInclusive<StreamSequence>) {
        let (first, last) = (run.start().0, run.end().0);
        match self.0.last_mut() {
            Some(before) if first <= before.end() + 1 => {
                *before = *before.start()..=last.max(*before.end());
            }
            _ => self.0.push(first..=last),
        }
    }

    /// Whether nothing is in the set.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many runs there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many sequences are in the set.
    pub(crate) fn sequences(&self) -> u64 {
        self.iter().map(|run| run.end() - run.start() + 1).sum()
    }

    /// The runs, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &RangeInclusive<u64>> {
        self.0.iter()
    }

    /// Whether a sequence is in the set.
    pub(crate) fn contains(&self, sequence: StreamSequence) -> bool {
        let at = self.0.partition_point(|run| *run.end() < sequence.0);
        self.0.get(at).is_some_and(|run| run.contains(&sequence.0))
    }

    /// Appends the set in the form of the journal.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut position = 0;
        for run in self.iter() {
            put_number(out, run.start() - position);
            put_number(out, run.end() - run.start());
            position = *run.end();
        }
    }

    /// Reads a set in the form of the journal.
    ///
    /// # Errors
    /// [`Malformed`] when it is something else.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut runs = Self::default();
        let mut position = 0u64;
        while !reader.is_empty() {
            let first = position.checked_add(reader.number()?).ok_or(Malformed)?;
            let last = first.checked_add(reader.number()?).ok_or(Malformed)?;
            // The first is at least 1, later ones do not touch the one before, and one can count on from all of them.
            let begins_after = position + u64::from(!runs.is_empty());
            if first <= begins_after || last == u64::MAX {
                return Err(Malformed);
            }
            runs.0.push(first..=last);
            position = last;
        }
        Ok(runs)
    }
}

#[cfg(test)]
mod tests {
    use everjet_values::{Entropy, SeededEntropy};

    use super::*;

    fn of(sequences: &[u64]) -> Runs {
        let mut sequences = sequences.iter().copied().map(StreamSequence).collect();
        Runs::of(&mut sequences)
    }

    #[test]
    fn neighbours_become_one_run() {
        let runs = of(&[9, 1, 2, 4, 3, 3, 7]);
        assert_eq!(runs.0, [1..=4, 7..=7, 9..=9]);
        assert_eq!((runs.len(), runs.sequences()), (3, 6));
        let within: Vec<u64> = (0..12)
            .filter(|sequence| runs.contains(StreamSequence(*sequence)))
            .collect();
        assert_eq!(within, [1, 2, 3, 4, 7, 9]);
        assert!(of(&[]).is_empty());
    }

    #[test]
    fn sets_come_back_as_they_were_written() {
        for runs in [
            of(&[]),
            of(&[1]),
            of(&[5, 6, 8, 1 << 56]),
            Runs(vec![3..=1 << 40]),
        ] {
            let mut bytes = Vec::new();
            runs.encode(&mut bytes);
            assert_eq!(Runs::decode(&bytes), Ok(runs));
        }
    }

    #[test]
    fn garbage_is_refused_or_ascends() {
        for bytes in [&b"\x01"[..], b"\x00\x00", b"\x01\x00\x01\x00", b"\x80"] {
            assert_eq!(Runs::decode(bytes), Err(Malformed), "{bytes:?}");
        }
        let entropy = SeededEntropy::new(4);
        for _ in 0..5_000 {
            let length = usize::try_from(entropy.next_u64() % 24).expect("small");
            let bytes: Vec<u8> = (0..length)
                .map(|_| entropy.next_u64().to_le_bytes()[0])
                .collect();
            if let Ok(runs) = Runs::decode(&bytes) {
                assert!(
                    runs.0
                        .is_sorted_by(|one, next| one.end() + 1 < *next.start())
                );
            }
        }
    }
}
