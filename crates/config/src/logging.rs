//! What is logged, and where.

use crate::Entry;
use crate::reader::Reader;

/// What is logged, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggingOptions {
    /// Log what happens to each connection. Default off.
    pub debug: bool,
    /// Log every line of the protocol, secrets left out. Default off.
    pub trace: bool,
    /// Of messages, trace only the headers. Default off.
    pub trace_headers: bool,
    /// Most bytes of a traced payload. Default all of them, written as 0.
    pub traced_payload_max: Option<u32>,
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
            trace: false,
            trace_headers: false,
            traced_payload_max: None,
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
            // There are no clients of a system account yet, which is all that is verbose about it.
            "trace" | "trace_verbose" => &mut self.trace,
            "trace_headers" => {
                if let Some(value) = reader.boolean(entry) {
                    self.trace_headers = value;
                    self.trace = value;
                }
                return true;
            }
            "max_traced_msg_len" => {
                if let Some(value) = reader.integer(entry) {
                    match u32::try_from(value.max(0)) {
                        Ok(value) => self.traced_payload_max = (value > 0).then_some(value),
                        Err(_) => reader.refuse(entry, "max_traced_msg_len value is too big"),
                    }
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
