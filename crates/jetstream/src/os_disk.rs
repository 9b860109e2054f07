//! The operating system's files behind the [`Disk`] seam.

use std::any::Any;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use everjet_store::{DirEntry, Disk, DiskFile, Job, OpenMode};
use parking_lot::Mutex;

/// Files are for the server's user only: messages are nobody else's business.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;
/// Jobs that are done at the same time.
const JOBS_MAX: usize = 8;

/// The disk of the operating system. No file it opens is inherited by programs the server starts.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).mode(FILE_MODE);
        match mode {
            OpenMode::Read => {}
            OpenMode::Write => {
                options.write(true);
            }
            OpenMode::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        Ok(Arc::new(OsFile(options.open(path)?)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut above = Some(path);
        while let Some(dir) = above.filter(|dir| !dir.as_os_str().is_empty()) {
            match dir.metadata() {
                Ok(found) if found.is_dir() => break,
                Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(dir),
                Err(error) => return Err(error),
            }
            above = dir.parent();
        }
        for dir in missing.iter().rev() {
            match DirBuilder::new().mode(DIR_MODE).create(dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => sync_parent(dir)?,
            }
        }
        if missing.is_empty() {
            // It may have been created by a process that was killed before it could make the name durable. Where the folder above
            // may not be read, it was not this server that created it.
            match sync_parent(path) {
                Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in path.read_dir()? {
            let entry = entry?;
            let is_dir = entry.file_type()?.is_dir();
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(DirEntry { name, is_dir });
            }
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        sync_directory(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let status = rustix::fs::statvfs(path)?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }

    fn do_all(&self, jobs: &mut [Job<'_>]) {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = cores.min(jobs.len()).min(JOBS_MAX);
        let queue = Mutex::new(jobs.iter_mut());
        let work = || {
            loop {
                let next = queue.lock().next();
                let Some(job) = next else { return };
                job();
            }
        };
        std::thread::scope(|scope| {
            for number in 1..threads {
                let name = format!("opener-{number}");
                let helper = std::thread::Builder::new().name(name);
                // Without another thread this one does all.
                let _ = helper.spawn_scoped(scope, work);
            }
            work();
        });
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE);
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// A file of the operating system; the positions are in the calls, so it is shared freely.
struct OsFile(File);

impl DiskFile for OsFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    #[cfg(target_os = "linux")]
    fn read_now_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        use rustix::io::{ReadWriteFlags, preadv2};
        let mut buffers = [io::IoSliceMut::new(buffer)];
        Ok(preadv2(
            &self.0,
            &mut buffers,
            offset,
            ReadWriteFlags::NOWAIT,
        )?)
    }

    fn read_ahead(&self, offset: u64, length: u64) {
        // Advice: a file system that cannot take it reads what is asked for, and no more.
        let _ = rustix::fs::fadvise(
            &self.0,
            offset,
            std::num::NonZeroU64::new(length),
            rustix::fs::Advice::WillNeed,
        );
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Makes the name of `path` durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync_directory(Path::new(".")),
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

/// Makes the names in a directory durable.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = File::open(path)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the names of a directory are its metadata"
    )]
    directory.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use everjet_store::{
        Journal, JournalBatch, JournalOptions, Lsn, StreamId, read_file, write_file_atomically,
    };
    use everjet_values::EntryIndex;

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn what_was_just_written_is_read_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let file = OsDisk
            .open(&dir.path().join("a"), OpenMode::CreateNew)
            .unwrap();
        file.write_all_at(b"0123456789", 0).unwrap();
        let mut buffer = [0; 20];
        match file.read_now_at(&mut buffer, 3) {
            Ok(count) => assert_eq!(buffer[..count], *b"3456789"),
            // Not every file system can tell.
            Err(error) => assert_ne!(error.kind(), io::ErrorKind::InvalidInput, "{error}"),
        }
    }

    #[test]
    fn files_and_directories_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        OsDisk.create_dir_all(&deep).unwrap();
        OsDisk.create_dir_all(&deep).unwrap();
        let file = OsDisk.open(&deep.join("f"), OpenMode::CreateNew).unwrap();
        file.write_all_at(b"x", 0).unwrap();
        for (path, mode) in [("a", DIR_MODE), ("a/b/c", DIR_MODE), ("a/b/c/f", FILE_MODE)] {
            let found = folder.path().join(path).metadata().unwrap().mode() & 0o777;
            assert_eq!(found, mode, "{path}");
        }
        let listed = OsDisk.list(&folder.path().join("a/b/c")).unwrap();
        assert_eq!(
            listed,
            [DirEntry {
                name: "f".into(),
                is_dir: false
            }]
        );
        let error = OsDisk.create_dir_all(&deep.join("f")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn reads_and_writes_are_positioned_and_modes_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let missing = OsDisk.open(&path, OpenMode::Write).err().unwrap();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let file = OsDisk.open(&path, OpenMode::CreateNew).unwrap();
        let taken = OsDisk.open(&path, OpenMode::CreateNew).err().unwrap();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        file.write_all_at(b"world", 6).unwrap();
        file.write_all_at(b"hello ", 0).unwrap();
        file.sync().unwrap();
        let mut buffer = [0; 20];
        assert_eq!(file.read_at(&mut buffer, 2).unwrap(), 9);
        assert_eq!(&buffer[..9], b"llo world");
        assert_eq!(file.read_at(&mut buffer, 11).unwrap(), 0);
        file.set_len(5).unwrap();
        assert_eq!(file.len().unwrap(), 5);
        OsDisk
            .open(&path, OpenMode::Read)
            .unwrap()
            .write_all_at(b"x", 0)
            .unwrap_err();
        write_file_atomically(&OsDisk, &path, b"new").unwrap();
        assert_eq!(read_file(&OsDisk, &path).unwrap(), b"new");
        assert!(OsDisk.free_bytes(folder.path()).unwrap() > 0);
    }

    #[test]
    fn one_lock_one_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = OsDisk.lock(&path).unwrap();
        assert_eq!(
            OsDisk.lock(&path).err().unwrap().kind(),
            io::ErrorKind::WouldBlock
        );
        drop(held);
        OsDisk.lock(&path).unwrap();
    }

    #[test]
    fn a_journal_lives_on_it() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("jetstream/journal");
        let options = JournalOptions {
            file_bytes: 1 << 16,
            hurried_file_bytes: 1 << 16,
            ..JournalOptions::default()
        };
        let mut bodies = Vec::new();
        for round in 0..3u8 {
            bodies.clear();
            let (mut journal, report) = Journal::open(
                Arc::new(OsDisk),
                &dir,
                options.clone(),
                Lsn::FIRST,
                &mut |record| {
                    bodies.push(record.body.to_vec());
                    Ok(())
                },
            )
            .unwrap();
            assert_eq!(report.damage, []);
            assert_eq!(bodies.len(), usize::from(round) * 30);
            let spare = journal.spare_job().map(|job| job.run().unwrap());
            if let Some(spare) = spare {
                journal.install_spare(spare).unwrap();
            }
            let mut batch = JournalBatch::new();
            for number in 0..30 {
                batch.push(StreamId(1), EntryIndex(number), 1, |body| {
                    body.extend([round; 3000])
                });
            }
            let last = journal.write(&mut batch).unwrap();
            assert_eq!(journal.sync().unwrap().into_inner(), last);
        }
    }
}
