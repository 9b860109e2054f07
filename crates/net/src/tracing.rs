//! Frames on their way to a client, shown while the protocol is traced.

use std::net::SocketAddr;
use std::sync::Arc;

use everjet_conn::ClientIdentity;
use everjet_routing::{ConnectionId, OutBatch};
use everjet_wire::{TraceDirection, TraceOptions, trace};
use parking_lot::Mutex;

use crate::events::{ConnectionFacts, Events};

/// Shows the frames to one connection, from whichever thread they come.
pub(crate) struct OutTrace {
    pub(crate) events: Arc<dyn Events>,
    pub(crate) options: TraceOptions,
    pub(crate) id: ConnectionId,
    pub(crate) account: String,
    /// Where the client connects from, and what it says about itself.
    pub(crate) client: Mutex<(Option<SocketAddr>, Option<ClientIdentity>)>,
}

impl OutTrace {
    pub(crate) fn set_client(&self, peer: Option<SocketAddr>, identity: Option<&ClientIdentity>) {
        *self.client.lock() = (peer, identity.cloned());
    }

    /// Shows a batch, which holds whole frames.
    pub(crate) fn show(&self, rendered: &OutBatch) {
        let (peer, identity) = self.client.lock().clone();
        let facts = ConnectionFacts {
            id: self.id,
            peer,
            account: &self.account,
            identity: identity.as_ref(),
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
