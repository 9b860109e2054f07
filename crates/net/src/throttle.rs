//! How many TLS handshakes may begin in a second.

use std::num::NonZeroU32;
use std::time::Duration;

use everjet_values::Timestamp;

const WINDOW: Duration = Duration::from_secs(1);

/// Counts connections by the second.
#[derive(Debug)]
pub(crate) struct Throttle {
    max: NonZeroU32,
    /// When the second that is counted ends, and how many came in it.
    window: Option<(Timestamp, u32)>,
    /// How many were refused since it was told, and when to tell it.
    refused: Option<(Timestamp, u64)>,
}

impl Throttle {
    /// Lets `max` pass in a second.
    pub(crate) fn new(max: NonZeroU32) -> Self {
        Self {
            max,
            window: None,
            refused: None,
        }
    }

    /// Whether one more may begin now.
    pub(crate) fn admits(&mut self, now: Timestamp) -> bool {
        let (_, count) = match &mut self.window {
            Some(window) if now < window.0 => window,
            window => window.insert((now.plus(WINDOW), 0)),
        };
        if *count < self.max.get() {
            *count += 1;
            return true;
        }
        let (_, refused) = self.refused.get_or_insert((now.plus(WINDOW), 0));
        *refused += 1;
        false
    }

    /// How many were refused, once a second at most.
    pub(crate) fn take_refused(&mut self, now: Timestamp) -> Option<u64> {
        let (at, count) = self.refused?;
        (now >= at).then(|| {
            self.refused = None;
            count
        })
    }

    /// When to ask how many were refused.
    pub(crate) fn report_at(&self) -> Option<Timestamp> {
        self.refused.map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_second_pass_and_the_others_are_told_of_once() {
        let mut throttle = Throttle::new(NonZeroU32::new(2).expect("two"));
        let at = |millis: i64| Timestamp::from_nanos(millis * 1_000_000);
        let admitted: Vec<bool> = [0, 10, 20, 999, 1000, 1001, 1002]
            .map(|millis| throttle.admits(at(millis)))
            .into();
        assert_eq!(admitted, [true, true, false, false, true, true, false]);
        assert_eq!(throttle.report_at(), Some(at(1020)));
        assert_eq!(throttle.take_refused(at(1019)), None);
        assert_eq!(throttle.take_refused(at(1020)), Some(3));
        assert_eq!(throttle.take_refused(at(5000)), None);
        assert_eq!(throttle.report_at(), None);
    }
}
