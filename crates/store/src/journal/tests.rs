//! What the journal does when all goes well, and what it does when the disk refuses.

use everjet_values::EntryIndex;

use super::*;
use crate::sim_disk::{SimDisk, SimFault};

pub(super) const DIR: &str = "/journal";
/// Room for the header and 4 KiB of records.
pub(super) const FILE_BYTES: u64 = HEADER_BYTES + 4096;

/// A record as tests see it: LSN, stream, entry, kind, body.
pub(super) type Seen = (u64, u64, u64, u8, Vec<u8>);

/// The files of records, oldest first.
pub(super) fn record_files(disk: &SimDisk) -> Vec<PathBuf> {
    let is_one = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "wal");
    disk.list_files().into_iter().filter(is_one).collect()
}

pub(super) fn options() -> JournalOptions {
    JournalOptions {
        file_bytes: FILE_BYTES,
        hurried_file_bytes: FILE_BYTES,
        spares_max: 2,
        salt: 7,
    }
}

thread_local! {
    /// Which start of a server with keys [`open`] is, if any.
    static START: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
}

/// Runs `test` with journals whose records are sealed.
pub(super) fn with_keys(test: impl FnOnce()) {
    START.set(Some(1));
    test();
    START.set(None);
}

thread_local! {
    /// Whether [`open`] leaves it to a later sync to make durable what it has read.
    static LATER: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs `test` with journals that do not make durable what they have read before they are synced.
pub(super) fn durable_later(test: impl FnOnce()) {
    LATER.set(true);
    test();
    LATER.set(false);
}

pub(super) fn is_durable_later() -> bool {
    LATER.get()
}

/// The disk as the journal sees it: each start seals with other keys of the same store, and with another cipher.
pub(super) fn through(disk: &SimDisk) -> Arc<dyn Disk> {
    match START.get() {
        None => disk.shared(),
        Some(start) => {
            START.set(Some(start + 1));
            crate::seal::testing::sealed_disk(disk, 1, start)
        }
    }
}

/// Opens the journal of `disk` and returns what it has from `from` on.
pub(super) fn open(
    disk: &SimDisk,
    from: u64,
) -> Result<(Journal, JournalReport, Vec<Seen>), Fault> {
    let (mut journal, report, seen) = open_at(disk, JournalStart::from(Lsn(from)))?;
    if !is_durable_later() {
        let _durable = journal.sync()?;
    }
    Ok((journal, report, seen))
}

/// As [`open`], and nothing is durable yet that was not before.
pub(super) fn open_at(
    disk: &SimDisk,
    start: JournalStart,
) -> Result<(Journal, JournalReport, Vec<Seen>), Fault> {
    let mut seen = Vec::new();
    let mut opening = JournalOpening::begin(through(disk), Path::new(DIR), options(), start)?;
    opening.read(&mut |record| {
        seen.push((
            record.lsn.0,
            record.stream.0,
            record.entry.0,
            record.kind,
            record.body.to_vec(),
        ));
        Ok(())
    })?;
    let (journal, report) = opening.finish()?;
    Ok((journal, report, seen))
}

/// A batch of records of stream 1 with these bodies.
pub(super) fn batch(bodies: &[&[u8]]) -> JournalBatch {
    let mut batch = JournalBatch::new();
    for (entry, body) in (1..).zip(bodies) {
        batch.push(StreamId(1), EntryIndex(entry), 5, |bytes| {
            bytes.extend_from_slice(body)
        });
    }
    batch
}

fn bodies(seen: &[Seen]) -> Vec<&[u8]> {
    seen.iter().map(|(.., body)| &body[..]).collect()
}

fn wal_files(disk: &SimDisk) -> usize {
    disk.list_files()
        .iter()
        .filter(|path| path.extension().unwrap() == "wal")
        .count()
}

fn spare_files(disk: &SimDisk) -> usize {
    disk.list_files()
        .iter()
        .filter(|path| path.extension().unwrap() == "spare")
        .count()
}

#[test]
fn records_come_back_in_order_after_a_restart() {
    let disk = SimDisk::new();
    let (mut journal, report, seen) = open(&disk, 0).unwrap();
    assert_eq!((report, seen), (JournalReport::default(), vec![]));
    assert_eq!(
        (journal.next_lsn(), journal.last_written()),
        (Lsn(1), Lsn::ZERO)
    );
    let mut waiting = batch(&[b"a", b"bb"]);
    waiting.append(&mut batch(&[b"", b"dddd"]));
    assert_eq!((waiting.len(), waiting.bytes()), (4, 4 * 52 + 7));
    assert_eq!(journal.write(&mut waiting).unwrap(), Lsn(4));
    assert!(waiting.is_empty());
    assert_eq!(
        (journal.last_written(), journal.last_synced()),
        (Lsn(4), Lsn::ZERO)
    );
    assert_eq!(journal.sync().unwrap().into_inner(), Lsn(4));
    assert_eq!(journal.last_synced(), Lsn(4));

    let (journal, report, seen) = open(&disk.crash(3), 0).unwrap();
    assert_eq!(
        seen,
        [
            (1, 1, 1, 5, b"a".to_vec()),
            (2, 1, 2, 5, b"bb".to_vec()),
            (3, 1, 1, 5, b"".to_vec()),
            (4, 1, 2, 5, b"dddd".to_vec()),
        ]
    );
    assert_eq!(
        (report.files, report.records, report.bytes),
        (1, 4, 4 * 52 + 7)
    );
    assert_eq!((report.torn, report.damage), (None, vec![]));
    assert_eq!(
        (journal.next_lsn(), journal.last_synced()),
        (Lsn(5), Lsn(4))
    );
}

#[test]
fn records_before_the_wanted_position_are_not_visited() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    journal.write(&mut batch(&[b"a", b"b", b"c"])).unwrap();
    let check = |from: u64, expected: &[&[u8]], next: u64| {
        let (journal, report, seen) = open(&disk.kill(), from).unwrap();
        assert_eq!(bodies(&seen), expected, "from {from}");
        assert_eq!(journal.next_lsn(), Lsn(next));
        assert_eq!(report.damage, vec![]);
    };
    check(1, &[b"a", b"b", b"c"], 4);
    check(2, &[b"b", b"c"], 4);
    check(4, &[], 4);
    check(9, &[], 9);
}

#[test]
fn a_batch_goes_over_the_end_of_a_file() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    let body = [7; 1000];
    for _ in 0..3 {
        journal.write(&mut batch(&[&body[..]; 5])).unwrap();
    }
    let _ = journal.sync().unwrap();
    assert_eq!(wal_files(&disk), 5, "three records fit into a file");
    let (_, report, seen) = open(&disk.crash(1), 0).unwrap();
    assert_eq!((seen.len(), report.files), (15, 5));
    assert!(seen.iter().zip(1..).all(|(record, lsn)| record.0 == lsn));
}

#[test]
fn a_record_larger_than_a_file_gets_its_own() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    let large = vec![1; 20_000];
    journal
        .write(&mut batch(&[b"before", &large, b"after"]))
        .unwrap();
    let _ = journal.sync().unwrap();
    let (_, _, seen) = open(&disk.crash(1), 0).unwrap();
    assert_eq!(bodies(&seen), [&b"before"[..], &large, b"after"]);
}

#[test]
fn released_files_are_used_again_and_the_rest_removed() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    let body = [7; 4000];
    for _ in 0..6 {
        journal.write(&mut batch(&[&body])).unwrap();
    }
    let _ = journal.sync().unwrap();
    assert_eq!(wal_files(&disk), 6);
    assert_eq!(journal.room(), 4096 - 4052);
    journal.release(Lsn(4)).unwrap();
    assert_eq!((wal_files(&disk), spare_files(&disk)), (2, 2));
    assert_eq!(journal.room(), 2 * 4096 + 4096 - 4052);
    journal.write(&mut batch(&[&body, &body])).unwrap();
    let _ = journal.sync().unwrap();
    assert_eq!((wal_files(&disk), spare_files(&disk)), (4, 0));
    let (_, _, seen) = open(&disk.crash(1), 5).unwrap();
    assert_eq!(
        seen.iter().map(|record| record.0).collect::<Vec<_>>(),
        [5, 6, 7, 8]
    );
}

#[test]
fn the_newest_file_stays_when_everything_is_released() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    for _ in 0..3 {
        journal.write(&mut batch(&[&[7; 4000]])).unwrap();
        let _ = journal.sync().unwrap();
    }
    journal.release(Lsn(3)).unwrap();
    assert_eq!(wal_files(&disk), 1);
    let (mut journal, report, _) = open(&disk, 4).unwrap();
    assert_eq!(report.damage, vec![]);
    journal.release(Lsn(3)).unwrap();
    assert_eq!(wal_files(&disk), 1);
}

#[test]
fn a_file_that_was_not_synced_is_not_released() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    journal
        .write(&mut batch(&[&[7; 4000], &[8; 4000]]))
        .unwrap();
    journal.release(Lsn(1)).unwrap();
    assert_eq!(wal_files(&disk), 2);
    let _ = journal.sync().unwrap();
    journal.release(Lsn(1)).unwrap();
    assert_eq!(wal_files(&disk), 1);
}

#[test]
fn a_prepared_file_is_asked_for_once_and_used_next() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    let spare = journal.spare_job().unwrap().run().unwrap();
    journal.install_spare(spare).unwrap();
    assert!(journal.spare_job().is_none());
    assert_eq!(journal.room(), 4096);
    let operations = disk.operations();
    journal.write(&mut batch(&[b"x"])).unwrap();
    assert_eq!(
        disk.operations() - operations,
        5,
        "header, its sync, name, folder, records"
    );
    assert!(journal.spare_job().is_some());
    journal.write(&mut batch(&[b"x"])).unwrap();
    let _ = journal.sync().unwrap();
    assert_eq!(disk.operations() - operations, 7, "one write and one sync");

    let spare = journal.spare_job().unwrap().run().unwrap();
    journal.install_spare(spare).unwrap();
    let _forgotten = journal.spare_job().map(|job| job.run());
    let (journal, ..) = open(&disk, 0).unwrap();
    assert!(journal.spare_job().is_none(), "a spare outlives a restart");
    assert!(
        disk.list_files()
            .iter()
            .all(|path| path.extension().unwrap() != "new")
    );
}

#[test]
fn a_full_disk_leaves_the_batch_whole_and_writing_resumes() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    journal.write(&mut batch(&[&[1; 3000]])).unwrap();
    disk.set_capacity(Some(FILE_BYTES + 100));
    assert!(journal.spare_job().unwrap().run().err().unwrap().is_full());
    let mut waiting = batch(&[&[2; 900], &[3; 900], &[4; 3500]]);
    for _ in 0..3 {
        let fault = journal.write(&mut waiting).unwrap_err();
        assert!(fault.is_full() && journal.latched().is_none(), "{fault}");
        assert_eq!((waiting.len(), journal.last_written()), (3, Lsn(1)));
    }
    assert_eq!(disk.list_files().len(), 1, "nothing half-made takes space");
    assert_eq!(journal.sync().unwrap().into_inner(), Lsn(1));
    journal
        .write(&mut batch(&[b"small ones still fit"]))
        .unwrap();
    disk.set_capacity(None);
    assert_eq!(journal.write(&mut waiting).unwrap(), Lsn(5));
    let _ = journal.sync().unwrap();
    let (_, report, seen) = open(&disk.crash(1), 0).unwrap();
    assert_eq!((seen.len(), report.damage), (5, vec![]));
}

#[test]
fn a_full_disk_at_any_operation_is_repeated_without_loss_or_duplicate() {
    let bodies: [&[u8]; 5] = [&[1; 1500], &[2; 1500], &[3; 3000], &[4; 3000], &[5; 10]];
    for operation in 1.. {
        let disk = SimDisk::new();
        let (mut journal, ..) = open(&disk, 0).unwrap();
        journal.write(&mut batch(&[b"first"])).unwrap();
        let _ = journal.sync().unwrap();
        let before = disk.operations();
        disk.fail_at(before + operation, SimFault::Enospc);
        let mut waiting = batch(&bodies);
        let outcome = journal.write(&mut waiting);
        if journal.latched().is_some() {
            assert!(outcome.is_err(), "only a failed sync latches");
            continue;
        }
        if outcome.is_ok() {
            assert_eq!(disk.operations(), before + operation - 1);
            assert!(
                operation > 8,
                "creating, heading and naming files can all fail"
            );
            break;
        }
        // Something else may come before the repetition.
        journal.write(&mut batch(&[b"other"])).unwrap();
        journal.write(&mut waiting).unwrap();
        let _ = journal.sync().unwrap();
        let (_, report, seen) = open(&disk.crash(operation), 0).unwrap();
        let found: Vec<&[u8]> = seen.iter().map(|(.., body)| &body[..]).collect();
        let mut expected: Vec<&[u8]> = vec![b"first", b"other"];
        expected.extend(bodies);
        assert_eq!(found, expected, "operation {operation}");
        assert_eq!(
            (report.torn, report.damage),
            (None, vec![]),
            "operation {operation}"
        );
    }
}

#[test]
fn a_failed_write_or_sync_stops_the_journal_for_good() {
    let mut syncs = 0;
    for operation in 1.. {
        let disk = SimDisk::new();
        let (mut journal, ..) = open(&disk, 0).unwrap();
        journal.write(&mut batch(&[b"first"])).unwrap();
        let _ = journal.sync().unwrap();
        disk.fail_at(disk.operations() + operation, SimFault::Eio);
        let wrote = journal.write(&mut batch(&[&[1; 3000], &[2; 3000]]));
        let synced = journal.sync();
        if wrote.is_ok() && synced.is_ok() {
            assert!(operation > 6);
            break;
        }
        if operation <= 2 {
            assert!(journal.latched().is_none(), "the next file was not made");
            assert_eq!(synced.unwrap().into_inner(), Lsn(1));
            continue;
        }
        syncs += usize::from(wrote.is_ok());
        assert!(journal.latched().is_some(), "operation {operation}");
        assert!(matches!(
            journal.write(&mut batch(&[b"x"])),
            Err(Fault::Latched { .. })
        ));
        assert!(matches!(journal.sync(), Err(Fault::Latched { .. })));
        assert!(matches!(journal.seal(), Err(Fault::Latched { .. })));
        assert_eq!(journal.last_synced(), Lsn(1));
        assert!(journal.spare_job().is_none());

        // The next start makes durable what it shows, even though the system believes the lost pages clean.
        let (_, _, seen) = open(&disk, 0).unwrap();
        for seed in 0..20 {
            let (_, report, again) = open(&disk.crash(seed), 0).unwrap();
            assert_eq!(again, seen, "operation {operation}, seed {seed}");
            assert_eq!(report.damage, vec![]);
        }
    }
    assert_eq!(syncs, 2, "the file left behind and the current one");
}

#[test]
fn a_visitor_that_fails_stops_the_start() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    journal.write(&mut batch(&[b"a"])).unwrap();
    let refuse = &mut |_: JournalRecord<'_>| Err(Fault::damaged(Path::new("x"), "no"));
    let outcome = Journal::open(disk.shared(), Path::new(DIR), options(), Lsn(0), refuse);
    assert_eq!(outcome.err().unwrap().path(), Path::new("x"));
}

#[test]
fn an_unreadable_file_stops_the_start_and_is_left_alone() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    journal.write(&mut batch(&[b"a"])).unwrap();
    let before = disk.list_files();
    disk.fail_reads(&before[0]);
    let fault = open(&disk, 0).err().unwrap();
    assert!(
        fault.to_string().starts_with("cannot read /journal/"),
        "{fault}"
    );
    assert_eq!(disk.list_files(), before);
}

#[test]
fn strange_files_in_the_folder_are_left_alone() {
    let disk = SimDisk::new();
    drop(open(&disk, 0).unwrap());
    for name in ["notes.txt", "1.wal", "lost.spare"] {
        disk.open(&Path::new(DIR).join(name), OpenMode::CreateNew)
            .unwrap();
    }
    drop(open(&disk, 0).unwrap());
    assert_eq!(disk.list_files().len(), 3);
}

#[test]
fn a_start_at_a_known_place_looks_at_nothing_before_it() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    journal.write(&mut batch(&[b"a", b"bb"])).unwrap();
    let start = journal.position();
    assert_eq!((start.from, start.at.is_some()), (Lsn(3), true));
    let _durable = journal.sync().unwrap();
    let nothing_behind = disk.kill();
    journal.write(&mut batch(&[b"c"])).unwrap();
    let large = vec![7; 3000];
    journal.write(&mut batch(&[&large, &large])).unwrap();
    let _durable = journal.sync().unwrap();
    assert_eq!(wal_files(&disk), 2);
    // What is before the place may be anything.
    let file = disk.list_files().into_iter().min().unwrap();
    let byte = disk.open(&file, OpenMode::Write).unwrap();
    byte.write_all_at(b"?", HEADER_BYTES + 60).unwrap();
    let (journal, report, seen) = open_at(&disk, start).unwrap();
    assert_eq!(bodies(&seen), [&b"c"[..], &large, &large]);
    assert_eq!((report.torn, report.damage), (None, vec![]));
    assert_eq!(journal.next_lsn(), Lsn(6));

    let (journal, report, seen) = open_at(&nothing_behind, start).unwrap();
    assert_eq!((seen, report.torn, report.damage), (vec![], None, vec![]));
    assert_eq!(journal.next_lsn(), Lsn(3));
}

#[test]
fn another_file_of_the_same_generation_is_not_the_known_place() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    journal.write(&mut batch(&[b"a"])).unwrap();
    let start = journal.position();
    let _durable = journal.sync().unwrap();
    let file = disk.list_files().into_iter().min().unwrap();
    disk.shared().remove_file(&file).unwrap();
    // With the same salt, the next file has the name of the lost one.
    let (mut journal, ..) = open_at(&disk, start).unwrap();
    journal.write(&mut batch(&[b"new", b"newer"])).unwrap();
    assert_eq!(disk.list_files().into_iter().min().unwrap(), file);
    let (_, report, seen) = open_at(&disk, start).unwrap();
    assert_eq!(bodies(&seen), [&b"new"[..], b"newer"]);
    assert_eq!((report.torn, report.damage), (None, vec![]));
}

#[test]
fn damage_at_a_known_place_is_damage() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    journal.write(&mut batch(&[b"a"])).unwrap();
    let start = journal.position();
    journal.write(&mut batch(&[b"b"])).unwrap();
    let _durable = journal.sync().unwrap();
    journal.write(&mut batch(&[b"c"])).unwrap();
    let place = start.at.unwrap();
    let file = disk.list_files().into_iter().min().unwrap();
    let byte = disk.open(&file, OpenMode::Write).unwrap();
    byte.write_all_at(b"?", place.offset + 52).unwrap();
    let (_, report, seen) = open_at(&disk, start).unwrap();
    assert_eq!(bodies(&seen), [b"c"]);
    let lost = LostRecords {
        first: Lsn(2),
        last: Some(Lsn(2)),
    };
    let [damage] = &report.damage[..] else {
        panic!("{report:?}");
    };
    assert_eq!((damage.offset, damage.lost), (place.offset, Some(lost)));
}

#[test]
fn what_a_start_has_read_is_durable_after_a_sync_and_its_files_stay_until_it_is_written() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    journal.write(&mut batch(&[b"a", b"bb"])).unwrap();
    let killed = disk.kill();
    let reopen = |disk: &SimDisk| open_at(disk, JournalStart::from(Lsn(1))).unwrap();
    let (mut journal, _, seen) = reopen(&killed);
    assert_eq!((seen.len(), journal.last_synced()), (2, Lsn::ZERO));
    let tail = journal.take_recovered_tail().unwrap();
    // A sync meanwhile does it, too.
    assert_eq!(journal.sync().unwrap().into_inner(), Lsn(2));
    assert_eq!(reopen(&killed.crash(1)).2, seen);
    journal.write(&mut batch(&[b"c"])).unwrap();
    let _durable = journal.sync().unwrap();
    journal.release(Lsn(2)).unwrap();
    assert_eq!(wal_files(&killed), 2, "it may be written to");
    journal.finish_recovered(tail.make_durable()).unwrap();
    journal.release(Lsn(2)).unwrap();
    assert_eq!((wal_files(&killed), spare_files(&killed)), (1, 1));
    assert!(journal.take_recovered_tail().is_none());
}

#[test]
fn a_recovered_tail_that_cannot_be_written_latches_the_journal() {
    let disk = SimDisk::new();
    let (mut journal, ..) = open(&disk, 0).unwrap();
    journal.write(&mut batch(&[b"a"])).unwrap();
    let killed = disk.kill();
    let (mut journal, ..) = open_at(&killed, JournalStart::from(Lsn(1))).unwrap();
    let tail = journal.take_recovered_tail().unwrap();
    killed.fail_at(killed.operations() + 2, SimFault::Eio);
    let outcome = tail.make_durable();
    assert!(outcome.is_err());
    assert!(journal.finish_recovered(outcome).is_err());
    assert!(journal.latched().is_some());
    assert!(journal.write(&mut batch(&[b"b"])).is_err());
}
