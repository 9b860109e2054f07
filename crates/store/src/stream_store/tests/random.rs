//! Random changes, compared with the model all the way.

use everjet_values::{EntryIndex, SeededEntropy, StreamSequence};

use super::super::StreamStore;
use super::model::Model;
use super::{Step, below, disk, on, open, remove_indexes, save, small};

#[test]
fn a_memory_store_answers_like_the_model() {
    for seed in 0..12 {
        let dice = SeededEntropy::new(seed);
        let (mut store, mut model) = (StreamStore::in_memory(small()), Model::new(true));
        for entry in 1..=700 {
            let step = Step::random(&dice, &model);
            step.apply(EntryIndex(entry), &mut store);
            model.apply(&step);
            if entry % 53 == 0 {
                model.check(&store, &format!("seed {seed} entry {entry} after {step:?}"));
            }
        }
        assert!(store.take_writes().is_none(), "memory has no files");
    }
}

#[test]
fn a_file_store_answers_like_the_model_and_opens_to_the_same() {
    for seed in 0..12 {
        let dice = SeededEntropy::new(seed);
        let disk = disk();
        let (mut store, mut model) = (on(&disk), Model::new(false));
        for entry in 1..=900 {
            let step = Step::random(&dice, &model);
            step.apply(EntryIndex(entry), &mut store);
            model.apply(&step);
            let context = format!("seed {seed} entry {entry} after {step:?}");
            if entry % 97 == 0 {
                model.check(&store, &context);
            }
            if below(&dice, 25) == 0 {
                let saved = save(&mut store, &disk).expect("the disk works");
                let obsolete = store.obsolete_files(&saved);
                obsolete.delete(&disk).expect("the disk works");
                store.finish_obsolete(&obsolete);
                match below(&dice, 4) {
                    0 => {
                        remove_indexes(&disk);
                        let (opened, report) = open(&disk, &saved);
                        assert_eq!(report.damaged, [], "{context}");
                        assert_eq!(report.leftovers, [] as [std::path::PathBuf; 0], "{context}");
                        model.check(&opened, &format!("{context}, opened without indexes"));
                        store = opened;
                    }
                    1 => {
                        let (opened, report) = open(&disk, &saved);
                        assert_eq!(report.damaged, [], "{context}");
                        model.check(&opened, &format!("{context}, opened"));
                        store = opened;
                    }
                    _ => {}
                }
            }
        }
        model.check(&store, &format!("seed {seed} at the end"));
    }
}

#[test]
fn a_set_grows_with_the_subjects() {
    let mut store = StreamStore::in_memory(small());
    super::fill(&mut store, 2);
    let mut sets = [
        (store.select(&[]), true),
        (store.select(&[b"b.*"]), true),
        (store.select(&[b"b.d"]), true),
        (store.select(&[b"order.*"]), false),
    ];
    store.append(EntryIndex(3), &super::message(9, "b.d", b"", b""));
    for (set, is_member) in &mut sets {
        store.extend(set);
        let found = store.next_match(set, StreamSequence(3));
        assert_eq!(found.is_some(), *is_member);
    }
}
