//! What was scrubbed is in no file, and a crash on the way harms nothing.

use super::tests::{FILE_BYTES, batch, open};
use super::*;
use crate::disk::read_file;
use crate::sim_disk::{SimDisk, SimFault};

const SECRET: &[u8] = b"nobody may read this any more";

/// A journal of several files, some of them given up before and kept, with the secret in all of them; and its end.
fn filled(disk: &SimDisk) -> (Journal, Lsn) {
    let (mut journal, ..) = open(disk, 0).unwrap();
    let long = vec![1; usize::try_from(FILE_BYTES).unwrap() / 3];
    for _ in 0..6 {
        journal.write(&mut batch(&[SECRET, &long])).unwrap();
    }
    let _ = journal.sync().unwrap();
    journal.release(Lsn(4)).unwrap();
    let end = journal.last_written();
    (journal, end)
}

fn has_secret(disk: &SimDisk) -> bool {
    disk.list_files().iter().any(|path| {
        let bytes = read_file(disk, path).unwrap();
        bytes.windows(SECRET.len()).any(|bytes| bytes == SECRET)
    })
}

/// All of it, as the driver does it; the manifest says in between that nothing up to `end` is needed.
fn scrub(journal: &mut Journal, end: Lsn) -> Result<bool, Fault> {
    let rolled = journal.roll()?;
    assert!(rolled >= end);
    journal.write(&mut batch(&[b"needed"]))?;
    let _ = journal.sync()?;
    let mut scrub = journal.release_to_scrub(end, rolled)?;
    let run = scrub.run();
    let is_complete = scrub.is_complete();
    run.and(journal.finish_scrub(scrub))?;
    Ok(is_complete)
}

#[test]
fn nothing_of_what_was_released_is_left_and_the_files_are_used_again() {
    let disk = SimDisk::new();
    let (mut journal, end) = filled(&disk);
    assert!(has_secret(&disk));
    assert!(scrub(&mut journal, end).unwrap());
    assert!(!has_secret(&disk));
    assert!(journal.room() > FILE_BYTES, "clean files are ready");
    journal.write(&mut batch(&[b"more"])).unwrap();
    let _ = journal.sync().unwrap();
    let (_, report, seen) = open(&disk, end.0 + 1).unwrap();
    assert_eq!(report.damage, []);
    let bodies: Vec<_> = seen.iter().map(|(.., body)| body.as_slice()).collect();
    assert_eq!(bodies, [&b"needed"[..], b"more"]);
}

#[test]
fn what_is_still_needed_is_said() {
    let disk = SimDisk::new();
    let (mut journal, end) = filled(&disk);
    let rolled = journal.roll().unwrap();
    assert_eq!(rolled, end);
    let through = Lsn(end.0 - 3);
    let mut scrub = journal.release_to_scrub(through, rolled).unwrap();
    scrub.run().unwrap();
    assert!(!scrub.is_complete());
    journal.finish_scrub(scrub).unwrap();
    assert!(has_secret(&disk));
}

#[test]
fn a_power_cut_at_any_operation_of_a_scrub_keeps_what_is_needed() {
    let mut cuts = 0;
    for operation in 1..60 {
        for seed in 0..6 {
            let disk = SimDisk::new();
            let (mut journal, end) = filled(&disk);
            disk.fail_at(disk.operations() + operation, SimFault::Cut);
            let scrubbed = scrub(&mut journal, end);
            cuts += u32::from(scrubbed.is_err());
            let disk = disk.crash(seed);
            let context = format!("operation {operation} seed {seed}");
            let (mut journal, report, seen) = open(&disk, end.0 + 1).unwrap();
            assert_eq!(report.damage, [], "{context}");
            let is_needed = seen.iter().all(|(.., body)| body == b"needed");
            assert!(is_needed, "{context}");
            let end = journal.last_written();
            assert!(scrub(&mut journal, end).unwrap(), "{context}");
            assert!(!has_secret(&disk), "{context}");
        }
    }
    assert!(cuts > 60, "only {cuts}");
}

/// A fault that passes makes an erasure fail; the next one that does not finds everything, whatever the fault has left.
#[test]
fn what_a_fault_has_left_behind_is_overwritten_the_next_time() {
    let mut faults = 0;
    for fault in [SimFault::Eio, SimFault::Enospc] {
        for operation in 1..60 {
            let disk = SimDisk::new();
            let (mut journal, _) = filled(&disk);
            disk.fail_at(disk.operations() + operation, fault);
            // Goes on in a file that was used before.
            for _ in 0..3 {
                let _ = journal.write(&mut batch(&[&vec![1; 1000]]));
            }
            let end = journal.last_written();
            let first = scrub(&mut journal, end);
            if journal.latched().is_some() {
                continue;
            }
            let context = format!("{fault:?} at operation {operation}");
            if first.is_err() {
                faults += 1;
                let end = journal.last_written();
                assert!(scrub(&mut journal, end).unwrap(), "{context}");
            }
            assert!(!has_secret(&disk), "{context}");
        }
    }
    assert!(faults > 10, "only {faults}");
}

#[test]
fn a_file_that_was_removed_under_the_server_holds_nothing_up() {
    let disk = SimDisk::new();
    let (mut journal, end) = filled(&disk);
    let oldest = disk.list_files().into_iter();
    let mut oldest = oldest.filter(|path| path.extension().is_some_and(|kind| kind == "wal"));
    disk.remove_file(&oldest.next().unwrap()).unwrap();
    assert!(scrub(&mut journal, end).unwrap());
    assert!(!has_secret(&disk));
}
