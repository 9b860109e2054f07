//! Waking a reactor at a time.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use everjet_values::Timestamp;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// A timer of the operating system that the poller watches.
///
/// A poller that is to wait for so long and no longer sets a timer of its own each time it waits, and takes it away when it is
/// woken before, which is nearly always. This one stays set until it goes off.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: OwnedFd,
    /// When it goes off; `None` when it is not set.
    at: Option<Timestamp>,
}

impl Alarm {
    /// A timer that is not set, of which the poller tells under `token`.
    ///
    /// # Errors
    /// The operating system has no descriptor or no memory left.
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { timer, at: None })
    }

    /// Makes it go off at `due` or before; who is woken early sets it again.
    ///
    /// # Errors
    /// Only a bug leads to one: the operating system knows the descriptor and takes every time.
    pub(crate) fn set(&mut self, due: Timestamp, now: Timestamp) -> io::Result<()> {
        if self.at.is_some_and(|at| at <= due) {
            return Ok(());
        }
        let value = Itimerspec {
            it_interval: timespec(Duration::ZERO),
            // Zero would take the timer away.
            it_value: timespec(due.since(now).max(Duration::from_nanos(1))),
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value)?;
        self.at = Some(due);
        Ok(())
    }

    /// Notes that it went off.
    pub(crate) fn went_off(&mut self) {
        self.at = None;
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};

    const TOKEN: Token = Token(7);

    /// Whether the alarm is heard without waiting or within `patience`.
    fn is_heard(poll: &mut Poll, patience: Option<Duration>) -> bool {
        let mut events = Events::with_capacity(4);
        poll.poll(&mut events, patience.or(Some(Duration::ZERO)))
            .expect("the poller works");
        events.iter().any(|event| event.token() == TOKEN)
    }

    #[test]
    fn it_goes_off_once_each_time_it_is_set() {
        let mut poll = Poll::new().expect("a poller");
        let mut alarm = Alarm::new(poll.registry(), TOKEN).expect("a timer");
        let now = Timestamp::from_nanos(1_000_000);
        let hour = Duration::from_secs(3600);
        assert!(!is_heard(&mut poll, None));
        for _ in 0..3 {
            alarm.set(now.plus(hour), now).expect("set");
            assert!(!is_heard(&mut poll, None));
            // What is due earlier counts, even when it is due already.
            alarm.set(now, now).expect("set");
            assert!(is_heard(&mut poll, Some(hour)));
            assert!(!is_heard(&mut poll, None));
            alarm.went_off();
        }
    }

    #[test]
    fn a_later_time_leaves_it_as_it_is() {
        let mut poll = Poll::new().expect("a poller");
        let mut alarm = Alarm::new(poll.registry(), TOKEN).expect("a timer");
        let now = Timestamp::from_nanos(1_000_000);
        let soon = now.plus(Duration::from_millis(1));
        alarm.set(soon, now).expect("set");
        alarm
            .set(now.plus(Duration::from_secs(3600)), now)
            .expect("kept");
        assert_eq!(alarm.at, Some(soon));
        assert!(is_heard(&mut poll, Some(Duration::from_secs(3600))));
    }
}
