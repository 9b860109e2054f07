//! Verifying segment files finds every damage, and nothing else.

use super::*;
use crate::stream_store::{Damage, SegmentCheck, index_problem};
use crate::{ManifestSegment, OpenMode};

/// Verifies every file that `saved` names, in small steps.
fn verify(disk: &SimDisk, saved: &SavedSegments) -> (u64, Vec<Damage>) {
    let (mut messages, mut found) = (0, Vec::new());
    for (at, segment) in saved.segments.iter().enumerate() {
        let next = saved.segments.get(at + 1);
        let last = next.map_or(saved.last_sequence.0, |next| next.first_sequence.0 - 1);
        let mut check = SegmentCheck::new(
            Path::new(DIR),
            StreamId(7),
            "ORDERS",
            *segment,
            saved.entry,
            StreamSequence(last),
        );
        let mut steps = 0;
        while check.step(disk, 100, &mut found).expect("the disk works") {
            steps += 1;
            assert!(steps < 1000, "it ends");
        }
        messages += check.counted().messages;
    }
    (messages, found)
}

fn filled() -> (SimDisk, SavedSegments) {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 200);
    store.remove(EntryIndex(201), StreamSequence(5));
    let saved = save(&mut store, &disk).expect("the disk works");
    fill(&mut store, 20);
    let saved = SavedSegments {
        ..save(&mut store, &disk).unwrap_or(saved)
    };
    assert!(
        saved.segments.len() > 2,
        "several segments, of which the last is open"
    );
    (disk, saved)
}

fn path_of(segment: &ManifestSegment) -> std::path::PathBuf {
    Path::new(DIR).join(format!("{:020}.seg", segment.first_sequence.0))
}

#[test]
fn a_sound_store_has_no_damage() {
    let (disk, saved) = filled();
    assert_eq!(verify(&disk, &saved), (220, Vec::new()));
    for segment in &saved.segments {
        let problem = index_problem(&disk, Path::new(DIR), StreamId(7), segment);
        assert_eq!(problem.expect("the disk works"), None);
    }
}

#[test]
fn every_flipped_bit_is_found_and_costs_at_most_one_message() {
    let (disk, saved) = filled();
    for segment in &saved.segments {
        for byte in 0..segment.length {
            let copy = disk.kill();
            copy.flip_bit(&path_of(segment), byte * 8 + byte % 8);
            let (messages, found) = verify(&copy, &saved);
            assert!(!found.is_empty(), "byte {byte} of {segment:?}");
            assert!(messages >= 219, "byte {byte}: {messages} messages");
            let hit = found
                .iter()
                .any(|damage| (damage.offset..damage.offset + damage.length).contains(&byte));
            assert!(hit, "byte {byte}: {found:?}");
            let lost: u64 = found
                .iter()
                .filter_map(|damage| damage.sequences)
                .map(|(first, last)| last.0 - first.0 + 1)
                .sum();
            assert_eq!(lost, 220 - messages, "byte {byte}: {found:?}");
        }
    }
}

#[test]
fn a_file_that_is_cut_or_gone_is_said_to_be() {
    let (disk, saved) = filled();
    for segment in &saved.segments {
        for length in (0..segment.length).step_by(37) {
            let copy = disk.kill();
            copy.truncate(&path_of(segment), length);
            let (messages, found) = verify(&copy, &saved);
            let lost: u64 = found
                .iter()
                .filter_map(|damage| damage.sequences)
                .map(|(first, last)| last.0 - first.0 + 1)
                .sum();
            assert!(
                found
                    .iter()
                    .any(|damage| damage.what == "the file is too short")
            );
            assert!(messages + lost >= 220, "cut at {length}: {found:?}");
        }
        let copy = disk.kill();
        copy.remove_file(&path_of(segment)).expect("it was there");
        let (messages, found) = verify(&copy, &saved);
        let sequences = found[0].sequences.expect("it had messages");
        assert_eq!(sequences.1.0 - sequences.0.0 + 1, 220 - messages);
    }
}

#[test]
fn a_damaged_index_file_is_found() {
    let (disk, saved) = filled();
    let segment = &saved.segments[0];
    let path = path_of(segment).with_extension("idx");
    disk.flip_bit(&path, 100);
    let problem = index_problem(&disk, Path::new(DIR), StreamId(7), segment);
    assert_eq!(
        problem.expect("the disk works").map(|(file, _)| file),
        Some(path)
    );
}

#[test]
fn what_a_read_finds_damaged_is_told_once_and_counts_as_lost_until_it_is_removed() {
    let (disk, saved) = filled();
    let (mut store, report) = open(&disk, &saved);
    assert_eq!(report.damaged, Vec::new());
    let path = path_of(&saved.segments[0]);
    let file = disk.open(&path, OpenMode::Write).expect("it is there");
    let length = file.len().expect("it is there");
    file.write_all_at(&vec![0; usize::try_from(length).expect("small")], 0)
        .expect("the disk works");
    for _ in 0..2 {
        assert!(store.get(StreamSequence(2)).is_err());
        assert!(store.get(StreamSequence(3)).is_err());
    }
    assert!(store.has_new_damage());
    let sequences: Vec<_> = store
        .take_damage()
        .iter()
        .map(|damage| damage.sequences.expect("of a message").0.0)
        .collect();
    assert_eq!(sequences, [2, 3]);
    assert!(!store.has_new_damage() && store.take_damage().is_empty());
    assert_eq!(
        store.lost(10).sequences,
        [StreamSequence(2), StreamSequence(3)]
    );
    assert_eq!(store.lost(1).sequences, [StreamSequence(2)]);
    let bytes = store.lost(10).bytes;
    assert_eq!(store.lost(0).bytes, bytes);
    store.remove(EntryIndex(300), StreamSequence(2));
    assert_eq!(store.lost(10).sequences, [StreamSequence(3)]);
    assert!(store.lost(10).bytes < bytes);
}
