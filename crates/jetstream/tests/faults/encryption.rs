//! A store with a key: nothing of it is in the open, it opens with its key only, and the key can be changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use everjet_jetstream::{Finding, OsDisk, Severity, StorageOptions, check_store, repair_store};
use everjet_store::{Cipher, Disk, Encryption, StoreKey};
use everjet_values::SeededEntropy;
use serde_json::json;
use tempfile::TempDir;

use crate::damage::files;
use crate::rig::{JOURNAL_FILE_BYTES, Rig, consumer_config, wait_until};
use crate::seams::error_of;

fn folder() -> Arc<TempDir> {
    Arc::new(TempDir::new().unwrap())
}

/// What the configuration says; every start has its own randomness, and every second one another cipher.
fn keys(key: &str, previous: Option<&str>) -> Option<Encryption> {
    static STARTS: AtomicU64 = AtomicU64::new(1);
    let seed = STARTS.fetch_add(1, Ordering::Relaxed);
    let cipher = if seed.is_multiple_of(2) {
        Cipher::Aes256Gcm
    } else {
        Cipher::ChaCha20Poly1305
    };
    Some(Encryption {
        key: StoreKey::new(key.as_bytes()),
        previous: previous.map(|key| StoreKey::new(key.as_bytes())),
        cipher,
        entropy: Arc::new(SeededEntropy::new(seed)),
    })
}

/// The stream `S` with words to look for, and the consumer `worker`.
fn create(rig: &mut Rig, compression: &str) {
    let config = json!({
        "name": "S", "subjects": ["s.>", "marker.subject"], "storage": "file",
        "description": "marker description", "compression": compression,
    });
    let created = rig.ask("$JS.API.STREAM.CREATE.S", config.to_string());
    assert_eq!(error_of(&created), None, "{created}");
    assert_eq!(created["config"]["compression"], compression);
    let consumer = rig.ask(
        "$JS.API.CONSUMER.CREATE.S.worker",
        consumer_config("worker", "explicit"),
    );
    assert_eq!(error_of(&consumer), None, "{consumer}");
}

fn check_messages(rig: &mut Rig, count: u64) {
    for sequence in 1..=count {
        let subject = rig.subject_of(sequence);
        assert_eq!(subject.as_deref(), Ok("marker.subject"), "{sequence}");
    }
    assert_eq!(rig.state()["messages"], count);
}

/// All files and what is in them.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    };
    files(folder, "").into_iter().map(read).collect()
}

fn check_nothing_shows(folder: &Path) {
    let mut kinds = Vec::new();
    for (path, bytes) in contents(folder) {
        for marker in ["marker", "worker", "subjects", "explicit"] {
            let shows = bytes
                .windows(marker.len())
                .any(|part| part == marker.as_bytes());
            assert!(!shows, "{marker} is in {}", path.display());
        }
        kinds.extend(path.extension().map(ToOwned::to_owned));
    }
    for kind in ["wal", "seg", "idx", "bin", "json", "state", "a", "b"] {
        assert!(
            kinds.iter().any(|found| found == kind),
            "no {kind}: {kinds:?}"
        );
    }
}

#[test]
fn nothing_is_in_the_open_and_everything_comes_back() {
    for compression in ["none", "s2"] {
        let folder = folder();
        let mut rig = Rig::with_key(&folder, keys("right", None)).unwrap();
        create(&mut rig, compression);
        for number in 0..300 {
            rig.store(
                "marker.subject",
                format!("marker payload {number} {:500}", ""),
            );
        }
        wait_until("a checkpoint", || !files(folder.path(), ".seg").is_empty());
        rig.stop();
        check_nothing_shows(folder.path());
        let mut rig = Rig::with_key(&folder, keys("right", None)).unwrap();
        check_messages(&mut rig, 300);
        let consumers = rig.ask("$JS.API.CONSUMER.NAMES.S", "");
        assert_eq!(consumers["consumers"], json!(["worker"]));
        assert_eq!(rig.log.errors(), [] as [String; 0]);
    }
}

#[test]
fn the_journal_of_a_killed_server_is_sealed_and_read() {
    let folder = folder();
    let mut rig = Rig::with_key(&folder, keys("right", None)).unwrap();
    create(&mut rig, "s2");
    for _ in 0..20 {
        rig.store("marker.subject", "marker");
    }
    let copy = Arc::new(TempDir::new().unwrap());
    rig.faults.copy_as_killed(folder.path(), copy.path());
    for (path, bytes) in contents(copy.path()) {
        let shows = bytes.windows(6).any(|part| part == b"marker");
        assert!(!shows, "{}", path.display());
    }
    let mut killed = Rig::with_key(&copy, keys("right", None)).unwrap();
    check_messages(&mut killed, 20);
}

#[test]
fn without_the_right_key_it_does_not_start_and_nothing_changes() {
    let folder = folder();
    let mut rig = Rig::with_key(&folder, keys("right", None)).unwrap();
    create(&mut rig, "none");
    rig.store("marker.subject", "m");
    rig.stop();
    let before = contents(folder.path());
    for (keys, why) in [
        (None, "is encrypted: set jetstream { key: … }"),
        (keys("wrong", None), "the configured key does not open"),
        (
            keys("wrong", Some("wrong too")),
            "the configured key does not open",
        ),
    ] {
        let error = Rig::with_key(&folder, keys).err().expect("it is locked");
        assert!(error.to_string().contains(why), "{error}");
        assert!(contents(folder.path()) == before, "{why}");
    }
    let mut rig = Rig::with_key(&folder, keys("right", None)).unwrap();
    check_messages(&mut rig, 1);
}

#[test]
fn after_one_start_with_both_keys_the_new_one_is_enough() {
    let folder = folder();
    let mut rig = Rig::with_key(&folder, keys("old", None)).unwrap();
    create(&mut rig, "s2");
    rig.store("marker.subject", "before");
    rig.stop();
    let mut rig = Rig::with_key(&folder, keys("new", Some("old"))).unwrap();
    assert!(rig.log.contains("the key of the store is changed"));
    rig.store("marker.subject", "meanwhile");
    rig.stop();
    let mut rig = Rig::with_key(&folder, keys("new", None)).unwrap();
    rig.store("marker.subject", "after");
    check_messages(&mut rig, 3);
    rig.stop();
    assert!(Rig::with_key(&folder, keys("old", None)).is_err());
}

#[test]
fn a_store_that_gets_a_key_keeps_what_it_has() {
    let folder = folder();
    let mut rig = Rig::with_key(&folder, None).unwrap();
    create(&mut rig, "none");
    for _ in 0..5 {
        rig.store("marker.subject", "before");
    }
    rig.stop();
    let mut rig = Rig::with_key(&folder, keys("right", None)).unwrap();
    assert!(rig.log.contains("is encrypted from now on"));
    check_messages(&mut rig, 5);
    rig.store("marker.subject", "sealed marker");
    rig.stop();
    for (path, bytes) in contents(folder.path()) {
        let shows = bytes.windows(13).any(|part| part == b"sealed marker");
        assert!(!shows, "{}", path.display());
    }
    let mut rig = Rig::with_key(&folder, keys("right", None)).unwrap();
    check_messages(&mut rig, 6);
    // What a manifest says about streams is written anew by the first checkpoint.
    for (path, bytes) in contents(folder.path()) {
        let is_checked = path
            .extension()
            .is_some_and(|kind| kind != "seg" && kind != "wal" && kind != "spare");
        let shows = is_checked && bytes.windows(18).any(|part| part == b"marker description");
        assert!(!shows, "{}", path.display());
    }
}

#[test]
fn compression_can_be_switched_by_an_update() {
    let folder = folder();
    let mut rig = Rig::with_key(&folder, None).unwrap();
    create(&mut rig, "s2");
    for compression in ["none", "s2", "none", "s2"] {
        for _ in 0..50 {
            rig.store("marker.subject", format!("{:2000}", "compressible"));
        }
        let config = json!({
            "name": "S", "subjects": ["s.>", "marker.subject"], "storage": "file",
            "compression": compression,
        });
        let updated = rig.ask("$JS.API.STREAM.UPDATE.S", config.to_string());
        assert_eq!(error_of(&updated), None, "{updated}");
        assert_eq!(updated["config"]["compression"], compression);
    }
    rig.stop();
    let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
    let bytes: u64 = files(folder.path(), ".seg").iter().map(size).sum();
    assert!(
        bytes < 200 * 2000,
        "half of them at least are compressed: {bytes}"
    );
    let mut rig = Rig::with_key(&folder, None).unwrap();
    check_messages(&mut rig, 200);
}

/// Options of a check, with the journal's sizes of the rig.
fn options(key: &str) -> StorageOptions {
    let mut options = StorageOptions {
        encryption: keys(key, None),
        ..StorageOptions::default()
    };
    options.journal.hurried_file_bytes = JOURNAL_FILE_BYTES;
    options
}

/// What a check of the store in `folder` finds with a key.
fn check(folder: &Path, key: &str) -> Result<Vec<String>, String> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let report = check_store(&disk, folder, &options(key)).map_err(|error| error.to_string())?;
    let is_bad = |finding: &&Finding| finding.severity != Severity::Note;
    Ok(report
        .findings
        .iter()
        .filter(is_bad)
        .map(ToString::to_string)
        .collect())
}

#[test]
fn an_encrypted_store_is_checked_and_repaired_with_its_key() {
    let folder = folder();
    let mut rig = Rig::with_key(&folder, keys("right", None)).unwrap();
    create(&mut rig, "s2");
    for number in 0..100 {
        rig.store(
            "marker.subject",
            format!("marker payload {number} {:500}", ""),
        );
    }
    rig.stop();
    assert!(check(folder.path(), "wrong").is_err());
    assert_eq!(check(folder.path(), "right"), Ok(Vec::new()));
    // Both manifests and a byte of the messages: the copy is made from what is left.
    let segment = files(folder.path(), ".seg").swap_remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    assert!(check(folder.path(), "right").is_ok_and(|found| !found.is_empty()));
    for slot in ["manifest.a", "manifest.b"] {
        fs::write(&files(folder.path(), slot)[0], "rubbish").unwrap();
    }
    let copy = Arc::new(TempDir::new().unwrap());
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let repaired = repair_store(&disk, folder.path(), copy.path(), &options("right")).unwrap();
    assert_eq!(repaired.streams.len(), 1);
    let mut rig = Rig::with_key(&copy, keys("right", None)).unwrap();
    let messages = rig.state()["messages"].as_u64().unwrap();
    assert!((1..100).contains(&messages), "{messages}");
    rig.stop();
    for (path, bytes) in contents(copy.path()) {
        let shows = bytes.windows(6).any(|part| part == b"marker");
        assert!(!shows, "{}", path.display());
    }
}
