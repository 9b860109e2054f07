//! Takes: what they hold, when files come and go, what is kept in memory.

use everjet_values::{EntryIndex, StreamSequence, Timestamp};

use super::super::file_id::segment_path;
use super::super::{StoreOptions, StreamStore};
use super::{DIR, disk, fill, message, on, open, save, small};
use crate::StreamId;
use crate::disk::Disk;
use crate::sim_disk::SimFault;

#[test]
fn nothing_is_written_before_something_is_stored() {
    let disk = disk();
    let mut store = on(&disk);
    assert!(store.take_writes().is_none());
    let (opened, report) = open(&disk, store.saved_segments());
    assert_eq!(report, crate::OpenReport::default());
    assert_eq!(opened.state(), store.state());
    fill(&mut store, 1);
    assert!(store.take_writes().is_some());
    assert!(store.take_writes().is_none(), "nothing new");
}

#[test]
fn an_empty_store_is_one_past_its_last_sequence() {
    let mut store = StreamStore::in_memory(small());
    let ends = |store: &StreamStore| (store.first_sequence().0, store.last_sequence().0);
    assert_eq!(ends(&store), (1, 0));
    fill(&mut store, 3);
    assert_eq!(ends(&store), (1, 3));
    assert_eq!(
        store.remove_through(EntryIndex(4), StreamSequence(u64::MAX)),
        3
    );
    assert_eq!(ends(&store), (4, 3));
    let state = store.state();
    assert_eq!(state.first_time, Timestamp::UNSET);
    assert_eq!(state.last_time, Timestamp::from_nanos(3), "it stays");
    store.skip_to(EntryIndex(5), StreamSequence(100));
    assert_eq!(ends(&store), (100, 99));
    store.skip_to(EntryIndex(6), StreamSequence(50));
    assert_eq!(ends(&store), (100, 99), "never back");
}

#[test]
fn a_full_disk_loses_nothing_and_the_same_take_can_be_written_later() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 200);
    let writes = store.take_writes().expect("there is something");
    for operation in 1..8 {
        disk.fail_at(disk.operations() + operation, SimFault::Enospc);
        if let Err(fault) = writes.write(&disk) {
            assert!(fault.is_full(), "{fault}");
        }
    }
    fill(&mut store, 5);
    let written = loop {
        // The faults set above may lie ahead still.
        if let Ok(written) = writes.write(&disk) {
            break written;
        }
    };
    written.sync(&disk).expect("the disk works again");
    let saved = writes.saved().clone();
    store.finish_writes(&written);
    let (opened, report) = open(&disk, &saved);
    assert_eq!(report.damaged, []);
    assert_eq!(opened.last_sequence(), StreamSequence(200));
    let saved = save(&mut store, &disk).expect("the disk works");
    assert_eq!(open(&disk, &saved).0.state(), store.state());
}

#[test]
fn a_dropped_segments_file_stays_until_a_manifest_without_it() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 300);
    let before = save(&mut store, &disk).expect("the disk works");
    let first = segment_path(DIR.as_ref(), 1);
    store.remove_through(EntryIndex(301), StreamSequence(200));
    assert!(
        store.obsolete_files(&before).is_empty(),
        "the manifest still names them"
    );
    let after = save(&mut store, &disk).expect("the disk works");
    assert!(disk.list_files().contains(&first));
    let obsolete = store.obsolete_files(&after);
    assert!(!obsolete.is_empty());
    obsolete.delete(&disk).expect("the disk works");
    store.finish_obsolete(&obsolete);
    assert!(!disk.list_files().contains(&first));
    assert!(store.obsolete_files(&after).is_empty());
    assert_eq!(open(&disk, &after).0.state(), store.state());
}

#[test]
fn removals_from_the_front_are_one_run() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 40);
    save(&mut store, &disk).expect("the disk works");
    for at in 1..=15 {
        store.remove_through(EntryIndex(40 + 2 * at), StreamSequence(2 * at - 1));
        store.remove(EntryIndex(41 + 2 * at), StreamSequence(2 * at));
    }
    let writes = store.take_writes().expect("the removals");
    assert!(writes.bytes() < 50, "{} bytes", writes.bytes());
}

#[test]
fn what_is_removed_while_a_segment_is_written_stays_removed() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 300);
    let writes = store.take_writes().expect("sealed segments");
    for sequence in (1..=300).step_by(3) {
        store.remove(EntryIndex(300 + sequence), StreamSequence(sequence));
    }
    let is_packed = |store: &StreamStore| {
        let mut sealed = store.segments.iter().filter(|segment| segment.sealed);
        sealed.all(|segment| segment.columns.is_packed())
    };
    assert!(!is_packed(&store), "that is left to who writes");
    let written = writes.write(&disk).expect("the disk works");
    written.sync(&disk).expect("the disk works");
    for sequence in (2..=300).step_by(3) {
        store.remove(EntryIndex(600 + sequence), StreamSequence(sequence));
    }
    store.finish_writes(&written);
    assert!(is_packed(&store));
    let holds = |store: &StreamStore, sequence| store.contains(StreamSequence(sequence));
    assert!((1..=300).all(|at| holds(&store, at) == (at % 3 == 0)));
    assert_eq!(writes.saved(), store.saved_segments());
    let (opened, report) = open(&disk, writes.saved());
    assert_eq!(report.damaged, []);
    assert!((1..=300).all(|at| holds(&opened, at)), "as it was taken");
    let saved = save(&mut store, &disk).expect("the disk works");
    assert_eq!(open(&disk, &saved).0.state(), store.state());
}

#[test]
fn many_removals_are_recorded_as_they_come() {
    let disk = disk();
    let options = StoreOptions {
        segment_bytes_max: 1 << 20,
        ..small()
    };
    let mut store = StreamStore::on_disk(disk.shared(), DIR.into(), StreamId(7), "ORDERS", options);
    let count = 3 * super::super::UNSAID_MAX as u64;
    let mut entry = 0;
    for _ in 0..count {
        entry += 1;
        store.append(EntryIndex(entry), &message(1, "key", b"", b""));
    }
    save(&mut store, &disk).expect("the disk works");
    for sequence in (1..=count).step_by(2) {
        store.remove(EntryIndex(entry + 1), StreamSequence(sequence));
        store.append(EntryIndex(entry + 2), &message(1, "key", b"", b""));
        entry += 2;
    }
    assert!(store.unsaid < super::super::UNSAID_MAX);
    let saved = save(&mut store, &disk).expect("the disk works");
    let opened = open(&disk, &saved).0;
    assert_eq!(opened.state(), store.state());
    assert!((1..=count).all(|at| opened.contains(StreamSequence(at)) == (at % 2 == 0)));
}

#[test]
fn a_large_store_is_emptied_as_a_whole() {
    for in_memory in [false, true] {
        let disk = disk();
        let mut store = if in_memory {
            StreamStore::in_memory(small())
        } else {
            on(&disk)
        };
        let count = super::super::CLEAR_MIN + 7;
        fill(&mut store, count);
        store.remove(EntryIndex(count + 1), StreamSequence(5));
        save(&mut store, &disk).expect("the disk works");
        let removed = store.remove_through(EntryIndex(count + 2), StreamSequence(u64::MAX));
        assert_eq!(removed, count - 1);
        let state = store.state();
        assert_eq!((state.messages, state.bytes, state.subjects), (0, 0, 0));
        assert_eq!((state.first_sequence.0, state.deleted), (count + 1, 0));
        fill(&mut store, 20);
        assert_eq!(store.state().subjects, super::SUBJECTS.len() as u64);
        let saved = save(&mut store, &disk).expect("the disk works");
        if !in_memory {
            assert_eq!(saved.segments.len(), 1);
            assert_eq!(open(&disk, &saved).0.state(), store.state());
        }
    }
}

#[test]
fn purging_whole_segments_needs_no_record() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 300);
    save(&mut store, &disk).expect("the disk works");
    store.append(EntryIndex(301), &message(400, "large", b"", &[0; 5000]));
    save(&mut store, &disk).expect("the disk works");
    for at in 1..=300 {
        store.remove(EntryIndex(302 + at), StreamSequence(at));
    }
    let writes = store.take_writes().expect("the list is shorter");
    assert_eq!(writes.bytes(), 0);
    assert_eq!(writes.saved().segments.len(), 1);
}

#[test]
fn removals_outlive_the_segment_that_recorded_them() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 10);
    store.append(EntryIndex(11), &message(11, "large", b"", &[0; 5000]));
    save(&mut store, &disk).expect("the disk works");
    // The second segment records the removal of 3; then it goes, and the third has to know.
    store.remove(EntryIndex(12), StreamSequence(3));
    save(&mut store, &disk).expect("the disk works");
    store.append(EntryIndex(13), &message(13, "large", b"", &[0; 5000]));
    store.remove(EntryIndex(14), StreamSequence(11));
    let saved = save(&mut store, &disk).expect("the disk works");
    let firsts: Vec<u64> = saved
        .segments
        .iter()
        .map(|segment| segment.first_sequence.0)
        .collect();
    assert_eq!(firsts, [1, 12], "the segment of 11 is gone");
    super::remove_indexes(&disk);
    let (opened, _) = open(&disk, &saved);
    assert!(!opened.contains(StreamSequence(3)));
    assert_eq!(opened.state(), store.state());
}

#[test]
fn only_recent_messages_stay_in_memory_and_ordered_reads_come_in_blocks() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 200);
    assert!(
        (1..=200).all(|at| store.is_resident(StreamSequence(at))),
        "not written yet"
    );
    save(&mut store, &disk).expect("the disk works");
    let resident = (1..=200)
        .filter(|&at| store.is_resident(StreamSequence(at)))
        .count();
    assert!(
        (20..60).contains(&resident),
        "{resident} of 200 messages are in 1,500 bytes"
    );
    assert!(store.is_resident(StreamSequence(200)), "the latest ones");
    assert!(store.view(StreamSequence(1)).is_none());
    for at in 1..=3 {
        assert_eq!(
            store.get(StreamSequence(at)).expect("stored").payload(),
            format!("m{at}").as_bytes()
        );
    }
    assert!(store.is_resident(StreamSequence(4)), "read ahead");
}

#[test]
fn memory_is_freed_in_pieces() {
    let mut store = StreamStore::in_memory(small());
    fill(&mut store, 1000);
    let size = |store: &StreamStore| -> usize {
        store
            .segments
            .iter()
            .map(|segment| segment.chunks.bytes())
            .sum()
    };
    let full = size(&store);
    for at in (1..=990).rev() {
        store.remove(EntryIndex(2000 - at), StreamSequence(at));
    }
    assert!(
        size(&store) < full / 20,
        "{} of {full} bytes are left",
        size(&store)
    );
    assert_eq!(
        store.get(StreamSequence(991)).expect("kept").payload(),
        b"m991"
    );
}

#[test]
fn the_index_makes_opening_cheap_and_is_not_needed() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 300);
    let saved = save(&mut store, &disk).expect("the disk works");
    let (_, with) = open(&disk, &saved);
    assert_eq!(with.bytes_scanned, 0, "{with:?}");
    let sealed = saved
        .segments
        .iter()
        .filter(|segment| segment.sealed)
        .count();
    super::remove_indexes(&disk);
    let (opened, without) = open(&disk, &saved);
    assert_eq!(without.segments_indexed, sealed, "footers serve as well");
    assert_eq!(without.segments_scanned, 1);
    assert!(without.bytes_scanned > 0);
    assert_eq!(opened.state(), store.state());
}

#[test]
fn an_index_of_a_state_that_never_came_to_be_is_removed() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 4);
    let saved = save(&mut store, &disk).expect("the disk works");
    store.remove(EntryIndex(5), StreamSequence(2));
    fill(&mut store, 8);
    // Written and synced, and then no manifest: the removal of 2 never happened.
    save(&mut store, &disk).expect("the disk works");
    let (mut opened, report) = open(&disk, &saved);
    assert_eq!(report.damaged, []);
    assert!(opened.contains(StreamSequence(2)));
    assert!(
        disk.list_files()
            .iter()
            .all(|file| file.extension().is_some_and(|kind| kind == "seg"))
    );
    // Another future, as long as the one that was lost.
    for at in 5..=12 {
        opened.append(EntryIndex(at), &message(50, "other", b"", b"12"));
    }
    let saved = save(&mut opened, &disk).expect("the disk works");
    let (again, _) = open(&disk, &saved);
    assert_eq!(again.state(), opened.state());
    assert!(again.contains(StreamSequence(2)));
}

#[test]
fn nothing_of_later_entries_than_the_manifest_is_taken() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 6);
    let mut saved = save(&mut store, &disk).expect("the disk works");
    saved.entry = EntryIndex(4);
    saved.last_sequence = StreamSequence(4);
    let (opened, report) = open(&disk, &saved);
    assert_eq!(opened.messages(), 4);
    assert_eq!(
        report.damaged.len(),
        1,
        "the file holds more than the manifest can name"
    );
    assert_eq!(opened.last_sequence(), StreamSequence(4));

    // The same with a footer: it knows of the removal, the manifest does not.
    let disk = super::disk();
    let sealed = || {
        let mut store = on(&disk);
        for at in 1..=3 {
            store.append(EntryIndex(at), &message(1, "a", b"", b""));
        }
        store.append(EntryIndex(4), &message(4, "large", b"", &[0; 5000]));
        store
    };
    let saved = save(&mut sealed(), &disk).expect("the disk works");
    let mut store = sealed();
    store.remove(EntryIndex(5), StreamSequence(2));
    let later = save(&mut store, &disk).expect("the disk works");
    assert_eq!(
        later.segments[0], saved.segments[0],
        "the footer has the same size"
    );
    let (opened, _) = open(&disk, &saved);
    assert!(opened.contains(StreamSequence(2)));
}

#[test]
fn leftovers_are_found_and_deleted_after_the_next_checkpoint() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 4);
    let saved = save(&mut store, &disk).expect("the disk works");
    fill(&mut store, 300);
    save(&mut store, &disk).expect("the disk works");
    let (mut opened, report) = open(&disk, &saved);
    assert!(report.leftovers.len() > 2);
    let indexes = disk
        .list_files()
        .into_iter()
        .filter(|file| file.extension() == Some("idx".as_ref()));
    assert_eq!(
        indexes.count(),
        0,
        "that of the first segment is of a later state as well"
    );
    // The same names are in use again, and no manifest says so yet.
    let mut reused = open(&disk, &saved).0;
    fill(&mut reused, 300);
    let later = save(&mut reused, &disk).expect("the disk works");
    assert!(later.segments.len() > 2);
    assert!(reused.obsolete_files(&saved).is_empty());
    fill(&mut opened, 1);
    let saved = save(&mut opened, &disk).expect("the disk works");
    opened
        .obsolete_files(&saved)
        .delete(&disk)
        .expect("the disk works");
    let files = disk.list_files();
    let of_segments = files
        .iter()
        .filter(|file| file.extension() != Some("bin".as_ref()));
    assert_eq!(
        of_segments.count(),
        1 + 1,
        "one segment and its index: {files:?}"
    );
    let names = disk.list(DIR.as_ref()).expect("the folder is there");
    assert_eq!(names[1].name, "00000000000000000001.seg");
}
