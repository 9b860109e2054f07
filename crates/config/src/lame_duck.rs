//! How a server says good-bye to its clients.

use std::time::Duration;

use crate::reader::Reader;
use crate::{Entry, Kind};

/// Clients are not pushed out faster than that.
const DURATION_MIN: Duration = Duration::from_secs(30);

/// How a server says good-bye to its clients (lame duck mode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LameDuckOptions {
    /// Time from the announcement until the last client is disconnected. Default 2 minutes, at least 30 s.
    pub duration: Duration,
    /// Time from the announcement until the first client is disconnected, less than `duration`. Default 10 s.
    pub grace_period: Duration,
}

impl Default for LameDuckOptions {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(120),
            grace_period: Duration::from_secs(10),
        }
    }
}

impl LameDuckOptions {
    /// Takes the entry if it is one of this block.
    pub(crate) fn take(&mut self, key: &str, entry: &Entry, reader: &mut Reader) -> bool {
        match key {
            "lame_duck_duration" => {
                if let Some(duration) = reader.duration(entry) {
                    if duration < DURATION_MIN {
                        let shown = match &entry.value.kind {
                            Kind::Text(text) => text.clone(),
                            _ => format!("{}s", duration.as_secs()),
                        };
                        reader.refuse(
                            entry,
                            format!("invalid lame_duck_duration of {shown}, minimum is 30 seconds"),
                        );
                    } else {
                        self.duration = duration;
                    }
                }
            }
            "lame_duck_grace_period" => {
                if let Some(grace_period) = reader.duration(entry) {
                    self.grace_period = grace_period;
                }
            }
            _ => return false,
        }
        true
    }

    /// Whether clients are given notice before the time is over.
    pub(crate) fn is_valid(&self) -> bool {
        self.grace_period < self.duration
    }
}
