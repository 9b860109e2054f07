//! Verifies the file of one segment, record by record and piece by piece, without trusting any index.
//!
//! What it finds is what a start without indexes would find. Sequences may jump: removed messages need no record.

use std::path::{Path, PathBuf};

use everjet_values::{EntryIndex, StreamSequence};

use crate::blocks::{Place, read_whole};
use crate::index::{Frame, starts_frame, trailing_frame_length};
use crate::segment::{
    Fields, HeaderError, RECORD_HEADER, RecordKind, RecordSalt, SegmentHeader, parse_record,
    view_record,
};
use crate::{Disk, DiskFile, Fault, ManifestSegment, StreamId, read_exact_at};

use super::Damage;
use super::file_id::{index_path, segment_path};
use super::reader::open_segment;
use super::take::id_of;

/// What is read at once.
const PIECE_BYTES: u64 = 256 << 10;
/// What is read at once where the disk has bad places.
const SECTOR_BYTES: usize = 4096;
/// Bytes of checksums that looking for the next record after damage may cost.
const SEARCH_BYTES_MAX: usize = 1 << 30;

/// The verification of one segment file. Needs memory for a piece, or for the largest record; behind damage for the rest of the file.
pub struct SegmentCheck {
    path: PathBuf,
    stream: StreamId,
    first: u64,
    header_length: u64,
    salt: RecordSalt,
    saved: ManifestSegment,
    /// No record is of a later entry.
    entry_max: EntryIndex,
    /// No message is behind this one.
    last_max: u64,
    file: Option<std::sync::Arc<dyn DiskFile>>,
    /// Where records end: before the footer, or where the file does.
    end: u64,
    at: u64,
    /// The file's bytes, of which those from `start` on begin at `at`.
    buffer: Vec<u8>,
    start: usize,
    /// Bytes that the file has, of those it should have.
    held: u64,
    /// Damage since the last message, and its bytes: the messages that it held are known when the next one is found.
    blamed: Option<Damage>,
    skipped: u64,
    /// The sequence that comes next when none was removed.
    expected: u64,
    counted: CheckedSegment,
}

/// What a verified segment holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckedSegment {
    /// Records of messages that hold their checks, removed and erased ones included.
    pub messages: u64,
    /// Bytes that were verified.
    pub bytes: u64,
    /// The last sequence that a message has; zero when there is none.
    pub last_sequence: StreamSequence,
    /// The last entry that a record is of.
    pub last_entry: EntryIndex,
}

impl SegmentCheck {
    /// Begins with the segment `saved` of the stream `name` in the folder `dir`. Its messages are at most of `entry_max` and
    /// not behind `last_max`.
    #[must_use]
    pub fn new(
        dir: &Path,
        stream: StreamId,
        name: &str,
        saved: ManifestSegment,
        entry_max: EntryIndex,
        last_max: StreamSequence,
    ) -> Self {
        let first = saved.first_sequence.0;
        Self {
            path: segment_path(dir, id_of(&saved)),
            stream,
            first,
            header_length: SegmentHeader::length(name.as_bytes(), saved.revision) as u64,
            salt: RecordSalt::new(stream, first).revised(saved.revision),
            saved,
            entry_max,
            last_max: last_max.0,
            file: None,
            end: 0,
            at: 0,
            buffer: Vec::new(),
            start: 0,
            held: 0,
            blamed: None,
            skipped: 0,
            expected: first,
            counted: CheckedSegment::default(),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was verified so far.
    #[must_use]
    pub fn counted(&self) -> CheckedSegment {
        self.counted
    }

    /// Goes on for about `bytes_max` bytes and adds what is wrong to `found`. Returns whether there is more to do.
    ///
    /// # Errors
    /// [`Fault`] when the file cannot be opened or read, or a newer version wrote it; a missing or short file is damage.
    pub fn step(
        &mut self,
        disk: &dyn Disk,
        bytes_max: u64,
        found: &mut Vec<Damage>,
    ) -> Result<bool, Fault> {
        let Some(file) = self.file.clone() else {
            return self.begin(disk, found);
        };
        let until = self.at.saturating_add(bytes_max.max(1));
        while self.at < self.end && self.at < until {
            self.fill(&*file, RECORD_HEADER as u64)?;
            let announced = self
                .rest(4)
                .first_chunk()
                .map_or(0, |length| u64::from(u32::from_le_bytes(*length)));
            if announced <= self.end - self.at {
                self.fill(&*file, announced)?;
            }
            let record = self.record_at(0);
            let record = record.map(|fields| {
                let sequence = fields.message.sequence.0;
                (fields.kind, fields.length, sequence, fields.entry)
            });
            match record {
                Some((kind, length, sequence, entry)) => {
                    self.counted.last_entry = self.counted.last_entry.max(entry);
                    if matches!(kind, RecordKind::Message | RecordKind::Erased) {
                        self.blame(sequence - 1, found);
                        self.counted.messages += 1;
                        self.counted.last_sequence = StreamSequence(sequence);
                        self.expected = sequence + 1;
                    }
                    self.counted.bytes += length as u64;
                    self.advance(length);
                }
                None => self.pass_damage(&*file, found)?,
            }
        }
        if self.at >= self.end {
            self.end_with(found);
        }
        Ok(self.at < self.end)
    }

    /// Opens the file and looks at its header and its end.
    fn begin(&mut self, disk: &dyn Disk, found: &mut Vec<Damage>) -> Result<bool, Fault> {
        let file = id_of(&self.saved).of(self.stream);
        let (file, _) = match open_segment(disk, &self.path, file) {
            Err(fault) if fault.is_missing() => {
                self.lose(0, self.saved.length, "the file is missing", found);
                self.blame(self.last_max, found);
                return Ok(false);
            }
            opened => opened?,
        };
        let held = file.len().map_err(Fault::read(&self.path))?;
        self.held = held.min(self.saved.length);
        let header = self.read(&*file, 0, self.header_length.min(self.held))?;
        match SegmentHeader::parse(&header) {
            Ok(header)
                if header.stream == self.stream
                    && header.first == self.first
                    && header.revision == self.saved.revision => {}
            Err(HeaderError::Newer { version, supported }) => {
                return Err(Fault::NewerFormat {
                    path: self.path.clone(),
                    version,
                    supported,
                });
            }
            Ok(_) => {
                let what = "the header belongs to another segment";
                found.push(self.damage(0, self.header_length, what));
            }
            Err(_) => {
                let what = "the header fails its check";
                found.push(self.damage(0, self.header_length, what));
            }
        }
        self.at = self.header_length.min(self.held);
        self.end = self.held;
        self.counted.bytes = self.at;
        if self.saved.sealed && self.held == self.saved.length {
            let footer = self.footer(&*file, self.held)?;
            self.counted.bytes += footer.map_or(0, |start| self.held - start);
            self.end = footer.unwrap_or(self.held);
        }
        self.file = Some(file);
        if self.at >= self.end {
            self.end_with(found);
        }
        Ok(self.at < self.end)
    }

    /// Where the footer begins, when it holds its check.
    fn footer(&self, file: &dyn DiskFile, length: u64) -> Result<Option<u64>, Fault> {
        let trailer = self.read(file, length.saturating_sub(8), length)?;
        let Some(trailer) = trailer.first_chunk() else {
            return Ok(None);
        };
        let Some(start) = length
            .checked_sub(trailing_frame_length(*trailer))
            .filter(|start| *start >= self.header_length)
        else {
            return Ok(None);
        };
        let bytes = self.read(file, start, length)?;
        let fits = Frame::parse(&bytes).is_some_and(|frame| {
            let head = frame.head;
            head.stream == self.stream
                && head.first == self.first
                && u64::from(head.covered) == start
        });
        Ok(fits.then_some(start))
    }

    /// A record at `skipped` bytes behind the position.
    fn record_at(&self, skipped: usize) -> Option<Fields<'_>> {
        let bytes = self.rest(skipped);
        let fields = view_record(bytes)?;
        let place = u32::try_from(self.at + skipped as u64).ok()?;
        (self.is_plausible(&fields) && self.at + (skipped + fields.length) as u64 <= self.end)
            .then(|| parse_record(bytes, self.salt, place))?
    }

    fn is_plausible(&self, fields: &Fields<'_>) -> bool {
        let sequence = fields.message.sequence.0;
        fields.entry <= self.entry_max
            && match fields.kind {
                RecordKind::Message | RecordKind::Erased => {
                    (self.expected..=self.last_max).contains(&sequence)
                }
                RecordKind::Removals => sequence >= self.first - 1,
                RecordKind::Skip => sequence == self.first,
            }
    }

    /// Looks for the next record, and says what lies between.
    fn pass_damage(&mut self, file: &dyn DiskFile, found: &mut Vec<Damage>) -> Result<(), Fault> {
        self.fill(file, self.end - self.at)?;
        let mut budget = SEARCH_BYTES_MAX;
        let (mut skipped, length) = (0, self.rest(0).len());
        while skipped < length {
            let rest = self.rest(skipped);
            if self.saved.sealed && starts_frame(rest) {
                break;
            }
            if let Some(fields) = view_record(rest).filter(|fields| self.is_plausible(fields)) {
                budget = budget.saturating_sub(fields.length);
                if budget == 0 {
                    skipped = length;
                } else if self.record_at(skipped).is_some() {
                    break;
                }
            }
            skipped += 1;
        }
        let skipped = skipped.min(length);
        let is_footer = skipped < length && self.record_at(skipped).is_none();
        if skipped > 0 {
            self.lose(self.at, skipped as u64, "no valid record", found);
        }
        if is_footer {
            let (at, length) = (self.at + skipped as u64, (length - skipped) as u64);
            found.push(self.damage(at, length, "the footer fails its check"));
            self.end = at;
        }
        self.advance(skipped);
        Ok(())
    }

    /// All records were seen.
    fn end_with(&mut self, found: &mut Vec<Damage>) {
        if self.held < self.saved.length {
            let missing = self.saved.length - self.held;
            self.lose(self.held, missing, "the file is too short", found);
        }
        self.blame(self.last_max, found);
    }

    /// Bytes that may have held messages are gone.
    fn lose(&mut self, at: u64, length: u64, what: &'static str, found: &mut Vec<Damage>) {
        found.extend(self.blamed.take());
        self.blamed = Some(self.damage(at, length, what));
        self.skipped += length;
    }

    /// Messages up to `last` were not found: damage is to blame, as far as it can have held them.
    fn blame(&mut self, last: u64, found: &mut Vec<Damage>) {
        let skipped = std::mem::take(&mut self.skipped);
        let Some(mut damage) = self.blamed.take() else {
            return;
        };
        let is_all_missing = damage.offset == 0;
        let possible = if is_all_missing {
            u64::MAX
        } else {
            skipped / RECORD_HEADER as u64
        };
        let last = last.min((self.expected - 1).saturating_add(possible));
        damage.sequences = (self.expected <= last)
            .then_some((StreamSequence(self.expected), StreamSequence(last)));
        found.push(damage);
    }

    fn rest(&self, skipped: usize) -> &[u8] {
        self.buffer.get(self.start + skipped..).unwrap_or_default()
    }

    fn advance(&mut self, length: usize) {
        self.start += length;
        self.at += length as u64;
    }

    /// Sees to it that `wanted` bytes from the position on are in the buffer, if the file has them.
    fn fill(&mut self, file: &dyn DiskFile, wanted: u64) -> Result<(), Fault> {
        let held = self.rest(0).len() as u64;
        if held >= wanted.min(self.end - self.at) {
            return Ok(());
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let from = self.at + held;
        let to = (self.at + wanted).max(from + PIECE_BYTES).min(self.end);
        let more = self.read(file, from, to)?;
        self.buffer.extend_from_slice(&more);
        Ok(())
    }

    fn read(&self, file: &dyn DiskFile, from: u64, to: u64) -> Result<Vec<u8>, Fault> {
        let length = usize::try_from(to.saturating_sub(from)).expect("segments stay below 4 GiB");
        let mut bytes = vec![0; length];
        let Err(error) = read_exact_at(file, &mut bytes, from) else {
            return Ok(bytes);
        };
        // Bad sectors are damage like any other: zeros, which no check takes for anything. A disk that reads nothing is not.
        let (mut at, mut readable) = (from, 0);
        for sector in bytes.chunks_mut(SECTOR_BYTES) {
            match read_exact_at(file, sector, at) {
                Ok(()) => readable += 1,
                Err(_) => sector.fill(0),
            }
            at += sector.len() as u64;
        }
        if readable == 0 {
            return Err(Fault::read(&self.path)(error));
        }
        Ok(bytes)
    }

    fn damage(&self, offset: u64, length: u64, what: &'static str) -> Damage {
        Damage {
            file: self.path.clone(),
            offset,
            length,
            sequences: None,
            what,
        }
    }
}

/// How many bytes the file of a segment holds, as the manifest counts them.
///
/// # Errors
/// What the disk says.
pub fn segment_length(
    disk: &dyn Disk,
    dir: &Path,
    stream: StreamId,
    segment: &ManifestSegment,
) -> Result<u64, Fault> {
    let id = id_of(segment);
    let path = segment_path(dir, id);
    let (file, _) = open_segment(disk, &path, id.of(stream))?;
    file.len().map_err(Fault::read(&path))
}

/// What is wrong with the index file of a segment, which only makes starts slower; `None` when it is sound or not there.
///
/// # Errors
/// What the disk says.
pub fn index_problem(
    disk: &dyn Disk,
    dir: &Path,
    stream: StreamId,
    saved: &ManifestSegment,
) -> Result<Option<(PathBuf, &'static str)>, Fault> {
    let path = index_path(dir, id_of(saved));
    let bytes = match read_whole(disk, &path, Place::index(id_of(saved).of(stream))) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(Fault::read(&path))?,
    };
    let what = match Frame::parse(&bytes).map(|frame| frame.head) {
        None => "it fails its check, as one that a crash cut short does",
        Some(head) if head.stream != stream || head.first != saved.first_sequence.0 => {
            "it belongs to another segment"
        }
        Some(_) => return Ok(None),
    };
    Ok(Some((path, what)))
}
