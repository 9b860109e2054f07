//! PINGs from the server, and what happens when nobody answers.

use std::time::Duration;

use everjet_values::Timestamp;

/// The first PING goes out this soon after the start, to learn the round trip time.
const FIRST_PING_AFTER: Duration = Duration::from_secs(2);

/// How long ago the last PING may be before one is sent, to measure the round trip time, although the client talks.
const MEASUREMENT_AGE_MAX: Duration = Duration::from_secs(3600);

/// When to ask a client whether it is still there.
#[derive(Debug)]
pub(crate) struct Keepalive {
    interval: Duration,
    due: Timestamp,
    last_data: Timestamp,
    last_ping: Timestamp,
    /// The last measured round trip time.
    measured: Option<Duration>,
    unanswered: u32,
    unanswered_max: u32,
}

/// What is to be done when a PING was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send a PING.
    Ping,
    /// The client was heard lately; nothing to send.
    Alive,
    /// Too many PINGs went unanswered.
    Stale,
}

impl Keepalive {
    pub(crate) fn new(interval: Duration, unanswered_max: u32, now: Timestamp) -> Self {
        Self {
            interval,
            due: now.plus(interval.min(FIRST_PING_AFTER)),
            last_data: now,
            last_ping: Timestamp::UNSET,
            measured: None,
            unanswered: 0,
            unanswered_max,
        }
    }

    /// Bytes came from the client.
    pub(crate) fn on_data(&mut self, now: Timestamp) {
        self.last_data = now;
    }

    pub(crate) fn on_pong(&mut self, now: Timestamp) {
        if self.unanswered > 0 {
            self.measured = Some(now.since(self.last_ping));
        }
        self.unanswered = 0;
    }

    /// Decides at the time that [`Self::due`] named. `introduced` is whether a CONNECT was seen: before that, only the
    /// regular interval counts, because people type slowly.
    pub(crate) fn on_due(&mut self, now: Timestamp, introduced: bool) -> Verdict {
        self.due = now.plus(self.interval);
        let heard = now.since(self.last_data) < self.interval;
        if heard {
            // Who talks is there, even if he answers late or never.
            self.unanswered = 0;
            let asked_lately = self.last_ping != Timestamp::UNSET
                && now.since(self.last_ping) <= MEASUREMENT_AGE_MAX;
            if asked_lately || !introduced {
                return Verdict::Alive;
            }
        }
        if self.unanswered >= self.unanswered_max {
            return Verdict::Stale;
        }
        self.unanswered += 1;
        self.last_ping = now;
        Verdict::Ping
    }

    pub(crate) fn due(&self) -> Timestamp {
        self.due
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.measured
    }
}
