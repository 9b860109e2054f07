//! Stores written by earlier versions are read as they were: `tests/fixtures` holds a small one of each format.
//!
//! A fixture is a store as a kill leaves it, with every kind of file, and `expected.json`: what its server answered. `cargo xtask fixture`
//! writes the one of this version, `unreleased`; a release gives it the name of its version, and from then on it stays.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use everjet_api::{LEVEL_KEY, VERSION_KEY};
use everjet_jetstream::{Finding, OsDisk, Severity, check_store};
use everjet_routing::{Message, Origin, Turn};
use everjet_store::Disk;
use serde_json::{Value, json};

use crate::check::{copied, options};
use crate::damage::{consume, files};
use crate::disk::Op;
use crate::rig::{Rig, consumer_config, stream_config, wait_until};
use crate::seams::error_of;

/// No fixture takes more room.
const BYTES_MAX: u64 = 200_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Everything that clients can see of the streams: counters, messages, consumers.
fn read(rig: &mut Rig) -> Value {
    let mut streams = json!({});
    for name in ["S", "T"] {
        let mut info = rig.ask(&format!("$JS.API.STREAM.INFO.{name}"), "");
        assert_eq!(error_of(&info), None, "{info}");
        // What this server says of itself is not stored.
        let metadata = info["config"]["metadata"].as_object_mut().unwrap();
        metadata.retain(|key, _| ![LEVEL_KEY, VERSION_KEY].contains(&key.as_str()));
        let last = info["state"]["last_seq"].as_u64().unwrap();
        let messages: Vec<Value> = (1..=last)
            .map(|sequence| {
                let request = json!({ "seq": sequence }).to_string();
                let subject = format!("$JS.API.STREAM.MSG.GET.{name}");
                rig.ask(&subject, request)["message"].take()
            })
            .collect();
        let consumers = rig.ask(&format!("$JS.API.CONSUMER.LIST.{name}"), "");
        let consumers: Vec<Value> = consumers["consumers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|info| {
                let parts = [
                    "name",
                    "config",
                    "ack_floor",
                    "num_ack_pending",
                    "num_pending",
                ];
                let sequence = info["ack_floor"]["stream_seq"].clone();
                let mut kept: serde_json::Map<String, Value> = parts
                    .iter()
                    .map(|part| ((*part).to_owned(), info[part].clone()))
                    .collect();
                kept.insert("ack_floor".to_owned(), sequence);
                Value::Object(kept)
            })
            .collect();
        streams[name] = json!({
            "config": info["config"],
            "created": info["created"],
            "state": info["state"],
            "messages": messages,
            "consumers": consumers,
        });
    }
    streams
}

#[test]
fn stores_of_earlier_versions_are_read_as_they_were() {
    let mut fixtures = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let fixture = entry.unwrap().path();
        let expected = fs::read(fixture.join("expected.json")).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        let copy = copied(&fixture);
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let report = check_store(&disk, copy.path(), &options()).unwrap();
        let is_damage = |finding: &&Finding| finding.severity > Severity::Note;
        let damage: Vec<_> = report.findings.iter().filter(is_damage).collect();
        assert!(damage.is_empty(), "{}: {damage:?}", fixture.display());
        let mut rig = Rig::on(copy);
        assert_eq!(read(&mut rig), expected, "{}", fixture.display());
        assert_eq!(rig.log.errors(), Vec::<String>::new());
        let last = expected["S"]["state"]["last_seq"].as_u64().unwrap();
        assert_eq!(rig.store("s.x", "it goes on"), last + 1);
        rig.stop();
        assert_eq!(rig.started_again().state()["last_seq"], last + 1);
        fixtures += 1;
    }
    assert!(fixtures > 0);
}

/// Stores a message with headers.
fn publish_with_headers(rig: &Rig, subject: &str, headers: &str, payload: &str) {
    let mut turn = Turn::new(0);
    let message = Message {
        subject: subject.as_bytes(),
        reply: b"",
        headers: headers.as_bytes(),
        payload: payload.as_bytes(),
    };
    turn.publish(&rig.account, Origin::SERVER, &message);
    turn.flush();
}

/// A store with sealed, rewritten and open segments, indexes, consumers, removals, and records that only the journal has.
fn filled() -> Rig {
    let mut rig = Rig::with_tiny_segments();
    let other = rig.ask("$JS.API.STREAM.CREATE.T", stream_config("T", "t.>", "file"));
    assert_eq!(error_of(&other), None, "{other}");
    for number in 0..120 {
        let subject = if number % 8 == 0 { "s.keep" } else { "s.drop" };
        rig.store(subject, format!("{number:03}{}", "y".repeat(200)));
    }
    let purged = rig.ask(
        "$JS.API.STREAM.PURGE.S",
        json!({ "filter": "s.drop" }).to_string(),
    );
    assert_eq!(purged["purged"], 105, "{purged}");
    for number in 0..60 {
        rig.store(
            &format!("s.{}", number % 5),
            format!("{number:03}{}", "x".repeat(100)),
        );
    }
    publish_with_headers(
        &rig,
        "s.h",
        "NATS/1.0\r\nNats-Msg-Id: one\r\n\r\n",
        "with headers",
    );
    rig.store("t.x", "sound");
    let created = rig.ask(
        "$JS.API.CONSUMER.CREATE.S.c",
        consumer_config("c", "explicit"),
    );
    assert_eq!(error_of(&created), None, "{created}");
    consume(&mut rig);
    for sequence in [150, 152, 153] {
        let request = json!({ "seq": sequence, "no_erase": true }).to_string();
        let deleted = rig.ask("$JS.API.STREAM.MSG.DELETE.S", request);
        assert_eq!(deleted["success"], true, "{deleted}");
    }
    wait_until("every kind of file", || has_every_kind(rig.folder()));
    // From here on the journal has what no file has.
    rig.faults.set(|op, path| {
        let is_segment = path.extension().is_some_and(|kind| kind == "seg");
        if is_segment && matches!(op, Op::Write | Op::Create) {
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(())
    });
    for number in 0..5 {
        rig.store("s.late", format!("late {number}"));
    }
    rig
}

fn has_every_kind(folder: &Path) -> bool {
    let segments = files(folder, ".seg");
    // Until the manifest names what a segment was rewritten to, the old file is there, too.
    let is_rewritten = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        let (first, rest) = name.split_once('.').unwrap();
        rest != "seg" && !path.with_file_name(format!("{first}.seg")).exists()
    };
    segments.iter().any(is_rewritten)
        && segments.len() > 3
        && !files(folder, ".idx").is_empty()
        && !files(folder, ".state").is_empty()
}

#[test]
fn a_fixture_of_this_version_has_every_kind_of_file_and_reads_back() {
    write(tempfile::tempdir().unwrap().path());
}

#[test]
#[ignore = "writes the fixture of this version: cargo xtask fixture"]
fn write_the_fixture_of_this_version() {
    let fixture = folder().join("unreleased");
    if fixture.exists() {
        fs::remove_dir_all(&fixture).unwrap();
    }
    write(&fixture);
}

fn write(fixture: &Path) {
    let mut rig = filled();
    let expected = read(&mut rig);
    let killed = tempfile::tempdir().unwrap();
    rig.faults.copy_as_killed(rig.folder(), killed.path());
    let mut bytes = 0;
    for path in files(killed.path(), "") {
        // Files in preparation hold nothing.
        let name = path.to_string_lossy();
        if name.ends_with(".spare") || name.ends_with(".new") {
            continue;
        }
        let target = fixture.join(path.strip_prefix(killed.path()).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        bytes += fs::copy(&path, target).unwrap();
    }
    assert!(bytes <= BYTES_MAX, "{bytes} bytes");
    let text = serde_json::to_string_pretty(&expected).unwrap() + "\n";
    fs::write(fixture.join("expected.json"), text).unwrap();
    let mut again = Rig::on(copied(fixture));
    assert_eq!(read(&mut again), expected);
}
