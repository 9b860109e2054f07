//! What is logged, and where.

use crate::Entry;
use crate::reader::Reader;
use crate::unsupported;

/// What is logged, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggingOptions {
    /// Log what happens to each connection. Default off.
    pub debug: bool,
    /// Begin each line with the time. Default on.
    pub time: bool,
    /// Times are in UTC, not local. Default off.
    pub utc: bool,
    /// File to append to. Default none: standard error.
    pub file: Option<String>,
}

impl Default for LoggingOptions {
    fn default() -> Self {
        Self {
            debug: false,
            time: true,
            utc: false,
            file: None,
        }
    }
}

impl LoggingOptions {
    /// Takes the entry if it is one of this block.
    pub(crate) fn take(&mut self, key: &str, entry: &Entry, reader: &mut Reader) -> bool {
        let option = match key {
            "debug" => &mut self.debug,
            "logtime" => &mut self.time,
            "logtime_utc" => &mut self.utc,
            // Files that turn tracing off say nothing that is not done.
            "trace" => {
                if reader.boolean(entry) == Some(true) {
                    unsupported::refuse_option(entry, reader);
                }
                return true;
            }
            "log_file" | "logfile" => {
                self.file = reader.optional_text(entry);
                return true;
            }
            _ => return false,
        };
        if let Some(value) = reader.boolean(entry) {
            *option = value;
        }
        true
    }
}
