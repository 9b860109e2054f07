//! Opening a store: manifest, then each stream as of its checkpoint, then the journal from there.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use everjet_store::{
    Disk, Encryption, Fault, Journal, JournalBatch, JournalOpening, JournalOptions, JournalRecord,
    JournalReport, KeyringError, KeyringNote, Lsn, Manifest, ManifestStore, MemoryOptions,
    OpenedKeyring, PlantedBug, SealedDisk, StoreOptions, StreamId, foreign_store,
    foreign_store_beside, is_planted, open_keyring, quarantine_bytes,
};
use everjet_stream::Stream;

use crate::commit::SyncPolicy;
use crate::finding::Finding;
use crate::paths::Paths;
use crate::read_ahead::{read_ahead, read_in_turn};
use crate::replay::{Gaps, Meaning, Replay};
use crate::report::Level;

/// First word of `meta.json` and consumer states.
pub(crate) const META_MAGIC: &str = "everjet-stream";
pub(crate) const CONSUMER_MAGIC: &str = "everjet-consumer";

/// What a store is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To read it, or to add to it, on this thread; all of it is durable when it is open.
    Look,
    /// To serve it soon.
    Serve(SyncPolicy),
}

/// Sizes of a store.
#[derive(Clone, Debug)]
pub struct StorageOptions {
    /// Sizes of segments, and of what each stream keeps in memory.
    pub store: StoreOptions,
    /// Sizes of what all streams together keep in memory of what is on disk.
    pub memory: MemoryOptions,
    /// Sizes of the journal.
    pub journal: JournalOptions,
    /// The key, if the store is to be encrypted.
    pub encryption: Option<Encryption>,
    /// All streams are checkpointed at the latest when this much was written to the journal since the last time. Default 128 MiB. Also bounds
    /// memory: when twice as much waits for a checkpoint, the journal waits too, and publishers for their acknowledgements.
    pub checkpoint_bytes: u64,
    /// They are checkpointed already when this much was written, and 1 MiB for each stream that has changed, as long as checkpoints
    /// take no more than a fifth of the time: what no checkpoint has taken is what a start after a crash has to read, and few files
    /// of the journal and little memory are then used again and again. Default 16 MiB.
    pub checkpoint_soon_bytes: u64,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            store: StoreOptions::default(),
            memory: MemoryOptions::default(),
            journal: JournalOptions::default(),
            encryption: None,
            checkpoint_bytes: 128 << 20,
            checkpoint_soon_bytes: 16 << 20,
        }
    }
}

/// Why a store cannot be opened. Nothing in it was changed.
#[derive(Debug)]
pub enum OpenError {
    /// Another server has it open.
    InUse(PathBuf),
    /// nats-server wrote it; the path is what gave it away.
    Foreign(PathBuf),
    /// It is encrypted, and no key is configured.
    KeyMissing(PathBuf),
    /// It is encrypted with another key than the configured ones.
    WrongKey(PathBuf),
    /// The disk refuses, or what is there cannot be read.
    Fault(Fault),
    /// The operating system gives no thread.
    Thread(io::Error),
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
                "the store directory was written by nats-server ({} is its file) and is left as it is; give Everjet an empty store_dir, and bring the streams over with `nats-server import-store`",
                path.display()
            ),
            Self::KeyMissing(root) => write!(
                f,
                "the store in {} is encrypted: set jetstream {{ key: … }} to the key it was written with",
                root.display()
            ),
            Self::WrongKey(keyring) => write!(
                f,
                "the configured key does not open {}: set jetstream {{ key: … }} to the key the store was written with; to change the key, give the old one as prev_encryption_key",
                keyring.display()
            ),
            Self::Fault(fault) => fault.fmt(f),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
            Self::Stream { name, why } => {
                write!(f, "stream {name} cannot be brought up to date: {why}")
            }
        }
    }
}

impl std::error::Error for OpenError {}

impl From<KeyringError> for OpenError {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::KeyMissing(root) => Self::KeyMissing(root),
            KeyringError::WrongKey(keyring) => Self::WrongKey(keyring),
            KeyringError::Fault(fault) => Self::Fault(fault),
        }
    }
}

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

/// A stream that cannot be brought up to date. It is not served, so that nothing wrong is, and nothing of it is touched.
#[derive(Clone, Debug)]
pub struct OfflineStream {
    /// Its number.
    pub id: StreamId,
    /// The account it belongs to.
    pub account: String,
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// Whether it is known from where on the journal is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    Known,
    /// What seems to be missing at its beginning may have been given back long ago.
    Unknown,
}

/// An open store.
pub struct OpenStore {
    /// The disk to use for everything in the store: it knows the keys, if there are any.
    pub disk: Arc<dyn Disk>,
    /// The journal, ready to be written.
    pub journal: Journal,
    /// Bytes of its records that no checkpoint has taken.
    pub journal_bytes: u64,
    /// The manifest's slots.
    pub manifest_store: ManifestStore,
    /// The manifest as it is on disk.
    pub manifest: Manifest,
    /// The streams that can be served.
    pub streams: Vec<OpenedStream>,
    /// The streams that cannot. As long as there is one, the journal must be kept.
    pub offline: Vec<OfflineStream>,
    /// What was noticed, for the log; findings are among it.
    pub notes: Vec<(Level, String)>,
    /// What is damaged, and what a crash has left.
    pub findings: Vec<Finding>,
    /// Keeps other servers away until it is dropped.
    pub(crate) lock: Box<dyn std::any::Any + Send + Sync>,
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
        Self::open_with(disk, paths, options, Gaps::Offline)
    }

    /// As [`OpenStore::open`], with a thread that reads the journal ahead. With a policy that acknowledges before the sync, what
    /// the journal holds survives the end of the process when this returns, and the caller sees to it that it is made durable
    /// ([`Journal::take_recovered_tail`]).
    pub(crate) fn open_to_serve(
        disk: &Arc<dyn Disk>,
        paths: &Paths,
        options: &StorageOptions,
        sync: SyncPolicy,
    ) -> Result<Self, OpenError> {
        let purpose = Purpose::Serve(sync);
        Self::open_in(disk, paths, options, Gaps::Offline, (purpose, Past::Known))
    }

    /// As [`OpenStore::open`], and says what becomes of streams of which a record is missing.
    pub(crate) fn open_with(
        disk: &Arc<dyn Disk>,
        paths: &Paths,
        options: &StorageOptions,
        gaps: Gaps,
    ) -> Result<Self, OpenError> {
        Self::open_in(disk, paths, options, gaps, (Purpose::Look, Past::Known))
    }

    /// As [`OpenStore::open_with`], with a manifest that was made up from the streams' files.
    pub(crate) fn open_rebuilt(
        disk: &Arc<dyn Disk>,
        paths: &Paths,
        options: &StorageOptions,
        gaps: Gaps,
    ) -> Result<Self, OpenError> {
        Self::open_in(disk, paths, options, gaps, (Purpose::Look, Past::Unknown))
    }

    fn open_in(
        disk: &Arc<dyn Disk>,
        paths: &Paths,
        options: &StorageOptions,
        gaps: Gaps,
        (purpose, past): (Purpose, Past),
    ) -> Result<Self, OpenError> {
        let root = paths.root();
        let is_known = ManifestStore::is_in(&**disk, root);
        if !is_known && let Some(path) = foreign_store(&**disk, root)? {
            return Err(OpenError::Foreign(path));
        }
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
        let mut notes = Vec::new();
        let disk = &with_keys(disk, root, options.encryption.as_ref(), &mut notes)?;
        let (manifest_store, manifest) = ManifestStore::open(Arc::clone(disk), root)?;
        let manifest = manifest.unwrap_or_else(|| Manifest {
            journal_from: Lsn::FIRST,
            next_stream_id: StreamId(1),
            ..Manifest::default()
        });
        if is_known {
            let ours = manifest.streams.iter();
            let ours: HashSet<PathBuf> = ours
                .map(|stream| paths.stream(&stream.account, &stream.name))
                .collect();
            let is_ours = |path: &Path| ours.contains(path);
            if let Some(path) = foreign_store_beside(&**disk, root, &is_ours)? {
                return Err(OpenError::Foreign(path));
            }
        }
        let mut findings: Vec<_> = manifest_store
            .damaged()
            .iter()
            .map(Finding::in_manifest)
            .collect();
        let mut replay = Replay::new(disk, paths, options, gaps);
        let (mut journal, report) =
            open_journal(disk, paths, options, &manifest, &mut replay, purpose)?;
        // What is removed for a record must not run ahead of it.
        if !matches!(purpose, Purpose::Serve(SyncPolicy::Every(_)))
            || replay.last_server_record() > journal.last_synced()
        {
            let _durable = journal.sync()?;
        }
        note_journal(&report, &mut notes);
        findings.extend(report.torn.as_ref().map(Finding::of_torn_tail));
        let mut gaps = JournalBatch::new();
        let meanings = match past {
            Past::Known => replay.leave_gaps(&report, &mut gaps),
            Past::Unknown => vec![Meaning::Unknown; report.damage.len()],
        };
        findings.extend(keep_damaged_journal(disk, paths, &report, &meanings)?);
        if !gaps.is_empty() {
            // The next start may see nothing of the damage any more.
            journal.write(&mut gaps)?;
            let _ = journal.sync()?;
        }
        let replayed = replay.finish()?;
        findings.extend(replayed.findings);
        notes.extend(
            findings
                .iter()
                .map(|finding| (finding.level(), finding.to_string())),
        );
        let mut manifest = manifest;
        for listed in &mut manifest.streams {
            for consumer in &mut listed.consumers {
                let name = (listed.id, consumer.name.clone());
                consumer.unread = replayed.unread.contains(&name);
            }
        }
        // What the journal deleted must not come back with the next manifest, which lets the deletion's record go.
        manifest.streams.retain(|listed| {
            replayed.streams.iter().any(|stream| stream.id == listed.id)
                || replayed.offline.iter().any(|stream| stream.id == listed.id)
                || is_planted(PlantedBug::DeletedStreamComesBack)
        });
        manifest.next_stream_id = manifest
            .next_stream_id
            .max(StreamId(replayed.highest_id.0 + 1));
        Ok(Self {
            disk: Arc::clone(disk),
            journal,
            journal_bytes: report.bytes,
            manifest_store,
            manifest,
            streams: replayed.streams,
            offline: replayed.offline,
            notes,
            findings,
            lock,
        })
    }
}

/// Loads the streams and brings them up to date with the journal.
fn open_journal(
    disk: &Arc<dyn Disk>,
    paths: &Paths,
    options: &StorageOptions,
    manifest: &Manifest,
    replay: &mut Replay<'_>,
    purpose: Purpose,
) -> Result<(Journal, JournalReport), OpenError> {
    let mut opening = JournalOpening::begin(
        Arc::clone(disk),
        &paths.journal(),
        options.journal.clone(),
        manifest.journal_start(),
    )?;
    let load = |replay: &mut Replay<'_>| replay.load_all(&manifest.streams);
    let mut failure = None;
    let mut apply = |replay: &mut Replay<'_>, records: &mut [JournalRecord<'_>]| {
        if failure.is_none() {
            failure = replay.records(records).err();
        }
    };
    match purpose {
        Purpose::Look => {
            load(replay);
            read_in_turn(&mut opening, |records| apply(replay, records))?;
        }
        Purpose::Serve(_) => read_ahead(&mut opening, replay, load, apply)?,
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(opening.finish()?),
    }
}

/// The disk with the keys of the store, if it has or shall have any.
pub(crate) fn with_keys(
    disk: &Arc<dyn Disk>,
    root: &Path,
    encryption: Option<&Encryption>,
    notes: &mut Vec<(Level, String)>,
) -> Result<Arc<dyn Disk>, OpenError> {
    let Some(OpenedKeyring { keys, note }) = open_keyring(&**disk, root, encryption)? else {
        return Ok(Arc::clone(disk));
    };
    notes.extend(note.map(|note| match note {
        KeyringNote::Created => (
            Level::Info,
            format!(
                "what is written to the store is encrypted from now on ({}); what was there before is read, and encrypted when it is written again",
                keys.cipher().name()
            ),
        ),
        KeyringNote::KeyChanged => (
            Level::Info,
            "the key of the store is changed: prev_encryption_key is not needed any more".to_owned(),
        ),
        KeyringNote::Finished => (
            Level::Info,
            "a crash came while keyring.a and keyring.b were written; both are now".to_owned(),
        ),
        KeyringNote::Repaired => (
            Level::Warn,
            "one of keyring.a and keyring.b was missing or damaged; it has been written again from the other".to_owned(),
        ),
    }));
    Ok(Arc::new(SealedDisk::new(Arc::clone(disk), keys)))
}

/// Says what the journal went through.
fn note_journal(report: &JournalReport, notes: &mut Vec<(Level, String)>) {
    notes.push((
        Level::Info,
        format!(
            "journal: {} records ({} bytes) read from {} files",
            report.records, report.bytes, report.files
        ),
    ));
}

/// Says what of the journal is damaged, and keeps a copy of it: the files are used again.
fn keep_damaged_journal(
    disk: &Arc<dyn Disk>,
    paths: &Paths,
    report: &JournalReport,
    meanings: &[Meaning],
) -> Result<Vec<Finding>, OpenError> {
    let mut findings = Vec::with_capacity(report.damage.len());
    for (damage, meaning) in report.damage.iter().zip(meanings) {
        let has_bytes = damage.length > 0;
        if has_bytes {
            quarantine_bytes(
                &**disk,
                &paths.quarantine(),
                &damage.path,
                damage.offset,
                damage.length,
            )?;
        }
        findings.push(Finding::in_journal(damage, meaning, has_bytes));
    }
    Ok(findings)
}
