//! What an import says about what it found.

use std::fmt;
use std::path::PathBuf;

/// Places that are named one by one; the rest is counted.
const PLACES_SHOWN: usize = 20;

/// A place of the source that fails its check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) file: PathBuf,
    /// Where in the file, after decryption and decompression; `None` for all of it.
    pub(crate) offset: Option<u64>,
    pub(crate) what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// What was noticed about one stream.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) damage: Vec<Damage>,
    /// What an operator should know and need not do anything about.
    pub(crate) notes: Vec<String>,
    /// Consumers that are not taken, and why.
    pub(crate) lost_consumers: Vec<String>,
}

impl Findings {
    /// The lines of a report, indented.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .damage
            .iter()
            .take(PLACES_SHOWN)
            .map(|damage| format!("  damaged: {damage}"))
            .collect();
        if let Some(more) = self
            .damage
            .len()
            .checked_sub(PLACES_SHOWN)
            .filter(|more| *more > 0)
        {
            lines.push(format!("  damaged: {more} more places"));
        }
        lines.extend(
            self.lost_consumers
                .iter()
                .map(|text| format!("  consumer {text}")),
        );
        lines.extend(self.notes.iter().map(|text| format!("  note: {text}")));
        lines
    }
}

/// Sums over all streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) streams: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) consumers: u64,
    pub(crate) refused: u64,
    pub(crate) damaged_places: u64,
}

impl Totals {
    /// The last line of a report.
    pub(crate) fn line(&self, dry_run: bool) -> String {
        let did = if dry_run { "would import" } else { "imported" };
        format!(
            "{did} {} ({}, {} bytes, {}); refused {}; {} damaged",
            count(self.streams, "stream"),
            count(self.messages, "message"),
            self.bytes,
            count(self.consumers, "consumer"),
            count(self.refused, "stream"),
            count(self.damaged_places, "place"),
        )
    }
}

/// A number of things.
pub(crate) fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}
