//! The rate limit of a push consumer.

use everjet_values::Timestamp;

/// Bytes that may be sent at once after a rest: the largest message by default, as in nats-server.
const BURST: i64 = 1 << 20;

/// A purse of bytes that fills at the rate and is emptied by messages. Messages go as long as something is in it; the last one may be
/// larger than what is left, and is paid for before the next.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    bytes_per_second: u64,
    purse: i64,
    /// When it was filled last.
    filled_at: Option<Timestamp>,
    /// When a message that waits may go.
    opens_at: Option<Timestamp>,
}

impl Rate {
    /// A limit in bits a second; zero is none.
    pub(crate) fn new(bits_per_second: u64) -> Option<Self> {
        (bits_per_second > 0).then(|| Self {
            bytes_per_second: (bits_per_second / 8).max(1),
            purse: BURST,
            filled_at: None,
            opens_at: None,
        })
    }

    /// Whether a message may go now. If not, [`next_timer`](Self::next_timer) says when.
    pub(crate) fn is_open(&mut self, now: Timestamp) -> bool {
        self.fill(now);
        if self.purse > 0 {
            self.opens_at = None;
            return true;
        }
        let missing = u128::from(self.purse.unsigned_abs() + 1);
        let nanos = (missing * 1_000_000_000).div_ceil(u128::from(self.bytes_per_second));
        let wait = std::time::Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.opens_at = Some(now.plus(wait));
        false
    }

    /// Pays for a message.
    pub(crate) fn spend(&mut self, size: usize) {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        self.purse = self.purse.saturating_sub(size);
    }

    /// Whether a message that waits may go by now, which is said once.
    pub(crate) fn take_opening(&mut self, now: Timestamp) -> bool {
        self.opens_at.take_if(|at| *at <= now).is_some()
    }

    /// When a message that waits may go.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        self.opens_at
    }

    fn fill(&mut self, now: Timestamp) {
        let since = self.filled_at.map_or(0, |at| now.since(at).as_nanos());
        let bytes = since * u128::from(self.bytes_per_second) / 1_000_000_000;
        if bytes > 0 || self.filled_at.is_none() {
            self.filled_at = Some(now);
        }
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.purse = self.purse.saturating_add(bytes).min(BURST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_after_the_burst() {
        let at = |millis: i64| Timestamp::from_nanos(millis * 1_000_000);
        let mut rate = Rate::new(8_000).expect("a limit");
        assert!(rate.is_open(at(0)));
        rate.spend(1 << 20);
        assert!(!rate.is_open(at(0)));
        assert_eq!(rate.next_timer(), Some(at(1)));
        assert!(!rate.take_opening(at(0)));
        assert!(rate.take_opening(at(1)) && !rate.take_opening(at(1)));
        assert!(rate.is_open(at(1)));
        // Half a kilobyte is half a second.
        rate.spend(501);
        assert!(!rate.is_open(at(2)) && !rate.is_open(at(500)));
        assert!(rate.is_open(at(502)));
        assert_eq!(rate.next_timer(), None);
        assert!(Rate::new(0).is_none());
    }

    #[test]
    fn many_looks_lose_nothing() {
        let mut rate = Rate::new(8).expect("a limit");
        rate.is_open(Timestamp::from_nanos(0));
        rate.spend(1 << 20);
        let opened = (0..).find(|tenth| rate.is_open(Timestamp::from_nanos(tenth * 100_000_000)));
        assert_eq!(opened, Some(10));
    }
}
