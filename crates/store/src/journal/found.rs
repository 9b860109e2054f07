//! The journal's directory as a start finds it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::end;
use super::file::{Successor, WalFile, generation_of};
use super::options::JournalOptions;
use super::spare::{JOB_NAME, Spare};
use crate::disk::{Disk, OpenMode};
use crate::fault::Fault;
use crate::identity::Lsn;

/// What a start finds in the journal's directory.
pub(super) struct Found {
    pub(super) files: Vec<WalFile>,
    pub(super) spares: VecDeque<Spare>,
    pub(super) last_generation: u64,
    /// Where an orderly run has left the journal.
    pub(super) end: Option<Lsn>,
    /// Whether there is a note about that, readable or not.
    pub(super) has_end: bool,
}

impl Found {
    /// Lists the directory; removes files in preparation and spares of no use.
    pub(super) fn look(
        disk: &dyn Disk,
        dir: &Path,
        options: &JournalOptions,
    ) -> Result<Self, Fault> {
        let mut found = Self {
            files: Vec::new(),
            spares: VecDeque::new(),
            last_generation: 0,
            end: None,
            has_end: false,
        };
        for entry in disk.list(dir).map_err(Fault::open(dir))? {
            let path = dir.join(&entry.name);
            let of = |extension| generation_of(&entry.name, extension);
            if let Some(generation) = of("wal") {
                found.note(generation);
                found.files.push(WalFile::inspect(disk, path, generation)?);
            } else if let Some(generation) = of("spare") {
                found.note(generation);
                found.take_spare(disk, path, options)?;
            } else if entry.name == end::NAME {
                found.end = end::read(disk, dir);
                found.has_end = true;
            } else if of("new").is_some() || entry.name == JOB_NAME {
                disk.remove_file(&path).map_err(Fault::remove(&path))?;
            }
        }
        found.learn_from_notes();
        Ok(found)
    }

    /// Where a file begins whose header is damaged and that has no record, the one before it says.
    fn learn_from_notes(&mut self) {
        let mut before = None;
        for file in &mut self.files {
            let noted = before.filter(|noted: &Successor| noted.generation == file.generation);
            file.first = file.first.or(noted.map(|noted| noted.first));
            before = file.successor;
        }
    }

    fn note(&mut self, generation: u64) {
        self.last_generation = self.last_generation.max(generation);
    }

    fn take_spare(
        &mut self,
        disk: &dyn Disk,
        path: PathBuf,
        options: &JournalOptions,
    ) -> Result<(), Fault> {
        let file = disk
            .open(&path, OpenMode::Write)
            .map_err(Fault::open(&path))?;
        let length = file.len().map_err(Fault::read(&path))?;
        if self.spares.len() < options.spares_max && length == options.file_bytes {
            self.spares.push_back(Spare {
                file,
                path,
                length,
                is_clean: false,
            });
            return Ok(());
        }
        disk.remove_file(&path).map_err(Fault::remove(&path))
    }
}
