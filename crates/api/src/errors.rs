//! Errors as the JetStream API sends them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An error as the JetStream API sends it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiError {
    /// The kind of failure in the manner of HTTP: 400, 404, 503.
    pub code: u16,
    /// The failure; what clients decide by.
    pub err_code: u16,
    /// What happened, for people.
    pub description: String,
}

impl ApiError {
    /// Replaces `{name}` in the description by `value`.
    ///
    /// ```
    /// use everjet_api::ErrorCode;
    ///
    /// let error = ErrorCode::StreamWrongLastSequence.error().with("seq", 7);
    /// assert_eq!(error.description, "wrong last sequence: 7");
    /// ```
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        let placeholder = format!("{{{name}}}");
        debug_assert!(
            self.description.contains(&placeholder),
            "{:?} has no {placeholder}",
            self.description
        );
        self.description = self
            .description
            .replacen(&placeholder, &value.to_string(), 1);
        self
    }

    /// Whether this is the error `code`.
    #[must_use]
    pub fn is(&self, code: ErrorCode) -> bool {
        self.err_code == code.err_code()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.description, self.err_code)
    }
}

impl std::error::Error for ApiError {}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        code.error()
    }
}

/// Turns the rows of `error_table.rs` into [`ErrorCode`].
macro_rules! error_table {
    ( $( $name:ident = $err_code:literal, $code:literal, $description:literal; )+ ) => {
        /// Every error of the JetStream API. The texts are those of nats-server 2.15.1; `{name}` in a text is a
        /// place for [`ApiError::with`](crate::ApiError::with).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum ErrorCode {
            $(
                #[doc = concat!(stringify!($code), ": ", $description)]
                $name = $err_code,
            )+
        }

        impl ErrorCode {
            /// All of them, in the order of their codes.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )+ ];

            /// The code clients decide by.
            #[must_use]
            pub const fn err_code(self) -> u16 {
                self as u16
            }

            /// The kind of failure in the manner of HTTP.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self {
                    $( Self::$name => $code, )+
                }
            }

            /// The text, with its places not filled in.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self {
                    $( Self::$name => $description, )+
                }
            }
        }
    };
}

pub(crate) use error_table;

use crate::ErrorCode;

impl ErrorCode {
    /// The error to send; fill in its places with [`ApiError::with`].
    #[must_use]
    pub fn error(self) -> ApiError {
        ApiError {
            code: self.code(),
            err_code: self.err_code(),
            description: self.description().to_owned(),
        }
    }

    /// The error to send, with `text` in place of `{err}`.
    #[must_use]
    pub fn because(self, text: impl fmt::Display) -> ApiError {
        self.error().with("err", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_missing_and_none_is_there_twice() {
        let codes: Vec<u16> = ErrorCode::ALL.iter().map(|code| code.err_code()).collect();
        assert_eq!(codes, (10_002..=10_227).collect::<Vec<u16>>());
        let names: std::collections::BTreeSet<String> = ErrorCode::ALL
            .iter()
            .map(|code| format!("{code:?}"))
            .collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn the_codes_clients_decide_by_have_their_published_values() {
        use ErrorCode as Code;
        for (error, err_code, code) in [
            (Code::BadRequest, 10_003, 400),
            (Code::ConsumerCreate, 10_012, 500),
            (Code::ConsumerNameExists, 10_013, 400),
            (Code::ConsumerNotFound, 10_014, 404),
            (Code::InvalidJson, 10_025, 400),
            (Code::MaximumConsumersLimit, 10_026, 400),
            (Code::NoMessageFound, 10_037, 404),
            (Code::NotEmptyRequest, 10_038, 400),
            (Code::NotEnabledForAccount, 10_039, 503),
            (Code::StreamNameExists, 10_058, 400),
            (Code::StreamNotFound, 10_059, 404),
            (Code::StreamWrongLastSequence, 10_071, 400),
            (Code::NotEnabled, 10_076, 503),
            (Code::StreamStoreFailed, 10_077, 503),
            (Code::ConsumerAlreadyExists, 10_148, 400),
            (Code::ConsumerDoesNotExist, 10_149, 400),
            (Code::StreamDuplicateMessageConflict, 10_158, 409),
            (Code::StreamWrongLastSequenceConstant, 10_164, 400),
            (Code::StreamTooManyRequests, 10_167, 429),
            (Code::RequiredApiLevel, 10_185, 412),
            (Code::ConsumerInvalidReset, 10_204, 400),
        ] {
            assert_eq!(
                (error.err_code(), error.code()),
                (err_code, code),
                "{error:?}"
            );
        }
    }

    #[test]
    fn places_in_texts_are_filled_in() {
        for (error, text) in [
            (ErrorCode::InvalidJson.because("x"), "invalid JSON: x"),
            (ErrorCode::StreamGeneral.because("it {broke}"), "it {broke}"),
            (
                ErrorCode::SequenceNotFound.error().with("seq", 7),
                "sequence 7 not found",
            ),
            (
                ErrorCode::StreamExternalApiOverlap
                    .error()
                    .with("prefix", "a")
                    .with("subject", "b"),
                "stream external api prefix a must not overlap with b",
            ),
            (ErrorCode::StreamNotFound.into(), "stream not found"),
        ] {
            let error: ApiError = error;
            assert_eq!(error.description, text);
        }
    }
}
