//! The store directory of nats-server: which streams it has. Only read.

use std::io;
use std::path::{Path, PathBuf};

use everjet_store::{Disk, Fault, read_file};

/// A stream of the source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SourceStream {
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
}

/// What a source directory holds.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// By account and name.
    pub(crate) streams: Vec<SourceStream>,
    /// A consensus log is among it: it was a server of a cluster.
    pub(crate) is_clustered: bool,
}

impl Source {
    /// Looks at `dir`: a `store_dir`, or its `jetstream` folder.
    pub(crate) fn find(disk: &dyn Disk, dir: &Path) -> Result<Self, Fault> {
        let nested = dir.join("jetstream");
        // A directory that is not there is an error here, and not an empty store.
        let root = match disk.list(&nested) {
            Ok(_) => nested,
            Err(_) => dir.to_owned(),
        };
        disk.list(&root).map_err(Fault::open(&root))?;
        let mut source = Self::default();
        for account in folders(disk, &root)? {
            let account_folder = root.join(&account);
            source.is_clustered |= folders(disk, &account_folder)?.contains(&"_js_".to_owned());
            let streams = account_folder.join("streams");
            for name in folders(disk, &streams)? {
                source.streams.push(SourceStream {
                    account: account.clone(),
                    folder: streams.join(&name),
                    name,
                });
            }
        }
        source.streams.sort();
        Ok(source)
    }
}

/// The folders in a directory; none when it is missing.
pub(crate) fn folders(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, Fault> {
    names(disk, dir, true)
}

/// The files in a directory; none when it is missing.
pub(crate) fn files(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, Fault> {
    names(disk, dir, false)
}

fn names(disk: &dyn Disk, dir: &Path, folders: bool) -> Result<Vec<String>, Fault> {
    let entries = match disk.list(dir) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        entries => entries.map_err(Fault::open(dir))?,
    };
    Ok(entries
        .into_iter()
        .filter(|entry| entry.is_dir == folders)
        .map(|entry| entry.name)
        .collect())
}

/// The content of a file; `None` when it is missing.
pub(crate) fn content(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, Fault> {
    match read_file(disk, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        content => content.map(Some).map_err(Fault::read(path)),
    }
}
