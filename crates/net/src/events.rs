//! What the network part tells its owner, for logs and counters.

use std::io;
use std::net::SocketAddr;

use everjet_conn::{ClientIdentity, CloseReason};
use everjet_routing::ConnectionId;

/// A connection, as logs show it.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionFacts<'a> {
    /// Its number.
    pub id: ConnectionId,
    /// The address of the client.
    pub peer: SocketAddr,
    /// What the client said about itself; `None` before CONNECT.
    pub identity: Option<&'a ClientIdentity>,
}

/// Hears of connections. Called on reactor threads: it must be quick and must not block.
pub trait Events: Send + Sync {
    /// A connection was accepted.
    fn opened(&self, connection: ConnectionFacts<'_>);

    /// A connection was closed and everything of it is freed.
    fn closed(&self, connection: ConnectionFacts<'_>, reason: CloseReason);

    /// Accepting failed; it is tried again after a pause.
    fn accept_failed(&self, error: &io::Error);
}
