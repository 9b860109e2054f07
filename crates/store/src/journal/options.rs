//! Sizes and limits of the journal.

/// Sizes of the journal's files.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// Bytes of a prepared file. Default 16 MiB.
    pub file_bytes: u64,
    /// Bytes of a file that has to be created while a batch waits for it, because no prepared one is there: small, so that
    /// the wait is short. Default 4 MiB. A record that does not fit gets a file as large as it needs. No later version may
    /// make the smaller of the two sizes larger: a start takes files shorter than that for cut ones.
    pub hurried_file_bytes: u64,
    /// Released files that are kept to be used again. Default 4.
    pub spares_max: usize,
    /// Random bits, fresh at each start. They make file generations impossible to guess, so that nobody can publish a message
    /// whose payload would pass for a journal record when a damaged file is searched.
    pub salt: u64,
}

impl JournalOptions {
    /// No file of the journal is made shorter than this.
    pub(super) fn shortest_file_bytes(&self) -> u64 {
        self.file_bytes.min(self.hurried_file_bytes)
    }
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            file_bytes: 16 << 20,
            hurried_file_bytes: 4 << 20,
            spares_max: 4,
            salt: 0,
        }
    }
}
