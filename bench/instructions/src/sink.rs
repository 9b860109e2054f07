//! A connection that throws away what it gets.

use std::hint::black_box;
use std::sync::Arc;

use everjet_routing::{Account, ConnectionId, Destination, Message, OutBatch, Sink, Subscription};

/// Takes rendered bytes and does nothing with them.
struct Nowhere(ConnectionId);

impl Destination for Nowhere {
    fn id(&self) -> ConnectionId {
        self.0
    }

    fn supports_headers(&self) -> bool {
        true
    }

    fn deliver(&self, rendered: &mut OutBatch) {
        black_box(rendered.len());
    }
}

/// Subscribes a connection of its own to `filter`.
pub(crate) fn subscribe(account: &Account, connection: u64, filter: &str) {
    let sink = Sink::Connection(Arc::new(Nowhere(ConnectionId(connection))));
    let subscription = Subscription::new(filter.as_bytes(), None, b"1", sink);
    account.subscribe(Arc::new(subscription));
}

/// A message without reply and headers.
pub(crate) fn message<'a>(subject: &'a str, payload: &'a [u8]) -> Message<'a> {
    Message {
        subject: subject.as_bytes(),
        reply: b"",
        headers: b"",
        payload,
    }
}
