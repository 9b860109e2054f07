//! What the network part tells its owner, for logs and counters.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;

use everjet_conn::{ClientIdentity, CloseReason};
use everjet_routing::ConnectionId;

/// A connection, as logs show it.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionFacts<'a> {
    /// Its number.
    pub id: ConnectionId,
    /// The address of the client; `None` for one in this process.
    pub peer: Option<SocketAddr>,
    /// The account it belongs to.
    pub account: &'a str,
    /// What the client said about itself; `None` before CONNECT.
    pub identity: Option<&'a ClientIdentity>,
}

/// Hears of connections. Called on reactor threads: it must be quick and must not block.
pub trait Events: Send + Sync {
    /// A connection was accepted.
    fn opened(&self, connection: ConnectionFacts<'_>);

    /// A connection was closed and everything of it is freed.
    fn closed(&self, connection: ConnectionFacts<'_>, reason: CloseReason);

    /// A client did something it may not, or a proxy sent a wrong header.
    fn complained(&self, connection: ConnectionFacts<'_>, complaint: &dyn Display);

    /// A frame came or goes. Only when [`NetConfig::trace`](crate::NetConfig) asks for it; called on any thread that writes.
    fn traced(&self, connection: ConnectionFacts<'_>, line: &str);

    /// Accepting failed; it is tried again after a pause.
    fn accept_failed(&self, error: &io::Error);
}
