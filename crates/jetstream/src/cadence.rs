//! When all streams are checkpointed.

use std::time::Duration;

/// All streams are checkpointed at the latest this long after the last time.
const AT_LATEST: Duration = Duration::from_secs(30);
/// As soon as enough has gathered, the next checkpoint begins when the time since the last one is this many times what that took:
/// they take a fifth of the time at most, whatever one costs.
const REST: u32 = 4;
/// Enough is this much for each stream that has changed: files of each have to be synced.
const BYTES_PER_STREAM: u64 = 1 << 20;

/// Sizes of [`Cadence`], in bytes of the journal since the last checkpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CadenceBytes {
    /// A checkpoint is due.
    pub(crate) limit: u64,
    /// One is worth its price at the earliest, unless the last one was expensive.
    pub(crate) soon: u64,
}

/// When the last checkpoint of all streams was, what it cost, and when the next one is due.
#[derive(Debug)]
pub(crate) struct Cadence {
    bytes: CadenceBytes,
    /// What the journal held when the last one began.
    taken: u64,
    /// When it ended, and how long it took. Times are since the start.
    ended: Duration,
    took: Duration,
}

impl Cadence {
    /// The journal holds what the start has read: that has gathered.
    pub(crate) fn new(bytes: CadenceBytes) -> Self {
        Self {
            bytes,
            taken: 0,
            ended: Duration::ZERO,
            took: Duration::ZERO,
        }
    }

    /// Whether a checkpoint is due at `now`, when the journal has `written` bytes and `changed` streams have changed.
    pub(crate) fn is_due(
        &self,
        now: Duration,
        written: u64,
        changed: impl FnOnce() -> usize,
    ) -> bool {
        let gathered = written.saturating_sub(self.taken);
        let rested = now.saturating_sub(self.ended);
        gathered >= self.bytes.limit
            || (gathered >= self.bytes.soon
                && rested >= self.took * REST
                && gathered >= BYTES_PER_STREAM * changed() as u64)
            || (gathered > 0 && rested >= AT_LATEST)
    }

    /// A checkpoint is over that began when the journal had `written` bytes.
    pub(crate) fn note(&mut self, began: Duration, ended: Duration, written: u64) {
        self.taken = written;
        self.took = ended.saturating_sub(began);
        self.ended = ended;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: u64 = 2 << 20;
    const LIMIT: u64 = 10 << 20;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// After a checkpoint at 1,000 to 1,050 ms, with this much more in the journal.
    #[track_caller]
    fn check(now: u64, gathered: u64, changed: usize, expected: bool) {
        let mut cadence = Cadence::new(CadenceBytes {
            limit: LIMIT,
            soon: SOON,
        });
        cadence.note(ms(1000), ms(1050), 500);
        let due = cadence.is_due(ms(now), 500 + gathered, || changed);
        assert_eq!(due, expected);
    }

    #[test]
    fn what_the_start_has_read_is_taken_at_once() {
        let cadence = Cadence::new(CadenceBytes {
            limit: LIMIT,
            soon: SOON,
        });
        assert!(cadence.is_due(ms(0), SOON, || 1));
        assert!(!cadence.is_due(ms(0), SOON - 1, || 1));
    }

    #[test]
    fn a_checkpoint_comes_soon_but_rests_four_times_as_long_as_it_takes() {
        check(1249, SOON, 1, false);
        check(1250, SOON, 1, true);
        check(1250, SOON - 1, 1, false);
    }

    #[test]
    fn many_streams_are_taken_when_there_is_something_for_each() {
        check(1250, SOON, 2, true);
        check(1250, SOON, 3, false);
        check(1250, SOON + (1 << 20), 3, true);
        check(1250, LIMIT, 1000, true);
    }

    #[test]
    fn much_is_taken_without_rest() {
        check(1051, LIMIT - 1, 1, false);
        check(1051, LIMIT, 1, true);
    }

    #[test]
    fn little_is_taken_after_half_a_minute_and_nothing_never() {
        check(31_049, 1, 1, false);
        check(31_050, 1, 1, true);
        check(31_050, 0, 0, false);
    }
}
