//! Putting a rewritten segment in place of the old ones: under the stream's lock, without the disk.

use crate::index::REMOVED;
use crate::sabotage::{PlantedBug, is_planted};

use super::super::StreamStore;
use super::super::segment::Segment;
use super::{Compacted, FileId};

impl StreamStore {
    /// Puts the new segment in place of the old ones. False when nothing of them is left, and the new file is of no use.
    /// Their files, or the new one then, are among [`StreamStore::obsolete_files`] once a take that follows is durable.
    pub fn finish_compaction(&mut self, done: Compacted) -> bool {
        self.dropped = true;
        let is_source = |segment: &Segment| done.find(segment).is_some();
        let Some(at) = self.segments.iter().position(is_source) else {
            self.obsolete.insert(done.target);
            return false;
        };
        let count = self
            .segments
            .range(at..)
            .take_while(|s| is_source(s))
            .count();
        let mut segment = self.new_segment(&done);
        let old = || self.segments.range(at..at + count);
        let is_as_taken = count == done.sources.len()
            && old().all(|source| done.find(source) == Some(source.messages));
        (segment.messages, segment.bytes) = old().fold((0, 0), |(messages, bytes), source| {
            (messages + source.messages, bytes + source.bytes)
        });
        segment.columns = done.columns;
        if !is_as_taken && !is_planted(PlantedBug::RemovalsWhileCompactedForgotten) {
            // A source that was dropped whole needed no record of what was removed from it; its messages in the new file do.
            remove_removed(&mut segment, old());
            self.may_compact = true;
        }
        for old in self.segments.drain(at + 1..at + count).collect::<Vec<_>>() {
            self.forget_rewritten(old.id());
        }
        let slot = self.segments.get_mut(at).expect("it was found above");
        let old = std::mem::replace(slot, segment);
        self.forget_rewritten(old.id());
        self.erase_in(at);
        if self.segments.get(at).is_some_and(Segment::is_spent) {
            self.drop_segment(at);
        }
        true
    }

    /// Leaves a segment alone from now on: rewriting it showed that it is damaged.
    pub fn keep_damaged(&mut self, file: &std::path::Path) {
        let Some(files) = &self.files else { return };
        for segment in &mut self.segments {
            segment.is_evidence |=
                super::super::file_id::segment_path(&files.dir, segment.id()) == file;
        }
    }

    fn new_segment(&self, done: &Compacted) -> Segment {
        let stream = self.files.as_ref().map(|files| files.id);
        let created = everjet_values::Timestamp::from_nanos(done.created);
        let mut segment = Segment::new(done.target, created, stream);
        segment.end = done.end;
        segment.taken = done.end;
        segment.written = done.end;
        segment.saved = done.length;
        segment.sealed = true;
        segment.finished = true;
        segment.indexed = done.columns.len();
        segment.foreign = std::sync::Arc::clone(&done.foreign);
        segment
    }

    fn forget_rewritten(&mut self, file: FileId) {
        self.obsolete.insert(file);
        self.forget_file(file);
    }
}

impl Compacted {
    /// How many messages a segment had when it was taken; `None` when it was not.
    fn find(&self, segment: &Segment) -> Option<u64> {
        let id = segment.id();
        let found = self.sources.iter().find(|(source, _)| *source == id);
        found.map(|(_, messages)| *messages)
    }
}

/// Removes what was removed from the sources since they were taken; a record has to say all of it. Those that are not there any
/// more lost everything.
fn remove_removed<'a>(segment: &mut Segment, sources: impl Iterator<Item = &'a Segment>) {
    let mut sources = sources.peekable();
    for slot in 0..segment.columns.len() {
        let sequence = segment.sequence(slot);
        while sources.next_if(|source| source.last() < sequence).is_some() {}
        let source = sources.peek().filter(|source| source.first <= sequence);
        if source.is_none_or(|source| source.subject(source.slot(sequence)).is_none()) {
            segment.columns.replace(slot, REMOVED);
            segment.note_removed(slot);
        }
    }
}
