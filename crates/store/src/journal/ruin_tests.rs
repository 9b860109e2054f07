//! Files of which less is left than a crash can leave: they are reported, as nobody knows what they held.

use std::path::PathBuf;

use everjet_values::{Entropy, SeededEntropy};

use super::tests::{FILE_BYTES, batch, open, record_files};
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
    let files = record_files(&disk);
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
        record: None,
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
    let older = read_file(&disk, &record_files(&disk)[0]).unwrap();
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
    disk.remove_file(&record_files(&disk)[0]).unwrap();
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
    let second = record_files(&disk)[2].clone();
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
        disk.flip_bit(&record_files(&disk)[0], (HEADER_BYTES + 2 * 92 + 60) * 8);
        let (mut journal, report, _) = open(&disk, 0).unwrap();
        assert_eq!(report.torn.unwrap().first, Lsn(3));
        write(&mut journal, 5);
        let newest = record_files(&disk)[1].clone();
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
fn a_missing_newest_file_is_told_by_the_one_before() {
    let (disk, newest) = sample();
    disk.remove_file(&newest).unwrap();
    let (mut journal, report, seen) = open(&disk, 0).unwrap();
    assert_eq!(report.damage, [ruined(&newest, 0, 21 + 1, None)]);
    assert_eq!(seen.len(), 20);
    assert!(report.lost_at_most > 10, "{}", report.lost_at_most);
    // What is written next takes its place.
    write(&mut journal, 1);
    let (_, report, _) = open(&disk, 0).unwrap();
    assert_eq!(report.damage, []);
}

#[test]
fn a_newest_file_that_lost_its_end_is_told_by_its_header() {
    let (disk, newest) = sample();
    let length = read_file(&disk, &newest).unwrap().len() as u64;
    for cut in [length - 1, length / 2, 5000] {
        let disk = disk.kill();
        disk.truncate(&newest, cut);
        let (_, report, _) = open(&disk, 0).unwrap();
        let found = report.damage.iter().any(|damage| {
            damage.path == newest && damage.lost.is_some_and(|lost| lost.last.is_none())
        });
        assert!(found, "{cut}: {:?}", report.damage);
    }
}

#[test]
fn of_an_ended_journal_that_is_gone_it_is_known_what_it_held() {
    let check = |from: u64, expected: Option<(u64, u64)>| {
        let disk = SimDisk::new();
        let (mut journal, ..) = open(&disk, 0).unwrap();
        write(&mut journal, 7);
        let _ = journal.seal().unwrap();
        for path in record_files(&disk) {
            disk.remove_file(&path).unwrap();
        }
        let (_, report, _) = open(&disk, from).unwrap();
        let lost = report.damage.iter().map(|damage| {
            let lost = damage.lost;
            lost.map(|lost| (lost.first.0, lost.last.unwrap().0))
        });
        assert_eq!(lost.collect::<Vec<_>>(), [expected], "{from}");
        // Only until somebody goes on.
        let (mut journal, ..) = open(&disk, from).unwrap();
        write(&mut journal, 1);
        for path in disk.list_files() {
            assert!(!path.ends_with("ended"), "{path:?}");
            disk.remove_file(&path).unwrap();
        }
        let (_, report, _) = open(&disk, from).unwrap();
        assert!(report.damage[0].lost.unwrap().last.is_none());
    };
    check(8, None);
    check(9, None);
    check(7, Some((7, 7)));
    check(2, Some((2, 7)));
}

#[test]
fn a_missing_file_is_damage_also_where_nothing_proves_what_it_held() {
    // Three files, of which the last two are written by one batch and synced once: nothing in them proves anything.
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    write(&mut journal, 1);
    let large = [3; FILE_BYTES as usize / 2];
    journal
        .write(&mut batch(&[&large, &large, &large, &large]))
        .unwrap();
    let _ = journal.sync().unwrap();
    let files = record_files(&disk);
    assert!(files.len() > 3, "{files:?}");
    for gone in &files[1..] {
        let disk = disk.kill();
        disk.remove_file(gone).unwrap();
        let (journal, report, _) = open(&disk, 0).unwrap();
        let found = report.damage.iter().any(|damage| {
            damage.path == *gone && damage.lost.is_some_and(|lost| lost.last.is_none())
        });
        assert!(found, "{}: {:?}", gone.display(), report.damage);
        // Five records were written.
        let next = journal.next_lsn().0;
        assert!(next - 1 + report.lost_at_most >= 5, "{next}: {report:?}");
    }
}

/// A crash leaves a file with a name and no record, behind a tail that is cut; the file that the next start begins is noted in it.
#[test]
fn a_file_that_is_gone_behind_an_empty_one_is_reported() {
    // With one record in the missing file, the one behind it begins where the empty one does, and makes that void.
    for records in 1..4 {
        let disk = SimDisk::new();
        let (mut journal, ..) = open(&disk, 0).unwrap();
        write(&mut journal, 3);
        let unsynced: &[&[u8]] = &[&[4; 40], &[5; 4000]];
        journal.write(&mut batch(unsynced)).unwrap();
        let [full, empty] = &record_files(&disk)[..] else {
            panic!("two files");
        };
        disk.zero(full, HEADER_BYTES + 3 * 92, 92);
        disk.zero(empty, HEADER_BYTES, 4052);
        let (mut journal, report, _) = open(&disk, 0).unwrap();
        assert_eq!((report.damage, journal.next_lsn()), (vec![], Lsn(4)));
        for number in 0..records {
            journal.write(&mut batch(&[&[number; 40]])).unwrap();
        }
        let gone = record_files(&disk)[2].clone();
        journal.write(&mut batch(&[&[9; 4000]])).unwrap();
        assert_eq!(record_files(&disk).len(), 4);
        disk.remove_file(&gone).unwrap();
        let (_, report, _) = open(&disk, 0).unwrap();
        assert_eq!(report.damage, [ruined(&gone, 0, 4, None)], "{records}");
        assert!(report.lost_at_most > 4, "{}", report.lost_at_most);
    }
}
