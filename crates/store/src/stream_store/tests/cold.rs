//! What is on disk is planned under the stream's lock, read away from it, and admitted: the store changes meanwhile.

use std::sync::Arc;

use super::super::file_id::segment_path;
use super::*;
use crate::memory::{MemoryOptions, StoreMemory};
use crate::stream_store::{ColdRead, Lookup, ReadError};

/// A store of 200 messages in many segments, nearly all of it on disk only.
fn cold() -> (SimDisk, StreamStore) {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 200);
    save(&mut store, &disk).expect("the disk works");
    (disk, store)
}

fn plan(store: &StreamStore, sequence: u64, after: Option<u64>) -> Option<ColdRead> {
    match store.lookup(StreamSequence(sequence), after.map(StreamSequence)) {
        Ok(Lookup::Cold(read)) => Some(read),
        _ => None,
    }
}

/// Reads as a server does, and says how often the disk was needed.
fn read(store: &StreamStore, sequence: u64, after: Option<u64>) -> usize {
    let mut reads = 0;
    loop {
        match store.lookup(StreamSequence(sequence), after.map(StreamSequence)) {
            Ok(Lookup::Cold(read)) => {
                store.admit([read.run()]);
                reads += 1;
            }
            Ok(Lookup::Ready(message)) => {
                assert_eq!(message.payload(), format!("m{sequence}").as_bytes());
                store.release_reads();
                return reads;
            }
            Err(error) => panic!("{sequence}: {error}"),
        }
    }
}

#[test]
fn the_store_changes_between_plan_and_answer() {
    let (disk, mut store) = cold();
    let read = plan(&store, 5, None).expect("it is on disk");
    fill(&mut store, 10);
    store.remove(EntryIndex(300), StreamSequence(4));
    save(&mut store, &disk).expect("the disk works");
    store.admit([read.run()]);
    match store.lookup(StreamSequence(5), None) {
        Ok(Lookup::Ready(message)) => assert_eq!(message.payload(), b"m5"),
        other => panic!("{other:?}"),
    }
}

/// What is there of a message without waiting: the sequence number is in the payload.
fn now(store: &StreamStore, sequence: u64) -> Option<String> {
    let mut buffer = Vec::new();
    match store.lookup_one(StreamSequence(sequence)) {
        Ok(Lookup::Cold(read)) => read
            .message_now(&mut buffer)
            .map(|message| String::from_utf8_lossy(message.payload).into_owned()),
        other => panic!("{sequence} is on disk only: {other:?}"),
    }
}

#[test]
fn one_message_is_there_without_waiting_once_its_surroundings_were_read() {
    let (disk, store) = cold();
    disk.set_reads_now(true);
    assert_eq!(now(&store, 5), None, "its file is not open");
    assert_eq!(read(&store, 6, None), 1);
    assert_eq!(now(&store, 5).as_deref(), Some("m5"), "it was read with 6");
    disk.set_reads_now(false);
    assert_eq!(now(&store, 5), None, "the operating system let it go");
    assert_eq!(now(&store, 6).as_deref(), Some("m6"), "the store has it");
    disk.set_reads_now(true);
    assert_eq!(now(&store, 5), None, "that is remembered");
    assert_eq!(read(&store, 5, None), 1);
    assert_eq!(now(&store, 7).as_deref(), Some("m7"));
}

#[test]
fn a_message_that_is_removed_or_ruined_meanwhile_is_not_taken_for_another() {
    let (disk, mut store) = cold();
    disk.set_reads_now(true);
    assert_eq!(read(&store, 6, None), 1);
    let Ok(Lookup::Cold(planned)) = store.lookup_one(StreamSequence(5)) else {
        panic!("it is on disk");
    };
    store.remove(EntryIndex(300), StreamSequence(5));
    let gone = store.lookup_one(StreamSequence(5));
    assert!(matches!(gone, Err(ReadError::Deleted)), "{gone:?}");
    // Who planned before that may still show it.
    let mut buffer = Vec::new();
    let shown = planned
        .message_now(&mut buffer)
        .expect("it was read with 6");
    assert_eq!((shown.sequence.0, shown.payload), (5, &b"m5"[..]));
    let path = segment_path(DIR.as_ref(), 1);
    disk.zero(&path, 0, 1000);
    assert_eq!(planned.message_now(&mut buffer), None);
    assert_eq!(now(&store, 7), None);
}

#[test]
fn a_segment_that_goes_while_it_is_read_is_gone_and_not_damaged() {
    let (disk, mut store) = cold();
    let read = plan(&store, 5, Some(4)).expect("it is on disk");
    let before = read.run();
    store.remove_through(EntryIndex(300), StreamSequence(100));
    let saved = save(&mut store, &disk).expect("the disk works");
    let obsolete = store.obsolete_files(&saved);
    obsolete.delete(&disk).expect("the disk works");
    assert!(!disk.list_files().contains(&segment_path(DIR.as_ref(), 1)));
    // Read just before, or just after the file went.
    for fetched in [before, read.run()] {
        store.admit([fetched]);
        let answer = store.lookup(StreamSequence(5), None);
        assert!(matches!(answer, Err(ReadError::NotFound)), "{answer:?}");
        store.release_reads();
    }
}

#[test]
fn a_missing_file_and_a_disk_that_fails_are_told_apart() {
    let (disk, store) = cold();
    let path = segment_path(DIR.as_ref(), 1);
    disk.fail_reads(&path);
    let read = plan(&store, 5, Some(4)).expect("it is on disk");
    store.admit([read.run()]);
    let answer = store.lookup(StreamSequence(5), None);
    assert!(matches!(answer, Err(ReadError::Fault(_))), "{answer:?}");
    store.release_reads();
    assert!(
        plan(&store, 5, None).is_some(),
        "the next time the disk is asked again"
    );
    let (disk, store) = cold();
    let read = plan(&store, 5, None).expect("it is on disk");
    disk.remove_file(&path).expect("it was written");
    store.admit([read.run()]);
    let answer = store.lookup(StreamSequence(5), None);
    assert!(
        matches!(answer, Err(ReadError::Damaged { .. })),
        "{answer:?}"
    );
}

#[test]
fn readers_in_different_places_share_blocks_and_do_not_push_each_other_out() {
    let (_, mut store) = cold();
    store.share(&StoreMemory::new(MemoryOptions::default()));
    let readers = 0..5_u64;
    let mut reads = 0;
    for step in 1..=30 {
        for reader in readers.clone() {
            let sequence = reader * 30 + step;
            reads += read(&store, sequence, (step > 1).then(|| sequence - 1));
        }
    }
    // Each needs its first message, and then the block of each segment it comes through.
    let segments = store.segments.len();
    assert!(
        reads <= 2 * segments + 5,
        "{reads} reads of {segments} segments"
    );
    let again: usize = (1..=150).map(|at| read(&store, at, Some(at - 1))).sum();
    assert!(again <= 1, "all of it is still there: {again} reads");
}

#[test]
fn memory_of_messages_on_disk_holds_the_next_ones_unless_somebody_reads_it() {
    let disk = disk();
    let mut store = on(&disk);
    let memory = StoreMemory::new(MemoryOptions::default());
    store.share(&memory);
    fill(&mut store, 200);
    let held = store.get(StreamSequence(100)).expect("it is in memory");
    let writes = store.take_writes().expect("there is something");
    let written = writes.write(&disk).expect("the disk works");
    drop(writes);
    store.finish_writes(&written);
    let kept = memory.usage().spare_bytes;
    assert!(kept >= 10 * store.options.chunk_bytes, "{kept}");
    fill(&mut store, 100);
    assert!(memory.usage().spare_bytes < kept, "it is used again");
    assert_eq!(held.payload(), b"m100");
    for sequence in 1..=300 {
        read(&store, sequence, None);
    }
    memory.release_spares();
    assert_eq!(memory.usage().spare_bytes, 0);
}

#[test]
fn reading_old_messages_takes_nothing_from_the_recent_ones() {
    let (_, mut store) = cold();
    let memory = StoreMemory::new(MemoryOptions {
        read_bytes_max: 10_000,
        ..MemoryOptions::default()
    });
    store.share(&memory);
    let recent: Vec<u64> = (1..=200)
        .filter(|&at| store.view(StreamSequence(at)).is_some())
        .collect();
    let tail_bytes = memory.usage().tail_bytes;
    assert!(recent.len() > 10 && tail_bytes > 0);
    for round in 0..3 {
        for at in 1..=200 {
            read(&store, at, (round > 0).then(|| at - 1));
            assert!(memory.usage().read_bytes <= 10_000);
        }
    }
    let still = recent
        .iter()
        .all(|&at| store.view(StreamSequence(at)).is_some());
    assert!(still);
    assert_eq!(memory.usage().tail_bytes, tail_bytes);
    drop(store);
    let usage = memory.usage();
    assert_eq!((usage.tail_bytes, usage.open_files), (0, 0));
}

#[test]
fn what_exceeds_the_memory_for_recent_messages_is_let_go() {
    let disk = disk();
    let mut store = on(&disk);
    let memory = StoreMemory::new(MemoryOptions {
        tail_bytes_max: 1000,
        ..MemoryOptions::default()
    });
    store.share(&memory);
    fill(&mut store, 200);
    save(&mut store, &disk).expect("the disk works");
    assert!(memory.usage().tail_bytes > 1000);
    let excess = memory.tail_excess();
    assert_eq!(excess.len(), 1, "{excess:?}");
    for (_, mark) in excess {
        store.trim_tail(mark);
    }
    let left = memory.usage().tail_bytes;
    assert!((1..=1000).contains(&left), "{left}");
    assert!(store.view(StreamSequence(200)).is_some(), "the latest stay");
    assert_eq!(memory.tail_excess(), []);
}

#[test]
fn one_damaged_record_costs_its_message_and_not_its_block() {
    let (disk, store) = cold();
    let last = store.segments[0].last();
    let (start, _) = store.segments[0]
        .columns
        .range(4, u32::MAX)
        .expect("a slot");
    disk.flip_bit(&segment_path(DIR.as_ref(), 1), u64::from(start + 30) * 8);
    for at in 1..=last {
        let after = Some(StreamSequence(at - 1));
        while let Ok(Lookup::Cold(read)) = store.lookup(StreamSequence(at), after) {
            store.admit([read.run()]);
        }
        let answer = store.lookup(StreamSequence(at), after);
        let is_damaged = matches!(answer, Err(ReadError::Damaged { .. }));
        assert_eq!(is_damaged, at == 5, "{at}: {answer:?}");
    }
}

#[test]
fn a_search_by_time_comes_to_its_end_whatever_is_kept() {
    let (disk, mut store) = cold();
    store.share(&StoreMemory::new(MemoryOptions {
        read_bytes_max: 0,
        ..MemoryOptions::default()
    }));
    let search = |store: &StreamStore, time: i64| {
        for rounds in 0..10 {
            match store.search_time(Timestamp::from_nanos(time)) {
                Lookup::Ready(found) => return (found.0, rounds),
                Lookup::Cold(read) => {
                    // What was learned is remembered, whatever happens to the bytes.
                    store.release_reads();
                    store.admit([read.run()]);
                }
            }
        }
        panic!("the search for {time} goes on for ever");
    };
    let expected = |time| store.first_at_or_after(Timestamp::from_nanos(time)).0;
    for time in [1, 5, 77, 150] {
        assert_eq!(search(&store, time).0, expected(time), "{time}");
    }
    disk.fail_reads(&segment_path(DIR.as_ref(), 1));
    let (mut opened, _) = open(&disk, store.saved_segments());
    opened.share(&StoreMemory::new(MemoryOptions::default()));
    search(&opened, 5);
}

/// The store's own lock is not needed for reading: this is what a helper thread does.
#[test]
fn a_read_can_be_sent_to_another_thread() {
    let (_, store) = cold();
    let read = plan(&store, 5, None).expect("it is on disk");
    let fetched = std::thread::spawn(move || read.run());
    store.admit([fetched.join().expect("it does not panic")]);
    assert!(store.is_resident(StreamSequence(5)));
    let memory = Arc::clone(&store.reader.memory);
    assert!(memory.usage().read_bytes > 0);
}
