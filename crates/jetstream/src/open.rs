//! Opening a store: manifest, then each stream as of its checkpoint, then the journal from there.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use everjet_api::StreamConfig;
use everjet_store::{
    Disk, Fault, Journal, JournalOptions, JournalRecord, JournalReport, Lsn, Manifest,
    ManifestStore, ManifestStream, SavedSegments, StoreOptions, StreamId, StreamStore,
    foreign_store, quarantine_bytes, quarantine_file, read_checked_file, write_checked_file,
};
use everjet_stream::{ConsumerSnapshot, Stream};
use everjet_values::{EntryIndex, Timestamp};
use serde::{Deserialize, Serialize};

use crate::paths::Paths;
use crate::report::Level;

/// Journal record kind of [`StreamCreated`]; such records belong to [`StreamId::SERVER`].
const STREAM_CREATED: u8 = 1;
/// Journal record kind of [`StreamDeleted`].
const STREAM_DELETED: u8 = 2;
/// First word of `meta.json` and consumer states.
pub(crate) const META_MAGIC: &str = "everjet-stream";
pub(crate) const CONSUMER_MAGIC: &str = "everjet-consumer";

/// Sizes of a store.
#[derive(Clone, Debug, Default)]
pub struct StorageOptions {
    /// Sizes of segments and caches.
    pub store: StoreOptions,
    /// Sizes of the journal.
    pub journal: JournalOptions,
}

/// A stream exists from the moment this record is durable.
#[derive(Serialize, Deserialize)]
struct StreamCreated {
    id: StreamId,
    account: String,
    name: String,
    created: Timestamp,
    config: StreamConfig,
}

impl StreamCreated {
    fn record(&self, batch: &mut everjet_store::JournalBatch) {
        push_json(batch, STREAM_CREATED, self);
    }
}

/// A stream is gone from the moment this record is durable.
#[derive(Serialize, Deserialize)]
struct StreamDeleted {
    id: StreamId,
}

impl StreamDeleted {
    fn record(&self, batch: &mut everjet_store::JournalBatch) {
        push_json(batch, STREAM_DELETED, self);
    }
}

fn push_json(batch: &mut everjet_store::JournalBatch, kind: u8, value: &impl Serialize) {
    let json =
        serde_json::to_vec(value).expect("maps with string keys and numbers always serialise");
    batch.push(StreamId::SERVER, EntryIndex::ZERO, kind, |body| {
        body.extend_from_slice(&json)
    });
}

/// Adds to `batch` the record that creates a stream in `account`: it exists once the record is durable.
pub fn record_stream_created(
    batch: &mut everjet_store::JournalBatch,
    id: StreamId,
    account: &str,
    created: Timestamp,
    config: &StreamConfig,
) {
    let (account, name) = (account.to_owned(), config.name.clone());
    StreamCreated {
        id,
        account,
        name,
        created,
        config: config.clone(),
    }
    .record(batch);
}

/// Adds to `batch` the record that deletes a stream: it is gone once the record is durable.
pub fn record_stream_deleted(batch: &mut everjet_store::JournalBatch, id: StreamId) {
    StreamDeleted { id }.record(batch);
}

/// What `meta.json` of a stream says. The truth is in the manifest and the journal; this copy lets a person, or a rescue,
/// tell whose folder it is.
#[derive(Serialize, Deserialize)]
pub(crate) struct StreamMeta {
    pub(crate) id: StreamId,
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) created: Timestamp,
    pub(crate) config: StreamConfig,
}

/// Why a store cannot be opened. Nothing in it was changed.
#[derive(Debug)]
pub enum OpenError {
    /// Another server has it open.
    InUse(PathBuf),
    /// nats-server wrote it; the path is what gave it away.
    Foreign(PathBuf),
    /// The disk refuses, or what is there cannot be read.
    Fault(Fault),
    /// A stream cannot be brought up to date.
    Stream {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(root) => write!(
                f,
                "the store directory {} is in use by another server; stop it, or give this one a store_dir of its own",
                root.display()
            ),
            Self::Foreign(path) => write!(
                f,
                "the store directory was written by nats-server ({} is its file) and is left as it is; give Everjet an empty store_dir",
                path.display()
            ),
            Self::Fault(fault) => fault.fmt(f),
            Self::Stream { name, why } => {
                write!(f, "stream {name} cannot be brought up to date: {why}")
            }
        }
    }
}

impl std::error::Error for OpenError {}

impl From<Fault> for OpenError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A stream as it was left.
pub struct OpenedStream {
    /// Its number.
    pub id: StreamId,
    /// The account it belongs to.
    pub account: String,
    /// Its name.
    pub name: String,
    /// The machine, up to date with the journal.
    pub stream: Stream,
}

/// An open store.
pub struct OpenStore {
    /// The journal, ready to be written.
    pub journal: Journal,
    /// Bytes of its records that no checkpoint has taken.
    pub journal_bytes: u64,
    /// The manifest's slots.
    pub manifest_store: ManifestStore,
    /// The manifest as it is on disk.
    pub manifest: Manifest,
    /// Everything that exists.
    pub streams: Vec<OpenedStream>,
    /// What was noticed, for the log.
    pub notes: Vec<(Level, String)>,
    /// Keeps other servers away until it is dropped.
    pub(crate) _lock: Box<dyn std::any::Any + Send + Sync>,
}

impl OpenStore {
    /// Opens the store at `paths`, creating it when there is none.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        disk: &Arc<dyn Disk>,
        paths: &Paths,
        options: &StorageOptions,
    ) -> Result<Self, OpenError> {
        if let Some(path) = foreign_store(&**disk, paths.root())? {
            return Err(OpenError::Foreign(path));
        }
        let root = paths.root();
        disk.create_dir_all(root).map_err(Fault::create(root))?;
        let lock = disk
            .lock(&paths.lock())
            .map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => OpenError::InUse(root.to_owned()),
                _ => OpenError::Fault(Fault::io(
                    everjet_store::Attempt::Lock,
                    &paths.lock(),
                    error,
                )),
            })?;
        let (manifest_store, manifest) = ManifestStore::open(Arc::clone(disk), root)?;
        let manifest = manifest.unwrap_or_else(|| Manifest {
            journal_from: Lsn::FIRST,
            next_stream_id: StreamId(1),
            ..Manifest::default()
        });
        let mut notes: Vec<_> = manifest_store
            .damaged()
            .iter()
            .map(|fault| (Level::Warn, fault.to_string()))
            .collect();
        let mut replay = Replay::new(disk, paths, options);
        for saved in &manifest.streams {
            replay.load(saved)?;
        }
        let mut failure = None;
        let (journal, report) = Journal::open(
            Arc::clone(disk),
            &paths.journal(),
            options.journal.clone(),
            manifest.journal_from,
            &mut |record| {
                if failure.is_none() {
                    failure = replay.record(&record).err();
                }
                Ok(())
            },
        )?;
        if let Some(error) = failure {
            return Err(error);
        }
        note_journal(disk, paths, &report, &mut notes)?;
        replay.settle_folders()?;
        notes.extend(std::mem::take(&mut replay.notes).into_values().flatten());
        let mut manifest = manifest;
        manifest.next_stream_id = manifest
            .next_stream_id
            .max(StreamId(replay.highest_id.0 + 1));
        let streams = replay.streams.into_values().collect();
        Ok(Self {
            journal,
            journal_bytes: report.bytes,
            manifest_store,
            manifest,
            streams,
            notes,
            _lock: lock,
        })
    }
}

/// The streams while the journal is read.
struct Replay<'a> {
    disk: &'a Arc<dyn Disk>,
    paths: &'a Paths,
    options: &'a StorageOptions,
    streams: BTreeMap<StreamId, OpenedStream>,
    deleted: Vec<(String, String)>,
    highest_id: StreamId,
    /// What was noticed of each stream. What a later record deletes needs no mention.
    notes: BTreeMap<StreamId, Vec<(Level, String)>>,
}

impl<'a> Replay<'a> {
    fn new(disk: &'a Arc<dyn Disk>, paths: &'a Paths, options: &'a StorageOptions) -> Self {
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
    fn load(&mut self, saved: &ManifestStream) -> Result<(), OpenError> {
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

    fn record(&mut self, record: &JournalRecord<'_>) -> Result<(), OpenError> {
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
    fn settle_folders(&self) -> Result<(), Fault> {
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

/// An empty store on disk for a stream; writes nothing yet. Opened, not made new: a checkpoint that never counted, or a folder that
/// could not be removed, may have left files of a future that did not happen.
pub(crate) fn new_store(
    disk: &Arc<dyn Disk>,
    paths: &Paths,
    options: &StorageOptions,
    id: StreamId,
    account: &str,
    name: &str,
) -> Result<StreamStore, Fault> {
    let folder = paths.stream(account, name);
    let nothing = SavedSegments::default();
    let opened = StreamStore::open(Arc::clone(disk), folder, id, name, options.store, &nothing);
    opened.map(|(store, _)| store)
}

/// Makes a stream's folder with its `meta.json`; both are durable when this returns. What is there already stays.
pub(crate) fn make_folder(disk: &dyn Disk, paths: &Paths, meta: &StreamMeta) -> Result<(), Fault> {
    let path = paths.stream_meta(&meta.account, &meta.name);
    let current = read_checked_file(disk, &path, META_MAGIC).ok().flatten();
    let json = serde_json::to_vec_pretty(meta)
        .expect("maps with string keys and numbers always serialise");
    if current.as_ref() == Some(&json) {
        return Ok(());
    }
    let folder = paths.stream(&meta.account, &meta.name);
    disk.create_dir_all(&folder)
        .map_err(Fault::create(&folder))?;
    write_checked_file(disk, &path, META_MAGIC, &json)?;
    let mut directory = folder.as_path();
    while let Some(parent) = directory.parent() {
        disk.sync_dir(parent).map_err(Fault::sync(parent))?;
        if parent == paths.root() {
            break;
        }
        directory = parent;
    }
    Ok(())
}

/// Removes a stream's folder for good.
pub(crate) fn remove_folder(
    disk: &dyn Disk,
    paths: &Paths,
    account: &str,
    name: &str,
) -> Result<(), Fault> {
    let folder = paths.stream(account, name);
    match disk.remove_dir_all(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Fault::remove(&folder))?,
    }
    let streams = paths.streams(account);
    disk.sync_dir(&streams).map_err(Fault::sync(&streams))
}

/// Says what the journal went through, and keeps a copy of files that are damaged.
fn note_journal(
    disk: &Arc<dyn Disk>,
    paths: &Paths,
    report: &JournalReport,
    notes: &mut Vec<(Level, String)>,
) -> Result<(), OpenError> {
    notes.push((
        Level::Info,
        format!(
            "journal: {} records ({} bytes) read from {} files",
            report.records, report.bytes, report.files
        ),
    ));
    if let Some(torn) = &report.torn {
        let text = format!(
            "journal: the last write before the crash was cut short in {} at byte {}; nothing of it had been acknowledged ({} records given up)",
            torn.path.display(),
            torn.offset,
            torn.records
        );
        notes.push((Level::Info, text));
    }
    for damage in &report.damage {
        let lost = damage.lost.map_or_else(
            || "no record is lost".to_owned(),
            |lost| match lost.last {
                Some(last) => format!("records {} to {last} are lost", lost.first),
                None => format!("records from {} on are lost", lost.first),
            },
        );
        let text = format!(
            "journal: {} is damaged at byte {} ({} bytes): {lost}; the bytes are kept in quarantine",
            damage.path.display(),
            damage.offset,
            damage.length
        );
        notes.push((Level::Error, text));
        if damage.length > 0 {
            quarantine_bytes(
                &**disk,
                &paths.quarantine(),
                &damage.path,
                damage.offset,
                damage.length,
            )?;
        }
    }
    Ok(())
}
