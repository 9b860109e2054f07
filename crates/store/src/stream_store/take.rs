//! From memory to files, in three steps: take under the stream's lock, write and sync outside it, finish under it.

use std::sync::Arc;

use everjet_subject::SubjectNames;
use everjet_values::StreamSequence;

use crate::ManifestSegment;
use crate::index::FrameHead;
use crate::sabotage::{PlantedBug, is_planted};
use crate::segment::{Run, merge_runs};

use super::file_id::FileId;
use super::sealing::{IndexSource, Sealing};
use super::segment::Segment;
use super::writes::{
    ObsoleteFiles, SavedList, SavedSegments, SegmentWrite, SegmentWrites, WrittenSegments,
};
use super::{StreamStore, TailPiece};

impl StreamStore {
    /// What has to be written since the last take, as of the last entry: cheap, buffers are shared, indexes are made by
    /// whoever writes them. `None` when nothing changed, and always in memory.
    ///
    /// What was taken stays in memory until [`StreamStore::finish_writes`]. A take must be written before a later one, and
    /// one that cannot be written at all stops the stream's checkpoints: the journal has everything.
    pub fn take_writes(&mut self) -> Option<SegmentWrites> {
        self.record_removals();
        let files = self.files.as_ref()?;
        let head = FrameHead {
            stream: files.id,
            first: 0,
            entry: self.last_entry,
            last_time: self.last_time,
            covered: 0,
            whole: false,
        };
        let names = self.subjects.names();
        let mut taken = Vec::new();
        for segment in &mut self.segments {
            if segment.taken < segment.end || (segment.sealed && !segment.finished) {
                taken.push(take_segment(segment, head, &names));
            }
        }
        if taken.is_empty() && !self.dropped && self.erasures.is_empty() {
            return None;
        }
        for erasure in &mut self.erasures {
            erasure.is_taken = true;
        }
        self.dropped = false;
        let checkpoint = self.take_grown_checkpoint();
        let files = self.files.as_ref()?;
        let saved: Vec<&Segment> = self.segments.iter().filter(|s| s.saved > 0).collect();
        let footer = |(at, segment): (usize, &&Segment)| Some((at, segment.sealing.clone()?));
        let footers = saved.iter().enumerate().filter_map(footer).collect();
        let list = SavedSegments {
            segments: saved.into_iter().map(named).collect(),
            last_sequence: self.last_sequence(),
            last_time: self.last_time,
            lost: self.lost.clone(),
            entry: self.last_entry,
        };
        self.saved = Arc::new(SavedList::new(list, footers));
        Some(SegmentWrites {
            dir: files.dir.to_path_buf(),
            stream: files.id,
            compress: files.compress,
            files: taken,
            erasures: self.erasures.clone(),
            checkpoint,
            saved: Arc::clone(&self.saved),
        })
    }

    /// Lets memory go for what was written, as far as [`StoreOptions::tail_bytes_max`] does not keep it.
    ///
    /// [`StoreOptions::tail_bytes_max`]: crate::StoreOptions::tail_bytes_max
    pub fn finish_writes(&mut self, done: &WrittenSegments) {
        self.may_compact = true;
        self.erasures.retain(|erasure| !erasure.is_taken);
        let Some(files) = &self.files else { return };
        for file in &done.files {
            let at = self.segments.binary_search_by_key(&file.id, Segment::id);
            let Some(segment) = at.ok().and_then(|at| self.segments.get_mut(at)) else {
                continue;
            };
            let written = u32::try_from(file.end).expect("offsets are 32 bits");
            for (start, bytes) in segment.chunks.frozen_from(segment.written) {
                if start < written {
                    let bytes = bytes.len();
                    self.tail_bytes += bytes;
                    self.tail.push_back(TailPiece {
                        file: file.id,
                        start,
                        bytes,
                        mark: self.reader.memory.add_tail(files.id, bytes),
                    });
                }
            }
            segment.written = segment.written.max(written);
            if let Some(sealing) = segment
                .sealing
                .take_if(|_| segment.finished && file.is_whole)
            {
                segment.columns = sealing.pack(&segment.columns);
                segment.saved += sealing.footer().len() as u64;
            }
        }
        while self.tail_bytes > self.options.tail_bytes_max && self.drop_oldest_piece() {}
    }

    /// Whether the list of segments changed since the last take, so that one is due even when no message came or went.
    #[must_use]
    pub fn has_new_list(&self) -> bool {
        self.dropped
    }

    /// What the manifest has to say once everything taken so far is synced.
    #[must_use]
    pub fn saved_segments(&self) -> &SavedSegments {
        self.saved.get()
    }

    /// Files that may be deleted once a manifest with `saved` is durable: those of dropped segments and leftovers of a
    /// crash that `saved` does not name.
    #[must_use]
    pub fn obsolete_files(&self, saved: &SavedSegments) -> ObsoleteFiles {
        let is_named = |file: FileId| {
            saved.segments.binary_search_by_key(&file, id_of).is_ok()
                || self
                    .segments
                    .binary_search_by_key(&file, Segment::id)
                    .is_ok()
        };
        ObsoleteFiles {
            dir: self
                .files
                .as_ref()
                .map(|files| files.dir.to_path_buf())
                .unwrap_or_default(),
            files: self
                .obsolete
                .iter()
                .copied()
                .filter(|&file| !is_named(file))
                .filter(|&file| self.erasures.iter().all(|erasure| erasure.file != file))
                .collect(),
        }
    }

    /// Forgets files that were deleted.
    pub fn finish_obsolete(&mut self, deleted: &ObsoleteFiles) {
        for file in &deleted.files {
            self.obsolete.remove(file);
        }
    }

    /// Puts one record for all removals since the last one into the open segment.
    pub(super) fn record_removals(&mut self) {
        self.unsaid = 0;
        let again = std::mem::take(&mut self.again);
        if self.files.is_none() || is_planted(PlantedBug::RemovalsForgotten) {
            return;
        }
        let mut runs: Vec<Run> = again.into_iter().filter(|run| self.concerns(run)).collect();
        for segment in &mut self.segments {
            segment.say_removed(&mut runs);
        }
        if runs.is_empty() {
            return;
        }
        merge_runs(&mut runs);
        if is_planted(PlantedBug::PurgeHalfWritten) {
            runs.truncate(1);
        }
        let home = super::home(self.files.as_ref());
        let last = (self.last, self.last_time);
        let active = self
            .segments
            .back_mut()
            .expect("a store always has an open segment");
        active.begin(home);
        active.append_removals(self.last_entry, last, &runs);
    }

    /// Whether a segment has a slot for any sequence of a run: those of dropped segments, and those that a segment was
    /// rewritten without, need no record.
    pub(super) fn concerns(&self, run: &Run) -> bool {
        let at = self
            .segments
            .partition_point(|segment| segment.first <= run.last);
        self.segments
            .range(..at)
            .rev()
            .take_while(|segment| segment.last() >= run.first)
            .any(|segment| {
                segment.slot_from(run.first) < segment.slot_from(run.last.saturating_add(1))
                    || segment.lost_to >= run.first
            })
    }
}

/// Takes what was appended to a segment, and its index when it is due. `head` but for what is the segment's.
fn take_segment(segment: &mut Segment, head: FrameHead, names: &SubjectNames) -> SegmentWrite {
    segment.chunks.freeze();
    let offset = segment.taken;
    let buffers = segment
        .chunks
        .frozen_from(offset)
        .map(|(_, bytes)| Arc::clone(bytes))
        .collect();
    segment.taken = segment.end;
    segment.saved = u64::from(segment.end);
    let mut write = SegmentWrite {
        id: segment.id(),
        offset: u64::from(offset),
        buffers,
        footer: None,
        index: None,
    };
    let slots = segment.columns.len();
    if segment.sealed {
        segment.columns.seal();
        let sealing = Arc::new(Sealing::of(segment, head, names));
        segment.sealing = Some(Arc::clone(&sealing));
        segment.finished = true;
        write.footer = Some(sealing);
    } else if slots > segment.indexed + segment.indexed / 4 {
        // Each index is a quarter longer than the one before: all of them together cost a few slots a message.
        write.index = Some(IndexSource::of(segment, head, names));
        segment.indexed = slots;
    }
    write
}

/// The file that the manifest names.
pub(super) fn id_of(segment: &ManifestSegment) -> FileId {
    FileId {
        first: segment.first_sequence.0,
        revision: segment.revision,
    }
}

fn named(segment: &Segment) -> ManifestSegment {
    ManifestSegment {
        first_sequence: StreamSequence(segment.first),
        revision: segment.revision,
        length: segment.saved,
        sealed: segment.sealed,
    }
}
