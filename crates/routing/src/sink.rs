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

    /// As [`Self::deliver`], and the bytes may be left to the thread that owns the connection, which is told of all of them by
    /// [`Self::wake_owner`]. For a thread that has answers for many at once: as it wrote one after the other, what the receivers
    /// say to them would wake the owner one by one.
    fn hand_over(&self, rendered: &mut OutBatch) {
        self.deliver(rendered);
    }

    /// Follows the last [`Self::hand_over`] of a flush.
    fn wake_owner(&self) {}

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
