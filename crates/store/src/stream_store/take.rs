//! From memory to files, in three steps: take under the stream's lock, write and sync outside it, finish under it.

use std::sync::Arc;

use everjet_values::StreamSequence;

use crate::ManifestSegment;
use crate::index::FrameHead;
use crate::sabotage::{PlantedBug, is_planted};
use crate::segment::{Run, merge_runs};

use super::file_id::FileId;
use super::segment::Segment;
use super::writes::{ObsoleteFiles, SavedSegments, SegmentWrite, SegmentWrites, WrittenSegments};
use super::{StreamStore, TailPiece};

impl StreamStore {
    /// What has to be written since the last take, as of the last entry: cheap, buffers are shared, only the index of a
    /// segment that was sealed is made here. `None` when nothing changed, and always in memory.
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
        let mut taken = Vec::new();
        for segment in &mut self.segments {
            if segment.taken < segment.end || (segment.sealed && !segment.finished) {
                let index = |segment: &Segment, whole| {
                    let head = FrameHead {
                        first: segment.first,
                        covered: segment.end,
                        whole,
                        ..head
                    };
                    head.encode(&segment.columns, &segment.foreign, &self.subjects)
                };
                taken.push(take_segment(segment, index));
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
        self.saved = SavedSegments {
            segments: self
                .segments
                .iter()
                .filter(|segment| segment.saved > 0)
                .map(named)
                .collect(),
            last_sequence: self.last_sequence(),
            last_time: self.last_time,
            entry: self.last_entry,
        };
        Some(SegmentWrites {
            dir: files.dir.clone(),
            stream: files.id,
            compress: files.compress,
            files: taken,
            erasures: self.erasures.clone(),
            checkpoint,
            saved: self.saved.clone(),
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
        &self.saved
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
                .map(|files| files.dir.clone())
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

/// Takes what was appended to a segment, and its index when it is due.
fn take_segment(segment: &mut Segment, index: impl Fn(&Segment, bool) -> Vec<u8>) -> SegmentWrite {
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
        let footer = Arc::new(index(segment, true));
        segment.columns.pack();
        segment.finished = true;
        segment.saved += footer.len() as u64;
        write.index = Some(Arc::clone(&footer));
        write.footer = Some(footer);
    } else if slots > segment.indexed + segment.indexed / 4 {
        // Each index is a quarter longer than the one before: all of them together cost a few slots a message.
        write.index = Some(Arc::new(index(segment, false)));
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
