//! Checking a store that nobody serves: whatever is damaged is said, nothing is written, and a repaired copy serves the rest.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use everjet_jetstream::{
    CheckReport, Finding, OsDisk, RepairReport, Severity, StorageOptions, check_store, repair_store,
};
use everjet_store::Disk;
use serde_json::json;
use tempfile::TempDir;

use crate::compaction;
use crate::damage::{consume, files, rot};
use crate::disk::Op;
use crate::rig::{JOURNAL_FILE_BYTES, Rig, consumer_config, stream_config, wait_until};
use crate::seams::error_of;

fn disk() -> Arc<dyn Disk> {
    Arc::new(OsDisk)
}

pub(crate) fn options() -> StorageOptions {
    let mut options = StorageOptions::default();
    options.journal.file_bytes = JOURNAL_FILE_BYTES;
    options.journal.hurried_file_bytes = JOURNAL_FILE_BYTES;
    options
}

/// Every file below `folder` with what it holds.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = files(folder, "").into_iter();
    paths
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

/// Checks, and sees to it that nothing was changed.
#[track_caller]
fn check(folder: &Path) -> CheckReport {
    let before = contents(folder);
    let report = check_store(&disk(), folder, &options()).unwrap();
    assert_eq!(contents(folder), before, "a check writes nothing");
    report
}

/// Repairs into a copy, sees to it that nothing else was changed and that the copy is sound, and serves the copy.
#[track_caller]
fn repair(folder: &Path) -> (RepairReport, Rig) {
    let before = contents(folder);
    let copy = tempfile::tempdir().unwrap();
    let report = repair_store(&disk(), folder, copy.path(), &options()).unwrap();
    assert_eq!(contents(folder), before, "the original is not written");
    let checked = check(copy.path());
    assert_eq!(checked.findings, Vec::<Finding>::new(), "the copy is sound");
    (report, Rig::on(copy))
}

/// 60 messages in several segments, number 7 of them removed, and a consumer that acknowledged one; stopped.
fn stopped() -> Rig {
    let mut rig = Rig::with_tiny_segments();
    for number in 1..=60 {
        rig.store("s.x", format!("marked-{number:03}-{}", "x".repeat(150)));
    }
    let created = rig.ask(
        "$JS.API.CONSUMER.CREATE.S.c",
        consumer_config("c", "explicit"),
    );
    assert_eq!(error_of(&created), None, "{created}");
    consume(&mut rig);
    let deleted = rig.ask(
        "$JS.API.STREAM.MSG.DELETE.S",
        r#"{"seq":7,"no_erase":true}"#,
    );
    assert_eq!(deleted["success"], true, "{deleted}");
    rig.stop();
    assert!(files(rig.folder(), ".seg").len() > 2);
    rig
}

/// A copy of a folder.
pub(crate) fn copied(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for (path, bytes) in contents(folder) {
        let target = copy.path().join(path.strip_prefix(folder).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, bytes).unwrap();
    }
    copy
}

#[test]
fn a_sound_store_is_said_to_be_sound() {
    let rig = stopped();
    let report = check(rig.folder());
    assert!(report.is_sound());
    assert_eq!(report.findings, Vec::<Finding>::new());
    let stream = &report.streams[0];
    assert_eq!((stream.messages, stream.last_sequence.0), (59, 60));
    assert_eq!((stream.consumers, stream.lost.len()), (1, 0));
    let (repaired, mut copy) = repair(rig.folder());
    assert_eq!(
        (repaired.streams[0].messages, repaired.streams[0].unreadable),
        (59, 0)
    );
    assert_eq!(copy.state()["messages"], 59);
    assert_eq!(copy.store("s.x", "next"), 61);
    let info = copy.ask("$JS.API.CONSUMER.INFO.S.c", "");
    assert_eq!(info["ack_floor"]["stream_seq"], 1, "{info}");
}

#[test]
fn a_store_that_is_served_or_missing_cannot_be_checked() {
    let rig = Rig::with_stream();
    let error = check_store(&disk(), rig.folder(), &options()).unwrap_err();
    assert!(
        error.to_string().contains("in use by another server"),
        "{error}"
    );
    let empty = tempfile::tempdir().unwrap();
    let error = check_store(&disk(), empty.path(), &options()).unwrap_err();
    assert!(error.to_string().contains("there is no store"), "{error}");
    assert_eq!(contents(empty.path()).len(), 0);
}

#[test]
fn a_flipped_bit_in_any_file_is_said_and_costs_at_most_one_message() {
    let rig = stopped();
    let journal = rig.folder().join("jetstream/journal");
    let mut flips = 0;
    for (path, bytes) in contents(rig.folder()) {
        // All that the journal has is in the other files; the lock is empty.
        if path.starts_with(&journal) {
            continue;
        }
        let step = (bytes.len() / 40).max(1);
        for at in (0..bytes.len()).step_by(step) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(&path, &damaged).unwrap();
            let report = check_store(&disk(), rig.folder(), &options()).unwrap();
            let place = format!("byte {at} of {}", path.display());
            assert!(!report.is_sound(), "{place}");
            assert!(
                report.findings.iter().any(|finding| finding.file == path),
                "{place}"
            );
            assert!(report.streams[0].messages >= 58, "{place}: {report:?}");
            assert_eq!(report.streams[0].last_sequence.0, 60, "{place}");
            flips += 1;
        }
        fs::write(&path, &bytes).unwrap();
    }
    assert!(flips > 200, "{flips}");
}

#[test]
fn damaged_messages_are_named_and_stay_gaps_in_the_copy() {
    let rig = stopped();
    rot(rig.folder(), ".seg", "marked-020");
    // That one was removed: it is nobody's loss.
    rot(rig.folder(), ".seg", "marked-007");
    let report = check(rig.folder());
    let lost: Vec<_> = report
        .findings
        .iter()
        .filter_map(|finding| finding.sequences)
        .collect();
    assert_eq!(lost.len(), 1, "{report:?}");
    assert_eq!((lost[0].0.0, lost[0].1.0), (20, 20));
    assert_eq!(report.findings[0].severity, Severity::Loss);
    assert_eq!(report.findings[1].severity, Severity::Repairable);
    let (repaired, mut copy) = repair(rig.folder());
    assert_eq!(repaired.streams[0].messages, 58);
    assert_eq!(repaired.streams[0].unreadable, 1);
    let state = copy.state();
    assert_eq!(
        (&state["messages"], &state["lost"]),
        (&json!(58), &json!(null))
    );
    assert_eq!(copy.subject_of(19).as_deref(), Ok("s.x"));
    assert_eq!(
        copy.subject_of(20),
        Err(10_037),
        "there is none in the copy"
    );
    assert_eq!(copy.store("s.x", "next"), 61);
}

#[test]
fn files_that_are_gone_are_named_and_the_rest_comes_over() {
    let rig = stopped();
    let all = |folder: &Path| files(folder, "");
    for path in all(rig.folder()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if ["lock", "wal", "spare", "ended"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            continue;
        }
        let copy = copied(rig.folder());
        let gone = copy.path().join(path.strip_prefix(rig.folder()).unwrap());
        fs::remove_file(&gone).unwrap();
        let report = check(copy.path());
        let said = report.findings.iter().any(|finding| finding.file == gone);
        // An index is derived: without one nothing is wrong.
        assert_eq!(said, !name.ends_with("idx"), "{name}: {report:?}");
        let (repaired, mut served) = repair(copy.path());
        let messages = repaired.streams[0].messages;
        assert_eq!(served.state()["messages"], messages, "{name}");
        let expected = if name.ends_with("seg") { 59 - 25 } else { 59 };
        assert!(messages >= expected, "{name}: {messages} messages");
        assert_eq!(served.store("s.x", "next"), 61, "{name}");
    }
}

#[test]
fn without_any_manifest_the_streams_come_over_from_their_folders() {
    let rig = stopped();
    for slot in files(rig.folder(), "manifest.a")
        .iter()
        .chain(&files(rig.folder(), "manifest.b"))
    {
        fs::write(slot, "nonsense").unwrap();
    }
    let report = check(rig.folder());
    assert!(
        report.findings[0].what.contains("no usable manifest"),
        "{report:?}"
    );
    assert_eq!(report.streams[0].messages, 59);
    let (repaired, mut copy) = repair(rig.folder());
    assert_eq!(
        (repaired.streams[0].messages, repaired.streams[0].consumers),
        (59, 1)
    );
    assert_eq!(copy.state()["messages"], 59);
    assert!(copy.store("s.x", "next") > 60);
    let info = copy.ask("$JS.API.CONSUMER.INFO.S.c", "");
    assert_eq!(info["ack_floor"]["stream_seq"], 1, "{info}");
}

#[test]
fn behind_a_damaged_journal_record_everything_readable_comes_over() {
    let mut rig = Rig::new();
    // No checkpoint takes anything: all there is is in the journal.
    rig.faults.set(|op, path| match path.extension() {
        Some(kind) if kind == "seg" && op == Op::Create => Err(ErrorKind::Other.into()),
        _ => Ok(()),
    });
    rig.create_stream();
    let other = rig.ask("$JS.API.STREAM.CREATE.T", stream_config("T", "t.>", "file"));
    assert_eq!(error_of(&other), None, "{other}");
    for number in 1..=3 {
        rig.store("s.x", format!("marked-{number}"));
    }
    rig.store("t.x", "sound");
    let copy = tempfile::tempdir().unwrap();
    rig.faults.copy_as_killed(rig.folder(), copy.path());
    rot(copy.path(), ".wal", "marked-2");
    let report = check(copy.path());
    let offline = report.findings.iter().find(|finding| finding.stream == "S");
    assert!(offline.unwrap().what.contains("is missing"), "{report:?}");
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.what == "the journal is damaged")
    );
    assert_eq!(
        report.streams.len(),
        1,
        "only the other one would be served"
    );
    let (repaired, mut served) = repair(copy.path());
    assert_eq!(repaired.left_out, Vec::new());
    assert_eq!(served.stream_names(), json!(["S", "T"]));
    let state = served.state();
    assert_eq!(
        (&state["messages"], &state["last_seq"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(served.subject_of(2), Err(10_037));
    assert_eq!(served.store("s.x", "next"), 4);
    assert_eq!(served.store("t.x", "next"), 2);
}

#[test]
fn a_copy_is_made_into_a_new_directory_only() {
    let rig = stopped();
    let copy = copied(rig.folder());
    let error = repair_store(&disk(), rig.folder(), copy.path(), &options()).unwrap_err();
    assert!(error.to_string().contains("is not empty"), "{error}");
    let error = repair_store(&disk(), rig.folder(), rig.folder(), &options()).unwrap_err();
    assert!(error.to_string().contains("is not empty"), "{error}");
}

#[test]
fn files_that_nobody_knows_are_notes() {
    let rig = stopped();
    let root = rig.folder().join("jetstream");
    fs::write(root.join("notes.txt"), "mine").unwrap();
    fs::create_dir_all(root.join("$G/streams/OLD")).unwrap();
    fs::write(
        root.join("$G/streams/S/00000000000000000999.seg"),
        "left over",
    )
    .unwrap();
    let report = check(rig.folder());
    assert!(report.is_sound(), "{report:?}");
    let mut named: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            finding
                .file
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    named.sort();
    assert_eq!(named, ["00000000000000000999.seg", "OLD", "notes.txt"]);
}

#[test]
fn a_store_whose_segments_were_rewritten_is_sound_and_comes_over_without_a_manifest() {
    let mut rig = compaction::filled();
    wait_until("segments", || {
        compaction::segments(rig.folder()).0 > 700_000
    });
    compaction::purge(&mut rig);
    wait_until("the space", || {
        compaction::segments(rig.folder()).0 < 150_000
    });
    let (messages, last) = (
        rig.state()["messages"].clone(),
        rig.state()["last_seq"].clone(),
    );
    rig.stop();
    assert!(
        compaction::segments(rig.folder()).1,
        "a segment was rewritten"
    );
    let report = check(rig.folder());
    assert_eq!(report.findings, Vec::<Finding>::new());
    assert_eq!(json!(report.streams[0].messages), messages);
    for ending in ["manifest.a", "manifest.b"] {
        fs::write(&files(rig.folder(), ending)[0], "nonsense").unwrap();
    }
    let (repaired, mut copy) = repair(rig.folder());
    assert_eq!(json!(repaired.streams[0].messages), messages);
    assert_eq!(copy.state()["messages"], messages);
    assert_eq!(copy.state()["last_seq"], last);
}

#[test]
fn a_damaged_checkpoint_file_is_said_and_the_copy_does_without() {
    let mut rig = Rig::with_checkpoint_file();
    for _ in 0..200 {
        rig.store("s.x", [b'x'; 50]);
    }
    rig.stop();
    let path = files(rig.folder(), "checkpoint.bin").remove(0);
    assert_eq!(check(rig.folder()).findings, []);
    let whole = fs::read(&path).unwrap();
    let check_with = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let report = check(rig.folder());
        let [finding] = &report.findings[..] else {
            panic!("{:?}", report.findings);
        };
        assert_eq!(
            (&finding.file, finding.severity),
            (&path, Severity::Repairable)
        );
        assert!(finding.what.contains("fails its check"), "{finding}");
        assert_eq!(report.streams[0].messages, 200);
        assert_eq!(fs::read(&path).unwrap(), bytes, "it is only read");
    };
    for at in (0..whole.len()).step_by(whole.len() / 7) {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        check_with(&flipped);
    }
    check_with(&whole[..whole.len() - 1]);
    check_with(b"");
    let (repaired, mut copy) = repair(rig.folder());
    assert_eq!(repaired.streams[0].messages, 200);
    assert_eq!(copy.state()["messages"], 200);
}
