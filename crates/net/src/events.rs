//! What the network part tells its owner, for logs and counters.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr};

use everjet_conn::{ClientIdentity, CloseReason};
use everjet_routing::ConnectionId;

/// A connection, as logs show it.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionFacts<'a> {
    /// Its number.
    pub id: ConnectionId,
    /// The protocol it speaks.
    pub kind: ConnectionKind,
    /// The address of the client; `None` for one in this process.
    pub peer: Option<SocketAddr>,
    /// Where a proxy says that a WebSocket client is.
    pub forwarded_for: Option<IpAddr>,
    /// The account it belongs to.
    pub account: &'a str,
    /// What the client said about itself; `None` before CONNECT.
    pub identity: Option<&'a ClientIdentity>,
}

/// What a connection speaks, as logs name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionKind {
    /// The text protocol on a stream of bytes.
    Client,
    /// The text protocol in WebSocket frames.
    WebSocket,
}

/// What became of a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Both sides agreed.
    Done {
        /// Version of TLS: `1.2` or `1.3`.
        version: &'static str,
        /// Name of the cipher suite.
        suite: &'static str,
    },
    /// It failed.
    Failed {
        /// Why.
        error: String,
        /// Whether the peer did not even try: a health check, a port scan, a client without TLS.
        is_probe: bool,
    },
    /// It took too long.
    TimedOut,
}

/// Hears of connections. Called on reactor threads: it must be quick and must not block.
pub trait Events: Send + Sync {
    /// A connection was accepted; one of WebSocket when its request was.
    fn opened(&self, connection: ConnectionFacts<'_>);

    /// A connection was closed and everything of it is freed.
    fn closed(&self, connection: ConnectionFacts<'_>, reason: CloseReason);

    /// A client did something it may not, or a proxy sent a wrong header.
    fn complained(&self, connection: ConnectionFacts<'_>, complaint: &dyn Display);

    /// A frame came or goes. Only when [`NetConfig::trace`](crate::NetConfig) asks for it; called on any thread that writes.
    fn traced(&self, connection: ConnectionFacts<'_>, line: &str);

    /// A TLS handshake ended.
    fn handshake(&self, _connection: ConnectionFacts<'_>, _outcome: &Handshake) {}

    /// In the last second so many connections came above the rate of handshakes and were refused.
    fn handshakes_refused(&self, _count: u64) {}

    /// A peer did not become a connection, and why.
    fn refused(&self, _peer: Option<SocketAddr>, _text: &str) {}

    /// Accepting failed; it is tried again after a pause.
    fn accept_failed(&self, error: &io::Error);
}
