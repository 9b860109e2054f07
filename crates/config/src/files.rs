//! Files that tell others about the process.

use crate::Entry;
use crate::reader::Reader;

/// Files that tell others about the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileOptions {
    /// File for the process id. Default none.
    pub pid_file: Option<String>,
    /// Folder for the file that lists the ports. Default none.
    pub ports_file_dir: Option<String>,
}

impl FileOptions {
    /// Takes the entry if it is one of this block.
    pub(crate) fn take(&mut self, key: &str, entry: &Entry, reader: &mut Reader) -> bool {
        match key {
            "pid_file" | "pidfile" => self.pid_file = reader.optional_text(entry),
            "ports_file_dir" => self.ports_file_dir = reader.optional_text(entry),
            _ => return false,
        }
        true
    }
}
