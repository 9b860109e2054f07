//! Checks a store that no server has open, down to the last record, and says in words what is wrong. Nothing is written.
//!
//! The store is opened as the server would open it, over an [`OverlayDisk`] that keeps every change to itself. What opening does not
//! look at, because an index tells it where everything is, is read here: every record of every segment, and through the index every
//! message.

mod files;
mod rebuild;
mod repair;
mod streams;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use everjet_store::{Disk, Fault, OverlayDisk, SealedDisk, foreign_store};
use everjet_values::StreamSequence;
use serde::Serialize;

pub use repair::{RepairError, RepairReport, RepairedStream, repair_store};

use crate::finding::{Finding, Severity};
use crate::open::{OpenError, OpenStore, StorageOptions, with_keys};
use crate::paths::Paths;
use crate::replay::Gaps;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// What is not as it was written, the worst first.
    pub findings: Vec<Finding>,
    /// What a server would serve.
    pub streams: Vec<CheckedStream>,
    /// Segment files that were read.
    pub segments: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// A stream as a server would serve it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckedStream {
    /// Its account.
    pub account: String,
    /// Its name.
    pub name: String,
    /// Messages that can be read.
    pub messages: u64,
    /// The first of them.
    pub first_sequence: StreamSequence,
    /// The last sequence ever given out.
    pub last_sequence: StreamSequence,
    /// Messages that were stored and cannot be read; the first 10,000 of them.
    pub lost: Vec<StreamSequence>,
    /// Its consumers.
    pub consumers: u64,
}

/// Why a store could not be checked.
#[derive(Debug)]
pub enum CheckError {
    /// There is no store.
    Missing(PathBuf),
    /// It cannot be opened.
    Open(OpenError),
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(root) => write!(f, "there is no store in {}", root.display()),
            Self::Open(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CheckError {}

impl<E: Into<OpenError>> From<E> for CheckError {
    fn from(error: E) -> Self {
        Self::Open(error.into())
    }
}

impl CheckReport {
    /// Whether every byte is as it was written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity == Severity::Note)
    }

    /// Adds a finding, unless one about the same bytes says as much.
    fn add(&mut self, finding: Finding) {
        let end = |finding: &Finding| finding.offset.saturating_add(finding.length);
        let is_known = self.findings.iter().any(|known| {
            known.file == finding.file
                && known.severity >= finding.severity
                && known.length > 0
                && known.offset <= finding.offset
                && end(&finding) <= end(known)
        });
        if !is_known {
            self.findings.push(finding);
        }
    }
}

/// Checks the store under `store_dir`. Its lock is held meanwhile; besides that nothing there is touched.
///
/// # Errors
/// [`CheckError`]: it is in use, there is none, or it cannot be read. Damage is no error.
pub fn check_store(
    disk: &Arc<dyn Disk>,
    store_dir: &Path,
    options: &StorageOptions,
) -> Result<CheckReport, CheckError> {
    let (opened, report) = open(disk, store_dir, options, Gaps::Offline)?;
    // Its own is the one that keeps changes to itself.
    let disk: Arc<dyn Disk> = match opened.disk.keys() {
        None => Arc::clone(disk),
        Some(keys) => Arc::new(SealedDisk::new(Arc::clone(disk), Arc::clone(keys))),
    };
    let mut job = Job {
        disk: &*disk,
        paths: Paths::new(store_dir),
        opened,
        report,
    };
    job.check_streams()?;
    job.check_files()?;
    let mut report = job.report;
    report
        .findings
        .sort_by(|a, b| b.severity.cmp(&a.severity).then(a.file.cmp(&b.file)));
    Ok(report)
}

/// A check while it goes on.
struct Job<'a> {
    disk: &'a dyn Disk,
    paths: Paths,
    opened: OpenStore,
    report: CheckReport,
}

/// Opens a store without changing it, and if need be with a manifest made up from what else is there. What that tells is in the report.
fn open(
    disk: &Arc<dyn Disk>,
    store_dir: &Path,
    options: &StorageOptions,
    gaps: Gaps,
) -> Result<(OpenStore, CheckReport), CheckError> {
    let paths = Paths::new(store_dir);
    let root = paths.root();
    if let Some(path) = foreign_store(&**disk, root)? {
        return Err(OpenError::Foreign(path).into());
    }
    let entries = disk.list(root).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => CheckError::Missing(root.to_owned()),
        _ => Fault::open(root)(error).into(),
    })?;
    if !entries
        .iter()
        .any(|entry| entry.name.starts_with("manifest.") || entry.is_dir)
    {
        return Err(CheckError::Missing(root.to_owned()));
    }
    let over = || -> Arc<dyn Disk> { Arc::new(OverlayDisk::new(Arc::clone(disk))) };
    let mut report = CheckReport::default();
    let opened = match OpenStore::open_with(&over(), &paths, options, gaps) {
        Err(OpenError::Fault(fault @ Fault::Damaged { .. })) if fault.path() == root => {
            let what = match &fault {
                Fault::Damaged { what, .. } => what.clone(),
                other => other.to_string(),
            };
            let finding = Finding::new(Severity::Loss, root, what).with_effect(
                "the server does not start; what follows is about the files that are there",
                "restore a manifest, or bring back what is readable with `nats-server check --repair`",
            );
            report.findings.push(finding);
            let over = with_keys(&over(), root, options.encryption.as_ref(), &mut Vec::new())?;
            rebuild::write_manifest(&over, &paths)?;
            let mut opened = OpenStore::open_rebuilt(&over, &paths, options, gaps)?;
            // What was released long ago is missing when the journal is read from its beginning.
            opened
                .findings
                .retain(|finding| !finding.file.starts_with(paths.journal()));
            opened
        }
        other => other?,
    };
    report.findings.extend(opened.findings.iter().cloned());
    Ok((opened, report))
}
