//! Questions about subjects: answered from the subject columns and the totals, never from disk.

use everjet_subject::{SubjectId, SubjectTable};
use everjet_values::StreamSequence;

use super::StreamStore;
use super::column_scan;
use super::segment::Segment;
use super::subject_set::{Members, SubjectSet};

impl StreamStore {
    /// All subjects that were stored while this store was open or that its segments still name.
    #[must_use]
    pub fn subjects(&self) -> &SubjectTable {
        &self.subjects
    }

    /// The subject of a message; `None` when there is no such message.
    #[must_use]
    pub fn subject_id(&self, sequence: StreamSequence) -> Option<SubjectId> {
        let segment = self.segments.get(self.segment_of(sequence.0)?)?;
        segment.subject(segment.slot(sequence.0)).map(SubjectId)
    }

    /// The first message of a subject.
    #[must_use]
    pub fn first_of(&self, subject: SubjectId) -> Option<StreamSequence> {
        let total = self.totals.of(subject.0)?;
        let hint = StreamSequence(total.first_hint());
        if self.subject_id(hint) == Some(subject) {
            // Nothing is before it.
            return Some(hint);
        }
        let members = Members::One(subject.0);
        let from = hint.0.max(self.first);
        let found = self
            .find(&members, from, self.last)
            .expect("its count says that there is one");
        total.found_first(found);
        Some(StreamSequence(found))
    }

    /// The last message of a subject.
    #[must_use]
    pub fn last_of(&self, subject: SubjectId) -> Option<StreamSequence> {
        let total = self.totals.of(subject.0)?;
        let found = self
            .find_back(subject.0, total.last_hint())
            .expect("its count says that there is one");
        total.found_last(found);
        Some(StreamSequence(found))
    }

    /// The last message of each of several subjects, as they are. Faster than one after the other, see
    /// [`SubjectTable::lookup_many`].
    #[must_use]
    pub fn last_of_all(&self, subjects: &[&[u8]]) -> Vec<Option<StreamSequence>> {
        let mut ids = Vec::with_capacity(subjects.len());
        self.subjects.lookup_many(subjects, &mut ids);
        let hint = |(id, subject): (Option<SubjectId>, &&[u8])| {
            // The table may miss one that it has, rarely.
            let id = id.or_else(|| self.subjects.lookup(subject))?;
            Some((id, self.totals.of(id.0)?.last_hint()))
        };
        let hints: Vec<_> = ids.into_iter().zip(subjects).map(hint).collect();
        let last = |(id, hint): (SubjectId, u64)| {
            if self.subject_id(StreamSequence(hint)) == Some(id) {
                Some(StreamSequence(hint))
            } else {
                self.last_of(id)
            }
        };
        hints.into_iter().map(|hint| hint.and_then(last)).collect()
    }

    /// How many messages a subject has.
    #[must_use]
    pub fn count_of(&self, subject: SubjectId) -> u64 {
        self.totals.of(subject.0).map_or(0, |total| total.count())
    }

    /// The subjects that match any of `filters`; no filter means all, those to come included. Subjects that are stored for
    /// the first time later are in the set after [`StreamStore::extend`].
    #[must_use]
    pub fn select(&self, filters: &[&[u8]]) -> SubjectSet {
        SubjectSet::select(&self.subjects, filters)
    }

    /// Adds to `set` the matching subjects that were first seen since it was made or extended.
    pub fn extend(&self, set: &mut SubjectSet) {
        set.extend(&self.subjects);
    }

    /// The first message at or after `from` whose subject is in the set.
    #[must_use]
    pub fn next_match(&self, set: &SubjectSet, from: StreamSequence) -> Option<StreamSequence> {
        let from = from.0.max(self.first);
        let found = match set.members {
            Members::One(id) => {
                let total = self.totals.of(id)?;
                self.find(
                    &set.members,
                    from.max(total.first_hint()),
                    total.last_hint(),
                )
            }
            _ => self.find(&set.members, from, self.last),
        };
        found.map(StreamSequence)
    }

    /// The first message at or after `from` that has headers; reads nothing from disk.
    #[must_use]
    pub fn next_with_headers(&self, from: StreamSequence) -> Option<StreamSequence> {
        let at = self.segment_before(from.0).unwrap_or(0);
        for segment in self.segments.range(at..) {
            let mut slot = segment.slot_from(from.0);
            while let Some(found) = segment.columns.next_with_headers(slot) {
                if segment.subject(found).is_some() {
                    return Some(StreamSequence(segment.sequence(found)));
                }
                slot = found + 1;
            }
        }
        None
    }

    /// How many messages at or after `from` have a subject in the set. Goes through the columns of the shorter side of
    /// `from`.
    #[must_use]
    pub fn count_match(&self, set: &SubjectSet, from: StreamSequence) -> u64 {
        let from = from.0;
        if from > self.last {
            return 0;
        }
        if matches!(set.members, Members::All) {
            return self.count_from(&set.members, from, |segment| Some(segment.messages));
        }
        if from <= self.first || from - self.first < self.last - from {
            let all: u64 = set
                .ids(self.subjects.len())
                .into_iter()
                .map(|id| self.count_of(SubjectId(id)))
                .sum();
            return all - self.count_before(&set.members, from);
        }
        self.count_from(&set.members, from, |_| None)
    }

    /// The last message of each subject in the set, ascending.
    #[must_use]
    pub fn last_per_subject(&self, set: &SubjectSet) -> Vec<StreamSequence> {
        let ids = set.ids(self.subjects.len());
        let mut found: Vec<_> = ids
            .into_iter()
            .filter_map(|id| self.last_of(SubjectId(id)))
            .collect();
        found.sort_unstable();
        found
    }

    /// The first member between `from` and `to`, both included.
    fn find(&self, members: &Members, from: u64, to: u64) -> Option<u64> {
        if from > to {
            // Or the rest of a segment would be looked through for what cannot be there.
            return None;
        }
        let at = self.segment_before(from).unwrap_or(0);
        for segment in self
            .segments
            .range(at..)
            .filter(|segment| segment.messages > 0)
        {
            if segment.first > to {
                return None;
            }
            let skip = segment.slot_from(from);
            if let Some(slot) = column_scan::first_member(segment.columns.subjects(), members, skip)
            {
                return Some(segment.sequence(slot)).filter(|&found| found <= to);
            }
        }
        None
    }

    /// The last message of a subject at or before `from`.
    fn find_back(&self, subject: u32, from: u64) -> Option<u64> {
        let at = self.segment_before(from)?;
        for segment in self
            .segments
            .range(..=at)
            .rev()
            .filter(|segment| segment.messages > 0)
        {
            let until = segment.slot_from(from.saturating_add(1));
            if let Some(slot) = column_scan::last_of(segment.columns.subjects(), subject, until) {
                return Some(segment.sequence(slot));
            }
        }
        None
    }

    /// Members at or after `from`; `whole` may know the number of a whole segment.
    fn count_from(
        &self,
        members: &Members,
        from: u64,
        whole: impl Fn(&Segment) -> Option<u64>,
    ) -> u64 {
        let at = self.segment_before(from).unwrap_or(0);
        let segments = self
            .segments
            .range(at..)
            .filter(|segment| segment.messages > 0);
        let of_segment = |segment: &Segment| {
            let skip = segment.slot_from(from);
            let known = (skip == 0).then(|| whole(segment)).flatten();
            known.unwrap_or_else(|| {
                column_scan::count(segment.columns.subjects(), members, skip..usize::MAX)
            })
        };
        segments.map(of_segment).sum()
    }

    /// Members before `from`.
    fn count_before(&self, members: &Members, from: u64) -> u64 {
        let segments = self
            .segments
            .iter()
            .take_while(|segment| segment.first < from);
        let of_segment = |segment: &Segment| {
            column_scan::count(
                segment.columns.subjects(),
                members,
                0..segment.slot_from(from),
            )
        };
        segments
            .filter(|segment| segment.messages > 0)
            .map(of_segment)
            .sum()
    }
}
