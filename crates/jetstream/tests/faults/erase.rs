//! Secure erase: when a deletion without `no_erase` is answered, no file of the store holds the message any more.

use std::io;
use std::path::Path;

use serde_json::json;

use crate::disk::Op;
use crate::rig::{Rig, wait_until};
use crate::seams::error_of;

const SECRET: &str = "nobody may read this any more";

/// Files below `folder` that hold the secret.
fn holders(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(holders(&path));
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes
                .windows(SECRET.len())
                .any(|bytes| bytes == SECRET.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

fn erase(rig: &mut Rig, sequence: u64) -> serde_json::Value {
    let request = json!({ "seq": sequence }).to_string();
    rig.ask("$JS.API.STREAM.MSG.DELETE.S", request)
}

#[test]
fn an_erased_message_is_in_no_file_any_more() {
    let mut rig = Rig::with_stream();
    rig.store("s.x", "before");
    let sequence = rig.store("s.x", SECRET);
    rig.store("s.x", "after");
    assert!(!holders(rig.folder()).is_empty());
    let answer = erase(&mut rig, sequence);
    assert_eq!(answer["success"], true, "{answer}");
    assert_eq!(holders(rig.folder()), [] as [String; 0]);
    assert_eq!(rig.subject_of(sequence), Err(10037));
    assert_eq!(error_of(&erase(&mut rig, sequence)), Some(10043));
    let mut again = rig.killed();
    assert_eq!(again.state()["messages"], 2);
    assert_eq!(again.store("s.x", "goes on"), 4);
    assert!(!again.log.contains("damaged"));
}

#[test]
fn many_are_erased_together_and_after_a_checkpoint() {
    let mut rig = Rig::with_stream();
    for at in 0..200 {
        rig.publish("s.x", format!("{at} {SECRET}").as_bytes());
    }
    let last = rig.store("s.x", "last");
    let segment = rig
        .folder()
        .join("jetstream/$G/streams/S/00000000000000000001.seg");
    wait_until("a checkpoint", || segment.exists());
    let replies: Vec<String> = (1..last)
        .map(|sequence| {
            let request = json!({ "seq": sequence }).to_string();
            rig.send("$JS.API.STREAM.MSG.DELETE.S", request)
        })
        .collect();
    for reply in &replies {
        let answer = rig.answer(reply);
        assert_eq!(answer["success"], true, "{answer}");
    }
    assert_eq!(holders(rig.folder()), [] as [String; 0]);
    assert_eq!(rig.state()["messages"], 1);
}

#[test]
fn who_asks_is_told_when_a_file_cannot_be_overwritten() {
    let mut rig = Rig::with_stream();
    let sequence = rig.store("s.x", SECRET);
    rig.store("s.x", "after");
    let segment = rig
        .folder()
        .join("jetstream/$G/streams/S/00000000000000000001.seg");
    wait_until("a checkpoint", || segment.exists());
    rig.faults.set(|op, path| {
        if op == Op::Write && path.extension().is_some_and(|extension| extension == "seg") {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    });
    let answer = erase(&mut rig, sequence);
    assert_eq!(error_of(&answer), Some(10057), "{answer}");
    assert_eq!(
        rig.subject_of(sequence),
        Err(10037),
        "it is removed all the same"
    );
    rig.faults.clear();
    rig.store("s.x", "room");
    wait_until("the erasure", || {
        let bytes = std::fs::read(&segment).expect("it is there");
        !bytes
            .windows(SECRET.len())
            .any(|bytes| bytes == SECRET.as_bytes())
    });
}

#[test]
fn an_erasure_in_a_compressed_stream_costs_no_other_message() {
    let mut rig = Rig::new();
    let config = json!({
        "name": "S", "subjects": ["s.>"], "storage": "file", "compression": "s2",
    });
    let created = rig.ask("$JS.API.STREAM.CREATE.S", config.to_string());
    assert_eq!(error_of(&created), None, "{created}");
    rig.store("s.before", "before");
    let sequence = rig.store("s.x", SECRET);
    rig.store("s.after", "after");
    // It erases a message that is in a block, and of which the journal is the only other place.
    rig.stop();
    let mut rig = rig.started_again();
    rig.store("s.later", "later");
    let answer = erase(&mut rig, sequence);
    assert_eq!(answer["success"], true, "{answer}");
    let journal = rig.folder().join("jetstream/journal");
    assert!(journal.is_dir());
    assert_eq!(holders(&journal), [] as [String; 0]);
    let mut again = rig.killed();
    assert_eq!(again.subject_of(1).as_deref(), Ok("s.before"));
    assert_eq!(again.subject_of(sequence), Err(10037));
    assert_eq!(again.subject_of(3).as_deref(), Ok("s.after"));
    assert_eq!(again.subject_of(4).as_deref(), Ok("s.later"));
    assert_eq!(again.state()["messages"], 3);
    assert!(!again.log.contains("damaged"));
}
