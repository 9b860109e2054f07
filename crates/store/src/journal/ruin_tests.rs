//! Files of which less is left than a crash can leave: they are reported, as nobody knows what they held.

use std::path::PathBuf;

use everjet_values::{Entropy, SeededEntropy};

use super::tests::{FILE_BYTES, batch, open};
use super::*;
use crate::disk::read_file;
use crate::sim_disk::{SimDisk, SimFault};

/// 20 records and the seal of an orderly stop, a start, 20 more that are synced, a kill.
fn sample() -> (SimDisk, PathBuf) {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    write(&mut journal, 20);
    let _ = journal.seal().unwrap();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    write(&mut journal, 20);
    let files = disk.list_files();
    assert_eq!(files.len(), 2);
    (disk.kill(), files[1].clone())
}

fn write(journal: &mut Journal, records: u8) {
    for number in 0..records {
        journal.write(&mut batch(&[&[number; 40]])).unwrap();
        let _ = journal.sync().unwrap();
    }
}

/// Puts `bytes` in the place of all that the file holds.
fn replace(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    disk.truncate(path, 0);
    let file = disk.open(path, OpenMode::Write).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync().unwrap();
}

fn random(count: u64) -> Vec<u8> {
    let dice = SeededEntropy::new(5);
    (0..count).map(|_| dice.next_u64() as u8).collect()
}

fn ruined(path: &Path, length: u64, first: u64, last: Option<u64>) -> JournalDamage {
    JournalDamage {
        path: path.to_owned(),
        offset: 0,
        length,
        lost: Some(LostRecords {
            first: Lsn(first),
            last: last.map(Lsn),
        }),
    }
}

#[test]
fn a_ruined_newest_file_is_reported() {
    let check = |name: &str, bytes: &[u8]| {
        let (disk, newest) = sample();
        replace(&disk, &newest, bytes);
        for _ in 0..2 {
            let (journal, report, seen) = open(&disk, 0).unwrap();
            let expected = ruined(&newest, bytes.len() as u64, 22, None);
            assert_eq!(report.damage, [expected], "{name}");
            assert_eq!((report.torn, seen.len()), (None, 20), "{name}");
            assert_eq!(journal.next_lsn(), Lsn(22), "{name}");
        }
    };
    let (disk, newest) = sample();
    let before = read_file(&disk, &newest).unwrap();
    check("5,000 random bytes", &random(5000));
    check("random bytes, as long as before", &random(FILE_BYTES));
    check("10 bytes left", &before[..10]);
    check("emptied", &[]);
    check("only the header left", &before[..HEADER_BYTES as usize]);
    check("nothing but zeros", &vec![0; before.len()]);
    let older = read_file(&disk, &disk.list_files()[0]).unwrap();
    check("what is in another file", &older);
}

#[test]
fn a_file_cut_within_its_records_keeps_the_ones_before() {
    let (disk, newest) = sample();
    disk.truncate(&newest, HEADER_BYTES + 3 * 92 + 10);
    let (journal, report, seen) = open(&disk, 0).unwrap();
    let length = HEADER_BYTES + 3 * 92 + 10;
    assert_eq!(report.damage, [ruined(&newest, length, 25, None)]);
    assert_eq!((seen.len(), journal.next_lsn()), (23, Lsn(25)));
}

#[test]
fn a_ruin_that_is_all_there_is_is_reported_from_the_wanted_position_on() {
    let (disk, newest) = sample();
    disk.remove_file(&disk.list_files()[0]).unwrap();
    disk.truncate(&newest, 0);
    let (journal, report, _) = open(&disk, 30).unwrap();
    assert_eq!(report.damage, [ruined(&newest, 0, 30, None)]);
    assert_eq!(journal.next_lsn(), Lsn(30));
}

#[test]
fn what_a_start_has_reported_and_given_up_is_not_reported_again() {
    let (disk, newest) = sample();
    disk.truncate(&newest, 10);
    let (mut journal, ..) = open(&disk, 0).unwrap();
    write(&mut journal, 2);
    let (journal, report, seen) = open(&disk, 0).unwrap();
    assert_eq!((report.damage, seen.len()), (vec![], 22));
    assert_eq!(journal.next_lsn(), Lsn(24));
}

#[test]
fn a_ruin_between_sound_files_names_exactly_what_is_lost() {
    let (disk, ruin) = sample();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    write(&mut journal, 2);
    replace(&disk, &ruin, &random(5000));
    let (_, report, seen) = open(&disk, 0).unwrap();
    assert_eq!(report.damage, [ruined(&ruin, 5000, 22, Some(41))]);
    assert_eq!((report.torn, seen.len()), (None, 22));
}

#[test]
fn several_ruins_are_all_reported() {
    let (disk, first) = sample();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    write(&mut journal, 2);
    let second = disk.list_files()[2].clone();
    disk.truncate(&first, 10);
    disk.truncate(&second, 20);
    let (_, report, _) = open(&disk, 0).unwrap();
    let expected = [ruined(&first, 10, 22, None), ruined(&second, 20, 22, None)];
    assert_eq!(report.damage, expected);
}

#[test]
fn a_ruin_behind_a_tail_that_was_cut_is_reported() {
    for is_whole_behind in [false, true] {
        let disk = SimDisk::new();
        let (mut journal, ..) = open(&disk, 0).unwrap();
        write(&mut journal, 2);
        journal.write(&mut batch(&[&[3; 40]])).unwrap();
        if is_whole_behind {
            journal.write(&mut batch(&[&[4; 40]])).unwrap();
        }
        disk.flip_bit(&disk.list_files()[0], (HEADER_BYTES + 2 * 92 + 60) * 8);
        let (mut journal, report, _) = open(&disk, 0).unwrap();
        assert_eq!(report.torn.unwrap().first, Lsn(3));
        write(&mut journal, 5);
        let newest = disk.list_files()[1].clone();
        disk.truncate(&newest, 10);
        let (_, report, seen) = open(&disk, 0).unwrap();
        assert_eq!(report.damage, [ruined(&newest, 10, 3, None)]);
        assert_eq!(seen.len(), 2);
    }
}

/// Begins a file as `prepare` has left the journal, cuts the power at each operation, and expects no word of damage.
fn check_cuts(prepare: &dyn Fn(&mut Journal), from: u64) {
    for operation in 1.. {
        let disk = SimDisk::new();
        let (mut journal, ..) = open(&disk, 0).unwrap();
        for _ in 0..3 {
            journal.write(&mut batch(&[&[7; 4000]])).unwrap();
            let _ = journal.sync().unwrap();
        }
        prepare(&mut journal);
        disk.fail_at(disk.operations() + operation, SimFault::Cut);
        let outcome = journal.write(&mut batch(&[&[8; 300]]));
        for seed in 0..200 {
            let (_, report, seen) = open(&disk.crash(seed), from).unwrap();
            let context = format!("operation {operation}, seed {seed}");
            assert_eq!(report.damage, [], "{context}");
            assert!(seen.len() as u64 >= 4 - from, "{context}");
        }
        if outcome.is_ok() {
            assert!(operation > 5, "header, sync, name, folder, record");
            break;
        }
    }
}

#[test]
fn a_power_cut_while_a_file_is_begun_is_no_damage() {
    // Created in a hurry, prepared, used again.
    check_cuts(&|_| (), 1);
    let prepare = |journal: &mut Journal| {
        let spare = journal.spare_job().unwrap().run().unwrap();
        journal.install_spare(spare).unwrap();
    };
    check_cuts(&prepare, 1);
    check_cuts(&|journal| journal.release(Lsn(3)).unwrap(), 4);
}

#[test]
fn a_missing_newest_file_cannot_be_told() {
    let (disk, newest) = sample();
    disk.remove_file(&newest).unwrap();
    let (_, report, seen) = open(&disk, 0).unwrap();
    assert_eq!((report.damage, seen.len()), (vec![], 20));
}
