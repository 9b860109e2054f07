//! Frames on their way to a client, shown while the protocol is traced.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use everjet_conn::ClientIdentity;
use everjet_routing::{ConnectionId, OutBatch};
use everjet_wire::{TraceDirection, TraceOptions, trace};
use parking_lot::Mutex;

use crate::events::{ConnectionFacts, ConnectionKind, Events};

/// Shows the frames to one connection, from whichever thread they come.
pub(crate) struct OutTrace {
    pub(crate) events: Arc<dyn Events>,
    pub(crate) options: TraceOptions,
    pub(crate) id: ConnectionId,
    pub(crate) account: String,
    /// Who the client is, as far as that is known.
    pub(crate) client: Mutex<TracedClient>,
}

/// Where a client connects from, and what it says about itself.
#[derive(Clone)]
pub(crate) struct TracedClient {
    kind: ConnectionKind,
    peer: Option<SocketAddr>,
    forwarded_for: Option<IpAddr>,
    identity: Option<ClientIdentity>,
}

impl TracedClient {
    /// A client of which nothing else is known.
    pub(crate) fn new(kind: ConnectionKind, peer: Option<SocketAddr>) -> Self {
        Self {
            kind,
            peer,
            forwarded_for: None,
            identity: None,
        }
    }
}

impl OutTrace {
    pub(crate) fn set_client(&self, facts: ConnectionFacts<'_>) {
        *self.client.lock() = TracedClient {
            kind: facts.kind,
            peer: facts.peer,
            forwarded_for: facts.forwarded_for,
            identity: facts.identity.cloned(),
        };
    }

    /// Shows a batch, which holds whole frames.
    pub(crate) fn show(&self, rendered: &OutBatch) {
        let client = self.client.lock().clone();
        let facts = ConnectionFacts {
            id: self.id,
            kind: client.kind,
            peer: client.peer,
            forwarded_for: client.forwarded_for,
            account: &self.account,
            identity: client.identity.as_ref(),
        };
        let mut bytes = Vec::with_capacity(rendered.len());
        for piece in rendered.pieces() {
            bytes.extend_from_slice(piece.as_bytes());
        }
        trace(&bytes, TraceDirection::Out, &self.options, |line| {
            self.events.traced(facts, line);
        });
    }
}
