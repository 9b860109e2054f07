//! `checkpoint.bin`: the columns of the segments of a stream and their subjects, each subject once. All numbers are
//! little-endian.
//!
//! ```text
//!  0  [8]  magic "EVJCKP\r\n"
//!  8  u32  format version, 2
//! 12  u32  checksum: CRC-32C of bytes 16 to the end of the list of sections
//! 16  u64  length of the file
//! 24  u64  stream id
//! 32  u64  entry: removals up to it are in the columns
//! 40  i64  time of the stream's last message so far, in nanoseconds since 1970
//! 48  u32  sections of subjects    52  u32  of hashes    56  u32  of segments    60  u32  zero
//! 64  u64  seed of the hashes    72  u64  what the hash function makes of some texts with this seed
//! 80       for each section: u32 length, u32 CRC-32C of it
//!          sections of subjects: u32 count, u16 length of each, the subjects
//!          sections of hashes: entries of the hash table, u64: hash in the upper half, number of the subject plus one in the
//!          lower one; 0 = free
//!          sections of segments: see below
//! ```
//!
//! A segment:
//!
//! ```text
//!  0  u64  first sequence
//!  8  u64  length of the segment's file, footer included
//! 16  i64  time in the header of the file
//! 24  u64  messages    32  u64  what they count for
//! 40  u32  where its records end    44  u32  bytes of runs    48  u32  how many times it was rewritten
//! 52       blocks of runs, as in the footer
//!          u32 slots, u32 gaps, u32 1 if the slots have sequences of their own, else 0
//!          offsets: u32 words, u32 kind of headers (0 none, 1 all, 2 bits), for every 64 slots three u32 (base, slope,
//!          64 times the first word plus the bits a distance takes), words (u64), bits of headers (u64 for every 64 slots)
//!          subjects: u32 kind (0 one, 1 bytes, 2 shorts, 3 wide), u32 count, numbers (u32 each, ascending), a code for
//!          each slot in 0, 1, 2 or 4 bytes: place in the numbers, or the number itself; all ones: removed
//!          gaps, u32 each    times, i64 for every 64th slot    sequences of their own: distance from the first, u32 a slot
//! ```
//!
//! Subjects are numbered from 0 in the order of their sections. The offset of slot `i` of a block is, modulo 2^32,
//! `base + (slope * i >> 8) + distance i`; distances lie in the words one after the other from the lowest bit on.

use std::sync::Arc;

use everjet_subject::{SubjectHashes, SubjectId, SubjectNames};
use everjet_values::{EntryIndex, Timestamp};

use crate::StreamId;
use crate::checksum::crc32c;

use super::columns::Columns;
use super::input::Input;

const MAGIC: &[u8; 8] = b"EVJCKP\r\n";
const VERSION: u32 = 2;
/// Bytes before the list of sections.
pub(crate) const CHECKPOINT_HEAD: usize = 80;
/// Bytes of a section in the list.
const LISTED: usize = 8;
/// Bytes of the count that a section of subjects begins with.
pub(crate) const COUNT_BYTES: usize = 4;
/// Bytes of an entry of the hash table.
pub(crate) const ENTRY_BYTES: usize = 8;
/// Entries in a section of hashes.
const ENTRIES_MAX: usize = 16 << 10;
/// Subjects in a section; the last one may have fewer.
const SUBJECTS_MAX: usize = SubjectNames::TOGETHER;

/// What a checkpoint file is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CheckpointHead {
    pub(crate) stream: StreamId,
    /// Removals up to this entry are in the columns.
    pub(crate) entry: EntryIndex,
    /// The time of the stream's last message so far.
    pub(crate) last_time: Timestamp,
    /// What the hashes depend on.
    pub(crate) seed: u64,
    /// What the hash function of who wrote the file makes of some texts.
    pub(crate) check: u64,
}

/// What a checkpoint knows about one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckpointSegment {
    pub(crate) first: u64,
    /// How many times it was rewritten.
    pub(crate) revision: u32,
    /// Length of the file, footer included.
    pub(crate) length: u64,
    /// The time in the header of the file.
    pub(crate) created: i64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Where the records end.
    pub(crate) end: u32,
    /// Blocks of runs: what its removal records say about earlier segments.
    pub(crate) runs: Arc<Vec<u8>>,
    /// Packed columns.
    pub(crate) columns: Columns,
}

/// One section in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) length: u32,
    checksum: u32,
}

/// The sections of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sections {
    pub(crate) subjects: Vec<Section>,
    pub(crate) hashes: Vec<Section>,
    pub(crate) segments: Vec<Section>,
}

impl CheckpointHead {
    /// The bytes before the first section.
    pub(crate) fn encode(&self, sections: &Sections) -> Vec<u8> {
        let all = || sections.all();
        let start = Self::list_end(all().count());
        let length = start + all().map(|section| u64::from(section.length)).sum::<u64>();
        let count = |list: &[Section]| u32::try_from(list.len()).expect("ids are 32 bits");
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for wide in [
            length,
            self.stream.0,
            self.entry.0,
            self.last_time.as_nanos().cast_unsigned(),
        ] {
            out.extend_from_slice(&wide.to_le_bytes());
        }
        out.extend_from_slice(&count(&sections.subjects).to_le_bytes());
        out.extend_from_slice(&count(&sections.hashes).to_le_bytes());
        out.extend_from_slice(&count(&sections.segments).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.seed.to_le_bytes());
        out.extend_from_slice(&self.check.to_le_bytes());
        for section in all() {
            out.extend_from_slice(&section.length.to_le_bytes());
            out.extend_from_slice(&section.checksum.to_le_bytes());
        }
        let checksum = crc32c(out.get(16..).expect("the head was written")).to_le_bytes();
        out.get_mut(12..16)
            .expect("the head was written")
            .copy_from_slice(&checksum);
        out
    }

    /// Where the list of so many sections ends and the first of them begins.
    pub(crate) fn list_end(sections: usize) -> u64 {
        CHECKPOINT_HEAD as u64 + LISTED as u64 * sections as u64
    }

    /// How many bytes [`CheckpointHead::parse`] needs of a file that begins with these; `None` when it is no checkpoint,
    /// or of another version.
    pub(crate) fn length(start: &[u8]) -> Option<u64> {
        let mut input = Input(start);
        if input.take(8)? != MAGIC || input.number()? != VERSION {
            return None;
        }
        input.take(36)?;
        let [subjects, hashes, segments] = [input.count()?, input.count()?, input.count()?];
        let sections = subjects.checked_add(hashes)?.checked_add(segments)?;
        Some(Self::list_end(sections))
    }

    /// Reads head and list; `None` when they fail their check. `length` is that of the file.
    pub(crate) fn parse(bytes: &[u8], length: u64) -> Option<(Self, Sections)> {
        if Self::length(bytes)? != bytes.len() as u64 {
            return None;
        }
        let mut input = Input(bytes.get(12..)?);
        if input.number()? != crc32c(bytes.get(16..)?) || input.wide()? != length {
            return None;
        }
        let stream = StreamId(input.wide()?);
        let entry = EntryIndex(input.wide()?);
        let last_time = Timestamp::from_nanos(input.wide()?.cast_signed());
        let [subjects, hashes, segments] = [input.count()?, input.count()?, input.count()?];
        input.number().filter(|&zero| zero == 0)?;
        let head = Self {
            stream,
            entry,
            last_time,
            seed: input.wide()?,
            check: input.wide()?,
        };
        let mut list = |count: usize| -> Option<Vec<Section>> {
            // The file has a place for each, or it would have failed above.
            let mut sections = Vec::with_capacity(count);
            for _ in 0..count {
                sections.push(Section {
                    length: input.number()?,
                    checksum: input.number()?,
                });
            }
            Some(sections)
        };
        let sections = Sections {
            subjects: list(subjects)?,
            hashes: list(hashes)?,
            segments: list(segments)?,
        };
        let end = bytes.len() as u64
            + sections
                .all()
                .map(|section| u64::from(section.length))
                .sum::<u64>();
        (end == length).then_some((head, sections))
    }
}

impl Sections {
    /// In the order of the file.
    fn all(&self) -> impl Iterator<Item = &Section> {
        let names = self.subjects.iter().chain(&self.hashes);
        names.chain(&self.segments)
    }

    /// How many entries the hash table has.
    pub(crate) fn entries(&self) -> usize {
        let bytes = self.hashes.iter().map(|section| section.length as usize);
        bytes.sum::<usize>() / ENTRY_BYTES
    }

    /// How many subjects there are, the last section of them beginning with `last`; `None` when that cannot be.
    pub(crate) fn subjects(&self, last: [u8; COUNT_BYTES]) -> Option<usize> {
        let last = usize::try_from(u32::from_le_bytes(last)).ok()?;
        match self.subjects.split_last() {
            None => Some(0),
            Some((_, whole)) if (1..=SUBJECTS_MAX).contains(&last) => {
                Some(whole.len() * SUBJECTS_MAX + last)
            }
            Some(_) => None,
        }
    }
}

impl Section {
    /// The section with these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self {
            length: u32::try_from(bytes.len()).expect("a segment's columns stay below 4 GiB"),
            checksum: crc32c(bytes),
        }
    }

    /// Whether these are its bytes.
    pub(crate) fn holds(&self, bytes: &[u8]) -> bool {
        *self == Self::of(bytes)
    }
}

/// The numbers in the file of subjects that segments speak of.
pub(crate) struct FileNumbers {
    /// By id; of no meaning where no segment speaks of the subject.
    by_id: Vec<u32>,
    /// The ids, by number.
    ids: Vec<u32>,
}

impl FileNumbers {
    /// Numbers the subjects of `segments`, ascending by id.
    pub(crate) fn new(segments: &[CheckpointSegment], subjects: usize) -> Self {
        let mut by_id = vec![0; subjects];
        for segment in segments {
            segment.columns.subjects().for_each_subject(|id| {
                if let Some(place) = by_id.get_mut(id as usize) {
                    *place = 1;
                }
            });
        }
        let mut ids = Vec::new();
        for (id, place) in (0..).zip(&mut by_id) {
            if *place == 1 {
                *place = u32::try_from(ids.len()).expect("ids are 32 bits");
                ids.push(id);
            }
        }
        Self { by_id, ids }
    }

    /// How many sections of subjects there are.
    pub(crate) fn sections(&self) -> usize {
        self.ids.len().div_ceil(SUBJECTS_MAX)
    }

    /// The hashes of the subjects by their numbers.
    pub(crate) fn hashes(&self, names: &SubjectNames) -> SubjectHashes {
        let subjects = self.ids.iter().map(|&id| names.name(SubjectId(id)));
        SubjectHashes::of(self.ids.len(), subjects)
    }

    /// Calls `write` with the bytes of each section of subjects.
    pub(crate) fn write_subjects<E>(
        &self,
        names: &SubjectNames,
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut out = Vec::new();
        for ids in self.ids.chunks(SUBJECTS_MAX) {
            out.clear();
            let count = u32::try_from(ids.len()).expect("a chunk is small");
            out.extend_from_slice(&count.to_le_bytes());
            for &id in ids {
                let length = u16::try_from(names.name(SubjectId(id)).len());
                let length = length.expect("subjects are refused above 65,535 bytes");
                out.extend_from_slice(&length.to_le_bytes());
            }
            for &id in ids {
                out.extend_from_slice(names.name(SubjectId(id)));
            }
            write(&out)?;
        }
        Ok(())
    }
}

/// How many sections `hashes` takes.
pub(crate) fn hash_sections(hashes: &SubjectHashes) -> usize {
    hashes.entries().len().div_ceil(ENTRIES_MAX)
}

/// Calls `write` with the bytes of each section of hashes.
pub(crate) fn write_hashes<E>(
    hashes: &SubjectHashes,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut out = Vec::new();
    for entries in hashes.entries().chunks(ENTRIES_MAX) {
        out.clear();
        out.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
        write(&out)?;
    }
    Ok(())
}

/// Reads a section of hashes; `None` when it is none.
pub(crate) fn read_hashes(bytes: &[u8], hashes: &mut SubjectHashes) -> Option<()> {
    let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    hashes.push_entries(entries);
    rest.is_empty().then_some(())
}

/// Reads a section of subjects behind those before, as the file numbers them; `None` when it is none.
pub(crate) fn read_subjects(bytes: &[u8], names: &mut SubjectNames) -> Option<()> {
    let mut input = Input(bytes);
    let count = input.count()?;
    let lengths = input.shorts(count)?;
    names.push_all(input.0, &lengths).then_some(())
}

impl CheckpointSegment {
    /// Appends the bytes of its section.
    pub(crate) fn put(&self, numbers: &FileNumbers, out: &mut Vec<u8>) {
        for wide in [
            self.first,
            self.length,
            self.created.cast_unsigned(),
            self.messages,
            self.bytes,
        ] {
            out.extend_from_slice(&wide.to_le_bytes());
        }
        let runs = u32::try_from(self.runs.len()).expect("a segment stays below 2 GiB");
        out.extend_from_slice(&self.end.to_le_bytes());
        out.extend_from_slice(&runs.to_le_bytes());
        out.extend_from_slice(&self.revision.to_le_bytes());
        out.extend_from_slice(&self.runs);
        self.columns.put(&numbers.by_id, out);
    }

    /// Reads a section whose subjects are below `known`; `None` when it is none.
    pub(crate) fn parse(bytes: &[u8], known: usize) -> Option<Self> {
        let mut input = Input(bytes);
        let [first, length, created, messages, counted] = [
            input.wide()?,
            input.wide()?,
            input.wide()?,
            input.wide()?,
            input.wide()?,
        ];
        let end = input.number()?;
        let runs = input.count()?;
        let revision = input.number()?;
        let segment = Self {
            first,
            revision,
            length,
            created: created.cast_signed(),
            messages,
            bytes: counted,
            end,
            runs: Arc::new(input.take(runs)?.to_vec()),
            columns: Columns::parse(&mut input, end, known)?,
        };
        input.0.is_empty().then_some(segment)
    }
}

#[cfg(test)]
mod tests {
    use everjet_subject::SubjectTable;

    use super::*;

    fn segment(first: u64, subjects: u32) -> CheckpointSegment {
        let mut columns = Columns::default();
        for slot in 0..300 {
            columns.push(64 + slot * 50, slot % 9 == 0, slot % subjects * 2, 7);
        }
        columns.push_gap(64 + 300 * 50);
        columns.pack();
        CheckpointSegment {
            first,
            revision: 3,
            length: 20_000,
            created: -5,
            messages: 300,
            bytes: 4000,
            end: 64 + 301 * 50,
            runs: Arc::new(vec![1, 2, 3]),
            columns,
        }
    }

    #[test]
    fn what_was_written_reads_back_with_dense_numbers() {
        let mut table = SubjectTable::new();
        for id in 0..500 {
            table.intern(format!("s.{id}").as_bytes());
        }
        let segments = [segment(1, 1), segment(301, 200), segment(601, 7)];
        let numbers = FileNumbers::new(&segments, table.len());
        let mut read = SubjectNames::default();
        let written = numbers.write_subjects(&table.names(), |bytes| {
            read_subjects(bytes, &mut read).ok_or("no subjects")
        });
        written.expect("they read back");
        assert_eq!(read.len(), 200, "only those that are spoken of");
        let hashes = numbers.hashes(&table.names());
        let mut hashes_read = SubjectHashes::with_seed(hashes.seed(), hashes.entries().len());
        let written = write_hashes(&hashes, |bytes| {
            assert_eq!(read_hashes(&bytes[1..], &mut hashes_read.clone()), None);
            read_hashes(bytes, &mut hashes_read).ok_or("no hashes")
        });
        written.expect("they read back");
        let read = SubjectTable::from_parts(read, hashes_read).expect("of the same subjects");
        for segment in &segments {
            let mut bytes = Vec::new();
            segment.put(&numbers, &mut bytes);
            let again = CheckpointSegment::parse(&bytes, read.len()).expect("written above");
            for slot in 0..300 {
                let id = again.columns.subjects().get(slot).expect("a slot");
                let expected = segment.columns.subjects().get(slot).expect("a slot");
                let name = table.name(SubjectId(expected));
                assert_eq!(read.name(SubjectId(id)), name);
            }
            let same = CheckpointSegment {
                columns: segment.columns.clone(),
                ..again
            };
            assert_eq!(same, *segment);
            for length in 0..bytes.len() {
                assert_eq!(CheckpointSegment::parse(&bytes[..length], 200), None);
            }
        }
    }

    #[test]
    fn no_flipped_bit_and_no_truncation_of_a_head_passes() {
        let head = CheckpointHead {
            stream: StreamId(5),
            entry: EntryIndex(99),
            last_time: Timestamp::from_nanos(-1),
            seed: 77,
            check: SubjectHashes::check(77),
        };
        let sections = Sections {
            subjects: vec![Section::of(b"one"), Section::of(b"")],
            hashes: vec![Section::of(b"12345678")],
            segments: vec![Section::of(b"three")],
        };
        let bytes = head.encode(&sections);
        let length = bytes.len() as u64 + 16;
        let needed = CheckpointHead::length(&bytes[..CHECKPOINT_HEAD]);
        assert_eq!(needed, Some(bytes.len() as u64));
        let read = CheckpointHead::parse(&bytes, length);
        assert_eq!(read, Some((head, sections)));
        assert_eq!(CheckpointHead::parse(&bytes, length - 1), None);
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(CheckpointHead::parse(&wrong, length), None, "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert_eq!(CheckpointHead::parse(&bytes[..cut], length), None);
        }
        assert!(Section::of(b"one").holds(b"one") && !Section::of(b"one").holds(b"onf"));
    }
}
