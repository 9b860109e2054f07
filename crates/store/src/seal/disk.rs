//! A disk whose files are sealed.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::keys::Keys;
use crate::disk::{DirEntry, Disk, DiskFile, Job, OpenMode};

/// A disk that knows the keys of its store. Opening a file gives its bytes as they are: who reads and writes a kind of file
/// asks [`Disk::keys`] and seals what the kind seals.
pub struct SealedDisk {
    inner: Arc<dyn Disk>,
    keys: Arc<Keys>,
}

impl SealedDisk {
    /// `inner` with `keys`.
    #[must_use]
    pub fn new(inner: Arc<dyn Disk>, keys: Arc<Keys>) -> Self {
        Self { inner, keys }
    }
}

impl Disk for SealedDisk {
    fn keys(&self) -> Option<&Arc<Keys>> {
        Some(&self.keys)
    }

    fn do_all(&self, jobs: &mut [Job<'_>]) {
        self.inner.do_all(jobs);
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.inner.open(path, mode)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.inner.free_bytes(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.inner.lock(path)
    }
}
