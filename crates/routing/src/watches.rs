//! Who wants to hear about changes of interest in which subject.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use everjet_subject::{matches, tokens};
use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::Subscription;

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

type Watcher = (WatchId, Arc<dyn InterestWatcher>);

/// The watches of an account.
///
/// Ordered by subject, because nearly every client subscribes to `_INBOX.<own>.*` when it connects: only the subjects that begin
/// as the filter does are looked at, not those of all push consumers.
#[derive(Default)]
pub(crate) struct Watches {
    by_subject: BTreeMap<Arc<[u8]>, Vec<Watcher>>,
    subjects: HashMap<WatchId, Arc<[u8]>, RandomState>,
    last: u64,
}

impl Watches {
    pub(crate) fn add(&mut self, subject: &[u8], watcher: Arc<dyn InterestWatcher>) -> WatchId {
        self.last += 1;
        let id = WatchId(self.last);
        let subject: Arc<[u8]> = subject.into();
        self.subjects.insert(id, subject.clone());
        let watchers = self.by_subject.entry(subject).or_default();
        watchers.push((id, watcher));
        id
    }

    /// Nothing happens when it is not there any more.
    pub(crate) fn remove(&mut self, id: WatchId) {
        let Some(subject) = self.subjects.remove(&id) else {
            return;
        };
        if let Some(watchers) = self.by_subject.get_mut(&subject) {
            watchers.retain(|(other, _)| *other != id);
            if watchers.is_empty() {
                self.by_subject.remove(&subject);
            }
        }
    }

    /// Adds those whom a change of `subscription` concerns.
    pub(crate) fn notices(&self, subscription: &Subscription, into: &mut Vec<Notice>) {
        if self.subjects.is_empty() || subscription.connection().is_none() {
            return;
        }
        let filter = subscription.filter();
        let start = literal_start(filter);
        let from = (Bound::Included(start), Bound::Unbounded);
        let alike = self.by_subject.range::<[u8], _>(from);
        alike
            .take_while(|(subject, _)| subject.starts_with(start))
            .filter(|(subject, _)| matches(filter, subject))
            .for_each(|(subject, watchers)| {
                into.extend(
                    watchers
                        .iter()
                        .map(|(_, one)| (subject.clone(), one.clone())),
                );
            });
    }
}

/// What every subject that the filter matches begins with.
fn literal_start(filter: &[u8]) -> &[u8] {
    let literal = tokens(filter).take_while(|token| *token != b"*" && *token != b">");
    // Each token with the dot behind it, which is not there behind the last one.
    let length: usize = literal.map(|token| token.len() + 1).sum();
    &filter[..length.min(filter.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConnectionId, Destination, OutBatch, Sink};

    struct Nobody;

    impl Destination for Nobody {
        fn id(&self) -> ConnectionId {
            ConnectionId(1)
        }

        fn supports_headers(&self) -> bool {
            true
        }

        fn deliver(&self, _: &mut OutBatch) {}
    }

    impl InterestWatcher for Nobody {
        fn interest_changed(&self, _: &[u8]) {}
    }

    const SUBJECTS: [&str; 9] = [
        "a", "a.b", "a.b.c", "a.bb", "a.c.c", "ab", "ab.c", "b.b.c", "b",
    ];

    fn concerned(watches: &Watches, filter: &str) -> Vec<String> {
        let sink = Sink::Connection(Arc::new(Nobody));
        let subscription = Subscription::new(filter.as_bytes(), None, b"1", sink);
        let mut notices = Vec::new();
        watches.notices(&subscription, &mut notices);
        let subjects = notices.iter().map(|(subject, _)| subject);
        let text = subjects.map(|subject| String::from_utf8_lossy(subject).into_owned());
        text.collect()
    }

    #[test]
    fn a_change_concerns_the_watchers_of_all_subjects_that_match() {
        let mut watches = Watches::default();
        assert!(concerned(&watches, ">").is_empty());
        for subject in SUBJECTS {
            watches.add(subject.as_bytes(), Arc::new(Nobody));
        }
        for filter in [
            "a", "a.b", "a.b.c", "a.*", "a.>", "*", "*.b", "*.*.c", "a.*.c", "a.b.*", "ab.>", ">",
            "c.*", "a.b.c.>", "c",
        ] {
            let matching = |subject: &&str| matches(filter.as_bytes(), subject.as_bytes());
            let mut expected: Vec<_> = SUBJECTS.into_iter().filter(matching).collect();
            expected.sort_unstable();
            assert_eq!(concerned(&watches, filter), expected, "{filter}");
        }
    }

    #[test]
    fn a_watch_ends_alone() {
        let mut watches = Watches::default();
        let first = watches.add(b"a", Arc::new(Nobody));
        let second = watches.add(b"a", Arc::new(Nobody));
        assert_eq!(concerned(&watches, "*"), ["a", "a"]);
        for _ in 0..2 {
            watches.remove(first);
            assert_eq!(concerned(&watches, "a"), ["a"]);
        }
        watches.remove(second);
        assert!(concerned(&watches, "a").is_empty());
        assert!(watches.by_subject.is_empty() && watches.subjects.is_empty());
    }
}
