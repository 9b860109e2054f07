//! Streams whose files are compressed or sealed: damage costs a block, nothing is in the open, and settings may change.

use everjet_values::{EntryIndex, StreamSequence};

use super::super::file_id::segment_path;
use super::super::{ReadError, StreamStore};
use super::{DIR, Form, disk, fill, message, on, open, open_through, remove_indexes, save};
use crate::disk::read_file;
use crate::seal::testing::sealed_disk;
use crate::sim_disk::SimDisk;
use crate::{OpenReport, SavedSegments};

/// Three checkpoints of four messages each, removals among them, in one segment.
fn three_takes(form: Form) -> (SimDisk, SavedSegments) {
    let sim = disk();
    let through = form.disk(&sim, 1);
    let (mut store, _) = form.open(through.clone(), &SavedSegments::default());
    let mut saved = SavedSegments::default();
    for _ in 0..3 {
        fill(&mut store, 4);
        saved = save(&mut store, &*through).expect("the disk works");
    }
    (sim, saved)
}

fn served(store: &StreamStore, report: &OpenReport, context: &str) -> Vec<u64> {
    let mut served = Vec::new();
    for sequence in 1..=12 {
        match store.get(StreamSequence(sequence)) {
            Ok(message) => {
                let expected = format!("m{sequence}");
                assert_eq!(message.payload(), expected.as_bytes(), "{context}");
                served.push(sequence);
            }
            Err(ReadError::Damaged { .. }) => {}
            Err(other) => panic!("{context}: {sequence} is {other}"),
        }
    }
    assert!(
        served.len() == 12 || !report.damaged.is_empty(),
        "{context}"
    );
    served
}

#[test]
fn a_flipped_bit_anywhere_costs_the_messages_of_its_block_at_most() {
    for form in [Form::Compressed, Form::Sealed, Form::Both] {
        let (sim, saved) = three_takes(form);
        let path = segment_path(DIR.as_ref(), 1);
        let length = read_file(&sim, &path).expect("it was written").len() as u64;
        let mut costly = 0;
        for byte in 0..length {
            let sim = sim.kill();
            sim.flip_bit(&path, byte * 8 + byte % 8);
            remove_indexes(&sim);
            let context = format!("{form:?} byte {byte}");
            let (store, report) = form.open(form.disk(&sim, 2), &saved);
            let served = served(&store, &report, &context);
            // The messages of a block are lost together, those of the others are not.
            let blocks = [1..=4, 5..=8, 9..=12];
            let lost = blocks
                .into_iter()
                .filter(|block| !served.contains(block.start()));
            let lost: Vec<u64> = lost.flatten().collect();
            assert!(lost.len() <= 4, "{context}: {lost:?}");
            assert_eq!(lost.len() + served.len(), 12, "{context}");
            costly += u64::from(!lost.is_empty());
            assert_eq!(store.last_sequence(), StreamSequence(12), "{context}");
        }
        assert!(costly > length / 2, "{form:?}: {costly} of {length}");
    }
}

#[test]
fn a_file_cut_anywhere_keeps_the_messages_before() {
    for form in [Form::Compressed, Form::Sealed, Form::Both] {
        let (sim, saved) = three_takes(form);
        let path = segment_path(DIR.as_ref(), 1);
        let length = read_file(&sim, &path).expect("it was written").len() as u64;
        for cut in 0..length {
            let sim = sim.kill();
            sim.truncate(&path, cut);
            for with_index in [true, false] {
                if !with_index {
                    remove_indexes(&sim);
                }
                let context = format!("{form:?} cut at {cut}");
                let (store, report) = form.open(form.disk(&sim, 2), &saved);
                assert!(!report.damaged.is_empty(), "{context}");
                let served = served(&store, &report, &context);
                assert!([0, 4, 8].contains(&served.len()), "{context}: {served:?}");
                assert!(
                    served.iter().copied().eq(1..=served.len() as u64),
                    "{context}"
                );
            }
        }
    }
}

/// A crash has left a block that no manifest knows. Without damage it is cut off by the next write; whatever is damaged, it does not hide
/// what is written later.
#[test]
fn what_comes_after_damage_that_no_index_shows_is_there() {
    for form in [Form::Compressed, Form::Sealed, Form::Both] {
        let (sim, saved) = three_takes(form);
        let path = segment_path(DIR.as_ref(), 1);
        let length = read_file(&sim, &path).expect("it was written").len() as u64;
        let through = form.disk(&sim, 2);
        let (mut store, _) = form.open(through.clone(), &saved);
        fill(&mut store, 1);
        save(&mut store, &*through).expect("the disk works");
        for byte in 0..length {
            let sim = sim.kill();
            sim.flip_bit(&path, byte * 8 + byte % 8);
            let context = format!("{form:?} byte {byte}");
            let through = form.disk(&sim, 3);
            let (mut store, _) = form.open(through.clone(), &saved);
            fill(&mut store, 4);
            let saved = save(&mut store, &*through).expect("the disk works");
            let (store, _) = form.open(form.disk(&sim, 4), &saved);
            for sequence in 13..=16 {
                let message = store.get(StreamSequence(sequence));
                let message = message.unwrap_or_else(|error| panic!("{context}: {error}"));
                assert_eq!(message.payload(), format!("m{sequence}").as_bytes());
            }
        }
    }
}

#[test]
fn nothing_of_a_message_is_in_the_open() {
    for form in [Form::Sealed, Form::Both] {
        let sim = disk();
        let through = form.disk(&sim, 1);
        let (mut store, _) = form.open(through.clone(), &SavedSegments::default());
        for entry in 1..=200 {
            let headers = b"NATS/1.0\r\nHeaderMarker: HeaderMarker\r\n\r\n";
            let message = message(entry, "subject.marker", headers, b"payload marker");
            store.append(EntryIndex(entry.cast_unsigned()), &message);
            if entry % 7 == 0 {
                save(&mut store, &*through).expect("the disk works");
            }
        }
        let files = sim.list_files();
        let indexes = files
            .iter()
            .filter(|path| path.extension().is_some_and(|kind| kind == "idx"));
        assert!(files.len() > 4 && indexes.count() > 2, "{files:?}");
        for file in files {
            let bytes = read_file(&sim, &file).expect("it was listed");
            for marker in ["subject.marker", "HeaderMarker", "payload marker", "ORDERS"] {
                let shows = bytes
                    .windows(marker.len())
                    .any(|part| part == marker.as_bytes());
                assert!(!shows, "{marker} is in {}", file.display());
            }
        }
    }
}

#[test]
fn a_compressed_stream_takes_less_room() {
    let length = |form: Form| {
        let sim = disk();
        let through = form.disk(&sim, 1);
        let (mut store, _) = form.open(through.clone(), &SavedSegments::default());
        store.append(EntryIndex(1), &message(1, "a", b"", &[b'x'; 3000]));
        save(&mut store, &*through).expect("the disk works");
        read_file(&sim, &segment_path(DIR.as_ref(), 1))
            .expect("it was written")
            .len()
    };
    assert!(length(Form::Compressed) * 10 < length(Form::Plain) * 6);
    assert!(length(Form::Both) * 10 < length(Form::Sealed) * 6);
}

#[test]
fn a_store_that_gets_keys_serves_what_it_has_and_seals_what_comes() {
    for messages in [0, 5] {
        let sim = disk();
        let mut store = on(&sim);
        store.skip_to(EntryIndex(0), StreamSequence(1));
        if messages == 0 {
            // A header and no message: the file's name is the one that the first message needs.
            store.skip_to(EntryIndex(1), StreamSequence(10));
        }
        fill(&mut store, messages);
        let saved = save(&mut store, &sim).expect("the disk works");
        let before = store.last_sequence().0;
        let through = sealed_disk(&sim, 1, 1);
        let (mut store, report) = open_through(through.clone(), &saved);
        assert_eq!(report.damaged, []);
        store.append(EntryIndex(20), &message(20, "a.marker", b"", b"sealed"));
        let saved = save(&mut store, &*through).expect("the disk works");
        let (store, report) = open_through(sealed_disk(&sim, 1, 2), &saved);
        assert_eq!(report.damaged, []);
        for sequence in 1..=messages {
            let message = store.get(StreamSequence(sequence)).expect("it is there");
            assert_eq!(message.payload(), format!("m{sequence}").as_bytes());
        }
        let last = store.get(StreamSequence(before + 1)).expect("it is there");
        assert_eq!(last.payload(), b"sealed");
        for file in sim.list_files() {
            let bytes = read_file(&sim, &file).expect("it was listed");
            assert!(
                !bytes.windows(8).any(|part| part == b"a.marker"),
                "{}",
                file.display()
            );
        }
    }
}

#[test]
fn a_segment_is_begun_anew_again_after_a_crash() {
    let sim = disk();
    let mut store = on(&sim);
    // A header and no message: it begins anew when the store has keys, under the same name.
    store.skip_to(EntryIndex(1), StreamSequence(10));
    let saved = save(&mut store, &sim).expect("the disk works");
    let through = sealed_disk(&sim, 1, 1);
    let (mut store, _) = open_through(through.clone(), &saved);
    fill(&mut store, 5);
    let _not_in_the_manifest = save(&mut store, &*through).expect("the disk works");

    let through = sealed_disk(&sim, 1, 2);
    let (mut store, _) = open_through(through.clone(), &saved);
    fill(&mut store, 4);
    let later = save(&mut store, &*through).expect("the disk works");
    remove_indexes(&sim);
    let (store, report) = open_through(sealed_disk(&sim, 1, 3), &later);
    assert_eq!(report.damaged, []);
    for sequence in 10..=13 {
        let message = store.get(StreamSequence(sequence)).expect("it is there");
        assert_eq!(message.payload(), format!("m{sequence}").as_bytes());
    }
}

#[test]
fn what_a_segment_says_of_earlier_ones_is_said_again_when_it_begins_anew() {
    let sim = disk();
    let mut store = on(&sim);
    while store.segments.len() < 2 || store.active().columns.len() > 0 {
        fill(&mut store, 1);
        let next = store.last_sequence().next().0;
        if store.segments.len() == 1 && next > 5 {
            store.roll(next);
        }
    }
    let _before_the_removal = save(&mut store, &sim).expect("the disk works");
    store.remove(EntryIndex(20), StreamSequence(2));
    let saved = save(&mut store, &sim).expect("the disk works");

    let through = sealed_disk(&sim, 1, 1);
    let (mut store, report) = open_through(through.clone(), &saved);
    assert_eq!(report.damaged, []);
    assert!(!store.contains(StreamSequence(2)));
    fill(&mut store, 1);
    let saved = save(&mut store, &*through).expect("the disk works");
    let (store, report) = open_through(sealed_disk(&sim, 1, 2), &saved);
    assert_eq!(report.damaged, []);
    assert!(!store.contains(StreamSequence(2)));
    assert!(store.contains(StreamSequence(1)) && store.contains(store.last_sequence()));
}

#[test]
fn compression_may_be_switched_while_a_segment_is_open() {
    let sim = disk();
    let (mut store, _) = open(&sim, &SavedSegments::default());
    let mut saved = SavedSegments::default();
    for round in 0..200 {
        store.set_compression(round % 3 == 0);
        fill(&mut store, 3);
        saved = save(&mut store, &sim).expect("the disk works");
        if round % 20 == 0 {
            (store, _) = open(&sim, &saved);
        }
    }
    remove_indexes(&sim);
    let (store, report) = open(&sim, &saved);
    assert_eq!(report.damaged, []);
    for sequence in 1..=600 {
        let message = store.get(StreamSequence(sequence)).expect("it is there");
        assert_eq!(message.payload(), format!("m{sequence}").as_bytes());
    }
}

#[test]
fn a_full_disk_in_the_middle_of_a_write_is_overcome() {
    for form in [Form::Compressed, Form::Sealed, Form::Both] {
        let sim = disk();
        let through = form.disk(&sim, 1);
        let (mut store, _) = form.open(through.clone(), &SavedSegments::default());
        fill(&mut store, 300);
        let writes = store.take_writes().expect("there is something");
        for capacity in [100, 700, 3000, 5000] {
            sim.set_capacity(Some(capacity));
            let fault = writes.write(&*through).err().expect("the disk is full");
            assert!(fault.is_full(), "{fault}");
        }
        sim.set_capacity(None);
        let written = writes.write(&*through).expect("there is room again");
        written.sync(&*through).expect("the disk works");
        store.finish_writes(&written);
        let (store, report) = form.open(form.disk(&sim, 2), writes.saved());
        assert_eq!(report.damaged, [], "{form:?}");
        assert_eq!(store.messages(), 300);
        assert!((1..=300).all(|sequence| store.get(StreamSequence(sequence)).is_ok()));
    }
}
