//! The columns of a segment: eight bytes a message while it grows, a fraction of that afterwards.

use std::sync::Arc;

use super::input::{Input, put_numbers};
use super::offsets::{Offsets, PackedOffsets};
use super::subject_column::SubjectColumn;

/// Instead of a subject id: the slot's message was removed.
pub(crate) const REMOVED: u32 = u32::MAX;
/// Instead of a subject id: the slot's message cannot be read.
pub(crate) const DAMAGED: u32 = u32::MAX - 1;

/// Every how many slots the time is kept.
const TIME_STEP: usize = 64;

/// One slot for each sequence of a segment: slot 0 is the segment's first sequence. In a segment that was rewritten, one for
/// each message that was left. A clone of packed columns is cheap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    /// Where the record begins, and whether the message has headers. Never decreasing.
    pub(super) offsets: Offsets,
    pub(super) subjects: SubjectColumn,
    /// Where something begins that is not a message: a removal or skip record, damage. Ascending.
    pub(super) gaps: Vec<u32>,
    /// The time of every 64th slot.
    pub(super) times: Arc<Vec<i64>>,
    /// Of a rewritten segment: how far each slot's sequence is from the segment's first. Ascending. Otherwise slot n is n
    /// sequences away.
    pub(super) sequences: Option<Arc<Vec<u32>>>,
}

impl PartialEq for Columns {
    fn eq(&self, other: &Self) -> bool {
        let offsets = self.offsets.to_numbers() == other.offsets.to_numbers();
        offsets
            && self.subjects == other.subjects
            && self.gaps == other.gaps
            && self.times == other.times
            && self.sequences == other.sequences
    }
}

impl Eq for Columns {}

impl Columns {
    /// Columns for a segment in which sequences have no slot when their message was removed.
    pub(crate) fn sparse() -> Self {
        Self {
            sequences: Some(Arc::default()),
            ..Self::default()
        }
    }

    /// Adds a slot for a message whose sequence is `distance` from the segment's first, further than all before.
    ///
    /// # Panics
    /// When the slots are not sparse and the distance is not the next one.
    pub(crate) fn push_at(
        &mut self,
        distance: u32,
        (offset, has_headers): (u32, bool),
        subject: u32,
        time: i64,
    ) {
        match &mut self.sequences {
            Some(sequences) => Arc::<Vec<u32>>::make_mut(sequences).push(distance),
            None => assert_eq!(distance as usize, self.offsets.len(), "no slot is left out"),
        }
        self.push(offset, has_headers, subject, time);
    }

    /// Whether slots have sequences of their own.
    pub(crate) fn is_sparse(&self) -> bool {
        self.sequences.is_some()
    }

    /// How far the sequence of a slot is from the segment's first.
    #[inline]
    pub(crate) fn distance(&self, slot: usize) -> u64 {
        match &self.sequences {
            None => slot as u64,
            Some(sequences) => sequences.get(slot).map_or(u64::MAX, |&at| u64::from(at)),
        }
    }

    /// The first slot whose sequence is at least `distance` from the segment's first; the number of slots if there is none.
    #[inline]
    pub(crate) fn slot_from(&self, distance: u64) -> usize {
        match &self.sequences {
            None => usize::try_from(distance).map_or(self.len(), |slot| slot.min(self.len())),
            Some(sequences) => sequences.partition_point(|&at| u64::from(at) < distance),
        }
    }

    /// How many sequences the slots span, from the segment's first.
    #[inline]
    pub(crate) fn span(&self) -> u64 {
        match &self.sequences {
            None => self.len() as u64,
            Some(sequences) => sequences.last().map_or(0, |&at| u64::from(at) + 1),
        }
    }

    /// Adds a slot for a message.
    #[inline]
    pub(crate) fn push(&mut self, offset: u32, has_headers: bool, subject: u32, time: i64) {
        if self.offsets.len().is_multiple_of(TIME_STEP) {
            Arc::make_mut(&mut self.times).push(time);
        }
        self.offsets.push(offset, has_headers);
        self.subjects.push(subject);
    }

    /// Notes that something else than a message begins at `offset`, which is past all slots.
    pub(crate) fn push_gap(&mut self, offset: u32) {
        self.gaps.push(offset);
    }

    /// Nothing is added afterwards. From now on a clone costs nothing, until something is removed.
    pub(crate) fn seal(&mut self) {
        self.offsets.seal();
        self.subjects.seal();
    }

    /// Whether there is nothing more to make small.
    pub(crate) fn is_packed(&self) -> bool {
        self.offsets.is_packed()
    }

    /// These columns, sealed, as small as they get: `packed` are those that `sealed`, a clone from before, became.
    pub(crate) fn repacked(&self, sealed: &Self, packed: &Self) -> Self {
        let mut repacked = packed.clone();
        self.subjects
            .for_each_change(&sealed.subjects, |slot, value| {
                repacked.replace(slot, value);
            });
        repacked
    }

    /// Makes the columns small. Nothing is added afterwards.
    pub(crate) fn pack(&mut self) {
        if self.is_packed() {
            return;
        }
        self.offsets.pack();
        self.subjects.pack();
        self.gaps.shrink_to_fit();
        if let Some(times) = Arc::get_mut(&mut self.times) {
            times.shrink_to_fit();
        }
        if let Some(sequences) = self.sequences.as_mut().and_then(Arc::get_mut) {
            sequences.shrink_to_fit();
        }
    }

    /// Makes packed columns such that slots can be added again.
    pub(crate) fn unpack(&mut self) {
        self.offsets.unpack();
        self.subjects.unpack();
    }

    /// Changes what a slot holds and returns what it held; `None` when there is no such slot. Packed columns take only
    /// [`REMOVED`] and [`DAMAGED`].
    pub(crate) fn replace(&mut self, slot: usize, value: u32) -> Option<u32> {
        self.subjects.replace(slot, value)
    }

    /// How many slots there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Subject id, [`REMOVED`] or [`DAMAGED`] of each slot.
    #[inline]
    pub(crate) fn subjects(&self) -> &SubjectColumn {
        &self.subjects
    }

    /// The times of slots 0, 64, 128 and so on.
    pub(crate) fn times(&self) -> &[i64] {
        &self.times
    }

    /// The time that is kept for a slot or one not long before it, and whether it is the slot's own.
    pub(crate) fn time_near(&self, slot: usize) -> Option<(i64, bool)> {
        let time = self.times.get(slot / TIME_STEP)?;
        Some((*time, slot.is_multiple_of(TIME_STEP)))
    }

    /// The slots that begin with the time of `step`.
    pub(crate) fn slots_of_step(&self, step: usize) -> std::ops::Range<usize> {
        (step * TIME_STEP).min(self.len())..((step + 1) * TIME_STEP).min(self.len())
    }

    /// Where the record of a slot begins and ends, in a segment whose records end at `end`.
    #[inline]
    pub(crate) fn range(&self, slot: usize, end: u32) -> Option<(u32, u32)> {
        let start = self.offsets.get(slot)?.min(end);
        let next = self.offsets.get(slot + 1).unwrap_or(end).clamp(start, end);
        if self.gaps.last().is_none_or(|&last| last < start) {
            return Some((start, next));
        }
        let gap = self.gaps.partition_point(|&gap| gap <= start);
        Some((start, self.gaps.get(gap).map_or(next, |&gap| gap.min(next))))
    }

    /// Whether the message of a slot has headers.
    #[inline]
    pub(crate) fn has_headers(&self, slot: usize) -> bool {
        self.offsets.has_headers(slot)
    }

    /// The first slot from `from` on whose message has headers, removed ones included.
    pub(crate) fn next_with_headers(&self, from: usize) -> Option<usize> {
        self.offsets.next_with_headers(from)
    }

    /// Whether the columns fit together and lie below `end`: asked of what was read from disk.
    pub(super) fn is_sound(&self, end: u32) -> bool {
        self.offsets.len() == self.subjects.len()
            && self.times.len() == Self::times_for(self.offsets.len())
            && self.offsets.is_sound(end)
            && self.gaps.is_sorted()
            && self.gaps.last().is_none_or(|&last| last < end)
            && self.sequences.as_ref().is_none_or(|sequences| {
                sequences.len() == self.offsets.len() && sequences.is_sorted_by(|a, b| a < b)
            })
    }

    /// Appends packed columns as [`Columns::parse`] reads them; `numbers` gives each subject id its number in the file.
    ///
    /// ```text
    /// u32  slots    u32  gaps    u32  1 if the slots have sequences of their own, else 0
    ///      offsets
    ///      subject column
    ///      gaps, u32 each
    ///      times, i64 for every 64th slot
    ///      sequences of their own: distance from the segment's first, u32 a slot
    /// ```
    pub(super) fn put(&self, numbers: &[u32], out: &mut Vec<u8>) {
        let count = |count: usize| u32::try_from(count).expect("a segment stays below 2 GiB");
        let is_sparse = u32::from(self.is_sparse());
        put_numbers(&[count(self.len()), count(self.gaps.len()), is_sparse], out);
        match &self.offsets {
            Offsets::Packed(packed) => packed.put(out),
            Offsets::Growing(_) | Offsets::Whole(_) => {
                unreachable!("only packed columns are written like this")
            }
        }
        self.subjects.put(numbers, out);
        put_numbers(&self.gaps, out);
        for time in self.times.iter() {
            out.extend_from_slice(&time.to_le_bytes());
        }
        put_numbers(self.sequences.as_deref().map_or(&[], Vec::as_slice), out);
    }

    /// Reads columns of a segment whose records end at `end`, with subjects below `known`; `None` when they do not fit
    /// together.
    pub(super) fn parse(input: &mut Input<'_>, end: u32, known: usize) -> Option<Self> {
        let slots = input.count()?;
        let gaps = input.count()?;
        let is_sparse = input.number().filter(|&flag| flag <= 1)? == 1;
        let columns = Self {
            offsets: Offsets::Packed(Arc::new(PackedOffsets::parse(input, slots)?)),
            subjects: SubjectColumn::parse(input, slots, known)?,
            gaps: input.numbers(gaps)?,
            times: Arc::new(input.wides(Self::times_for(slots))?),
            sequences: match is_sparse {
                true => Some(Arc::new(input.numbers(slots)?)),
                false => None,
            },
        };
        columns.is_sound(end).then_some(columns)
    }

    /// How many times `slots` slots keep.
    pub(super) fn times_for(slots: usize) -> usize {
        slots.div_ceil(TIME_STEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_found_by_distance() {
        let check = |columns: &Columns, distance, slot, found: u64| {
            assert_eq!(columns.slot_from(distance), slot, "{distance}");
            assert_eq!(columns.distance(slot), found, "{distance}");
        };
        let (mut dense, mut sparse) = (Columns::default(), Columns::sparse());
        assert_eq!((dense.span(), sparse.span()), (0, 0));
        for (slot, distance) in [2, 5, 6].into_iter().enumerate() {
            dense.push_at(slot as u32, (50, false), 0, 0);
            sparse.push_at(distance, (50, false), 0, 0);
        }
        assert_eq!((dense.span(), sparse.span()), (3, 7));
        check(&dense, 0, 0, 0);
        check(&dense, 2, 2, 2);
        assert_eq!(dense.slot_from(u64::MAX), 3);
        check(&sparse, 0, 0, 2);
        check(&sparse, 3, 1, 5);
        check(&sparse, 6, 2, 6);
        assert_eq!(sparse.slot_from(7), 3);
        assert!(sparse.is_sound(51));
    }

    #[test]
    fn a_record_ends_where_the_next_thing_begins() {
        let mut columns = Columns::default();
        columns.push_gap(8);
        columns.push(50, true, 0, 1);
        columns.push(90, false, 1, 2);
        columns.push_gap(140);
        columns.push_gap(150);
        columns.push(170, false, 1, 3);
        let check = |slot, expected| assert_eq!(columns.range(slot, 220), expected, "slot {slot}");
        check(0, Some((50, 90)));
        check(1, Some((90, 140)));
        check(2, Some((170, 220)));
        check(3, None);
        assert!(columns.has_headers(0) && !columns.has_headers(1));
        assert!(columns.is_sound(220) && !columns.is_sound(170));
        let mut packed = columns.clone();
        packed.pack();
        assert_eq!(packed, columns);
        for slot in 0..4 {
            assert_eq!(packed.range(slot, 220), columns.range(slot, 220));
        }
        packed.unpack();
        assert_eq!(packed, columns);
        packed.push(220, true, 5, 9);
        assert_eq!(packed.range(3, 250), Some((220, 250)));
        assert!(packed.has_headers(3));
    }
}
