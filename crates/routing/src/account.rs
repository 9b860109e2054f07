//! An account: a subject space with its own interest. That is the isolation between accounts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::generations::{Generations, Stamp};
use crate::interest::Interest;
use crate::matches::Matches;
use crate::watches::{InterestWatcher, Notice, WatchId};
use crate::{ConnectionId, Mappings, Subscription};

/// Subscriptions removed under one hold of the lock when a connection goes, so that publishers get through in between.
const REMOVALS_PER_HOLD: usize = 256;

/// A subject space: who subscribed to what, and who watches it.
///
/// The interest is a tree behind a read-write lock; threads remember matches and ask again only when the generation of
/// the subject's first token moved. No lock is held while a message is delivered or a watcher called.
pub struct Account {
    name: Box<str>,
    /// Unique in the process, so that what threads remember for a dropped account is never taken for another's.
    id: u64,
    interest: RwLock<Interest>,
    generations: Generations,
    /// `None` when there are none, which is all that a publish asks then. Fixed for the account's life: threads remember
    /// what they make of subjects.
    mappings: Option<Box<Mappings>>,
}

impl Account {
    /// An account without subscriptions and mappings.
    #[must_use]
    pub fn new(name: &str) -> Arc<Self> {
        Self::make(name, None)
    }

    /// An account without subscriptions, in which the subjects of clients are mapped.
    #[must_use]
    pub fn with_mappings(name: &str, mappings: Mappings) -> Arc<Self> {
        let mappings = Some(mappings).filter(|mappings| !mappings.is_empty());
        Self::make(name, mappings.map(Box::new))
    }

    fn make(name: &str, mappings: Option<Box<Mappings>>) -> Arc<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            name: name.into(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            interest: RwLock::new(Interest::new()),
            generations: Generations::new(),
            mappings,
        })
    }

    /// Adds a subscription: every later publish sees it, on every thread.
    pub fn subscribe(&self, subscription: Arc<Subscription>) {
        let mut notices = Vec::new();
        {
            let mut interest = self.interest.write();
            interest.watches.notices(&subscription, &mut notices);
            self.generations.advance(subscription.filter());
            interest.insert(subscription);
        }
        notify(&notices);
    }

    /// Removes a subscription; nothing happens when it is not there any more. A thread that is delivering at this
    /// moment may still deliver to it.
    pub fn unsubscribe(&self, subscription: &Arc<Subscription>) {
        subscription.mark_removed();
        let mut notices = Vec::new();
        {
            let mut interest = self.interest.write();
            if interest.remove(subscription) {
                self.generations.advance(subscription.filter());
                interest.watches.notices(subscription, &mut notices);
            }
        }
        notify(&notices);
    }

    /// Removes many subscriptions, those of a connection that goes.
    pub fn unsubscribe_all(&self, subscriptions: &[Arc<Subscription>]) {
        subscriptions.iter().for_each(|one| one.mark_removed());
        let mut notices = Vec::new();
        for chunk in subscriptions.chunks(REMOVALS_PER_HOLD) {
            // Many may share a filter: they go in one step, for finding each among the others takes the square of their number.
            let mut chunk: Vec<&Arc<Subscription>> = chunk.iter().collect();
            chunk.sort_unstable_by_key(|subscription| subscription.filter());
            let mut interest = self.interest.write();
            for alike in chunk.chunk_by(|one, next| one.filter() == next.filter()) {
                let removed = match alike {
                    [subscription] => interest.remove(subscription),
                    _ => interest.remove_marked(alike[0].filter()),
                };
                if removed {
                    self.generations.advance(alike[0].filter());
                    interest.watches.notices(alike[0], &mut notices);
                }
            }
        }
        notify(&notices);
    }

    /// Ends subscriptions at once: no later publish is delivered to them. Their place is freed by
    /// [`Self::unsubscribe_all`], which takes longer and may follow in parts.
    pub fn retire(&self, subscriptions: &[Arc<Subscription>]) {
        for subscription in subscriptions {
            subscription.mark_removed();
            // Threads that remember the subscription as one that takes everything look again.
            self.generations.advance(subscription.filter());
        }
    }

    /// Ends the subscription after `max` deliveries in total, counted from its start; 0 means no limit. Returns whether
    /// the limit is already reached, in which case the caller removes the subscription now.
    ///
    /// A thread that has staged messages itself calls [`Turn::settle`](crate::Turn::settle) first, so that they count.
    pub fn limit_deliveries(&self, subscription: &Subscription, max: u64) -> bool {
        let reached = subscription.limit_deliveries(max);
        // Threads that remember the subscription as one without limit look again.
        self.generations.advance(subscription.filter());
        reached
    }

    /// Calls `watcher` whenever a connection's subscription that matches the literal `subject` appears or goes.
    pub fn watch(&self, subject: &[u8], watcher: Arc<dyn InterestWatcher>) -> WatchId {
        self.interest.write().watches.add(subject, watcher)
    }

    /// Ends a watch. A call that is under way on another thread may still arrive.
    pub fn unwatch(&self, id: WatchId) {
        self.interest.write().watches.remove(id);
    }

    /// The account's name, `$G` for the global one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a connection is subscribed to what `subject` matches. Parties inside the server do not count.
    #[must_use]
    pub fn has_interest(&self, subject: &[u8]) -> bool {
        self.interest.read().any_connection(subject, |_| true)
    }

    /// Whether anybody is subscribed to what `subject` matches, be it a connection or a party inside the server, such as a stream.
    #[must_use]
    pub fn is_heard(&self, subject: &[u8]) -> bool {
        self.interest.read().any(subject, |_| true)
    }

    /// Whether a connection is subscribed to what `subject` matches as a member of the queue group.
    #[must_use]
    pub fn has_queue_interest(&self, subject: &[u8], queue: &[u8]) -> bool {
        let member = |subscription: &Subscription| subscription.queue() == Some(queue);
        self.interest.read().any_connection(subject, member)
    }

    /// A subscription of the connection, outside queue groups, that `subject` matches.
    pub(crate) fn plain_subscription_of(
        &self,
        connection: ConnectionId,
        subject: &[u8],
    ) -> Option<Arc<Subscription>> {
        let interest = self.interest.read();
        interest.plain_subscription_of(connection, subject).cloned()
    }

    /// Number of subscriptions, those of parties inside the server included.
    #[must_use]
    pub fn subscription_count(&self) -> usize {
        self.interest.read().len()
    }

    /// What subjects of clients are mapped by, if any.
    pub(crate) fn mappings(&self) -> Option<&Mappings> {
        self.mappings.as_deref()
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Adds all subscriptions that match the subject.
    pub(crate) fn collect(&self, subject: &[u8], into: &mut Matches) {
        self.interest.read().collect(subject, into);
    }

    pub(crate) fn stamp(&self, subject: &[u8]) -> Stamp {
        self.generations.stamp(subject)
    }

    pub(crate) fn is_current(&self, stamp: &Stamp) -> bool {
        self.generations.is_current(stamp)
    }
}

fn notify(notices: &[Notice]) {
    for (subject, watcher) in notices {
        watcher.interest_changed(subject);
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("subscriptions", &self.subscription_count())
            .finish_non_exhaustive()
    }
}
