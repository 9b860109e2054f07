//! Streams from elsewhere, put into a store that no server has open.
//!
//! A stream exists exactly if a manifest names it, so it is written first and named last: a crash before leaves a folder that
//! nobody knows, marked by a file of its own ([`MARKER`]), and the next import removes it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use everjet_api::StreamConfig;
use everjet_consumer::{Consumer, ConsumerId};
use everjet_store::{DirEntry, Disk, Fault, Journal, Lsn, StoreState, StreamId, StreamStore};
use everjet_stream::Stream;
use everjet_subject::collides;
use everjet_values::{StreamSequence, Timestamp};

use crate::checkpoint::{Captured, Checkpointer};
use crate::folders::new_store;
use crate::intake::{
    ENTRY, ImportedMessage, Intake, MARKER, make_marked_folder, remove_marked_folder,
};
use crate::open::{OpenError, OpenStore, StorageOptions};
use crate::paths::Paths;
use crate::report::Level;

/// Why a stream cannot be taken in. Nothing of it is left.
#[derive(Debug)]
pub enum ImportError {
    /// The account has a stream of that name.
    Exists,
    /// Another stream of the account stores something that this one would store too.
    Overlaps {
        /// The subject of this stream.
        subject: String,
        /// The other stream.
        stream: String,
    },
    /// The folder of the stream is there and belongs to no stream.
    InTheWay(PathBuf),
    /// The disk refuses.
    Fault(Fault),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists => f.write_str("the store already has a stream of this name"),
            Self::Overlaps { subject, stream } => {
                write!(
                    f,
                    "its subject {subject} overlaps with those of stream {stream}"
                )
            }
            Self::InTheWay(path) => write!(
                f,
                "{} is there and belongs to no stream; move it away",
                path.display()
            ),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for ImportError {}

impl From<Fault> for ImportError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What was taken in.
#[derive(Clone, Copy, Debug)]
pub struct Imported {
    /// The stream's messages as they are now.
    pub state: StoreState,
    /// Messages that were over a limit of the stream and are gone.
    pub over_limits: u64,
}

/// A store that takes streams in. Keeps servers away until it is dropped.
pub struct ImportStore {
    disk: Arc<dyn Disk>,
    paths: Paths,
    options: StorageOptions,
    checkpointer: Checkpointer,
    journal_from: Lsn,
    next_stream_id: StreamId,
    /// Account, name and subjects of the streams that exist.
    streams: Vec<(String, String, Vec<String>)>,
    /// Open for as long as the store is, and not written.
    _journal: Journal,
    _lock: Box<dyn std::any::Any + Send + Sync>,
}

impl ImportStore {
    /// Opens the store under `store_dir`, creating it when there is none, and removes what an interrupted import left. Also returns
    /// what was noticed.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        disk: &Arc<dyn Disk>,
        store_dir: &Path,
        options: StorageOptions,
    ) -> Result<(Self, Vec<(Level, String)>), OpenError> {
        let paths = Paths::new(store_dir);
        let opened = OpenStore::open(disk, &paths, &options)?;
        let disk = opened.disk;
        let mut notes = opened.notes;
        let served = opened.streams.iter().map(|stream| {
            let subjects = stream.stream.config().subjects.clone();
            (stream.account.clone(), stream.name.clone(), subjects)
        });
        let offline = opened
            .offline
            .iter()
            .map(|stream| (stream.account.clone(), stream.name.clone(), Vec::new()));
        let streams: Vec<_> = served.chain(offline).collect();
        remove_remains(&*disk, &paths, &streams, &mut notes)?;
        let (journal_from, next_stream_id) =
            (opened.manifest.journal_from, opened.manifest.next_stream_id);
        let checkpointer = Checkpointer::new(
            Arc::clone(&disk),
            paths.clone(),
            opened.manifest_store,
            opened.manifest,
        );
        let store = Self {
            disk,
            paths,
            options,
            checkpointer,
            journal_from,
            next_stream_id,
            streams,
            _journal: opened.journal,
            _lock: opened.lock,
        };
        Ok((store, notes))
    }

    /// Whether [`ImportStore::begin`] would take this stream.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, account: &str, config: &StreamConfig) -> Result<(), ImportError> {
        for (owner, name, subjects) in &self.streams {
            if owner != account {
                continue;
            }
            if *name == config.name {
                return Err(ImportError::Exists);
            }
            let overlaps = |subject: &&String| {
                subjects
                    .iter()
                    .any(|theirs| collides(theirs.as_bytes(), subject.as_bytes()))
            };
            if let Some(subject) = config.subjects.iter().find(overlaps) {
                return Err(ImportError::Overlaps {
                    subject: subject.clone(),
                    stream: name.clone(),
                });
            }
        }
        let folder = self.paths.stream(account, &config.name);
        match self.disk.list(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Fault::open(&folder)(error).into()),
            // A crash may come before the mark does.
            Ok(names) if names.is_empty() => Ok(()),
            Ok(_) => Err(ImportError::InTheWay(folder)),
        }
    }

    /// Begins to take a stream in. Its configuration has its defaults filled in.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub fn begin(
        &mut self,
        account: &str,
        config: StreamConfig,
        created: Timestamp,
    ) -> Result<StreamImport<'_>, ImportError> {
        self.check(account, &config)?;
        let folder = self.paths.stream(account, &config.name);
        make_marked_folder(&*self.disk, &folder)?;
        let id = self.next_stream_id;
        let store = new_store(
            &self.disk,
            &self.paths,
            &self.options,
            id,
            account,
            &config.name,
        )?;
        let intake = Intake::new(Arc::clone(&self.disk), store);
        Ok(StreamImport {
            target: self,
            account: account.to_owned(),
            config,
            created,
            id,
            intake,
        })
    }
}

/// Removes the folders of streams that an interrupted import left, and markers that outlived their import.
fn remove_remains(
    disk: &dyn Disk,
    paths: &Paths,
    streams: &[(String, String, Vec<String>)],
    notes: &mut Vec<(Level, String)>,
) -> Result<(), Fault> {
    for account in folders(disk, paths.root())? {
        for name in folders(disk, &paths.streams(&account))? {
            let folder = paths.stream(&account, &name);
            let names = disk.list(&folder).map_err(Fault::open(&folder))?;
            let marks = |entry: &DirEntry| entry.name.starts_with(MARKER);
            if !names.iter().any(marks) {
                continue;
            }
            let exists = streams
                .iter()
                .any(|(owner, stream, _)| *owner == account && *stream == name);
            if exists {
                let marker = folder.join(MARKER);
                disk.remove_file(&marker).map_err(Fault::remove(&marker))?;
            } else {
                remove_marked_folder(disk, paths, &account, &name)?;
                let text = format!("removed the remains of an interrupted import of stream {name}");
                notes.push((Level::Warn, text));
            }
        }
    }
    Ok(())
}

fn folders(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, Fault> {
    match disk.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Fault::open(dir)(error)),
        Ok(entries) => Ok(entries
            .into_iter()
            .filter(|entry| entry.is_dir)
            .map(|entry| entry.name)
            .collect()),
    }
}

/// A stream on its way in. Dropped, it is as after a crash; [`StreamImport::abandon`] cleans up at once.
pub struct StreamImport<'a> {
    target: &'a mut ImportStore,
    account: String,
    config: StreamConfig,
    created: Timestamp,
    id: StreamId,
    intake: Intake,
}

impl StreamImport<'_> {
    /// Takes in the next message. Sequences left out have no message.
    ///
    /// # Errors
    /// What the disk says; the stream can only be abandoned then.
    ///
    /// # Panics
    /// When the sequence does not go up.
    pub fn push(&mut self, next: &ImportedMessage<'_>) -> Result<(), Fault> {
        self.intake.push(next)
    }

    /// Ends the import: the stream exists, durably, when this returns. `last_sequence` and `last_time` are those of the last
    /// message it ever had.
    ///
    /// # Errors
    /// What the disk says. The stream does not exist then, unless the fault was the manifest's: the next start or import shows it.
    pub fn finish(
        mut self,
        last_sequence: StreamSequence,
        last_time: Timestamp,
        consumers: Vec<Consumer>,
    ) -> Result<Imported, ImportError> {
        let before = match self.intake.finish(last_sequence, last_time) {
            Ok(()) => self.intake.store().messages(),
            Err(fault) => return Err(self.give_up(fault)),
        };
        let numbered = consumers
            .into_iter()
            .zip(1..)
            .map(|(consumer, number)| Consumer {
                id: ConsumerId(number),
                ..consumer
            });
        let Self {
            target,
            account,
            config,
            created,
            id,
            intake,
        } = self;
        let store = intake.into_store();
        let name = config.name.clone();
        let subjects = config.subjects.clone();
        let mut stream = Stream::imported(id, config, created, store, numbered.collect(), ENTRY);
        let state = stream.store_mut().state();
        let captured = Captured::take(&mut stream, &account);
        if let Err(fault) = target.checkpointer.persist(&captured) {
            target.checkpointer.forget(id);
            // What cannot be removed is left to the next import.
            let _later = remove_marked_folder(&*target.disk, &target.paths, &account, &name);
            return Err(fault.into());
        }
        target.next_stream_id = StreamId(id.0 + 1);
        target
            .checkpointer
            .publish(target.journal_from.into(), target.next_stream_id)?;
        let marker = target.paths.stream(&account, &name).join(MARKER);
        // One that stays is taken away by the next import; nothing else looks at it.
        let _stays = target.disk.remove_file(&marker);
        target.streams.push((account, name, subjects));
        Ok(Imported {
            state,
            over_limits: before - state.messages,
        })
    }

    /// The messages so far.
    #[must_use]
    pub fn store(&self) -> &StreamStore {
        self.intake.store()
    }

    /// Removes everything of the stream.
    ///
    /// # Errors
    /// What the disk says; the next import tries again.
    pub fn abandon(self) -> Result<(), Fault> {
        let target = self.target;
        remove_marked_folder(
            &*target.disk,
            &target.paths,
            &self.account,
            &self.config.name,
        )
    }

    /// The fault, after everything of the stream was removed; what cannot be removed is left to the next import.
    fn give_up(self, fault: Fault) -> ImportError {
        match self.abandon() {
            Ok(()) | Err(_) => fault.into(),
        }
    }
}
