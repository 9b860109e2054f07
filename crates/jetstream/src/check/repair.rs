//! Brings everything of a store that can be read into a new one.
//!
//! The copy is written as an import is: every derived file is new, and a stream is there when all of it is. Sequences of messages that
//! cannot be read hold no message in the copy and are not used again.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use everjet_consumer::Consumer;
use everjet_store::{Disk, Fault, NewMessage};
use everjet_values::Timestamp;
use serde::Serialize;

use super::streams::for_each_message;
use super::{CheckError, open};
use crate::import::{ImportError, ImportStore};
use crate::intake::ImportedMessage;
use crate::open::{OpenError, OpenedStream, StorageOptions};
use crate::paths::Paths;
use crate::replay::Gaps;

/// What was brought over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RepairReport {
    /// The streams of the copy.
    pub streams: Vec<RepairedStream>,
    /// Streams of which nothing could be brought over, and why.
    pub left_out: Vec<(String, String)>,
}

/// A stream in the copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RepairedStream {
    /// Its account.
    pub account: String,
    /// Its name.
    pub name: String,
    /// Messages that were brought over.
    pub messages: u64,
    /// Messages that could not be read.
    pub unreadable: u64,
    /// Consumers that were brought over.
    pub consumers: u64,
}

/// Why nothing was brought over, or not all.
#[derive(Debug)]
pub enum RepairError {
    /// The store cannot be read.
    Check(CheckError),
    /// The copy is there already.
    Exists(PathBuf),
    /// The copy cannot be written.
    Copy(OpenError),
}

impl fmt::Display for RepairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check(error) => error.fmt(f),
            Self::Exists(path) => write!(
                f,
                "{} is not empty; a repaired copy goes into a new directory",
                path.display()
            ),
            Self::Copy(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RepairError {}

impl From<CheckError> for RepairError {
    fn from(error: CheckError) -> Self {
        Self::Check(error)
    }
}

impl<E: Into<OpenError>> From<E> for RepairError {
    fn from(error: E) -> Self {
        Self::Copy(error.into())
    }
}

/// Brings everything that can be read of the store under `store_dir` into a new store under `copy`.
///
/// # Errors
/// [`RepairError`]. What is under `store_dir` is not changed in any case; an unfinished copy is to be deleted.
pub fn repair_store(
    disk: &Arc<dyn Disk>,
    store_dir: &Path,
    copy: &Path,
    options: &StorageOptions,
) -> Result<RepairReport, RepairError> {
    let (opened, _) = open(disk, store_dir, options, Gaps::Salvage)?;
    let root = Paths::new(copy).root().to_owned();
    match disk.list(&root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Ok(entries) if entries.is_empty() => {}
        Ok(_) => return Err(RepairError::Exists(root)),
        Err(error) => return Err(Fault::open(&root)(error).into()),
    }
    let (mut target, _) = ImportStore::open(disk, copy, options.clone())?;
    let mut report = RepairReport::default();
    for offline in &opened.offline {
        report
            .left_out
            .push((offline.name.clone(), offline.why.clone()));
    }
    for stream in opened.streams {
        let name = stream.name.clone();
        match bring_over(stream, &mut target) {
            Ok(repaired) => report.streams.push(repaired),
            Err(ImportError::Fault(fault)) => return Err(fault.into()),
            Err(other) => report.left_out.push((name, other.to_string())),
        }
    }
    Ok(report)
}

fn bring_over(
    opened: OpenedStream,
    target: &mut ImportStore,
) -> Result<RepairedStream, ImportError> {
    let OpenedStream {
        account,
        name,
        mut stream,
        ..
    } = opened;
    let consumers: Vec<Consumer> = stream
        .checkpoint()
        .consumers
        .iter()
        .filter_map(|snapshot| Consumer::decode(&snapshot.bytes).ok())
        .collect();
    let state = stream.store().state();
    let mut import = target.begin(&account, stream.config().clone(), stream.created())?;
    let mut outcome = Ok(());
    let (mut messages, mut unreadable) = (0, 0);
    let mut last_time = Timestamp::UNSET;
    for_each_message(&mut stream, |stream, sequence| {
        if outcome.is_err() {
            return;
        }
        let Ok(message) = stream.store().get(sequence) else {
            unreadable += 1;
            return;
        };
        messages += 1;
        last_time = last_time.max(message.time);
        outcome = import.push(&ImportedMessage {
            sequence,
            message: NewMessage {
                time: last_time,
                subject: message.subject(),
                headers: message.headers(),
                payload: message.payload(),
            },
        });
    });
    outcome?;
    // Those known to be damaged since the start are not among the ones that the index has.
    unreadable = unreadable.max(stream.store().lost(usize::MAX).sequences.len() as u64);
    let count = consumers.len() as u64;
    let last_time = last_time.max(state.last_time);
    import.finish(state.last_sequence, last_time, consumers)?;
    Ok(RepairedStream {
        account,
        name,
        messages,
        unreadable,
        consumers: count,
    })
}
