//! The subscriptions of one account, and who wants to hear about their changes.

use std::sync::Arc;

use everjet_subject::{FilterTree, has_wildcards, matches};
use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::matches::Matches;
use crate::{ConnectionId, Subscription};

/// Hears that interest in a subject may have changed.
pub trait InterestWatcher: Send + Sync {
    /// A subscription of a connection that matches `subject` appeared or went. Called after the change took effect, on
    /// the thread that made it, without any lock held; ask the account what holds now.
    fn interest_changed(&self, subject: &[u8]);
}

/// Names a watch, to end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WatchId(u64);

/// A watcher that a change concerns, with the subject it watches.
pub(crate) type Notice = (Arc<[u8]>, Arc<dyn InterestWatcher>);

struct Watch {
    id: WatchId,
    subject: Arc<[u8]>,
    watcher: Arc<dyn InterestWatcher>,
}

/// What an account keeps under its lock.
pub(crate) struct Interest {
    tree: FilterTree<Arc<Subscription>>,
    watches: HashMap<Arc<[u8]>, Vec<Watch>, RandomState>,
    next_watch: u64,
}

impl Interest {
    pub(crate) fn new() -> Self {
        Self {
            tree: FilterTree::new(),
            watches: HashMap::default(),
            next_watch: 0,
        }
    }

    pub(crate) fn insert(&mut self, subscription: Arc<Subscription>) {
        let filter: Box<[u8]> = subscription.filter().into();
        self.tree.insert(&filter, subscription);
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
        let mut found = false;
        self.tree.for_each_match(subject, |subscription| {
            found |= subscription.connection().is_some() && wanted(subscription);
        });
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

    pub(crate) fn watch(&mut self, subject: &[u8], watcher: Arc<dyn InterestWatcher>) -> WatchId {
        self.next_watch += 1;
        let id = WatchId(self.next_watch);
        let subject: Arc<[u8]> = subject.into();
        let watch = Watch {
            id,
            subject: subject.clone(),
            watcher,
        };
        self.watches.entry(subject).or_default().push(watch);
        id
    }

    pub(crate) fn unwatch(&mut self, id: WatchId) {
        self.watches.retain(|_, watches| {
            watches.retain(|watch| watch.id != id);
            !watches.is_empty()
        });
    }

    /// Adds those whom a change of `subscription` concerns.
    pub(crate) fn notices(&self, subscription: &Subscription, into: &mut Vec<Notice>) {
        if self.watches.is_empty() || subscription.connection().is_none() {
            return;
        }
        let filter = subscription.filter();
        let mut add = |watches: &Vec<Watch>| {
            let notices = watches.iter();
            into.extend(notices.map(|watch| (watch.subject.clone(), watch.watcher.clone())));
        };
        if has_wildcards(filter) {
            let concerned = self.watches.iter();
            concerned
                .filter(|(subject, _)| matches(filter, subject))
                .for_each(|(_, watches)| add(watches));
        } else if let Some(watches) = self.watches.get(filter) {
            add(watches);
        }
    }
}
