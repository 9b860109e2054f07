//! How the network part is set up.

use std::net::SocketAddr;
use std::time::Duration;

use everjet_conn::{ClientLimits, ServerFacts};
use everjet_wire::TraceOptions;

use crate::{OpeningPlan, Placement};

/// One address that is listened on.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// Where to listen; port 0 takes a free one, see [`Network::local_addrs`](crate::Network::local_addrs).
    pub address: SocketAddr,
    /// How its connections begin.
    pub plan: OpeningPlan,
}

/// Configuration of the listeners and their reactors.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// Where to listen.
    pub listeners: Vec<ListenerConfig>,
    /// Number of reactor threads; 0 for one per core.
    pub reactors: usize,
    /// Which of them gets a connection.
    pub placement: Placement,
    /// Rules of client connections.
    pub limits: ClientLimits,
    /// What INFO says; a `port` of 0 is replaced by that of the first listener.
    pub facts: ServerFacts,
    /// Most connections at a time; `None` for no limit (`max_connections`).
    pub connections_max: Option<usize>,
    /// Unsent bytes above which a connection is closed as a slow consumer (`max_pending`).
    pub pending_max: usize,
    /// Time for writing after which a connection is closed as a slow consumer (`write_deadline`).
    pub write_deadline: Duration,
    /// Who is closed after that time (`write_timeout`).
    pub write_timeout: WriteTimeout,
    /// How frames are shown to [`Events::traced`](crate::Events::traced); `None` when they are not.
    pub trace: Option<TraceOptions>,
}

/// Who is closed when writing did not end within the write deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteTimeout {
    /// Who took nothing in that time.
    #[default]
    Retry,
    /// Who did not take everything that waited at its beginning, too.
    Close,
}

impl NetConfig {
    /// One listener for plain clients, and the defaults of nats-server for everything but the facts.
    #[must_use]
    pub fn new(listen: SocketAddr, facts: ServerFacts) -> Self {
        Self {
            listeners: vec![ListenerConfig {
                address: listen,
                plan: OpeningPlan::default(),
            }],
            reactors: 0,
            placement: Placement::default(),
            limits: ClientLimits::default(),
            facts,
            connections_max: Some(64 * 1024),
            pending_max: 64 * 1024 * 1024,
            write_deadline: Duration::from_secs(10),
            write_timeout: WriteTimeout::default(),
            trace: None,
        }
    }
}
