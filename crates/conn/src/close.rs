//! Why a connection is closed.

use std::fmt;

use everjet_wire::DecodeError;

/// The connection is to be closed, after what is in the output buffer (an `-ERR` line, if the peer gets one) was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// Why.
    pub reason: CloseReason,
}

/// Why a connection was closed. Shown as nats-server words it in logs and in the `reason` of closed connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The peer closed it.
    ClientClosed,
    /// No CONNECT with valid credentials in time.
    AuthenticationTimeout,
    /// Wrong or missing credentials.
    AuthenticationFailure,
    /// The TLS handshake failed, or the peer did not begin it.
    TlsHandshakeFailure,
    /// More unsent bytes than `max_pending`.
    SlowConsumerPendingBytes,
    /// Nothing could be written for as long as `write_deadline`.
    SlowConsumerWriteDeadline,
    /// Writing to the socket failed.
    WriteError,
    /// Reading from the socket failed.
    ReadError,
    /// The peer sent `-ERR`.
    ParseError,
    /// Too many PINGs without an answer.
    StaleConnection,
    /// The peer does not follow the protocol.
    ProtocolViolation,
    /// The peer wants a version of the protocol that does not exist.
    BadClientProtocolVersion,
    /// The server has as many connections as it may have.
    MaximumConnectionsExceeded,
    /// A message was larger than `max_payload`.
    MaximumPayloadExceeded,
    /// A line was longer than `max_control_line`.
    MaximumControlLineExceeded,
    /// `no_responders` without `headers`.
    NoRespondersRequiresHeaders,
    /// The server stops.
    ServerShutdown,
}

impl CloseReason {
    /// The text, as nats-server words it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::ClientClosed => "Client Closed",
            Self::AuthenticationTimeout => "Authentication Timeout",
            Self::AuthenticationFailure => "Authentication Failure",
            Self::TlsHandshakeFailure => "TLS Handshake Failure",
            Self::SlowConsumerPendingBytes => "Slow Consumer (Pending Bytes)",
            Self::SlowConsumerWriteDeadline => "Slow Consumer (Write Deadline)",
            Self::WriteError => "Write Error",
            Self::ReadError => "Read Error",
            Self::ParseError => "Parse Error",
            Self::StaleConnection => "Stale Connection",
            Self::ProtocolViolation => "Protocol Violation",
            Self::BadClientProtocolVersion => "Bad Client Protocol Version",
            Self::MaximumConnectionsExceeded => "Maximum Connections Exceeded",
            Self::MaximumPayloadExceeded => "Maximum Message Payload Exceeded",
            Self::MaximumControlLineExceeded => "Maximum Control Line Exceeded",
            Self::NoRespondersRequiresHeaders => "No Responders Requires Headers",
            Self::ServerShutdown => "Server Shutdown",
        }
    }
}

impl From<DecodeError> for CloseReason {
    /// nats-server 2.15.1 reports every frame it cannot parse as a protocol violation.
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::UnknownOperation
            | DecodeError::Malformed
            | DecodeError::PayloadNotTerminated
            | DecodeError::HeaderViolation => Self::ProtocolViolation,
            DecodeError::ControlLineTooLong => Self::MaximumControlLineExceeded,
            DecodeError::PayloadTooLarge => Self::MaximumPayloadExceeded,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
