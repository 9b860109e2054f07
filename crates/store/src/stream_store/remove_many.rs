//! Removing many messages of some subjects: in one pass over the subject columns, a bounded part of it at a time.

use everjet_subject::SubjectId;
use everjet_values::{EntryIndex, StreamSequence};

use super::StreamStore;
use super::column_scan;
use super::subject_set::{Members, SubjectSet};

/// How much one call of [`StreamStore::remove_matching`] does at most.
#[derive(Clone, Copy, Debug)]
pub struct RemoveBudget {
    /// Messages it looks at.
    pub looked_at: usize,
    /// Messages it removes.
    pub removed: usize,
}

impl RemoveBudget {
    /// As much as there is to do.
    pub const UNLIMITED: Self = Self {
        looked_at: usize::MAX,
        removed: usize::MAX,
    };
}

impl StreamStore {
    /// Removes messages between `from` and `through`, both included, whose subject is in the set, as many as `budget`
    /// allows, and adds them to `removed`. Returns up to which sequence that is done: `through` when
    /// nothing is left to do.
    ///
    /// The set has to know all subjects of these messages, see [`StreamStore::extend`].
    pub fn remove_matching(
        &mut self,
        entry: EntryIndex,
        set: &SubjectSet,
        (from, through): (StreamSequence, StreamSequence),
        budget: RemoveBudget,
        removed: &mut Vec<(StreamSequence, SubjectId)>,
    ) -> StreamSequence {
        let RemoveBudget {
            mut looked_at,
            removed: mut most,
        } = budget;
        let mut end = through.0.min(self.last);
        let mut next = from.0.max(self.first);
        if let Members::One(id) = set.members {
            // Mostly it is known where the messages of one subject lie.
            let Some(total) = self.totals.of(id) else {
                return through;
            };
            next = next.max(total.first_hint());
            end = end.min(total.last_hint());
        }
        let before = removed.len();
        let mut slots = Vec::new();
        while next <= end && looked_at > 0 && most > 0 {
            let at = self.segment_from(next);
            let Some((at, segment)) = at.and_then(|at| Some((at, self.segments.get(at)?))) else {
                next = u64::MAX;
                break;
            };
            let start = segment.slot_from(next);
            let last = segment.slot_from(end.saturating_add(1));
            if start >= last || segment.messages == 0 {
                // Nothing of it is meant, or left.
                next = self.segments.get(at + 1).map_or(u64::MAX, |s| s.first);
                continue;
            }
            let stop = last.min(start.saturating_add(looked_at));
            slots.clear();
            let column = segment.columns.subjects();
            let stop = column_scan::members(column, &set.members, start..stop, most, &mut slots);
            looked_at -= stop - start;
            most -= slots.len();
            next = if stop == segment.columns.len() {
                segment.last() + 1
            } else {
                segment.sequence(stop)
            };
            self.remove_slots(at, &slots, removed);
        }
        let gone = removed.get(before..).unwrap_or_default();
        if let Some((first, _)) = gone.first() {
            self.last_entry = entry;
            if first.0 == self.first {
                self.first = self.next_live(first.0);
            }
        }
        if next > end {
            return through;
        }
        StreamSequence(next - 1)
    }

    /// The first of the newest `count` messages with a subject in the set; one past the last sequence for none, the
    /// first one when there are not as many.
    #[must_use]
    pub fn newest_matching(&self, set: &SubjectSet, count: u64) -> StreamSequence {
        if count == 0 {
            return StreamSequence(self.last + 1);
        }
        let mut missing = count;
        for segment in self.segments.iter().rev().filter(|s| s.messages > 0) {
            let column = segment.columns.subjects();
            let here = match set.members {
                Members::All => segment.messages,
                _ => column_scan::count(column, &set.members, 0..usize::MAX),
            };
            if here < missing {
                missing -= here;
                continue;
            }
            // The last slot from which on there are as many as are missing.
            let (mut low, mut high) = (0, column.len());
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                let from = column_scan::count(column, &set.members, middle..high);
                if from >= missing {
                    low = middle;
                } else {
                    missing -= from;
                    high = middle;
                }
            }
            return StreamSequence(segment.sequence(low));
        }
        StreamSequence(self.first)
    }

    /// The first segment that has sequences at or after this one.
    fn segment_from(&self, sequence: u64) -> Option<usize> {
        let at = self.segment_before(sequence).unwrap_or(0);
        let segment = self.segments.get(at)?;
        if segment.last() >= sequence || segment.first > sequence {
            return Some(at);
        }
        (at + 1 < self.segments.len()).then_some(at + 1)
    }

    /// Removes the messages in some slots of a segment, all of which hold one.
    fn remove_slots(
        &mut self,
        at: usize,
        slots: &[usize],
        removed: &mut Vec<(StreamSequence, SubjectId)>,
    ) {
        let before = removed.len();
        let is_on_disk = self.files.is_some();
        let Some(segment) = self.segments.get_mut(at).filter(|_| !slots.is_empty()) else {
            return;
        };
        let bytes = segment.bytes;
        for &slot in slots {
            let (subject, _) = segment.remove(slot).expect("it was found by its subject");
            if is_on_disk {
                segment.note_removed(slot);
            }
            let sequence = StreamSequence(segment.sequence(slot));
            removed.push((sequence, SubjectId(subject)));
        }
        self.bytes -= bytes - segment.bytes;
        self.messages -= slots.len() as u64;
        let is_spent = segment.messages == 0 && segment.is_spent();
        // By itself, so that the processor reads the totals of many subjects at a time.
        for (sequence, subject) in removed.get(before..).unwrap_or_default() {
            self.totals.subtract(subject.0, sequence.0);
        }
        if is_on_disk {
            self.unsaid += slots.len();
            self.may_compact = true;
        }
        if is_spent {
            self.drop_segment(at);
        } else if at + 1 == self.segments.len() {
            self.roll_if_worthwhile();
        }
    }
}
