//! Writes that fail while the server runs, for another reason than a full disk: nothing is acknowledged that is not kept, everything
//! that was is read, and a start without the fault goes on.

use std::io;
use std::path::Path;

use serde_json::Value;

use crate::disk::{Op, is_journal};
use crate::rig::{Rig, stream_config, wait_until};
use crate::seams::error_of;

const EIO: i32 = 5;
const EACCES: i32 = 13;
const EROFS: i32 = 30;

/// Whatever changes a path that `concerns`, fails.
fn fail(rig: &Rig, code: i32, concerns: impl Fn(&Path) -> bool + Send + Sync + 'static) {
    rig.faults.set(move |op, path| match op {
        Op::Open | Op::List | Op::Sync | Op::SyncDir => Ok(()),
        _ if concerns(path) => Err(io::Error::from_raw_os_error(code)),
        _ => Ok(()),
    });
}

fn description(answer: &Value) -> &str {
    answer["error"]["description"].as_str().unwrap_or_default()
}

/// The journal cannot be written: `advice` is what everybody is told.
#[track_caller]
fn check_journal(code: i32, advice: &str) {
    let mut rig = Rig::with_stream();
    rig.store("s.x", "m");
    fail(&rig, code, is_journal);
    for _ in 0..2 {
        let refused = rig.ask("s.x", "m");
        assert!(
            error_of(&refused) == Some(10_077) && description(&refused).contains(advice),
            "{refused}"
        );
    }
    assert!(rig.log.contains(advice), "{:#?}", rig.log.since(0));
    assert_eq!(rig.subject_of(1).as_deref(), Ok("s.x"), "reading goes on");
    // What the disk does from now on does not matter: what it holds is not known any more.
    rig.faults.clear();
    assert_eq!(error_of(&rig.ask("s.x", "m")), Some(10_077));
    rig.stop();
    let mut rig = rig.started_again();
    assert_eq!(rig.store("s.x", "m"), 2, "what was refused has no sequence");
}

#[test]
fn a_journal_that_cannot_be_written_ends_acknowledging_until_a_restart() {
    check_journal(EIO, "check the disk");
    check_journal(EACCES, "give the server's user read and write access");
    check_journal(EROFS, "mount the file system writable");
}

/// Files of streams, or the manifest, cannot be written: the journal keeps what they lack. `said` is in the log.
#[track_caller]
fn check_checkpoints(code: i32, concerns: fn(&Path) -> bool, said: &str) {
    let mut rig = Rig::with_stream();
    fail(&rig, code, concerns);
    let stored: Vec<u64> = (0..50).map(|_| rig.store("s.x", [b'm'; 4_096])).collect();
    wait_until("a checkpoint that fails", || rig.log.contains(said));
    assert_eq!(rig.subject_of(50).as_deref(), Ok("s.x"));
    let mut killed = rig.killed();
    assert_eq!(killed.state()["messages"], stored.len());
    rig.faults.clear();
    rig.stop();
    assert_eq!(rig.started_again().state()["messages"], stored.len());
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "seg")
}

fn is_manifest(path: &Path) -> bool {
    path.to_string_lossy().contains("manifest.")
}

#[test]
fn what_a_segment_does_not_take_stays_in_the_journal() {
    for code in [EIO, EACCES, EROFS] {
        check_checkpoints(code, is_segment, "stream S stays in the journal for now");
    }
}

#[test]
fn without_a_manifest_the_journal_keeps_everything() {
    for code in [EIO, EACCES, EROFS] {
        check_checkpoints(code, is_manifest, "a checkpoint does not count");
    }
}

#[test]
fn a_stream_whose_folder_cannot_be_made_is_refused_and_others_take_messages() {
    let mut rig = Rig::with_stream();
    fail(&rig, EROFS, |path| {
        path.to_string_lossy().contains("streams/T")
    });
    let refused = rig.ask("$JS.API.STREAM.CREATE.T", stream_config("T", "t.>", "file"));
    assert!(
        error_of(&refused) == Some(10_077)
            && description(&refused).contains("mount the file system writable"),
        "{refused}"
    );
    rig.store("s.x", "m");
    rig.faults.clear();
    let created = rig.ask("$JS.API.STREAM.CREATE.T", stream_config("T", "t.>", "file"));
    assert_eq!(error_of(&created), None, "{created}");
}
