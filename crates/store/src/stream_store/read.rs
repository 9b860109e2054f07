//! Reading messages: from memory, or from the segment file with the checksum verified.

use std::path::Path;
use std::sync::Arc;

use everjet_values::{StreamSequence, Timestamp};

use crate::index::{DAMAGED, REMOVED};
use crate::segment::{Fields, RECORD_HEADER, RecordKind, parse_record, view_record};

use super::chunks::Found;
use super::file_id::segment_path;
use super::message::{MessageView, ReadError, StoredMessage};
use super::reader::ReadFailure;
use super::segment::Segment;
use super::{Damage, Files, StreamStore};

impl StreamStore {
    /// Reads a message: from memory, or from its file, where its checksum must hold.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn get(&self, sequence: StreamSequence) -> Result<StoredMessage, ReadError> {
        let (segment, slot) = self.locate(sequence)?;
        let (start, end) = range(segment, slot);
        match segment.chunks.find(start, end) {
            Some(Found::Frozen(chunk, at)) => {
                let bytes = chunk.get(at..).unwrap_or_default();
                Ok(stored(chunk, at, &in_memory(bytes).message))
            }
            Some(Found::Open(bytes)) => {
                let chunk = Arc::new(bytes.to_vec());
                Ok(stored(&chunk, 0, &in_memory(bytes).message))
            }
            None => self.read(segment, sequence, (start, end)),
        }
    }

    /// Looks at a message that is in memory, without a copy; `None` when [`StreamStore::get`] has to be asked.
    #[must_use]
    pub fn view(&self, sequence: StreamSequence) -> Option<MessageView<'_>> {
        let (segment, slot) = self.locate(sequence).ok()?;
        let (start, end) = range(segment, slot);
        let bytes = match segment.chunks.find(start, end)? {
            Found::Frozen(chunk, at) => chunk.get(at..)?,
            Found::Open(bytes) => bytes,
        };
        Some(in_memory(bytes).message)
    }

    /// Whether [`StreamStore::get`] answers without the disk. True for a sequence that holds no message.
    #[must_use]
    pub fn is_resident(&self, sequence: StreamSequence) -> bool {
        self.locate(sequence).ok().is_none_or(|(segment, slot)| {
            let (start, end) = range(segment, slot);
            segment.chunks.find(start, end).is_some() || self.reader.has(segment.id(), start, end)
        })
    }

    /// Whether the sequence holds a message that was not known to be damaged.
    #[must_use]
    pub fn contains(&self, sequence: StreamSequence) -> bool {
        self.subject_id(sequence).is_some()
    }

    /// What a message counts for in [`StoreState::bytes`](crate::StoreState::bytes).
    #[must_use]
    pub fn size_of(&self, sequence: StreamSequence) -> Option<u64> {
        self.locate(sequence)
            .ok()
            .map(|(segment, slot)| segment.size_of(slot))
    }

    /// When the message was stored; reads from disk when it is not resident.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn time_of(&self, sequence: StreamSequence) -> Result<Timestamp, ReadError> {
        match self.view(sequence) {
            Some(message) => Ok(message.time),
            None => self.get(sequence).map(|message| message.time),
        }
    }

    /// The first message that is not older than `time`; one past the last sequence when all are older. Reads at most 64
    /// neighbouring messages from disk, in a binary search; one that cannot be read counts as not older.
    #[must_use]
    pub fn first_at_or_after(&self, time: Timestamp) -> StreamSequence {
        if self.messages == 0 || time > self.last_time {
            return StreamSequence(self.last + 1);
        }
        let nanos = time.as_nanos();
        let after = self
            .segments
            .partition_point(|segment| segment.time_min() < nanos);
        // The last segment with a time below is where it happens; those without slots have no times of their own.
        let found = self
            .segments
            .range(..after)
            .rev()
            .find(|segment| segment.columns.len() > 0);
        let Some(segment) = found else {
            return StreamSequence(self.first);
        };
        let step = segment
            .columns
            .times()
            .partition_point(|&kept| kept < nanos);
        let slots = segment.columns.slots_of_step(step.saturating_sub(1));
        let next = segment.sequence(slots.end.saturating_sub(1)) + 1;
        let live: Vec<StreamSequence> = slots
            .filter(|&slot| segment.subject(slot).is_some())
            .map(|slot| StreamSequence(segment.sequence(slot)))
            .collect();
        let older = live
            .partition_point(|&sequence| self.time_of(sequence).is_ok_and(|stored| stored < time));
        live.get(older)
            .copied()
            .unwrap_or_else(|| StreamSequence(self.next_live(next - 1).max(self.first)))
    }

    /// The time of the first message; when it cannot be read, a time not after it.
    pub(super) fn first_time(&self) -> Timestamp {
        self.time_of(StreamSequence(self.first))
            .unwrap_or_else(|_| {
                let at = self
                    .segment_of(self.first)
                    .and_then(|at| self.segments.get(at));
                Timestamp::from_nanos(at.map_or(i64::MIN, |segment| segment.time_min()))
            })
    }

    /// The segment and slot of a message.
    pub(super) fn locate(&self, sequence: StreamSequence) -> Result<(&Segment, usize), ReadError> {
        let at = self
            .segment_of(sequence.0)
            .and_then(|at| self.segments.get(at));
        let absent = if sequence.0 < self.first || sequence.0 > self.last {
            ReadError::NotFound
        } else {
            ReadError::Deleted
        };
        let segment = at.ok_or_else(|| absent.clone())?;
        let slot = segment.slot(sequence.0);
        match segment.columns.subjects().get(slot) {
            Some(&REMOVED) => Err(absent),
            Some(&DAMAGED) => Err(self.damaged(segment, sequence)),
            None if sequence.0 <= segment.lost_to => Err(self.damaged(segment, sequence)),
            None => Err(absent),
            Some(_) => Ok((segment, slot)),
        }
    }

    fn read(
        &self,
        segment: &Segment,
        sequence: StreamSequence,
        range: (u32, u32),
    ) -> Result<StoredMessage, ReadError> {
        let (Some(Files { disk, dir, .. }), Some(salt)) = (&self.files, segment.salt()) else {
            unreachable!("a store without files has all messages in memory");
        };
        let (chunk, at) = match self
            .reader
            .read(&**disk, dir, segment.id(), range, segment.written)
        {
            Ok(found) => found,
            Err(ReadFailure::Missing) => {
                return Err(self.found_damaged(segment, sequence, range, "the bytes are gone"));
            }
            Err(ReadFailure::Fault(fault)) => return Err(ReadError::Fault(fault)),
        };
        let length = (range.1 - range.0) as usize;
        let record = chunk.get(at..at + length).unwrap_or_default();
        let fields = parse_record(record, salt, range.0).filter(|fields| {
            fields.kind == RecordKind::Message
                && fields.length == length
                && fields.message.sequence == sequence
        });
        match fields {
            Some(fields) => Ok(stored(&chunk, at, &fields.message)),
            None => {
                self.reader.forget(segment.id());
                Err(self.found_damaged(segment, sequence, range, "no valid record"))
            }
        }
    }

    /// A message that was sound when the store was opened, or was not looked at since.
    fn found_damaged(
        &self,
        segment: &Segment,
        sequence: StreamSequence,
        (from, to): (u32, u32),
        what: &'static str,
    ) -> ReadError {
        let error = self.damaged(segment, sequence);
        if let ReadError::Damaged { file, .. } = &error {
            self.note_damage(Damage {
                file: file.clone(),
                offset: u64::from(from),
                length: u64::from(to - from),
                sequences: Some((sequence, sequence)),
                what,
            });
        }
        error
    }

    fn damaged(&self, segment: &Segment, sequence: StreamSequence) -> ReadError {
        let dir = self
            .files
            .as_ref()
            .map_or(Path::new(""), |files| &files.dir);
        ReadError::Damaged {
            file: segment_path(dir, segment.id()),
            sequence,
        }
    }
}

/// Where the record of a slot lies.
fn range(segment: &Segment, slot: usize) -> (u32, u32) {
    segment
        .columns
        .range(slot, segment.end)
        .expect("the slot was found")
}

fn in_memory(bytes: &[u8]) -> Fields<'_> {
    view_record(bytes).expect("what never left memory is a record")
}

fn stored(chunk: &Arc<Vec<u8>>, at: usize, message: &MessageView<'_>) -> StoredMessage {
    StoredMessage::new(Arc::clone(chunk), at + RECORD_HEADER, message)
}
