//! Compares what is in the directory with what should be there.

use std::path::Path;

use everjet_store::{DirEntry, Fault, ManifestSegment, ManifestStream};

use super::Job;
use crate::finding::{Finding, Severity};
use crate::folders::stream_folders;
use crate::open::OpenError;

/// Names beside the accounts.
const ROOT_FILES: [&str; 5] = [
    "lock",
    "manifest.a",
    "manifest.b",
    "manifest.a.new",
    "manifest.b.new",
];
/// Names in the folder of a stream, besides those of segments and their indexes.
const STREAM_FILES: [&str; 4] = ["meta.json", "meta.json.new", "checkpoint.bin", "consumers"];

impl Job<'_> {
    pub(super) fn check_files(&mut self) -> Result<(), OpenError> {
        self.check_root()?;
        self.check_journal_names()?;
        for (account, name) in stream_folders(self.disk, &self.paths) {
            self.check_folder(&account, &name)?;
        }
        Ok(())
    }

    fn names(&self, dir: &Path) -> Result<Vec<DirEntry>, Fault> {
        match self.disk.list(dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(Fault::open(dir)),
        }
    }

    fn note(&mut self, path: &Path, what: &str, advice: &str) {
        let finding = Finding::new(Severity::Note, path, what);
        self.report.add(finding.with_effect("", advice));
    }

    fn check_root(&mut self) -> Result<(), OpenError> {
        let root = self.paths.root().to_owned();
        let entries = self.names(&root)?;
        for entry in &entries {
            if !entry.is_dir && !ROOT_FILES.contains(&entry.name.as_str()) {
                self.note(
                    &root.join(&entry.name),
                    "this file is not one of the server's",
                    "move it away if nobody needs it here",
                );
            }
        }
        for slot in ["manifest.a", "manifest.b"] {
            if !entries.iter().any(|entry| entry.name == slot) {
                let finding = Finding::new(
                    Severity::Repairable,
                    &root.join(slot),
                    "the file is missing",
                );
                self.report.add(finding.with_effect(
                    "nothing is lost: the other slot says the same",
                    "nothing has to be done; the next checkpoint writes it again",
                ));
            }
        }
        let kept = self.names(&self.paths.quarantine())?.len();
        if kept > 0 {
            let what = format!("{kept} files are in quarantine from earlier damage");
            self.note(
                &self.paths.quarantine(),
                &what,
                "delete them once they were looked at",
            );
        }
        Ok(())
    }

    fn check_journal_names(&mut self) -> Result<(), OpenError> {
        let folder = self.paths.journal();
        for entry in self.names(&folder)? {
            let is_ours = matches!(&*entry.name, "spare.new" | "ended" | "ended.new")
                || entry.name.split_once('.').is_some_and(|(stem, kind)| {
                    stem.len() == 16 && matches!(kind, "wal" | "spare" | "new")
                });
            if !is_ours {
                self.note(
                    &folder.join(&entry.name),
                    "this file is not one of the server's",
                    "move it away if nobody needs it here",
                );
            }
        }
        Ok(())
    }

    fn check_folder(&mut self, account: &str, name: &str) -> Result<(), OpenError> {
        let folder = self.paths.stream(account, name);
        let is_it = |owner: &str, stream: &str| owner == account && stream == name;
        let mut manifest = self.opened.manifest.streams.iter();
        let saved = manifest
            .rfind(|saved| is_it(&saved.account, &saved.name))
            .cloned();
        let mut streams = self.opened.streams.iter();
        let served = streams.rfind(|stream| is_it(&stream.account, &stream.name));
        let consumers: Option<Vec<String>> = served.map(|served| {
            let names = served.stream.consumer_names();
            names.into_iter().map(str::to_owned).collect()
        });
        if saved.is_none() && consumers.is_none() {
            self.note(
                &folder,
                "this folder belongs to no stream",
                "a crash can leave it behind; move it away if nobody needs it",
            );
            return Ok(());
        }
        for entry in self.names(&folder)? {
            if !is_expected(&entry.name, saved.as_ref()) {
                self.note(
                    &folder.join(&entry.name),
                    "the stream does not name this file",
                    "a crash can leave it behind; the server removes or writes over what is its own",
                );
            }
        }
        let Some(consumers) = consumers else {
            return Ok(());
        };
        let folder = folder.join("consumers");
        for entry in self.names(&folder)? {
            let is_named = saved.as_ref().is_some_and(|saved| {
                let mut named = saved.consumers.iter();
                named.any(|consumer| consumer.name == entry.name)
            });
            if !is_named && !consumers.contains(&entry.name) {
                self.note(
                    &folder.join(&entry.name),
                    "this folder belongs to no consumer",
                    "a deleted consumer leaves it behind; it may be deleted while the server is down",
                );
            }
        }
        Ok(())
    }
}

/// Whether a name belongs into the folder of a stream that the manifest describes like this.
fn is_expected(name: &str, saved: Option<&ManifestStream>) -> bool {
    if STREAM_FILES.contains(&name) {
        return true;
    }
    let mut segments = saved.iter().flat_map(|saved| &saved.segments);
    ManifestSegment::of_file(name, 0)
        .is_some_and(|file| segments.any(|segment| segment.is_same_file(&file)))
}
