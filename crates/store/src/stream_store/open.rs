//! Opening a store: exactly the state that the manifest names, from index files and footers where they hold, record by
//! record where they do not.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::blocks::{Place, ends_at};
use crate::index::{CheckpointSegment, DAMAGED, REMOVED, SubjectColumn};
use crate::sabotage::{PlantedBug, is_planted};
use crate::segment::{Run, SegmentHeader};
use crate::{Disk, Fault, ManifestSegment, StreamId};

use super::checkpoint::{CHECKPOINT, CHECKPOINT_NEW, Checkpoint};
use super::damage::KnownDamage;
use super::file_id::{FileId, index_path, segment_path};
use super::load::{Loaded, Loader};
use super::segment::Segment;
use super::take::id_of;
use super::writes::{SavedList, remove_if_there};
use super::{Files, OpenReport, SavedSegments, StoreOptions, StreamStore};

/// The derived files in a stream's folder. What is not listed is not asked for: of thousands of streams, most have little.
#[derive(Default)]
struct Listed {
    has_checkpoint: bool,
    indexes: BTreeSet<FileId>,
}

/// What the last segment file is like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LastFile {
    Sound,
    Damaged,
    /// It was begun before the store had keys.
    InTheOpen,
}

impl StreamStore {
    /// Loads exactly the state that `saved` (from the manifest) describes. Damage is no failure: what cannot be read is
    /// reported and reads as [`ReadError::Damaged`], everything else is served. Segment files are not changed; index files
    /// that do not belong to this state are removed.
    ///
    /// `saved.entry` is the entry of the checkpoint; an index that knows of later removals is not used.
    ///
    /// # Errors
    /// [`Fault`] when the folder cannot be listed, a file cannot be opened for another reason than being gone, or a newer
    /// version wrote a segment. Places that cannot be read are damage.
    ///
    /// [`ReadError::Damaged`]: crate::ReadError::Damaged
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        id: StreamId,
        name: &str,
        options: StoreOptions,
        saved: &SavedSegments,
    ) -> Result<(Self, OpenReport), Fault> {
        let files = Files {
            disk,
            dir: dir.into(),
            id,
            name: name.to_owned(),
            compress: false,
        };
        let mut store = Self::bare(options, Some(files));
        let mut report = OpenReport::default();
        let listed = store.find_leftovers(saved, &mut report)?;
        store.last = saved.last_sequence.0;
        store.last_entry = saved.entry;
        store.lost = saved.lost.clone();
        report.damaged.extend(store.damage_of_lost());
        let mut checkpoint = store.read_checkpoint(&listed)?;
        store.subjects = std::mem::take(&mut checkpoint.subjects);
        store.checkpointed = checkpoint.slots;
        let mut runs = Vec::new();
        let must_be_sealed = store
            .files
            .as_ref()
            .is_some_and(|files| files.disk.keys().is_some());
        let mut last_file = LastFile::Sound;
        let mut in_blocks = false;
        let mut is_known_so_far = true;
        for (at, segment) in saved.segments.iter().enumerate() {
            let next = saved.segments.get(at + 1);
            let last_max = next.map_or(saved.last_sequence.0, |next| next.first_sequence.0 - 1);
            let known = checkpoint.segments.remove(&id_of(segment));
            let mut loaded = store.load(segment, known, &listed, last_max)?;
            // All but the last one are never written again, whatever the manifest says.
            loaded.segment.sealed |= next.is_some();
            loaded.segment.finished |= next.is_some();
            in_blocks = loaded.in_blocks;
            last_file = if must_be_sealed && !loaded.in_blocks {
                LastFile::InTheOpen
            } else if loaded.damage.is_empty() {
                LastFile::Sound
            } else {
                LastFile::Damaged
            };
            loaded.segment.is_evidence |= !loaded.damage.is_empty();
            if loaded.segment.in_checkpoint && !is_known_so_far {
                // The file is of a start that had dropped an empty segment, or rewritten one, and no manifest without it: what
                // emptied it is said by segments that the file knows.
                loaded.runs = loaded.segment.foreign_runs();
            }
            is_known_so_far &= loaded.segment.in_checkpoint;
            if loaded.segment.sealed {
                loaded.segment.columns.pack();
            } else if std::mem::take(&mut loaded.segment.in_checkpoint) {
                // It will grow, and what the file says of it is of no use then.
                store.open_in_checkpoint = segment.length;
                store.checkpointed -= loaded.segment.columns.len() as u64;
            }
            report.add(&mut loaded);
            runs.append(&mut loaded.runs);
            store.last = store.last.max(loaded.last_sequence);
            store.last_time = store.last_time.max(loaded.last_time);
            store.segments.push_back(loaded.segment);
        }
        store.last_time = store.last_time.max(checkpoint.last_time);
        // No file may hold the last message any more.
        store.last_time = store.last_time.max(saved.last_time);
        for run in &runs {
            store.apply_run(run);
        }
        store.count_all();
        store.open_active(last_file, in_blocks);
        store.drop_empty();
        if is_planted(PlantedBug::SequenceReused) && store.messages == 0 {
            store.segments.clear();
            store.last = 0;
            store.push_segment(1);
        }
        store.first = store.next_live(0);
        store.may_compact = true;
        store.saved = Arc::new(SavedList::known(saved.clone()));
        store.damage = KnownDamage::opened_with(&report.damaged);
        Ok((store, report))
    }

    /// Looks for files that `saved` does not name. Segments wait to be deleted after the next checkpoint; index files go
    /// now: later, a new segment could have the same name, and the old index would seem to describe it. Returns which
    /// derived files there are.
    fn find_leftovers(
        &mut self,
        saved: &SavedSegments,
        report: &mut OpenReport,
    ) -> Result<Listed, Fault> {
        let mut listed = Listed::default();
        let Some(files) = &self.files else {
            return Ok(listed);
        };
        let named: BTreeSet<FileId> = saved.segments.iter().map(id_of).collect();
        let names = match files.disk.list(&files.dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(listed),
            names => names.map_err(Fault::open(&files.dir))?,
        };
        for name in names {
            if name.name == CHECKPOINT_NEW {
                remove_if_there(&*files.disk, &files.dir.join(CHECKPOINT_NEW))?;
            }
            listed.has_checkpoint |= name.name == CHECKPOINT;
            let parts = name.name.rsplit_once('.');
            let Some((file, kind)) =
                parts.and_then(|(stem, kind)| Some((FileId::of_stem(stem)?, kind)))
            else {
                report.others.push(name.name);
                continue;
            };
            if named.contains(&file) {
                if kind == "idx" {
                    listed.indexes.insert(file);
                }
                continue;
            }
            match kind {
                "seg" => {
                    self.obsolete.insert(file);
                    report.leftovers.push(segment_path(&files.dir, file));
                }
                "idx" if is_planted(PlantedBug::LeftoverIndexKept) => {}
                "idx" => remove_if_there(&*files.disk, &index_path(&files.dir, file))?,
                _ => {}
            }
        }
        Ok(listed)
    }

    fn read_checkpoint(&self, listed: &Listed) -> Result<Checkpoint, Fault> {
        if !listed.has_checkpoint {
            return Ok(Checkpoint::nothing());
        }
        let files = self
            .files
            .as_ref()
            .expect("only stores with files are opened");
        Checkpoint::open(&*files.disk, &files.dir, files.id, self.last_entry)
    }

    fn load(
        &mut self,
        saved: &ManifestSegment,
        known: Option<CheckpointSegment>,
        listed: &Listed,
        last_max: u64,
    ) -> Result<Loaded, Fault> {
        let files = self
            .files
            .as_ref()
            .expect("only stores with files are opened");
        let loader = Loader {
            disk: &*files.disk,
            id: files.id,
            header_length: SegmentHeader::length(files.name.as_bytes(), saved.revision),
            path: segment_path(&files.dir, id_of(saved)),
            index_path: listed
                .indexes
                .contains(&id_of(saved))
                .then(|| index_path(&files.dir, id_of(saved))),
            saved,
            entry: self.last_entry,
            last_max,
        };
        loader.load(self.last_time, known, &mut self.subjects)
    }

    /// Counts what is left after all removals.
    fn count_all(&mut self) {
        self.totals.reserve(self.subjects.len());
        for segment in &self.segments {
            match *segment.columns.subjects() {
                SubjectColumn::One { subject, slots } if slots > 0 => {
                    let (first, last) = (segment.sequence(0), segment.sequence(slots - 1));
                    self.totals.add_run(subject, (first, last), slots as u64);
                }
                ref subjects => subjects.for_each(|slot, subject| {
                    if subject < DAMAGED {
                        self.totals.add(subject, segment.sequence(slot));
                    }
                }),
            }
            self.messages += segment.messages;
            self.bytes += segment.bytes;
            self.last = self.last.max(segment.last());
        }
    }

    fn apply_run(&mut self, run: &Run) {
        let from = self.segment_before(run.first).unwrap_or(0);
        for segment in self.segments.range_mut(from..) {
            if segment.first > run.last {
                break;
            }
            let start = segment.slot_from(run.first);
            let until = segment.slot_from(run.last.saturating_add(1));
            for slot in start..until {
                let is_damaged = segment.columns.subjects().get(slot) == Some(DAMAGED);
                if segment.remove(slot).is_none() && is_damaged {
                    segment.columns.replace(slot, REMOVED);
                }
            }
        }
    }

    /// Makes sure that there is a sound segment to append to, whose sequences follow the last one.
    fn open_active(&mut self, last_file: LastFile, in_blocks: bool) {
        let next = self.last + 1;
        if let Some(last) = self.segments.back_mut() {
            let is_gone = last.saved > 0 && last.written == 0;
            // In the middle of a block that a crash has left, or behind a damaged one, what is written would be hidden by that.
            let can_go_on = |last: &Segment| match &self.files {
                Some(files) if in_blocks => ends_with_block(files, last),
                _ => true,
            };
            if !last.sealed && last.first == next {
                // It has no messages yet. Nothing else may have its name, so it goes on even when it is damaged; when it
                // is gone, or should be sealed and is not, it begins anew. So it does again where a crash has left a block of
                // that.
                if is_gone || last_file == LastFile::InTheOpen || !can_go_on(last) {
                    self.again.extend(last.foreign_runs());
                    self.segments.pop_back();
                    self.push_segment(next);
                }
                return;
            }
            let is_last_sound =
                last_file == LastFile::Sound || is_planted(PlantedBug::WrittenBehindDamage);
            if !last.sealed && is_last_sound && last.last() == self.last && can_go_on(last) {
                return;
            }
            // Nothing is ever written behind damage, a gap, or what was written before the store had keys. It gets no
            // footer: that would hide what was found.
            last.sealed = true;
            last.finished = true;
            last.columns.pack();
        }
        self.push_segment(next);
    }

    /// Drops sealed segments that hold nothing, not even damage.
    fn drop_empty(&mut self) {
        for at in (0..self.segments.len()).rev() {
            if self.segments.get(at).is_some_and(Segment::is_spent) {
                self.drop_segment(at);
            }
        }
    }
}

/// Whether a segment in blocks can be written behind what the manifest names. One that cannot be asked cannot.
fn ends_with_block(files: &Files, last: &Segment) -> bool {
    let place = Place::segment(last.id().of(files.id));
    let path = segment_path(&files.dir, last.id());
    ends_at(&*files.disk, &path, place, last.saved).unwrap_or(false)
}
