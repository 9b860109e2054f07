//! Files prepared for the journal: zero-filled once, so that a sync never waits for the file system's own bookkeeping.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::fault::{Attempt, Fault};

/// The name of the file a [`SpareJob`] works on.
pub(super) const JOB_NAME: &str = "spare.new";
/// Zeros are written in pieces of this size.
const PIECE_BYTES: u64 = 1 << 20;

/// The slow preparation of one file.
pub struct SpareJob {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) length: u64,
}

/// A file ready to be written by the journal.
pub struct Spare {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) path: PathBuf,
    pub(super) length: u64,
    /// It holds nothing but zeros.
    pub(super) is_clean: bool,
}

impl SpareJob {
    /// Writes the file's zeros and syncs it. Leaves as much as its own size free for the streams.
    ///
    /// # Errors
    /// What the disk says; a fault with [`Fault::is_full`] when there is no room. Nothing is left behind.
    pub fn run(&self) -> Result<Spare, Fault> {
        let path = self.dir.join(JOB_NAME);
        let free = self
            .disk
            .free_bytes(&self.dir)
            .map_err(Fault::read(&self.dir))?;
        if free < self.length.saturating_mul(2) {
            let cause = std::io::ErrorKind::StorageFull.into();
            return Err(Fault::io(Attempt::Create, &path, cause));
        }
        match self.disk.remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Fault::remove(&path)(error));
            }
            _ => {}
        }
        let spare = Spare::create(&*self.disk, path, self.length)?;
        match spare.file.sync() {
            Ok(()) => Ok(spare),
            Err(error) => {
                // Best effort: the next start removes unfinished files too.
                let _ = self.disk.remove_file(&spare.path);
                Err(Fault::sync(&spare.path)(error))
            }
        }
    }
}

impl Spare {
    /// Creates a file of zeros; it is not synced. Nothing is left behind after a failure.
    pub(super) fn create(disk: &dyn Disk, path: PathBuf, length: u64) -> Result<Self, Fault> {
        let file = disk
            .open(&path, OpenMode::CreateNew)
            .map_err(Fault::create(&path))?;
        if let Err(fault) = fill_with_zeros(&*file, &path, length) {
            // Best effort: the next start removes unfinished files too.
            let _ = disk.remove_file(&path);
            return Err(fault);
        }
        Ok(Self {
            file,
            path,
            length,
            is_clean: true,
        })
    }
}

fn fill_with_zeros(file: &dyn DiskFile, path: &Path, length: u64) -> Result<(), Fault> {
    let piece = usize::try_from(length.min(PIECE_BYTES)).expect("at most a mebibyte");
    let zeros = vec![0; piece];
    let mut at = 0;
    while at < length {
        let count = (length - at).min(PIECE_BYTES);
        let count = usize::try_from(count).expect("at most a mebibyte");
        file.write_all_at(&zeros[..count], at)
            .map_err(Fault::write(path))?;
        at += count as u64;
    }
    Ok(())
}
