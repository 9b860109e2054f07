//! Who wants a subject.

use std::ops::Range;
use std::sync::Arc;

use crate::subscription::Admission;
use crate::{ConnectionId, Sink, Subscription};

/// The subscriptions that match one subject: all of `plain` get a message, and one of each queue group.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    pub(crate) plain: Vec<Route>,
    /// Members of queue groups, ordered by the group's name.
    pub(crate) queued: Vec<Route>,
    /// Where each group's members are in `queued`.
    pub(crate) groups: Vec<Range<usize>>,
    /// What [`Route::prefix`] refers to.
    pub(crate) prefixes: Vec<u8>,
}

/// The way to one subscription, as one thread remembers it.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) subscription: Arc<Subscription>,
    /// The subscription's connection; [`LOCAL`] for a party inside the server.
    connection: ConnectionId,
    /// Where the thread staged for the connection last.
    pub(crate) slot: u32,
    /// Messages staged that the subscription has not counted yet.
    uncounted: u32,
    /// Where in [`Matches::prefixes`] the line of a `MSG` up to the `sid` and a blank is; empty when it is not prepared.
    prefix: Range<u32>,
    /// Whether each delivery asks the subscription, because it may refuse.
    asks: bool,
}

/// No connection has this number.
const LOCAL: ConnectionId = ConnectionId(u64::MAX);

impl Matches {
    /// Adds a subscription; [`Self::group`] must follow the last one.
    pub(crate) fn push(&mut self, subscription: &Arc<Subscription>) {
        let route = Route {
            subscription: subscription.clone(),
            connection: subscription.connection().unwrap_or(LOCAL),
            slot: 0,
            uncounted: 0,
            prefix: 0..0,
            asks: true,
        };
        match subscription.queue() {
            None => self.plain.push(route),
            Some(_) => self.queued.push(route),
        }
    }

    /// Finds the queue groups. Members of one name are one group, whichever of their filters matched.
    pub(crate) fn group(&mut self) {
        if self.queued.is_empty() {
            return;
        }
        self.queued
            .sort_by(|one, other| one.queue().cmp(&other.queue()));
        self.groups.clear();
        let mut start = 0;
        for members in self
            .queued
            .chunk_by(|one, other| one.queue() == other.queue())
        {
            self.groups.push(start..start + members.len());
            start += members.len();
        }
    }

    /// Does once what would be done for each message to `subject`. Only for matches that are dropped when one of the
    /// subscriptions is limited or retired, and settled after each turn.
    pub(crate) fn prepare(&mut self, subject: &[u8]) {
        for route in self.plain.iter_mut().chain(&mut self.queued) {
            route.asks = route.subscription.may_refuse();
            if let Sink::Connection(_) = route.subscription.sink() {
                let start = self.prefixes.len();
                for part in [b"MSG ", subject, b" ", route.subscription.sid(), b" "] {
                    self.prefixes.extend_from_slice(part);
                }
                let end = self.prefixes.len();
                // What does not fit is rendered each time.
                route.prefix = match (u32::try_from(start), u32::try_from(end)) {
                    (Ok(start), Ok(end)) => start..end,
                    _ => 0..0,
                };
            }
        }
    }

    /// Lets the subscriptions count what was staged for them; those that have had their last message are added to `ended`.
    pub(crate) fn settle(&mut self, ended: &mut Vec<Arc<Subscription>>) {
        for route in self.plain.iter_mut().chain(&mut self.queued) {
            let count = u64::from(std::mem::take(&mut route.uncounted));
            if count > 0 && route.subscription.count(count) {
                ended.push(route.subscription.clone());
            }
        }
    }

    /// Forgets all, keeping the memory.
    pub(crate) fn clear(&mut self) {
        self.plain.clear();
        self.queued.clear();
        self.groups.clear();
        self.prefixes.clear();
    }

    /// Number of subscriptions, members of queue groups included.
    pub(crate) fn len(&self) -> usize {
        self.plain.len() + self.queued.len()
    }

    /// Bytes of memory in use.
    pub(crate) fn bytes(&self) -> usize {
        self.len() * size_of::<Route>() + self.prefixes.len()
    }
}

impl Route {
    /// The connection it leads to.
    #[inline]
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        (self.connection != LOCAL).then_some(self.connection)
    }

    /// The line of a `MSG` up to the `sid` and a blank, when it leads to a connection and is prepared.
    #[inline]
    pub(crate) fn prefix<'a>(&self, prefixes: &'a [u8]) -> Option<&'a [u8]> {
        let prefix = &prefixes[self.prefix.start as usize..self.prefix.end as usize];
        (!prefix.is_empty()).then_some(prefix)
    }

    /// Counts one more message, unless the subscription has ended.
    #[inline]
    pub(crate) fn admit(&mut self) -> Admission {
        if self.asks {
            return self.subscription.admit();
        }
        self.uncounted += 1;
        Admission::Granted
    }

    fn queue(&self) -> Option<&[u8]> {
        self.subscription.queue()
    }
}
