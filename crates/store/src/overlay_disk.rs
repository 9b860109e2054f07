//! A disk that shows another one and keeps every change to itself: to see what opening a store would do, without doing it.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{DirEntry, Disk, DiskFile, OpenMode};
use crate::seal::Keys;

/// Reads go to the disk below, changes stay in memory and go away with this. Nothing below is ever created, written, renamed or
/// removed; even the lock is only taken when its file is there already.
///
/// Memory is taken by what is written: the few pages that recovery writes again, and copies for the quarantine folder.
pub struct OverlayDisk {
    below: Arc<dyn Disk>,
    changes: Mutex<BTreeMap<PathBuf, Change>>,
}

/// What became of a name.
#[derive(Clone)]
enum Change {
    File(Arc<OverlayFile>),
    /// A new directory: what the disk below has under this name is not in it.
    Directory,
    Removed,
}

impl OverlayDisk {
    /// Nothing is changed yet.
    #[must_use]
    pub fn new(below: Arc<dyn Disk>) -> Self {
        Self {
            below,
            changes: Mutex::default(),
        }
    }

    fn changes(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Change>> {
        // No change is made of several steps that a panic could cut short.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file_below(&self, path: &Path) -> io::Result<Arc<OverlayFile>> {
        let file = self.below.open(path, OpenMode::Read)?;
        let length = file.len()?;
        Ok(Arc::new(OverlayFile {
            content: Mutex::new(Content {
                readable: length,
                below: Some(file),
                length,
                writes: Vec::new(),
            }),
        }))
    }
}

/// Whether the disk below has nothing to say about what is under `path`, because of a change of `path` or a directory above.
fn is_hidden(changes: &BTreeMap<PathBuf, Change>, path: &Path) -> bool {
    path.ancestors().any(|above| {
        matches!(
            changes.get(above),
            Some(Change::Removed | Change::Directory)
        )
    })
}

fn missing<T>() -> io::Result<T> {
    Err(io::ErrorKind::NotFound.into())
}

impl Disk for OverlayDisk {
    fn keys(&self) -> Option<&Arc<Keys>> {
        self.below.keys()
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut changes = self.changes();
        let known = changes.get(path).cloned();
        let is_below = !is_hidden(&changes, path);
        let file = match (mode, known) {
            (OpenMode::CreateNew, Some(Change::File(_) | Change::Directory)) => {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            (OpenMode::CreateNew, _) => {
                if is_below && self.below.open(path, OpenMode::Read).is_ok() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                Arc::new(OverlayFile::default())
            }
            (_, Some(Change::File(file))) => return Ok(file),
            (OpenMode::Read, None) if is_below => return self.below.open(path, mode),
            (OpenMode::Write, None) if is_below => self.file_below(path)?,
            _ => return missing(),
        };
        changes.insert(path.to_owned(), Change::File(Arc::clone(&file)));
        Ok(file)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut changes = self.changes();
        let mut hidden = is_hidden(&changes, path);
        for dir in path.ancestors().filter(|dir| !dir.as_os_str().is_empty()) {
            match changes.get(dir) {
                Some(Change::Directory) => break,
                Some(Change::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                Some(Change::Removed) => {
                    changes.insert(dir.to_owned(), Change::Directory);
                    hidden = dir.parent().is_some_and(|dir| is_hidden(&changes, dir));
                }
                None if !hidden && self.below.list(dir).is_ok() => break,
                None => {
                    changes.insert(dir.to_owned(), Change::Directory);
                }
            }
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let changes = self.changes();
        let mut entries = BTreeMap::new();
        if !is_hidden(&changes, path) {
            for entry in self.below.list(path)? {
                entries.insert(entry.name, entry.is_dir);
            }
        } else if !matches!(changes.get(path), Some(Change::Directory)) {
            return missing();
        }
        for (changed, change) in changes.iter() {
            let Some(name) = changed
                .file_name()
                .filter(|_| changed.parent() == Some(path))
            else {
                continue;
            };
            let name = name.to_string_lossy().into_owned();
            match change {
                Change::Removed => entries.remove(&name),
                Change::File(_) => entries.insert(name, false),
                Change::Directory => entries.insert(name, true),
            };
        }
        Ok(entries
            .into_iter()
            .map(|(name, is_dir)| DirEntry { name, is_dir })
            .collect())
    }

    /// Files only: the store renames no directory.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut changes = self.changes();
        let file = match changes.get(from).cloned() {
            Some(Change::File(file)) => file,
            None if !is_hidden(&changes, from) => self.file_below(from)?,
            Some(Change::Directory) => return Err(io::ErrorKind::Unsupported.into()),
            _ => return missing(),
        };
        changes.insert(from.to_owned(), Change::Removed);
        changes.insert(to.to_owned(), Change::File(file));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut changes = self.changes();
        let is_there = match changes.get(path) {
            Some(Change::File(_)) => true,
            None if !is_hidden(&changes, path) => {
                self.below.open(path, OpenMode::Read)?;
                true
            }
            _ => false,
        };
        if !is_there {
            return missing();
        }
        changes.insert(path.to_owned(), Change::Removed);
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.list(path)?;
        let mut changes = self.changes();
        changes.retain(|changed, _| !changed.starts_with(path));
        changes.insert(path.to_owned(), Change::Removed);
        Ok(())
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.below.free_bytes(path)
    }

    /// Without a lock file no server is there, and on a file system that nobody can write neither.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        match self.below.open(path, OpenMode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Box::new(())),
            other => other?,
        };
        match self.below.lock(path) {
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(Box::new(())),
            other => other,
        }
    }
}

/// A file with the changes made to it.
#[derive(Default)]
struct OverlayFile {
    content: Mutex<Content>,
}

#[derive(Default)]
struct Content {
    below: Option<Arc<dyn DiskFile>>,
    /// Bytes of the file below that were never cut off.
    readable: u64,
    length: u64,
    /// Where and what, in the order of writing.
    writes: Vec<(u64, Vec<u8>)>,
}

impl OverlayFile {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskFile for OverlayFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.content();
        let rest = content.length.saturating_sub(offset);
        let count = usize::try_from(rest)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let buffer = buffer.get_mut(..count).expect("it was cut to fit");
        buffer.fill(0);
        if let Some(below) = &content.below {
            let readable = content.readable.saturating_sub(offset);
            let readable = usize::try_from(readable).unwrap_or(usize::MAX).min(count);
            let part = buffer.get_mut(..readable).expect("it was cut to fit");
            crate::disk::read_exact_at(&**below, part, offset)?;
        }
        let end = offset + count as u64;
        for (at, bytes) in &content.writes {
            let (from, to) = ((*at).max(offset), (at + bytes.len() as u64).min(end));
            if from < to {
                let place = |position: u64, base: u64| {
                    usize::try_from(position - base).expect("it lies in a buffer")
                };
                let source = bytes.get(place(from, *at)..place(to, *at));
                let target = buffer.get_mut(place(from, offset)..place(to, offset));
                target
                    .expect("it overlaps")
                    .copy_from_slice(source.expect("it overlaps"));
            }
        }
        Ok(count)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut content = self.content();
        content.length = content.length.max(offset + bytes.len() as u64);
        content.writes.push((offset, bytes.to_vec()));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content().length)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut content = self.content();
        content.length = length;
        content.readable = content.readable.min(length);
        for (at, bytes) in &mut content.writes {
            let kept = usize::try_from(length.saturating_sub(*at)).unwrap_or(usize::MAX);
            bytes.truncate(kept);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{read_file, write_file_atomically};
    use crate::sim_disk::SimDisk;

    fn below() -> SimDisk {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new("/s/d")).unwrap();
        for (name, bytes) in [("/s/a", b"0123456789"), ("/s/d/b", b"abcdefghij")] {
            let file = disk.open(Path::new(name), OpenMode::CreateNew).unwrap();
            file.write_all_at(bytes, 0).unwrap();
        }
        disk
    }

    fn names(disk: &dyn Disk, path: &str) -> Vec<String> {
        let entries = disk.list(Path::new(path)).unwrap();
        entries.into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn changes_are_seen_above_and_never_below() {
        let disk = below();
        let before = disk.operations();
        let over = OverlayDisk::new(disk.shared());
        let path = |text: &'static str| Path::new(text);

        let file = over.open(path("/s/a"), OpenMode::Write).unwrap();
        file.write_all_at(b"XY", 9).unwrap();
        file.write_all_at(b"-", 0).unwrap();
        assert_eq!(read_file(&over, path("/s/a")).unwrap(), b"-12345678XY");
        file.set_len(3).unwrap();
        file.set_len(5).unwrap();
        assert_eq!(read_file(&over, path("/s/a")).unwrap(), b"-12\0\0");

        over.rename(path("/s/a"), path("/s/c")).unwrap();
        assert!(over.open(path("/s/a"), OpenMode::Read).is_err());
        write_file_atomically(&over, path("/s/e"), b"new").unwrap();
        assert_eq!(names(&over, "/s"), ["c", "d", "e"]);

        over.remove_dir_all(path("/s/d")).unwrap();
        assert!(over.list(path("/s/d")).is_err());
        assert!(over.open(path("/s/d/b"), OpenMode::Read).is_err());
        over.create_dir_all(path("/s/d/deep")).unwrap();
        assert_eq!(names(&over, "/s/d"), ["deep"]);
        assert!(over.open(path("/s/d/b"), OpenMode::Read).is_err());
        assert!(over.open(path("/s/d/b"), OpenMode::CreateNew).is_ok());
        over.remove_file(path("/s/d/b")).unwrap();
        assert!(over.remove_file(path("/s/d/b")).is_err());

        let _held = over.lock(path("/s/lock")).unwrap();
        assert_eq!(disk.operations(), before, "nothing below was changed");
        assert_eq!(names(&disk, "/s"), ["a", "d"]);
        assert_eq!(read_file(&disk, path("/s/a")).unwrap(), b"0123456789");
    }

    #[test]
    fn a_lock_that_is_held_below_is_held_here() {
        let disk = below();
        disk.open(Path::new("/s/lock"), OpenMode::CreateNew)
            .unwrap();
        let held = disk.lock(Path::new("/s/lock")).unwrap();
        let over = OverlayDisk::new(disk.shared());
        assert!(over.lock(Path::new("/s/lock")).is_err());
        drop(held);
        assert!(over.lock(Path::new("/s/lock")).is_ok());
    }
}
