//! Checks of the decoders inside this crate, for fuzzing: each takes bytes as if a disk had returned them, as they are and
//! with checksums made to fit, and panics when something is wrong with how they are taken.

mod files;

use everjet_subject::{SubjectHashes, SubjectNames, SubjectTable};
use everjet_values::EntryIndex;

use crate::checksum::crc32c;
use crate::identity::StreamId;
use crate::index::{
    CheckpointHead, CheckpointSegment, Columns, FileNumbers, Frame, REMOVED, read_hashes,
    read_subjects,
};
use crate::journal::JournalBatch;
use crate::journal::fuzzing as journal;
use crate::segment::{
    Fields, RecordKind, RecordSalt, Run, SegmentHeader, decode_runs, encode_runs, merge_runs,
    parse_record, put_message, put_removals, put_skip, view_record,
};
use crate::stream_store::NewMessage;

pub use files::{check_block, check_journal_file, check_keyring, check_segment_file};

/// Calls `visit` with entry, kind and body of each record of a batch, in order.
pub fn visit_records(batch: &JournalBatch, mut visit: impl FnMut(EntryIndex, u8, &[u8])) {
    journal::visit_records(batch, &mut visit);
}

/// A record of the journal: what does not fit its checksums is none, what does is read and written again as it was.
pub fn check_journal_record(data: &[u8]) {
    journal::check_record(data);
}

/// A record of a segment, and the removals in one.
pub fn check_segment_record(data: &[u8]) {
    let salt = RecordSalt::new(StreamId(7), 1);
    let _ = parse_record(data, salt, 0);
    let viewed = view_record(data);
    if let Some(fields) = viewed {
        let mut sealed = data.to_vec();
        let offset = 48;
        let checksum = crc32c(sealed.get(4..fields.length).expect("viewed")) ^ salt.at(offset);
        put(&mut sealed, 0, &checksum.to_le_bytes());
        let parsed = parse_record(&sealed, salt, offset).expect("the checksum fits");
        assert_eq!(parsed.length, fields.length);
        assert!(parse_record(&sealed, salt, offset + 8).is_none());
        check_written_again(&parsed, sealed.get(..fields.length).expect("viewed"));
    }
    check_runs(data);
}

/// What was read is written as it was, but for bytes that mean nothing.
fn check_written_again(fields: &Fields<'_>, sealed: &[u8]) {
    let salt = RecordSalt::new(StreamId(7), 1);
    let message = fields.message;
    let at = (message.sequence.0, message.time);
    let mut out = Vec::new();
    match fields.kind {
        RecordKind::Message => {
            let message = NewMessage {
                time: message.time,
                subject: message.subject,
                headers: message.headers,
                payload: message.payload,
            };
            put_message(&mut out, Some(salt), 48, fields.entry, at.0, &message);
        }
        RecordKind::Removals => {
            let Some((runs, _)) = decode_runs(message.payload) else {
                return;
            };
            put_removals(&mut out, salt, 48, fields.entry, at, &merged(runs));
        }
        // What it was is gone, whatever the rest of it says.
        RecordKind::Erased => return,
        RecordKind::Skip => put_skip(&mut out, Some(salt), 48, fields.entry, at),
    }
    let again = parse_record(&out, salt, 48).expect("it was written here");
    assert_eq!(
        (
            again.kind,
            again.entry,
            again.message.sequence,
            again.message.time
        ),
        (fields.kind, fields.entry, message.sequence, message.time)
    );
    if fields.kind == RecordKind::Message && sealed.get(9) == Some(&0) {
        assert_eq!(out, sealed);
    }
}

fn check_runs(block: &[u8]) {
    if let Some((runs, rest)) = decode_runs(block) {
        assert!(rest.len() < block.len() && runs.iter().all(|run| run.first <= run.last));
        let runs = merged(runs);
        let mut out = Vec::new();
        encode_runs(&runs, &mut out);
        assert_eq!(decode_runs(&out), Some((runs, &[][..])));
    }
}

fn merged(mut runs: Vec<Run>) -> Vec<Run> {
    merge_runs(&mut runs);
    assert!(
        runs.windows(2)
            .all(|pair| matches!(pair, [a, b] if a.last < b.first && b.first - a.last > 1))
    );
    runs
}

/// The header of a segment file.
pub fn check_segment_header(data: &[u8]) {
    let _ = SegmentHeader::parse(data);
    let mut fitting = data.to_vec();
    put(&mut fitting, 0, b"EVJSEG\r\n");
    put(&mut fitting, 12, &1_u32.to_le_bytes());
    put(&mut fitting, 16, &length_of(data).to_le_bytes());
    let checksum = crc32c(fitting.get(12..).unwrap_or_default());
    put(&mut fitting, 8, &checksum.to_le_bytes());
    if let Ok(header) = SegmentHeader::parse(&fitting) {
        let mut out = Vec::new();
        header.put(&mut out);
        assert_eq!(SegmentHeader::parse(&out), Ok(header));
    }
}

/// The index of a segment.
pub fn check_index(data: &[u8]) {
    let _ = Frame::parse(data);
    let mut fitting = data.to_vec();
    put(&mut fitting, 0, b"EVJIDX\r\n");
    put(&mut fitting, 8, &1_u32.to_le_bytes());
    put(&mut fitting, 16, &(data.len() as u64).to_le_bytes());
    let checksum = crc32c(fitting.get(16..).unwrap_or_default());
    put(&mut fitting, 12, &checksum.to_le_bytes());
    let Some(frame) = Frame::parse(&fitting) else {
        return;
    };
    let (head, runs) = (frame.head, frame.runs);
    check_columns(&frame.columns, head.covered);
    let mut table = SubjectTable::new();
    let columns = frame.into_columns(&mut table);
    let again = head.encode(&columns, runs, &table.names());
    let read = Frame::parse(&again).expect("it was written here");
    assert_eq!((read.head, read.runs), (head, runs));
    let mut table_again = SubjectTable::new();
    let columns_again = read.into_columns(&mut table_again);
    let names = |columns: &Columns, table: &SubjectTable| -> Vec<Vec<u8>> {
        let name = |id: u32| match usize::try_from(id) {
            Ok(at) if at < table.len() => table.name(everjet_subject::SubjectId(id)).to_vec(),
            _ => id.to_le_bytes().to_vec(),
        };
        let mut names = Vec::new();
        columns.subjects().for_each(|_, id| names.push(name(id)));
        names
    };
    assert_eq!(names(&columns_again, &table_again), names(&columns, &table));
    let _ = decode_runs(runs);
}

/// The checkpoint file: its head, a section of subjects, the section of a segment.
pub fn check_checkpoint(data: &[u8]) {
    let length = data.len() as u64;
    let _ = CheckpointHead::parse(data, length);
    let mut fitting = data.to_vec();
    put(&mut fitting, 0, b"EVJCKP\r\n");
    put(&mut fitting, 8, &2_u32.to_le_bytes());
    put(&mut fitting, 16, &length.to_le_bytes());
    let checksum = crc32c(fitting.get(16..).unwrap_or_default());
    put(&mut fitting, 12, &checksum.to_le_bytes());
    if let Some((head, sections)) = CheckpointHead::parse(&fitting, length) {
        assert_eq!(head.encode(&sections), fitting);
        let subjects = sections.subjects(1_u32.to_le_bytes()).unwrap_or(0);
        assert!(subjects <= sections.subjects.len() * SubjectNames::TOGETHER);
    }
    let mut names = SubjectNames::default();
    let _ = read_subjects(data, &mut names);
    assert!(names.len() <= data.len());
    let mut hashes = SubjectHashes::with_seed(5, 0);
    let _ = read_hashes(data, &mut hashes);
    if let Some(mut table) = SubjectTable::from_parts(names, hashes) {
        let id = table.intern(data);
        assert_eq!(table.name(id), data);
    }
    let Some(segment) = CheckpointSegment::parse(data, KNOWN) else {
        return;
    };
    check_columns(&segment.columns, segment.end);
    segment.columns.subjects().for_each(|_, subject| {
        assert!(subject == REMOVED || (subject as usize) < KNOWN);
    });
    let segments = [segment];
    let numbers = FileNumbers::new(&segments, KNOWN);
    let mut bytes = Vec::new();
    for segment in &segments {
        segment.put(&numbers, &mut bytes);
        let again = CheckpointSegment::parse(&bytes, KNOWN).expect("it was written here");
        assert_eq!(again.columns.len(), segment.columns.len());
        assert_eq!((again.first, again.end), (segment.first, segment.end));
        for slot in 0..=segment.columns.len() {
            let place = |segment: &CheckpointSegment| segment.columns.range(slot, segment.end);
            assert_eq!(place(&again), place(segment));
        }
    }
}

/// Subjects that a segment of a checkpoint may speak of.
const KNOWN: usize = 300;

fn check_columns(columns: &Columns, end: u32) {
    for slot in 0..=columns.len() {
        let _ = columns.has_headers(slot);
        if let Some((from, to)) = columns.range(slot, end) {
            assert!(from <= to && to <= end, "{from}..{to} of {end}");
        }
    }
    for step in 0..=columns.times().len() {
        assert!(columns.slots_of_step(step).end <= columns.len());
    }
}

fn length_of(data: &[u8]) -> u32 {
    u32::try_from(data.len()).expect("fuzzers make small inputs")
}

/// Puts bytes over others, as far as there are any.
fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}
