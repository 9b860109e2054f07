//! The space of removed messages comes back by itself, and nothing else is lost with it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::disk::Op;
use crate::rig::{Rig, name_of, stream_config, wait_until};

/// Messages of each of the two subjects, a few hundred bytes each.
const ROUNDS: u64 = 200;
const DROPPED_PER_ROUND: u64 = 9;

/// A stream with a message that stays among many that are to go, on disk.
pub(crate) fn filled() -> Rig {
    let mut rig = Rig::with_small_segments();
    rig.create_stream();
    for round in 0..ROUNDS {
        for _ in 1..DROPPED_PER_ROUND {
            rig.publish("s.drop", &[b'x'; 400]);
        }
        rig.publish("s.drop", &[b'x'; 400]);
        rig.publish("s.keep", round.to_string().as_bytes());
    }
    rig.store("s.keep", "last");
    rig
}

pub(crate) fn purge(rig: &mut Rig) {
    let answer = rig.ask(
        "$JS.API.STREAM.PURGE.S",
        json!({ "filter": "s.drop" }).to_string(),
    );
    assert_eq!(answer["purged"], ROUNDS * DROPPED_PER_ROUND, "{answer}");
}

/// Bytes in the segment files of the stream, and whether one of them was rewritten.
pub(crate) fn segments(folder: &Path) -> (u64, bool) {
    let streams = folder.join("jetstream/$G/streams/S");
    let files = std::fs::read_dir(streams).map_or_else(|_| Vec::new(), |files| files.collect());
    let mut found = (0, false);
    for file in files.into_iter().flatten() {
        let path = file.path();
        if path.extension().is_some_and(|extension| extension == "seg") {
            // A file may go while it is looked at.
            found.0 += file.metadata().map_or(0, |data| data.len());
            found.1 |= name_of(&path).matches('.').count() == 2;
        }
    }
    found
}

fn check(rig: &mut Rig, context: &str) {
    let state = rig.state();
    let (messages, last) = (ROUNDS + 1, ROUNDS * (DROPPED_PER_ROUND + 1) + 1);
    assert_eq!(state["messages"], messages, "{context}");
    assert_eq!(state["last_seq"], last, "{context}");
    for sequence in (1..=ROUNDS).map(|round| round * (DROPPED_PER_ROUND + 1)) {
        let subject = rig.subject_of(sequence);
        assert_eq!(subject.as_deref(), Ok("s.keep"), "{context}: {sequence}");
        assert_eq!(rig.subject_of(sequence - 1), Err(10037), "{context}");
    }
}

#[test]
fn a_purge_by_subject_gives_the_space_back() {
    let mut rig = filled();
    wait_until("segments", || segments(rig.folder()).0 > 700_000);
    purge(&mut rig);
    wait_until("the space", || segments(rig.folder()).0 < 150_000);
    assert!(segments(rig.folder()).1, "a segment was rewritten");
    check(&mut rig, "running");
    let mut again = rig.killed();
    check(&mut again, "killed");
    rig.stop();
    let mut rig = rig.started_again();
    check(&mut rig, "started again");
}

#[test]
fn a_stream_can_be_deleted_while_it_is_rewritten() {
    let mut rig = filled();
    let begun = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&begun);
    rig.faults.set(move |op, path| {
        if op == Op::Write && name_of(path).matches('.').count() == 2 {
            seen.store(true, Ordering::SeqCst);
        }
        Ok(())
    });
    purge(&mut rig);
    wait_until("a rewriting", || begun.load(Ordering::SeqCst));
    let answer = rig.ask("$JS.API.STREAM.DELETE.S", "");
    assert_eq!(answer["success"], true, "{answer}");
    assert!(!rig.folder().join("jetstream/$G/streams/S").exists());
    rig.stop();
    assert!(!rig.log.contains("its folder is not"));
}

#[test]
fn a_disk_that_fails_while_rewriting_costs_nothing_but_the_space() {
    let mut rig = filled();
    rig.faults.set(|op, path| {
        if op == Op::Sync && name_of(path).matches('.').count() == 2 {
            return Err(io::Error::other("planted"));
        }
        Ok(())
    });
    purge(&mut rig);
    wait_until("the report", || rig.log.contains("does not come back"));
    check(&mut rig, "running");
    rig.store("s.keep", "goes on");
    rig.faults.clear();
    let mut again = rig.killed();
    assert_eq!(again.state()["messages"], ROUNDS + 2);
}

#[test]
fn deleting_messages_one_by_one_gives_the_space_back_too() {
    let mut rig = filled();
    for round in 0..ROUNDS {
        for at in 1..=DROPPED_PER_ROUND {
            let sequence = round * (DROPPED_PER_ROUND + 1) + at;
            let request = json!({ "seq": sequence, "no_erase": true }).to_string();
            rig.send("$JS.API.STREAM.MSG.DELETE.S", request);
        }
    }
    wait_until("the space", || segments(rig.folder()).0 < 150_000);
    check(&mut rig, "running");
    let mut again = rig.killed();
    check(&mut again, "killed");
}

#[test]
fn what_expires_goes_with_its_files() {
    let mut rig = Rig::with_small_segments();
    let config = json!({
        "name": "S", "subjects": ["s.>"], "storage": "file", "max_msgs": -1,
        "max_age": 300_000_000, "duplicate_window": 300_000_000,
    });
    let answer = rig.ask("$JS.API.STREAM.CREATE.S", config.to_string());
    assert!(answer["error"].is_null(), "{answer}");
    for _ in 0..2000 {
        rig.publish("s.x", &[b'x'; 400]);
    }
    let last = rig.store("s.x", "last");
    wait_until("segments", || {
        segments(rig.folder()).0 > 500_000 || rig.state()["messages"] == 0
    });
    wait_until("an empty stream", || rig.state()["messages"] == 0);
    wait_until("the space", || segments(rig.folder()).0 < 64 << 10);
    assert_eq!(rig.state()["last_seq"], last);
    assert_eq!(rig.store("s.x", "goes on"), last + 1);
}

#[test]
fn a_folder_that_a_crash_leaves_behind_goes_with_the_next_start() {
    let mut rig = filled();
    let folder = "jetstream/$G/streams/S";
    rig.faults.set(|op, path| {
        if op == Op::Remove && name_of(path) == "S" {
            return Err(io::Error::other("planted"));
        }
        Ok(())
    });
    let answer = rig.ask("$JS.API.STREAM.DELETE.S", "");
    assert_eq!(answer["success"], true, "{answer}");
    assert!(
        rig.folder().join(folder).exists(),
        "it could not be removed"
    );
    // A checkpoint in between does not let the deletion be forgotten.
    let other = rig.ask("$JS.API.STREAM.CREATE.T", stream_config("T", "t.>", "file"));
    assert!(other["error"].is_null(), "{other}");
    rig.store("t.x", "m");
    let segment = "jetstream/$G/streams/T/00000000000000000001.seg";
    let segment = rig.folder().join(segment);
    wait_until("a checkpoint", || segment.exists());
    let again = rig.killed();
    assert_eq!(again.stream_count(), 1);
    assert!(!again.folder().join(folder).exists());
}
