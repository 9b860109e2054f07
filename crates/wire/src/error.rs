//! Why bytes of a client are refused. Each of these ends the connection.

use std::fmt;

/// Why the bytes of a client are not a frame; the connection is closed.
///
/// Texts and reasons are those of nats-server 2.15.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The line does not start with an operation that clients may send.
    UnknownOperation,
    /// The operation is known and its arguments are wrong: too few, too many, or not a size of one to nine digits.
    Malformed,
    /// The arguments are longer than [`Limits::control_line_max`](crate::Limits::control_line_max).
    ControlLineTooLong,
    /// Headers and payload together are larger than [`Limits::payload_max`](crate::Limits::payload_max).
    PayloadTooLarge,
    /// A payload does not end in CRLF where its size says.
    PayloadNotTerminated,
    /// `HPUB` on a connection that did not agree on headers.
    HeaderViolation,
}

impl DecodeError {
    /// The text for [`put_err`](crate::put_err) before closing; none when the connection is closed without a word.
    #[must_use]
    pub fn error_text(self) -> Option<&'static str> {
        match self {
            Self::UnknownOperation | Self::PayloadNotTerminated => {
                Some("Unknown Protocol Operation")
            }
            Self::ControlLineTooLong => Some("maximum control line exceeded"),
            Self::PayloadTooLarge => Some("Maximum Payload Violation"),
            Self::Malformed | Self::HeaderViolation => None,
        }
    }

    /// The reason that monitoring and events give for the closed connection.
    #[must_use]
    pub fn close_reason(self) -> &'static str {
        match self {
            Self::ControlLineTooLong => "Maximum Control Line Exceeded",
            Self::PayloadTooLarge => "Maximum Message Payload Exceeded",
            Self::UnknownOperation
            | Self::Malformed
            | Self::PayloadNotTerminated
            | Self::HeaderViolation => "Protocol Violation",
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownOperation => "unknown protocol operation",
            Self::Malformed => "arguments of a protocol operation are malformed",
            Self::ControlLineTooLong => "control line is longer than max_control_line",
            Self::PayloadTooLarge => "headers and payload are larger than max_payload",
            Self::PayloadNotTerminated => "payload does not end in CRLF at its announced size",
            Self::HeaderViolation => "HPUB on a connection without header support",
        })
    }
}

impl std::error::Error for DecodeError {}
