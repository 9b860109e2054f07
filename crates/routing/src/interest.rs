//! The subscriptions of one account, and who wants to hear about their changes.

use std::sync::Arc;

use everjet_subject::FilterTree;

use crate::matches::Matches;
use crate::watches::Watches;
use crate::{ConnectionId, Subscription};

/// What an account keeps under its lock.
pub(crate) struct Interest {
    tree: FilterTree<Arc<Subscription>>,
    pub(crate) watches: Watches,
}

impl Interest {
    pub(crate) fn new() -> Self {
        Self {
            tree: FilterTree::new(),
            watches: Watches::default(),
        }
    }

    pub(crate) fn insert(&mut self, subscription: Arc<Subscription>) {
        let kept = subscription.clone();
        self.tree.insert(kept.filter(), subscription);
    }

    /// Whether the subscription was there.
    pub(crate) fn remove(&mut self, subscription: &Arc<Subscription>) -> bool {
        let same = |other: &Arc<Subscription>| Arc::ptr_eq(other, subscription);
        self.tree.remove(subscription.filter(), same).is_some()
    }

    /// Removes all subscriptions to `filter` that are marked as removed; returns whether there were any.
    pub(crate) fn remove_marked(&mut self, filter: &[u8]) -> bool {
        let marked = |other: &Arc<Subscription>| other.is_removed();
        self.tree.remove_all(filter, marked) > 0
    }

    pub(crate) fn collect(&self, subject: &[u8], into: &mut Matches) {
        self.tree
            .for_each_match(subject, |subscription| into.push(subscription));
        into.group();
    }

    /// Whether a connection's subscription that passes `wanted` matches the subject.
    pub(crate) fn any_connection(
        &self,
        subject: &[u8],
        wanted: impl Fn(&Subscription) -> bool,
    ) -> bool {
        self.any(subject, |subscription| {
            subscription.connection().is_some() && wanted(subscription)
        })
    }

    /// Whether a subscription that passes `wanted` matches the subject.
    pub(crate) fn any(&self, subject: &[u8], wanted: impl Fn(&Subscription) -> bool) -> bool {
        let mut found = false;
        self.tree
            .for_each_match(subject, |subscription| found |= wanted(subscription));
        found
    }

    /// A subscription of the connection, outside queue groups, that the subject matches.
    pub(crate) fn plain_subscription_of(
        &self,
        connection: ConnectionId,
        subject: &[u8],
    ) -> Option<&Arc<Subscription>> {
        let mut found = None;
        self.tree.for_each_match(subject, |subscription| {
            if subscription.connection() == Some(connection) && subscription.queue().is_none() {
                found = Some(subscription);
            }
        });
        found
    }

    pub(crate) fn len(&self) -> usize {
        self.tree.len()
    }
}
