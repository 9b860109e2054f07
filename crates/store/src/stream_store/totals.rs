//! Per subject: the first message, the last one, how many.

use std::sync::atomic::{AtomicU64, Ordering};

/// Totals by subject id: 24 bytes each.
#[derive(Default)]
pub(super) struct Totals {
    by_id: Vec<Total>,
    /// Subjects that have messages.
    subjects: u64,
}

/// First and last are hints: the true first is not before `first`, the true last not after `last`. Whoever looks finds the
/// truth by going through the subject column from there, and leaves it here, so that nobody goes the same way again.
#[derive(Default)]
pub(super) struct Total {
    first: AtomicU64,
    last: AtomicU64,
    count: u64,
}

impl Totals {
    /// Counts a message that comes after all others of its subject.
    #[inline]
    pub(super) fn add(&mut self, subject: u32, sequence: u64) {
        let at = subject as usize;
        if at >= self.by_id.len() {
            self.by_id.resize_with(at + 1, Total::default);
        }
        let Some(total) = self.by_id.get_mut(at) else {
            return;
        };
        if total.count == 0 {
            self.subjects += 1;
            *total.first.get_mut() = sequence;
        }
        *total.last.get_mut() = sequence;
        total.count += 1;
    }

    /// Takes a message of a subject out.
    #[inline]
    pub(super) fn subtract(&mut self, subject: u32) {
        if let Some(total) = self.by_id.get_mut(subject as usize) {
            total.count -= 1;
            if total.count == 0 {
                self.subjects -= 1;
            }
        }
    }

    /// Subjects that have messages.
    pub(super) fn subjects(&self) -> u64 {
        self.subjects
    }

    /// The totals of a subject that has messages.
    #[inline]
    pub(super) fn of(&self, subject: u32) -> Option<&Total> {
        self.by_id
            .get(subject as usize)
            .filter(|total| total.count > 0)
    }
}

impl Total {
    /// How many messages there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// No message of the subject comes before this.
    pub(super) fn first_hint(&self) -> u64 {
        self.first.load(Ordering::Relaxed)
    }

    /// No message of the subject comes after this.
    pub(super) fn last_hint(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// The first message was found.
    pub(super) fn found_first(&self, sequence: u64) {
        self.first.store(sequence, Ordering::Relaxed);
    }

    /// The last message was found.
    pub(super) fn found_last(&self, sequence: u64) {
        self.last.store(sequence, Ordering::Relaxed);
    }
}
