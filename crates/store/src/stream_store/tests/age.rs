//! Segments that roll by age, so that what expires goes with whole files.

use std::time::Duration;

use everjet_values::{EntryIndex, StreamSequence};

use super::{disk, message, on, save};
use crate::SavedSegments;

const AGE: i64 = 1000;

/// A store with a message of 200 bytes every ten nanoseconds.
fn store(disk: &crate::SimDisk, count: u64) -> (super::StreamStore, SavedSegments) {
    let mut store = on(disk);
    store.set_segment_age(Some(Duration::from_nanos(AGE.cast_unsigned())));
    for at in 1..=count {
        let time = at.cast_signed() * 100;
        store.append(EntryIndex(at), &message(time, "a", b"", &[b'x'; 100]));
    }
    let saved = save(&mut store, disk).expect("the disk works");
    (store, saved)
}

#[test]
fn no_segment_gathers_messages_for_longer_than_its_age() {
    let disk = disk();
    let (mut store, saved) = store(&disk, 100);
    // Ten messages of about 140 bytes are more than the quarter of a segment below which age does not count.
    let firsts: Vec<u64> = saved
        .segments
        .iter()
        .map(|at| at.first_sequence.0)
        .collect();
    assert_eq!(firsts, (0..10).map(|at| at * 10 + 1).collect::<Vec<_>>());
    // What is as old as the first five goes with five files, and no record has to say so.
    store.remove_through(EntryIndex(101), StreamSequence(50));
    let writes = store.take_writes().expect("the list is shorter");
    assert_eq!((writes.bytes(), writes.saved().segments.len()), (0, 5));
}

#[test]
fn small_segments_are_not_sealed_for_their_age() {
    let disk = disk();
    let mut store = on(&disk);
    store.set_segment_age(Some(Duration::from_nanos(1)));
    for at in 1..=12 {
        store.append(
            EntryIndex(at),
            &message(at.cast_signed() * 100, "a", b"", b""),
        );
    }
    let saved = save(&mut store, &disk).expect("the disk works");
    assert_eq!(saved.segments.len(), 1);
}

#[test]
fn a_stream_whose_messages_expire_is_not_rewritten_on_the_way() {
    let disk = disk();
    let (mut store, _) = store(&disk, 100);
    for through in 1..80 {
        store.remove_through(EntryIndex(100 + through), StreamSequence(through));
        save(&mut store, &disk).expect("the disk works");
        assert!(store.take_compaction().is_none(), "through {through}");
    }
    // Once it stands still, what is left of the first segment is worth a look.
    assert!(store.may_compact_later());
    store.remove_through(EntryIndex(190), StreamSequence(88));
    save(&mut store, &disk).expect("the disk works");
    assert!(store.take_compaction().is_none());
    assert!(store.take_compaction().is_some());
}
