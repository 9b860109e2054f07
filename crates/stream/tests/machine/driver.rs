//! What the server does around a stream, without threads: journal, checkpoints, restarts.

use std::path::{Path, PathBuf};

use everjet_api::StreamConfig;
use everjet_store::{
    Journal, JournalOptions, JournalRecord, Lsn, SavedSegments, StoreOptions, StreamId, StreamStore,
};
use everjet_stream::{Output, ServerLimits, Stream, StreamCheckpoint, normalise_config};
use everjet_testkit::SimDisk;
use everjet_values::{EntryIndex, Timestamp};

const ID: StreamId = StreamId(7);

/// One stream with a journal and a folder on a simulated disk.
pub(crate) struct Driver {
    pub(crate) stream: Stream,
    pub(crate) output: Output,
    disk: SimDisk,
    journal: Journal,
    config: StreamConfig,
    created: Timestamp,
    checkpoint: Option<(StreamCheckpoint, SavedSegments)>,
}

impl Driver {
    pub(crate) fn new(config: &str, created: Timestamp) -> Self {
        let mut config: StreamConfig = serde_json::from_str(config).expect("a configuration");
        if config.name.is_empty() {
            config.name = "S".to_owned();
        }
        if config.subjects.is_empty() {
            config.subjects = vec!["s.>".to_owned()];
        }
        let limits = ServerLimits::default();
        let config = normalise_config(config, false, &limits).expect("a legal configuration");
        let disk = SimDisk::new();
        let store = new_store(&disk, &config);
        Self {
            stream: Stream::create(ID, config.clone(), created, store),
            output: Output::new(),
            journal: open_journal(&disk, |_| {}),
            disk,
            config,
            created,
            checkpoint: None,
        }
    }

    /// Writes the records of the output; the rest of it stays.
    pub(crate) fn commit(&mut self) {
        if !self.output.journal.is_empty() {
            self.journal.write(&mut self.output.journal).expect("room");
            let _ = self.journal.sync().expect("a disk that works");
        }
    }

    /// Changes a bit of the first segment file.
    pub(crate) fn flip_bit(&self, bit: u64) {
        let files = self.disk.list_files();
        let is_segment = |path: &&PathBuf| path.extension().is_some_and(|end| end == "seg");
        self.disk
            .flip_bit(files.iter().find(is_segment).expect("a segment"), bit);
    }

    /// Makes the segments durable at this entry.
    pub(crate) fn checkpoint(&mut self) {
        let checkpoint = self.stream.checkpoint();
        let disk = self.disk.shared();
        let store = self.stream.store_mut();
        let saved = match store.take_writes() {
            Some(writes) => {
                let written = writes.write(&*disk).expect("room");
                written.sync(&*disk).expect("a disk that works");
                store.finish_writes(&written);
                writes.saved().clone()
            }
            None => store.saved_segments().clone(),
        };
        self.checkpoint = Some((checkpoint, saved));
    }

    /// Kills the server and starts it again: checkpoint, then the journal. Returns the digests before and after.
    pub(crate) fn restart(&mut self, now: Timestamp) -> (u64, u64) {
        let before = self.stream.digest();
        self.disk = self.disk.kill();
        self.recover(EntryIndex(u64::MAX));
        self.stream.lead(now);
        self.output.clear();
        (before, self.stream.digest())
    }

    /// The stream as it is after the entry `last`, from the checkpoint and the journal; not served.
    pub(crate) fn recover(&mut self, last: EntryIndex) {
        self.recover_in_steps(last, usize::MAX, |_| {});
    }

    /// The same, and shows the stream after each entry on the way.
    pub(crate) fn recover_watched(&mut self, last: EntryIndex, watch: impl FnMut(&Stream)) {
        self.recover_in_steps(last, 1, watch);
    }

    fn recover_in_steps(&mut self, last: EntryIndex, step: usize, mut watch: impl FnMut(&Stream)) {
        let mut stream = match &self.checkpoint {
            None => {
                let store = new_store(&self.disk, &self.config);
                Stream::create(ID, self.config.clone(), self.created, store)
            }
            Some((checkpoint, saved)) => {
                let (store, report) = StreamStore::open(
                    self.disk.shared(),
                    folder(),
                    ID,
                    &self.config.name,
                    store_options(),
                    saved,
                )
                .expect("a disk that works");
                assert!(report.damaged.is_empty(), "{report:?}");
                let config = checkpoint.config.clone();
                let (consumers, entry) = (&checkpoint.consumers, checkpoint.entry);
                let (stream, lost) =
                    Stream::recover(ID, config, self.created, store, consumers, entry);
                assert!(lost.is_empty(), "{lost:?}");
                stream
            }
        };
        let mut records = Vec::new();
        self.journal = open_journal(&self.disk, |record| {
            if record.entry <= last {
                let head = JournalRecord {
                    body: &[],
                    ..record
                };
                records.push((head, record.body.to_vec()));
            }
        });
        let records: Vec<JournalRecord<'_>> = records
            .iter()
            .map(|(head, body)| JournalRecord { body, ..*head })
            .collect();
        for records in records.chunks(step) {
            stream.replay_all(records).expect("records in order");
            watch(&stream);
        }
        self.stream = stream;
    }
}

fn folder() -> PathBuf {
    PathBuf::from("store/S")
}

/// Small files, so that a test sees many of them.
fn store_options() -> StoreOptions {
    StoreOptions {
        segment_bytes_max: 4096,
        tail_bytes_max: 2048,
        checkpoint_messages_min: 1,
        chunk_bytes: 1024,
    }
}

fn new_store(disk: &SimDisk, config: &StreamConfig) -> StreamStore {
    if config.storage == everjet_api::Storage::Memory {
        return StreamStore::in_memory(store_options());
    }
    StreamStore::on_disk(disk.shared(), folder(), ID, &config.name, store_options())
}

fn open_journal(disk: &SimDisk, mut visit: impl FnMut(JournalRecord<'_>)) -> Journal {
    let options = JournalOptions {
        file_bytes: 1 << 20,
        hurried_file_bytes: 1 << 20,
        ..JournalOptions::default()
    };
    let mut visit = |record: JournalRecord<'_>| {
        visit(record);
        Ok(())
    };
    let directory = Path::new("store/journal");
    let (journal, report) =
        Journal::open(disk.shared(), directory, options, Lsn::FIRST, &mut visit)
            .expect("a disk that works");
    assert!(report.damage.is_empty(), "{report:?}");
    journal
}
