//! The subscriptions of one connection by their `sid`.

use std::hash::BuildHasher;
use std::sync::Arc;

use everjet_conn::Subscriptions;
use everjet_routing::Subscription;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Ended subscriptions are not looked for below this size.
const PRUNE_FROM: usize = 64;

/// Subscriptions by `sid`. Owns no memory while it is empty.
///
/// A subscription may end by its last delivery on another thread; such ones are passed over, and pruned when the table
/// has doubled, so that a client which makes one per request does not fill it.
#[derive(Debug, Default)]
pub(crate) struct SubscriptionTable {
    table: HashTable<Arc<Subscription>>,
    hasher: RandomState,
    prune_at: usize,
}

impl SubscriptionTable {
    /// Adds a subscription whose `sid` is not in use.
    pub(crate) fn insert(&mut self, subscription: Arc<Subscription>) {
        if self.table.len() >= self.prune_at.max(PRUNE_FROM) {
            self.table.retain(|subscription| !subscription.is_removed());
            self.prune_at = self.table.len() * 2;
        }
        // One of the same name that has ended gives way.
        self.remove(subscription.sid());
        let hash = self.hasher.hash_one(subscription.sid());
        self.table.insert_unique(hash, subscription, |other| {
            self.hasher.hash_one(other.sid())
        });
    }

    pub(crate) fn remove(&mut self, sid: &[u8]) -> Option<Arc<Subscription>> {
        let hash = self.hasher.hash_one(sid);
        let entry = self.table.find_entry(hash, |other| other.sid() == sid);
        Some(entry.ok()?.remove().0)
    }

    /// Takes all subscriptions, giving the memory back.
    pub(crate) fn take(&mut self) -> Vec<Arc<Subscription>> {
        std::mem::take(&mut self.table).into_iter().collect()
    }

    pub(crate) fn get(&self, sid: &[u8]) -> Option<&Arc<Subscription>> {
        let hash = self.hasher.hash_one(sid);
        let found = self.table.find(hash, |other| other.sid() == sid);
        found.filter(|subscription| !subscription.is_removed())
    }
}

impl Subscriptions for SubscriptionTable {
    fn contains(&self, sid: &[u8]) -> bool {
        self.get(sid).is_some()
    }

    fn reaches(&self, count: usize) -> bool {
        let live = |subscription: &&Arc<Subscription>| !subscription.is_removed();
        self.table.len() >= count && self.table.iter().filter(live).count() >= count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use everjet_routing::{Account, LocalReceiver, MessageBatch, Sink, Turn};

    struct Nobody;

    impl LocalReceiver for Nobody {
        fn receive(&self, _: &mut MessageBatch, _: &mut Turn) {}
    }

    fn subscription(sid: &str) -> Arc<Subscription> {
        let sink = Sink::Local(Arc::new(Nobody));
        Arc::new(Subscription::new(b"a", None, sid.as_bytes(), sink))
    }

    #[test]
    fn ended_subscriptions_do_not_pile_up() {
        let account = Account::new("A");
        let mut table = SubscriptionTable::default();
        table.insert(subscription("kept"));
        for number in 0..10_000 {
            let ended = subscription(&number.to_string());
            table.insert(ended.clone());
            assert!(table.contains(ended.sid()));
            account.unsubscribe(&ended);
            assert!(!table.contains(ended.sid()));
        }
        assert!(table.table.len() <= PRUNE_FROM, "{}", table.table.len());
        assert!(table.contains(b"kept"));
        assert!(table.reaches(1) && !table.reaches(2));
    }

    #[test]
    fn an_ended_subscription_gives_its_name_away() {
        let account = Account::new("A");
        let mut table = SubscriptionTable::default();
        let (first, second) = (subscription("1"), subscription("1"));
        table.insert(first.clone());
        account.unsubscribe(&first);
        table.insert(second.clone());
        assert!(Arc::ptr_eq(table.get(b"1").expect("it is there"), &second));
        assert_eq!(table.take().len(), 1);
        assert!(table.get(b"1").is_none());
    }
}
