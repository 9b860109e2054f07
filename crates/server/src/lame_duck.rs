//! Saying good-bye to clients: who is to be closed when, while a server is a lame duck (ADR-5).

use std::time::Duration;

use everjet_values::Timestamp;

/// Longest pause between two clients, however much time there is.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Shortest pause; when there are more clients than such pauses, several are closed at a time.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// How long a server says good-bye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LameDuckTimes {
    /// From the announcement to the last client.
    pub(crate) duration: Duration,
    /// From the announcement to the first client.
    pub(crate) grace_period: Duration,
}

impl Default for LameDuckTimes {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(120),
            grace_period: Duration::from_secs(10),
        }
    }
}

/// Spreads the closing of clients over the time there is, so that they do not all arrive at the other servers at once.
///
/// The pauses are random between half of their share of the time and the whole of it: several servers that say good-bye together do not
/// keep step.
#[derive(Debug)]
pub(crate) struct Pacing {
    next: Timestamp,
    end: Timestamp,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Nothing until then.
    Wait(Timestamp),
    /// Close so many clients.
    Close(usize),
    /// Nobody is left.
    Done,
}

impl Pacing {
    /// Begins with the announcement at `now`.
    pub(crate) fn new(now: Timestamp, times: LameDuckTimes) -> Self {
        Self {
            next: now.plus(times.grace_period),
            end: now.plus(times.duration.max(times.grace_period)),
        }
    }

    /// What is to be done at `now` with `open` clients left.
    pub(crate) fn step(&mut self, now: Timestamp, open: usize, random: u64) -> Pace {
        if open == 0 {
            return Pace::Done;
        }
        if now < self.next {
            return Pace::Wait(self.next);
        }
        let left = self.end.since(now).as_nanos();
        let share = left / open as u128;
        let count = if share >= PAUSE_MIN.as_nanos() {
            1
        } else {
            let pauses = (left / PAUSE_MIN.as_nanos()).max(1);
            open.div_ceil(usize::try_from(pauses).unwrap_or(usize::MAX))
        };
        let pause = share.clamp(PAUSE_MIN.as_nanos(), PAUSE_MAX.as_nanos());
        let pause = u64::try_from(pause).unwrap_or(u64::MAX);
        let pause = pause / 2 + random % (pause - pause / 2);
        self.next = now.plus(Duration::from_nanos(pause));
        Pace::Close(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_nanos(1_000_000_000_000);

    const fn times(duration: u64, grace_period: u64) -> LameDuckTimes {
        LameDuckTimes {
            duration: Duration::from_secs(duration),
            grace_period: Duration::from_secs(grace_period),
        }
    }

    /// When how many of `clients` are closed, in milliseconds from the announcement.
    fn closings(times: LameDuckTimes, mut clients: usize) -> Vec<(u128, usize)> {
        let mut pacing = Pacing::new(START, times);
        let (mut now, mut random) = (START, 0u64);
        let mut closings = Vec::new();
        loop {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            match pacing.step(now, clients, random) {
                Pace::Wait(until) => {
                    assert!(until > now);
                    now = until;
                }
                Pace::Close(count) => {
                    assert!(count > 0 && count <= clients);
                    clients -= count;
                    closings.push((now.since(START).as_millis(), count));
                }
                Pace::Done => return closings,
            }
        }
    }

    #[test]
    fn nobody_is_closed_within_the_grace_period() {
        for clients in [1, 10, 10_000] {
            let closings = closings(times(30, 10), clients);
            assert_eq!(closings[0].0, 10_000);
        }
        assert_eq!(closings(times(30, 0), 1), [(0, 1)]);
    }

    #[test]
    fn few_clients_are_closed_within_a_second_of_each_other() {
        let closings = closings(times(120, 10), 10);
        assert_eq!(closings.len(), 10);
        for pair in closings.windows(2) {
            let pause = pair[1].0 - pair[0].0;
            assert!((500..=1_000).contains(&pause), "{pause}");
        }
    }

    #[test]
    fn many_clients_are_spread_over_the_time() {
        let closings = closings(times(40, 10), 1_000);
        assert!(closings.iter().all(|(_, count)| *count == 1));
        let last = closings[999].0;
        assert!((20_000..=40_000).contains(&last), "{last}");
    }

    #[test]
    fn more_clients_than_milliseconds_go_in_groups() {
        let closings = closings(times(31, 30), 100_000);
        let last = closings[closings.len() - 1].0;
        assert!((30_400..=31_100).contains(&last), "{last}");
        assert!(closings.len() < 3_000, "{}", closings.len());
    }

    #[test]
    fn who_leaves_by_himself_is_not_waited_for() {
        let mut pacing = Pacing::new(START, times(120, 10));
        assert_eq!(
            pacing.step(START, 5, 0),
            Pace::Wait(START.plus(Duration::from_secs(10)))
        );
        assert_eq!(pacing.step(START, 0, 0), Pace::Done);
    }

    #[test]
    fn late_clients_do_not_outstay_the_time() {
        let mut pacing = Pacing::new(START, times(30, 10));
        let late = START.plus(Duration::from_secs(31));
        assert_eq!(pacing.step(late, 70, 0), Pace::Close(70));
    }
}
