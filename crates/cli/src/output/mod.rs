//! What the user sees: tables, blocks of settings, JSON documents and messages.

pub(crate) mod block;
pub(crate) mod json;
pub(crate) mod message;
pub(crate) mod table;

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

    /// Whether this is for programs.
    pub(crate) fn is_json(self) -> bool {
        self == Self::Json
    }
}
