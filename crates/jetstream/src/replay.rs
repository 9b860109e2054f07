//! The streams while a store is opened: each as of its checkpoint, then up to date by the journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use everjet_api::StreamConfig;
use everjet_store::{
    Disk, Fault, JournalRecord, ManifestStream, SavedSegments, StreamId, StreamStore,
    quarantine_file, read_checked_file,
};
use everjet_stream::{ConsumerSnapshot, Stream};

use crate::folders::{StreamMeta, make_folder, new_store, remove_folder};
use crate::open::{CONSUMER_MAGIC, OpenError, OpenedStream, StorageOptions};
use crate::paths::Paths;
use crate::records::{STREAM_CREATED, STREAM_DELETED, StreamCreated, StreamDeleted};
use crate::report::Level;

/// The streams while the journal is read.
pub(crate) struct Replay<'a> {
    disk: &'a Arc<dyn Disk>,
    paths: &'a Paths,
    options: &'a StorageOptions,
    pub(crate) streams: BTreeMap<StreamId, OpenedStream>,
    deleted: Vec<(String, String)>,
    pub(crate) highest_id: StreamId,
    /// What was noticed of each stream. What a later record deletes needs no mention.
    pub(crate) notes: BTreeMap<StreamId, Vec<(Level, String)>>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(
        disk: &'a Arc<dyn Disk>,
        paths: &'a Paths,
        options: &'a StorageOptions,
    ) -> Self {
        Self {
            disk,
            paths,
            options,
            streams: BTreeMap::new(),
            deleted: Vec::new(),
            highest_id: StreamId::SERVER,
            notes: BTreeMap::new(),
        }
    }

    /// Loads a stream as of its checkpoint.
    pub(crate) fn load(&mut self, saved: &ManifestStream) -> Result<(), OpenError> {
        let mut notes = Vec::new();
        let broken = |why: String| OpenError::Stream {
            name: saved.name.clone(),
            why,
        };
        let config: StreamConfig =
            serde_json::from_value(saved.config.clone()).map_err(|error| {
                broken(format!(
                    "its configuration in the manifest is not readable: {error}"
                ))
            })?;
        let folder = self.paths.stream(&saved.account, &saved.name);
        let segments = SavedSegments {
            segments: saved.segments.clone(),
            last_sequence: saved.last_sequence,
            entry: saved.entry,
        };
        let (store, report) = StreamStore::open(
            Arc::clone(self.disk),
            folder,
            saved.id,
            &saved.name,
            self.options.store,
            &segments,
        )?;
        for damage in &report.damaged {
            let range = damage.sequences.map_or_else(
                || "no message is known to be concerned".to_owned(),
                |(first, last)| format!("sequences {first} to {last} cannot be read"),
            );
            let text = format!(
                "stream {}: {} is damaged at byte {} ({}): {range}; everything else is served",
                saved.name,
                damage.file.display(),
                damage.offset,
                damage.what
            );
            notes.push((Level::Error, text));
        }
        let mut consumers = Vec::with_capacity(saved.consumers.len());
        for consumer in &saved.consumers {
            let path = self.paths.consumer_state(
                &saved.account,
                &saved.name,
                &consumer.name,
                consumer.entry,
            );
            match read_checked_file(&**self.disk, &path, CONSUMER_MAGIC) {
                Ok(Some(bytes)) => consumers.push(ConsumerSnapshot {
                    name: consumer.name.clone(),
                    bytes,
                }),
                Ok(None) => notes.push((
                    Level::Error,
                    format!(
                        "consumer {} of stream {} is lost: {} is missing",
                        consumer.name,
                        saved.name,
                        path.display()
                    ),
                )),
                Err(fault) => {
                    notes.push((
                        Level::Error,
                        format!(
                            "consumer {} of stream {} is lost: {fault}",
                            consumer.name, saved.name
                        ),
                    ));
                    quarantine_file(&**self.disk, &self.paths.quarantine(), &path)?;
                }
            }
        }
        let stream = Stream::recover(
            saved.id,
            config,
            saved.created,
            store,
            &consumers,
            saved.entry,
        )
        .map_err(|error| broken(format!("{error:?}")))?;
        self.highest_id = self.highest_id.max(saved.id);
        self.notes.insert(saved.id, notes);
        self.streams.insert(
            saved.id,
            OpenedStream {
                id: saved.id,
                account: saved.account.clone(),
                name: saved.name.clone(),
                stream,
            },
        );
        Ok(())
    }

    pub(crate) fn record(&mut self, record: &JournalRecord<'_>) -> Result<(), OpenError> {
        if record.stream == StreamId::SERVER {
            return self.server_record(record.kind, record.body);
        }
        // Records of a stream that a later record deletes, or that was deleted before the checkpoint, concern nobody.
        let Some(opened) = self.streams.get_mut(&record.stream) else {
            return Ok(());
        };
        opened
            .stream
            .replay(record.entry, record.kind, record.body)
            .map_err(|error| OpenError::Stream {
                name: opened.name.clone(),
                why: format!(
                    "journal record {} (entry {}): {error:?}",
                    record.lsn, record.entry
                ),
            })
    }

    fn server_record(&mut self, kind: u8, body: &[u8]) -> Result<(), OpenError> {
        let unreadable = |error: serde_json::Error| OpenError::Stream {
            name: "?".to_owned(),
            why: format!("a journal record that creates or deletes it is not readable: {error}"),
        };
        match kind {
            STREAM_CREATED => {
                let created: StreamCreated = serde_json::from_slice(body).map_err(unreadable)?;
                self.highest_id = self.highest_id.max(created.id);
                if !self.streams.contains_key(&created.id) {
                    let store = new_store(
                        self.disk,
                        self.paths,
                        self.options,
                        created.id,
                        &created.account,
                        &created.name,
                    )?;
                    let stream = Stream::create(created.id, created.config, created.created, store);
                    let StreamCreated {
                        id, account, name, ..
                    } = created;
                    self.streams.insert(
                        id,
                        OpenedStream {
                            id,
                            account,
                            name,
                            stream,
                        },
                    );
                }
                Ok(())
            }
            STREAM_DELETED => {
                let deleted: StreamDeleted = serde_json::from_slice(body).map_err(unreadable)?;
                self.notes.remove(&deleted.id);
                if let Some(opened) = self.streams.remove(&deleted.id) {
                    self.deleted.push((opened.account, opened.name));
                }
                Ok(())
            }
            unknown => Err(OpenError::Stream {
                name: "?".to_owned(),
                why: format!(
                    "journal record kind {unknown} is unknown: a newer version of Everjet wrote it"
                ),
            }),
        }
    }

    /// Removes the folders of deleted streams and makes those of the others.
    pub(crate) fn settle_folders(&self) -> Result<(), Fault> {
        for (account, name) in &self.deleted {
            let lives = self
                .streams
                .values()
                .any(|opened| opened.account == *account && opened.name == *name);
            if !lives {
                remove_folder(&**self.disk, self.paths, account, name)?;
            }
        }
        for opened in self.streams.values() {
            let info = opened.stream.config();
            make_folder(
                &**self.disk,
                self.paths,
                &StreamMeta {
                    id: opened.id,
                    account: opened.account.clone(),
                    name: opened.name.clone(),
                    created: opened.stream.created(),
                    config: info.clone(),
                },
            )?;
        }
        Ok(())
    }
}
