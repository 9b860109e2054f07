//! Rewriting segments without what was removed: at any moment, through power cuts at every operation, and around damage.

use std::path::PathBuf;

use everjet_values::{EntryIndex, SeededEntropy, StreamSequence};

use super::super::file_id::segment_path;
use super::super::{Compaction, CompactionError, ReadError, StreamStore};
use super::model::Model;
use super::{DIR, Step, below, disk, fill, message, on, open, remove_indexes, save};
use crate::SavedSegments;
use crate::disk::Disk;
use crate::sim_disk::{SimDisk, SimFault};

/// Rewrites what is worth it, at once, until nothing is.
fn compact_all(store: &mut StreamStore) -> usize {
    let mut rewritten = 0;
    while let Some(compaction) = store.take_compaction() {
        let done = compaction.rewrite(&mut |_| true).expect("the disk works");
        assert!(store.finish_compaction(done));
        rewritten += 1;
        assert!(rewritten < 1000, "rewriting comes to an end");
    }
    rewritten
}

/// As the driver does it: a checkpoint, then the files that nobody needs go.
fn checkpoint(store: &mut StreamStore, disk: &SimDisk) -> SavedSegments {
    let saved = save(store, disk).expect("the disk works");
    let obsolete = store.obsolete_files(&saved);
    obsolete.delete(disk).expect("the disk works");
    store.finish_obsolete(&obsolete);
    saved
}

fn segment_files(disk: &SimDisk) -> Vec<PathBuf> {
    let mut files = disk.list_files();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "seg"));
    files
}

fn bytes_on(disk: &SimDisk) -> u64 {
    let length = |file: &PathBuf| {
        let file = disk.open(file, crate::OpenMode::Read).expect("listed");
        file.len().expect("it is open")
    };
    segment_files(disk).iter().map(length).sum()
}

/// A store of many segments in which one message in `one_in` is left.
fn sparse(disk: &SimDisk, count: u64, one_in: u64) -> StreamStore {
    let mut store = on(disk);
    fill(&mut store, count);
    checkpoint(&mut store, disk);
    for sequence in (1..count).filter(|sequence| sequence % one_in != 0) {
        store.remove(EntryIndex(count + sequence), StreamSequence(sequence));
    }
    checkpoint(&mut store, disk);
    store
}

fn check_survivors(store: &StreamStore, count: u64, one_in: u64) {
    for sequence in 1..count {
        let found = store.get(StreamSequence(sequence));
        if sequence % one_in == 0 {
            let body = format!("m{sequence}");
            assert_eq!(found.expect("it stays").payload(), body.as_bytes());
        } else {
            assert!(matches!(
                found,
                Err(ReadError::Deleted | ReadError::NotFound)
            ));
        }
    }
}

#[test]
fn the_space_of_removed_messages_comes_back_and_few_files_stay() {
    let disk = disk();
    let mut store = sparse(&disk, 3000, 50);
    let (files, bytes) = (segment_files(&disk).len(), bytes_on(&disk));
    assert!(files > 20, "{files} files");
    assert!(compact_all(&mut store) > 0);
    let saved = checkpoint(&mut store, &disk);
    let (after, left) = (segment_files(&disk).len(), bytes_on(&disk));
    assert!(after * 4 <= files, "{after} of {files} files");
    assert!(left * 5 < bytes, "{left} of {bytes} bytes");
    assert_eq!(compact_all(&mut store), 0, "there is nothing more to gain");
    check_survivors(&store, 3000, 50);
    for _ in 0..2 {
        let (opened, report) = open(&disk, &saved);
        assert_eq!((report.damaged, report.leftovers), (vec![], vec![]));
        check_survivors(&opened, 3000, 50);
        assert_eq!(opened.state(), store.state());
        remove_indexes(&disk);
    }
}

#[test]
fn an_open_segment_that_is_mostly_dead_is_sealed_and_rewritten() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 45);
    checkpoint(&mut store, &disk);
    for sequence in 1..=40 {
        store.remove(EntryIndex(45 + sequence), StreamSequence(sequence));
    }
    let before = bytes_on(&disk);
    assert!(
        store.take_compaction().is_none(),
        "it needs its footer first"
    );
    checkpoint(&mut store, &disk);
    assert_eq!(compact_all(&mut store), 1);
    checkpoint(&mut store, &disk);
    assert!(bytes_on(&disk) < before / 2);
    assert_eq!(store.messages(), 5);
    fill(&mut store, 1);
    assert_eq!(store.last_sequence(), StreamSequence(46));
}

#[test]
fn what_is_removed_meanwhile_stays_removed() {
    let disk = disk();
    let mut store = sparse(&disk, 600, 20);
    let compaction = store.take_compaction().expect("it is worth it");
    let done = compaction.rewrite(&mut |_| true).expect("the disk works");
    // One that the new file has, recorded before the switch, and one that is not recorded yet.
    store.remove(EntryIndex(1300), StreamSequence(20));
    let between = checkpoint(&mut store, &disk);
    store.remove(EntryIndex(1301), StreamSequence(40));
    assert!(store.finish_compaction(done));
    let (state, first) = (store.state(), StreamSequence(60));
    assert_eq!(state.first_sequence, first);
    let saved = checkpoint(&mut store, &disk);
    assert_ne!(saved.segments[0].revision, between.segments[0].revision);
    remove_indexes(&disk);
    let (opened, report) = open(&disk, &saved);
    assert_eq!(report.damaged, []);
    assert_eq!(opened.state(), state);
}

#[test]
fn a_segment_that_loses_everything_meanwhile_is_not_put_back() {
    let disk = disk();
    let mut store = sparse(&disk, 600, 20);
    let compaction = store.take_compaction().expect("it is worth it");
    let done = compaction.rewrite(&mut |_| true).expect("the disk works");
    store.remove_through(EntryIndex(1300), StreamSequence(600));
    assert!(!store.finish_compaction(done));
    let saved = checkpoint(&mut store, &disk);
    assert_eq!(segment_files(&disk).len(), saved.segments.len());
    assert_eq!(open(&disk, &saved).0.state(), store.state());
}

#[test]
fn a_stopped_rewriting_leaves_nothing_behind() {
    let disk = disk();
    let mut store = sparse(&disk, 600, 20);
    let files = segment_files(&disk);
    let compaction = store.take_compaction().expect("it is worth it");
    let stopped = compaction.rewrite(&mut |_| false);
    assert!(matches!(stopped, Err(CompactionError::Stopped)));
    assert_eq!(segment_files(&disk), files);
    assert!(compact_all(&mut store) > 0, "it can be done later");
}

#[test]
fn a_damaged_segment_is_kept_as_it_is() {
    let disk = disk();
    let mut store = sparse(&disk, 600, 20);
    // Inside the payload of message 20, by looking for it.
    let first = segment_path(DIR.as_ref(), 1);
    let bytes = crate::read_file(&disk, &first).expect("it is there");
    let at = bytes
        .windows(3)
        .position(|at| at == b"m20")
        .expect("stored");
    disk.flip_bit(&first, at as u64 * 8);
    let saved = store.saved_segments().clone();
    let mut others = 0;
    while let Some(compaction) = store.take_compaction() {
        match compaction.rewrite(&mut |_| true) {
            Ok(done) => others += u32::from(store.finish_compaction(done)),
            Err(CompactionError::Damaged { file, sequence }) => {
                assert_eq!((&file, sequence), (&first, StreamSequence(20)));
                store.keep_damaged(&file);
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(others > 0);
    checkpoint(&mut store, &disk);
    assert!(segment_files(&disk).contains(&first));
    // Known as damaged from the start, it is not even looked at.
    remove_indexes(&disk);
    let footer = saved.segments[0].length - 20;
    let disk = disk.kill();
    disk.flip_bit(&first, footer * 8);
    let (mut opened, report) = open(&disk, store.saved_segments());
    assert!(!report.damaged.is_empty());
    compact_all(&mut opened);
    checkpoint(&mut opened, &disk);
    assert!(segment_files(&disk).contains(&first));
    let read = opened.get(StreamSequence(20));
    assert!(matches!(read, Err(ReadError::Damaged { .. })));
}

/// A rewritten segment whose footer is lost is read record by record, past damage, and its holes are none.
#[test]
fn damage_to_a_rewritten_segment_costs_what_is_damaged() {
    let disk = disk();
    let mut store = sparse(&disk, 600, 7);
    assert!(compact_all(&mut store) > 0);
    let saved = checkpoint(&mut store, &disk);
    remove_indexes(&disk);
    let rewritten = saved.segments.iter().find(|segment| segment.revision > 0);
    let rewritten = *rewritten.expect("there is one");
    let id = super::super::take::id_of(&rewritten);
    let path = segment_path(DIR.as_ref(), id);
    let footer = rewritten.length - 20;
    let next = saved
        .segments
        .iter()
        .map(|segment| segment.first_sequence.0)
        .find(|first| *first > id.first)
        .expect("the open one");
    let (mut exact, mut unsure) = (0, 0);
    for byte in 0..rewritten.length {
        let disk = disk.kill();
        disk.flip_bit(&path, footer * 8);
        disk.flip_bit(&path, byte * 8 + byte % 8);
        let (opened, report) = open(&disk, &saved);
        assert!(!report.damaged.is_empty() || byte == footer, "byte {byte}");
        let mut damaged = 0;
        for sequence in id.first..next {
            match opened.get(StreamSequence(sequence)) {
                Ok(message) => {
                    assert_eq!(message.payload(), format!("m{sequence}").as_bytes());
                    assert_eq!(sequence % 7, 0, "byte {byte}: {sequence} came back");
                }
                Err(ReadError::Damaged { .. }) => damaged += 1,
                Err(ReadError::Deleted | ReadError::NotFound) => {
                    assert_ne!(sequence % 7, 0, "byte {byte}: {sequence} is forgotten");
                }
                Err(other) => panic!("byte {byte}: {other}"),
            }
        }
        exact += u64::from(damaged == 1);
        unsure += u64::from(damaged > 1);
    }
    assert!(
        exact * 2 > rewritten.length,
        "{exact} of {}",
        rewritten.length
    );
    assert!(unsure > 0, "the record of the holes is hit, too");
}

/// What a crash may find: the manifest, and the store as the model says it was then.
struct World {
    disk: SimDisk,
    store: StreamStore,
    durable: SavedSegments,
}

/// A compaction with removals in the middle and checkpoints around it, cut short by the first fault. Returns false then.
fn run(world: &mut World, is_before_fault: impl Fn() -> bool) -> Option<()> {
    let compaction: Compaction = world.store.take_compaction()?;
    let done = compaction.rewrite(&mut |_| true);
    let done = done.ok().filter(|_| is_before_fault())?;
    world.store.finish_compaction(done);
    let saved = save(&mut world.store, &world.disk).ok()?;
    if !is_before_fault() {
        return None;
    }
    let obsolete = world.store.obsolete_files(&saved);
    world.durable = saved;
    obsolete.delete(&world.disk).ok()?;
    world.store.finish_obsolete(&obsolete);
    is_before_fault().then_some(())
}

#[test]
fn a_power_cut_at_any_operation_of_a_rewriting_loses_nothing() {
    let base = {
        let disk = disk();
        let store = sparse(&disk, 400, 20);
        (disk, store.saved_segments().clone())
    };
    let start = |seed: u64| {
        let disk = base.0.crash(seed);
        let (store, _) = open(&disk, &base.1);
        World {
            disk,
            store,
            durable: base.1.clone(),
        }
    };
    let mut whole = start(0);
    let first = whole.disk.operations();
    run(&mut whole, || true).expect("no fault");
    let operations = whole.disk.operations() - first;
    assert!(operations > 8, "{operations}");
    for operation in 1..=operations {
        for seed in 0..8 {
            let mut world = start(seed);
            let disk = world.disk.clone();
            disk.fail_at(disk.operations() + operation, SimFault::Cut);
            assert!(run(&mut world, || !disk.is_cut()).is_none());
            let disk = disk.crash(seed);
            let context = format!("operation {operation} seed {seed}");
            let (mut store, report) = open(&disk, &world.durable);
            assert_eq!(report.damaged, [], "{context}");
            check_survivors(&store, 400, 20);
            // Whatever was left behind is in nobody's way.
            compact_all(&mut store);
            let saved = checkpoint(&mut store, &disk);
            check_survivors(&store, 400, 20);
            assert_eq!(
                segment_files(&disk).len(),
                saved.segments.len(),
                "{context}"
            );
        }
    }
}

#[test]
fn a_full_or_failing_disk_changes_nothing() {
    for fault in [SimFault::Enospc, SimFault::Eio] {
        for operation in 1..=6 {
            let disk = disk();
            let mut store = sparse(&disk, 400, 20);
            let files = segment_files(&disk);
            let compaction = store.take_compaction().expect("it is worth it");
            disk.fail_at(disk.operations() + operation, fault);
            let failed = compaction.rewrite(&mut |_| true);
            assert!(
                matches!(failed, Err(CompactionError::Fault(_))),
                "{operation}"
            );
            assert_eq!(segment_files(&disk), files, "{operation}");
            check_survivors(&store, 400, 20);
            assert!(compact_all(&mut store) > 0);
            checkpoint(&mut store, &disk);
            check_survivors(&store, 400, 20);
        }
    }
}

#[test]
fn rewriting_at_random_moments_is_not_seen() {
    let mut rewritten = 0;
    for seed in 0..20 {
        let dice = SeededEntropy::new(seed);
        let disk = disk();
        let (mut store, mut model) = (on(&disk), Model::new(false));
        let mut under_way = None;
        for entry in 1..=900 {
            let step = Step::random(&dice, &model);
            step.apply(EntryIndex(entry), &mut store);
            model.apply(&step);
            let context = format!("seed {seed} entry {entry} after {step:?}");
            match below(&dice, 20) {
                0 => {
                    under_way = under_way.or_else(|| {
                        let compaction = store.take_compaction()?;
                        Some(compaction.rewrite(&mut |_| true).expect("the disk works"))
                    });
                }
                1..4 => {
                    if let Some(done) = under_way.take() {
                        rewritten += u32::from(store.finish_compaction(done));
                    }
                }
                4..6 => {
                    let saved = checkpoint(&mut store, &disk);
                    if below(&dice, 3) == 0 {
                        under_way = None;
                        if below(&dice, 2) == 0 {
                            remove_indexes(&disk);
                        }
                        let (opened, report) = open(&disk, &saved);
                        assert_eq!(report.damaged, [], "{context}");
                        model.check(&opened, &format!("{context}, opened"));
                        store = opened;
                    }
                }
                _ => {}
            }
            if entry % 97 == 0 {
                model.check(&store, &context);
            }
        }
        model.check(&store, &format!("seed {seed} at the end"));
        if let Some(done) = under_way {
            store.finish_compaction(done);
        }
        checkpoint(&mut store, &disk);
        compact_all(&mut store);
        let saved = checkpoint(&mut store, &disk);
        assert_eq!(segment_files(&disk).len(), saved.segments.len());
        model.check(&store, &format!("seed {seed} compacted"));
    }
    assert!(rewritten > 25, "only {rewritten} rewritten");
}

#[test]
fn a_large_message_between_is_no_hindrance() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 30);
    store.append(EntryIndex(31), &message(31, "large", b"", &[7; 5000]));
    fill(&mut store, 200);
    checkpoint(&mut store, &disk);
    for sequence in (1..230).filter(|sequence| *sequence != 31 && sequence % 10 != 0) {
        store.remove(EntryIndex(300 + sequence), StreamSequence(sequence));
    }
    checkpoint(&mut store, &disk);
    assert!(compact_all(&mut store) > 0);
    let saved = checkpoint(&mut store, &disk);
    let (opened, _) = open(&disk, &saved);
    assert_eq!(
        opened.get(StreamSequence(31)).expect("it stays").payload(),
        [7; 5000]
    );
    assert_eq!(opened.state(), store.state());
}
