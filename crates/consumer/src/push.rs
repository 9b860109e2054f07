//! Pushing to a subject: interest, flow control and heartbeats.

use std::fmt;
use std::time::Duration;

use everjet_api::ConsumerConfig;
use everjet_values::Timestamp;

use crate::rate::Rate;
use crate::sends::Sends;
use crate::state::Position;
use crate::status;

/// Largest window of unanswered bytes.
const WINDOW_MAX: usize = 32 << 20;
/// Window of a new consumer; every answer doubles it.
const WINDOW_START: usize = WINDOW_MAX / 16;

/// What a push consumer knows about its subscriber.
#[derive(Clone, Debug, Default)]
pub(crate) struct PushWindow {
    /// Whether the deliver subject had a subscriber when it was looked at last.
    active: bool,
    heartbeat_at: Option<Timestamp>,
    flow: Option<Flow>,
    rate: Option<Rate>,
}

/// Flow control: how much may be sent before the subscriber has to answer.
#[derive(Clone, Debug)]
struct Flow {
    window: usize,
    /// Bytes sent and not answered for.
    sent: usize,
    /// The request that waits for its answer, with the bytes it asks for.
    request: Option<(Vec<u8>, usize)>,
    /// How many requests were made; makes their subjects differ.
    requests: u64,
}

impl Flow {
    fn new() -> Self {
        Self {
            window: WINDOW_START,
            sent: 0,
            request: None,
            requests: 0,
        }
    }
}

impl PushWindow {
    /// The state of a consumer that has not looked for its subscriber yet.
    pub(crate) fn new(config: &ConsumerConfig) -> Self {
        Self {
            active: false,
            heartbeat_at: None,
            flow: config.flow_control.then(Flow::new),
            rate: Rate::new(config.rate_limit_bps),
        }
    }

    /// Notes whether there is a subscriber. A new one starts with a fresh window.
    pub(crate) fn set_active(&mut self, now: Timestamp, active: bool, config: &ConsumerConfig) {
        if active && !self.active {
            let requests = self.flow.as_ref().map_or(0, |flow| flow.requests);
            self.flow = config.flow_control.then(|| Flow {
                requests,
                ..Flow::new()
            });
            self.heartbeat_at = heartbeat(config).map(|interval| now.plus(interval));
        }
        self.active = active;
    }

    /// Whether there was a subscriber.
    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    /// Whether a message may be sent.
    pub(crate) fn is_open(&mut self, now: Timestamp) -> bool {
        let full = |flow: &Flow| flow.sent > flow.window;
        let in_time = |rate: &mut Rate| rate.is_open(now);
        self.active
            && !self.flow.as_ref().is_some_and(full)
            && self.rate.as_mut().is_none_or(in_time)
    }

    /// Whether the rate limit opens by now, which is said once.
    pub(crate) fn take_opening(&mut self, now: Timestamp) -> bool {
        self.rate
            .as_mut()
            .is_some_and(|rate| rate.take_opening(now))
    }

    /// Notes that a message of `size` bytes was sent; asks the subscriber to answer when half of the window is used.
    pub(crate) fn sent(
        &mut self,
        now: Timestamp,
        size: usize,
        config: &ConsumerConfig,
        prefix: fmt::Arguments<'_>,
        sends: &mut Sends,
    ) {
        self.heartbeat_at = heartbeat(config).map(|interval| now.plus(interval));
        if let Some(rate) = &mut self.rate {
            rate.spend(size);
        }
        let Some(flow) = &mut self.flow else {
            return;
        };
        flow.sent += size;
        if flow.sent > flow.window / 2 {
            self.ask(config, prefix, sends);
        }
    }

    /// Asks the subscriber to answer, unless it has been asked already.
    pub(crate) fn ask(
        &mut self,
        config: &ConsumerConfig,
        prefix: fmt::Arguments<'_>,
        sends: &mut Sends,
    ) {
        if let Some(flow) = self.flow.as_mut().filter(|flow| flow.request.is_none()) {
            flow.requests += 1;
            let subject = format!("{prefix}{}", token(flow.requests)).into_bytes();
            send_request(config, &subject, sends);
            flow.request = Some((subject, flow.sent));
        }
    }

    /// The subscriber answered a flow control request. Returns whether it was the one that waits.
    pub(crate) fn answered(&mut self, subject: &[u8]) -> bool {
        let Some(flow) = &mut self.flow else {
            return false;
        };
        match flow.request.take() {
            Some((request, bytes)) if request == subject => {
                flow.sent = flow.sent.saturating_sub(bytes);
                flow.window = (flow.window * 2).min(WINDOW_MAX);
                true
            }
            other => {
                flow.request = other;
                false
            }
        }
    }

    /// Sends the heartbeat that is due. It names the flow control request that was not answered, so that a client that
    /// lost the request can still answer it. Returns whether one was due.
    pub(crate) fn on_timer(
        &mut self,
        now: Timestamp,
        config: &ConsumerConfig,
        delivered: Position,
        sends: &mut Sends,
    ) -> bool {
        if !self.active || self.heartbeat_at.is_none_or(|at| now < at) {
            return false;
        }
        self.heartbeat_at = heartbeat(config).map(|interval| now.plus(interval));
        let request = self.flow.as_ref().and_then(|flow| flow.request.as_ref());
        let stalled = request.map_or(&b""[..], |(subject, _)| subject);
        let headers = status::heartbeat(delivered, stalled);
        sends.push_status(config.deliver_subject.as_bytes(), b"", &headers);
        true
    }

    /// When the next heartbeat is due, or the rate limit lets a message through that waits.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        let opens = self.rate.as_ref().and_then(Rate::next_timer);
        let next = [self.heartbeat_at, opens].into_iter().flatten().min();
        next.filter(|_| self.active)
    }
}

fn heartbeat(config: &ConsumerConfig) -> Option<Duration> {
    config
        .idle_heartbeat
        .as_duration()
        .filter(|interval| !interval.is_zero())
}

fn send_request(config: &ConsumerConfig, subject: &[u8], sends: &mut Sends) {
    let headers = status::plain(100, "FlowControl Request");
    sends.push_status(config.deliver_subject.as_bytes(), subject, &headers);
}

/// Four characters that differ from request to request; only the subscriber and this consumer use them.
fn token(number: u64) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let mut token = String::with_capacity(4);
    for _ in 0..4 {
        let digit = usize::try_from(rest % 62).unwrap_or(0);
        token.push(char::from(DIGITS.get(digit).copied().unwrap_or(b'0')));
        rest /= 62;
    }
    token
}
