//! Secure erase: the bytes of a message are overwritten in its file, the one write that changes what was written before.
//!
//! The command that erases is durable in the journal before anything is overwritten, and the journal keeps it until the
//! checkpoint that overwrites counts: a crash in between leaves at worst a record that is half overwritten, and replaying
//! the command overwrites it again. What the whole write leaves is a valid record that says that its message is gone.
//!
//! A file in blocks, compressed or sealed, is not overwritten: a block is valid as a whole, and the others in it would be lost
//! with the one. There the message is removed like any other, and its bytes go when compaction rewrites the segment or drops
//! it. What has not got to the file yet is overwritten in memory, so it never gets there.

use std::path::Path;
use std::sync::Arc;

use everjet_values::{EntryIndex, StreamSequence, Timestamp};

use crate::blocks::{Place, open_in_place};
use crate::index::{DAMAGED, REMOVED};
use crate::segment::{RecordSalt, put_erased};
use crate::{Disk, DiskFile, Fault, StreamId};

use super::file_id::{FileId, segment_path};
use super::segment::Segment;
use super::{Removed, StreamStore};

/// The place of a message that has to be overwritten.
#[derive(Clone)]
pub(super) struct Erasure {
    pub(super) file: FileId,
    salt: RecordSalt,
    start: u32,
    end: u32,
    message: (u64, Timestamp),
    /// It is part of a take that is not finished.
    pub(super) is_taken: bool,
}

impl StreamStore {
    /// Removes a message, and has its bytes overwritten: in memory at once, in its file with the next take. `None` when
    /// there is none that can be read. A damaged one is given up and overwritten, too: it may be what a crash in the
    /// middle of this has left.
    ///
    /// The entry has to be durable before the take is written.
    pub fn erase(&mut self, entry: EntryIndex, sequence: StreamSequence) -> Option<Removed> {
        let at = self.segment_of(sequence.0)?;
        let segment = self.segments.get_mut(at)?;
        let slot = segment.slot(sequence.0);
        let held = segment.columns.subjects().get(slot)?;
        if let Some(erasure) = Erasure::of(segment, slot).filter(|_| held != REMOVED) {
            if erasure.start >= segment.taken {
                segment.chunks.overwrite(erasure.start, &erasure.record());
            } else {
                self.erasures.push(erasure);
            }
        }
        if let Some(erased) = &mut self.erased_meanwhile {
            erased.push(sequence.0);
        }
        if held < DAMAGED {
            return self.remove(entry, sequence);
        }
        if held == DAMAGED {
            segment.columns.replace(slot, REMOVED);
            self.explained.push(sequence);
        }
        // An index file may take it for a message still.
        segment.note_removed(slot);
        self.unsaid += 1;
        self.may_compact = true;
        self.last_entry = entry;
        None
    }

    /// Whether messages wait to be overwritten in their files.
    #[must_use]
    pub fn has_erasures(&self) -> bool {
        !self.erasures.is_empty()
    }

    /// Messages that were damaged when the store was opened and have been erased since: the damage was the half of that.
    #[must_use]
    pub fn explained(&self) -> &[StreamSequence] {
        &self.explained
    }

    /// A segment was rewritten with messages that were erased meanwhile: they are overwritten in the new file.
    pub(super) fn erase_in(&mut self, at: usize) {
        let erased = self.erased_meanwhile.take().unwrap_or_default();
        let Some(segment) = self.segments.get(at) else {
            return;
        };
        let found = erased
            .into_iter()
            .filter_map(|sequence| Erasure::of(segment, segment.slot(sequence)));
        self.erasures.extend(found);
    }
}

impl Erasure {
    /// The message in a slot; `None` when there is no such slot, or its place is not its own.
    fn of(segment: &Segment, slot: usize) -> Option<Self> {
        let (start, end) = segment.columns.range(slot, segment.end)?;
        let is_shared = slot > 0
            && segment
                .columns
                .range(slot - 1, segment.end)
                .is_some_and(|(before, _)| before == start);
        let (time, _) = segment.columns.time_near(slot)?;
        (start < end && !is_shared).then_some(Self {
            file: segment.id(),
            salt: segment.salt()?,
            start,
            end,
            message: (segment.sequence(slot), Timestamp::from_nanos(time)),
            is_taken: false,
        })
    }

    fn record(&self) -> Vec<u8> {
        let mut record = Vec::new();
        let length = (self.end - self.start) as usize;
        put_erased(&mut record, self.salt, self.start, self.message, length);
        record
    }

    /// Overwrites the message; returns the file, to be synced. `None` when there is no file, or it is in blocks.
    pub(super) fn write(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        stream: StreamId,
    ) -> Result<Option<Arc<dyn DiskFile>>, Fault> {
        let path = segment_path(dir, self.file);
        let place = Place::segment(self.file.of(stream));
        let file = match open_in_place(disk, &path, place) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(Fault::open(&path))?,
        };
        let Some(file) = file else {
            return Ok(None);
        };
        file.write_all_at(&self.record(), u64::from(self.start))
            .map_err(Fault::write(&path))?;
        Ok(Some(file))
    }
}
