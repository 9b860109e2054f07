//! What the log says about connections.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use everjet_conn::CloseReason;
use everjet_net::{ConnectionFacts, ConnectionKind, Events, Handshake};
use everjet_values::Clock;

use crate::{Log, LogLevel};

/// Writes the life of connections to the log.
pub(crate) struct ConnectionLog {
    pub(crate) log: Arc<Log>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl ConnectionLog {
    fn line(&self, level: LogLevel, connection: &ConnectionFacts<'_>, text: &str) {
        if level == LogLevel::Debug && !self.log.is_debug() {
            return;
        }
        let introduced = connection.identity.filter(|identity| {
            !(identity.version.is_empty() && identity.lang.is_empty() && identity.name.is_empty())
        });
        let identity = introduced.map_or_else(String::new, |identity| {
            format!(
                " - \"v{}:{}:{}\"",
                identity.version, identity.lang, identity.name
            )
        });
        let user = connection
            .identity
            .filter(|identity| !identity.user.is_empty())
            .map_or_else(String::new, |identity| {
                format!(" - \"{}/user:{}\"", connection.account, identity.user)
            });
        let peer = connection
            .peer
            .map_or_else(|| "pipe".to_owned(), |peer| peer.to_string());
        // A proxy's word goes before the address that it is spoken from, as nats-server has it.
        let forwarded = connection
            .forwarded_for
            .map_or_else(String::new, |ip| match ip {
                IpAddr::V4(ip) => format!("{ip}/"),
                IpAddr::V6(ip) => format!("[{ip}]/"),
            });
        let kind = match connection.kind {
            ConnectionKind::Client => "cid",
            ConnectionKind::WebSocket => "wid",
        };
        let id = connection.id.0;
        let text = format!("{forwarded}{peer} - {kind}:{id}{identity}{user} - {text}");
        self.log.line(self.clock.now(), level, &text);
    }
}

impl Events for ConnectionLog {
    fn opened(&self, connection: ConnectionFacts<'_>) {
        self.line(LogLevel::Debug, &connection, "Client connection created");
    }

    fn closed(&self, connection: ConnectionFacts<'_>, reason: CloseReason) {
        let level = match reason {
            CloseReason::SlowConsumerPendingBytes | CloseReason::SlowConsumerWriteDeadline => {
                LogLevel::Warn
            }
            CloseReason::AuthenticationTimeout => LogLevel::Error,
            _ => LogLevel::Debug,
        };
        self.line(
            level,
            &connection,
            &format!("Client connection closed: {}", reason.text()),
        );
    }

    fn complained(&self, connection: ConnectionFacts<'_>, complaint: &dyn Display) {
        self.line(LogLevel::Error, &connection, &complaint.to_string());
    }

    fn traced(&self, connection: ConnectionFacts<'_>, line: &str) {
        self.line(LogLevel::Trace, &connection, line);
    }

    fn handshake(&self, connection: ConnectionFacts<'_>, outcome: &Handshake) {
        match outcome {
            Handshake::Done { version, suite } => {
                self.line(LogLevel::Debug, &connection, "TLS handshake complete");
                let text = format!("TLS version {version}, cipher suite {suite}");
                self.line(LogLevel::Debug, &connection, &text);
            }
            Handshake::Failed { error, is_probe } => {
                let level = if *is_probe {
                    LogLevel::Debug
                } else {
                    LogLevel::Error
                };
                let text = format!("TLS handshake error: {error}");
                self.line(level, &connection, &text);
            }
            Handshake::TimedOut => {
                self.line(LogLevel::Debug, &connection, "TLS handshake timeout");
            }
        }
    }

    fn handshakes_refused(&self, count: u64) {
        let text = format!("Rejected {count} connections due to TLS rate limiting");
        self.log.line(self.clock.now(), LogLevel::Warn, &text);
    }

    fn refused(&self, peer: Option<SocketAddr>, text: &str) {
        let peer = peer.map_or_else(|| "pipe".to_owned(), |peer| peer.to_string());
        let text = format!("{peer} - {text}");
        self.log.line(self.clock.now(), LogLevel::Error, &text);
    }

    fn accept_failed(&self, error: &io::Error) {
        self.log.line(
            self.clock.now(),
            LogLevel::Error,
            &format!("Accept failed, trying again: {error}"),
        );
    }
}
