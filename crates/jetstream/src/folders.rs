//! The folders of streams.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use everjet_api::StreamConfig;
use everjet_store::{
    Disk, Fault, SavedSegments, StreamId, StreamStore, holds_checked_file, read_checked_file,
    write_checked_file,
};
use everjet_values::Timestamp;
use serde::{Deserialize, Serialize};

use crate::open::{META_MAGIC, StorageOptions};
use crate::paths::Paths;

/// What `meta.json` of a stream says. The truth is in the manifest and the journal; this copy lets a person, or a rescue,
/// tell whose folder it is.
#[derive(Serialize, Deserialize)]
pub(crate) struct StreamMeta {
    pub(crate) id: StreamId,
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) created: Timestamp,
    pub(crate) config: StreamConfig,
}

/// An empty store on disk for a stream; writes nothing yet. Opened, not made new: a checkpoint that never counted, or a folder that
/// could not be removed, may have left files of a future that did not happen.
pub(crate) fn new_store(
    disk: &Arc<dyn Disk>,
    paths: &Paths,
    options: &StorageOptions,
    id: StreamId,
    account: &str,
    name: &str,
) -> Result<StreamStore, Fault> {
    let folder = paths.stream(account, name);
    let nothing = SavedSegments::default();
    let opened = StreamStore::open(Arc::clone(disk), folder, id, name, options.store, &nothing);
    opened.map(|(store, _)| store)
}

/// Makes a stream's folder with its `meta.json`; both are durable when this returns. What is there already stays.
pub(crate) fn make_folder(disk: &dyn Disk, paths: &Paths, meta: &StreamMeta) -> Result<(), Fault> {
    let path = paths.stream_meta(&meta.account, &meta.name);
    let json = serde_json::to_vec_pretty(meta)
        .expect("maps with string keys and numbers always serialise");
    if holds_checked_file(disk, &path, META_MAGIC, &json) {
        return Ok(());
    }
    let folder = paths.stream(&meta.account, &meta.name);
    disk.create_dir_all(&folder)
        .map_err(Fault::create(&folder))?;
    write_checked_file(disk, &path, META_MAGIC, &json)?;
    let mut directory = folder.as_path();
    while let Some(parent) = directory.parent() {
        disk.sync_dir(parent).map_err(Fault::sync(parent))?;
        if parent == paths.root() {
            break;
        }
        directory = parent;
    }
    Ok(())
}

/// What the `meta.json` of all streams say, by id; those that cannot be read are left out.
pub(crate) fn all_metas(disk: &dyn Disk, paths: &Paths) -> BTreeMap<StreamId, StreamMeta> {
    let mut metas = BTreeMap::new();
    for (account, stream) in stream_folders(disk, paths) {
        let path = paths.stream_meta(&account, &stream);
        let Ok(Some(bytes)) = read_checked_file(disk, &path, META_MAGIC) else {
            continue;
        };
        if let Ok(meta) = serde_json::from_slice::<StreamMeta>(&bytes) {
            metas.insert(meta.id, meta);
        }
    }
    metas
}

/// Account and name of every folder of a stream, whether the stream exists or not.
pub(crate) fn stream_folders(disk: &dyn Disk, paths: &Paths) -> Vec<(String, String)> {
    let folders = |dir: &Path| -> Vec<String> {
        let entries = disk.list(dir).unwrap_or_default().into_iter();
        let folders = entries.filter(|entry| entry.is_dir);
        folders.map(|entry| entry.name).collect()
    };
    let mut found = Vec::new();
    for account in folders(paths.root()) {
        for stream in folders(&paths.streams(&account)) {
            found.push((account.clone(), stream));
        }
    }
    found
}

/// Removes a stream's folder for good.
pub(crate) fn remove_folder(
    disk: &dyn Disk,
    paths: &Paths,
    account: &str,
    name: &str,
) -> Result<(), Fault> {
    let folder = paths.stream(account, name);
    match disk.remove_dir_all(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Fault::remove(&folder))?,
    }
    let streams = paths.streams(account);
    disk.sync_dir(&streams).map_err(Fault::sync(&streams))
}
