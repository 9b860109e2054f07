//! What the store and the consumers keep on disk.

use std::path::Path;

use everjet_api::{AckPolicy, ConsumerConfig};
use everjet_consumer::{Change, ChangeLog, Consumer, ConsumerState};
use everjet_store::{
    Disk, Manifest, ManifestStore, OpenMode, SimDisk, read_checked_file, write_checked_file,
};
use everjet_values::{StreamSequence, Timestamp};

pub use everjet_store::fuzzing::{
    check_block, check_checkpoint, check_index, check_journal_file, check_journal_record,
    check_keyring, check_segment_file, check_segment_header, check_segment_record,
};

const WORKS: &str = "a simulated disk without faults works";

/// A manifest, and the checked file it is in: what cannot be read is damaged and stays, what can is written as it was.
pub fn check_manifest(data: &[u8]) {
    let disk = SimDisk::new();
    let shared = disk.shared();
    let dir = Path::new("store");
    shared.create_dir_all(dir).expect(WORKS);
    let slot = dir.join("manifest.a");

    put(&*shared, &slot, data);
    assert!(ManifestStore::open(shared.clone(), dir).is_err());
    assert_eq!(read(&*shared, &slot), data);

    write_checked_file(&*shared, &slot, "everjet-manifest", data).expect(WORKS);
    let body = read_checked_file(&*shared, &slot, "everjet-manifest").expect("just written");
    assert_eq!(body.as_deref(), Some(data));
    let opened = ManifestStore::open(shared.clone(), dir);
    let manifest: Result<Manifest, _> = serde_json::from_slice(data);
    assert_eq!(opened.is_ok(), manifest.is_ok());
    let (Ok((mut store, found)), Ok(manifest)) = (opened, manifest) else {
        return;
    };
    assert_eq!(found.as_ref(), Some(&manifest));
    if manifest.sequence < u64::MAX / 2 {
        store.write(&manifest).expect(WORKS);
        let (_, again) = ManifestStore::open(shared, dir).expect("just written");
        let sequence = manifest.sequence + 1;
        assert_eq!(
            again,
            Some(Manifest {
                sequence,
                ..manifest
            })
        );
    }
}

fn put(disk: &dyn Disk, path: &Path, bytes: &[u8]) {
    let file = disk.open(path, OpenMode::CreateNew).expect(WORKS);
    file.write_all_at(bytes, 0).expect(WORKS);
    file.sync().expect(WORKS);
}

fn read(disk: &dyn Disk, path: &Path) -> Vec<u8> {
    everjet_store::read_file(disk, path).expect(WORKS)
}

/// The snapshot of a consumer, and its changes in the journal: what is read is written and read again as it was, and any
/// changes of any state do no harm.
pub fn check_consumer(data: &[u8]) {
    if let Ok(consumer) = Consumer::decode(data) {
        let written = consumer.encode();
        let again = Consumer::decode(&written).expect("it was written here");
        assert_eq!(again.encode(), written);
    }
    let changes: Vec<Change> = ChangeLog::read(data).map_while(Result::ok).collect();
    let mut log = ChangeLog::default();
    for change in &changes {
        log.push(*change);
    }
    let read: Result<Vec<Change>, _> = ChangeLog::read(log.as_bytes()).collect();
    assert_eq!(read.as_ref(), Ok(&changes));
    for ack_policy in [AckPolicy::Explicit, AckPolicy::All, AckPolicy::None] {
        check_changes(&changes, ack_policy);
    }
}

fn check_changes(changes: &[Change], ack_policy: AckPolicy) {
    let config = ConsumerConfig {
        ack_policy,
        ..ConsumerConfig::default()
    };
    let mut state = ConsumerState::new(StreamSequence(1), vec![]);
    for change in changes {
        state.apply(Timestamp::from_nanos(5), &config, *change);
        assert!(state.ack_floor().stream <= state.delivered().stream);
        assert!(state.ack_floor().consumer <= state.delivered().consumer);
    }
}
