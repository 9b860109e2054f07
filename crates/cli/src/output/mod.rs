//! What the user sees: tables, blocks of settings, JSON documents and messages.

pub(crate) mod block;
pub(crate) mod json;
pub(crate) mod message;
pub(crate) mod table;

use crate::failure::Failure;

/// For whom the output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs: JSON and nothing else on standard output.
    Json,
}

impl Format {
    /// JSON when `--json` was given.
    pub(crate) fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }

    /// Refuses `--raw` beside `--json`: one of them would have to be ignored.
    ///
    /// # Errors
    /// [`Failure::Usage`] when both are given.
    pub(crate) fn refuse_raw(self, raw: bool) -> Result<(), Failure> {
        if raw && self.is_json() {
            return Err(Failure::usage("--raw and --json contradict each other"));
        }
        Ok(())
    }

    /// Whether this is for programs.
    pub(crate) fn is_json(self) -> bool {
        self == Self::Json
    }
}
