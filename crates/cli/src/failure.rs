//! Why a command failed, in the one line that the user sees.

use std::fmt;
use std::io;
use std::time::Duration;

use everjet_values::format_duration;

/// An error answer of a JetStream API request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    /// The class of the error, like an HTTP status.
    pub(crate) code: u64,
    /// The JetStream code, for example 10059; 0 when the server gave none.
    pub(crate) err_code: u64,
    /// The server's text.
    pub(crate) description: String,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.err_code {
            0 => write!(f, "{} ({})", self.description, self.code),
            err_code => write!(f, "{} ({err_code})", self.description),
        }
    }
}

/// Why a command ends with exit code 1.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments contradict each other or one is missing.
    Usage(String),
    /// No server could be reached, or it refused the connection.
    Connect {
        /// The servers that were tried, without their passwords.
        servers: String,
        /// What went wrong.
        reason: String,
    },
    /// The server refused a request.
    Refused {
        /// What was attempted, for example `cannot create stream ORDERS`.
        doing: String,
        /// The server's answer.
        error: ApiError,
    },
    /// Nobody answers JetStream requests: it is not enabled for this account.
    NoJetStream,
    /// The server did not answer in time.
    NoAnswer {
        /// The subject of the request.
        subject: String,
        /// How long was waited.
        waited: Duration,
    },
    /// A file or standard input could not be used.
    File {
        /// What was attempted, with the path.
        doing: String,
        /// The operating system's answer.
        error: io::Error,
    },
    /// Standard output is gone, usually because the reader of a pipe left.
    Output(io::Error),
    /// Anything else; the text says all.
    Other(String),
}

impl Failure {
    /// Whether there is nobody left to tell: the reader of a pipe went away.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The JetStream error code of a refusal.
    pub(crate) fn err_code(&self) -> Option<u64> {
        match self {
            Self::Refused { error, .. } => Some(error.err_code),
            _ => None,
        }
    }

    /// Any other failure with this text.
    pub(crate) fn other(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }

    /// A mistake in the arguments.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    /// A file that could not be used.
    pub(crate) fn file(doing: impl Into<String>, error: io::Error) -> Self {
        Self::File {
            doing: doing.into(),
            error,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Other(text) => f.write_str(text),
            Self::Connect { servers, reason } => {
                write!(f, "cannot connect to {servers}: {reason}")
            }
            Self::Refused { doing, error } => write!(f, "{doing}: {error}"),
            Self::NoJetStream => {
                f.write_str("JetStream is not enabled on this server or for this account (503)")
            }
            Self::NoAnswer { subject, waited } => write!(
                f,
                "no answer to {subject} within {}",
                format_duration(*waited)
            ),
            Self::File { doing, error } => write!(f, "{doing}: {error}"),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}

impl From<io::Error> for Failure {
    /// The only plain I/O of commands is writing to standard output; everything else says what it was doing.
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
