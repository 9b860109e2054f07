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

/// In [`Total::count`]: the message at `last` was removed, and the hint is no more than a bound.
const LAST_IS_GONE: u64 = 1 << 63;

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
        match total.count() {
            0 => {
                self.subjects += 1;
                *total.first.get_mut() = sequence;
            }
            1 => total.first_is_last(),
            _ => {}
        }
        *total.last.get_mut() = sequence;
        total.count = total.count() + 1;
    }

    /// Counts `count` messages of a subject from `first` to `last`, which come after all others of it.
    pub(super) fn add_run(&mut self, subject: u32, (first, last): (u64, u64), count: u64) {
        self.add(subject, first);
        if let Some(total) = self.by_id.get_mut(subject as usize) {
            *total.last.get_mut() = last;
            total.count += count - 1;
        }
    }

    /// Makes room for the totals of as many subjects.
    pub(super) fn reserve(&mut self, subjects: usize) {
        self.by_id
            .resize_with(subjects.max(self.by_id.len()), Total::default);
    }

    /// Takes the message with this sequence out of its subject.
    #[inline]
    pub(super) fn subtract(&mut self, subject: u32, sequence: u64) {
        if let Some(total) = self.by_id.get_mut(subject as usize) {
            total.count -= 1;
            if sequence == *total.last.get_mut() {
                total.count |= LAST_IS_GONE;
            }
            match total.count() {
                0 => self.subjects -= 1,
                1 => total.first_is_last(),
                _ => {}
            }
        }
    }

    /// Nothing has messages any more.
    pub(super) fn clear(&mut self) {
        self.by_id.fill_with(Total::default);
        self.subjects = 0;
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
            .filter(|total| total.count() > 0)
    }
}

impl Total {
    /// How many messages there are.
    #[inline]
    pub(super) fn count(&self) -> u64 {
        self.count & !LAST_IS_GONE
    }

    /// There is one message: the first one is the last one, as far as that is known. Without this, overwriting the value of
    /// a key would look for its old value from where the value before that was.
    #[inline]
    fn first_is_last(&mut self) {
        if self.count & LAST_IS_GONE == 0 {
            *self.first.get_mut() = *self.last.get_mut();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overwriting_the_only_message_leaves_nothing_to_look_for() {
        let mut totals = Totals::default();
        totals.add(0, 5);
        for sequence in [70, 900, 12_000] {
            let before = totals.of(0).expect("there is one").last_hint();
            totals.add(0, sequence);
            assert_eq!(totals.of(0).map(Total::first_hint), Some(before));
            totals.subtract(0, before);
            assert_eq!(totals.of(0).map(Total::first_hint), Some(sequence));
        }
    }

    #[test]
    fn a_last_message_that_was_removed_is_no_first_one() {
        let mut totals = Totals::default();
        for sequence in [3, 7, 9] {
            totals.add(0, sequence);
        }
        totals.subtract(0, 9);
        totals.subtract(0, 7);
        let total = totals.of(0).expect("3 is there");
        assert_eq!((total.first_hint(), total.count()), (3, 1));
        // The next one does not make the gone one the first.
        totals.add(0, 20);
        assert_eq!(totals.of(0).map(Total::first_hint), Some(3));
        totals.subtract(0, 3);
        assert_eq!(totals.of(0).map(Total::first_hint), Some(20));
        totals.subtract(0, 20);
        assert!(totals.of(0).is_none());
        assert_eq!(totals.subjects(), 0);
    }
}
