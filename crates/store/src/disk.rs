//! The `Disk` seam: everything the store asks of a file system, and nothing else.
//!
//! Rules of the seam, which the operating system keeps and the simulated disk enforces:
//! a write is in memory until [`DiskFile::sync`] returns; a created, renamed or removed name is durable only after
//! [`Disk::sync_dir`] of its directory (only [`Disk::create_dir_all`] does that itself); a failed sync is final and never retried on the same file.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::sabotage::{PlantedBug, is_planted};
use crate::seal::Keys;

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, to be read only.
    Read,
    /// An existing file, to be read and written.
    Write,
    /// A new file, to be read and written; `AlreadyExists` when the name is taken.
    CreateNew,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name without its directory. Names that are not UTF-8 are left out of listings: the store never writes such.
    pub name: String,
    /// Whether the name is a directory.
    pub is_dir: bool,
}

/// The seam through which the store reaches files.
pub trait Disk: Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists` ([`OpenMode::CreateNew`]), or what the file system says.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;

    /// Creates a directory and the missing ones above it (0700), and makes their names durable; an existing directory is fine.
    ///
    /// # Errors
    /// What the file system says.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// `NotFound` or what the file system says.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Renames a file or directory, replacing an existing file.
    ///
    /// # Errors
    /// `NotFound` or what the file system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound` or what the file system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with everything in it.
    ///
    /// # Errors
    /// `NotFound` or what the file system says.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable: creations, renames and removals since the last call.
    ///
    /// # Errors
    /// What the file system says. As with [`DiskFile::sync`], a failure is final.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Bytes that can still be written to the file system of `path`.
    ///
    /// # Errors
    /// What the file system says.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Takes the exclusive lock named by `path` (created when missing) until the returned value is dropped.
    ///
    /// # Errors
    /// `WouldBlock` when another holder has it, or what the file system says.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;

    /// Does `jobs`, none of which needs another one, and returns when all are done. A disk whose driver has threads does some at
    /// a time; here they are done one after the other.
    fn do_all(&self, jobs: &mut [Job<'_>]) {
        for job in jobs {
            job();
        }
    }

    /// The keys that the store's files on this disk are sealed with; `None`: they are not. Only
    /// [`SealedDisk`](crate::SealedDisk) has any.
    fn keys(&self) -> Option<&Arc<Keys>> {
        None
    }
}

/// What [`Disk::do_all`] does; each is called once.
pub type Job<'a> = &'a mut (dyn FnMut() + Send);

/// An open file; shared by reference, positions are explicit.
#[expect(
    clippy::len_without_is_empty,
    reason = "a length read from the disk can fail; nobody asks for emptiness alone"
)]
pub trait DiskFile: Send + Sync {
    /// Reads into `buffer` from `offset`; fewer bytes only at the end of the file.
    ///
    /// # Errors
    /// What the file system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// As [`DiskFile::read_at`], but only what the operating system has in memory: this call never waits for the device. The
    /// default has nothing.
    ///
    /// # Errors
    /// `WouldBlock` when the device had to be waited for, or what the file system says.
    fn read_now_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let _ = (buffer, offset);
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Says that what lies there is about to be read, so that the operating system reads it in one go. Returns at once or when
    /// reading has begun; that nothing comes of it is not told. The default does nothing.
    fn read_ahead(&self, offset: u64, length: u64) {
        let _ = (offset, length);
    }

    /// Writes all of `bytes` at `offset`, growing the file when needed. Survives a crash of the process when it returns, power loss
    /// only after [`DiskFile::sync`].
    ///
    /// # Errors
    /// What the file system says; how much of `bytes` was written is then unknown.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// What the file system says.
    fn len(&self) -> io::Result<u64>;

    /// Cuts the file or grows it with zeros.
    ///
    /// # Errors
    /// What the file system says.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Makes everything written so far, and the length needed to read it, survive power loss (`fdatasync`).
    ///
    /// # Errors
    /// What the file system says. A failure is final: the state of unsynced bytes is unknown from then on.
    fn sync(&self) -> io::Result<()>;
}

/// Reads exactly `buffer.len()` bytes.
///
/// # Errors
/// `UnexpectedEof` when the file ends before, or what the file system says.
pub fn read_exact_at(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => done += count,
        }
    }
    Ok(())
}

/// Reads a whole file.
///
/// # Errors
/// `NotFound` or what the file system says.
pub fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, OpenMode::Read)?;
    let length = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; length];
    read_exact_at(&*file, &mut bytes, 0)?;
    Ok(bytes)
}

/// Puts `bytes` under the name `path` so that after a crash or power loss the file holds either its old content or all of
/// the new: written beside it, synced, renamed over it, directory synced.
///
/// # Errors
/// What the file system says; the old content is still there then.
pub fn write_file_atomically(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut beside = name.to_os_string();
    beside.push(".new");
    let beside = directory.join(beside);
    match disk.remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.open(&beside, OpenMode::CreateNew)?;
    let sync = || {
        if is_planted(PlantedBug::RenamedBeforeSync) {
            return Ok(());
        }
        file.sync()
    };
    if let Err(error) = file.write_all_at(bytes, 0).and_then(|()| sync()) {
        // On a full disk the remains would take the space that others wait for.
        let _ = disk.remove_file(&beside);
        return Err(error);
    }
    disk.rename(&beside, path)?;
    let forgets_sync = match path.extension() {
        Some(extension) if extension == "state" => PlantedBug::ConsumerDirectoryNotSynced,
        _ => PlantedBug::ManifestDirectoryNotSynced,
    };
    if is_planted(forgets_sync) {
        return Ok(());
    }
    disk.sync_dir(directory)
}
