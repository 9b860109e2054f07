//! Checks of whole files as a start reads them: bytes in the place of a file, as they are and made to fit, on a simulated disk.

use std::path::Path;
use std::sync::Arc;

use everjet_values::{Entropy, EntryIndex, SeededEntropy, StreamSequence};

use crate::blocks::{Place, fuzzing as blocks, read_whole};
use crate::checked_file::write_checked_file;
use crate::checksum::crc32c;
use crate::disk::{Disk, OpenMode, read_file};
use crate::identity::{Lsn, StreamId};
use crate::journal::fuzzing as journal;
use crate::journal::{Journal, JournalOptions, JournalReport};
use crate::manifest::ManifestSegment;
use crate::memory::FileKey;
use crate::seal::{Cipher, Encryption, StoreKey, open_keyring};
use crate::segment::{RecordSalt, SegmentHeader, view_record};
use crate::sim_disk::SimDisk;
use crate::stream_store::{SavedSegments, StoreOptions, StreamStore};

const WORKS: &str = "a simulated disk without faults works";
const STREAM: StreamId = StreamId(7);
const NAME: &str = "S";
/// What a file may become in memory.
const READ_MAX: u64 = 16 << 20;

/// A disk with one file.
fn disk_with(path: &Path, bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(path.parent().expect("in a folder"))
        .expect(WORKS);
    let file = disk.open(path, OpenMode::CreateNew).expect(WORKS);
    file.write_all_at(bytes, 0).expect(WORKS);
    file.sync().expect(WORKS);
    disk
}

/// A file of the journal: as it is, and as records whose checksums fit. Any is opened; what was read once is read again, as what a
/// start shows is durable, and what is written then comes behind it.
pub fn check_journal_file(data: &[u8]) {
    let whole = journal::file_of_records(data);
    for bytes in [data, &whole] {
        let path = Path::new("journal").join(format!("{:016x}.wal", journal::GENERATION));
        let disk = disk_with(&path, bytes);
        let Some((_, first, report)) = open_journal(&disk) else {
            continue;
        };
        let again = open_journal(&disk).expect("it was opened before");
        assert_eq!(first, again.1);
        assert_eq!(report.damage, again.2.damage);
        let mut opened = again.0;
        let next = opened.next_lsn();
        let mut batch = crate::JournalBatch::new();
        batch.push(STREAM, EntryIndex(1), 1, |body| {
            body.extend_from_slice(b"more");
        });
        opened.write(&mut batch).expect(WORKS);
        let _ = opened.sync().expect(WORKS);
        let (_, last, _) = open_journal(&disk).expect("it was opened before");
        assert_eq!(last.last(), Some(&(next.0, b"more".to_vec())));
        assert!(last.starts_with(&first) || first.last().is_some_and(|(lsn, _)| *lsn >= next.0));
    }
}

/// Position and body of each record.
type Records = Vec<(u64, Vec<u8>)>;

fn open_journal(disk: &SimDisk) -> Option<(Journal, Records, JournalReport)> {
    let options = JournalOptions {
        file_bytes: 8192,
        hurried_file_bytes: 6144,
        ..JournalOptions::default()
    };
    let mut records = Vec::new();
    let opened = Journal::open(
        disk.shared(),
        Path::new("journal"),
        options,
        Lsn::FIRST,
        &mut |record| {
            records.push((record.lsn.0, record.body.to_vec()));
            Ok(())
        },
    );
    let (journal, report) = opened.ok()?;
    assert!(records.is_sorted_by(|a, b| a.0 < b.0));
    Some((journal, records, report))
}

/// A segment file: as it is, and as records whose checksums fit. Any is opened, twice with the same result; a message that is read
/// is one with the sequence that was asked for, and what is stored then comes behind all that.
pub fn check_segment_file(data: &[u8]) {
    let fitting = segment_of_records(data);
    for bytes in [data, &fitting] {
        let path = Path::new("s").join("00000000000000000001.seg");
        let disk = disk_with(&path, bytes);
        for sealed in [false, true] {
            let saved = SavedSegments {
                segments: vec![ManifestSegment {
                    first_sequence: StreamSequence(1),
                    revision: 0,
                    length: bytes.len() as u64,
                    sealed,
                }],
                last_sequence: StreamSequence(40),
                last_time: everjet_values::Timestamp::UNSET,
                lost: Vec::new(),
                entry: EntryIndex(1 << 20),
            };
            let (Some(mut store), Some(again)) =
                (open_store(&disk, &saved), open_store(&disk, &saved))
            else {
                continue;
            };
            assert_eq!(store.state(), again.state());
            for sequence in (1..=41).map(StreamSequence) {
                let message = store.get(sequence);
                if let Ok(message) = &message {
                    assert_eq!(message.sequence, sequence);
                }
                assert_eq!(message.is_ok(), again.get(sequence).is_ok());
            }
            let message = crate::NewMessage {
                time: store.last_time(),
                subject: b"s",
                headers: b"",
                payload: b"",
            };
            let stored = store.append(EntryIndex(1 << 21), &message);
            assert!(stored > StreamSequence(40));
        }
    }
}

fn open_store(disk: &SimDisk, saved: &SavedSegments) -> Option<StreamStore> {
    let options = StoreOptions::default();
    StreamStore::open(disk.shared(), "s".into(), STREAM, NAME, options, saved)
        .ok()
        .map(|(store, _)| store)
}

/// A sound header, and `data` as records with checksums that fit.
fn segment_of_records(data: &[u8]) -> Vec<u8> {
    let header = SegmentHeader {
        stream: STREAM,
        first: 1,
        revision: 0,
        created: everjet_values::Timestamp::from_nanos(1),
        name: NAME.as_bytes(),
    };
    let mut bytes = Vec::new();
    header.put(&mut bytes);
    let start = bytes.len();
    bytes.extend_from_slice(data);
    let salt = RecordSalt::new(STREAM, 1);
    let mut at = start;
    while let Some(fields) = bytes.get(at..).and_then(view_record) {
        let length = fields.length;
        let Some(covered) = bytes.get(at + 4..at + length) else {
            break;
        };
        let place = u32::try_from(at).expect("fuzzers make small inputs");
        let checksum = crc32c(covered) ^ salt.at(place);
        super::put(&mut bytes, at, &checksum.to_le_bytes());
        at += length;
    }
    bytes
}

/// A file in blocks: as it is, and as blocks whose headers and bodies fit their checksums. Any is read, no further than its blocks say.
pub fn check_block(data: &[u8]) {
    let place = Place::segment(FileKey {
        stream: STREAM,
        first: 1,
        revision: 0,
    });
    let fitting = blocks::fit(data, place);
    for bytes in [data, &fitting] {
        let path = Path::new("s").join("file");
        let disk = disk_with(&path, bytes);
        // What a file claims to stand for is not asked for at once by anybody.
        let length = crate::blocks::open(&disk, &path, place).and_then(|(file, _)| file.len());
        if length.is_ok_and(|length| length <= READ_MAX) {
            let first = read_whole(&disk, &path, place).ok();
            assert_eq!(first, read_whole(&disk, &path, place).ok());
        }
    }
    // What was written is read again, compressed or not.
    for compress in [false, true] {
        let mut packed = Vec::new();
        if !data.is_empty() {
            blocks::pack(&mut packed, data, place, compress);
        }
        let path = Path::new("s").join("file");
        let disk = disk_with(&path, &packed);
        assert_eq!(read_whole(&disk, &path, place).expect(WORKS), data);
    }
}

/// A keyring: what cannot be read stops the start and stays as it is, what can is opened or refused the same way twice.
pub fn check_keyring(data: &[u8]) {
    let encryption = || Encryption {
        key: StoreKey::new(b"key"),
        previous: None,
        cipher: Cipher::ChaCha20Poly1305,
        entropy: Arc::new(SeededEntropy::new(1)) as Arc<dyn Entropy>,
    };
    let dir = Path::new("store");
    let slot = dir.join("keyring.a");
    let disk = disk_with(&slot, data);
    assert!(open_keyring(&disk, dir, Some(&encryption())).is_err());
    assert_eq!(read_file(&disk, &slot).expect(WORKS), data);
    write_checked_file(&disk, &slot, "everjet-keyring", data).expect(WORKS);
    let before = read_file(&disk, &slot).expect(WORKS);
    let first = open_keyring(&disk, dir, Some(&encryption()));
    if first.is_err() {
        assert_eq!(read_file(&disk, &slot).expect(WORKS), before);
    }
    let again = open_keyring(&disk, dir, Some(&encryption()));
    assert_eq!(first.is_ok(), again.is_ok());
}
