//! Files that somebody removed: while the server was stopped, and under it.

use std::fs;
use std::path::{Path, PathBuf};

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
    assert!(rig.log.contains("journal"), "{:#?}", rig.log.errors());
    assert!(!rig.log.errors().is_empty());
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
        killed.log.contains("records from 3 on are lost"),
        "{:#?}",
        killed.log.since(0)
    );
    assert_eq!(killed.subject_of(1).as_deref(), Ok("s.x"));
    // Nothing on the disk tells that there was a second message.
    assert_eq!(killed.store("s.x", "m"), 2);
}
