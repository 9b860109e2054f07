//! Checkpoints: from memory and journal into segments and snapshots, so that the journal can be let go.
//!
//! The order of syncs is what makes it safe: segments and snapshots, then their directories, then the manifest, then the journal.

use std::collections::HashMap;
use std::sync::Arc;

use everjet_api::StreamConfig;
use everjet_store::{
    Disk, Fault, JournalStart, Manifest, ManifestConsumer, ManifestStore, ManifestStream,
    PlantedBug, SavedSegments, SegmentWrites, StreamId, WrittenSegments, is_planted,
    write_checked_file,
};
use everjet_stream::{ConsumerSnapshot, Stream};
use everjet_values::{EntryIndex, StreamSequence, Timestamp};

use crate::folders::{StreamMeta, make_folder};
use crate::open::CONSUMER_MAGIC;
use crate::paths::Paths;

/// A stream at one entry, taken while it stood still and written after it was let go.
pub struct Captured {
    id: StreamId,
    account: String,
    name: String,
    created: Timestamp,
    config: StreamConfig,
    entry: EntryIndex,
    last_sequence: StreamSequence,
    last_time: Timestamp,
    files: Files,
    consumers: Vec<ConsumerSnapshot>,
}

/// Segments of a captured stream.
enum Files {
    /// They hold everything already.
    Written(SavedSegments),
    ToWrite(Box<SegmentWrites>),
}

impl Captured {
    /// Takes what has to be written. Cheap: buffers are shared.
    pub fn take(stream: &mut Stream, account: &str) -> Self {
        let checkpoint = stream.checkpoint();
        let (id, created) = (stream.id(), stream.created());
        let name = checkpoint.config.name.clone();
        let store = stream.store_mut();
        let last_time = store.last_time();
        let files = match store.take_writes() {
            Some(writes) => Files::ToWrite(Box::new(writes)),
            None => Files::Written(store.saved_segments().clone()),
        };
        Self {
            id,
            account: account.to_owned(),
            name,
            created,
            config: checkpoint.config,
            entry: if is_planted(PlantedBug::CheckpointEntryOffByOne) {
                checkpoint.entry.previous()
            } else {
                checkpoint.entry
            },
            last_sequence: checkpoint.last_sequence,
            last_time,
            files,
            consumers: checkpoint.consumers,
        }
    }

    /// Whether messages are overwritten: what removed them has to be durable before.
    #[must_use]
    pub fn erases(&self) -> bool {
        self.writes().is_some_and(SegmentWrites::erases)
    }

    /// What the manifest says about the segments once this checkpoint counts.
    #[must_use]
    pub fn segments(&self) -> &SavedSegments {
        match &self.files {
            Files::Written(segments) => segments,
            Files::ToWrite(writes) => writes.saved(),
        }
    }

    /// As [`Captured::segments`], when it was written: lets go of the messages, so that their memory can be used again.
    #[must_use]
    pub fn into_segments(self) -> SavedSegments {
        match self.files {
            Files::Written(segments) => segments,
            Files::ToWrite(writes) => writes.saved().clone(),
        }
    }

    fn writes(&self) -> Option<&SegmentWrites> {
        match &self.files {
            Files::Written(_) => None,
            Files::ToWrite(writes) => Some(writes),
        }
    }
}

/// Writes checkpoints of one store and keeps its manifest.
pub struct Checkpointer {
    disk: Arc<dyn Disk>,
    paths: Paths,
    store: ManifestStore,
    manifest: Manifest,
    /// The consumer snapshots on disk, to write only those that changed.
    snapshots: HashMap<(StreamId, String), (EntryIndex, Vec<u8>)>,
    /// State files that the manifest no longer names.
    stale: Vec<std::path::PathBuf>,
    /// Whether the list differs from what is on disk.
    changed: bool,
}

impl Checkpointer {
    /// A writer that goes on from `manifest`.
    #[must_use]
    pub fn new(
        disk: Arc<dyn Disk>,
        paths: Paths,
        store: ManifestStore,
        manifest: Manifest,
    ) -> Self {
        Self {
            disk,
            paths,
            store,
            manifest,
            snapshots: HashMap::new(),
            stale: Vec::new(),
            changed: false,
        }
    }

    /// Writes and syncs the files of one stream. Nothing counts before [`Checkpointer::publish`].
    ///
    /// # Errors
    /// What the disk says. With [`Fault::is_full`] the same call may succeed once there is room.
    pub fn persist(&mut self, captured: &Captured) -> Result<Option<WrittenSegments>, Fault> {
        let config = serde_json::to_value(&captured.config)
            .expect("maps with string keys and numbers always serialise");
        let is_listed = |listed: &&ManifestStream| listed.id == captured.id;
        let listed = self.manifest.streams.iter().find(is_listed);
        // What the manifest says is in the folder too: it was written there before.
        if listed.is_none_or(|listed| listed.config != config) {
            make_folder(
                &*self.disk,
                &self.paths,
                &StreamMeta {
                    id: captured.id,
                    account: captured.account.clone(),
                    name: captured.name.clone(),
                    created: captured.created,
                    config: captured.config.clone(),
                },
            )?;
        }
        let mut consumers = Vec::with_capacity(captured.consumers.len());
        for snapshot in &captured.consumers {
            let entry = self.persist_consumer(captured, snapshot)?;
            consumers.push(ManifestConsumer {
                name: snapshot.name.clone(),
                entry,
                unread: false,
            });
        }
        let written = match captured.writes() {
            Some(writes) => {
                let written = writes.write(&*self.disk)?;
                written.sync(&*self.disk)?;
                Some(written)
            }
            None => None,
        };
        self.list(captured, config, consumers);
        Ok(written)
    }

    /// Makes the checkpoints persisted so far the ones that count: from now on the journal is needed from `journal` on, or as
    /// before if that is earlier.
    ///
    /// # Errors
    /// What the disk says; the manifest before still counts then.
    pub fn publish(
        &mut self,
        journal: JournalStart,
        next_stream_id: StreamId,
    ) -> Result<(), Fault> {
        if journal.from > self.manifest.journal_from {
            (self.manifest.journal_from, self.manifest.journal_at) = (journal.from, journal.at);
        }
        self.manifest.next_stream_id = self.manifest.next_stream_id.max(next_stream_id);
        self.store.write(&self.manifest)?;
        self.changed = false;
        for path in std::mem::take(&mut self.stale) {
            // A file that stays is found and overwritten or ignored later; nothing depends on its absence.
            let _gone_already = self.disk.remove_file(&path);
        }
        Ok(())
    }

    /// The manifest with the checkpoints persisted so far: every file it names is synced.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether the list of streams differs from the one that counts.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Takes a deleted stream out of the list; counts with the next [`Checkpointer::publish`].
    pub fn forget(&mut self, id: StreamId) {
        self.changed = true;
        self.manifest.streams.retain(|stream| stream.id != id);
        self.snapshots.retain(|(stream, _), _| *stream != id);
    }

    fn persist_consumer(
        &mut self,
        captured: &Captured,
        snapshot: &ConsumerSnapshot,
    ) -> Result<EntryIndex, Fault> {
        let key = (captured.id, snapshot.name.clone());
        if let Some((entry, bytes)) = self.snapshots.get(&key)
            && (*bytes == snapshot.bytes || is_planted(PlantedBug::ConsumerSnapshotTooOld))
        {
            return Ok(*entry);
        }
        let folder = self
            .paths
            .consumer(&captured.account, &captured.name, &snapshot.name);
        self.disk
            .create_dir_all(&folder)
            .map_err(Fault::create(&folder))?;
        let path = self.paths.consumer_state(
            &captured.account,
            &captured.name,
            &snapshot.name,
            captured.entry,
        );
        write_checked_file(&*self.disk, &path, CONSUMER_MAGIC, &snapshot.bytes)?;
        // A stream of this name that was deleted may have left the name behind, to be removed with the next manifest.
        self.stale.retain(|stale| *stale != path);
        for directory in folder.ancestors().skip(1).take(2) {
            self.disk
                .sync_dir(directory)
                .map_err(Fault::sync(directory))?;
        }
        let written = (captured.entry, snapshot.bytes.clone());
        self.snapshots.insert(key, written);
        Ok(captured.entry)
    }

    fn list(
        &mut self,
        captured: &Captured,
        config: serde_json::Value,
        consumers: Vec<ManifestConsumer>,
    ) {
        self.changed = true;
        let mut consumers = consumers;
        // What a start could not read may be readable at the next one: it is not given up.
        let listed = self.manifest.streams.iter();
        let unread = listed
            .filter(|stream| stream.id == captured.id)
            .flat_map(|stream| &stream.consumers)
            .filter(|listed| listed.unread);
        let is_new = |unread: &&ManifestConsumer| {
            let mut captured = captured.consumers.iter();
            captured.all(|snapshot| snapshot.name != unread.name)
        };
        consumers.extend(unread.filter(is_new).cloned());
        let entry = ManifestStream {
            id: captured.id,
            account: captured.account.clone(),
            name: captured.name.clone(),
            created: captured.created,
            config,
            entry: captured.entry,
            last_sequence: captured.last_sequence,
            last_time: captured.last_time,
            lost: captured.segments().lost.clone(),
            segments: captured.segments().segments.clone(),
            consumers,
        };
        match self
            .manifest
            .streams
            .iter_mut()
            .find(|stream| stream.id == captured.id)
        {
            Some(listed) => {
                // Not before all of the stream is written: until then the manifest goes on to name them, whatever it says about
                // other streams.
                for old in &listed.consumers {
                    let new = entry.consumers.iter().find(|new| new.name == old.name);
                    if new.is_none() {
                        self.snapshots.remove(&(captured.id, old.name.clone()));
                    }
                    if new.is_none_or(|new| new.entry != old.entry) {
                        self.stale.push(self.paths.consumer_state(
                            &captured.account,
                            &captured.name,
                            &old.name,
                            old.entry,
                        ));
                    }
                }
                *listed = entry;
            }
            None => self.manifest.streams.push(entry),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use everjet_store::SimDisk;

    use super::*;

    fn captured(id: u64, entry: u64, consumers: &[&str]) -> Captured {
        let snapshot = |name: &&str| ConsumerSnapshot {
            name: (*name).to_owned(),
            bytes: b"state".to_vec(),
        };
        Captured {
            id: StreamId(id),
            account: "$G".to_owned(),
            name: "ORDERS".to_owned(),
            created: Timestamp::UNSET,
            config: StreamConfig::default(),
            entry: EntryIndex(entry),
            last_sequence: StreamSequence(0),
            last_time: Timestamp::UNSET,
            files: Files::Written(SavedSegments::default()),
            consumers: consumers.iter().map(snapshot).collect(),
        }
    }

    /// What a checkpoint wants to remove is removed with the manifest, and that may be written much later.
    #[test]
    fn a_new_stream_keeps_the_state_that_one_of_its_name_has_left_behind() {
        let disk = SimDisk::new();
        let paths = Paths::new(Path::new("/data"));
        let (store, _) = ManifestStore::open(disk.shared(), paths.root()).unwrap();
        let mut checkpointer =
            Checkpointer::new(disk.shared(), paths.clone(), store, Manifest::default());
        let from = || JournalStart::from(everjet_store::Lsn::FIRST);
        checkpointer.persist(&captured(1, 1, &["worker"])).unwrap();
        checkpointer.publish(from(), StreamId(2)).unwrap();
        checkpointer.persist(&captured(1, 2, &[])).unwrap();
        checkpointer.forget(StreamId(1));
        checkpointer.persist(&captured(2, 1, &["worker"])).unwrap();
        checkpointer.publish(from(), StreamId(3)).unwrap();
        let state = paths.consumer_state("$G", "ORDERS", "worker", EntryIndex(1));
        assert!(disk.list_files().contains(&state));
    }
}
