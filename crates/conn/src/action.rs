//! What a client machine asks of its driver.

use std::num::NonZeroU64;

use everjet_wire::Message;

use crate::Refusal;

/// What the driver is to do after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Nothing.
    None,
    /// Nothing but a line in the log: the client was told that it may not do this.
    Refused(Refusal<'a>),
    /// Publish the message. When it reaches nobody, has a reply subject, and the client
    /// [wants it](crate::Client::wants_no_responders), answer 503.
    Publish(Message<'a>),
    /// Add a subscription. The filter is valid, the `sid` is not in use, and there is room for one more.
    Subscribe {
        /// The subjects it wants.
        filter: &'a [u8],
        /// The queue group it joins.
        queue: Option<&'a [u8]>,
        /// The client's name for it.
        sid: &'a [u8],
    },
    /// Remove a subscription: at once, or after `max` deliveries in total counted from its start. The `sid` may be unknown.
    Unsubscribe {
        /// The client's name for it.
        sid: &'a [u8],
        /// Deliveries after which it ends.
        max: Option<NonZeroU64>,
    },
    /// A first CONNECT was accepted: echo, headers and the wish for 503 answers may have changed.
    Connected,
    /// A repeated CONNECT was accepted: as [`Action::Connected`], and all subscriptions go.
    Reconnected,
}

/// What the driver knows about the subscriptions of a connection. The driver owns them, because deliveries on other
/// threads may end them (`UNSUB <sid> <max>`).
pub trait Subscriptions {
    /// Whether a subscription of that name is there and has not ended.
    fn contains(&self, sid: &[u8]) -> bool;

    /// Whether at least `count` subscriptions have not ended.
    fn reaches(&self, count: usize) -> bool;
}
