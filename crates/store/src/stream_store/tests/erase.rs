//! Secure erase: nothing of the message is left in its file, through power cuts at every operation.

use everjet_values::{EntryIndex, StreamSequence};

use super::super::file_id::segment_path;
use super::super::{ReadError, StreamStore};
use super::{DIR, Form, disk, fill, message, on, open, remove_indexes, save};
use crate::sim_disk::{SimDisk, SimFault};
use crate::{SavedSegments, read_file};

const SECRET: &[u8] = b"nobody may read this any more";
/// The message with the secret, and how many there are.
const AT: StreamSequence = StreamSequence(6);
const COUNT: u64 = 11;

fn filled(disk: &SimDisk) -> StreamStore {
    let mut store = on(disk);
    fill(&mut store, AT.0 - 1);
    store.append(EntryIndex(AT.0), &message(6, "secret", b"", SECRET));
    fill(&mut store, COUNT - AT.0);
    store
}

fn has_secret(disk: &SimDisk) -> bool {
    disk.list_files().iter().any(|path| {
        let bytes = read_file(disk, path).expect("it was listed");
        bytes.windows(SECRET.len()).any(|bytes| bytes == SECRET)
    })
}

fn check(store: &StreamStore, context: &str) {
    assert_eq!(store.messages(), COUNT - 1, "{context}");
    for sequence in (1..=COUNT).map(StreamSequence) {
        match store.get(sequence) {
            Ok(message) => {
                let body = format!("m{sequence}");
                assert_eq!(message.payload(), body.as_bytes(), "{context}");
            }
            Err(ReadError::Deleted) => assert_eq!(sequence, AT, "{context}"),
            Err(other) => panic!("{context}: {sequence} is {other}"),
        }
    }
}

#[test]
fn an_erased_message_leaves_no_byte_and_no_damage() {
    for is_written in [true, false] {
        for restarts in [false, true] {
            let disk = disk();
            let mut store = filled(&disk);
            if is_written {
                let saved = save(&mut store, &disk).expect("the disk works");
                assert!(has_secret(&disk));
                if restarts {
                    store = open(&disk, &saved).0;
                }
            }
            assert!(store.erase(EntryIndex(20), AT).is_some());
            assert_eq!(store.has_erasures(), is_written);
            let saved = save(&mut store, &disk).expect("the disk works");
            assert!(!store.has_erasures());
            assert!(!has_secret(&disk), "written {is_written}");
            for indexed in [true, false] {
                if !indexed {
                    remove_indexes(&disk);
                }
                let (opened, report) = open(&disk, &saved);
                assert_eq!(report.damaged, []);
                check(&opened, &format!("written {is_written}, indexed {indexed}"));
            }
            assert!(store.erase(EntryIndex(21), AT).is_none(), "it is gone");
        }
    }
}

#[test]
fn the_last_message_of_a_file_is_overwritten_before_the_file_goes() {
    let disk = disk();
    let mut store = on(&disk);
    store.append(EntryIndex(1), &message(1, "secret", b"", SECRET));
    store.append(EntryIndex(2), &message(2, "large", b"", &[0; 5000]));
    save(&mut store, &disk).expect("the disk works");
    store.erase(EntryIndex(3), StreamSequence(1));
    assert!(store.obsolete_files(store.saved_segments()).is_empty());
    let saved = save(&mut store, &disk).expect("the disk works");
    assert!(!has_secret(&disk));
    let obsolete = store.obsolete_files(&saved);
    assert!(!obsolete.is_empty());
    obsolete.delete(&disk).expect("the disk works");
}

/// What the driver does: the manifest counts once all was written, and the journal has the command until then.
fn crash_at(operation: u64, seed: u64, base: &(SimDisk, SavedSegments)) -> (bool, bool) {
    let disk = base.0.crash(seed);
    let (mut store, _) = open(&disk, &base.1);
    store.erase(EntryIndex(20), AT);
    disk.fail_at(disk.operations() + operation, SimFault::Cut);
    let saved = save(&mut store, &disk);
    let is_cut = disk.is_cut();
    let disk = disk.crash(seed);
    let context = format!("operation {operation} seed {seed}");
    if seed.is_multiple_of(3) {
        remove_indexes(&disk);
    }
    let durable = saved.ok().filter(|_| !is_cut);
    let is_durable = durable.is_some();
    let mut is_torn = false;
    let (mut store, report) = open(&disk, durable.as_ref().unwrap_or(&base.1));
    if is_durable {
        assert_eq!(report.damaged, [], "{context}");
    } else {
        for damage in &report.damaged {
            assert_eq!(damage.sequences, Some((AT, AT)), "{context}");
        }
        // The journal says it again.
        store.erase(EntryIndex(20), AT);
        let explained = store.explained();
        is_torn = !explained.is_empty();
        assert_eq!(explained.is_empty(), report.damaged.is_empty(), "{context}");
    }
    let saved = save(&mut store, &disk).expect("the disk works");
    check(&store, &context);
    assert!(!has_secret(&disk), "{context}");
    remove_indexes(&disk);
    let (store, report) = open(&disk, &saved);
    assert_eq!(report.damaged, [], "{context}");
    check(&store, &context);
    (is_cut, is_torn)
}

#[test]
fn a_power_cut_at_any_operation_of_an_erasure_is_finished_by_the_journal() {
    let disk = disk();
    let mut store = filled(&disk);
    let saved = save(&mut store, &disk).expect("the disk works");
    let base = (disk, saved);
    let (mut cuts, mut torn) = (0, 0);
    for operation in 1..40 {
        for seed in 0..40 {
            let (is_cut, is_torn) = crash_at(operation, seed, &base);
            cuts += u32::from(is_cut);
            torn += u32::from(is_torn);
        }
    }
    assert!(cuts > 5 * 40, "only {cuts} cuts");
    assert!(torn > 5, "only {torn} left half a record");
}

#[test]
fn what_is_erased_while_its_segment_is_rewritten_is_not_carried_over() {
    let disk = disk();
    let mut store = on(&disk);
    fill(&mut store, 50);
    store.append(EntryIndex(51), &message(51, "secret", b"", SECRET));
    fill(&mut store, 200);
    save(&mut store, &disk).expect("the disk works");
    for sequence in (1..250).filter(|sequence| *sequence != 51 && sequence % 10 != 0) {
        store.remove(EntryIndex(300 + sequence), StreamSequence(sequence));
    }
    save(&mut store, &disk).expect("the disk works");
    let late = store.take_compaction().or_else(|| store.take_compaction());
    let done = late.expect("it is worth it").rewrite(&mut |_| true);
    let done = done.expect("the disk works");
    store.erase(EntryIndex(600), StreamSequence(51));
    assert!(store.finish_compaction(done));
    assert!(
        store.take_compaction().is_none(),
        "not before it is overwritten"
    );
    let saved = save(&mut store, &disk).expect("the disk works");
    assert!(!has_secret(&disk), "in neither file");
    let first = segment_path(DIR.as_ref(), 1);
    assert!(disk.list_files().contains(&first), "the old file is there");
    remove_indexes(&disk);
    let (opened, report) = open(&disk, &saved);
    assert_eq!(report.damaged, []);
    assert_eq!(opened.state(), store.state());
}

/// The other messages of its block would be lost with what is overwritten, and all that is behind it in the file.
#[test]
fn erasing_in_a_file_in_blocks_removes_the_message_and_costs_no_other() {
    let path = segment_path(DIR.as_ref(), 1);
    for form in [Form::Compressed, Form::Sealed, Form::Both] {
        for is_written in [true, false] {
            let context = format!("{form:?}, written {is_written}");
            let sim = disk();
            let mut through = form.disk(&sim, 1);
            let (mut store, _) = form.open(through.clone(), &SavedSegments::default());
            fill(&mut store, AT.0 - 1);
            store.append(EntryIndex(AT.0), &message(6, "secret", b"", SECRET));
            if is_written {
                let saved = save(&mut store, &*through).expect("the disk works");
                through = form.disk(&sim, 2);
                store = form.open(through.clone(), &saved).0;
            }
            fill(&mut store, COUNT - AT.0);
            let before = read_file(&sim, &path).unwrap_or_default();
            assert_eq!(before.is_empty(), !is_written, "{context}");
            assert!(store.erase(EntryIndex(20), AT).is_some(), "{context}");
            assert_eq!(store.has_erasures(), is_written, "{context}");
            let saved = save(&mut store, &*through).expect("the disk works");
            assert!(!store.has_erasures(), "{context}");
            let after = read_file(&sim, &path).expect("it was written");
            assert!(after.starts_with(&before), "{context}");
            assert!(is_written || !has_secret(&sim), "{context}");
            for indexed in [true, false] {
                if !indexed {
                    remove_indexes(&sim);
                }
                let (opened, report) = form.open(form.disk(&sim, 3), &saved);
                assert_eq!(report.damaged, [], "{context}");
                check(&opened, &format!("{context}, indexed {indexed}"));
            }
        }
    }
}

/// What was written before the store had keys is in the open: it is overwritten.
#[test]
fn a_file_older_than_the_keys_is_overwritten() {
    let sim = disk();
    let mut store = filled(&sim);
    let saved = save(&mut store, &sim).expect("the disk works");
    assert!(has_secret(&sim));
    let through = Form::Sealed.disk(&sim, 1);
    let (mut store, _) = Form::Sealed.open(through.clone(), &saved);
    assert!(store.erase(EntryIndex(20), AT).is_some());
    let saved = save(&mut store, &*through).expect("the disk works");
    assert!(!has_secret(&sim));
    remove_indexes(&sim);
    let (store, report) = Form::Sealed.open(Form::Sealed.disk(&sim, 2), &saved);
    assert_eq!(report.damaged, []);
    check(&store, "older than the keys");
}

#[test]
fn compaction_takes_an_erased_message_out_of_a_file_in_blocks() {
    for form in [Form::Compressed, Form::Sealed] {
        let sim = disk();
        let through = form.disk(&sim, 1);
        let (mut store, _) = form.open(through.clone(), &SavedSegments::default());
        fill(&mut store, 50);
        store.append(EntryIndex(51), &message(51, "secret", b"", SECRET));
        fill(&mut store, 200);
        save(&mut store, &*through).expect("the disk works");
        for sequence in (1..250).filter(|sequence| *sequence != 51 && sequence % 10 != 0) {
            store.remove(EntryIndex(300 + sequence), StreamSequence(sequence));
        }
        store.erase(EntryIndex(600), StreamSequence(51));
        save(&mut store, &*through).expect("the disk works");
        while let Some(compaction) = store.take_compaction().or_else(|| store.take_compaction()) {
            let done = compaction.rewrite(&mut |_| true).expect("the disk works");
            assert!(store.finish_compaction(done));
        }
        let saved = save(&mut store, &*through).expect("the disk works");
        let obsolete = store.obsolete_files(&saved);
        obsolete.delete(&*through).expect("the disk works");
        let old = segment_path(DIR.as_ref(), 1);
        assert!(!sim.list_files().contains(&old), "{form:?}");
        remove_indexes(&sim);
        let (opened, report) = form.open(form.disk(&sim, 2), &saved);
        assert_eq!(report.damaged, [], "{form:?}");
        assert_eq!(opened.state(), store.state(), "{form:?}");
        assert!(matches!(
            opened.get(StreamSequence(51)),
            Err(ReadError::Deleted)
        ));
    }
}
