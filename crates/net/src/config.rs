//! How the network part is set up.

use std::net::SocketAddr;
use std::time::Duration;

use everjet_conn::{ClientLimits, ServerFacts};

/// Configuration of the listener for clients and its reactors.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// Where to listen; port 0 takes a free one, see [`Network::local_addr`](crate::Network::local_addr).
    pub listen: SocketAddr,
    /// Number of reactor threads; 0 for one per core.
    pub reactors: usize,
    /// Rules of client connections.
    pub limits: ClientLimits,
    /// What INFO says; its `port` is replaced by the one that is listened on.
    pub facts: ServerFacts,
    /// Most connections at a time; `None` for no limit (`max_connections`).
    pub connections_max: Option<usize>,
    /// Unsent bytes above which a connection is closed as a slow consumer (`max_pending`).
    pub pending_max: usize,
    /// Time without any progress in writing after which a connection is closed as a slow consumer (`write_deadline`).
    pub write_deadline: Duration,
}

impl NetConfig {
    /// The defaults of nats-server for everything but the address and the facts.
    #[must_use]
    pub fn new(listen: SocketAddr, facts: ServerFacts) -> Self {
        Self {
            listen,
            reactors: 0,
            limits: ClientLimits::default(),
            facts,
            connections_max: Some(64 * 1024),
            pending_max: 64 * 1024 * 1024,
            write_deadline: Duration::from_secs(10),
        }
    }
}
