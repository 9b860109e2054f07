//! The messages of one stream: append, remove, look up, select by subject; in memory or over segment files.
//!
//! No policy lives here: limits, expiry and consumers are decided above. A file store does no I/O while it changes:
//! the driver takes what has to be written ([`StreamStore::take_writes`]), writes and syncs it away from the stream's
//! lock, and tells the store ([`StreamStore::finish_writes`]). Nor does it wait for the disk to answer: what left memory it says
//! how to read ([`ColdRead`]), the driver reads away from the lock and asks again ([`StreamStore::admit`]).
//!
//! What survives: nothing by itself. The journal keeps every change until a manifest names segments that hold it;
//! [`StreamStore::open`] gives exactly the state that the manifest names, and the journal is replayed on top.

mod ahead;
mod checkpoint;
mod chunks;
mod cold;
mod column_scan;
mod compact;
mod damage;
mod erase;
mod file_id;
mod lasts;
mod load;
mod message;
mod open;
mod options;
mod read;
mod reader;
mod remove_many;
mod scan;
mod sealing;
mod segment;
mod select;
mod share;
mod state;
mod subject_set;
mod take;
#[cfg(test)]
mod tests;
mod times;
mod totals;
mod unsaid;
mod verify;
mod writes;

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use everjet_subject::{SubjectId, SubjectTable};
use everjet_values::{EntryIndex, StreamSequence, Timestamp};

use crate::index::{DAMAGED, REMOVED};
use crate::sabotage::{PlantedBug, is_planted};
use crate::segment::{Run, record_length};
use crate::{Disk, StreamId};

use ahead::Ahead;
use chunks::Supply;
use damage::KnownDamage;
use erase::Erasure;
use file_id::FileId;
use reader::Reader;
use segment::{Home, Segment};
use totals::Totals;

pub use checkpoint::{CheckpointWrite, checkpoint_problem};
pub use cold::{ColdRead, Fetched, Lookup};
pub use compact::{Compacted, Compaction, CompactionError};
pub use damage::LostMessages;
pub use lasts::{Lasts, LastsUpTo};
pub use message::{MessageView, NewMessage, ReadError, StoredMessage};
pub use options::StoreOptions;
pub use remove_many::RemoveBudget;
pub use state::{Removed, StoreState};
pub use subject_set::SubjectSet;
pub use verify::{CheckedSegment, SegmentCheck, index_problem, segment_length};
use writes::SavedList;
pub use writes::{
    Damage, ObsoleteFiles, OpenReport, SavedSegments, SegmentWrites, WrittenSegments,
};

/// A smaller segment is not sealed for its age.
const AGED_BYTES_MIN: u64 = 256 << 10;

/// A store with fewer messages is emptied message by message and keeps its open file.
const CLEAR_MIN: u64 = 4096;
/// After so many removals they are recorded with the next message, so that no record, and no take, gets long.
const UNSAID_MAX: usize = 16 << 10;

/// The messages of one stream.
pub struct StreamStore {
    options: StoreOptions,
    /// Where the segments live; `None` in memory.
    files: Option<Files>,
    /// Ascending; the last one is open for appending. Sequences between two segments hold no messages.
    segments: VecDeque<Segment>,
    subjects: SubjectTable,
    /// The subject of the last message appended: publishers tend to stay with one.
    recent: Recent,
    totals: Totals,
    messages: u64,
    bytes: u64,
    /// The first message, or one past `last`.
    first: u64,
    last: u64,
    last_time: Timestamp,
    last_entry: EntryIndex,
    /// What records of dropped segments said about earlier ones, which has to be said again.
    again: Vec<Run>,
    /// How many messages were removed since the last removal record, or more.
    unsaid: usize,
    ahead: Ahead,
    /// Written pieces that are still in memory, oldest first.
    tail: VecDeque<TailPiece>,
    tail_bytes: usize,
    reader: Reader,
    /// Files that no segment owns any more.
    obsolete: BTreeSet<FileId>,
    damage: KnownDamage,
    /// See [`StreamStore::lose_through`]: first and last, ascending. They hold no message and never will.
    lost: Vec<(StreamSequence, StreamSequence)>,
    /// As of the last take.
    saved: Arc<SavedList>,
    /// A segment was dropped or rewritten since the last take.
    dropped: bool,
    /// Something changed since the last time that there was nothing to compact.
    may_compact: bool,
    /// Messages to be overwritten in their files.
    erasures: Vec<Erasure>,
    /// What was erased while a segment is being rewritten; `None` when none is.
    erased_meanwhile: Option<Vec<u64>>,
    /// See [`StreamStore::explained`].
    explained: Vec<StreamSequence>,
    /// The first message when that was looked at last.
    first_at_look: u64,
    /// An open segment whose first message is older than this is sealed by the next one.
    segment_age_max: Option<Duration>,
    /// Slots of all segments in the checkpoint file, those that were dropped since included.
    checkpointed: u64,
    /// How long the open segment is in the checkpoint file; zero when it is not there.
    open_in_checkpoint: u64,
}

/// A subject and its number.
#[derive(Default)]
struct Recent {
    name: Vec<u8>,
    id: u32,
}

/// A piece of a segment that is on disk and still in memory.
struct TailPiece {
    file: FileId,
    start: u32,
    bytes: usize,
    /// From [`StoreMemory`](crate::StoreMemory).
    mark: u64,
}

/// Where the segments of a store live.
struct Files {
    disk: Arc<dyn Disk>,
    dir: Arc<Path>,
    id: StreamId,
    name: String,
    /// Whether what is written is compressed.
    compress: bool,
}

impl StreamStore {
    /// An empty store that lives in memory only.
    #[must_use]
    pub fn in_memory(options: StoreOptions) -> Self {
        let mut store = Self::bare(options, None);
        store.push_segment(1);
        store
    }

    /// An empty store that will keep its segments in `dir`, the stream's folder. Writes nothing yet.
    #[must_use]
    pub fn on_disk(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        id: StreamId,
        name: &str,
        options: StoreOptions,
    ) -> Self {
        let files = Files {
            disk,
            dir: dir.into(),
            id,
            name: name.to_owned(),
            compress: false,
        };
        let mut store = Self::bare(options, Some(files));
        store.push_segment(1);
        store
    }

    /// A store without segments.
    fn bare(mut options: StoreOptions, files: Option<Files>) -> Self {
        options.segment_bytes_max = options.segment_bytes_max.clamp(4 << 10, 1 << 30);
        Self {
            options,
            files,
            segments: VecDeque::new(),
            subjects: SubjectTable::new(),
            recent: Recent::default(),
            totals: Totals::default(),
            messages: 0,
            bytes: 0,
            first: 1,
            last: 0,
            last_time: Timestamp::UNSET,
            last_entry: EntryIndex::ZERO,
            again: Vec::new(),
            unsaid: 0,
            ahead: Ahead::default(),
            tail: VecDeque::new(),
            tail_bytes: 0,
            reader: Reader::default(),
            damage: KnownDamage::default(),
            lost: Vec::new(),
            obsolete: BTreeSet::new(),
            saved: Arc::default(),
            dropped: false,
            may_compact: false,
            erasures: Vec::new(),
            erased_meanwhile: None,
            explained: Vec::new(),
            first_at_look: 0,
            segment_age_max: None,
            checkpointed: 0,
            open_in_checkpoint: 0,
        }
    }

    /// Seals segments also by age from now on: no message is in one segment with another that is this much older, unless
    /// both are in its first 256 KiB. For streams whose messages expire: whole files go then. Memory and files stay the
    /// same for readers.
    pub fn set_segment_age(&mut self, age_max: Option<Duration>) {
        self.segment_age_max = age_max;
    }

    /// Compresses what is written from now on, or no longer. A segment that was begun without stays as it is, what was written
    /// stays as it was. Nothing happens in memory.
    pub fn set_compression(&mut self, compress: bool) {
        if let Some(files) = &mut self.files {
            files.compress = compress;
        }
    }

    /// Stores a message under the next sequence and returns it. Times must not decrease; entries must not either.
    ///
    /// # Panics
    /// When the subject is longer than 65,535 bytes, or the message larger than 1 GiB: refuse such before.
    pub fn append(&mut self, entry: EntryIndex, message: &NewMessage<'_>) -> StreamSequence {
        if self.unsaid >= UNSAID_MAX {
            self.record_removals();
        }
        let length = record_length(message);
        let active = self.active();
        if active.is_full_for(length, self.options.segment_bytes_max)
            || self.is_old(active, message.time)
        {
            self.roll(self.last + 1);
        }
        let subject = self.intern(message.subject);
        let sequence = self.last + 1;
        let supply = Supply {
            chunk_bytes: self.options.chunk_bytes,
            memory: &self.reader.memory,
        };
        let home = home(self.files.as_ref());
        let active = self
            .segments
            .back_mut()
            .expect("a store always has an open segment");
        if active.end == 0 {
            active.created = message.time.as_nanos();
            active.begin(home);
        }
        let bytes = active.bytes;
        active.append(entry, message, subject, supply);
        self.bytes += active.bytes - bytes;
        self.totals.add(subject, sequence);
        self.messages += 1;
        self.last = sequence;
        self.last_time = message.time;
        self.last_entry = entry;
        StreamSequence(sequence)
    }

    /// Moves the sequence forward so that the next message gets `next`; nothing happens when it is already there or past.
    pub fn skip_to(&mut self, entry: EntryIndex, next: StreamSequence) {
        if next.0 <= self.last + 1 {
            return;
        }
        if self.active().end == 0 {
            self.segments.pop_back();
            self.push_segment(next.0);
        } else {
            self.roll(next.0);
        }
        let home = home(self.files.as_ref());
        let last_time = self.last_time;
        let active = self
            .segments
            .back_mut()
            .expect("a store always has an open segment");
        active.begin(home);
        active.append_skip(entry, last_time);
        if self.messages == 0 {
            self.first = next.0;
        }
        self.last = next.0 - 1;
        self.last_entry = entry;
    }

    /// Removes one message; `None` when there is none (removed before, never stored, or damaged).
    pub fn remove(&mut self, entry: EntryIndex, sequence: StreamSequence) -> Option<Removed> {
        let at = self.segment_of(sequence.0)?;
        let segment = self.segments.get_mut(at)?;
        let slot = segment.slot(sequence.0);
        let (subject, bytes) = segment.remove(slot)?;
        let is_spent = segment.messages == 0 && segment.is_spent();
        if self.files.is_some() {
            segment.note_removed(slot);
            self.unsaid += 1;
            self.may_compact = true;
        }
        self.totals.subtract(subject, sequence.0);
        self.messages -= 1;
        self.bytes -= bytes;
        self.last_entry = entry;
        if is_spent {
            self.drop_segment(at);
        } else if at + 1 == self.segments.len() {
            self.roll_if_worthwhile();
        }
        if sequence.0 == self.first {
            self.first = self.next_live(sequence.0);
        }
        Some(Removed {
            bytes,
            subject: SubjectId(subject),
        })
    }

    /// Removes every message up to and including `through`, and returns how many there were. Damaged sequences up to
    /// there are given up with them. Whole segments cost no more than a look at their columns.
    pub fn remove_through(&mut self, entry: EntryIndex, through: StreamSequence) -> u64 {
        let through = through.0.min(self.last);
        let before = self.messages;
        if through == self.last && before >= CLEAR_MIN {
            self.clear();
        }
        self.forget_lost_through(through);
        while let Some(front) = self.segments.front() {
            if front.first > through {
                break;
            }
            if front.sealed && front.last() <= through {
                self.empty_front();
                self.drop_segment(0);
            } else {
                self.empty_front_through(through);
                break;
            }
        }
        let removed = before - self.messages;
        if through >= self.first {
            self.first = self.next_live(through);
        }
        if removed > 0 || self.dropped {
            self.last_entry = entry;
        }
        self.roll_if_worthwhile();
        removed
    }

    /// Counts and ends. When the first message is on disk, its time is exact after [`StreamStore::first_time_read`] only.
    #[must_use]
    pub fn state(&self) -> StoreState {
        let is_empty = self.messages == 0;
        StoreState {
            messages: self.messages,
            bytes: self.bytes,
            first_sequence: StreamSequence(self.first),
            first_time: if is_empty {
                Timestamp::UNSET
            } else {
                self.first_time()
            },
            last_sequence: StreamSequence(self.last),
            last_time: self.last_time,
            subjects: self.totals.subjects(),
            deleted: self.last + 1 - self.first - self.messages,
        }
    }

    /// The last sequence ever given out; zero when none was.
    #[must_use]
    pub fn last_sequence(&self) -> StreamSequence {
        StreamSequence(self.last)
    }

    /// The sequence of the first message; one past the last sequence when there is none.
    #[must_use]
    pub fn first_sequence(&self) -> StreamSequence {
        StreamSequence(self.first)
    }

    /// The time of the last message ever stored; [`Timestamp::UNSET`] when there was none.
    #[must_use]
    pub fn last_time(&self) -> Timestamp {
        self.last_time
    }

    /// The entry of the last change.
    #[must_use]
    pub fn last_entry(&self) -> EntryIndex {
        self.last_entry
    }

    /// How many messages there are.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// What the messages count for, see [`StoreState::bytes`]. With [`StreamStore::messages`] for limits, which need no
    /// times.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The segment that covers a sequence, by index.
    #[inline]
    fn segment_of(&self, sequence: u64) -> Option<usize> {
        let at = self.segment_before(sequence)?;
        (sequence <= self.segments.get(at)?.last()).then_some(at)
    }

    /// The last segment that begins at or before a sequence.
    #[inline]
    fn segment_before(&self, sequence: u64) -> Option<usize> {
        let last = self.segments.len().checked_sub(1)?;
        if self.segments.get(last)?.first <= sequence {
            return Some(last);
        }
        self.segments
            .partition_point(|segment| segment.first <= sequence)
            .checked_sub(1)
    }

    /// The first message after `sequence`, or one past the last sequence.
    fn next_live(&self, sequence: u64) -> u64 {
        let from = sequence + 1;
        let at = self.segment_before(from).unwrap_or(0);
        for segment in self
            .segments
            .range(at..)
            .filter(|segment| segment.messages > 0)
        {
            let skip = segment.slot_from(from);
            if let Some(slot) = column_scan::first_live(segment.columns.subjects(), skip) {
                return segment.sequence(slot);
            }
        }
        self.last + 1
    }

    /// The number of a subject.
    #[inline]
    fn intern(&mut self, subject: &[u8]) -> u32 {
        let known = self.ahead.take_current();
        if self.recent.name != subject || subject.is_empty() {
            let known = known.filter(|&id| self.subjects.name(id) == subject);
            self.recent.id = known.unwrap_or_else(|| self.subjects.intern(subject)).0;
            self.recent.name.clear();
            self.recent.name.extend_from_slice(subject);
        }
        self.recent.id
    }

    fn active(&self) -> &Segment {
        self.segments
            .back()
            .expect("a store always has an open segment")
    }

    /// Whether a segment is to be sealed for its age, and large enough to be worth a file.
    fn is_old(&self, segment: &Segment, now: Timestamp) -> bool {
        self.segment_age_max.is_some_and(|age_max| {
            let bytes_min = AGED_BYTES_MIN.min(self.options.segment_bytes_max / 4);
            let first = segment.columns.times().first();
            u64::from(segment.end) >= bytes_min
                && first.is_some_and(|&first| now.since(Timestamp::from_nanos(first)) >= age_max)
        })
    }

    fn push_segment(&mut self, first: u64) {
        let stream = self.files.as_ref().map(|files| files.id);
        self.segments
            .push_back(Segment::new(first.into(), self.last_time, stream));
    }

    /// Seals the open segment and begins the next one, for sequences from `first`.
    fn roll(&mut self, first: u64) {
        let sealed = self.segments.len() - 1;
        let active = self
            .segments
            .back_mut()
            .expect("a store always has an open segment");
        assert!(
            active.last() < first,
            "a new segment needs a name of its own"
        );
        active.sealed = true;
        if self.files.is_none() {
            // Those of a file are packed when their index is made.
            active.columns.pack();
        }
        let is_spent = active.is_spent();
        self.push_segment(first);
        let home = home(self.files.as_ref());
        self.segments
            .back_mut()
            .expect("it was pushed above")
            .begin(home);
        if is_spent {
            self.drop_segment(sealed);
        }
    }

    /// Gives the space of an emptied open segment back, when it is worth a new file.
    fn roll_if_worthwhile(&mut self) {
        let active = self.active();
        let worthwhile = u64::from(active.end) >= (1 << 20).min(self.options.segment_bytes_max / 2);
        if worthwhile && active.messages == 0 && active.columns.len() > 0 {
            self.roll(self.last + 1);
        }
    }

    /// Removes everything, without looking at any message.
    fn clear(&mut self) {
        if self.active().columns.len() > 0 {
            self.roll(self.last + 1);
        }
        self.totals.clear();
        (self.messages, self.bytes) = (0, 0);
        while self.segments.len() > 1 {
            let front = self.segments.front_mut().expect("there is more than one");
            (front.messages, front.bytes) = (0, 0);
            self.drop_segment(0);
        }
    }

    /// Empties the first segment, which is dropped next: no record has to say so.
    fn empty_front(&mut self) {
        let Some(segment) = self.segments.front_mut() else {
            return;
        };
        let totals = &mut self.totals;
        segment.columns.subjects().for_each(|slot, subject| {
            if subject < DAMAGED {
                totals.subtract(subject, segment.sequence(slot));
            }
        });
        self.messages -= std::mem::take(&mut segment.messages);
        self.bytes -= std::mem::take(&mut segment.bytes);
    }

    /// Empties the first segment up to and including `through`.
    fn empty_front_through(&mut self, through: u64) {
        let Some(segment) = self.segments.front_mut() else {
            return;
        };
        let (messages, bytes) = (segment.messages, segment.bytes);
        let slots = segment.slot_from(through.saturating_add(1));
        let is_on_disk = self.files.is_some();
        // Limits remove message by message from the front: what was emptied before is not looked at again.
        let start = segment.emptied;
        for slot in start..slots {
            if let Some((subject, _)) = segment.remove(slot) {
                self.totals.subtract(subject, segment.sequence(slot));
            } else if segment.columns.subjects().get(slot) == Some(DAMAGED) {
                segment.columns.replace(slot, REMOVED);
            } else {
                continue;
            }
            if is_on_disk {
                segment.note_removed(slot);
                self.unsaid += 1;
                self.may_compact = true;
            }
        }
        segment.emptied = start.max(slots);
        self.messages -= messages - segment.messages;
        self.bytes -= bytes - segment.bytes;
    }

    /// Forgets a sealed segment that holds no messages. Its file stays until a manifest without it is durable.
    fn drop_segment(&mut self, at: usize) {
        let Some(segment) = self.segments.remove(at) else {
            return;
        };
        assert!(
            segment.sealed && segment.messages == 0,
            "only empty segments are dropped"
        );
        self.dropped = true;
        let before = self.segments.front().filter(|_| at > 0);
        if let Some(front) = before
            && !is_planted(PlantedBug::RemovalsOfDroppedForgotten)
        {
            // Of those that are gone nothing has to be said again.
            let stays = |run: &Run| run.last >= front.first;
            self.again
                .extend(segment.foreign_runs().into_iter().filter(stays));
        }
        if segment.taken > 0 {
            self.obsolete.insert(segment.id());
        }
        self.forget_file(segment.id());
    }
}

impl Drop for StreamStore {
    fn drop(&mut self) {
        self.leave_memory();
    }
}

/// Where the headers of segments say they belong.
fn home(files: Option<&Files>) -> Option<Home<'_>> {
    files.map(|files| Home {
        id: files.id,
        name: &files.name,
    })
}
