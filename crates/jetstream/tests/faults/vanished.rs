//! Files that somebody removed: while the server was stopped, and under it.

use std::fs;
use std::path::{Path, PathBuf};

use everjet_jetstream::HealthStatus;

use crate::rig::{Rig, wait_until};
use crate::starting::{expect_other_served, expect_served, stopped};

/// Removes every file below `folder` whose path from there holds `part`; how many that were.
fn remove(folder: &Path, part: &str) -> usize {
    let gone = files(folder).into_iter().filter(|path| {
        let path = path.strip_prefix(folder).unwrap();
        path.to_string_lossy().contains(part)
    });
    // The server may have renamed or removed one since it was listed.
    let remove = |path: &PathBuf| match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        result => result.map(|()| true).unwrap(),
    };
    gone.filter(remove).count()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// Removes while the server is stopped, and starts it.
#[track_caller]
fn started_without(part: &str) -> Rig {
    let rig = stopped();
    assert!(remove(rig.folder(), part) > 0, "nothing there for {part}");
    rig.started_again()
}

#[test]
fn derived_files_are_not_missed() {
    for part in [".idx", "meta.json", ".spare", "lock"] {
        expect_served(&mut started_without(part));
    }
}

#[test]
fn one_slot_of_the_manifest_is_enough() {
    // Which one counts depends on how many checkpoints there were; the journal makes up for the older one.
    let rig = stopped();
    let newer = |a: &PathBuf, b: &PathBuf| {
        let time = |path: &PathBuf| fs::metadata(path).unwrap().modified().unwrap();
        time(a).cmp(&time(b))
    };
    let mut slots: Vec<PathBuf> = ["manifest.a", "manifest.b"]
        .map(|name| rig.folder().join("jetstream").join(name))
        .into();
    slots.sort_by(newer);
    fs::remove_file(&slots[0]).unwrap();
    expect_served(&mut rig.started_again());
}

#[test]
fn without_any_manifest_there_is_no_start() {
    let rig = stopped();
    assert_eq!(remove(rig.folder(), "manifest."), 2);
    let why = rig.started_with(crate::disk::Faults::none()).err();
    let why = why.expect("streams without a manifest are not forgotten");
    assert!(
        why.contains("neither manifest.a nor manifest.b")
            && why.contains("restore it from a backup"),
        "{why}"
    );
}

#[test]
fn a_missing_segment_costs_its_messages_and_is_named() {
    let mut rig = started_without("streams/S/00000000000000000001.seg");
    assert!(rig.subject_of(1).is_err());
    assert!(
        rig.log.contains("the file is missing"),
        "{:#?}",
        rig.log.since(0)
    );
    assert_eq!(
        rig.store("s.x", "m"),
        2,
        "its sequences are not given again"
    );
    expect_other_served(&mut rig);
}

#[test]
fn a_missing_consumer_state_costs_the_consumer_and_is_named() {
    let mut rig = started_without(".state");
    assert_eq!(rig.subject_of(1).as_deref(), Ok("s.x"));
    assert!(
        rig.log.contains("consumer c of stream S"),
        "{:#?}",
        rig.log.since(0)
    );
    rig.store("s.x", "m");
}

#[test]
fn a_journal_missing_after_a_clean_stop_costs_nothing_and_is_named() {
    let mut rig = started_without(".wal");
    assert!(
        rig.log.contains("the journal is damaged: nothing is lost"),
        "{:#?}",
        rig.log.since(0)
    );
    expect_served(&mut rig);
}

/// Removes under the running server, goes on, and stops it.
#[track_caller]
fn check_running(part: &str) {
    let mut rig = Rig::with_stream();
    rig.store("s.x", "m");
    wait_until("a segment", || {
        files(rig.folder())
            .iter()
            .any(|path| path.extension().is_some_and(|kind| kind == "seg"))
    });
    assert!(remove(rig.folder(), part) > 0, "nothing there for {part}");
    assert_eq!(rig.subject_of(1).as_deref(), Ok("s.x"), "{part}");
    assert_eq!(rig.store("s.x", "m"), 2, "{part}");
    rig.stop();
    let mut rig = rig.started_again();
    // Sequences are not given again, whatever was lost.
    assert_eq!(rig.store("s.x", "m"), 3, "{part}");
    let first = rig.subject_of(1);
    assert_eq!(first.is_ok(), part != ".seg", "{part}: {first:?}");
}

#[test]
fn files_removed_under_a_running_server_stop_nothing() {
    for part in [".seg", "meta.json", ".wal", ".spare", "manifest.", "lock"] {
        check_running(part);
    }
}

#[test]
fn a_journal_missing_after_a_kill_is_named_and_what_a_checkpoint_took_is_served() {
    let mut rig = Rig::with_stream();
    rig.store("s.x", "m");
    rig.stop();
    let mut rig = rig.started_again();
    rig.store("s.x", "only in the journal");
    let mut killed = rig.killed_with(|folder| {
        assert!(remove(folder, ".wal") > 0);
    });
    assert!(
        killed.log.contains("records from 4 on are lost"),
        "{:#?}",
        killed.log.since(0)
    );
    assert_eq!(killed.subject_of(1).as_deref(), Ok("s.x"));
    // Nothing on the disk tells that there was a second message: what its sequence may be is not given again.
    let gap = killed.store("s.x", "m");
    assert!(gap > 2, "{gap}");
    assert_eq!(killed.subject_of(2), Err(10051));
    assert!(killed.state()["lost"]["msgs"][0] == 2, "{}", killed.state());
    assert_eq!(killed.health().status, HealthStatus::Degraded);
    // A checkpoint, and what comes behind it, keep all of that.
    killed.stop();
    let mut again = killed.started_again();
    assert_eq!(again.store("s.x", "m"), gap + 1);
    assert_eq!(again.subject_of(2), Err(10051));
    assert!(
        again.log.contains("a part of the journal is lost"),
        "{:#?}",
        again.log.since(0)
    );
}

/// Stores a message with one server and another with the next, kills that one, does something to its newest journal file, and
/// expects that the second message is lost, that this is said, and that its sequence is not given again.
#[track_caller]
fn check_newest_journal_file(harm: impl FnOnce(&Path)) {
    let mut rig = Rig::with_stream();
    rig.store("s.x", "m");
    rig.stop();
    let mut rig = rig.started_again();
    assert_eq!(rig.store("s.x", "only in the newest file"), 2);
    let mut killed = rig.killed_with(|folder| {
        let journal = files(&folder.join("jetstream/journal"));
        let is_file = |path: &&PathBuf| path.extension().is_some_and(|kind| kind == "wal");
        harm(journal.iter().filter(is_file).max().unwrap());
    });
    assert_eq!(killed.subject_of(1).as_deref(), Ok("s.x"));
    if killed.subject_of(2).is_ok() {
        // A checkpoint was quicker. What it has not taken may still be lost, as far as anybody knows.
        return;
    }
    assert!(killed.store("s.x", "m") > 2, "{}", killed.state());
    assert_eq!(killed.subject_of(2), Err(10051));
    let log = killed.log.since(0);
    assert!(killed.log.contains("are lost"), "{log:#?}");
    assert_eq!(killed.health().status, HealthStatus::Degraded);
    // A second kill finds nothing new to lose, and still knows.
    let mut again = killed.killed();
    assert_eq!(again.subject_of(2), Err(10051));
    assert_eq!(again.subject_of(1).as_deref(), Ok("s.x"));
}

#[test]
fn no_sequence_of_a_missing_newest_journal_file_is_given_again() {
    check_newest_journal_file(|newest| fs::remove_file(newest).unwrap());
}

#[test]
fn no_sequence_of_a_newest_journal_file_that_was_cut_is_given_again() {
    check_newest_journal_file(|newest| {
        let file = fs::OpenOptions::new().write(true).open(newest).unwrap();
        file.set_len(4096).unwrap();
    });
}
