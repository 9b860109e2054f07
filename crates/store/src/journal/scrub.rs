//! Overwriting what the journal still holds of messages that were erased: all of its records so far are brought into files
//! that nobody needs any more, and those are filled with zeros, away from the writer.

use std::sync::Arc;

use super::file::{WalFile, path_of};
use super::record::KIND_MARK;
use super::spare::Spare;
use super::{Journal, JournalBatch};
use crate::disk::{Disk, OpenMode, read_exact_at};
use crate::fault::Fault;
use crate::identity::{Lsn, StreamId};
use crate::sabotage::{PlantedBug, is_planted};
use everjet_values::EntryIndex;

/// What is read and written at once.
const PIECE_BYTES: usize = 1 << 20;

/// Released files to be overwritten.
#[must_use = "the files are not used before they are given back"]
pub struct Scrub {
    disk: Arc<dyn Disk>,
    /// To be used again.
    kept: Vec<Spare>,
    /// To be removed.
    others: Vec<Spare>,
    is_complete: bool,
}

impl Journal {
    /// Makes everything durable and begins a new file that holds nothing else, so that what was written so far lies in
    /// files that can be released. Returns the last position in those.
    ///
    /// # Errors
    /// As [`Journal::write`] and [`Journal::sync`].
    pub fn roll(&mut self) -> Result<Lsn, Fault> {
        let _ = self.sync()?;
        let last = self.last_written();
        // Those that were used before still hold what was in them.
        let ready = std::mem::take(&mut self.ready);
        let (clean, used): (Vec<_>, Vec<_>) = ready.into_iter().partition(|spare| spare.is_clean);
        self.ready = clean.into();
        self.stale.extend(used);
        self.leave_current();
        let mut mark = JournalBatch::new();
        mark.push(StreamId::SERVER, EntryIndex::ZERO, KIND_MARK, |_| {});
        self.write(&mut mark)?;
        let _ = self.sync()?;
        Ok(last)
    }

    /// As [`Journal::release`], but what was released, now or before, is not used again before it was overwritten: run
    /// the result on a thread that may block and hand it to [`Journal::finish_scrub`]. It is complete when nothing up to
    /// `rolled` is left anywhere else, see [`Journal::roll`].
    ///
    /// # Errors
    /// What the disk says. Harmless: the files are tried again with the next release.
    pub fn release_to_scrub(&mut self, through: Lsn, rolled: Lsn) -> Result<Scrub, Fault> {
        let mut scrub = Scrub {
            disk: Arc::clone(&self.disk),
            kept: Vec::new(),
            others: Vec::new(),
            is_complete: false,
        };
        while let Some(oldest) = self.releasable(through) {
            let is_kept = oldest.length == self.options.file_bytes;
            // A file without a name that recovery reads may hold anything. A start removes what is left of the others.
            let name = if is_kept { "spare" } else { "new" };
            let path = path_of(&self.dir, oldest.generation, name);
            let file = self
                .disk
                .open(&oldest.path, OpenMode::Write)
                .map_err(Fault::open(&oldest.path))?;
            self.disk
                .rename(&oldest.path, &path)
                .map_err(Fault::rename(&path))?;
            self.files.pop_front();
            let spare = Spare {
                file,
                path,
                length: oldest.length,
                is_clean: false,
            };
            if is_kept {
                scrub.kept.push(spare);
            } else {
                scrub.others.push(spare);
            }
        }
        scrub.kept.append(&mut self.stale);
        let is_later = |oldest: &WalFile| oldest.first.is_some_and(|first| first > rolled);
        scrub.is_complete = self.files.front().is_none_or(is_later);
        Ok(scrub)
    }

    /// Takes the files back that are kept to be used again.
    ///
    /// # Errors
    /// What the disk says about removing those that are too many.
    pub fn finish_scrub(&mut self, scrub: Scrub) -> Result<(), Fault> {
        for spare in scrub.kept {
            if self.ready.len() < self.options.spares_max {
                self.ready.push_back(spare);
            } else {
                self.disk
                    .remove_file(&spare.path)
                    .map_err(Fault::remove(&spare.path))?;
            }
        }
        Ok(())
    }
}

impl Scrub {
    /// Overwrites the files with zeros, where they hold anything else, and syncs them.
    ///
    /// # Errors
    /// What the disk says; some of them are as they were then.
    pub fn run(&mut self) -> Result<(), Fault> {
        for spare in self.kept.iter_mut().chain(&mut self.others) {
            if !is_planted(PlantedBug::JournalNotOverwritten) {
                spare.fill_with_zeros()?;
            }
            spare.is_clean = true;
        }
        while let Some(other) = self.others.pop() {
            self.disk
                .remove_file(&other.path)
                .map_err(Fault::remove(&other.path))?;
        }
        Ok(())
    }

    /// Whether nothing up to the position that was asked for is left elsewhere.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}

impl Spare {
    fn fill_with_zeros(&self) -> Result<(), Fault> {
        let mut piece = vec![0; PIECE_BYTES];
        let zeros = vec![0; PIECE_BYTES];
        let mut at = 0;
        while at < self.length {
            let length = usize::try_from(self.length - at).unwrap_or(usize::MAX);
            let length = length.min(PIECE_BYTES);
            let (piece, zeros) = (&mut piece[..length], &zeros[..length]);
            read_exact_at(&*self.file, piece, at).map_err(Fault::read(&self.path))?;
            if piece != zeros {
                self.file
                    .write_all_at(zeros, at)
                    .map_err(Fault::write(&self.path))?;
            }
            at += length as u64;
        }
        self.file.sync().map_err(Fault::sync(&self.path))
    }
}
