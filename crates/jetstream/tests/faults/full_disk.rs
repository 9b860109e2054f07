//! A disk that takes nothing any more.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::{Op, is_journal};
use crate::rig::{Rig, name_of, stream_config, wait_until};
use crate::seams::{error_of, sequence_of};

/// No space: publishes and changes are refused with it.
const STORAGE_RESOURCES: Option<u64> = Some(10_047);

/// A rig with one acknowledged message whose disk is full and knows it, and where the answer to the message that found it out will go.
fn full() -> (Rig, String) {
    let mut rig = Rig::with_stream();
    rig.store("s.x", "fits");
    let attempts = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&attempts);
    rig.faults.set(move |op, path| {
        if !op.needs_room() {
            return Ok(());
        }
        // Spare files are made by others than the writer, and used by it under that name.
        let makes_spare = op == Op::Create && name_of(path) == "spare.new";
        if is_journal(path) && !makes_spare {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Err(io::ErrorKind::StorageFull.into())
    });
    let finds_out = rig.send("s.x", "does not fit");
    // When an attempt begins, everybody knows of the one before.
    let two_attempts = || {
        let before = attempts.load(Ordering::SeqCst);
        wait_until("an attempt, and another one", || {
            attempts.load(Ordering::SeqCst) >= before + 2
        });
    };
    two_attempts();
    // Only now, or the disk would be found full by asking it instead of by the message.
    rig.faults.say_full();
    two_attempts();
    (rig, finds_out)
}

#[test]
fn publishes_are_refused_at_once_and_accepted_again_with_room() {
    let (mut rig, finds_out) = full();
    for _ in 0..10 {
        let refused = rig.send("s.x", "refused");
        // Refused on the publishing thread: the answer is there when the flush returns.
        let refused = rig.inbox.first(&refused).expect("refused at once");
        assert_eq!(error_of(&refused), STORAGE_RESOURCES, "{refused}");
    }
    rig.faults.clear();
    assert_eq!(sequence_of(&rig.answer(&finds_out)), Some(2));
    let last = rig.store_eventually("s.x");
    assert_eq!(rig.killed().state()["messages"], last);
}

#[test]
fn reads_are_answered_and_changes_refused() {
    let (mut rig, _) = full();
    let info = rig.ask("$JS.API.STREAM.INFO.S", "");
    assert_eq!(error_of(&info), None, "{info}");
    assert_eq!(info["config"]["name"], "S");
    assert_eq!(rig.stream_names(), serde_json::json!(["S"]));
    assert_eq!(rig.subject_of(1).as_deref(), Ok("s.x"));
    for (subject, body) in [
        ("$JS.API.STREAM.PURGE.S", String::new()),
        ("$JS.API.STREAM.DELETE.S", String::new()),
        ("$JS.API.STREAM.CREATE.T", stream_config("T", "t.>", "file")),
    ] {
        let refused = rig.ask(subject, body);
        assert!(error_of(&refused).is_some(), "{subject}: {refused}");
    }
    rig.faults.clear();
    let last = rig.store_eventually("s.x");
    assert_eq!(rig.stream_names(), serde_json::json!(["S"]));
    assert_eq!(rig.state()["messages"], last);
}

#[test]
fn stop_ends_and_a_start_with_room_serves_what_was_acknowledged() {
    let (mut rig, _) = full();
    rig.stop();
    let mut rig = rig.started_again();
    assert_eq!(rig.subject_of(1).as_deref(), Ok("s.x"));
    let last = rig.store("s.x", "after");
    assert_eq!(rig.state()["last_seq"], last);
}
