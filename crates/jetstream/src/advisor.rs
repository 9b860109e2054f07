//! Publishing advisories and metrics of consumers.

use std::sync::Arc;

use everjet_api::EventFrame;
use everjet_routing::{Account, Message, Origin, Turn};
use everjet_stream::Advisory;
use everjet_values::{Entropy, Timestamp, token};

/// Length of the names of advisories, as nats-server gives them.
const ID_LEN: usize = 22;

/// Publishes what happened to the consumers of one stream.
pub(crate) struct Advisor<'a> {
    pub(crate) account: &'a Arc<Account>,
    pub(crate) stream: &'a str,
    pub(crate) domain: Option<&'a str>,
    pub(crate) now: Timestamp,
    pub(crate) entropy: &'a dyn Entropy,
}

impl Advisor<'_> {
    /// Renders and publishes those of the advisories that somebody listens to.
    pub(crate) fn publish(&self, advisories: &[Advisory], turn: &mut Turn) {
        for Advisory { consumer, event } in advisories {
            let subject = event.subject(self.stream, consumer);
            if !self.account.has_interest(subject.as_bytes()) {
                continue;
            }
            let frame = EventFrame {
                id: &token(self.entropy, ID_LEN),
                time: self.now,
                account: self.account.name(),
                stream: self.stream,
                consumer,
                domain: self.domain,
            };
            let message = Message {
                subject: subject.as_bytes(),
                reply: b"",
                headers: b"",
                payload: &event.render(&frame),
            };
            turn.publish(self.account, Origin::SERVER, &message);
        }
    }
}
