//! Loads one segment: from its index file, else from its footer, else record by record.

use std::path::PathBuf;

use everjet_subject::SubjectTable;
use everjet_values::{EntryIndex, StreamSequence, Timestamp};

use crate::blocks::{Place, read_whole};
use crate::index::{CheckpointSegment, DAMAGED, Frame, trailing_frame_length};
use crate::sabotage::{PlantedBug, is_planted};
use crate::segment::{HeaderError, Run, SegmentHeader};
use crate::{Disk, DiskFile, Fault, ManifestSegment, OpenMode, StreamId, read_exact_at};

use super::reader::open_segment;
use super::scan::Scan;
use super::segment::Segment;
use super::take::id_of;
use super::writes::remove_if_there;
use super::{Damage, OpenReport};

/// What is read at once where the disk has bad places.
const SECTOR_BYTES: usize = 4096;

/// What is known about a segment before it is loaded.
pub(super) struct Loader<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) id: StreamId,
    /// How long the headers of this stream's segments are.
    pub(super) header_length: usize,
    pub(super) path: PathBuf,
    /// The index file, if there is one.
    pub(super) index_path: Option<PathBuf>,
    pub(super) saved: &'a ManifestSegment,
    /// The entry of the state that is loaded.
    pub(super) entry: EntryIndex,
    /// The last sequence that the segment can have.
    pub(super) last_max: u64,
}

/// A segment, before messages and bytes are counted.
pub(super) struct Loaded {
    pub(super) segment: Segment,
    /// What its removal records say, about it and earlier ones.
    pub(super) runs: Vec<Run>,
    pub(super) damage: Vec<Damage>,
    pub(super) last_time: Timestamp,
    pub(super) last_sequence: u64,
    /// Whether the file is in blocks; one that is missing counts as such.
    pub(super) in_blocks: bool,
    /// Bytes read record by record; `None` when an index told everything.
    scanned: Option<u64>,
}

/// A frame that was found, and its bytes.
enum Index {
    /// It describes the whole segment.
    Whole(Vec<u8>),
    /// The records after those it describes have to be read.
    Part(Vec<u8>),
}

impl Loader<'_> {
    /// Loads the segment. `last_time` is the time of the last message before it, `known` what the checkpoint file says
    /// about one with this name.
    pub(super) fn load(
        &self,
        last_time: Timestamp,
        known: Option<CheckpointSegment>,
        subjects: &mut SubjectTable,
    ) -> Result<Loaded, Fault> {
        let mut segment = Segment::new(id_of(self.saved), last_time, Some(self.id));
        segment.sealed = self.saved.sealed;
        segment.finished = self.saved.sealed;
        segment.saved = self.saved.length;
        let mut loaded = Loaded {
            segment,
            runs: Vec::new(),
            damage: Vec::new(),
            last_time,
            last_sequence: 0,
            in_blocks: true,
            scanned: None,
        };
        if self.saved.length >= 1 << 32 {
            return Err(Fault::damaged(
                &self.path,
                "the manifest gives it 4 GiB or more",
            ));
        }
        let file = id_of(self.saved).of(self.id);
        let (file, in_blocks) = match open_segment(self.disk, &self.path, file) {
            Err(fault) if fault.is_missing() => {
                self.lose_whole(&mut loaded);
                return Ok(loaded);
            }
            // Its beginning cannot be read; the rest may be, if it is not in blocks.
            Err(fault) => match self.disk.open(&self.path, OpenMode::Read) {
                Ok(file) => (file, false),
                Err(_) => return Err(fault),
            },
            Ok(opened) => opened,
        };
        loaded.in_blocks = in_blocks;
        let length = file
            .len()
            .map_err(Fault::read(&self.path))?
            .min(self.saved.length);
        self.check_header(&*file, length, &mut loaded)?;
        // Files are only appended to: one with this name and length is the one that was written about, sealed or not.
        let is_this = |known: &CheckpointSegment| {
            known.length == length && (self.saved.sealed || u64::from(known.end) == length)
        };
        if let Some(known) = known.filter(|known| is_this(known) && length == self.saved.length) {
            use_checkpoint(known, &mut loaded);
            return Ok(loaded);
        }
        let index = match self.index_file()? {
            Some(whole @ Index::Whole(_)) => Some(whole),
            part => self.footer(&*file, length).or(part),
        };
        let is_whole = matches!(index, Some(Index::Whole(_)));
        if let Some(Index::Whole(bytes) | Index::Part(bytes)) = index {
            let frame = Frame::parse(&bytes).expect("it was parsed when it was found");
            use_frame(frame, &mut loaded, subjects);
        }
        if !is_whole {
            self.scan(&*file, length, &mut loaded, subjects);
        }
        self.lose_cut(length, &mut loaded);
        loaded.segment.count();
        let segment = &mut loaded.segment;
        if !segment.sealed {
            // Appending goes on behind what the manifest names, damaged or not.
            segment.end = self.offset(self.saved.length);
        }
        segment.taken = segment.end;
        segment.written = segment.end;
        Ok(loaded)
    }

    /// A missing file: every sequence that it can have held is damaged.
    fn lose_whole(&self, loaded: &mut Loaded) {
        let first = self.saved.first_sequence;
        let has_messages = first.0 <= self.last_max;
        loaded.scanned = Some(0);
        loaded.segment.lost_to = if has_messages { self.last_max } else { 0 };
        loaded.segment.taken = self.offset(self.saved.length);
        loaded.segment.end = loaded.segment.taken;
        loaded.damage.push(Damage {
            file: self.path.clone(),
            offset: 0,
            length: self.saved.length,
            sequences: has_messages.then_some((first, StreamSequence(self.last_max))),
            what: "the file is missing",
        });
    }

    /// Records prove by themselves where they belong, so a bad header is reported and costs nothing else.
    fn check_header(
        &self,
        file: &dyn DiskFile,
        length: u64,
        loaded: &mut Loaded,
    ) -> Result<(), Fault> {
        let bytes = self.read(file, 0, length.min(self.header_length as u64));
        match SegmentHeader::parse(&bytes) {
            Ok(header)
                if header.stream == self.id
                    && header.first == loaded.segment.first
                    && header.revision == loaded.segment.revision =>
            {
                loaded.segment.created = header.created.as_nanos();
                loaded.last_time = loaded.last_time.max(header.created);
                Ok(())
            }
            Err(HeaderError::Newer { version, supported }) => Err(Fault::NewerFormat {
                path: self.path.clone(),
                version,
                supported,
            }),
            result => {
                let what = match result {
                    Ok(_) => "the header belongs to another segment",
                    Err(_) => "the header fails its check",
                };
                loaded.damage.push(Damage {
                    file: self.path.clone(),
                    offset: 0,
                    length: self.header_length as u64,
                    sequences: None,
                    what,
                });
                Ok(())
            }
        }
    }

    /// The index file. One that knows of later entries or bytes than the manifest was written before a crash, for a state
    /// that never came to be: it is removed, or it would seem to fit once the stream has got as far again.
    fn index_file(&self) -> Result<Option<Index>, Fault> {
        let Some(index_path) = &self.index_path else {
            return Ok(None);
        };
        let place = Place::index(id_of(self.saved).of(self.id));
        let bytes = match read_whole(self.disk, index_path, place) {
            Ok(bytes) => bytes,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    // Nobody knows how late it is; it is derived and will be written again.
                    remove_if_there(self.disk, index_path)?;
                }
                return Ok(None);
            }
        };
        let Some(head) = Frame::parse(&bytes).map(|frame| frame.head) else {
            return Ok(None);
        };
        if head.stream != self.id || head.first != self.saved.first_sequence.0 {
            return Ok(None);
        }
        let is_later = head.entry > self.entry
            || u64::from(head.covered) > self.saved.length
            || (head.whole && !self.saved.sealed);
        if is_later && !is_planted(PlantedBug::LaterIndexAccepted) {
            remove_if_there(self.disk, index_path)?;
            return Ok(None);
        }
        Ok(Some(if head.whole {
            Index::Whole(bytes)
        } else {
            Index::Part(bytes)
        }))
    }

    /// The footer at the end of a sealed segment.
    fn footer(&self, file: &dyn DiskFile, length: u64) -> Option<Index> {
        if !self.saved.sealed || length < self.saved.length || length < 8 {
            return None;
        }
        let trailer = self.read(file, length - 8, length);
        let start = length.checked_sub(trailing_frame_length(*trailer.first_chunk()?))?;
        let bytes = self.read(file, start, length);
        let fits = Frame::parse(&bytes).is_some_and(|frame| {
            let head = frame.head;
            head.stream == self.id
                && head.first == self.saved.first_sequence.0
                && u64::from(head.covered) == start
                && head.entry <= self.entry
        });
        fits.then_some(Index::Whole(bytes))
    }

    /// Reads the records behind those that the segment has already.
    fn scan(
        &self,
        file: &dyn DiskFile,
        length: u64,
        loaded: &mut Loaded,
        subjects: &mut SubjectTable,
    ) {
        let base = match loaded.segment.end {
            0 => self.offset((self.header_length as u64).min(self.saved.length)),
            covered => covered,
        };
        let bytes = self.read(file, u64::from(base).min(length), length);
        let salt = loaded
            .segment
            .salt()
            .expect("the segment was made with a file");
        let found = Scan {
            segment: &mut loaded.segment,
            salt,
            subjects,
            bytes: &bytes,
            base,
            length: self.saved.length,
            sealed: self.saved.sealed,
            last_max: self.last_max,
            entry_max: self.entry,
        }
        .run();
        loaded.scanned = Some(bytes.len() as u64);
        loaded.last_sequence = loaded.last_sequence.max(found.last_sequence);
        loaded.last_time = loaded.last_time.max(Timestamp::from_nanos(found.last_time));
        loaded.runs.extend(found.runs);
        loaded
            .damage
            .extend(found.damage.into_iter().map(|damage| Damage {
                file: self.path.clone(),
                offset: damage.offset,
                length: damage.length,
                sequences: damage.sequences,
                what: damage.what,
            }));
    }

    /// A file that is too short: an index can name records that are not there any more.
    fn lose_cut(&self, length: u64, loaded: &mut Loaded) {
        let segment = &mut loaded.segment;
        let is_cut = |slot| {
            let range = segment.columns.range(slot, segment.end);
            range.is_some_and(|(_, end)| u64::from(end) > length)
        };
        if length == self.saved.length {
            return;
        }
        let slots = segment.columns.len();
        let first_cut = (0..slots)
            .rev()
            .take_while(|&slot| is_cut(slot))
            .last()
            .unwrap_or(slots);
        let mut cut = Vec::new();
        for slot in first_cut..slots {
            if segment.subject(slot).is_some() {
                segment.columns.replace(slot, DAMAGED);
                cut.push(StreamSequence(segment.sequence(slot)));
            }
        }
        let is_reported = loaded.damage.iter().any(|damage| damage.offset >= length);
        if is_reported && cut.is_empty() {
            return;
        }
        loaded.damage.push(Damage {
            file: self.path.clone(),
            offset: length,
            length: self.saved.length - length,
            sequences: cut.first().copied().zip(cut.last().copied()),
            what: "the file is too short",
        });
    }

    /// The bytes of a part of the file. Those that the disk cannot read are zeros, which no check takes for anything: one
    /// bad sector must not cost the stream.
    fn read(&self, file: &dyn DiskFile, from: u64, to: u64) -> Vec<u8> {
        let length = usize::try_from(to.saturating_sub(from)).expect("segments stay below 4 GiB");
        let mut bytes = vec![0; length];
        if read_exact_at(file, &mut bytes, from).is_ok() {
            return bytes;
        }
        let mut at = from;
        for piece in bytes.chunks_mut(SECTOR_BYTES) {
            if read_exact_at(file, piece, at).is_err() {
                piece.fill(0);
            }
            at += piece.len() as u64;
        }
        bytes
    }

    fn offset(&self, length: u64) -> u32 {
        u32::try_from(length).expect("the saved length was compared when loading began")
    }
}

impl OpenReport {
    /// Takes over what loading a segment found.
    pub(super) fn add(&mut self, loaded: &mut Loaded) {
        self.damaged.append(&mut loaded.damage);
        match loaded.scanned {
            Some(bytes) => {
                self.segments_scanned += 1;
                self.bytes_scanned += bytes;
            }
            None => self.segments_indexed += 1,
        }
    }
}

/// Takes over what the checkpoint file says. Its removals are in the columns already.
fn use_checkpoint(known: CheckpointSegment, loaded: &mut Loaded) {
    let segment = &mut loaded.segment;
    segment.end = known.end;
    segment.taken = known.end;
    segment.written = known.end;
    segment.created = known.created;
    segment.messages = known.messages;
    segment.bytes = known.bytes;
    segment.foreign = known.runs;
    segment.columns = known.columns;
    segment.indexed = segment.columns.len();
    segment.in_checkpoint = true;
    if !segment.sealed {
        segment.columns.unpack();
    }
    loaded.last_sequence = segment.last();
}

fn use_frame(frame: Frame<'_>, loaded: &mut Loaded, subjects: &mut SubjectTable) {
    let segment = &mut loaded.segment;
    segment.end = frame.head.covered;
    segment.foreign = frame.runs.to_vec().into();
    loaded.last_time = loaded.last_time.max(frame.head.last_time);
    segment.columns = frame.into_columns(subjects);
    segment.indexed = segment.columns.len();
    // What is damaged is found again at every start, so that it is reported.
    segment.is_evidence = segment.columns.subjects().holds(DAMAGED);
    loaded.runs = segment.foreign_runs();
    loaded.last_sequence = segment.last();
}
