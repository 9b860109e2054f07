//! Why a transform can not be made.

use std::fmt;

/// Why a transform can not be made, in the words of nats-server: they are seen in configuration errors and in answers of the
/// JetStream API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransformError {
    fault: TransformFault,
    /// The token to blame; empty when no single one is.
    token: String,
}

/// What is wrong with a source and destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransformFault {
    /// Source or destination is no subject, the destination has a `*`, or only one of both ends in `>`.
    InvalidSubject,
    /// The destination has an empty token, blanks, or something behind `>`.
    InvalidDestination,
    /// `{{…}}` is not a function.
    UnknownFunction,
    /// There are not that many `*` in the source.
    IndexOutOfRange,
    /// An argument is missing.
    NotEnoughArguments,
    /// An argument is no number, is too large, or is a delimiter with a blank.
    InvalidArgument,
    /// There is an argument too much.
    TooManyArguments,
    /// Imports know `wildcard` only.
    NotSupportedForImport,
    /// An import's destination leaves a `*` of the source out.
    NotAllWildcards,
}

impl TransformError {
    pub(super) fn invalid_subject() -> Self {
        Self::at(TransformFault::InvalidSubject, b"")
    }

    pub(super) fn at(fault: TransformFault, token: &[u8]) -> Self {
        Self {
            fault,
            token: String::from_utf8_lossy(token).into_owned(),
        }
    }

    /// An index of `token` that the source has no `*` for.
    pub(super) fn out_of_range(token: &[u8], index: i64) -> Self {
        let token = String::from_utf8_lossy(token);
        Self {
            fault: TransformFault::IndexOutOfRange,
            token: format!("{token}: [{index}]"),
        }
    }

    /// What is wrong, without the place.
    #[must_use]
    pub fn fault(&self) -> TransformFault {
        self.fault
    }
}

impl fmt::Display for TransformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.fault {
            TransformFault::InvalidSubject => return f.write_str("invalid subject"),
            TransformFault::InvalidDestination => "invalid transform",
            TransformFault::UnknownFunction => "unknown function",
            TransformFault::IndexOutOfRange => "wildcard index out of range",
            TransformFault::NotEnoughArguments => "not enough arguments passed to the function",
            TransformFault::InvalidArgument => {
                "function argument is invalid or in the wrong format"
            }
            TransformFault::TooManyArguments => "too many arguments passed to the function",
            TransformFault::NotSupportedForImport => {
                "the only mapping function allowed for import transforms is {{Wildcard()}}"
            }
            TransformFault::NotAllWildcards => "not using all of the token wildcard(s)",
        };
        write!(f, "invalid mapping destination: {reason}")?;
        if self.token.is_empty() {
            return Ok(());
        }
        write!(f, " in {}", self.token)
    }
}

impl std::error::Error for TransformError {}
