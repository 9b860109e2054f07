//! One subscription: a filter, and who takes what matches it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{ConnectionId, Sink};

/// A subscription of a connection or of a party inside the server.
///
/// It counts its deliveries from the start, because `UNSUB <sid> <max>` counts them from the `SUB`. A message counts
/// when it is staged for the destination; a thread that stages many for a subscription without limit has them counted
/// together, before the destination gets them.
pub struct Subscription {
    filter: Box<[u8]>,
    queue: Option<Box<[u8]>>,
    sid: Box<[u8]>,
    sink: Sink,
    connection: Option<ConnectionId>,
    /// Set once, when the account forgets the subscription: a match found before that is passed over.
    removed: AtomicBool,
    delivered: AtomicU64,
    /// Deliveries after which the subscription ends; 0 for no limit.
    max: AtomicU64,
}

/// What a subscription says to one more message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Deliver it.
    Granted,
    /// Deliver it, then remove the subscription: it was the last one.
    Last,
    /// Do not deliver it.
    Refused,
}

impl Subscription {
    /// A subscription to `filter`, which must be valid ([`everjet_subject::is_valid_filter`]); `queue` names the queue
    /// group, of which one member gets each message; `sid` is the client's name for it and empty for local sinks.
    #[must_use]
    pub fn new(filter: &[u8], queue: Option<&[u8]>, sid: &[u8], sink: Sink) -> Self {
        let connection = match &sink {
            Sink::Connection(destination) => Some(destination.id()),
            Sink::Local(_) => None,
        };
        Self {
            filter: filter.into(),
            queue: queue.map(Into::into),
            sid: sid.into(),
            sink,
            connection,
            removed: AtomicBool::new(false),
            delivered: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }

    /// Sets the limit; see [`Account::limit_deliveries`](crate::Account::limit_deliveries).
    pub(crate) fn limit_deliveries(&self, max: u64) -> bool {
        // Sequentially consistent together with `admit` and `count`: either this sees the last delivery, or that sees the
        // limit.
        self.max.store(max, Ordering::SeqCst);
        max != 0 && self.delivered.load(Ordering::SeqCst) >= max
    }

    /// The subjects it wants.
    #[must_use]
    pub fn filter(&self) -> &[u8] {
        &self.filter
    }

    /// Its queue group.
    #[must_use]
    pub fn queue(&self) -> Option<&[u8]> {
        self.queue.as_deref()
    }

    /// The client's name for it.
    #[must_use]
    pub fn sid(&self) -> &[u8] {
        &self.sid
    }

    /// Who takes its messages.
    #[must_use]
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// The connection it belongs to; `None` for a party inside the server.
    #[must_use]
    pub fn connection(&self) -> Option<ConnectionId> {
        self.connection
    }

    /// Messages delivered so far.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        let delivered = self.delivered.load(Ordering::Relaxed);
        match self.max.load(Ordering::Relaxed) {
            0 => delivered,
            max => delivered.min(max),
        }
    }

    /// Whether the account has forgotten the subscription.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    pub(crate) fn mark_removed(&self) {
        self.removed.store(true, Ordering::Release);
    }

    /// Whether it ends after a number of deliveries, or has ended.
    pub(crate) fn may_refuse(&self) -> bool {
        self.is_removed() || self.max.load(Ordering::SeqCst) != 0
    }

    /// Counts messages that were staged before it had a limit. Returns whether it has had its last one all the same.
    pub(crate) fn count(&self, messages: u64) -> bool {
        let count = self.delivered.fetch_add(messages, Ordering::SeqCst) + messages;
        let max = self.max.load(Ordering::SeqCst);
        max != 0 && count >= max
    }

    /// Counts one more message, unless the subscription has ended.
    pub(crate) fn admit(&self) -> Admission {
        if self.removed.load(Ordering::Relaxed) {
            return Admission::Refused;
        }
        let count = self.delivered.fetch_add(1, Ordering::SeqCst) + 1;
        let max = self.max.load(Ordering::SeqCst);
        if max == 0 || count < max {
            Admission::Granted
        } else if count == max {
            Admission::Last
        } else {
            Admission::Refused
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("filter", &String::from_utf8_lossy(&self.filter))
            .field("queue", &self.queue().map(String::from_utf8_lossy))
            .field("sid", &String::from_utf8_lossy(&self.sid))
            .field("connection", &self.connection)
            .field("delivered", &self.delivered())
            .finish_non_exhaustive()
    }
}
