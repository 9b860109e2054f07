//! What is derived may be missing, old or damaged between two starts: it makes a start slower, and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use everjet_store::{OpenMode, read_file};
use everjet_testkit::SimDisk;
use everjet_values::{Entropy, SeededEntropy};

/// Derived files as they were after former starts.
#[derive(Default)]
pub(crate) struct Derived {
    old: BTreeMap<PathBuf, Vec<u8>>,
}

impl Derived {
    /// Keeps what a start has left standing: none of it is of a state that a crash undid.
    pub(crate) fn remember(&mut self, disk: &SimDisk) {
        let files = disk
            .list_files()
            .into_iter()
            .filter(|path| is_derived(path));
        for path in files {
            // The oldest is the best one.
            if let Ok(bytes) = read_file(disk, &path) {
                self.old.entry(path).or_insert(bytes);
            }
        }
    }

    /// Removes some derived files, damages some, and brings back old ones.
    pub(crate) fn meddle(
        &self,
        disk: &SimDisk,
        dice: &SeededEntropy,
        is_sealed: bool,
    ) -> Result<(), String> {
        for path in disk
            .list_files()
            .into_iter()
            .filter(|path| is_derived(path))
        {
            let failed = |error: std::io::Error| format!("{}: {error}", path.display());
            let bytes = read_file(disk, &path).map_err(failed)?;
            match dice.next_u64() % 6 {
                0 => disk.shared().remove_file(&path).map_err(failed)?,
                // A flipped bit of a number that something was sealed with would look as if that was used twice.
                1 if !bytes.is_empty() && !is_sealed => {
                    disk.flip_bit(&path, dice.next_u64() % (bytes.len() as u64 * 8));
                }
                2 => disk.truncate(&path, dice.next_u64() % (bytes.len() as u64 + 1)),
                3 => {
                    if let Some(old) = self.old.get(&path) {
                        disk.shared().remove_file(&path).map_err(failed)?;
                        put(disk, &path, old).map_err(failed)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn put(disk: &SimDisk, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let file = disk.shared().open(path, OpenMode::CreateNew)?;
    file.write_all_at(bytes, 0)?;
    file.sync()
}

fn is_derived(path: &Path) -> bool {
    let extension = path.extension();
    extension.is_some_and(|extension| extension == "idx" || extension == "bin")
}
