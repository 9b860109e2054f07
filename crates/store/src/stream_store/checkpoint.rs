//! `checkpoint.bin`: what is known about all sealed segments, and after an orderly end about the open one, in one file, so that a start reads it instead of their
//! index files one by one. Derived: when it is missing, damaged or older, a start takes longer and finds the same.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use everjet_subject::{SubjectHashes, SubjectNames, SubjectTable};
use everjet_values::{EntryIndex, Timestamp};

use crate::blocks::{Place, open, open_to_write};
use crate::index::{
    CHECKPOINT_HEAD, COUNT_BYTES, CheckpointHead, CheckpointSegment, Columns, FileNumbers, Section,
    Sections, hash_sections, read_hashes, read_subjects, write_hashes,
};
use crate::sabotage::{PlantedBug, is_planted};
use crate::{Disk, DiskFile, Fault, Job, OpenMode, StreamId, read_exact_at};

use super::StreamStore;
use super::file_id::FileId;
use super::sealing::Sealing;
use super::segment::Segment;
use super::writes::remove_if_there;

/// The file, in the stream's folder.
pub(super) const CHECKPOINT: &str = "checkpoint.bin";
/// Where it is written before it gets its name; left over from a crash, it is removed.
pub(super) const CHECKPOINT_NEW: &str = "checkpoint.bin.new";

/// Subjects and segments of a file from this length on are read at the same time.
const TOGETHER_BYTES_MIN: u64 = 1 << 20;

/// The file is written anew for the open segment only when that has at least this share of what the file knows.
const OPEN_SHARE: u64 = 64;

/// What becomes of the open segment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    /// It will have grown by the time the file is used.
    LeftOut,
    /// The next start will find it as it is.
    Included,
}

/// A checkpoint file to be written: what is in it is shared with the store.
#[must_use = "a checkpoint that is not written makes the next start slower"]
pub struct CheckpointWrite {
    dir: PathBuf,
    head: CheckpointHead,
    names: SubjectNames,
    segments: Vec<CheckpointSegment>,
    /// Those of which the footer and small columns are being made.
    sealing: Vec<(usize, Arc<Sealing>)>,
}

impl CheckpointWrite {
    /// Writes the file beside the old one and puts it in its place. Not synced: what a power cut leaves of it fails its
    /// check and is not used.
    ///
    /// # Errors
    /// What the disk says. Nothing depends on the file, and the old one is there still or none is.
    pub fn write(&self, disk: &dyn Disk) -> Result<(), Fault> {
        let path = self.dir.join(CHECKPOINT_NEW);
        remove_if_there(disk, &path)?;
        self.write_to(disk, &path).map_err(|error| {
            // On a full disk the remains would take the space that others wait for.
            let _gone = disk.remove_file(&path);
            Fault::write(&path)(error)
        })
    }

    fn write_to(&self, disk: &dyn Disk, path: &Path) -> io::Result<()> {
        if disk.keys().is_some() {
            // A file in blocks is written from its beginning to its end, and this one's beginning is known last.
            let mut whole = Vec::new();
            self.write_parts(&mut |bytes, at| put_at(&mut whole, bytes, at))?;
            let place = Place::checkpoint(self.head.stream);
            open_to_write(disk, path, place, 0, false)?.write_all_at(&whole, 0)?;
        } else {
            let file = disk.open(path, OpenMode::CreateNew)?;
            self.write_parts(&mut |bytes, at| file.write_all_at(bytes, at))?;
        }
        disk.rename(path, &self.dir.join(CHECKPOINT))
    }

    /// Writes each part at its place.
    fn write_parts(&self, write: &mut dyn FnMut(&[u8], u64) -> io::Result<()>) -> io::Result<()> {
        let mut segments = self.segments.clone();
        for (at, sealing) in &self.sealing {
            if let Some(segment) = segments.get_mut(*at) {
                segment.columns = sealing.pack(&segment.columns);
                segment.length += sealing.footer().len() as u64;
            }
        }
        let numbers = FileNumbers::new(&segments, self.names.len());
        let mut sections = Sections::default();
        let hashes = numbers.hashes(&self.names);
        let head = CheckpointHead {
            seed: hashes.seed(),
            check: SubjectHashes::check(hashes.seed()),
            ..self.head
        };
        // How many sections there will be is known, so that they can be written in one go.
        let before_segments = numbers.sections() + hash_sections(&hashes);
        let mut position = CheckpointHead::list_end(before_segments + segments.len());
        numbers.write_subjects(&self.names, |bytes| {
            sections.subjects.push(Section::of(bytes));
            write(bytes, position)?;
            position += bytes.len() as u64;
            io::Result::Ok(())
        })?;
        write_hashes(&hashes, |bytes| {
            sections.hashes.push(Section::of(bytes));
            write(bytes, position)?;
            position += bytes.len() as u64;
            io::Result::Ok(())
        })?;
        let mut bytes = Vec::new();
        for segment in &segments {
            bytes.clear();
            segment.put(&numbers, &mut bytes);
            sections.segments.push(Section::of(&bytes));
            write(&bytes, position)?;
            position += bytes.len() as u64;
        }
        write(&head.encode(&sections), 0)
    }
}

/// Puts bytes at their place in a file that is made in memory.
fn put_at(whole: &mut Vec<u8>, bytes: &[u8], at: u64) -> io::Result<()> {
    let at = usize::try_from(at).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let end = at + bytes.len();
    if whole.len() < end {
        whole.resize(end, 0);
    }
    if let Some(place) = whole.get_mut(at..end) {
        place.copy_from_slice(bytes);
    }
    Ok(())
}

impl StreamStore {
    /// The checkpoint file, when the segments that it does not know hold a quarter as much as those that it does: so all of
    /// them together cost a few times as much as one. Or when half of what it knows is gone.
    pub(super) fn take_grown_checkpoint(&mut self) -> Option<CheckpointWrite> {
        let (known, unknown) = self.sealed_slots();
        let gone = self.checkpointed.saturating_sub(known);
        let least = self.options.checkpoint_messages_min.max(1);
        let has_grown = unknown >= least && unknown > known / 4;
        let has_shrunk = gone >= least && gone > known;
        (has_grown || has_shrunk).then(|| self.make_checkpoint(Open::LeftOut))?
    }

    /// The checkpoint file for an orderly end, with the open segment: when the last one does not know all sealed segments, or
    /// not the open one as it is now and that is much. `None` also while there is something that was not taken for writing: the
    /// file must not know more than the manifest.
    pub fn take_last_checkpoint(&mut self) -> Option<CheckpointWrite> {
        let (known, unknown) = self.sealed_slots();
        let open = self.open_slots();
        let is_open_due = open > 0
            && open >= known / OPEN_SHARE
            && self.open_in_checkpoint != self.active().saved;
        let is_due = unknown > 0 || is_open_due;
        let is_much = known + unknown + open >= self.options.checkpoint_messages_min;
        let is_taken =
            |segment: &Segment| segment.taken == segment.end && segment.sealed == segment.finished;
        let is_said = |segment: &Segment| segment.unsaid.is_empty();
        let is_saved = self.again.is_empty()
            && self
                .segments
                .iter()
                .all(|segment| is_taken(segment) && is_said(segment));
        (is_due && is_much && is_saved).then(|| self.make_checkpoint(Open::Included))?
    }

    /// Slots of the open segment, if a checkpoint may say all there is to say about it once it is taken.
    fn open_slots(&self) -> u64 {
        let open = self.active();
        let may_be = !open.sealed && !open.is_evidence && open.lost_to == 0 && open.saved > 0;
        if may_be { open.columns.len() as u64 } else { 0 }
    }

    pub(super) fn make_checkpoint(&mut self, open: Open) -> Option<CheckpointWrite> {
        let files = self.files.as_ref()?;
        let with_open = open == Open::Included && self.open_slots() > 0;
        self.open_in_checkpoint = if with_open { self.active().saved } else { 0 };
        self.checkpointed = 0;
        for segment in &mut self.segments {
            segment.in_checkpoint = is_complete(segment);
            if segment.in_checkpoint {
                self.checkpointed += segment.columns.len() as u64;
            }
        }
        let is_in = |segment: &&Segment| segment.in_checkpoint || (with_open && !segment.sealed);
        let segments = || self.segments.iter().filter(is_in);
        let sealing = |(at, segment): (usize, &Segment)| Some((at, segment.sealing.clone()?));
        Some(CheckpointWrite {
            dir: files.dir.to_path_buf(),
            head: CheckpointHead {
                stream: files.id,
                entry: self.last_entry,
                last_time: self.last_time,
                // Known when it is written.
                seed: 0,
                check: 0,
            },
            names: self.subjects.names(),
            sealing: segments().enumerate().filter_map(sealing).collect(),
            segments: segments()
                .map(|segment| CheckpointSegment {
                    first: segment.first,
                    revision: segment.revision,
                    length: segment.saved,
                    created: segment.created,
                    messages: segment.messages,
                    bytes: segment.bytes,
                    end: segment.end,
                    runs: Arc::clone(&segment.foreign),
                    columns: small(segment),
                })
                .collect(),
        })
    }

    /// Slots of sealed segments: of those in the checkpoint file, and of those that could be.
    fn sealed_slots(&self) -> (u64, u64) {
        let (mut known, mut unknown) = (0, 0);
        for segment in self.segments.iter().filter(|segment| is_complete(segment)) {
            *(if segment.in_checkpoint {
                &mut known
            } else {
                &mut unknown
            }) += segment.columns.len() as u64;
        }
        (known, unknown)
    }
}

/// Columns as they are written, if that is known: a copy only of those that grow.
fn small(segment: &Segment) -> Columns {
    let mut columns = segment.columns.clone();
    if !segment.sealed {
        columns.pack();
    }
    columns
}

/// Whether a checkpoint may say all there is to say about a segment.
fn is_complete(segment: &Segment) -> bool {
    segment.finished && !segment.is_evidence && segment.lost_to == 0 && segment.saved > 0
}

/// What a checkpoint file holds.
pub(super) struct Checkpoint {
    pub(super) subjects: SubjectTable,
    pub(super) segments: BTreeMap<FileId, CheckpointSegment>,
    pub(super) last_time: Timestamp,
    /// Slots of all of its segments.
    pub(super) slots: u64,
}

impl Checkpoint {
    /// No file.
    pub(super) fn nothing() -> Self {
        Self {
            subjects: SubjectTable::new(),
            segments: BTreeMap::new(),
            last_time: Timestamp::UNSET,
            slots: 0,
        }
    }

    /// Reads the file of a stream's folder. Nothing, when it is missing or fails its check. One that knows of later entries
    /// than the manifest is of a state that a crash undid: it is removed, or it would seem to fit once the stream has got
    /// as far again.
    pub(super) fn open(
        disk: &dyn Disk,
        dir: &Path,
        id: StreamId,
        entry: EntryIndex,
    ) -> Result<Self, Fault> {
        let path = dir.join(CHECKPOINT);
        let file = match open(disk, &path, Place::checkpoint(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::nothing()),
            file => file,
        };
        match file.and_then(|(file, _)| read(disk, &*file, id, entry)) {
            Ok(Reading::Whole(checkpoint)) => return Ok(checkpoint),
            Ok(Reading::Unfit) => {}
            // Nobody knows how late one is that cannot be read; it is derived and will be written again.
            Ok(Reading::Later) | Err(_) => remove_if_there(disk, &path)?,
        }
        Ok(Self::nothing())
    }
}

/// What is wrong with the checkpoint file of a stream at `entry`, whose folder is `dir`; `None` when it fits or is not there. One of an
/// earlier entry fits: what it does not know is read elsewhere. Changes nothing.
#[must_use]
pub fn checkpoint_problem(
    disk: &dyn Disk,
    dir: &Path,
    id: StreamId,
    entry: EntryIndex,
) -> Option<(PathBuf, String)> {
    let path = dir.join(CHECKPOINT);
    let read = open(disk, &path, Place::checkpoint(id))
        .and_then(|(file, _)| read(disk, &*file, id, entry));
    let what = match read {
        Ok(Reading::Whole(_)) => return None,
        Ok(Reading::Unfit) => "it fails its check, as one that a crash cut short does".to_owned(),
        Ok(Reading::Later) => {
            "it is of a later state than the manifest, as one that a crash undid".to_owned()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => format!("it cannot be read: {error}"),
    };
    Some((path, what))
}

/// What came of reading a file.
enum Reading {
    /// It fails its check, or belongs to another stream.
    Unfit,
    /// It knows of later entries.
    Later,
    Whole(Checkpoint),
}

fn read(
    disk: &dyn Disk,
    file: &dyn DiskFile,
    id: StreamId,
    entry: EntryIndex,
) -> io::Result<Reading> {
    let length = file.len()?;
    if length < CHECKPOINT_HEAD as u64 {
        return Ok(Reading::Unfit);
    }
    let mut bytes = vec![0; CHECKPOINT_HEAD];
    read_exact_at(file, &mut bytes, 0)?;
    let Some(start) = CheckpointHead::length(&bytes).filter(|&start| start <= length) else {
        return Ok(Reading::Unfit);
    };
    let Ok(listed) = usize::try_from(start) else {
        return Ok(Reading::Unfit);
    };
    bytes.resize(listed, 0);
    read_exact_at(file, &mut bytes, 0)?;
    let Some((head, sections)) = CheckpointHead::parse(&bytes, length) else {
        return Ok(Reading::Unfit);
    };
    if head.stream != id {
        return Ok(Reading::Unfit);
    }
    if head.entry > entry && !is_planted(PlantedBug::LaterCheckpointAccepted) {
        return Ok(Reading::Later);
    }
    let subjects_end = start + length_of(&sections.subjects);
    let hashes_end = subjects_end + length_of(&sections.hashes);
    let Some(known) = count_subjects(file, &sections, subjects_end)? else {
        return Ok(Reading::Unfit);
    };
    let (mut names, mut others) = (Ok(None), Ok(None));
    {
        let mut read_names = || names = read_all_names(file, &sections, start, known);
        let mut read_others = || {
            others = read_all_hashes(file, &sections, subjects_end, &head).and_then(|hashes| {
                let segments = read_all_segments(file, &sections, hashes_end, known)?;
                Ok(hashes.zip(segments))
            });
        };
        let mut jobs: [Job<'_>; 2] = [&mut read_names, &mut read_others];
        if length < TOGETHER_BYTES_MIN {
            // Less than it costs to begin another thread.
            jobs.iter_mut().for_each(|job| job());
        } else {
            disk.do_all(&mut jobs);
        }
    }
    let (Some(names), Some((hashes, segments))) = (names?, others?) else {
        return Ok(Reading::Unfit);
    };
    let subjects = if head.check == SubjectHashes::check(head.seed) {
        SubjectTable::from_parts(names, hashes)
    } else {
        // The hash function of who wrote the file was another one.
        Some(SubjectTable::from_names(names))
    };
    let Some(subjects) = subjects else {
        return Ok(Reading::Unfit);
    };
    let slots = |segment: &CheckpointSegment| segment.columns.len() as u64;
    Ok(Reading::Whole(Checkpoint {
        subjects,
        last_time: head.last_time,
        slots: segments.values().map(slots).sum(),
        segments,
    }))
}

fn length_of(sections: &[Section]) -> u64 {
    let lengths = sections.iter().map(|section| u64::from(section.length));
    lengths.sum()
}

/// How many subjects the file says it has, before any of them is read.
fn count_subjects(file: &dyn DiskFile, sections: &Sections, end: u64) -> io::Result<Option<usize>> {
    let mut count = [0; COUNT_BYTES];
    if let Some(last) = sections.subjects.last() {
        if (last.length as usize) < COUNT_BYTES {
            return Ok(None);
        }
        read_exact_at(file, &mut count, end - u64::from(last.length))?;
    }
    Ok(sections.subjects(count))
}

/// The subjects; `None` when a section fails its check, or they are not as many as the last one said.
fn read_all_names(
    file: &dyn DiskFile,
    sections: &Sections,
    mut position: u64,
    known: usize,
) -> io::Result<Option<SubjectNames>> {
    let mut names = SubjectNames::default();
    // One buffer for all sections: fresh memory costs more than what is done with it.
    let mut bytes = Vec::new();
    for section in &sections.subjects {
        read_section(file, section, &mut position, &mut bytes)?;
        if !section.holds(&bytes) || read_subjects(&bytes, &mut names).is_none() {
            return Ok(None);
        }
    }
    Ok((names.len() == known).then_some(names))
}

/// Their hashes; `None` when a section fails its check.
fn read_all_hashes(
    file: &dyn DiskFile,
    sections: &Sections,
    mut position: u64,
    head: &CheckpointHead,
) -> io::Result<Option<SubjectHashes>> {
    // The lengths of all sections are that of the file together, so this reserves no more than there is to read.
    let mut hashes = SubjectHashes::with_seed(head.seed, sections.entries());
    let mut bytes = Vec::new();
    for section in &sections.hashes {
        read_section(file, section, &mut position, &mut bytes)?;
        if !section.holds(&bytes) || read_hashes(&bytes, &mut hashes).is_none() {
            return Ok(None);
        }
    }
    Ok(Some(hashes))
}

/// The segments, whose subjects are below `known`; `None` when a section fails its check.
fn read_all_segments(
    file: &dyn DiskFile,
    sections: &Sections,
    mut position: u64,
    known: usize,
) -> io::Result<Option<BTreeMap<FileId, CheckpointSegment>>> {
    let mut segments = BTreeMap::new();
    let mut bytes = Vec::new();
    for section in &sections.segments {
        read_section(file, section, &mut position, &mut bytes)?;
        if !section.holds(&bytes) {
            return Ok(None);
        }
        let Some(segment) = CheckpointSegment::parse(&bytes, known) else {
            return Ok(None);
        };
        let file = FileId {
            first: segment.first,
            revision: segment.revision,
        };
        segments.insert(file, segment);
    }
    Ok(Some(segments))
}

fn read_section(
    file: &dyn DiskFile,
    section: &Section,
    position: &mut u64,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    // The lengths of all sections are that of the file together, so this reserves no more than there is to read.
    bytes.resize(section.length as usize, 0);
    read_exact_at(file, bytes, *position)?;
    *position += u64::from(section.length);
    Ok(())
}
