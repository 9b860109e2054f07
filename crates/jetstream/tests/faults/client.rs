//! A client that pulls: deliveries need a connection's subscription.

use std::sync::{Arc, Mutex};

use everjet_routing::{ConnectionId, Destination, OutBatch, Piece, Sink, Subscription};

use crate::rig::Rig;

/// Where a [`Client`] waits for deliveries.
pub(crate) const PULL: &str = "_PULL";

/// A connection with a subscription to [`PULL`].
pub(crate) struct Client {
    bytes: Arc<Bytes>,
    subscription: Arc<Subscription>,
}

#[derive(Default)]
struct Bytes(Mutex<Vec<u8>>);

impl Destination for Bytes {
    fn id(&self) -> ConnectionId {
        ConnectionId(1)
    }

    fn supports_headers(&self) -> bool {
        true
    }

    fn deliver(&self, rendered: &mut OutBatch) {
        let mut got = self.0.lock().unwrap();
        for piece in rendered.pieces() {
            match piece {
                Piece::Inline(bytes) => got.extend_from_slice(bytes),
                Piece::Shared(bytes, range) => got.extend_from_slice(&bytes[range]),
            }
        }
        rendered.clear();
    }
}

impl Client {
    /// A client of this rig.
    pub(crate) fn of(rig: &Rig) -> Self {
        let bytes = Arc::<Bytes>::default();
        let sink = Sink::Connection(Arc::clone(&bytes) as _);
        let subscription = Arc::new(Subscription::new(PULL.as_bytes(), None, b"1", sink));
        rig.account.subscribe(Arc::clone(&subscription));
        Self {
            bytes,
            subscription,
        }
    }

    /// The bodies of the messages on a subject that came. They are lines.
    pub(crate) fn bodies(&self, subject: &str) -> Vec<String> {
        let got = self.text();
        let start = format!("MSG {subject} ");
        let mut lines = got.split("\r\n");
        let mut found = Vec::new();
        while let Some(line) = lines.next() {
            if line.starts_with(&start) {
                found.extend(lines.next().map(str::to_owned));
            }
        }
        found
    }

    /// The acknowledgement subjects of the messages that came.
    pub(crate) fn acks(&self) -> Vec<String> {
        let got = self.text();
        let words = got.split([' ', '\r']);
        let acks = words.filter(|word| word.starts_with("$JS.ACK."));
        acks.map(str::to_owned).collect()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.0.lock().unwrap()).into_owned()
    }

    /// Ends the subscription.
    pub(crate) fn leave(&self, rig: &Rig) {
        rig.account.unsubscribe(&self.subscription);
    }
}
