//! Overwriting what the journal still holds of messages that were erased: all of its records so far are brought into files
//! that nobody needs any more, and those are filled with zeros, away from the writer.

use std::sync::Arc;

use super::file::WalFile;
use super::record::KIND_MARK;
use super::spare::Spare;
use super::{Journal, JournalBatch};
use crate::disk::{Disk, read_exact_at};
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
    files: Vec<Spare>,
    /// How long a file is that is used again; others are removed.
    kept_bytes: u64,
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
        while let Some(oldest) = self.releasable(through) {
            let is_kept = oldest.length == self.options.file_bytes;
            // A file without a name that recovery reads may hold anything. A start removes what is left of the others.
            let name = if is_kept { "spare" } else { "new" };
            let taken = self.take_name(&oldest, name)?;
            self.files.pop_front();
            // Should the next one fail, this one waits there.
            self.stale.extend(taken);
        }
        let is_later = |oldest: &WalFile| oldest.first.is_some_and(|first| first > rolled);
        Ok(Scrub {
            disk: Arc::clone(&self.disk),
            files: std::mem::take(&mut self.stale),
            kept_bytes: self.options.file_bytes,
            is_complete: self.files.front().is_none_or(is_later),
        })
    }

    /// Takes the files back: those that were overwritten to be used again, the others to be overwritten the next time.
    ///
    /// # Errors
    /// What the disk says about removing those that are too many. They are clean.
    pub fn finish_scrub(&mut self, scrub: Scrub) -> Result<(), Fault> {
        let mut too_many = Vec::new();
        for spare in scrub.files {
            if !spare.is_clean {
                self.stale.push(spare);
            } else if spare.length == scrub.kept_bytes && self.ready.len() < self.options.spares_max
            {
                self.ready.push_back(spare);
            } else {
                too_many.push(spare);
            }
        }
        remove(&*scrub.disk, &too_many)
    }
}

impl Scrub {
    /// Overwrites the files with zeros, where they hold anything else, and syncs them.
    ///
    /// # Errors
    /// What the disk says; some of them are as they were then.
    pub fn run(&mut self) -> Result<(), Fault> {
        for spare in &mut self.files {
            if !is_planted(PlantedBug::JournalNotOverwritten) {
                spare.fill_with_zeros()?;
            }
            spare.is_clean = true;
        }
        let is_kept = |spare: &Spare| spare.length == self.kept_bytes;
        let files = std::mem::take(&mut self.files);
        let (kept, others): (Vec<_>, Vec<_>) = files.into_iter().partition(is_kept);
        self.files = kept;
        remove(&*self.disk, &others)
    }

    /// Whether nothing up to the position that was asked for is left elsewhere.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}

/// Removes all that can be removed; the first fault of those that cannot.
fn remove(disk: &dyn Disk, spares: &[Spare]) -> Result<(), Fault> {
    let removed = spares.iter().map(|spare| {
        let removed = disk.remove_file(&spare.path);
        removed.map_err(Fault::remove(&spare.path))
    });
    removed.fold(Ok(()), Result::and)
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
