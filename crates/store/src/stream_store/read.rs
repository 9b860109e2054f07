//! Reading messages: from memory, or from the segment file with the checksum verified.

use std::path::Path;
use std::sync::Arc;

use everjet_values::StreamSequence;

use crate::index::{DAMAGED, REMOVED};
use crate::memory::{BlockKey, Place};
use crate::segment::{Fields, RECORD_HEADER, parse_record, view_record};

use super::chunks;
use super::cold::{ColdRead, Fetched, Lookup, is_message};
use super::file_id::segment_path;
use super::message::{MessageView, ReadError, StoredMessage};
use super::reader::Found;
use super::segment::Segment;
use super::{Damage, Files, StreamStore};

/// How much is read at once for somebody who reads in order.
const BLOCK_BYTES: u32 = 256 << 10;
/// Who leaves out less than this still reads in order.
const ORDERED_GAP_MAX: u32 = BLOCK_BYTES / 4;

/// A message on disk.
struct Target<'a> {
    segment: &'a Segment,
    slot: usize,
    sequence: StreamSequence,
    range: (u32, u32),
}

impl StreamStore {
    /// Reads a message: from memory, or from its file, where its checksum must hold. Waits for the disk: for tools, tests and
    /// start-up. Who serves a stream uses [`StreamStore::lookup`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn get(&self, sequence: StreamSequence) -> Result<StoredMessage, ReadError> {
        let after = self.reader.swap_last_read(sequence);
        match self.lookup(sequence, Some(after))? {
            Lookup::Ready(message) => Ok(message),
            Lookup::Cold(read) => {
                self.admit([read.run()]);
                let answer = self.lookup(sequence, None);
                self.release_reads();
                match answer? {
                    Lookup::Ready(message) => Ok(message),
                    Lookup::Cold(_) => unreachable!("what was read is held, and nothing changed"),
                }
            }
        }
    }

    /// Looks for a message without waiting for the disk. `after` is what the same reader read before, if anything: who reads in
    /// order gets blocks, others single messages.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn lookup(
        &self,
        sequence: StreamSequence,
        after: Option<StreamSequence>,
    ) -> Result<Lookup<StoredMessage>, ReadError> {
        self.lookup_or(sequence, |target| {
            let found = self.look_back(&target)?;
            Ok(found.map_or_else(
                || Lookup::Cold(self.plan(&target, self.is_in_order(&target, after))),
                Lookup::Ready,
            ))
        })
    }

    /// As [`StreamStore::lookup`] for one message, without asking what was read back before: for those who first look whether
    /// the operating system has it in memory ([`ColdRead::message_now`]), which costs less.
    ///
    /// # Errors
    /// See [`ReadError`]; only what is known without looking at the message.
    pub fn lookup_one(&self, sequence: StreamSequence) -> Result<Lookup<StoredMessage>, ReadError> {
        self.lookup_or(sequence, |target| {
            Ok(Lookup::Cold(self.plan(&target, false)))
        })
    }

    /// The message from what never left memory, or what `look_back` says of its place on disk.
    fn lookup_or<'a>(
        &'a self,
        sequence: StreamSequence,
        look_back: impl FnOnce(Target<'a>) -> Result<Lookup<StoredMessage>, ReadError>,
    ) -> Result<Lookup<StoredMessage>, ReadError> {
        let (segment, slot) = self.locate(sequence)?;
        let range = range(segment, slot);
        match segment.chunks.find(range.0, range.1) {
            Some(chunks::Found::Frozen(chunk, at)) => {
                let bytes = chunk.get(at..).unwrap_or_default();
                Ok(Lookup::Ready(stored(chunk, at, &in_memory(bytes).message)))
            }
            Some(chunks::Found::Open(bytes)) => {
                let chunk = Arc::new(bytes.to_vec());
                Ok(Lookup::Ready(stored(&chunk, 0, &in_memory(bytes).message)))
            }
            None => {
                let target = Target {
                    segment,
                    slot,
                    sequence,
                    range,
                };
                look_back(target)
            }
        }
    }

    /// Takes what was read for a [`Lookup::Cold`]: until [`StreamStore::release_reads`] the store answers with it, failures
    /// included. What was read from a file that is not the segment's any more is not used.
    pub fn admit(&self, fetched: impl IntoIterator<Item = Fetched>) {
        self.reader.hold(fetched);
    }

    /// Lets go of what was admitted; the memory that all stores share keeps what it has room for.
    pub fn release_reads(&self) {
        self.reader.release();
    }

    /// Looks at a message that is in memory, without a copy; `None` when [`StreamStore::lookup`] has to be asked.
    #[must_use]
    pub fn view(&self, sequence: StreamSequence) -> Option<MessageView<'_>> {
        let (segment, slot) = self.locate(sequence).ok()?;
        let (start, end) = range(segment, slot);
        let bytes = match segment.chunks.find(start, end)? {
            chunks::Found::Frozen(chunk, at) => chunk.get(at..)?,
            chunks::Found::Open(bytes) => bytes,
        };
        Some(in_memory(bytes).message)
    }

    /// Whether [`StreamStore::lookup`] has an answer. True for a sequence that holds no message.
    #[must_use]
    pub fn is_resident(&self, sequence: StreamSequence) -> bool {
        !matches!(self.lookup(sequence, None), Ok(Lookup::Cold(_)))
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

    /// The segment and slot of a message.
    pub(super) fn locate(&self, sequence: StreamSequence) -> Result<(&Segment, usize), ReadError> {
        let at = self
            .segment_of(sequence.0)
            .and_then(|at| self.segments.get(at));
        let Some(segment) = at else {
            return Err(self.absent(sequence));
        };
        let slot = segment.slot(sequence.0);
        match segment.columns.subjects().get(slot) {
            Some(REMOVED) => Err(self.absent(sequence)),
            Some(DAMAGED) => Err(self.damaged(segment, sequence)),
            None if sequence.0 <= segment.lost_to => Err(self.damaged(segment, sequence)),
            None => Err(self.absent(sequence)),
            Some(_) => Ok((segment, slot)),
        }
    }

    /// Why there is no message.
    fn absent(&self, sequence: StreamSequence) -> ReadError {
        if let Some(damaged) = self.given_up(sequence) {
            damaged
        } else if sequence.0 < self.first || sequence.0 > self.last {
            ReadError::NotFound
        } else {
            ReadError::Deleted
        }
    }

    /// The message from what was read back before; `None` when it has to be read.
    fn look_back(&self, target: &Target<'_>) -> Result<Option<StoredMessage>, ReadError> {
        let Target {
            segment,
            sequence,
            range,
            ..
        } = *target;
        let keys = self.keys(segment, range.0);
        let (chunk, at, is_sound) = match self.reader.find(keys, range) {
            Found::Nothing => return Ok(None),
            Found::Bytes(chunk, at, is_sound) => (chunk, at, is_sound),
            Found::Missing => {
                return Err(self.found_damaged(segment, sequence, range, "the bytes are gone"));
            }
            Found::Fault(fault) => return Err(ReadError::Fault(fault)),
        };
        let length = (range.1 - range.0) as usize;
        let record = chunk.get(at..at + length).unwrap_or_default();
        let fields = match segment.salt() {
            Some(salt) if !is_sound => parse_record(record, salt, range.0),
            _ => view_record(record),
        };
        match fields.filter(|fields| is_message(fields, length, sequence.0)) {
            Some(fields) => Ok(Some(stored(&chunk, at, &fields.message))),
            None => {
                self.reader.forget(keys);
                Err(self.found_damaged(segment, sequence, range, "no valid record"))
            }
        }
    }

    /// What to read for a message: its block for somebody who reads in order, else nothing but the message.
    fn plan(&self, target: &Target<'_>, in_order: bool) -> ColdRead {
        let segment = target.segment;
        let (Some(Files { disk, dir, .. }), Some(salt)) = (&self.files, segment.salt()) else {
            unreachable!("a store without files has all messages in memory");
        };
        let [block, record] = self.keys(segment, target.range.0);
        let (key, (from, to)) = if in_order {
            (block, block_range(target))
        } else {
            (record, target.range)
        };
        ColdRead {
            disk: Arc::clone(disk),
            memory: Arc::clone(&self.reader.memory),
            dir: Arc::clone(dir),
            key,
            from,
            to,
            wanted: target.range,
            sequence: target.sequence.0,
            salt,
        }
    }

    /// Whether the message comes soon enough after `after` that what lies between is worth reading.
    fn is_in_order(&self, target: &Target<'_>, after: Option<StreamSequence>) -> bool {
        let Some(after) = after.filter(|after| *after < target.sequence) else {
            return false;
        };
        let begin = target.range.0;
        let at = self
            .segment_of(after.0)
            .and_then(|at| self.segments.get(at));
        let Some(segment) = at else {
            // Removed with its whole segment meanwhile, as in a work queue.
            return begin < ORDERED_GAP_MAX;
        };
        let next = segment.slot_from(after.0 + 1);
        let end = segment
            .columns
            .range(next, segment.end)
            .map_or(segment.end, |(start, _)| start);
        if segment.id() == target.segment.id() {
            return begin.saturating_sub(end) < ORDERED_GAP_MAX;
        }
        begin < ORDERED_GAP_MAX
            && segment.end.saturating_sub(end) < ORDERED_GAP_MAX
            && segment.last() + 1 >= target.segment.first
    }

    /// The names under which bytes at an offset can have been kept.
    fn keys(&self, segment: &Segment, offset: u32) -> [BlockKey; 2] {
        let stream = self.files.as_ref().map(|files| files.id);
        let stream = stream.expect("a store without files has all messages in memory");
        let file = segment.id().of(stream);
        let places = [Place::Block(offset / BLOCK_BYTES), Place::Record(offset)];
        places.map(|place| BlockKey { file, place })
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

/// The written records that begin in the same block of the file as the target.
fn block_range(target: &Target<'_>) -> (u32, u32) {
    let Target { segment, slot, .. } = *target;
    let block = target.range.0 / BLOCK_BYTES * BLOCK_BYTES;
    let until = block.saturating_add(BLOCK_BYTES).min(segment.written);
    let begins_before = |slot: usize, offset: u32| {
        let range = segment.columns.range(slot, segment.end);
        range.is_some_and(|(start, _)| start < offset)
    };
    // A block holds few slots compared to a segment: both ends are near.
    let search = |mut low: usize, mut high: usize, offset: u32| {
        while low < high {
            let middle = low + (high - low) / 2;
            if begins_before(middle, offset) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    };
    let first = search(0, slot, block);
    let after = search(slot + 1, segment.columns.len(), until);
    (range(segment, first).0, range(segment, after - 1).1)
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
