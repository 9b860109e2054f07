//! Deciding what is delivered next, and to whom.

use std::time::Duration;

use everjet_api::{AckPolicy, AckSubject, ConsumerEvent, PriorityPolicy, UnpinReason};
use everjet_store::{ColdRead, Lookup, ReadError, StoredMessage, StreamStore, SubjectSet};
use everjet_subject::SubjectId;
use everjet_values::{StreamSequence, Timestamp};

use crate::advisory::Advisories;
use crate::change::{Change, ChangeLog};
use crate::consumer::Consumer;
use crate::pin::Pin;
use crate::priority::Situation;
use crate::pull::{Available, Offer, PullQueue};
use crate::push::PushWindow;
use crate::redelivery::Redelivery;
use crate::replay::Replay;
use crate::sends::{Content, Sends};
use crate::status;

/// How long a consumer waits after the disk failed to give a message.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long a push consumer with messages waits before it looks again whether anybody subscribes, in case nobody says.
const INTEREST_CHECK: Duration = Duration::from_millis(250);
/// Longest time between two looks at the subscriber of a consumer that is removed without one.
const INTEREST_CHECK_MAX: Duration = Duration::from_secs(30);

/// What a poll may use.
pub struct Turn<'a> {
    /// The time.
    pub now: Timestamp,
    /// Name of the stream.
    pub stream: &'a str,
    /// The messages.
    pub store: &'a StreamStore,
    /// Messages up to here may be delivered.
    pub durable: StreamSequence,
    /// Whether the stream keeps messages until they are acknowledged, also those that are not delivered any more.
    pub keeps_exhausted: bool,
    /// Whether anybody subscribes to a subject.
    pub interest: &'a mut dyn FnMut(&[u8]) -> bool,
    /// Where deliveries and statuses go.
    pub sends: &'a mut Sends,
    /// Changes of the consumer, to be journaled.
    pub changes: &'a mut ChangeLog,
    /// What subscribers to advisories are told.
    pub advisories: &'a mut Advisories,
    /// Messages that may still be delivered in this turn.
    pub budget: usize,
    /// Nothing more is delivered when `sends` has reached this size; a turn stays short with large messages, too.
    pub bytes_max: usize,
    /// What has to be read from disk before the poll can go on, see [`Progress::NeedsDisk`].
    pub cold: &'a mut Vec<ColdRead>,
}

/// Why a poll came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Somebody wants messages and there are none: call again when a message becomes durable.
    WantsMessages,
    /// Nothing can be delivered before an event of this consumer: a pull request, an acknowledgement, a timer.
    Idle,
    /// The budget is used up.
    More,
    /// The next message is on disk, and how to read it is in [`Turn::cold`]: call again when that was admitted to the store.
    NeedsDisk,
}

/// What only the server needs that serves the consumer: waiting requests, interest, deadlines. It lives in memory and
/// is built from the [`Consumer`] when serving begins.
#[derive(Debug)]
pub struct Dispatcher {
    filter: SubjectSet,
    /// Nothing before this is undelivered, besides the backlog.
    cursor: StreamSequence,
    count: Option<Count>,
    redelivery: Redelivery,
    receiver: Receiver,
    /// The message that was delivered last: who goes on from there reads in order.
    read_last: Option<StreamSequence>,
    /// When somebody last wanted something of this consumer.
    active_at: Timestamp,
    replay: Replay,
    /// Nothing is delivered before this time.
    paused_until: Option<Timestamp>,
    /// When to look for interest, for activity, or at the disk again.
    check_at: Option<Timestamp>,
    /// Buffers that are used again and again.
    ack_reply: Vec<u8>,
    to: Vec<u8>,
}

/// Messages in the filter from the cursor through a sequence.
#[derive(Clone, Copy, Debug)]
struct Count {
    messages: u64,
    through: StreamSequence,
}

#[derive(Debug)]
enum Receiver {
    Pull(PullQueue),
    Push(PushWindow),
}

enum Candidate {
    Message {
        sequence: StreamSequence,
        delivered: u32,
    },
    /// As many deliveries as allowed wait for their acknowledgement.
    AckPendingFull,
    NotDurable,
    EndOfStream,
}

impl Dispatcher {
    /// Begins to serve a consumer.
    #[must_use]
    pub fn new(now: Timestamp, consumer: &Consumer, store: &StreamStore) -> Self {
        let receiver = if consumer.config.is_push() {
            Receiver::Push(PushWindow::new(&consumer.config))
        } else {
            Receiver::Pull(PullQueue::default())
        };
        let mut dispatcher = Self {
            filter: store.select(&consumer.filters()),
            cursor: consumer.state.next_sequence(),
            count: None,
            redelivery: Redelivery::of(consumer.state.pending()),
            receiver,
            read_last: None,
            active_at: now,
            replay: Replay::new(&consumer.config, store.last_sequence()),
            paused_until: None,
            check_at: None,
            ack_reply: Vec::new(),
            to: Vec::new(),
        };
        dispatcher.on_pause(now, consumer);
        dispatcher.schedule_check(now, consumer);
        dispatcher
    }

    /// The configuration changed: filters, limits or the deliver subject. Requests keep waiting.
    pub fn on_update(&mut self, now: Timestamp, consumer: &Consumer, store: &StreamStore) {
        self.filter = store.select(&consumer.filters());
        self.cursor = consumer.state.next_sequence();
        self.count = None;
        match &mut self.receiver {
            Receiver::Push(window) => *window = PushWindow::new(&consumer.config),
            Receiver::Pull(queue) => {
                if consumer.config.priority_policy != PriorityPolicy::PinnedClient {
                    queue.unpin();
                }
            }
        }
        self.schedule_check(now, consumer);
    }

    /// The consumer begins anew. Requests keep waiting.
    pub fn on_reset(&mut self, now: Timestamp, consumer: &Consumer) {
        self.active_at = now;
        self.cursor = consumer.state.next_sequence();
        self.count = None;
        self.redelivery = Redelivery::default();
        self.read_last = None;
        self.replay.forget();
    }

    /// The consumer was paused, or is to go on.
    pub fn on_pause(&mut self, now: Timestamp, consumer: &Consumer) {
        self.paused_until = consumer.config.pause_until.filter(|until| *until > now);
    }

    /// A pull request came.
    pub fn on_pull(
        &mut self,
        now: Timestamp,
        consumer: &Consumer,
        store: &StreamStore,
        reply: &[u8],
        body: &[u8],
        sends: &mut Sends,
    ) {
        self.active_at = now;
        let available = Available {
            messages: self.num_pending(consumer, store) + self.redelivery.due_len() as u64,
        };
        match &mut self.receiver {
            Receiver::Push(_) => {
                sends.push_status(reply, b"", &status::plain(409, "Consumer is push based"));
            }
            Receiver::Pull(queue) => {
                queue.request(now, &consumer.config, reply, body, available, sends);
            }
        }
    }

    /// Something of this consumer was acknowledged; `stream` may have a new deadline.
    pub fn on_ack(&mut self, now: Timestamp, consumer: &Consumer, stream: StreamSequence) {
        self.active_at = now;
        if let Some(delivery) = consumer.state.pending().get(stream) {
            self.redelivery.push(delivery);
        }
    }

    /// The subscriber answered a flow control request. Returns whether messages may flow again.
    pub fn on_flow_control(&mut self, now: Timestamp, subject: &[u8]) -> bool {
        self.active_at = now;
        match &mut self.receiver {
            Receiver::Push(window) => window.answered(subject),
            Receiver::Pull(_) => false,
        }
    }

    /// Whether everything up to and including `sequence` was looked at: removing messages there changes no count.
    #[must_use]
    pub fn is_past(&self, sequence: StreamSequence) -> bool {
        self.cursor > sequence
    }

    /// A message left the stream.
    pub fn on_removed(&mut self, sequence: StreamSequence, subject: Option<SubjectId>) {
        if let Some(count) = &mut self.count
            && (self.cursor..=count.through).contains(&sequence)
        {
            match subject {
                Some(subject) if !self.filter.contains(subject) => {}
                Some(_) => count.messages = count.messages.saturating_sub(1),
                None => self.count = None,
            }
        }
    }

    /// All messages up to and including `through` left the stream.
    pub fn on_removed_through(&mut self, through: StreamSequence) {
        if through >= self.cursor {
            self.count = None;
        }
    }

    /// Many messages left the stream, or it is not known which.
    pub fn on_removed_many(&mut self) {
        self.count = None;
    }

    /// Delivers what can be delivered.
    pub fn poll(&mut self, consumer: &mut Consumer, turn: &mut Turn<'_>) -> Progress {
        if let Receiver::Pull(queue) = &mut self.receiver {
            queue.begin_poll(turn.interest);
        }
        if self.paused_until.is_some_and(|until| until > turn.now) {
            self.refuse_to_wait(turn.sends);
            return Progress::Idle;
        }
        turn.store.extend(&mut self.filter);
        self.collect_due(consumer, turn);
        let mut looked = false;
        loop {
            if !self.is_receiver_ready(consumer, turn, &mut looked) {
                return self.without_receiver(consumer, turn);
            }
            let (sequence, delivered) = match self.next_candidate(consumer, turn) {
                Candidate::Message {
                    sequence,
                    delivered,
                } => (sequence, delivered),
                Candidate::AckPendingFull => return Progress::Idle,
                Candidate::NotDurable => return Progress::WantsMessages,
                Candidate::EndOfStream => {
                    self.refuse_to_wait(turn.sends);
                    return self.without_messages();
                }
            };
            if turn.budget == 0 || turn.sends.size() >= turn.bytes_max {
                return Progress::More;
            }
            match turn.store.lookup(sequence, self.read_last) {
                Ok(Lookup::Cold(read)) => {
                    turn.cold.push(read);
                    return Progress::NeedsDisk;
                }
                Ok(Lookup::Ready(message))
                    if delivered == 0 && !self.replay.is_time(turn.now, &message) =>
                {
                    return Progress::Idle;
                }
                Ok(Lookup::Ready(message)) => {
                    self.read_last = Some(sequence);
                    if !self.deliver(consumer, turn, message, delivered) {
                        self.refuse_to_wait(turn.sends);
                        return self.without_messages();
                    }
                    turn.budget -= 1;
                }
                Err(ReadError::Fault(_)) => {
                    self.check_at = Some(turn.now.plus(RETRY_AFTER));
                    return Progress::Idle;
                }
                Err(_) => self.skip(consumer, turn, sequence),
            }
        }
    }

    /// Heartbeats, expired requests, messages that are due again. Returns whether a poll may now deliver something.
    pub fn on_timer(&mut self, consumer: &mut Consumer, turn: &mut Turn<'_>) -> bool {
        let delivered = consumer.state.delivered();
        if let Receiver::Push(window) = &self.receiver
            && window.next_timer().is_some_and(|at| at <= turn.now)
        {
            // No heartbeat to a subject that everybody left.
            self.is_bound(turn.now, consumer, turn.interest);
        }
        let (mut unpinned, mut opens) = (None, false);
        match &mut self.receiver {
            Receiver::Pull(queue) => {
                queue.on_timer(turn.now, delivered, turn.interest, turn.sends);
                unpinned = queue.unpin_silent(turn.now);
            }
            Receiver::Push(window) => {
                let sends = &mut *turn.sends;
                let beat = window.on_timer(turn.now, &consumer.config, delivered, sends);
                opens = window.take_opening(turn.now);
                if beat && acks_by_flow(consumer) && !consumer.state.pending().is_empty() {
                    let prefix = format_args!("$JS.FC.{}.{}.", turn.stream, consumer.name);
                    window.ask(&consumer.config, prefix, sends);
                }
            }
        }
        let goes_on = self.end_pause(consumer, turn) || unpinned.is_some();
        if let Some(unpinned) = unpinned {
            let event = unpinned.event(UnpinReason::Timeout);
            turn.advisories.push(&consumer.name, event);
        }
        self.collect_due(consumer, turn);
        let checks = self.check_at.is_some_and(|at| at <= turn.now);
        if checks {
            self.check_activity(consumer, turn);
        }
        let replays = self.replay.take_due(turn.now);
        goes_on || opens || replays || checks || self.redelivery.due_len() > 0
    }

    /// Whether nobody used the consumer for as long as it may stay unused: it is to be deleted.
    #[must_use]
    pub fn is_abandoned(&self, now: Timestamp, consumer: &Consumer) -> bool {
        let in_use = match &self.receiver {
            Receiver::Pull(queue) => !queue.is_empty(),
            Receiver::Push(window) => window.is_active(),
        };
        let threshold = inactive_threshold(consumer);
        !in_use && threshold.is_some_and(|threshold| now.since(self.active_at) >= threshold)
    }

    /// When [`on_timer`](Self::on_timer) has something to do; may be too early, never too late.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timestamp> {
        let receiver = match &self.receiver {
            Receiver::Pull(queue) => queue.next_timer(),
            Receiver::Push(window) => window.next_timer(),
        };
        let redelivery = self.redelivery.next_deadline();
        let replay = self.replay.next_timer();
        [
            receiver,
            redelivery,
            replay,
            self.paused_until,
            self.check_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether somebody may be waiting for messages.
    #[must_use]
    pub fn has_receiver(&self) -> bool {
        match &self.receiver {
            Receiver::Pull(queue) => !queue.is_empty(),
            Receiver::Push(window) => window.is_active(),
        }
    }

    /// Looks for a subscriber to the deliver subject. Always false for a pull consumer.
    pub fn is_bound(
        &mut self,
        now: Timestamp,
        consumer: &Consumer,
        interest: &mut dyn FnMut(&[u8]) -> bool,
    ) -> bool {
        match &mut self.receiver {
            Receiver::Pull(_) => false,
            Receiver::Push(window) => {
                let active = interest(consumer.config.deliver_subject.as_bytes());
                window.set_active(now, active, &consumer.config);
                if active {
                    self.active_at = now;
                }
                active
            }
        }
    }

    /// Ends all waiting requests: the consumer goes away.
    pub fn end_deleted(&mut self, sends: &mut Sends) {
        if let Receiver::Pull(queue) = &mut self.receiver {
            queue.end_all(409, "Consumer Deleted", false, sends);
        }
    }

    /// Ends all waiting requests: the server goes away.
    pub fn end_shutdown(&mut self, sends: &mut Sends) {
        if let Receiver::Pull(queue) = &mut self.receiver {
            queue.end_all(409, "Server Shutdown", true, sends);
        }
    }

    /// The client that is pinned: what it shows, and since when.
    #[must_use]
    pub fn pinned(&self) -> Option<(&str, Timestamp)> {
        match &self.receiver {
            Receiver::Pull(queue) => queue.pin().map(Pin::shown),
            Receiver::Push(_) => None,
        }
    }

    /// Lets go of the client that is pinned, if one is.
    pub fn unpin(&mut self) {
        if let Receiver::Pull(queue) = &mut self.receiver {
            queue.unpin();
        }
    }

    /// How many pull requests wait.
    #[must_use]
    pub fn num_waiting(&self) -> usize {
        match &self.receiver {
            Receiver::Pull(queue) => queue.len(),
            Receiver::Push(_) => 0,
        }
    }

    /// How many messages were not delivered yet.
    pub fn num_pending(&mut self, consumer: &Consumer, store: &StreamStore) -> u64 {
        store.extend(&mut self.filter);
        let last = store.last_sequence();
        let mut count = self.count.unwrap_or_else(|| Count {
            messages: store.count_match(&self.filter, self.cursor),
            through: last,
        });
        if count.through < last {
            let from = self.cursor.max(count.through.next());
            count.messages += store.count_match(&self.filter, from);
            count.through = last;
        }
        self.count = Some(count);
        count.messages + consumer.state.backlog().len() as u64
    }

    /// Ends requests that do not wait for messages.
    fn refuse_to_wait(&mut self, sends: &mut Sends) {
        if let Receiver::Pull(queue) = &mut self.receiver {
            queue.end_of_stream(sends);
        }
    }

    /// There is nothing to deliver.
    fn without_messages(&self) -> Progress {
        match &self.receiver {
            Receiver::Pull(queue) if queue.is_empty() => Progress::Idle,
            _ => Progress::WantsMessages,
        }
    }

    /// Ends the pause whose time is over. Returns whether there was one.
    fn end_pause(&mut self, consumer: &Consumer, turn: &mut Turn<'_>) -> bool {
        let Some(until) = self.paused_until.filter(|until| *until <= turn.now) else {
            return false;
        };
        self.paused_until = None;
        let paused = false;
        let event = ConsumerEvent::Paused { paused, until };
        turn.advisories.push(&consumer.name, event);
        true
    }

    fn is_receiver_ready(
        &mut self,
        consumer: &Consumer,
        turn: &mut Turn<'_>,
        looked: &mut bool,
    ) -> bool {
        let first_look = !std::mem::replace(looked, true);
        match &mut self.receiver {
            Receiver::Pull(queue) => queue.is_ready(turn.now, turn.interest, turn.sends),
            Receiver::Push(window) => {
                if first_look {
                    let subject = consumer.config.deliver_subject.as_bytes();
                    let active = (turn.interest)(subject);
                    window.set_active(turn.now, active, &consumer.config);
                    if active {
                        self.active_at = turn.now;
                    }
                }
                window.is_open(turn.now)
            }
        }
    }

    /// Nobody takes messages. A push consumer without subscriber looks again soon when it has something to deliver.
    fn without_receiver(&mut self, consumer: &Consumer, turn: &Turn<'_>) -> Progress {
        match &self.receiver {
            Receiver::Push(window) if !window.is_active() => {}
            _ => return Progress::Idle,
        }
        if self.num_pending(consumer, turn.store) == 0 && consumer.state.pending().is_empty() {
            return Progress::WantsMessages;
        }
        self.check_at = earliest(self.check_at, turn.now.plus(INTEREST_CHECK));
        Progress::Idle
    }

    fn next_candidate(&mut self, consumer: &Consumer, turn: &Turn<'_>) -> Candidate {
        let state = &consumer.state;
        if let Some(delivery) = self.redelivery.next_due(turn.now, state.pending()) {
            return Candidate::Message {
                sequence: delivery.stream,
                delivered: delivery.count,
            };
        }
        let first = |sequence| Candidate::Message {
            sequence,
            delivered: 0,
        };
        let next = match state.backlog().front() {
            Some(sequence) => Some(*sequence),
            None => turn.store.next_match(&self.filter, self.cursor),
        };
        let Some(next) = next else {
            // What was looked at need not be looked at again.
            let last = turn.store.last_sequence();
            self.cursor = self.cursor.max(last.next());
            self.count = Some(Count {
                messages: 0,
                through: last,
            });
            return Candidate::EndOfStream;
        };
        if next > turn.durable {
            return Candidate::NotDurable;
        }
        let ack_pending_max = ack_pending_max(consumer);
        if consumer.config.ack_policy != AckPolicy::None
            && ack_pending_max > 0
            && state.pending().len() as u64 >= ack_pending_max
        {
            return Candidate::AckPendingFull;
        }
        first(next)
    }

    /// Sends a message. Returns false when no receiver takes it.
    fn deliver(
        &mut self,
        consumer: &mut Consumer,
        turn: &mut Turn<'_>,
        message: StoredMessage,
        delivered: u32,
    ) -> bool {
        let sequence = message.sequence;
        let (is_new, time) = (delivered == 0, message.time);
        let pending = self.num_pending(consumer, turn.store);
        self.ack_reply.clear();
        AckSubject {
            stream: turn.stream,
            consumer: &consumer.name,
            delivered: u64::from(delivered) + 1,
            stream_seq: sequence,
            consumer_seq: consumer.state.delivered().consumer.next(),
            timestamp: message.time,
            pending: pending.saturating_sub(u64::from(is_new)),
        }
        .render(&mut self.ack_reply);
        let bare = consumer
            .config
            .headers_only
            .then(|| status::without_payload(message.headers(), message.payload().len()));
        let mut content = match &bare {
            Some(headers) => Content::HeadersOnly(headers),
            None => Content::Stored,
        };
        let size = message.subject().len() + self.ack_reply.len() + content.size(&message);
        let ack_reply = &self.ack_reply;
        let with_pin;
        match &mut self.receiver {
            Receiver::Pull(queue) => {
                let to = &mut self.to;
                let state = &consumer.state;
                let mut offer = Offer {
                    now: turn.now,
                    size,
                    situation: Situation {
                        consumer: consumer.id,
                        config: &consumer.config,
                        name: &consumer.name,
                        delivery: state.delivered().consumer.next(),
                        pending: pending + u64::from(!is_new),
                        ack_pending: state.pending().len() as u64,
                    },
                    interest: turn.interest,
                };
                let Some(grant) = queue.take(&mut offer, to, turn.sends, turn.advisories) else {
                    return false;
                };
                if let Some(pin) = queue.pin().filter(|_| grant.is_pinned) {
                    let headers = content.headers(&message);
                    with_pin = status::with_pin(headers, pin.id());
                    content = content.with_headers(&with_pin);
                }
                turn.sends.push_delivery(to, message, ack_reply, content);
                if let Some(unserved) = grant.completed {
                    let headers = status::ended(409, "Batch Completed", unserved);
                    turn.sends.push_status(to, b"", &headers);
                }
                self.active_at = turn.now;
            }
            Receiver::Push(window) => {
                let subject = consumer.config.deliver_subject.as_bytes();
                turn.sends
                    .push_delivery(subject, message, ack_reply, content);
                let prefix = format_args!("$JS.FC.{}.{}.", turn.stream, consumer.name);
                window.sent(turn.now, size, &consumer.config, prefix, turn.sends);
            }
        }
        if is_new {
            self.replay.delivered(turn.now, sequence, time);
        }
        self.delivered(consumer, turn, sequence, is_new);
        self.ask_when_full(consumer, turn);
        true
    }

    /// A consumer that acknowledges by flow control asks for it when nothing more can be delivered before.
    fn ask_when_full(&mut self, consumer: &Consumer, turn: &mut Turn<'_>) {
        if let Receiver::Push(window) = &mut self.receiver
            && acks_by_flow(consumer)
            && consumer.state.pending().len() as u64 >= ack_pending_max(consumer)
        {
            let prefix = format_args!("$JS.FC.{}.{}.", turn.stream, consumer.name);
            window.ask(&consumer.config, prefix, turn.sends);
        }
    }

    fn delivered(
        &mut self,
        consumer: &mut Consumer,
        turn: &mut Turn<'_>,
        sequence: StreamSequence,
        is_new: bool,
    ) {
        let from_backlog = consumer.state.backlog().front() == Some(&sequence);
        let change = Change::Delivered(sequence);
        consumer.state.apply(turn.now, &consumer.config, change);
        turn.changes.push(change);
        if let Some(delivery) = consumer.state.pending().get(sequence) {
            self.redelivery.push(delivery);
        }
        if is_new && !from_backlog {
            self.advance(sequence);
        }
    }

    /// Leaves out a message that cannot be read: damaged, or gone.
    fn skip(&mut self, consumer: &mut Consumer, turn: &mut Turn<'_>, sequence: StreamSequence) {
        let change = Change::Abandoned(sequence);
        if consumer.state.apply(turn.now, &consumer.config, change) {
            turn.changes.push(change);
        } else {
            self.cursor = self.cursor.max(sequence.next());
            self.count = None;
        }
    }

    fn advance(&mut self, sequence: StreamSequence) {
        self.cursor = sequence.next();
        if let Some(count) = &mut self.count {
            count.messages = count.messages.saturating_sub(1);
        }
    }

    /// Queues what is due, and gives up what was delivered often enough.
    fn collect_due(&mut self, consumer: &mut Consumer, turn: &mut Turn<'_>) {
        let deliver_max = u32::try_from(consumer.config.max_deliver).unwrap_or(u32::MAX);
        let exhausted = self
            .redelivery
            .collect(turn.now, consumer.state.pending(), deliver_max);
        for stream in exhausted {
            let deliveries = consumer.state.pending().get(stream);
            let event = ConsumerEvent::DeliveredOftenEnough {
                stream_seq: stream,
                deliveries: deliveries.map_or(0, |delivery| u64::from(delivery.count)),
            };
            turn.advisories.push(&consumer.name, event);
            let change = if turn.keeps_exhausted {
                Change::Exhausted(stream)
            } else {
                Change::Abandoned(stream)
            };
            consumer.state.apply(turn.now, &consumer.config, change);
            turn.changes.push(change);
        }
    }

    /// Looks whether anybody uses the consumer and when to look again.
    fn check_activity(&mut self, consumer: &Consumer, turn: &mut Turn<'_>) {
        match &mut self.receiver {
            Receiver::Pull(queue) => {
                queue.drop_uninterested(turn.interest);
                if !queue.is_empty() {
                    self.active_at = turn.now;
                }
            }
            Receiver::Push(_) => {
                self.is_bound(turn.now, consumer, turn.interest);
            }
        }
        self.check_at = None;
        self.schedule_check(turn.now, consumer);
    }

    fn schedule_check(&mut self, now: Timestamp, consumer: &Consumer) {
        if let Some(threshold) = inactive_threshold(consumer) {
            // A subscription is only seen by looking; requests are seen when they come.
            let check = if consumer.config.is_push() {
                now.plus((threshold / 4).min(INTEREST_CHECK_MAX))
            } else {
                self.active_at.plus(threshold)
            };
            self.check_at = earliest(self.check_at, check.max(now.plus(INTEREST_CHECK)));
        }
    }
}

/// Most deliveries that may wait for their acknowledgement; zero is unlimited.
fn ack_pending_max(consumer: &Consumer) -> u64 {
    u64::try_from(consumer.config.max_ack_pending).unwrap_or(0)
}

/// Whether answers to flow control acknowledge.
fn acks_by_flow(consumer: &Consumer) -> bool {
    consumer.config.ack_policy == AckPolicy::FlowControl
}

fn inactive_threshold(consumer: &Consumer) -> Option<Duration> {
    consumer
        .config
        .inactive_threshold
        .as_duration()
        .filter(|threshold| !threshold.is_zero())
}

fn earliest(one: Option<Timestamp>, two: Timestamp) -> Option<Timestamp> {
    Some(one.map_or(two, |one| one.min(two)))
}
