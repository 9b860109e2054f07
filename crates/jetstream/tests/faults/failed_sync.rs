//! A sync that failed: nothing is acknowledged any more, and what is durable is still shown.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::{Op, is_journal};
use crate::rig::{Rig, name_of, wait_until};
use crate::seams::error_of;

/// Lines that one failure may cost.
const LINES_MAX: usize = 3;
/// Looks of the housekeeper that are waited for.
const LOOKS: u64 = 3;

#[test]
fn publishes_are_refused_and_reads_answered() {
    let mut rig = Rig::with_stream();
    rig.store("s.durable", "m");
    fail_syncs(&rig);
    for _ in 0..3 {
        let refused = rig.ask("s.lost", "m");
        assert_eq!(error_of(&refused), Some(10_077), "{refused}");
    }
    let info = rig.ask("$JS.API.STREAM.INFO.S", "");
    assert_eq!(
        (error_of(&info), &info["config"]["name"]),
        (None, &"S".into())
    );
    assert_eq!(rig.subject_of(1).as_deref(), Ok("s.durable"));
    assert_eq!(
        rig.subject_of(2),
        Err(10_077),
        "what is not durable is not shown"
    );
    let names = rig.ask("$JS.API.CONSUMER.NAMES.S", "");
    assert_eq!(
        (error_of(&names), &names["consumers"]),
        (None, &serde_json::json!([]))
    );
    rig.stop();
    let mut rig = rig.started_again();
    assert_eq!(rig.subject_of(1).as_deref(), Ok("s.durable"));
}

#[test]
fn a_stream_whose_deletion_could_not_be_synced_is_offline_and_not_gone() {
    let mut rig = Rig::with_stream();
    rig.store("s.durable", "m");
    fail_syncs(&rig);
    for attempt in 0..2 {
        let refused = rig.ask("$JS.API.STREAM.DELETE.S", "");
        assert_eq!(error_of(&refused), Some(10_077), "{attempt}: {refused}");
        let info = rig.ask("$JS.API.STREAM.INFO.S", "");
        assert_eq!(error_of(&info), Some(10_194), "{attempt}: {info}");
    }
    rig.stop();
    let mut rig = rig.started_again();
    // It was written, and whether that is on the disk only the next start can tell. Both are fine, half of a stream is not.
    match rig.stream_count() {
        0 => assert_eq!(rig.subject_of(1), Err(10_059)),
        _ => assert_eq!(rig.subject_of(1).as_deref(), Ok("s.durable")),
    }
}

#[test]
fn it_is_logged_once_and_not_with_every_look() {
    let mut rig = Rig::with_stream();
    let lines = rig.log.len();
    fail_syncs(&rig);
    let refused = rig.ask("s.lost", "m");
    assert_eq!(error_of(&refused), Some(10_077), "{refused}");
    pass_looks();
    let logged = rig.log.since(lines);
    assert!((1..=LINES_MAX).contains(&logged.len()), "{logged:#?}");
}

fn fail_syncs(rig: &Rig) {
    rig.faults.set(|op, path| match op {
        Op::Sync if is_journal(path) => Err(io::ErrorKind::Other.into()),
        _ => Ok(()),
    });
}

/// Returns when the housekeepers have looked several times: that of a healthy JetStream has written as many checkpoints.
fn pass_looks() {
    let mut healthy = Rig::with_stream();
    let checkpoints = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&checkpoints);
    healthy.faults.set(move |op, path| {
        if op == Op::Sync && name_of(path).starts_with("manifest.") {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    });
    for _ in 0..LOOKS {
        let before = checkpoints.load(Ordering::SeqCst);
        healthy.store("s.x", "m");
        wait_until("a checkpoint", || {
            checkpoints.load(Ordering::SeqCst) > before
        });
    }
}
