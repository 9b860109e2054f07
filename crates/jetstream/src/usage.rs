//! How much all streams together hold, and may.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that all streams together may hold; a publish above is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageLimits {
    /// Bytes in file streams.
    pub file_bytes_max: u64,
    /// Bytes in memory streams.
    pub memory_bytes_max: u64,
}

impl Default for UsageLimits {
    /// No limits.
    fn default() -> Self {
        Self {
            file_bytes_max: u64::MAX,
            memory_bytes_max: u64::MAX,
        }
    }
}

/// The sum over all streams. Each stream adds what changed after every run.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    limits: UsageLimits,
    file_bytes: AtomicU64,
    memory_bytes: AtomicU64,
}

impl Usage {
    pub(crate) fn new(limits: UsageLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// A stream that held `before` bytes holds `after` now.
    pub(crate) fn change(&self, on_disk: bool, before: u64, after: u64) {
        let sum = if on_disk {
            &self.file_bytes
        } else {
            &self.memory_bytes
        };
        if after >= before {
            sum.fetch_add(after - before, Ordering::Relaxed);
        } else {
            sum.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Whether streams of this kind hold as much as they may.
    pub(crate) fn is_full(&self, on_disk: bool) -> bool {
        if on_disk {
            self.file_bytes.load(Ordering::Relaxed) >= self.limits.file_bytes_max
        } else {
            self.memory_bytes.load(Ordering::Relaxed) >= self.limits.memory_bytes_max
        }
    }

    /// Bytes in file streams.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes.load(Ordering::Relaxed)
    }

    /// Bytes in memory streams.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn limits(&self) -> UsageLimits {
        self.limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_full_when_all_together_hold_the_limit() {
        let usage = Usage::new(UsageLimits {
            file_bytes_max: 100,
            memory_bytes_max: 10,
        });
        usage.change(true, 0, 99);
        assert!(!usage.is_full(true));
        usage.change(true, 99, 100);
        assert!(usage.is_full(true));
        assert!(!usage.is_full(false));
        usage.change(true, 100, 0);
        usage.change(false, 0, 11);
        assert_eq!((usage.is_full(true), usage.is_full(false)), (false, true));
    }
}
