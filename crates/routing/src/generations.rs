//! Generations of an account's interest, so that memoised matches can be told stale.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::FixedState;

/// Number of buckets that literal first tokens are spread over.
const BUCKETS: usize = 256;

/// Counters that move when interest changes: one per bucket of first tokens, and one for filters that begin with a
/// wildcard. A change under `_INBOX` thus leaves what is remembered for `orders` alone.
#[derive(Debug)]
pub(crate) struct Generations {
    buckets: Box<[AtomicU64; BUCKETS]>,
    wildcard: AtomicU64,
}

/// Which counters a subject depends on, and their values when its matches were looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    bucket: usize,
    bucket_generation: u64,
    wildcard_generation: u64,
}

impl Generations {
    pub(crate) fn new() -> Self {
        Self {
            buckets: Box::new([const { AtomicU64::new(0) }; BUCKETS]),
            wildcard: AtomicU64::new(0),
        }
    }

    /// Notes a change of a subscription to `filter`.
    pub(crate) fn advance(&self, filter: &[u8]) {
        match first_token(filter) {
            b"*" | b">" => &self.wildcard,
            token => &self.buckets[bucket(token)],
        }
        .fetch_add(1, Ordering::Release);
    }

    /// The stamp of `subject` now. Take it before looking the matches up: a change in between then shows.
    pub(crate) fn stamp(&self, subject: &[u8]) -> Stamp {
        let bucket = bucket(first_token(subject));
        Stamp {
            bucket,
            bucket_generation: self.buckets[bucket].load(Ordering::Acquire),
            wildcard_generation: self.wildcard.load(Ordering::Acquire),
        }
    }

    /// Whether nothing that the stamp depends on has changed since.
    pub(crate) fn is_current(&self, stamp: &Stamp) -> bool {
        self.buckets[stamp.bucket].load(Ordering::Acquire) == stamp.bucket_generation
            && self.wildcard.load(Ordering::Acquire) == stamp.wildcard_generation
    }
}

fn first_token(subject: &[u8]) -> &[u8] {
    let end = subject.iter().position(|&byte| byte == b'.');
    &subject[..end.unwrap_or(subject.len())]
}

/// A fixed hash is enough: who finds colliding tokens only makes remembered matches of both go stale together.
fn bucket(token: &[u8]) -> usize {
    let hash = FixedState::default().hash_one(token);
    usize::try_from(hash % BUCKETS as u64).expect("below the number of buckets")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: &str, subject: &str, stays_current: bool) {
        let generations = Generations::new();
        let stamp = generations.stamp(subject.as_bytes());
        generations.advance(change.as_bytes());
        assert_eq!(
            generations.is_current(&stamp),
            stays_current,
            "{change} {subject}"
        );
    }

    #[test]
    fn a_change_makes_only_its_own_first_token_stale() {
        check("orders.>", "orders.new", false);
        check("orders", "orders", false);
        check("_INBOX.x", "orders.new", true);
        check("*.new", "orders.new", false);
        check(">", "orders.new", false);
        check("*x", "orders.new", true);
    }
}
