//! The index of a segment on disk: an `.idx` file, or the footer of a sealed segment. All numbers are little-endian.
//!
//! ```text
//!  0  [8]  magic "EVJIDX\r\n"
//!  8  u32  format version, 1
//! 12  u32  checksum: CRC-32C of bytes 16 to the end of the frame
//! 16  u64  length of the frame
//! 24  u64  stream id
//! 32  u64  first sequence of the segment
//! 40  u64  entry: removals up to it are in the frame
//! 48  i64  time of the stream's last message so far, in nanoseconds since 1970
//! 56  u32  bytes of the segment file that the frame describes, from its start
//! 60  u32  bit 0: the segment has no further records; bit 1: the slots have sequences of their own
//! 64  u32  slots    68  u32  subjects    72  u32  gaps    76  u32  bytes of runs
//! 80       offsets, u32 a slot (top bit: has headers)
//!          subject column, u32 a slot: number in the subject table below; all ones: removed; all ones but the last: damaged
//!          gaps, u32 each: where removal records, skip records and damage begin
//!          times, i64 for every 64th slot
//!          with bit 1: sequences, u32 a slot: distance from the segment's first
//!          blocks of runs: what the segment's removal records say about earlier segments
//!          subject table: u16 length and bytes each
//!      u64  length of the frame again, so that a footer is found from the end of its file
//! ```

use std::sync::Arc;

use everjet_subject::{SubjectId, SubjectNames, SubjectTable};
use everjet_values::{EntryIndex, Timestamp};

use crate::StreamId;
use crate::checksum::crc32c;
use crate::sabotage::{PlantedBug, is_planted};

use super::columns::{Columns, DAMAGED};
use super::input::{Input, put_numbers};
use super::offsets::Offsets;
use super::subject_column::SubjectColumn;

const MAGIC: &[u8; 8] = b"EVJIDX\r\n";
const VERSION: u32 = 1;
const FIXED: usize = 80;
const TRAILER: usize = 8;
/// Flags: the segment has no further records.
const WHOLE: u32 = 1;
/// Flags: the slots have sequences of their own.
const SPARSE: u32 = 2;

/// What a frame is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) stream: StreamId,
    /// The segment's first sequence.
    pub(crate) first: u64,
    /// Removals up to this entry are in the frame.
    pub(crate) entry: EntryIndex,
    /// The time of the stream's last message so far.
    pub(crate) last_time: Timestamp,
    /// Bytes of the segment file that are described.
    pub(crate) covered: u32,
    /// Whether the segment has no further records.
    pub(crate) whole: bool,
}

/// A frame that was read: the columns speak of `subjects` by their place in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) head: FrameHead,
    pub(crate) columns: Columns,
    pub(crate) runs: &'a [u8],
    pub(crate) subjects: Vec<&'a [u8]>,
}

impl FrameHead {
    /// The bytes of the frame with this head.
    pub(crate) fn encode(&self, columns: &Columns, runs: &[u8], table: &SubjectNames) -> Vec<u8> {
        let (local, ids) = columns.subjects().numbered();
        let offsets = columns.offsets.to_numbers();
        let names = ids.iter().map(|&id| table.name(SubjectId(id)));
        let names_length: usize = names.clone().map(|name| 2 + name.len()).sum();
        let sequences = columns.sequences.as_deref().map_or(&[][..], Vec::as_slice);
        let numbers = 8 * columns.len()
            + 4 * (columns.gaps.len() + sequences.len())
            + 8 * columns.times.len();
        let length = FIXED + numbers + runs.len() + names_length + TRAILER;
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for wide in [
            length as u64,
            self.stream.0,
            self.first,
            self.entry.0,
            self.last_time.as_nanos().cast_unsigned(),
        ] {
            out.extend_from_slice(&wide.to_le_bytes());
        }
        let count = |count: usize| u32::try_from(count).expect("a segment stays below 2 GiB");
        let counts = [columns.len(), ids.len(), columns.gaps.len(), runs.len()].map(count);
        let flags = u32::from(self.whole) * WHOLE + u32::from(columns.is_sparse()) * SPARSE;
        put_numbers(&[self.covered, flags], &mut out);
        for numbers in [counts.as_slice(), &offsets, &local, &columns.gaps] {
            put_numbers(numbers, &mut out);
        }
        for time in columns.times.iter() {
            out.extend_from_slice(&time.to_le_bytes());
        }
        put_numbers(sequences, &mut out);
        out.extend_from_slice(runs);
        for name in names {
            let length =
                u16::try_from(name.len()).expect("subjects are refused above 65,535 bytes");
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(name);
        }
        out.extend_from_slice(&(length as u64).to_le_bytes());
        assert_eq!(out.len(), length);
        let checksum = crc32c(out.get(16..).expect("the head was written")).to_le_bytes();
        out.get_mut(12..16)
            .expect("the head was written")
            .copy_from_slice(&checksum);
        out
    }
}

impl<'a> Frame<'a> {
    /// Reads a frame that fills `bytes`; `None` when it fails its check or a newer version wrote it.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut input = Input(bytes);
        if input.take(8)? != MAGIC || input.number()? != VERSION {
            return None;
        }
        let is_intact =
            input.number()? == crc32c(bytes.get(16..)?) || is_planted(PlantedBug::IndexUnchecked);
        if !is_intact || input.wide()? != bytes.len() as u64 {
            return None;
        }
        let mut head = FrameHead {
            stream: StreamId(input.wide()?),
            first: input.wide()?,
            entry: EntryIndex(input.wide()?),
            last_time: Timestamp::from_nanos(input.wide()?.cast_signed()),
            covered: input.number()?,
            whole: false,
        };
        let flags = input.number().filter(|&flags| flags <= (WHOLE | SPARSE))?;
        head.whole = flags & WHOLE != 0;
        let [slots, subject_count, gap_count, runs_length] = [
            input.count()?,
            input.count()?,
            input.count()?,
            input.count()?,
        ];
        let columns = Columns {
            offsets: Offsets::Growing(input.numbers(slots)?),
            subjects: SubjectColumn::Growing(input.numbers(slots)?),
            gaps: input.numbers(gap_count)?,
            times: Arc::new(input.wides(Columns::times_for(slots))?),
            sequences: (flags & SPARSE != 0)
                .then(|| input.numbers(slots))
                .map_or(Some(None), |sequences| sequences.map(Arc::new).map(Some))?,
        };
        let runs = input.take(runs_length)?;
        // A subject takes two bytes at least: the count cannot make us reserve more than there is.
        let mut subjects = Vec::with_capacity(subject_count.min(input.0.len() / 2));
        for _ in 0..subject_count {
            let length = usize::from(u16::from_le_bytes(*input.take(2)?.first_chunk()?));
            subjects.push(input.take(length)?);
        }
        let SubjectColumn::Growing(numbers) = &columns.subjects else {
            unreachable!("it was made above");
        };
        // One loop without a way out, which the compiler makes wide.
        let are_known = numbers.iter().fold(true, |are_known, &number| {
            are_known & (number >= DAMAGED || (number as usize) < subjects.len())
        });
        let is_sound = input.0.len() == TRAILER && columns.is_sound(head.covered) && are_known;
        is_sound.then_some(Self {
            head,
            columns,
            runs,
            subjects,
        })
    }

    /// Replaces the numbers in the subject column by the ids of `table`.
    pub(crate) fn into_columns(self, table: &mut SubjectTable) -> Columns {
        let ids: Vec<u32> = self
            .subjects
            .iter()
            .map(|name| table.intern(name).0)
            .collect();
        let mut columns = self.columns;
        if let SubjectColumn::Growing(subjects) = &mut columns.subjects {
            for subject in subjects {
                // What is no number of a subject says removed or damaged, and stays.
                *subject = ids.get(*subject as usize).copied().unwrap_or(*subject);
            }
        }
        columns
    }
}

/// Whether a frame may begin here.
pub(crate) fn starts_frame(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// The length of the frame that ends with these bytes, as far as its trailer can be trusted.
pub(crate) fn trailing_frame_length(trailer: [u8; TRAILER]) -> u64 {
    u64::from_le_bytes(trailer)
}

#[cfg(test)]
mod tests {
    use super::super::columns::REMOVED;
    use super::*;

    fn frame() -> (FrameHead, Columns, SubjectTable, Vec<u8>) {
        let mut table = SubjectTable::new();
        for name in [&b"a"[..], b"b.c", b"unused"] {
            table.intern(name);
        }
        let mut columns = Columns::default();
        for slot in 0..70 {
            let subject = [1, 0, REMOVED, DAMAGED][slot as usize % 4];
            columns.push(64 + slot * 50, slot % 3 == 0, subject, i64::from(slot));
        }
        columns.push_gap(64 + 70 * 50);
        let head = FrameHead {
            stream: StreamId(5),
            first: 10,
            entry: EntryIndex(99),
            last_time: Timestamp::from_nanos(69),
            covered: 64 + 71 * 50,
            whole: true,
        };
        let bytes = head.encode(&columns, b"runs", &table.names());
        (head, columns, table, bytes)
    }

    #[test]
    fn a_frame_reads_back_what_was_written() {
        let (head, columns, mut table, bytes) = frame();
        let frame = Frame::parse(&bytes).expect("valid");
        assert_eq!(frame.head, head);
        assert_eq!(frame.runs, b"runs");
        assert_eq!(
            frame.subjects,
            [&b"b.c"[..], b"a"],
            "only those in use, by first appearance"
        );
        assert_eq!(frame.into_columns(&mut table), columns);
        let trailer = *bytes.last_chunk().expect("long enough");
        assert_eq!(trailing_frame_length(trailer), bytes.len() as u64);
        assert!(starts_frame(&bytes));
    }

    #[test]
    fn a_rewritten_segment_keeps_its_sequences() {
        let (head, _, table, _) = frame();
        let mut columns = Columns::sparse();
        columns.push_at(7, (64, false), 1, 1);
        columns.push_at(9000, (114, false), 0, 2);
        let bytes = head.encode(&columns, b"", &table.names());
        let frame = Frame::parse(&bytes).expect("valid");
        assert!(frame.head.whole);
        assert_eq!(
            frame.into_columns(&mut SubjectTable::new()).distance(1),
            9000
        );
    }

    #[test]
    fn no_flipped_bit_and_no_truncation_passes() {
        let (.., bytes) = frame();
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Frame::parse(&wrong), None, "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(Frame::parse(&bytes[..length]), None, "length {length}");
        }
    }
}
