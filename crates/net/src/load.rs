//! How busy the reactors are, and where connections go for it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use everjet_values::Timestamp;

/// How long a reactor is watched at a time.
const WINDOW: Duration = Duration::from_millis(100);

/// Busy share, in thousandths, below which a reactor takes more connections.
const CALM: u32 = 500;

/// Busy share from which on a reactor gives connections away.
const OVERLOADED: u32 = 750;

/// Connections stay together on as few reactors as carry them, because a message between two connections of one reactor wakes
/// one thread less. What all reactors publish of themselves, so that each can see where there is room.
#[derive(Debug)]
pub(crate) struct Loads {
    reactors: Box<[Load]>,
    placement: Placement,
    /// The reactor whose turn it is when connections are spread.
    next: AtomicUsize,
}

/// Which reactor gets a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// The first one that is not busy, so that clients who talk to each other wake one thread less and idle threads sleep on;
    /// a busy one gives some of its connections away.
    #[default]
    Gather,
    /// Each in its turn, for good.
    Spread,
}

/// What one reactor publishes, alone on its cache line: it writes here every turn.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Load {
    /// Share of its time that it was busy, in thousandths.
    share: AtomicU32,
    /// When that was measured.
    measured_at: AtomicI64,
    /// Whether it waits for its poller.
    asleep: AtomicBool,
}

impl Loads {
    pub(crate) fn new(reactors: usize, placement: Placement) -> Self {
        Self {
            reactors: (0..reactors).map(|_| Load::default()).collect(),
            placement,
            next: AtomicUsize::new(0),
        }
    }

    /// Which reactor takes a connection that is accepted at `now`: the first that is calm, else the calmest.
    pub(crate) fn place(&self, now: Timestamp) -> usize {
        if self.placement == Placement::Spread {
            return self.next.fetch_add(1, Ordering::Relaxed) % self.reactors.len();
        }
        let calm = self.reactors.iter().position(|load| load.share(now) < CALM);
        calm.unwrap_or_else(|| self.calmest(now, None))
    }

    /// Which reactor could take connections from `own`, if there is one.
    pub(crate) fn relief(&self, now: Timestamp, own: usize) -> Option<usize> {
        if self.reactors.len() < 2 || self.placement == Placement::Spread {
            return None;
        }
        let calmest = self.calmest(now, Some(own));
        (self.reactors[calmest].share(now) < CALM).then_some(calmest)
    }

    /// Notes that a reactor is about to wait.
    pub(crate) fn sleeps(&self, reactor: usize) {
        self.reactors[reactor].asleep.store(true, Ordering::Relaxed);
    }

    /// Notes that a reactor goes on.
    pub(crate) fn wakes(&self, reactor: usize) {
        self.reactors[reactor]
            .asleep
            .store(false, Ordering::Relaxed);
    }

    fn publish(&self, reactor: usize, share: u32, now: Timestamp) {
        let load = &self.reactors[reactor];
        load.share.store(share, Ordering::Relaxed);
        load.measured_at.store(now.as_nanos(), Ordering::Relaxed);
    }

    fn calmest(&self, now: Timestamp, but: Option<usize>) -> usize {
        let others = (0..self.reactors.len()).filter(|index| Some(*index) != but);
        others
            .min_by_key(|index| self.reactors[*index].share(now))
            .expect("there is a reactor, and another one when one is left out")
    }
}

impl Load {
    /// The busy share as far as it can be known at `now`.
    fn share(&self, now: Timestamp) -> u32 {
        let measured_at = Timestamp::from_nanos(self.measured_at.load(Ordering::Relaxed));
        if self.asleep.load(Ordering::Relaxed) && now.since(measured_at) > 2 * WINDOW {
            return 0;
        }
        self.share.load(Ordering::Relaxed)
    }
}

/// One reactor's watch on itself.
///
/// Busy is the time that its thread had a processor. By the clock a reactor would look busy that only waits for one: whom it wakes
/// often goes first.
#[derive(Debug)]
pub(crate) struct Meter {
    reactor: usize,
    window_from: Timestamp,
    /// Processor time of the thread when the window began.
    worked: Duration,
    share: u32,
}

impl Meter {
    pub(crate) fn new(reactor: usize, now: Timestamp) -> Self {
        Self {
            reactor,
            window_from: now,
            worked: Duration::ZERO,
            share: 0,
        }
    }

    /// Which reactor this is.
    pub(crate) fn reactor(&self) -> usize {
        self.reactor
    }

    /// Notes that a turn ends; `worked` tells the processor time of the thread. Returns since when the reactor's connections count
    /// as active, when a window ended in which it had more than it should.
    pub(crate) fn on_turn(
        &mut self,
        now: Timestamp,
        worked: impl FnOnce() -> Duration,
        loads: &Loads,
    ) -> Option<Timestamp> {
        let length = now.since(self.window_from);
        if length < WINDOW {
            return None;
        }
        let worked = worked();
        let share = thousandths(worked.saturating_sub(self.worked), length);
        // After a long sleep what was before it does not count.
        self.share = if length > 2 * WINDOW {
            share
        } else {
            (self.share + share) / 2
        };
        loads.publish(self.reactor, self.share, now);
        let from = std::mem::replace(&mut self.window_from, now);
        self.worked = worked;
        (self.share >= OVERLOADED).then_some(from)
    }
}

fn thousandths(part: Duration, whole: Duration) -> u32 {
    let share = part.as_nanos() * 1000 / whole.as_nanos().max(1);
    u32::try_from(share.min(1000)).expect("at most 1000")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    /// Lets a reactor be busy for a part of each 10 ms, from `from` to `to`; returns whether it had too much at the end.
    fn run(meter: &mut Meter, loads: &Loads, from: i64, to: i64, busy: u64) -> bool {
        let mut overloaded = false;
        let mut worked = meter.worked;
        for start in (from..to).step_by(10) {
            loads.wakes(meter.reactor());
            worked += Duration::from_millis(busy);
            if let Some(since) = meter.on_turn(at(start + 10), || worked, loads) {
                assert!(since < at(start));
                overloaded = true;
            }
            loads.sleeps(meter.reactor());
        }
        overloaded
    }

    #[test]
    fn connections_gather_on_the_first_reactor_until_it_is_busy() {
        let loads = Loads::new(3, Placement::Gather);
        let mut meters = [0, 1, 2].map(|index| Meter::new(index, at(0)));
        assert_eq!(loads.place(at(0)), 0);
        assert!(!run(&mut meters[0], &loads, 0, 1000, 4));
        assert_eq!(loads.place(at(1000)), 0);
        assert!(!run(&mut meters[0], &loads, 1000, 2000, 6));
        assert_eq!(loads.place(at(2000)), 1);
        run(&mut meters[1], &loads, 1000, 2000, 7);
        run(&mut meters[2], &loads, 1000, 2000, 8);
        // All have enough: the calmest takes it.
        assert_eq!(loads.place(at(2000)), 0);
    }

    #[test]
    fn who_has_too_much_finds_somebody_with_room() {
        let loads = Loads::new(2, Placement::Gather);
        let mut meters = [0, 1].map(|index| Meter::new(index, at(0)));
        assert!(run(&mut meters[0], &loads, 0, 1000, 9));
        assert_eq!(loads.relief(at(1000), 0), Some(1));
        run(&mut meters[1], &loads, 0, 1000, 6);
        assert_eq!(loads.relief(at(1000), 0), None);
        assert_eq!(Loads::new(1, Placement::Gather).relief(at(0), 0), None);
    }

    #[test]
    fn spread_connections_go_round() {
        let loads = Loads::new(2, Placement::Spread);
        let places: Vec<usize> = (0..4).map(|_| loads.place(at(0))).collect();
        assert_eq!(places, [0, 1, 0, 1]);
        assert_eq!(loads.relief(at(0), 0), None);
    }

    #[test]
    fn who_sleeps_has_room_and_who_does_not_return_has_none() {
        let loads = Loads::new(2, Placement::Gather);
        let mut meter = Meter::new(1, at(0));
        run(&mut meter, &loads, 0, 1000, 9);
        assert_eq!(loads.relief(at(1000), 0), None);
        assert_eq!(loads.relief(at(1300), 0), Some(1));
        loads.wakes(1);
        assert_eq!(loads.relief(at(9000), 0), None);
        // One short turn after the sleep, and what was before it is forgotten.
        let worked = meter.worked + Duration::from_millis(1);
        assert_eq!(meter.on_turn(at(9000), || worked, &loads), None);
        assert_eq!(loads.relief(at(9000), 0), Some(1));
    }
}
