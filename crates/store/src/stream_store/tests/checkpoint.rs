//! The checkpoint file makes a start fast, and changes nothing else: missing, damaged, older, of a future that did not happen.

use std::path::{Path, PathBuf};

use everjet_values::{EntryIndex, StreamSequence, Timestamp};

use super::super::checkpoint::Open;
use super::super::{StoreState, StreamStore};
use super::{DIR, below, disk, fill, message, on, open, save};
use crate::SavedSegments;
use crate::disk::{Disk, OpenMode, read_file};
use crate::sim_disk::{SimDisk, SimFault};

fn file() -> PathBuf {
    Path::new(DIR).join("checkpoint.bin")
}

/// Several sealed segments, some messages removed, and a checkpoint file that knows all of it.
fn written() -> (SimDisk, SavedSegments, StreamStore) {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 400);
    for sequence in (1..400).step_by(7) {
        store.remove(EntryIndex(400), StreamSequence(sequence));
    }
    let saved = save(&mut store, &disk).expect("the disk works");
    assert!(saved.segments.len() > 3);
    assert!(disk.list_files().contains(&file()));
    (disk, saved, store)
}

/// Opens and compares every answer with that of `store`; how many segments were read without the checkpoint file.
fn check_same(disk: &SimDisk, saved: &SavedSegments, store: &StreamStore, context: &str) -> usize {
    let (opened, report) = open(disk, saved);
    assert_eq!(report.damaged, [], "{context}");
    // The time of the first message is near when it is not in memory.
    let state = |store: &StreamStore| StoreState {
        first_time: Timestamp::UNSET,
        ..store.state()
    };
    assert_eq!(state(&opened), state(store), "{context}");
    for sequence in 0..=store.last_sequence().0 + 1 {
        let at = StreamSequence(sequence);
        let view = |store: &StreamStore| {
            let message = store.get(at);
            message.map(|message| (message.subject().to_vec(), message.payload().to_vec()))
        };
        assert_eq!(
            view(&opened).map_err(|error| error.to_string()),
            view(store).map_err(|error| error.to_string()),
            "{context}: {sequence}"
        );
        assert_eq!(
            opened.size_of(at),
            store.size_of(at),
            "{context}: {sequence}"
        );
    }
    for filter in [&b"order.*"[..], b"a", b">", b"b.d.e"] {
        let answer = |store: &StreamStore| {
            let set = store.select(&[filter]);
            let from = StreamSequence(50);
            let (next, count) = (store.next_match(&set, from), store.count_match(&set, from));
            (next, count, store.last_per_subject(&set))
        };
        assert_eq!(answer(&opened), answer(store), "{context}: {filter:?}");
    }
    let segments = opened.segments.iter();
    segments
        .filter(|segment| segment.sealed && !segment.in_checkpoint)
        .count()
}

fn corrupt(disk: &SimDisk, bytes: &[u8]) {
    disk.remove_file(&file()).expect("it was there");
    let new = disk
        .open(&file(), OpenMode::CreateNew)
        .expect("the disk works");
    new.write_all_at(bytes, 0).expect("the disk works");
}

#[test]
fn a_start_reads_no_index_of_a_segment_that_the_checkpoint_knows() {
    let (disk, saved, store) = written();
    assert_eq!(check_same(&disk, &saved, &store, "with it"), 0);
    disk.remove_file(&file()).expect("it was there");
    let sealed = saved
        .segments
        .iter()
        .filter(|segment| segment.sealed)
        .count();
    assert_eq!(check_same(&disk, &saved, &store, "without it"), sealed);
}

#[test]
fn no_flipped_byte_and_no_cut_changes_anything() {
    let (disk, saved, store) = written();
    let length = read_file(&disk, &file()).expect("written").len();
    let sealed = saved
        .segments
        .iter()
        .filter(|segment| segment.sealed)
        .count();
    for byte in 0..length {
        let disk = disk.kill();
        disk.flip_bit(&file(), byte as u64 * 8 + byte as u64 % 8);
        let found = check_same(&disk, &saved, &store, &format!("byte {byte}"));
        assert_eq!(found, sealed, "byte {byte}: it fails its check");
    }
    for length in (0..length).step_by(7) {
        let disk = disk.kill();
        disk.truncate(&file(), length as u64);
        let found = check_same(&disk, &saved, &store, &format!("cut at {length}"));
        assert_eq!(found, sealed, "cut at {length}: it fails its check");
    }
}

#[test]
fn one_that_cannot_be_read_is_done_without_and_removed() {
    let (disk, saved, store) = written();
    disk.fail_reads(&file());
    check_same(&disk, &saved, &store, "unreadable");
    assert!(!disk.list_files().contains(&file()));
}

#[test]
fn an_older_one_is_brought_up_to_date() {
    let (disk, _, mut store) = written();
    let old = read_file(&disk, &file()).expect("written");
    // Removed in segments that it knows, whole ones too; new ones, and one rewritten.
    store.remove_through(EntryIndex(400), StreamSequence(60));
    for sequence in (80..280).step_by(3) {
        store.remove(EntryIndex(400), StreamSequence(sequence));
    }
    fill(&mut store, 30);
    let saved = save(&mut store, &disk).expect("the disk works");
    corrupt(&disk, &old);
    let unknown = check_same(&disk, &saved, &store, "older");
    let sealed = saved
        .segments
        .iter()
        .filter(|segment| segment.sealed)
        .count();
    assert!(unknown < sealed, "some of it still counts");
}

#[test]
fn one_of_a_future_that_did_not_happen_is_removed() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 100);
    let saved = save(&mut store, &disk).expect("the disk works");
    store.remove(EntryIndex(101), StreamSequence(2));
    fill(&mut store, 100);
    // Written and synced, and then no manifest: the removal of 2 never happened.
    save(&mut store, &disk).expect("the disk works");
    let (mut opened, report) = open(&disk, &saved);
    assert_eq!(report.damaged, []);
    assert!(opened.contains(StreamSequence(2)));
    assert!(!disk.list_files().contains(&file()));
    // Another future, as long as the one that was lost.
    for at in 101..=210 {
        opened.append(EntryIndex(at), &message(500, "other", b"", b"12"));
    }
    let saved = save(&mut opened, &disk).expect("the disk works");
    check_same(&disk, &saved, &opened, "the other future");
}

#[test]
fn that_of_another_stream_is_not_used() {
    let (disk, saved, store) = written();
    let other = StreamStore::on_disk(
        disk.shared(),
        "/store/OTHER".into(),
        crate::StreamId(8),
        "OTHERS",
        super::small(),
    );
    let mut other = other;
    fill(&mut other, 400);
    save(&mut other, &disk).expect("the disk works");
    let bytes = read_file(&disk, Path::new("/store/OTHER/checkpoint.bin")).expect("written");
    corrupt(&disk, &bytes);
    assert!(check_same(&disk, &saved, &store, "of another stream") > 0);
}

#[test]
fn a_power_cut_while_it_is_written_costs_nothing() {
    let (base, saved, _) = written();
    for operation in 1.. {
        let disk = base.kill();
        let (mut opened, _) = open(&disk, &saved);
        fill(&mut opened, 100);
        let saved = save(&mut opened, &disk).expect("the disk works");
        disk.remove_file(&file()).expect("it was written");
        let checkpoint = opened.make_checkpoint(Open::LeftOut).expect("it has files");
        let (reference, _) = open(&disk.kill(), &saved);
        disk.fail_at(disk.operations() + operation, SimFault::Cut);
        let outcome = checkpoint.write(&disk);
        for seed in 0..10 {
            let disk = disk.crash(seed);
            check_same(
                &disk,
                &saved,
                &reference,
                &format!("operation {operation}, {seed}"),
            );
            let left = disk.list_files();
            assert!(!left.contains(&Path::new(DIR).join("checkpoint.bin.new")));
        }
        if outcome.is_ok() {
            assert!(operation > 3, "the write has several steps");
            break;
        }
    }
}

#[test]
fn an_orderly_end_writes_one_when_something_is_new() {
    let disk = disk();
    let mut options = super::small();
    options.checkpoint_messages_min = 1000;
    let id = crate::StreamId(7);
    let mut store = StreamStore::on_disk(disk.shared(), DIR.into(), id, "ORDERS", options);
    fill(&mut store, 600);
    save(&mut store, &disk).expect("the disk works");
    assert!(
        store.take_last_checkpoint().is_none(),
        "few messages need none"
    );
    fill(&mut store, 600);
    assert!(
        store.take_last_checkpoint().is_none(),
        "not everything is taken"
    );
    save(&mut store, &disk).expect("the disk works");
    assert!(
        store.take_last_checkpoint().is_none(),
        "it was written with the rest"
    );
    fill(&mut store, 150);
    let saved = save(&mut store, &disk).expect("the disk works");
    let last = store.take_last_checkpoint().expect("a segment was sealed");
    last.write(&disk).expect("the disk works");
    assert!(store.take_last_checkpoint().is_none(), "nothing is new");
    assert_eq!(check_same(&disk, &saved, &store, "after the end"), 0);
}

#[test]
fn one_that_knows_mostly_what_is_gone_is_replaced() {
    let (disk, _, mut store) = written();
    let before = read_file(&disk, &file()).expect("written").len();
    store.remove_through(EntryIndex(400), StreamSequence(390));
    let saved = save(&mut store, &disk).expect("the disk works");
    let after = read_file(&disk, &file()).expect("written").len();
    assert!(after < before / 2, "{after} of {before}");
    check_same(&disk, &saved, &store, "replaced");
}

#[test]
fn what_is_damaged_is_reported_at_every_start() {
    let (disk, saved, store) = written();
    drop(store);
    let dice = everjet_values::SeededEntropy::new(1);
    let first = super::super::file_id::segment_path(DIR.as_ref(), 1);
    super::remove_indexes(&disk);
    // A record and the footer: the segment has to be read record by record.
    let length = saved.segments[0].length;
    for place in [200 + below(&dice, 100), length - 20] {
        disk.flip_bit(&first, place * 8);
    }
    let (mut opened, report) = open(&disk, &saved);
    assert!(!report.damaged.is_empty());
    fill(&mut opened, 300);
    let saved = save(&mut opened, &disk).expect("the disk works");
    assert!(disk.list_files().contains(&file()));
    let (_, later) = open(&disk, &saved);
    assert_eq!(later.damaged, report.damaged);
}

#[test]
fn one_of_a_start_that_dropped_an_empty_segment_forgets_no_removal() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 400);
    save(&mut store, &disk).expect("the disk works");
    let last_of_first = store.segments[0].last();
    // Said by a segment that is sealed afterwards.
    store.remove(EntryIndex(401), StreamSequence(last_of_first));
    save(&mut store, &disk).expect("the disk works");
    fill(&mut store, 200);
    // Nothing is left of the first segment, and only the next look at it would show that.
    store.remove_through(EntryIndex(800), StreamSequence(last_of_first - 1));
    let saved = save(&mut store, &disk).expect("the disk works");
    let first = saved.segments.first().map(|first| first.first_sequence);
    assert_eq!(first, Some(StreamSequence(1)), "it is listed still");
    let (mut opened, _) = open(&disk, &saved);
    let newer = opened.make_checkpoint(Open::LeftOut).expect("it has files");
    newer.write(&disk).expect("the disk works");
    check_same(&disk, &saved, &store, "the manifest is the one before");
}

/// A store whose open segment is a good part of it, as an orderly end leaves it.
fn ended() -> (SimDisk, SavedSegments, StreamStore) {
    let (disk, _, mut store) = written();
    while !(20..40).contains(&store.active().columns.len()) {
        fill(&mut store, 1);
    }
    store.remove(store.last_entry(), store.last_sequence());
    let saved = save(&mut store, &disk).expect("the disk works");
    let last = store.take_last_checkpoint().expect("the open segment");
    last.write(&disk).expect("the disk works");
    assert!(store.take_last_checkpoint().is_none(), "nothing is new");
    (disk, saved, store)
}

fn remove_indexes(disk: &SimDisk) {
    let is_index = |path: &&PathBuf| path.extension().is_some_and(|kind| kind == "idx");
    for path in disk.list_files().iter().filter(is_index) {
        disk.remove_file(path).expect("it is there");
    }
}

#[test]
fn after_an_orderly_end_it_knows_the_open_segment_and_that_goes_on() {
    let (disk, saved, store) = ended();
    remove_indexes(&disk);
    let (mut opened, report) = open(&disk, &saved);
    assert_eq!((report.segments_scanned, report.bytes_scanned), (0, 0));
    check_same(&disk, &saved, &store, "after the end");
    assert!(opened.take_last_checkpoint().is_none(), "nothing is new");
    // The segment goes on, and the file says nothing about what it is now.
    let before = opened.active().first;
    fill(&mut opened, 1);
    assert_eq!(opened.active().first, before, "the same segment");
    let saved = save(&mut opened, &disk).expect("the disk works");
    check_same(&disk, &saved, &opened, "one more");
    let first = opened.first_sequence();
    opened.remove(opened.last_entry(), first);
    let saved = save(&mut opened, &disk).expect("the disk works");
    check_same(&disk, &saved, &opened, "one less");
    fill(&mut opened, 300);
    let saved = save(&mut opened, &disk).expect("the disk works");
    check_same(&disk, &saved, &opened, "sealed since");
}

#[test]
fn an_open_segment_that_was_cut_is_damage_whatever_it_says() {
    let (disk, saved, _) = ended();
    let last = saved.segments.last().expect("there are some");
    let name = format!("{:020}.seg", last.first_sequence.0);
    disk.truncate(&Path::new(DIR).join(name), last.length - 1);
    let (_, with) = open(&disk, &saved);
    assert!(!with.damaged.is_empty());
    disk.remove_file(&file()).expect("it is there");
    let (_, without) = open(&disk, &saved);
    assert_eq!(with.damaged, without.damaged);
}

#[test]
fn hashes_of_another_build_are_made_anew() {
    let (disk, saved, store) = ended();
    let mut bytes = read_file(&disk, &file()).expect("it is there");
    // What the hash function makes of some texts, and the checksum of the head with it.
    bytes[72] ^= 1;
    let sections = [48, 52, 56].map(|at| {
        let count = bytes[at..].first_chunk().expect("a head");
        u32::from_le_bytes(*count) as usize
    });
    let end = 80 + 8 * sections.iter().sum::<usize>();
    let checksum = crate::checksum::crc32c(&bytes[16..end]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    corrupt(&disk, &bytes);
    remove_indexes(&disk);
    let (opened, report) = open(&disk, &saved);
    assert_eq!(report.segments_scanned, 0, "the rest is used");
    assert_eq!(opened.subjects.len(), store.subjects.len());
    check_same(&disk, &saved, &store, "of another build");
}
