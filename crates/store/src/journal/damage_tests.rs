//! Rot: what was durable and is damaged is reported, skipped and never shown wrong; what only was cut short by a crash is no
//! damage.

use std::ops::RangeInclusive;

use super::record::HEAD_BYTES;
use super::tests::{DIR, Seen, batch, open, record_files, with_keys};
use super::*;
use crate::disk::read_file;
use crate::sim_disk::SimDisk;

/// A journal of 12 records in 3 files, each batch of two synced; sealed or not.
fn sample(sealed: bool) -> (SimDisk, Vec<Seen>) {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    for number in 1..=6u8 {
        let body = vec![number; 700];
        journal.write(&mut batch(&[&body, &[number; 30]])).unwrap();
        let _ = journal.sync().unwrap();
    }
    if sealed {
        let _ = journal.seal().unwrap();
    }
    let (_, report, seen) = open(&disk, 0).unwrap();
    assert_eq!(record_files(&disk).len(), 2);
    assert_eq!((seen.len(), report.damage, report.torn), (12, vec![], None));
    (disk, seen)
}

/// The LSNs a report names as lost; of those without an end the first ones.
fn lost(report: &JournalReport) -> Vec<u64> {
    let ranges = report.damage.iter().filter_map(|damage| damage.lost);
    ranges
        .flat_map(|lost| lost.first.0..=lost.last.map_or(lost.first.0 + 100, |last| last.0))
        .collect()
}

/// Checks that what is there is right and what is not there is reported. Returns the LSNs that are missing.
fn check_honest(disk: &SimDisk, written: &[Seen], context: &str) -> Vec<u64> {
    let (journal, report, seen) =
        open(disk, 0).unwrap_or_else(|fault| panic!("{context}: {fault}"));
    for record in &seen {
        assert_eq!(
            Some(record),
            written.get(record.0 as usize - 1),
            "{context}: wrong record"
        );
    }
    assert!(seen.is_sorted_by(|a, b| a.0 < b.0), "{context}: order");
    let is_missing = |lsn: &u64| seen.iter().all(|record| record.0 != *lsn);
    let missing: Vec<u64> = (1..=written.len() as u64).filter(is_missing).collect();
    let cut = report
        .torn
        .as_ref()
        .map_or(journal.next_lsn().0, |torn| torn.first.0);
    let mut explained = lost(&report);
    explained.extend(cut..=written.len() as u64);
    for lsn in &missing {
        assert!(
            explained.contains(lsn),
            "{context}: {lsn} is missing without a word: {report:?}"
        );
    }
    missing
}

/// Flips one bit of every byte of a journal: each costs one record at most, and that is what is reported. Every byte of every record, of
/// which so many belong to it besides the body, must matter.
fn flip_everywhere(beside_the_body: usize) {
    let (disk, written) = sample(true);
    let mut harmed = 0;
    for path in record_files(&disk) {
        let length = read_file(&disk, &path).unwrap().len() as u64;
        for byte in 0..length {
            let disk = disk.kill();
            disk.flip_bit(&path, byte * 8 + (byte * 5) % 8);
            let context = format!("{} byte {byte}", path.display());
            let missing = check_honest(&disk, &written, &context);
            let (_, report, _) = open(&disk, 0).unwrap();
            assert_eq!(lost(&report), missing, "{context}");
            assert!(missing.len() <= 1, "{context}: {missing:?}");
            harmed += missing.len();
        }
    }
    let bytes = written
        .iter()
        .map(|record| beside_the_body + record.4.len());
    assert_eq!(harmed, bytes.sum::<usize>());
}

#[test]
fn any_flipped_bit_of_a_sealed_journal_costs_one_record_and_is_reported() {
    flip_everywhere(HEAD_BYTES);
}

#[test]
fn any_flipped_bit_of_encrypted_records_costs_one_record_and_is_reported() {
    with_keys(|| flip_everywhere(HEAD_BYTES + 16));
}

#[test]
fn encrypted_records_survive_the_loss_of_either_place_that_names_their_key() {
    with_keys(|| {
        let (disk, written) = sample(true);
        for path in record_files(&disk) {
            let length = read_file(&disk, &path).unwrap().len() as u64;
            for place in [0..4096, length - 32..length] {
                let disk = disk.kill();
                let file = disk.open(&path, OpenMode::Write).unwrap();
                let rubbish = vec![0x5A; (place.end - place.start) as usize];
                file.write_all_at(&rubbish, place.start).unwrap();
                let context = format!("{} {place:?}", path.display());
                assert_eq!(check_honest(&disk, &written, &context), [] as [u64; 0]);
            }
        }
    });
}

#[test]
fn a_record_that_no_key_opens_is_reported_as_lost() {
    let disk = SimDisk::new();
    with_keys(|| {
        let (mut journal, ..) = open(&disk, 0).unwrap();
        journal.write(&mut batch(&[b"one", b"two"])).unwrap();
        let _ = journal.seal().unwrap();
    });
    let (journal, report, seen) = open(&disk, 0).unwrap();
    assert_eq!(seen, []);
    assert_eq!(lost(&report), [1, 2]);
    assert_eq!(journal.next_lsn(), Lsn(4));
}

#[test]
fn no_body_is_in_the_open_when_there_are_keys() {
    let disk = SimDisk::new();
    with_keys(|| {
        for _ in 0..3 {
            let (mut journal, ..) = open(&disk, 0).unwrap();
            for _ in 0..10 {
                journal
                    .write(&mut batch(&[b"plaintext marker", &[7; 500]]))
                    .unwrap();
                let _ = journal.sync().unwrap();
            }
        }
        let (_, report, seen) = open(&disk, 0).unwrap();
        assert_eq!((seen.len(), report.damage), (60, vec![]));
    });
    for path in record_files(&disk) {
        let bytes = read_file(&disk, &path).unwrap();
        assert!(!bytes.windows(16).any(|part| part == b"plaintext marker"));
    }
}

#[test]
fn a_journal_that_gets_keys_is_read_and_goes_on_sealed() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    journal.write(&mut batch(&[b"before"])).unwrap();
    let _ = journal.sync().unwrap();
    with_keys(|| {
        let (mut journal, _, seen) = open(&disk, 0).unwrap();
        assert_eq!(seen.len(), 1);
        journal.write(&mut batch(&[b"after"])).unwrap();
        let _ = journal.sync().unwrap();
        let (_, report, seen) = open(&disk, 0).unwrap();
        let bodies: Vec<_> = seen.iter().map(|record| &record.4[..]).collect();
        assert_eq!(
            (bodies, report.damage),
            (vec![&b"before"[..], b"after"], vec![])
        );
    });
    for path in record_files(&disk) {
        let bytes = read_file(&disk, &path).unwrap();
        assert!(!bytes.windows(5).any(|part| part == b"after"));
    }
}

#[test]
fn sealed_records_are_written_again_when_the_disk_was_full() {
    with_keys(|| {
        for operation in 1.. {
            let disk = SimDisk::new();
            let (mut journal, ..) = open(&disk, 0).unwrap();
            let _ = journal.write(&mut batch(&[b"first"])).unwrap();
            let mut large = batch(&[&[1; 2000], &[2; 2000], &[3; 2000]]);
            disk.fail_at(
                disk.operations() + operation,
                crate::sim_disk::SimFault::Enospc,
            );
            let outcome = journal.write(&mut large);
            let Err(fault) = outcome else {
                assert!(operation > 4, "a write into new files has many steps");
                break;
            };
            assert!(fault.is_full(), "{fault}");
            if journal.latched().is_some() {
                continue;
            }
            journal.write(&mut large).unwrap();
            let _ = journal.sync().unwrap();
            let (_, report, seen) = open(&disk, 0).unwrap();
            let lengths: Vec<_> = seen.iter().map(|record| record.4.len()).collect();
            assert_eq!(
                (lengths, report.damage),
                (vec![5, 2000, 2000, 2000], vec![]),
                "{operation}"
            );
        }
    });
}

#[test]
fn any_flipped_bit_of_an_open_journal_costs_one_record_or_the_last_batch() {
    let (disk, written) = sample(false);
    for path in record_files(&disk) {
        let length = read_file(&disk, &path).unwrap().len() as u64;
        for byte in 0..length {
            let disk = disk.kill();
            disk.flip_bit(&path, byte * 8 + (byte * 3) % 8);
            let missing = check_honest(&disk, &written, &format!("{} byte {byte}", path.display()));
            assert!(
                missing.len() <= 1 || missing == [11, 12],
                "byte {byte}: {missing:?}"
            );
        }
    }
}

#[test]
fn cut_and_missing_files_are_reported() {
    let (disk, written) = sample(true);
    for path in record_files(&disk) {
        let length = read_file(&disk, &path).unwrap().len() as u64;
        for cut in (0..length).step_by(13) {
            let disk = disk.kill();
            disk.truncate(&path, cut);
            check_honest(&disk, &written, &format!("{} cut at {cut}", path.display()));
        }
    }
    let files = record_files(&disk);
    disk.remove_file(&files[0]).unwrap();
    let (_, report, seen) = open(&disk, 0).unwrap();
    assert_eq!(lost(&report), (1..seen[0].0).collect::<Vec<_>>());
    disk.remove_file(&files[1]).unwrap();
    let (journal, report, _) = open(&disk, 5).unwrap();
    let expected = JournalDamage {
        path: DIR.into(),
        offset: 0,
        length: 0,
        lost: Some(LostRecords {
            first: Lsn(5),
            // The orderly stop has said where it ended.
            last: Some(Lsn(12)),
        }),
        record: None,
    };
    assert_eq!(report.damage, [expected]);
    assert_eq!(journal.next_lsn(), Lsn(5));
}

/// Offset of a record in the first file.
fn offset_of(written: &[Seen], lsn: u64) -> u64 {
    let before = &written[..lsn as usize - 1];
    HEADER_BYTES
        + before
            .iter()
            .map(|record| (HEAD_BYTES + record.4.len()) as u64)
            .sum::<u64>()
}

fn flip(disk: &SimDisk, byte: u64) {
    disk.flip_bit(&record_files(disk)[0], byte * 8);
}

#[test]
fn a_report_names_file_offset_length_and_positions() {
    let (disk, written) = sample(true);
    flip(&disk, offset_of(&written, 3) + 60);
    flip(&disk, offset_of(&written, 4));
    flip(&disk, offset_of(&written, 6) + 8);
    let (_, report, seen) = open(&disk, 0).unwrap();
    let expect = |lsns: RangeInclusive<u64>| JournalDamage {
        path: record_files(&disk)[0].clone(),
        offset: offset_of(&written, *lsns.start()),
        length: offset_of(&written, lsns.end() + 1) - offset_of(&written, *lsns.start()),
        lost: Some(LostRecords {
            first: Lsn(*lsns.start()),
            last: Some(Lsn(*lsns.end())),
        }),
        record: None,
    };
    assert_eq!(report.damage, [expect(3..=4), expect(6..=6)]);
    assert_eq!(report.torn, None);
    assert_eq!((seen.len(), report.records), (9, 9));
}

#[test]
fn damage_before_the_wanted_position_is_nobodys_loss() {
    let (disk, written) = sample(true);
    flip(&disk, offset_of(&written, 2));
    let (_, report, seen) = open(&disk, 3).unwrap();
    assert_eq!((report.damage, seen.len()), (vec![], 10));
}

#[test]
fn a_damaged_header_is_reported_and_costs_no_record() {
    let (disk, written) = sample(true);
    flip(&disk, 17);
    let (_, report, seen) = open(&disk, 0).unwrap();
    assert_eq!(seen, written);
    assert_eq!((report.damage.len(), report.damage[0].lost), (1, None));
}

#[test]
fn the_journal_goes_on_after_damage() {
    let (disk, written) = sample(true);
    flip(&disk, offset_of(&written, 3));
    let (mut journal, ..) = open(&disk, 0).unwrap();
    assert_eq!(
        journal.write(&mut batch(&[b"new"])).unwrap(),
        Lsn(14),
        "12 and the seal's mark"
    );
    let _ = journal.sync().unwrap();
    let (_, report, seen) = open(&disk.crash(0), 0).unwrap();
    assert_eq!(lost(&report), [3]);
    assert_eq!(
        (seen.len(), seen[11].0, &seen[11].4[..]),
        (12, 14, &b"new"[..])
    );
}

#[test]
fn a_lazily_synced_tail_is_cut_at_its_first_gap_and_stays_cut() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    journal.write(&mut batch(&[b"synced"])).unwrap();
    let _ = journal.sync().unwrap();
    for number in 2..=6u8 {
        journal.write(&mut batch(&[&[number; 30]])).unwrap();
    }
    flip(&disk, HEADER_BYTES + 58 + 82 + 40);
    let (mut journal, report, seen) = open(&disk, 0).unwrap();
    let torn = TornTail {
        path: record_files(&disk)[0].clone(),
        offset: HEADER_BYTES + 58 + 82,
        first: Lsn(3),
        records: 3,
    };
    assert_eq!((seen.len(), report.torn), (2, Some(torn)));
    assert_eq!(report.damage, vec![]);

    // The valid records behind the gap must not come back once new ones have taken their positions.
    journal.write(&mut batch(&[b"third", b"fourth"])).unwrap();
    let _ = journal.sync().unwrap();
    journal.write(&mut batch(&[b"fifth"])).unwrap();
    let (_, report, seen) = open(&disk, 0).unwrap();
    let bodies: Vec<&[u8]> = seen.iter().map(|(.., body)| &body[..]).collect();
    assert_eq!(
        bodies,
        [&b"synced"[..], &[2; 30], b"third", b"fourth", b"fifth"]
    );
    assert_eq!((report.damage, report.torn), (vec![], None));
}

#[test]
fn damage_next_to_a_cut_tail_does_not_bring_the_tail_back() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    journal.write(&mut batch(&[&[1; 30], &[2; 30]])).unwrap();
    let _ = journal.sync().unwrap();
    journal
        .write(&mut batch(&[&[3; 30], &[4; 30], &[5; 30]]))
        .unwrap();
    flip(&disk, HEADER_BYTES + 2 * 82 + 20);
    let (mut journal, ..) = open(&disk, 0).unwrap();
    journal
        .write(&mut batch(&[b"third", b"fourth", b"fifth"]))
        .unwrap();
    let _ = journal.seal().unwrap();
    flip(&disk, HEADER_BYTES + 82 + 20);
    let (_, report, seen) = open(&disk, 0).unwrap();
    let bodies: Vec<&[u8]> = seen.iter().map(|(.., body)| &body[..]).collect();
    assert_eq!(bodies, [&[1; 30], &b"third"[..], b"fourth", b"fifth"]);
    assert_eq!((lost(&report), report.torn), (vec![2], None));
}

#[test]
fn a_tail_is_cut_behind_damage_too() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    journal.write(&mut batch(&[&[1; 30], &[2; 30]])).unwrap();
    let _ = journal.sync().unwrap();
    journal
        .write(&mut batch(&[&[3; 30], &[4; 30], &[5; 30]]))
        .unwrap();
    flip(&disk, HEADER_BYTES + 82 + 20);
    flip(&disk, HEADER_BYTES + 3 * 82 + 20);
    let (journal, report, seen) = open(&disk, 0).unwrap();
    assert_eq!(
        seen.iter().map(|record| record.0).collect::<Vec<_>>(),
        [1, 3]
    );
    assert_eq!(lost(&report), [2]);
    let torn = report.torn.unwrap();
    assert_eq!((torn.first, torn.records), (Lsn(4), 1));
    assert_eq!(journal.next_lsn(), Lsn(4));
}

#[test]
fn a_gap_that_is_damage_at_first_and_torn_later_is_told_apart() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    journal.write(&mut batch(&[&[1; 30], &[2; 30]])).unwrap();
    let _ = journal.sync().unwrap();
    journal.write(&mut batch(&[&[3; 30], &[4; 30]])).unwrap();
    flip(&disk, HEADER_BYTES + 82 + 20);
    flip(&disk, HEADER_BYTES + 2 * 82 + 20);
    // Record 4 proves 2 and says nothing about 3.
    let (journal, report, seen) = open(&disk, 0).unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(lost(&report), [2]);
    assert_eq!(report.torn.unwrap().first, Lsn(3));
    assert_eq!(journal.next_lsn(), Lsn(3));
}

#[test]
fn a_record_inside_a_payload_is_no_record() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    journal.write(&mut batch(&[b"first", b"second"])).unwrap();
    let _ = journal.sync().unwrap();
    let mut forged = batch(&[b"forged"]);
    let generation = journal.last_generation;
    record::stamp(forged.encoded_mut(), generation, Lsn(9), Lsn(8));
    // A message that carries a perfect record, as only somebody who can read the disk could make it.
    journal
        .write(&mut batch(&[forged.encoded(), b"last"]))
        .unwrap();
    let _ = journal.sync().unwrap();
    flip(&disk, HEADER_BYTES + 57 + 10);
    let (_, report, seen) = open(&disk, 0).unwrap();
    assert_eq!(
        seen.iter().map(|record| record.0).collect::<Vec<_>>(),
        [1, 3, 4]
    );
    assert_eq!(lost(&report), [2]);
}

#[test]
fn generations_depend_on_the_salt() {
    let name = |salt| {
        let disk = SimDisk::new();
        let options = JournalOptions {
            salt,
            ..tests::options()
        };
        let nothing = &mut |_: JournalRecord<'_>| Ok(());
        let (mut journal, _) =
            Journal::open(disk.shared(), Path::new(DIR), options, Lsn(1), nothing).unwrap();
        journal.write(&mut batch(&[b"x"])).unwrap();
        record_files(&disk)
    };
    assert_ne!(name(1), name(2));
    assert_eq!(name(1), name(1));
}

#[test]
fn a_record_that_was_written_twice_survives_damage_to_either() {
    let record = |body: &[u8], twice: bool| {
        let mut batch = JournalBatch::new();
        let fill = |out: &mut Vec<u8>| out.extend_from_slice(body);
        if twice {
            batch.push_twice(StreamId(1), EntryIndex(2), 7, fill);
        } else {
            batch.push(StreamId(1), EntryIndex(1), 1, fill);
        }
        batch
    };
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    journal.write(&mut record(b"first", false)).unwrap();
    journal.write(&mut record(b"removed", true)).unwrap();
    let _ = journal.seal().unwrap();
    let (_, _, whole) = open(&disk, 0).unwrap();
    let path = record_files(&disk)[0].clone();
    let first = HEADER_BYTES + (HEAD_BYTES + 5) as u64;
    for byte in first..first + 2 * (HEAD_BYTES + 7) as u64 {
        let disk = disk.kill();
        disk.flip_bit(&path, byte * 8 + byte % 8);
        let (_, report, seen) = open(&disk, 0).unwrap();
        assert!(seen.iter().any(|record| record.4 == b"removed"), "{byte}");
        assert_eq!(lost(&report), [] as [u64; 0], "byte {byte}: {report:?}");
        assert_eq!((report.damage.len(), seen.len()), (1, whole.len() - 1));
    }
}

#[test]
fn a_damaged_body_is_named_by_its_head() {
    let (disk, written) = sample(true);
    flip(&disk, offset_of(&written, 3) + 60);
    let (_, report, _) = open(&disk, 0).unwrap();
    let record = report.damage[0].record.unwrap();
    assert_eq!(record.stream.0, written[2].1);
    assert_eq!((record.entry.0, record.kind), (written[2].2, written[2].3));
}
