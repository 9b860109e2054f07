//! Files that an orderly stop has closed: what they hold is read only where it is needed.

use std::path::PathBuf;

use super::tests::{FILE_BYTES, batch, open, record_files, with_keys};
use super::*;
use crate::sim_disk::{SimDisk, SimFault};

/// Records 1 to 20 and the mark of an orderly stop, 21.
fn closed() -> (SimDisk, PathBuf) {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    write(&mut journal, 20);
    assert_eq!(journal.seal().unwrap().into_inner(), Lsn(21));
    let files = record_files(&disk);
    assert_eq!(files.len(), 1);
    (disk, files[0].clone())
}

fn write(journal: &mut Journal, records: u8) {
    for number in 0..records {
        journal.write(&mut batch(&[&[number; 40]])).unwrap();
        let _ = journal.sync().unwrap();
    }
}

#[test]
fn a_closed_file_is_not_read_when_nothing_of_it_is_needed() {
    let check = || {
        for from in [21, 22] {
            let (disk, file) = closed();
            // Whatever became of its records, nobody asks for them.
            disk.zero(&file, HEADER_BYTES, FILE_BYTES - HEADER_BYTES);
            for records in [0, 3, 4] {
                let (mut journal, report, seen) = open(&disk, from).unwrap();
                // The mark says nothing, so its position is free.
                let first = if records == 4 { from + 3 } else { from };
                assert_eq!(report.damage, []);
                assert_eq!(report.torn, None);
                assert_eq!(seen.len(), if records == 4 { 3 } else { 0 });
                assert_eq!(report.files, usize::from(records == 4));
                assert_eq!(journal.next_lsn(), Lsn(first), "from {from}");
                write(&mut journal, records);
            }
            let (journal, report, seen) = open(&disk.kill(), from).unwrap();
            assert_eq!((seen.len(), report.damage, report.torn), (7, vec![], None));
            assert_eq!(journal.next_lsn(), Lsn(from + 7));
        }
    };
    check();
    with_keys(check);
}

#[test]
fn a_closed_file_is_read_when_one_record_of_it_is_needed() {
    let check = || {
        let (disk, file) = closed();
        let (journal, report, seen) = open(&disk, 20).unwrap();
        assert_eq!((seen.len(), report.files, report.damage), (1, 1, vec![]));
        assert_eq!(journal.next_lsn(), Lsn(22));
        disk.zero(&file, HEADER_BYTES + 700, 1000);
        let (_, report, seen) = open(&disk, 1).unwrap();
        assert_eq!(report.damage.len(), 1);
        assert!(seen.len() < 20);
    };
    check();
    with_keys(check);
}

#[test]
fn a_file_whose_note_is_damaged_is_read_as_if_it_had_none() {
    for bit in 0..28 * 8 {
        let (disk, file) = closed();
        disk.flip_bit(&file, CLOSED_AT * 8 + bit);
        let (journal, report, seen) = open(&disk, 21).unwrap();
        assert_eq!((seen.len(), report.files, report.damage), (0, 1, vec![]));
        assert_eq!(journal.next_lsn(), Lsn(22), "bit {bit}: the mark is found");
    }
}

#[test]
fn a_closed_file_that_was_cut_is_read() {
    let (disk, file) = closed();
    disk.truncate(&file, HEADER_BYTES + 1000);
    let (_, report, _) = open(&disk, 21).unwrap();
    assert_eq!(report.files, 1);
}

#[test]
fn a_stop_after_which_nothing_was_written_is_no_work() {
    let (disk, _) = closed();
    let before = (record_files(&disk), disk.operations());
    for _ in 0..3 {
        let (mut journal, ..) = open(&disk, 0).unwrap();
        assert_eq!(journal.seal().unwrap().into_inner(), Lsn(21));
    }
    assert_eq!(record_files(&disk), before.0);
    // After a crash it is not closed, and what the start has made durable is proved by the next stop.
    let (mut journal, ..) = open(&disk, 0).unwrap();
    write(&mut journal, 1);
    let disk = disk.kill();
    for expected in [23, 23] {
        let (mut journal, ..) = open(&disk, 0).unwrap();
        assert_eq!(journal.seal().unwrap().into_inner(), Lsn(expected));
    }
}

#[test]
fn nothing_is_written_to_a_closed_file() {
    let (disk, _) = closed();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    write(&mut journal, 1);
    let _ = journal.seal().unwrap();
    write(&mut journal, 1);
    assert_eq!(record_files(&disk).len(), 3);
    let (_, report, seen) = open(&disk.kill(), 23).unwrap();
    assert_eq!((seen.len(), report.damage), (1, vec![]));
}

#[test]
fn a_power_cut_while_a_file_is_closed_costs_nothing_and_invents_nothing() {
    for operation in 1.. {
        let disk = SimDisk::new();
        let (mut journal, ..) = open(&disk, 0).unwrap();
        write(&mut journal, 20);
        disk.fail_at(disk.operations() + operation, SimFault::Cut);
        if journal.seal().is_ok() {
            assert!(operation > 3, "a mark, a note, a sync");
            break;
        }
        for seed in 0..40 {
            // The manifest may know of all records, or of none.
            for from in [1, 20, 21] {
                let disk = disk.crash(seed);
                for more in 0..3 {
                    let (mut journal, report, seen) = open(&disk, from).unwrap();
                    assert_eq!(report.damage, [], "{operation}");
                    assert_eq!(seen.len() as u64, 21 - from + more, "{operation} {seed}");
                    write(&mut journal, 1);
                }
            }
        }
    }
}
