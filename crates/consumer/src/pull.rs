//! Pull requests that wait for messages.

use std::collections::VecDeque;
use std::time::Duration;

use everjet_api::{ConsumerConfig, Nanos, PriorityPolicy, PullRequest};
use everjet_values::{Timestamp, format_duration};

use crate::advisory::Advisories;
use crate::pin::{Pin, Unpinned};
use crate::priority::{self, Place, Situation};
use crate::sends::Sends;
use crate::state::Position;
use crate::status::{self, Unserved};

/// A pull request that waits.
#[derive(Clone, Debug)]
struct Waiting {
    reply: Vec<u8>,
    /// Messages still to be delivered; at least 1.
    messages: i64,
    /// Bytes still to be delivered; zero is unlimited.
    bytes: i64,
    expires: Option<Timestamp>,
    heartbeat: Option<(Duration, Timestamp)>,
    no_wait: bool,
    /// `no_wait` with `expires`: waits for the first message, then takes what is there.
    patient: bool,
    got_some: bool,
    /// Where it stands in its priority group; what a consumer without groups does not look at.
    place: Place,
    /// The poll in which interest in the reply subject was seen last.
    checked: u64,
}

impl Waiting {
    fn unserved(&self) -> Unserved {
        Unserved {
            messages: self.messages,
            bytes: self.bytes,
        }
    }

    fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    fn next_timer(&self) -> Option<Timestamp> {
        let heartbeat = self.heartbeat.map(|(_, at)| at);
        match (self.expires, heartbeat) {
            (Some(expires), Some(heartbeat)) => Some(expires.min(heartbeat)),
            (expires, heartbeat) => expires.or(heartbeat),
        }
    }
}

/// Leave to deliver one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The request is served and has bytes left: the status to send after the message.
    pub(crate) completed: Option<Unserved>,
    /// The message goes to the pinned client and says so.
    pub(crate) is_pinned: bool,
}

/// What a request is held against before it may take a message.
pub(crate) struct Offer<'a, 'b> {
    /// The time.
    pub(crate) now: Timestamp,
    /// Size of the message.
    pub(crate) size: usize,
    /// What there is besides.
    pub(crate) situation: Situation<'a>,
    /// Whether anybody subscribes to a subject.
    pub(crate) interest: &'b mut dyn FnMut(&[u8]) -> bool,
}

/// Pull requests that wait for messages, served in turns: one message each. At most `max_waiting` of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct PullQueue {
    waiting: VecDeque<Waiting>,
    /// Not after the next expiry or heartbeat of any.
    next_timer: Option<Timestamp>,
    /// Number of the poll that runs.
    poll: u64,
    /// Whether there may be requests that end with the messages there are.
    has_no_wait: bool,
    /// A request was refused because too many wait: look which of them still have somebody behind them.
    is_crowded: bool,
    pin: Option<Pin>,
}

/// What becomes of the first request.
enum Choice {
    /// It takes the message.
    Front,
    /// It went to the end, for it does not take this message.
    NotYet,
    /// It is gone.
    Ended,
}

/// What there is for a request that does not want to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Available {
    /// Messages that could be delivered now.
    pub(crate) messages: u64,
}

impl PullQueue {
    /// Takes a request in, or answers it at once.
    pub(crate) fn request(
        &mut self,
        now: Timestamp,
        config: &ConsumerConfig,
        reply: &[u8],
        body: &[u8],
        available: Available,
        sends: &mut Sends,
    ) {
        let accepted = accept(config, body).and_then(|request| {
            let pin = self.pin.as_mut();
            priority::admit(now, config, &request, body, pin)?;
            Ok(request)
        });
        let request = match accepted {
            Ok(request) => request,
            Err(refusal) => {
                sends.push_status(reply, b"", &refusal);
                return;
            }
        };
        if request.no_wait
            && let Some(refusal) = self.refuse_no_wait(&request, available)
        {
            sends.push_status(reply, b"", &refusal);
            return;
        }
        let waiting_max = usize::try_from(config.max_waiting).unwrap_or(0);
        if self.waiting.len() >= waiting_max {
            self.expire(now, sends);
        }
        if self.waiting.len() >= waiting_max {
            self.is_crowded = true;
            // A client with heartbeats notices by itself; an answer would make it ask again at once.
            if request.idle_heartbeat.is_zero() {
                sends.push_status(reply, b"", &status::plain(409, "Exceeded MaxWaiting"));
            }
            return;
        }
        self.add(now, config, reply, request);
    }

    fn refuse_no_wait(&self, request: &PullRequest, available: Available) -> Option<Vec<u8>> {
        if available.messages == 0 {
            return request
                .expires
                .is_zero()
                .then(|| status::plain(404, "No Messages"));
        }
        let promised: i64 = self
            .waiting
            .iter()
            .fold(0, |sum, waiting| sum.saturating_add(waiting.messages));
        (available.messages < promised.unsigned_abs())
            .then(|| status::plain(408, "Requests Pending"))
    }

    fn add(&mut self, now: Timestamp, config: &ConsumerConfig, reply: &[u8], request: PullRequest) {
        let heartbeat = request
            .idle_heartbeat
            .as_duration()
            .filter(|interval| !interval.is_zero())
            .map(|interval| (interval, now.plus(interval)));
        let waiting = Waiting {
            reply: reply.to_vec(),
            messages: request.batch.max(1),
            bytes: request.max_bytes.max(0),
            // A negative time has passed already.
            expires: (!request.expires.is_zero())
                .then(|| now.plus(request.expires.as_duration().unwrap_or_default())),
            heartbeat,
            no_wait: request.no_wait,
            patient: request.no_wait && !request.expires.is_zero(),
            got_some: false,
            place: Place::of(config, request),
            checked: 0,
        };
        self.has_no_wait |= waiting.no_wait;
        self.note_timer(waiting.next_timer());
        self.line_up(waiting);
    }

    /// Puts a request behind all that come before it: those of its priority, or all.
    fn line_up(&mut self, waiting: Waiting) {
        let rank = waiting.place.rank();
        let last = self.waiting.back();
        if last.is_none_or(|last| last.place.rank() <= rank) {
            self.waiting.push_back(waiting);
            return;
        }
        let at = self
            .waiting
            .partition_point(|other| other.place.rank() <= rank);
        self.waiting.insert(at, waiting);
    }

    /// Begins a poll: interest is asked for once a request and poll.
    pub(crate) fn begin_poll(&mut self, interest: &mut dyn FnMut(&[u8]) -> bool) {
        self.poll += 1;
        if std::mem::take(&mut self.is_crowded) {
            self.drop_uninterested(interest);
        }
    }

    /// Whether a request can take a message now. Requests that nobody waits for any more are dropped.
    pub(crate) fn is_ready(
        &mut self,
        now: Timestamp,
        interest: &mut dyn FnMut(&[u8]) -> bool,
        sends: &mut Sends,
    ) -> bool {
        while let Some(front) = self.waiting.front_mut() {
            if front.is_expired(now) {
                timed_out(front, sends);
            } else if front.checked == self.poll || interest(&front.reply) {
                front.checked = self.poll;
                return true;
            }
            self.waiting.pop_front();
        }
        false
    }

    /// Leave to deliver a message to the next request, whose reply subject is put into `to`. Requests whose bytes do not suffice are
    /// ended. `None` when no request is left that can take it.
    pub(crate) fn take(
        &mut self,
        offer: &mut Offer<'_, '_>,
        to: &mut Vec<u8>,
        sends: &mut Sends,
        advisories: &mut Advisories,
    ) -> Option<Grant> {
        let size = i64::try_from(offer.size).unwrap_or(i64::MAX);
        let mut passed_over = 0;
        loop {
            if !self.is_ready(offer.now, offer.interest, sends) {
                return None;
            }
            let mut is_pinned = false;
            if offer.situation.config.priority_policy != PriorityPolicy::None {
                match self.choose(offer, sends) {
                    Choice::Front => is_pinned = self.pin.is_some() || offer.situation.pins(),
                    Choice::NotYet => {
                        passed_over += 1;
                        if passed_over >= self.waiting.len() {
                            return None;
                        }
                        continue;
                    }
                    Choice::Ended => continue,
                }
            }
            let mut front = self.waiting.pop_front()?;
            if front.bytes > 0 && size > front.bytes {
                let text = "Message Size Exceeds MaxBytes";
                let headers = status::ended(409, text, front.unserved());
                sends.push_status(&front.reply, b"", &headers);
                continue;
            }
            if is_pinned && self.pin.is_none() {
                self.pin = front.place.pin(offer, advisories);
            }
            let limited = front.bytes > 0;
            front.bytes -= if limited { size } else { 0 };
            front.messages -= 1;
            front.got_some = true;
            if limited && front.bytes == 0 {
                // The last byte that was asked for: done, and nothing is left to tell.
                front.messages = 0;
            }
            to.clear();
            to.extend_from_slice(&front.reply);
            let mut grant = Grant {
                completed: None,
                is_pinned: self.pin.is_some(),
            };
            if front.messages <= 0 {
                grant.completed = (front.bytes > 0).then(|| front.unserved());
                return Some(grant);
            }
            if let Some((interval, at)) = &mut front.heartbeat {
                *at = offer.now.plus(*interval);
            }
            self.line_up(front);
            return Some(grant);
        }
    }

    /// Looks whether the first request may take a message, as its priority group has it.
    fn choose(&mut self, offer: &Offer<'_, '_>, sends: &mut Sends) -> Choice {
        let Some(front) = self.waiting.front() else {
            return Choice::Ended;
        };
        if front.place.is_of_another_pin(self.pin.as_ref()) {
            let headers = status::ended(423, "Nats-Wrong-Pin-Id", front.unserved());
            sends.push_status(&front.reply, b"", &headers);
            self.waiting.pop_front();
            return Choice::Ended;
        }
        if front.place.may_take(&offer.situation, self.pin.as_ref()) {
            return Choice::Front;
        }
        self.waiting.rotate_left(1);
        Choice::NotYet
    }

    /// Who is pinned.
    pub(crate) fn pin(&self) -> Option<&Pin> {
        self.pin.as_ref()
    }

    /// Lets go of who is pinned; `None` when nobody was.
    pub(crate) fn unpin(&mut self) -> Option<Unpinned> {
        self.pin.take().map(Pin::end)
    }

    /// Lets go of who is pinned and was not heard of for too long.
    pub(crate) fn unpin_silent(&mut self, now: Timestamp) -> Option<Unpinned> {
        self.pin.as_ref().filter(|pin| pin.is_silent(now))?;
        self.unpin()
    }

    /// Everything there was is delivered: ends the requests that do not want to wait for more.
    pub(crate) fn end_of_stream(&mut self, sends: &mut Sends) {
        if !self.has_no_wait {
            return;
        }
        self.waiting.retain(|waiting| {
            let ends = waiting.no_wait && (!waiting.patient || waiting.got_some);
            if ends {
                let headers = status::plain(404, "No Messages");
                sends.push_status(&waiting.reply, b"", &headers);
            }
            !ends
        });
        self.has_no_wait = self.waiting.iter().any(|waiting| waiting.no_wait);
    }

    /// Ends what has expired and sends the heartbeats that are due.
    pub(crate) fn on_timer(
        &mut self,
        now: Timestamp,
        delivered: Position,
        interest: &mut dyn FnMut(&[u8]) -> bool,
        sends: &mut Sends,
    ) {
        if self.next_timer.is_none_or(|at| now < at) {
            return;
        }
        self.expire(now, sends);
        self.waiting
            .retain_mut(|waiting| match &mut waiting.heartbeat {
                Some((interval, at)) if *at <= now => {
                    *at = now.plus(*interval);
                    let here = interest(&waiting.reply);
                    if here {
                        let headers = status::heartbeat(delivered, b"");
                        sends.push_status(&waiting.reply, b"", &headers);
                    }
                    here
                }
                _ => true,
            });
        self.next_timer = self.waiting.iter().filter_map(Waiting::next_timer).min();
    }

    /// Ends all requests with a status: the consumer or the server goes away.
    pub(crate) fn end_all(&mut self, code: u16, text: &str, unserved: bool, sends: &mut Sends) {
        for waiting in self.waiting.drain(..) {
            let headers = if unserved {
                status::ended(code, text, waiting.unserved())
            } else {
                status::plain(code, text)
            };
            sends.push_status(&waiting.reply, b"", &headers);
        }
        self.next_timer = None;
    }

    /// Drops requests that nobody waits for any more.
    pub(crate) fn drop_uninterested(&mut self, interest: &mut dyn FnMut(&[u8]) -> bool) {
        self.waiting.retain(|waiting| interest(&waiting.reply));
    }

    /// How many requests wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no request waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When [`on_timer`](Self::on_timer) has something to do; may be too early, never too late.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        match (self.next_timer, &self.pin) {
            (Some(timer), Some(pin)) => Some(timer.min(pin.silent_at())),
            (None, Some(pin)) => Some(pin.silent_at()),
            (timer, None) => timer,
        }
    }

    fn expire(&mut self, now: Timestamp, sends: &mut Sends) {
        self.waiting.retain(|waiting| {
            let expired = waiting.is_expired(now);
            if expired {
                timed_out(waiting, sends);
            }
            !expired
        });
    }

    fn note_timer(&mut self, at: Option<Timestamp>) {
        self.next_timer = match (self.next_timer, at) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
    }
}

fn timed_out(waiting: &Waiting, sends: &mut Sends) {
    let headers = status::ended(408, "Request Timeout", waiting.unserved());
    sends.push_status(&waiting.reply, b"", &headers);
}

/// Reads a request and holds it against the consumer's limits; the error is the status to send.
fn accept(config: &ConsumerConfig, body: &[u8]) -> Result<PullRequest, Vec<u8>> {
    let bad = |text: &str| status::plain(400, &format!("Bad Request - {text}"));
    let request = PullRequest::parse(body).map_err(|error| bad(&error))?;
    let heartbeat = request.idle_heartbeat.0;
    if heartbeat > 0 && heartbeat.saturating_mul(2) > request.expires.0 {
        return Err(bad("heartbeat value too large"));
    }
    let exceeded = |what: &str| status::plain(409, &format!("Exceeded {what}"));
    if config.max_batch > 0 && request.batch > config.max_batch {
        return Err(exceeded(&format!(
            "MaxRequestBatch of {}",
            config.max_batch
        )));
    }
    if config.max_expires > Nanos::ZERO && request.expires > config.max_expires {
        let longest = config.max_expires.as_duration().unwrap_or_default();
        return Err(exceeded(&format!(
            "MaxRequestExpires of {}",
            format_duration(longest)
        )));
    }
    if config.max_bytes > 0 && request.max_bytes > config.max_bytes {
        return Err(exceeded(&format!(
            "MaxRequestMaxBytes of {}",
            config.max_bytes
        )));
    }
    Ok(request)
}
