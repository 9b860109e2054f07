//! Bits that flip, files that end early or go missing: everything else stays served, and nothing wrong is.

use std::path::PathBuf;

use everjet_values::{EntryIndex, StreamSequence};

use super::super::file_id::{index_path, segment_path};
use super::super::{ReadError, StreamStore};
use super::{DIR, disk, fill, message, on, open, remove_indexes, save};
use crate::disk::Disk;
use crate::segment::{RecordSalt, put_message};
use crate::sim_disk::SimDisk;
use crate::{OpenReport, SavedSegments};

/// Twelve messages, the third and the seventh removed after the take of the first nine.
fn one_segment() -> (SimDisk, SavedSegments, StreamStore) {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 9);
    save(&mut store, &disk).expect("the disk works");
    for sequence in [3, 7] {
        store.remove(EntryIndex(20 + sequence), StreamSequence(sequence));
    }
    fill(&mut store, 3);
    let saved = save(&mut store, &disk).expect("the disk works");
    (disk, saved, store)
}

/// Every message is right, or reported and damaged; removed ones may only come back when damage was reported.
fn check_served(store: &StreamStore, report: &OpenReport, context: &str) -> usize {
    let mut damaged = 0;
    for sequence in 1..=12 {
        let is_reported = report.damaged.iter().any(|damage| {
            let covers = |(first, last): (StreamSequence, StreamSequence)| {
                (first.0..=last.0).contains(&sequence)
            };
            damage.sequences.is_some_and(covers)
        });
        match store.get(StreamSequence(sequence)) {
            Ok(message) => {
                assert_eq!(
                    message.payload(),
                    format!("m{sequence}").as_bytes(),
                    "{context}"
                );
                assert!(!is_reported, "{context}: {sequence}");
                let is_removed = [3, 7].contains(&sequence);
                assert!(
                    !is_removed || !report.damaged.is_empty(),
                    "{context}: {sequence} came back"
                );
            }
            Err(ReadError::Damaged { .. }) => damaged += 1,
            // Not found, when nothing before it is left.
            Err(ReadError::Deleted | ReadError::NotFound) => {
                assert!([3, 7].contains(&sequence), "{context}: {sequence}");
            }
            Err(other) => panic!("{context}: {sequence} is {other}"),
        }
    }
    assert_eq!(store.last_sequence(), StreamSequence(12), "{context}");
    damaged
}

#[test]
fn one_flipped_bit_costs_at_most_one_message() {
    let (disk, saved, _) = one_segment();
    let path = segment_path(DIR.as_ref(), 1);
    let index = index_path(DIR.as_ref(), 1);
    let length = saved.segments[0].length;
    let mut damaged_total = 0;
    for with_index in [true, false] {
        for byte in 0..length {
            let disk = disk.kill();
            disk.flip_bit(&path, byte * 8 + byte % 8);
            if !with_index {
                disk.remove_file(&index).expect("it was written");
            }
            let context = format!("byte {byte}, index {with_index}");
            let (mut store, report) = open(&disk, &saved);
            let damaged = check_served(&store, &report, &context);
            assert!(damaged <= 1, "{context}: {damaged} damaged");
            damaged_total += damaged;
            // With the index, records are not read when opening, and those of removed messages never.
            assert!(with_index || !report.damaged.is_empty(), "{context}");
            // Appending goes on, and the damage is still known after the next start.
            fill(&mut store, 1);
            let saved = save(&mut store, &disk).expect("the disk works");
            let (store, later) = open(&disk, &saved);
            assert_eq!(
                store.get(StreamSequence(13)).expect("sound").payload(),
                b"m13",
                "{context}"
            );
            assert_eq!(
                later.damaged.is_empty(),
                report.damaged.is_empty(),
                "{context}"
            );
        }
    }
    assert!(
        damaged_total as u64 > length,
        "most bytes belong to messages"
    );
}

#[test]
fn a_sealed_segment_stands_flipped_bits_too() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 12);
    // A large message seals the segment before it.
    store.append(EntryIndex(13), &message(13, "large", b"", &[0; 5000]));
    for sequence in [3, 7] {
        store.remove(EntryIndex(13 + sequence), StreamSequence(sequence));
    }
    let saved = save(&mut store, &disk).expect("the disk works");
    assert_eq!(saved.segments.len(), 2);
    assert!(saved.segments[0].sealed);
    let path = segment_path(DIR.as_ref(), 1);
    remove_indexes(&disk);
    for byte in 0..saved.segments[0].length {
        let disk = disk.kill();
        disk.flip_bit(&path, byte * 8 + byte % 8);
        let (store, report) = open(&disk, &saved);
        let context = format!("byte {byte}: {:?}", report.damaged);
        for sequence in 1..=12 {
            match store.get(StreamSequence(sequence)) {
                Ok(message) => assert_eq!(message.payload(), format!("m{sequence}").as_bytes()),
                Err(ReadError::Damaged { .. }) => {}
                Err(ReadError::Deleted) => assert!([3, 7].contains(&sequence), "{context}"),
                Err(other) => panic!("{context}: {sequence} is {other}"),
            }
        }
        let readable = (1..=12)
            .filter(|&at| store.get(StreamSequence(at)).is_ok())
            .count();
        assert!(readable >= 9, "{context}: only {readable} readable");
        assert_eq!(
            store
                .get(StreamSequence(13))
                .expect("sound")
                .payload()
                .len(),
            5000
        );
    }
}

#[test]
fn a_file_that_ends_early_keeps_what_is_left() {
    let (disk, saved, _) = one_segment();
    let path = segment_path(DIR.as_ref(), 1);
    for with_index in [true, false] {
        for length in 0..saved.segments[0].length {
            let disk = disk.kill();
            disk.truncate(&path, length);
            if !with_index {
                remove_indexes(&disk);
            }
            let context = format!("length {length}, index {with_index}");
            let (mut store, report) = open(&disk, &saved);
            check_served(&store, &report, &context);
            assert!(!report.damaged.is_empty(), "{context}");
            fill(&mut store, 1);
            let saved = save(&mut store, &disk).expect("the disk works");
            let (store, _) = open(&disk, &saved);
            assert_eq!(
                store.get(StreamSequence(13)).expect("sound").payload(),
                b"m13",
                "{context}"
            );
        }
    }
}

#[test]
fn a_missing_file_costs_its_own_messages_only() {
    for lost in [0, 1, 2] {
        let disk = disk();
        let mut store = on(&disk);
        for _ in 0..2 {
            fill(&mut store, 4);
            let next = store.last_sequence().next().0;
            store.append(
                EntryIndex(next),
                &message(next.cast_signed(), "large", b"", &[0; 5000]),
            );
        }
        let saved = save(&mut store, &disk).expect("the disk works");
        let segments = &saved.segments;
        assert!(segments.len() > 3);
        let path = segment_path(DIR.as_ref(), segments[lost].first_sequence.0);
        disk.remove_file(&path).expect("it was written");
        let gone = segments[lost].first_sequence.0..segments[lost + 1].first_sequence.0;
        let (mut opened, report) = open(&disk, &saved);
        assert_eq!(report.damaged.len(), 1);
        assert_eq!(
            report.damaged[0].sequences,
            Some((StreamSequence(gone.start), StreamSequence(gone.end - 1)))
        );
        for sequence in 1..=10 {
            let answer = opened.get(StreamSequence(sequence));
            match answer {
                Err(ReadError::Damaged { file, .. }) => {
                    assert!(gone.contains(&sequence));
                    assert_eq!(file, path);
                }
                answer => assert!(!gone.contains(&sequence) && answer.is_ok(), "{sequence}"),
            }
        }
        // Given up by a purge, the damage is gone with the file's name.
        opened.remove_through(EntryIndex(50), StreamSequence(10));
        assert!(matches!(
            opened.get(StreamSequence(gone.start)),
            Err(ReadError::NotFound)
        ));
        let saved = save(&mut opened, &disk).expect("the disk works");
        let (opened, report) = open(&disk, &saved);
        assert_eq!(report.damaged, []);
        assert_eq!(opened.last_sequence(), StreamSequence(10));
    }
}

#[test]
fn a_missing_open_segment_is_reported_and_never_written_over() {
    let (disk, saved, _) = one_segment();
    disk.remove_file(&segment_path(DIR.as_ref(), 1))
        .expect("it was written");
    let (mut store, report) = open(&disk, &saved);
    assert_eq!(
        report.damaged[0].sequences,
        Some((StreamSequence(1), StreamSequence(12)))
    );
    fill(&mut store, 1);
    let saved = save(&mut store, &disk).expect("the disk works");
    assert!(!disk.list_files().contains(&segment_path(DIR.as_ref(), 1)));
    let (store, report) = open(&disk, &saved);
    assert_eq!(report.damaged.len(), 1);
    assert!(matches!(
        store.get(StreamSequence(12)),
        Err(ReadError::Damaged { .. })
    ));
    assert_eq!(
        store.get(StreamSequence(13)).expect("sound").payload(),
        b"m13"
    );
}

#[test]
fn damage_outlives_the_messages_around_it_until_it_is_purged() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 4);
    store.append(EntryIndex(5), &message(5, "large", b"", &[0; 5000]));
    let saved = save(&mut store, &disk).expect("the disk works");
    let path = segment_path(DIR.as_ref(), 1);
    disk.flip_bit(&path, 120 * 8);
    remove_indexes(&disk);
    disk.truncate(&path, saved.segments[0].length - 8);
    let (mut store, report) = open(&disk, &saved);
    assert_eq!(
        report.damaged[0].sequences,
        Some((StreamSequence(2), StreamSequence(2)))
    );
    for at in [1, 3, 4] {
        assert!(
            store
                .remove(EntryIndex(5 + at), StreamSequence(at))
                .is_some()
        );
    }
    let saved = save(&mut store, &disk).expect("the disk works");
    assert_eq!(
        saved.segments[0].first_sequence,
        StreamSequence(1),
        "it may still be repaired"
    );
    let (mut store, _) = open(&disk, &saved);
    assert!(matches!(
        store.get(StreamSequence(2)),
        Err(ReadError::Damaged { .. })
    ));
    assert_eq!(store.remove_through(EntryIndex(20), StreamSequence(4)), 0);
    let saved = save(&mut store, &disk).expect("the disk works");
    assert_eq!(
        saved.segments[0].first_sequence,
        StreamSequence(5),
        "given up"
    );
}

#[test]
fn a_segment_that_cannot_be_read_costs_its_own_messages_only() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 4);
    store.append(EntryIndex(5), &message(5, "large", b"", &[0; 5000]));
    let saved = save(&mut store, &disk).expect("the disk works");
    disk.fail_reads(&segment_path(DIR.as_ref(), 1));
    for with_index in [true, false] {
        if !with_index {
            remove_indexes(&disk);
        }
        let (store, report) = open(&disk, &saved);
        assert!(!report.damaged.is_empty());
        for at in 1..=4 {
            let answer = store.get(StreamSequence(at));
            match answer {
                Err(ReadError::Fault(_)) => assert!(with_index),
                Err(ReadError::Damaged { .. }) => assert!(!with_index),
                other => panic!("{at} is {other:?}"),
            }
        }
        assert!(store.get(StreamSequence(5)).is_ok());
    }
}

#[test]
fn an_index_that_cannot_be_read_is_done_without() {
    let (disk, saved, store) = one_segment();
    disk.fail_reads(&index_path(DIR.as_ref(), 1));
    let (opened, report) = open(&disk, &saved);
    assert_eq!(report.damaged, []);
    assert_eq!(opened.state(), store.state());
}

#[test]
fn a_record_inside_a_payload_is_never_taken_for_one() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 2);
    let offset = store.segments[0].end;
    // What a client could send: the record of message 3, as it would be if it stood where message 3 really begins.
    let salt = RecordSalt::new(crate::StreamId(7), 1);
    let mut forged = Vec::new();
    let evil = message(3, "evil", b"", b"evil");
    put_message(&mut forged, Some(salt), offset, EntryIndex(3), 3, &evil);
    store.append(EntryIndex(3), &message(3, "a", b"", &forged));
    fill(&mut store, 2);
    let saved = save(&mut store, &disk).expect("the disk works");
    remove_indexes(&disk);
    disk.flip_bit(&segment_path(DIR.as_ref(), 1), u64::from(offset) * 8);
    let (store, report) = open(&disk, &saved);
    assert_eq!(
        report.damaged[0].sequences,
        Some((StreamSequence(3), StreamSequence(3)))
    );
    assert!(matches!(
        store.get(StreamSequence(3)),
        Err(ReadError::Damaged { .. })
    ));
    assert_eq!(
        store.get(StreamSequence(5)).expect("sound").payload(),
        b"m5"
    );
}

#[test]
fn a_damaged_index_is_not_used() {
    let (disk, saved, store) = one_segment();
    let index = index_path(DIR.as_ref(), 1);
    let length = disk
        .open(&index, crate::OpenMode::Read)
        .expect("written")
        .len()
        .expect("open");
    let (_, intact) = open(&disk, &saved);
    for byte in 0..length {
        let disk = disk.kill();
        disk.flip_bit(&index, byte * 8 + byte % 8);
        let (opened, report) = open(&disk, &saved);
        assert_eq!(report.damaged, [], "byte {byte}");
        assert!(report.bytes_scanned > intact.bytes_scanned, "byte {byte}");
        assert_eq!(opened.state(), store.state(), "byte {byte}");
    }
}

#[test]
fn a_header_of_another_segment_is_noticed_and_its_records_are_not_taken() {
    let (disk, saved, _) = one_segment();
    let other = StreamStore::on_disk(
        disk.shared(),
        PathBuf::from("/store/OTHER"),
        crate::StreamId(8),
        "OTHERS",
        super::small(),
    );
    let mut other = other;
    fill(&mut other, 12);
    save(&mut other, &disk).expect("the disk works");
    disk.rename(
        &segment_path("/store/OTHER".as_ref(), 1),
        &segment_path(DIR.as_ref(), 1),
    )
    .expect("both exist");
    remove_indexes(&disk);
    let (store, report) = open(&disk, &saved);
    assert_eq!(
        report.damaged[0].what,
        "the header belongs to another segment"
    );
    assert_eq!(store.messages(), 0);
    assert_eq!(store.last_sequence(), StreamSequence(12));
}
