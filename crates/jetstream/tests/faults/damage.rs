//! Damage costs what is damaged and nothing else, and deletions and odd requests are no damage.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use everjet_jetstream::{HealthStatus, OsDisk};
use everjet_store::ManifestStore;
use serde_json::json;
use tempfile::TempDir;

use crate::client::{Client, PULL};
use crate::rig::{Rig, consumer_config, eventually, stream_config, wait_until};
use crate::seams::error_of;

/// The files below `folder` whose names end like this.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Whether the manifest below `folder` has a stream with a consumer. Read from a copy: reading puts a damaged slot aside, and one that
/// is just being written looks like one.
fn names_a_consumer(folder: &Path) -> bool {
    let copy = TempDir::new().unwrap();
    for name in ["manifest.a", "manifest.b"] {
        for slot in files(folder, name) {
            fs::copy(slot, copy.path().join(name)).unwrap();
        }
    }
    let Ok((_, Some(manifest))) = ManifestStore::open(Arc::new(OsDisk), copy.path()) else {
        return false;
    };
    let mut streams = manifest.streams.iter();
    streams.any(|stream| !stream.consumers.is_empty())
}

/// A rig with the stream `S`, a message, the durable consumer `c`, and a checkpoint of all that.
fn with_checkpoint() -> Rig {
    let mut rig = Rig::with_stream();
    rig.store("s.x", "first");
    let created = rig.ask(
        "$JS.API.CONSUMER.CREATE.S.c",
        consumer_config("c", "explicit"),
    );
    assert_eq!(error_of(&created), None, "{created}");
    // The consumer's file alone is not enough: it counts from when the manifest names it.
    wait_until("a checkpoint", || names_a_consumer(rig.folder()));
    rig
}

/// Has a message delivered and its acknowledgement confirmed.
pub(crate) fn consume(rig: &mut Rig) {
    let client = Client::of(rig);
    rig.request_for("$JS.API.CONSUMER.MSG.NEXT.S.c", PULL);
    let ack = eventually("a delivery", || client.acks().pop());
    rig.ask(&ack, "");
    client.leave(rig);
}

#[test]
fn a_stream_deleted_just_before_a_kill_is_gone_and_the_others_are_served() {
    let mut rig = with_checkpoint();
    rig.store("s.x", "second");
    consume(&mut rig);
    let other = rig.ask("$JS.API.STREAM.CREATE.T", stream_config("T", "t.>", "file"));
    assert_eq!(error_of(&other), None, "{other}");
    let deleted = rig.ask("$JS.API.STREAM.DELETE.S", "");
    assert_eq!(deleted["success"], true, "{deleted}");

    let mut rig = rig.killed();
    assert_eq!(rig.stream_names(), json!(["T"]));
    assert_eq!(rig.log.errors(), Vec::<String>::new());
    // Nor does it come back once a checkpoint has let the record of its deletion go.
    rig.store("t.x", "m");
    rig.stop();
    let mut rig = rig.started_again();
    assert_eq!(rig.stream_names(), json!(["T"]));
    assert_eq!(rig.log.errors(), Vec::<String>::new());
    rig.create_stream();
    assert_eq!(rig.store("s.x", "new"), 1);
}

#[test]
fn a_purge_up_to_an_absurd_sequence_leaves_a_stream_that_works_after_a_kill() {
    let mut rig = with_checkpoint();
    let purged = rig.ask(
        "$JS.API.STREAM.PURGE.S",
        json!({ "seq": 1_u64 << 61 }).to_string(),
    );
    assert_eq!(purged["success"], true, "{purged}");
    let sequence = rig.store("s.x", "after");
    rig.store("s.x", "and more");
    consume(&mut rig);

    let mut rig = rig.killed();
    assert_eq!(rig.log.errors(), Vec::<String>::new());
    assert_eq!(rig.state()["first_seq"], sequence);
    assert_eq!(rig.store("s.x", "later"), sequence + 2);
}

#[test]
fn a_damaged_consumer_file_costs_the_consumer_and_not_the_stream() {
    let mut rig = with_checkpoint();
    rig.store("s.x", "second");
    // Its records in the journal are about a consumer that cannot be had any more.
    consume(&mut rig);

    let mut rig = rig.killed_with(|folder| {
        for path in files(folder, ".state") {
            fs::write(path, b"not a consumer").unwrap();
        }
    });
    assert_eq!(rig.state()["messages"], 2);
    assert_eq!(rig.state()["consumer_count"], 0);
    let errors = rig.log.errors();
    assert!(
        errors
            .iter()
            .any(|line| line.contains("consumer c of stream S is lost")),
        "{errors:?}"
    );
    assert_eq!(rig.store("s.x", "third"), 3);
}

#[test]
fn a_damaged_record_takes_its_stream_offline_until_it_is_deleted() {
    let mut rig = with_checkpoint();
    let other = rig.ask("$JS.API.STREAM.CREATE.T", stream_config("T", "t.>", "file"));
    assert_eq!(error_of(&other), None, "{other}");
    // In one go, so that no checkpoint takes some of it.
    for number in 0..3 {
        rig.store("s.x", format!("marked-{number}"));
    }
    rig.store("t.x", "sound");

    let mut rig = rig.killed_with(|folder| {
        let mut hits = 0;
        for path in files(folder, ".wal") {
            let mut bytes = fs::read(&path).unwrap();
            if let Some(at) = bytes.windows(8).position(|window| window == b"marked-1") {
                bytes[at] ^= 1;
                fs::write(&path, bytes).unwrap();
                hits += 1;
            }
        }
        assert_eq!(hits, 1, "the record is in the journal");
    });
    let info = rig.ask("$JS.API.STREAM.INFO.S", "");
    assert_eq!(error_of(&info), Some(10_194), "{info}");
    let created = rig.ask("$JS.API.STREAM.CREATE.S", stream_config("S", "s.>", "file"));
    assert_eq!(
        error_of(&created),
        Some(10_194),
        "nothing is put over it: {created}"
    );
    let errors = rig.log.errors();
    assert!(
        errors
            .iter()
            .any(|line| line.contains("stream S is offline")),
        "{errors:?}"
    );
    let list = rig.ask("$JS.API.STREAM.LIST", "");
    let why = list["offline"]["S"].as_str().unwrap_or_default();
    assert!(why.contains("is missing"), "{list}");
    assert_eq!(rig.stream_names(), json!(["S", "T"]));
    let health = rig.health();
    assert_eq!(health.status, HealthStatus::Degraded);
    let reason = |text| health.reasons.iter().any(|reason| reason.contains(text));
    assert!(
        reason("stream S is offline") && reason("the journal is damaged"),
        "{health:?}"
    );
    assert_eq!(rig.store("t.x", "next"), 2);

    // Kept over further starts, until somebody decides.
    let mut rig = rig.killed();
    assert_eq!(
        error_of(&rig.ask("$JS.API.STREAM.INFO.S", "")),
        Some(10_194)
    );
    let deleted = rig.ask("$JS.API.STREAM.DELETE.S", "");
    assert_eq!(deleted["success"], true, "{deleted}");
    rig.create_stream();
    assert_eq!(rig.store("s.x", "new"), 1);
    let mut rig = rig.killed();
    assert_eq!(rig.stream_names(), json!(["S", "T"]));
}

/// Flips a bit of the only place below `folder` where files that end in `ending` hold `text`.
pub(crate) fn rot(folder: &Path, ending: &str, text: &str) {
    let mut hits = 0;
    for path in files(folder, ending) {
        let mut bytes = fs::read(&path).unwrap();
        let found = bytes
            .windows(text.len())
            .position(|window| window == text.as_bytes());
        if let Some(at) = found {
            bytes[at] ^= 1;
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            // In place: whoever reads meanwhile must not see a shorter file.
            file.write_all_at(&bytes[at..=at], at as u64).unwrap();
            hits += 1;
        }
    }
    assert_eq!(hits, 1, "{text} is in one file");
}

#[test]
fn a_message_that_rotted_is_said_to_be_damaged_everywhere_until_it_is_removed() {
    let mut rig = Rig::with_stream();
    for number in 1..=3 {
        rig.store("s.x", format!("marked-{number}"));
    }
    let created = rig.ask(
        "$JS.API.CONSUMER.CREATE.S.c",
        consumer_config("c", "explicit"),
    );
    assert_eq!(error_of(&created), None, "{created}");
    assert_eq!(rig.health().status, HealthStatus::Ok);
    rig.stop();
    // The index file still tells where everything is: only a look at the message shows it.
    rot(rig.folder(), ".seg", "marked-2");
    let mut rig = rig.started_again();
    let answer = rig.ask("$JS.API.STREAM.MSG.GET.S", r#"{"seq":2}"#);
    let description = answer["error"]["description"].as_str().unwrap_or_default();
    assert!(description.contains("message 2 is damaged in"), "{answer}");
    assert_eq!(rig.subject_of(1).as_deref(), Ok("s.x"));
    assert_eq!(rig.subject_of(2), Err(10_051), "said again, reported once");

    assert_eq!(rig.state()["lost"]["msgs"], json!([2]));
    let health = rig.health();
    assert_eq!(health.status, HealthStatus::Degraded);
    assert!(
        health.reasons[0].contains("sequence 2 cannot be read"),
        "{health:?}"
    );
    let advisories = rig.inbox.all("$JS.EVENT.ADVISORY.STREAM.DAMAGED.S");
    assert_eq!(advisories.len(), 1, "{advisories:?}");
    assert_eq!(
        advisories[0]["type"],
        "io.everjet.jetstream.advisory.v1.stream_damaged"
    );
    assert_eq!(advisories[0]["stream"], "S");
    assert_eq!(advisories[0]["sequences"], json!([2, 2]));
    let said = rig.log.errors();
    assert_eq!(said.len(), 1, "{said:?}");

    let deleted = rig.ask(
        "$JS.API.STREAM.MSG.DELETE.S",
        r#"{"seq":2,"no_erase":true}"#,
    );
    assert_eq!(deleted["success"], true, "{deleted}");
    assert_eq!(rig.state()["lost"], json!(null));
    assert_eq!(rig.health().status, HealthStatus::Ok);
}

#[test]
fn a_consumer_passes_over_a_message_that_rotted_and_reports_it() {
    let mut rig = Rig::with_stream();
    for number in 1..=3 {
        rig.store("s.x", format!("marked-{number}"));
    }
    let created = rig.ask(
        "$JS.API.CONSUMER.CREATE.S.c",
        consumer_config("c", "explicit"),
    );
    assert_eq!(error_of(&created), None, "{created}");
    rig.stop();
    rot(rig.folder(), ".seg", "marked-1");
    let mut rig = rig.started_again();
    // The first one there is to get is the second.
    consume(&mut rig);
    let info = rig.ask("$JS.API.CONSUMER.INFO.S.c", "");
    assert_eq!(info["ack_floor"]["stream_seq"], 2, "{info}");
    assert_eq!(info["num_pending"], 1, "{info}");
    assert_eq!(rig.health().status, HealthStatus::Degraded);
    assert!(rig.log.errors()[0].contains("sequence 1 cannot be read"));
}

#[test]
fn damage_found_by_the_start_is_in_health_and_stream_info() {
    let mut rig = Rig::with_stream();
    for number in 1..=3 {
        rig.store("s.x", format!("marked-{number}"));
    }
    rig.stop();
    rot(rig.folder(), ".seg", "marked-2");
    for index in files(rig.folder(), ".idx") {
        fs::remove_file(index).unwrap();
    }
    let mut rig = rig.started_again();
    assert_eq!(rig.state()["lost"]["msgs"], json!([2]));
    let health = rig.health();
    assert_eq!(health.status, HealthStatus::Degraded);
    assert_eq!(health.reasons.len(), 1, "{health:?}");
    // With the stream goes what was lost of it.
    let deleted = rig.ask("$JS.API.STREAM.DELETE.S", "");
    assert_eq!(deleted["success"], true, "{deleted}");
    assert_eq!(rig.health().status, HealthStatus::Ok);
}

#[test]
fn the_scrub_finds_rot_before_anybody_reads_the_message() {
    let mut rig = Rig::scrubbing();
    for number in 0..100 {
        rig.store("s.x", format!("marked-{number:03}-{}", "x".repeat(90)));
    }
    wait_until("a cycle over several segments", || rig.scrub().segments > 2);
    assert_eq!(rig.health().status, HealthStatus::Ok);
    // Rot, while it is served.
    rot(rig.folder(), ".seg", "marked-010");
    wait_until("damage", || rig.health().status == HealthStatus::Degraded);
    assert_eq!(rig.state()["lost"]["msgs"], json!([11]));
    let subject = "$JS.EVENT.ADVISORY.STREAM.DAMAGED.S";
    assert_eq!(rig.inbox.all(subject).len(), 1);
    // Cycle after cycle finds the same.
    let cycles = rig.scrub().cycles;
    wait_until("another cycle", || rig.scrub().cycles > cycles + 1);
    assert_eq!(rig.inbox.all(subject).len(), 1);
    assert_eq!(rig.log.errors().len(), 1);
}
