//! Recognising a store directory that nats-server wrote.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{DirEntry, Disk};
use crate::fault::Fault;

/// Files and folders nats-server 2.15 puts into a stream's folder, and we never do.
const STREAM_NAMES: [&str; 2] = ["meta.inf", "msgs"];
/// The folder of nats-server's own consensus groups.
const GROUPS_NAME: &str = "_js_";

/// The first file or folder found under `dir` (the `store_dir`, or its `jetstream` folder) that nats-server has written and
/// we never write: `<ACCOUNT>/streams/<STREAM>/meta.inf`, `…/msgs`, or `_js_`. The caller refuses to use such a directory.
///
/// # Errors
/// What the disk says; a missing directory is not an error, nor is the folder of a stream that may not be listed.
pub fn foreign_store(disk: &dyn Disk, dir: &Path) -> Result<Option<PathBuf>, Fault> {
    for root in [dir.join("jetstream"), dir.to_owned()] {
        if has(disk, &root, &[GROUPS_NAME])?.is_some() {
            return Ok(Some(root.join(GROUPS_NAME)));
        }
        for account in folders(disk, &root)? {
            if let Some(found) = has(disk, &account, &[GROUPS_NAME])? {
                return Ok(Some(found));
            }
            for stream in folders(disk, &account.join("streams"))? {
                match has(disk, &stream, &STREAM_NAMES) {
                    // It tells nothing, and is the misfortune of one stream.
                    Err(fault) if fault.is_denied() => {}
                    Ok(None) => {}
                    Ok(Some(found)) => return Ok(Some(found)),
                    Err(fault) => return Err(fault),
                }
            }
        }
    }
    Ok(None)
}

fn has(disk: &dyn Disk, dir: &Path, names: &[&str]) -> Result<Option<PathBuf>, Fault> {
    let found = entries(disk, dir)?
        .into_iter()
        .find(|entry| names.contains(&entry.name.as_str()));
    Ok(found.map(|entry| dir.join(entry.name)))
}

fn folders(disk: &dyn Disk, dir: &Path) -> Result<Vec<PathBuf>, Fault> {
    let entries = entries(disk, dir)?;
    Ok(entries
        .into_iter()
        .filter(|entry| entry.is_dir)
        .map(|entry| dir.join(entry.name))
        .collect())
}

fn entries(disk: &dyn Disk, dir: &Path) -> Result<Vec<DirEntry>, Fault> {
    match disk.list(dir) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        outcome => outcome.map_err(Fault::open(dir)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::OpenMode;
    use crate::sim_disk::SimDisk;

    #[test]
    fn only_what_nats_server_writes_is_foreign() {
        let check = |file: &str, expected: Option<&str>| {
            let disk = SimDisk::new();
            let path = Path::new(file);
            disk.create_dir_all(path.parent().unwrap()).unwrap();
            disk.open(path, OpenMode::CreateNew).unwrap();
            let found = foreign_store(&disk, Path::new("/store")).unwrap();
            assert_eq!(found.as_deref(), expected.map(Path::new), "{file}");
        };
        let orders = "/store/jetstream/$G/streams/ORDERS";
        check(
            &format!("{orders}/meta.inf"),
            Some(&format!("{orders}/meta.inf")),
        );
        check(
            &format!("{orders}/msgs/1.blk"),
            Some(&format!("{orders}/msgs")),
        );
        check(
            "/store/$G/streams/ORDERS/meta.inf",
            Some("/store/$G/streams/ORDERS/meta.inf"),
        );
        check(
            "/store/jetstream/$SYS/_js_/_meta_/x",
            Some("/store/jetstream/$SYS/_js_"),
        );
        check("/store/_js_/x", Some("/store/_js_"));
        check(&format!("{orders}/meta.json"), None);
        check("/store/jetstream/manifest.a", None);
        check("/elsewhere/x", None);
    }
}
