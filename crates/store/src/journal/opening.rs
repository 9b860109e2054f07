//! Opening a journal: what is in its directory, then its records, then the journal itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::file::WalFile;
use super::found::Found;
use super::recovery::{Recovered, recover};
use super::tail::Recovering;
use super::{Journal, JournalDamage, JournalOptions, JournalRecord, JournalReport, end, record};
use crate::disk::Disk;
use crate::fault::Fault;
use crate::identity::Lsn;

/// Where a record of the journal is, or would be if it was written to the same file as the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalPlace {
    /// The generation of its file.
    pub generation: u64,
    /// Where in the file it begins.
    pub offset: u64,
}

/// From where on the journal is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalStart {
    /// The first position.
    pub from: Lsn,
    /// Where that is, if it is known: what is before it in the same file is not read then.
    pub at: Option<JournalPlace>,
}

impl From<Lsn> for JournalStart {
    fn from(from: Lsn) -> Self {
        Self { from, at: None }
    }
}

impl JournalStart {
    /// Where in this file it is.
    pub(super) fn offset_in(&self, file: &WalFile) -> Option<usize> {
        let place = self.at.filter(|at| at.generation == file.generation)?;
        // A file that was begun since begins at `from` or later: should the one that is meant be lost, this can be another one,
        // with the same generation where starts do not draw different salts.
        file.first.filter(|&first| first < self.from)?;
        usize::try_from(place.offset).ok()
    }
}

/// A journal that is being opened, in three steps of which only the first and the last change anything on disk: the second can
/// be done on another thread.
pub struct JournalOpening {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: JournalOptions,
    start: JournalStart,
    found: Found,
    recovered: Option<Recovered>,
}

impl JournalOpening {
    /// Looks at the directory, which is made if there is none, and removes what a crash has left half made.
    ///
    /// # Errors
    /// What the disk says.
    pub fn begin(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: JournalOptions,
        start: JournalStart,
    ) -> Result<Self, Fault> {
        disk.create_dir_all(dir).map_err(Fault::create(dir))?;
        let found = Found::look(&*disk, dir, &options)?;
        Ok(Self {
            disk,
            dir: dir.to_owned(),
            options,
            start: JournalStart {
                from: start.from.max(Lsn::FIRST),
                ..start
            },
            found,
            recovered: None,
        })
    }

    /// Visits every valid record from the start on, in order. Changes nothing.
    ///
    /// # Errors
    /// What the disk says, or what `visit` returns. Damage is no error, see [`JournalReport::damage`].
    pub fn read(
        &mut self,
        visit: &mut dyn FnMut(JournalRecord<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let (files, shortest) = (&self.found.files, self.options.shortest_file_bytes());
        self.recovered = Some(recover(
            &self.disk, &self.dir, files, shortest, self.start, visit,
        )?);
        Ok(())
    }

    /// The journal, ready to be written. What was visited survives the end of the process; before it is taken for durable the
    /// journal has to be synced, or its [`Journal::take_recovered_tail`] made durable.
    ///
    /// # Errors
    /// What the disk says.
    ///
    /// # Panics
    /// When it was not read.
    pub fn finish(self) -> Result<(Journal, JournalReport), Fault> {
        let recovered = self.recovered.expect("it was read");
        let Recovered {
            next,
            synced,
            tail,
            mut report,
        } = recovered;
        if self.found.files.is_empty() && self.start.from > Lsn::FIRST {
            report.damage.push(JournalDamage {
                path: self.dir.clone(),
                offset: 0,
                length: 0,
                lost: end::lost_behind(self.start.from, self.found.end),
                record: None,
            });
        }
        let is_endless =
            |damage: &JournalDamage| damage.lost.is_some_and(|lost| lost.last.is_none());
        if report.damage.iter().any(is_endless) {
            report.lost_at_most = most_lost(&self.found.files, &self.options, next);
        }
        let (disk, dir) = (self.disk, self.dir);
        disk.sync_dir(&dir).map_err(Fault::sync(&dir))?;
        let keys = disk.keys().cloned();
        let mut journal = Journal {
            disk,
            dir,
            options: self.options,
            files: self.found.files.into(),
            current: None,
            left_unsynced: Vec::new(),
            noted: None,
            recovered: tail.map(|tail| Recovering {
                tail: Arc::new(tail),
                is_taken: false,
            }),
            ready: self.found.spares,
            stale: Vec::new(),
            last_generation: self.found.last_generation,
            next,
            synced,
            latched: None,
            is_ended: self.found.has_end,
            keys,
            sealed: Vec::new(),
        };
        journal.note_newest()?;
        Ok((journal, report))
    }
}

/// How many records can lie behind `next` at most in files that are gone or cut. No file is begun but behind the one before, and
/// none holds more than its length of records without bodies; a file is longer only for a single record.
fn most_lost(files: &[WalFile], options: &JournalOptions, next: Lsn) -> u64 {
    let headers = files.iter().filter_map(|file| file.header);
    let length = headers.clone().map(|header| header.length).max();
    let length = length.unwrap_or_default().max(options.file_bytes);
    let noted = files.iter().filter_map(|file| file.successor);
    let begun = headers
        .map(|header| header.first)
        .chain(noted.map(|successor| successor.first))
        .max();
    let until_last_file = begun.map_or(0, |begun| begun.0.saturating_sub(next.0));
    until_last_file + length / record::HEAD_BYTES as u64
}
