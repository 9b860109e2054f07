//! Streams whose records of coming and going are damaged.

use std::path::Path;
use std::sync::Arc;

use everjet_api::StreamConfig;
use everjet_jetstream::{
    Level, OpenStore, Paths, StorageOptions, record_stream_created, record_stream_deleted,
};
use everjet_store::{Disk, Journal, JournalBatch, JournalOptions, Lsn, ManifestStore, StreamId};
use everjet_testkit::SimDisk;
use everjet_values::{EntryIndex, Timestamp};

const NAME: &str = "ORDERS";

fn options() -> StorageOptions {
    StorageOptions {
        journal: JournalOptions {
            file_bytes: 16 << 10,
            hurried_file_bytes: 16 << 10,
            ..JournalOptions::default()
        },
        ..StorageOptions::default()
    }
}

/// A store whose journal holds these records, in this order.
fn store(record: impl FnOnce(&mut JournalBatch)) -> SimDisk {
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = disk.shared();
    let paths = Paths::new(Path::new("/data"));
    ManifestStore::open(Arc::clone(&shared), paths.root()).expect("the disk works");
    let dir = paths.root().join("journal");
    let opened = Journal::open(shared, &dir, options().journal, Lsn::FIRST, &mut |_| Ok(()));
    let (mut journal, _) = opened.expect("the disk works");
    let mut batch = JournalBatch::new();
    record(&mut batch);
    journal.write(&mut batch).expect("the disk works");
    let _durable = journal.sync().expect("the disk works");
    disk
}

fn open(disk: &SimDisk) -> OpenStore {
    let paths = Paths::new(Path::new("/data"));
    OpenStore::open(&disk.shared(), &paths, &options()).expect("nothing is wrong with the disk")
}

fn created(batch: &mut JournalBatch, id: u64) {
    let config = StreamConfig {
        name: NAME.to_owned(),
        subjects: vec![NAME.to_owned()],
        ..StreamConfig::default()
    };
    record_stream_created(batch, StreamId(id), "$G", Timestamp::UNSET, &config);
}

#[test]
fn a_stream_that_was_created_again_was_deleted_before() {
    let disk = store(|batch| {
        created(batch, 1);
        // Here the record of the deletion was.
        created(batch, 2);
    });
    let opened = open(&disk);
    let ids: Vec<StreamId> = opened.streams.iter().map(|stream| stream.id).collect();
    assert_eq!(ids, [StreamId(2)], "two streams would share one folder");
    let warns = |(level, text): &(Level, String)| *level == Level::Warn && text.contains(NAME);
    assert!(opened.notes.iter().any(warns), "{:?}", opened.notes);
}

#[test]
fn a_number_that_was_ever_given_is_not_given_again() {
    let disk = store(|batch| {
        created(batch, 1);
        record_stream_deleted(batch, StreamId(1));
        // The record that created stream 2 was here.
        batch.push(StreamId(2), EntryIndex(1), 1, |_| {});
    });
    let opened = open(&disk);
    assert!(opened.streams.is_empty());
    assert_eq!(opened.manifest.next_stream_id, StreamId(3));
}
