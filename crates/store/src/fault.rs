//! What went wrong below the store: the disk, or what is on it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was tried when the disk refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Opening a file or listing a directory.
    Open,
    /// Creating a file or a directory.
    Create,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Making written bytes or names durable.
    Sync,
    /// Renaming.
    Rename,
    /// Removing.
    Remove,
    /// Taking the lock of the store directory.
    Lock,
}

/// The disk failed, or holds something it must not hold. Nothing was acknowledged for what failed.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The operating system refused.
    Io {
        /// What was tried.
        attempt: Attempt,
        /// On which file or directory.
        path: PathBuf,
        /// What the operating system said.
        cause: Arc<io::Error>,
    },
    /// A file fails its check and there is no second copy to go on with. It was left as it is.
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// What does not hold.
        what: String,
    },
    /// A file was written by another version of this software: a newer one, or one that is not supported any more.
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format version.
        version: u32,
        /// The newest version that can be read.
        supported: u32,
    },
    /// A file is encrypted and there is no key.
    Sealed {
        /// The file.
        path: PathBuf,
    },
    /// An earlier fault left the journal in an unknown state, so it accepts nothing any more.
    Latched {
        /// The earlier fault.
        cause: Arc<Fault>,
    },
}

impl Fault {
    /// The operating system refused `attempt` on `path`.
    #[must_use]
    pub fn io(attempt: Attempt, path: &Path, cause: io::Error) -> Self {
        Self::Io {
            attempt,
            path: path.to_owned(),
            cause: Arc::new(cause),
        }
    }

    /// Opening or listing `path` was refused. Made to be passed to `map_err`, like the ones that follow.
    pub fn open(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |cause| Self::io(Attempt::Open, path, cause)
    }

    /// Creating `path` was refused.
    pub fn create(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |cause| Self::io(Attempt::Create, path, cause)
    }

    /// Reading `path` was refused.
    pub fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |cause| Self::io(Attempt::Read, path, cause)
    }

    /// Writing `path` was refused.
    pub fn write(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |cause| Self::io(Attempt::Write, path, cause)
    }

    /// Syncing `path` was refused. Final: never sync the same file again.
    pub fn sync(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |cause| Self::io(Attempt::Sync, path, cause)
    }

    /// Renaming to `path` was refused.
    pub fn rename(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |cause| Self::io(Attempt::Rename, path, cause)
    }

    /// Removing `path` was refused.
    pub fn remove(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |cause| Self::io(Attempt::Remove, path, cause)
    }

    /// `path` fails a check: `what` does not hold.
    #[must_use]
    pub fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            what: what.into(),
        }
    }

    /// Whether the disk (or its quota) is full, so that the same may succeed once there is room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { cause, .. } => matches!(
                cause.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            _ => false,
        }
    }

    /// Whether the state of the files is unknown afterwards, so that the same must not be tried again: a sync failed, or a write for
    /// another reason than a full disk.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Io {
                attempt: Attempt::Sync,
                ..
            } => true,
            Self::Io {
                attempt: Attempt::Write,
                ..
            } => !self.is_full(),
            _ => false,
        }
    }

    /// Whether the server's user may not do it: what an operator repairs without a loss.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Whether the file or directory does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if cause.kind() == io::ErrorKind::NotFound)
    }

    /// The file or directory concerned.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. }
            | Self::Damaged { path, .. }
            | Self::NewerFormat { path, .. }
            | Self::Sealed { path } => path,
            Self::Latched { cause } => cause.path(),
        }
    }

    /// What an operator can do about it.
    fn advice(&self) -> &'static str {
        match self {
            Self::Io { attempt, cause, .. } => match (attempt, cause.kind()) {
                _ if self.is_full() => "free disk space; writing resumes by itself",
                (_, io::ErrorKind::PermissionDenied) => {
                    "give the server's user read and write access to all of the store directory, then restart the server"
                }
                (_, io::ErrorKind::ReadOnlyFilesystem) => {
                    "mount the file system writable, then restart the server"
                }
                (Attempt::Lock, io::ErrorKind::WouldBlock) => {
                    "another server uses this store directory; stop it or choose another store_dir"
                }
                (Attempt::Sync, _) => "check the disk, then restart the server",
                _ => "check the disk",
            },
            Self::Damaged { .. } => "the file was left as it is; restore it from a backup",
            Self::NewerFormat {
                version, supported, ..
            } if version < supported => "start the version of the server that wrote it",
            Self::NewerFormat { .. } => {
                "start the version of the server that wrote it, or a newer one"
            }
            Self::Sealed { .. } => "set the key that the store was encrypted with",
            Self::Latched { .. } => "check the disk, then restart the server",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io {
                attempt,
                path,
                cause,
            } => write!(f, "{attempt} {}: {cause}", path.display())?,
            Self::Damaged { path, what } => write!(f, "damaged {}: {what}", path.display())?,
            Self::NewerFormat {
                path,
                version,
                supported,
            } if version < supported => write!(
                f,
                "{} has format version {version}, which this server does not read any more",
                path.display()
            )?,
            Self::NewerFormat {
                path,
                version,
                supported,
            } => write!(
                f,
                "{} has format version {version}, this server reads up to {supported}",
                path.display()
            )?,
            Self::Sealed { path } => write!(f, "{} is encrypted", path.display())?,
            Self::Latched { cause } => {
                return write!(f, "the journal stopped after an earlier fault: {cause}");
            }
        }
        write!(f, " ({})", self.advice())
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "cannot open",
            Self::Create => "cannot create",
            Self::Read => "cannot read",
            Self::Write => "cannot write",
            Self::Sync => "cannot sync",
            Self::Rename => "cannot rename to",
            Self::Remove => "cannot remove",
            Self::Lock => "cannot lock",
        })
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { cause, .. } => Some(&**cause),
            Self::Latched { cause } => Some(&**cause),
            Self::Damaged { .. } | Self::NewerFormat { .. } | Self::Sealed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_what_where_and_what_to_do() {
        let check = |fault: Fault, expected: &str| assert_eq!(fault.to_string(), expected);
        let path = Path::new("/data/x.wal");
        let full = || io::Error::new(io::ErrorKind::StorageFull, "no space left on device");
        check(
            Fault::write(path)(full()),
            "cannot write /data/x.wal: no space left on device (free disk space; writing resumes by itself)",
        );
        check(
            Fault::sync(path)(io::Error::other("input/output error")),
            "cannot sync /data/x.wal: input/output error (check the disk, then restart the server)",
        );
        check(
            Fault::Latched {
                cause: Arc::new(Fault::sync(path)(io::Error::other("input/output error"))),
            },
            "the journal stopped after an earlier fault: cannot sync /data/x.wal: input/output error \
             (check the disk, then restart the server)",
        );
        check(
            Fault::damaged(path, "checksum does not match"),
            "damaged /data/x.wal: checksum does not match (the file was left as it is; restore it from a backup)",
        );
    }

    #[test]
    fn only_a_full_disk_is_full() {
        let path = Path::new("x");
        assert!(Fault::write(path)(io::ErrorKind::StorageFull.into()).is_full());
        assert!(!Fault::write(path)(io::ErrorKind::PermissionDenied.into()).is_full());
        let latched = Fault::Latched {
            cause: Arc::new(Fault::write(path)(io::ErrorKind::StorageFull.into())),
        };
        assert!(!latched.is_full(), "a latched journal does not resume");
    }
}
