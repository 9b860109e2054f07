//! One segment of a stream store: its columns, its bytes in memory, and how far it is written.

use std::sync::Arc;

use everjet_values::{EntryIndex, Timestamp};

use crate::StreamId;
use crate::index::{Columns, DAMAGED, REMOVED};
use crate::segment::{
    RecordSalt, Run, SegmentHeader, decode_runs, encode_runs, message_size, put_message,
    put_removals, put_skip, record_length,
};

use super::NewMessage;
use super::chunks::{Chunks, Supply};
use super::file_id::FileId;
use super::sealing::Sealing;
use super::unsaid::Unsaid;

/// Where the segments of a store live; `None` in memory.
#[derive(Clone, Copy)]
pub(super) struct Home<'a> {
    pub(super) id: StreamId,
    pub(super) name: &'a str,
}

/// Consecutive sequences and their records.
pub(super) struct Segment {
    /// The first sequence; slot 0.
    pub(super) first: u64,
    /// How many times it was rewritten without what was removed.
    pub(super) revision: u32,
    pub(super) columns: Columns,
    pub(super) chunks: Chunks,
    /// Where the records end.
    pub(super) end: u32,
    /// Messages that can be read.
    pub(super) messages: u64,
    /// What they count for.
    pub(super) bytes: u64,
    /// The time of the last message before this segment; bounds the times in it from below.
    pub(super) created: i64,
    /// Nothing more is appended.
    pub(super) sealed: bool,
    /// Slots before this one hold nothing.
    pub(super) emptied: usize,
    /// Which removals no record says yet.
    pub(super) unsaid: Unsaid,
    /// Sequences after the last slot that were lost with the file, up to this one.
    pub(super) lost_to: u64,
    /// Blocks of runs: what the removal records in this segment say about earlier segments. When this segment is dropped,
    /// they have to be said again, or the removed messages would come back.
    pub(super) foreign: Arc<Vec<u8>>,
    /// Checksums of the records; `None` in memory.
    salt: Option<RecordSalt>,
    /// Bytes of the file that the manifest may name: what was taken for writing. Without the footer while that is being made.
    pub(super) saved: u64,
    /// The footer that was taken and is not known to be written.
    pub(super) sealing: Option<Arc<Sealing>>,
    /// Records before this offset were taken for writing, those before `written` are written.
    pub(super) taken: u32,
    pub(super) written: u32,
    /// The footer was taken, or there will be none.
    pub(super) finished: bool,
    /// Slots that the index file had when it was last taken.
    pub(super) indexed: usize,
    /// Something in its file failed a check. The file stays as it is: what can be learnt from it is in it.
    pub(super) is_evidence: bool,
    /// The checkpoint file knows it.
    pub(super) in_checkpoint: bool,
}

impl Segment {
    /// An empty segment for sequences from `first`. Its header is written by [`Segment::begin`].
    pub(super) fn new(id: FileId, created: Timestamp, stream: Option<StreamId>) -> Self {
        let FileId { first, revision } = id;
        Self {
            first,
            revision,
            columns: match revision {
                0 => Columns::default(),
                _ => Columns::sparse(),
            },
            chunks: Chunks::default(),
            end: 0,
            messages: 0,
            bytes: 0,
            created: created.as_nanos(),
            sealed: false,
            emptied: 0,
            unsaid: Unsaid::default(),
            lost_to: 0,
            foreign: Arc::default(),
            salt: stream.map(|stream| RecordSalt::new(stream, first).revised(revision)),
            saved: 0,
            sealing: None,
            taken: 0,
            written: 0,
            finished: false,
            indexed: 0,
            is_evidence: false,
            in_checkpoint: false,
        }
    }

    /// Puts the header in front, once, when the segment belongs to a file.
    pub(super) fn begin(&mut self, home: Option<Home<'_>>) {
        let Some(home) = home.filter(|_| self.end == 0) else {
            return;
        };
        let header = SegmentHeader {
            stream: home.id,
            first: self.first,
            revision: self.revision,
            created: Timestamp::from_nanos(self.created),
            name: home.name.as_bytes(),
        };
        let out = self.chunks.small_space(0);
        header.put(out);
        self.end = offset(out.len());
    }

    /// Whether a record of `length` bytes would make the segment outgrow `bytes_max`.
    #[inline]
    pub(super) fn is_full_for(&self, length: usize, bytes_max: u64) -> bool {
        self.columns.len() > 0 && u64::from(self.end) + length as u64 > bytes_max
    }

    /// Appends the next message.
    #[inline]
    pub(super) fn append(
        &mut self,
        entry: EntryIndex,
        message: &NewMessage<'_>,
        subject: u32,
        supply: Supply<'_>,
    ) {
        let length = record_length(message);
        let sequence = self.first + self.columns.len() as u64;
        let out = self.chunks.space(self.end, length, supply);
        put_message(out, self.salt, self.end, entry, sequence, message);
        self.chunks.count_message();
        let has_headers = !message.headers.is_empty();
        self.columns
            .push(self.end, has_headers, subject, message.time.as_nanos());
        self.end = offset(self.end as usize + length);
        self.messages += 1;
        self.bytes += message_size(length as u64, has_headers, self.salt.is_none());
    }

    /// Appends the record that says that the sequence was moved to this segment's first.
    pub(super) fn append_skip(&mut self, entry: EntryIndex, last_time: Timestamp) {
        let Some(salt) = self.salt else { return };
        self.columns.push_gap(self.end);
        let out = self.chunks.small_space(self.end);
        let before = out.len();
        put_skip(out, Some(salt), self.end, entry, (self.first, last_time));
        self.end = offset(self.end as usize + out.len() - before);
    }

    /// Appends a record that says that `runs`, merged, hold no messages any more.
    pub(super) fn append_removals(
        &mut self,
        entry: EntryIndex,
        last: (u64, Timestamp),
        runs: &[Run],
    ) {
        let Some(salt) = self.salt else { return };
        self.columns.push_gap(self.end);
        let out = self.chunks.small_space(self.end);
        let before = out.len();
        put_removals(out, salt, self.end, entry, last, runs);
        self.end = offset(self.end as usize + out.len() - before);
        self.keep_foreign(runs);
    }

    /// Keeps what a removal record of this segment says about earlier ones.
    pub(super) fn keep_foreign(&mut self, runs: &[Run]) {
        let earlier: Vec<Run> = runs
            .iter()
            .filter(|run| run.first < self.first)
            .map(|run| Run {
                first: run.first,
                last: run.last.min(self.first - 1),
            })
            .collect();
        if !earlier.is_empty() {
            encode_runs(&earlier, Arc::make_mut(&mut self.foreign));
        }
    }

    /// What the removal records of this segment say about earlier ones.
    pub(super) fn foreign_runs(&self) -> Vec<Run> {
        runs_of(&self.foreign)
    }

    /// Takes the message out of a slot; returns its subject and what it counted for.
    pub(super) fn remove(&mut self, slot: usize) -> Option<(u32, u64)> {
        let subject = self.subject(slot)?;
        let bytes = self.size_of(slot);
        self.columns.replace(slot, REMOVED);
        self.messages -= 1;
        self.bytes -= bytes;
        if self.salt.is_none() {
            let (start, _) = self
                .columns
                .range(slot, self.end)
                .expect("the slot was found above");
            self.chunks.release_message(start);
        }
        Some((subject, bytes))
    }

    /// Notes that a record has to say that a slot holds nothing any more.
    #[inline]
    pub(super) fn note_removed(&mut self, slot: usize) {
        self.unsaid.add(slot, self.columns.len());
    }

    /// Counts the messages in the columns.
    pub(super) fn count(&mut self) {
        let (mut messages, mut bytes) = (0, 0);
        self.columns.subjects().for_each(|slot, subject| {
            if subject < DAMAGED {
                messages += 1;
                bytes += self.size_of(slot);
            }
        });
        (self.messages, self.bytes) = (messages, bytes);
    }

    /// What the message in a slot counts for.
    pub(super) fn size_of(&self, slot: usize) -> u64 {
        let Some((start, end)) = self.columns.range(slot, self.end) else {
            return 0;
        };
        message_size(
            u64::from(end - start),
            self.columns.has_headers(slot),
            self.salt.is_none(),
        )
    }

    /// The slot of a sequence; one that does not exist when the sequence has none.
    #[inline]
    pub(super) fn slot(&self, sequence: u64) -> usize {
        // A sequence below `first` becomes a slot that no segment has.
        let distance = sequence.wrapping_sub(self.first);
        if !self.columns.is_sparse() {
            return usize::try_from(distance).unwrap_or(usize::MAX);
        }
        let slot = self.columns.slot_from(distance);
        if self.columns.distance(slot) == distance {
            slot
        } else {
            usize::MAX
        }
    }

    /// The first slot of a sequence at or after this one; the number of slots if there is none.
    #[inline]
    pub(super) fn slot_from(&self, sequence: u64) -> usize {
        self.columns.slot_from(sequence.saturating_sub(self.first))
    }

    /// The sequence of a slot.
    #[inline]
    pub(super) fn sequence(&self, slot: usize) -> u64 {
        self.first + self.columns.distance(slot)
    }

    /// The name of its file.
    pub(super) fn id(&self) -> FileId {
        FileId {
            first: self.first,
            revision: self.revision,
        }
    }

    /// The last sequence that this segment covers; one less than the first when it covers none.
    #[inline]
    pub(super) fn last(&self) -> u64 {
        (self.first + self.columns.span())
            .wrapping_sub(1)
            .max(self.lost_to)
    }

    /// The subject in a slot.
    #[inline]
    pub(super) fn subject(&self, slot: usize) -> Option<u32> {
        self.columns
            .subjects()
            .get(slot)
            .filter(|&subject| subject < DAMAGED)
    }

    /// Whether nothing is left that anybody could want: no messages, and no damage that could still be repaired from a copy.
    pub(super) fn is_spent(&self) -> bool {
        self.sealed
            && self.messages == 0
            && self.lost_to == 0
            && !self.columns.subjects().holds(DAMAGED)
    }

    /// A time that no message of this segment is before.
    pub(super) fn time_min(&self) -> i64 {
        self.columns
            .times()
            .first()
            .copied()
            .unwrap_or(self.created)
    }

    /// Checksums of the records in the file.
    pub(super) fn salt(&self) -> Option<RecordSalt> {
        self.salt
    }
}

/// The runs of some blocks.
pub(super) fn runs_of(blocks: &[u8]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut rest = blocks;
    while let Some((block, after)) = decode_runs(rest).filter(|_| !rest.is_empty()) {
        runs.extend(block);
        rest = after;
    }
    runs
}

fn offset(value: usize) -> u32 {
    let offset = u32::try_from(value).ok().filter(|&offset| offset < 1 << 31);
    offset.expect("a segment is sealed long before 2 GiB, and a message is below 1 GiB")
}
