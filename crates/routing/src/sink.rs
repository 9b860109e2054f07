//! Where messages go: connections and parties inside the server.

use std::sync::Arc;

use crate::{ConnectionId, MessageBatch, OutBatch, Turn};

/// A connection that takes rendered protocol bytes. One call per destination and turn, or more when much is staged.
pub trait Destination: Send + Sync {
    /// The connection's number. Never changes.
    fn id(&self) -> ConnectionId;

    /// Whether the connection understands `HMSG` now; without it the header block is cut from what it gets. Asked only
    /// for messages that have headers.
    fn supports_headers(&self) -> bool;

    /// Takes the rendered bytes, leaving the batch empty (or what is left in it is dropped). Must not block.
    fn deliver(&self, rendered: &mut OutBatch);

    /// Whether the connection is gone, so that a queue group passes it over. May be late, never early.
    fn is_closed(&self) -> bool {
        false
    }
}

/// A party inside the server that takes messages: a stream, the JetStream API, acknowledgements. One call per turn.
pub trait LocalReceiver: Send + Sync {
    /// Takes the messages, in the order of publishing. What the receiver publishes or sends through `turn` leaves with
    /// the flush that called it; it must not call [`Turn::flush`] itself. Must not block on the disk.
    ///
    /// The batch may be drained, or taken with [`std::mem::take`].
    fn receive(&self, batch: &mut MessageBatch, turn: &mut Turn);
}

/// Who takes the messages of a subscription.
#[derive(Clone)]
pub enum Sink {
    /// A client's connection.
    Connection(Arc<dyn Destination>),
    /// A party inside the server.
    Local(Arc<dyn LocalReceiver>),
}
