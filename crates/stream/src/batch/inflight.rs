//! What the batches of all streams of a server may hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most atomic batches of a server that are not committed.
const BATCHES_MAX: u64 = 1000;
/// Most fast batches of a server.
const INGESTS_MAX: u64 = 50_000;
/// Most bytes that are staged in a server.
const BYTES_MAX: u64 = 256 << 20;

/// The batches of all streams of a server that are not committed, counted.
#[derive(Debug, Default)]
pub struct Inflight {
    batches: AtomicU64,
    bytes: AtomicU64,
    ingests: AtomicU64,
}

/// The part of one batch; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    inflight: Arc<Inflight>,
    bytes: u64,
}

impl Share {
    /// Room for one more batch; `None` when there are too many.
    pub(super) fn of(inflight: &Arc<Inflight>) -> Option<Self> {
        take(&inflight.batches, 1, BATCHES_MAX).then(|| Self {
            inflight: Arc::clone(inflight),
            bytes: 0,
        })
    }

    /// Takes room for so many more bytes. Returns whether there was as much.
    pub(super) fn grow(&mut self, bytes: u64) -> bool {
        let fits = take(&self.inflight.bytes, bytes, BYTES_MAX);
        self.bytes += if fits { bytes } else { 0 };
        fits
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.inflight.batches.fetch_sub(1, Ordering::Relaxed);
        self.inflight.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The part of one fast batch; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct IngestShare(Arc<Inflight>);

impl IngestShare {
    /// Room for one more fast batch; `None` when there are too many.
    pub(crate) fn of(inflight: &Arc<Inflight>) -> Option<Self> {
        take(&inflight.ingests, 1, INGESTS_MAX).then(|| Self(Arc::clone(inflight)))
    }
}

impl Drop for IngestShare {
    fn drop(&mut self) {
        self.0.ingests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Adds to a counter that stays at most at `max`.
fn take(counter: &AtomicU64, count: u64, max: u64) -> bool {
    let fits = counter.fetch_add(count, Ordering::Relaxed) + count <= max;
    if !fits {
        counter.fetch_sub(count, Ordering::Relaxed);
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_batch_took_comes_back_with_its_end() {
        let inflight = Arc::new(Inflight::default());
        let mut shares: Vec<Share> = (0..BATCHES_MAX)
            .map(|_| Share::of(&inflight).expect("there is room"))
            .collect();
        assert!(Share::of(&inflight).is_none());
        assert!(shares[0].grow(BYTES_MAX));
        assert!(!shares[1].grow(1));
        shares.remove(0);
        assert!(shares[0].grow(BYTES_MAX));
        assert!(Share::of(&inflight).is_some());
        shares.clear();
        assert_eq!(inflight.batches.load(Ordering::Relaxed), 0);
        assert_eq!(inflight.bytes.load(Ordering::Relaxed), 0);
    }
}
