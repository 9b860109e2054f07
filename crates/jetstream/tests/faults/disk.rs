//! The operating system's disk with a hook before every operation, and one before every read.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, RwLock};

use everjet_jetstream::OsDisk;
use everjet_store::{DirEntry, Disk, DiskFile, OpenMode};

/// What is about to happen to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Create,
    CreateDir,
    Rename,
    Remove,
    Write,
    Resize,
    Sync,
    SyncDir,
    /// Opening what exists, to read or to write.
    Open,
    List,
    /// Taking the lock of the store, for which the operating system opens a file to write.
    Lock,
}

impl Op {
    /// Whether a disk without room refuses it.
    pub(crate) fn needs_room(self) -> bool {
        matches!(
            self,
            Self::Create | Self::CreateDir | Self::Write | Self::Resize
        )
    }
}

type Hook = Arc<dyn Fn(Op, &Path) -> io::Result<()> + Send + Sync>;
type ReadHook = Arc<dyn Fn(&Path) -> io::Result<()> + Send + Sync>;

/// What tests do to the disk. Shared by the disk and all its files.
pub(crate) struct Faults {
    hook: Mutex<Option<Hook>>,
    read_hook: Mutex<Option<ReadHook>>,
    free_bytes: AtomicU64,
    /// Held shared by every change, exclusively while the folder is copied.
    changes: RwLock<()>,
}

/// More than anything here fills.
const PLENTY: u64 = 1 << 40;

impl Faults {
    pub(crate) fn none() -> Arc<Self> {
        Arc::new(Self {
            hook: Mutex::default(),
            read_hook: Mutex::default(),
            free_bytes: AtomicU64::new(PLENTY),
            changes: RwLock::default(),
        })
    }

    /// Calls `hook` before each operation from now on; its error is the operation's, which then does not happen.
    pub(crate) fn set(&self, hook: impl Fn(Op, &Path) -> io::Result<()> + Send + Sync + 'static) {
        *self.hook.lock().unwrap() = Some(Arc::new(hook));
    }

    /// Calls `hook` before each read of a file from now on; its error is the read's.
    pub(crate) fn set_reads(&self, hook: impl Fn(&Path) -> io::Result<()> + Send + Sync + 'static) {
        *self.read_hook.lock().unwrap() = Some(Arc::new(hook));
    }

    /// Says that no byte is free.
    pub(crate) fn say_full(&self) {
        self.free_bytes.store(0, Ordering::SeqCst);
    }

    /// Everything works again.
    pub(crate) fn clear(&self) {
        *self.hook.lock().unwrap() = None;
        *self.read_hook.lock().unwrap() = None;
        self.free_bytes.store(PLENTY, Ordering::SeqCst);
    }

    /// What a kill at this moment leaves behind, copied to `to`.
    pub(crate) fn copy_as_killed(&self, from: &Path, to: &Path) {
        let _nothing_changes = self.changes.write().unwrap();
        copy_folder(from, to);
    }

    /// Calls the hook for something that changes nothing.
    fn look(&self, op: Op, path: &Path) -> io::Result<()> {
        let hook = self.hook.lock().unwrap().clone();
        hook.map_or(Ok(()), |hook| hook(op, path))
    }

    fn change<T>(
        &self,
        op: Op,
        path: &Path,
        change: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let hook = self.hook.lock().unwrap().clone();
        if let Some(hook) = hook {
            hook(op, path)?;
        }
        let _no_copy = self.changes.read().unwrap();
        change()
    }
}

/// [`OsDisk`] with [`Faults`].
pub(crate) struct FaultyDisk(pub(crate) Arc<Faults>);

struct FaultyFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    faults: Arc<Faults>,
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let open = || OsDisk.open(path, mode);
        let file = match mode {
            OpenMode::CreateNew => self.0.change(Op::Create, path, open)?,
            OpenMode::Read | OpenMode::Write => {
                self.0.look(Op::Open, path)?;
                open()?
            }
        };
        Ok(Arc::new(FaultyFile {
            file,
            path: path.to_owned(),
            faults: Arc::clone(&self.0),
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return OsDisk.create_dir_all(path);
        }
        self.0
            .change(Op::CreateDir, path, || OsDisk.create_dir_all(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.look(Op::List, path)?;
        OsDisk.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.change(Op::Rename, to, || OsDisk.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.change(Op::Remove, path, || OsDisk.remove_file(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0
            .change(Op::Remove, path, || OsDisk.remove_dir_all(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.change(Op::SyncDir, path, || OsDisk.sync_dir(path))
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.0.free_bytes.load(Ordering::SeqCst))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.0.look(Op::Lock, path)?;
        OsDisk.lock(path)
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let hook = self.faults.read_hook.lock().unwrap().clone();
        if let Some(hook) = hook {
            hook(&self.path)?;
        }
        self.file.read_at(buffer, offset)
    }

    fn read_now_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        // Whoever has something to say about reads means those of the device.
        if self.faults.read_hook.lock().unwrap().is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.file.read_now_at(buffer, offset)
    }

    fn read_ahead(&self, offset: u64, length: u64) {
        self.file.read_ahead(offset, length);
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.faults.change(Op::Write, &self.path, || {
            self.file.write_all_at(bytes, offset)
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.faults
            .change(Op::Resize, &self.path, || self.file.set_len(length))
    }

    fn sync(&self) -> io::Result<()> {
        self.faults
            .change(Op::Sync, &self.path, || self.file.sync())
    }
}

/// Whether `path` is the journal's folder or in it.
pub(crate) fn is_journal(path: &Path) -> bool {
    path.ancestors()
        .take(2)
        .any(|folder| folder.ends_with("jetstream/journal"))
}

/// Keeps threads waiting until it is opened.
#[derive(Default)]
pub(crate) struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    pub(crate) fn pass(&self) {
        let closed = self.is_open.lock().unwrap();
        drop(self.opened.wait_while(closed, |is_open| !*is_open).unwrap());
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
