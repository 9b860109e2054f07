//! Where everything lies under the store directory.

use std::path::{Path, PathBuf};

use everjet_values::EntryIndex;

/// The name of our folder inside `store_dir`.
const FOLDER: &str = "jetstream";
/// The file in a stream's folder that says whose it is.
pub(crate) const META: &str = "meta.json";

/// The folders and files of one store; see `docs/format.md`.
#[derive(Clone, Debug)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// The store under `store_dir`: its folder `jetstream`, or `store_dir` itself when it is named so already, as
    /// nats-server does it.
    #[must_use]
    pub fn new(store_dir: &Path) -> Self {
        let named = store_dir.file_name().is_some_and(|name| name == FOLDER);
        Self {
            root: if named {
                store_dir.to_owned()
            } else {
                store_dir.join(FOLDER)
            },
        }
    }

    /// The folder that holds everything.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(crate) fn streams(&self, account: &str) -> PathBuf {
        self.root.join(account).join("streams")
    }

    /// The folder of a stream.
    #[must_use]
    pub fn stream(&self, account: &str, stream: &str) -> PathBuf {
        self.streams(account).join(stream)
    }

    pub(crate) fn stream_meta(&self, account: &str, stream: &str) -> PathBuf {
        self.stream(account, stream).join(META)
    }

    pub(crate) fn consumer(&self, account: &str, stream: &str, consumer: &str) -> PathBuf {
        self.stream(account, stream)
            .join("consumers")
            .join(consumer)
    }

    pub(crate) fn consumer_state(
        &self,
        account: &str,
        stream: &str,
        consumer: &str,
        entry: EntryIndex,
    ) -> PathBuf {
        self.consumer(account, stream, consumer)
            .join(format!("{:020}.state", entry.0))
    }
}
