//! Acknowledgements, and answers of push subscribers.

use std::time::Duration;

use everjet_api::{AckPolicy, AckSubject, ConsumerEvent, EventDelivery};
use everjet_consumer::{Change, Consumer, Dispatcher, is_sampled};
use everjet_values::{StreamSequence, Timestamp, parse_duration};
use everjet_wire::Headers;
use serde::Deserialize;

use crate::Output;
use crate::machine::Stream;

/// What the body of an acknowledgement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acknowledgement<'a> {
    /// Done.
    Ack,
    /// Done, and here is a pull request.
    Next(&'a [u8]),
    /// Deliver it again, after this time.
    Again(Duration),
    /// Still working on it.
    Progress,
    /// Never deliver it again, and why.
    Terminate(&'a [u8]),
    /// Something else.
    Unknown,
}

impl<'a> Acknowledgement<'a> {
    fn read(body: &'a [u8]) -> Self {
        if let Some(request) = body.strip_prefix(b"+NXT") {
            return Self::Next(request);
        }
        if let Some(delay) = body.strip_prefix(b"-NAK") {
            return Self::Again(read_delay(delay));
        }
        match body {
            b"" | b"+ACK" | b"+OK" => Self::Ack,
            b"+WPI" => Self::Progress,
            _ => match body.strip_prefix(b"+TERM") {
                Some(reason) => Self::Terminate(reason.trim_ascii()),
                None => Self::Unknown,
            },
        }
    }
}

/// `{"delay": nanoseconds}` or a duration; what is neither counts as no delay.
fn read_delay(text: &[u8]) -> Duration {
    #[derive(Deserialize)]
    struct Options {
        #[serde(default)]
        delay: i64,
    }
    let text = text.trim_ascii();
    if text.first() == Some(&b'{') {
        let options = serde_json::from_slice::<Options>(text).ok();
        let delay = options.and_then(|options| u64::try_from(options.delay).ok());
        return Duration::from_nanos(delay.unwrap_or(0));
    }
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| parse_duration(text).ok())
        .unwrap_or_default()
}

impl Stream {
    /// A delivery was acknowledged, in one way or another. Acknowledgements of deliveries that nobody waits for change
    /// nothing; whoever waits for an answer gets one all the same, unless nothing of the kind was delivered.
    /// Returns false when there is no consumer that takes acknowledgements: nobody listens there.
    pub fn on_ack(
        &mut self,
        now: Timestamp,
        ack: &AckSubject<'_>,
        reply: &[u8],
        body: &[u8],
        out: &mut Output,
    ) -> bool {
        let acknowledgement = Acknowledgement::read(body);
        let Some(consumer) = self.state.consumer(ack.consumer) else {
            return false;
        };
        let policy = consumer.config.ack_policy;
        if matches!(policy, AckPolicy::None | AckPolicy::FlowControl) {
            return false;
        }
        let ends = matches!(
            acknowledgement,
            Acknowledgement::Ack | Acknowledgement::Terminate(_)
        );
        if ends && ack.stream_seq > consumer.state.delivered().stream {
            // Nothing of the kind was delivered, or not since the consumer began anew: nothing is confirmed.
            return true;
        }
        let id = consumer.id;
        if let Some(change) = change(consumer, acknowledgement, ack.stream_seq) {
            if let Some(event) = event(now, consumer, acknowledgement, ack) {
                self.advisories.push(ack.consumer, event);
            }
            self.gather(now, id, out);
            self.note_settled(id, change);
            if let Some(consumer) = self.state.consumers.get_mut(&id) {
                consumer.state.apply(now, &consumer.config, change);
                self.gathered.log.push(change);
                if let Some(dispatcher) = self.leader.dispatcher(id) {
                    dispatcher.on_ack(now, consumer, ack.stream_seq);
                    if dispatcher.has_receiver() {
                        self.leader.mark_ready(id);
                    }
                }
            }
            self.leader.schedule(id);
        }
        if let Acknowledgement::Next(request) = acknowledgement {
            self.on_pull(now, ack.consumer, reply, request, out);
        } else if !reply.is_empty() {
            self.flush(out);
            out.effects.ack_reply(reply);
            out.sync_wanted = true;
        }
        true
    }

    /// A push subscriber answered a flow control request (`$JS.FC.<stream>.<consumer>.<token>`). Its headers say how far it is, which
    /// acknowledges when that is the policy.
    pub fn on_flow_control(
        &mut self,
        now: Timestamp,
        consumer: &str,
        subject: &[u8],
        headers: &[u8],
        out: &mut Output,
    ) {
        let Some(consumer) = self.state.consumer(consumer) else {
            return;
        };
        let id = consumer.id;
        let through = last_received(headers);
        let through = through.filter(|_| consumer.config.ack_policy == AckPolicy::FlowControl);
        let change = through.and_then(|through| change_through(consumer, through));
        let answered = |dispatcher: &mut Dispatcher| dispatcher.on_flow_control(now, subject);
        if !self.leader.dispatcher(id).is_some_and(answered) {
            return;
        }
        if let Some(change) = change {
            self.gather(now, id, out);
            self.note_settled(id, change);
            if let Some(consumer) = self.state.consumers.get_mut(&id) {
                consumer.state.apply(now, &consumer.config, change);
                self.gathered.log.push(change);
            }
        }
        self.leader.mark_ready(id);
    }
}

/// The last message that a subscriber says it has received.
fn last_received(headers: &[u8]) -> Option<StreamSequence> {
    let last = Headers(headers).get("Nats-Last-Stream")?;
    let last = std::str::from_utf8(last).ok()?.parse().ok()?;
    Some(StreamSequence(last))
}

/// Acknowledges everything up to a message that was delivered.
fn change_through(consumer: &Consumer, sequence: StreamSequence) -> Option<Change> {
    let state = &consumer.state;
    // Beyond the last delivery it cannot be an acknowledgement of one.
    let delivered = sequence <= state.delivered().stream;
    let front = state
        .pending()
        .front()
        .is_some_and(|front| front.stream <= sequence);
    let late = state
        .exhausted()
        .first()
        .is_some_and(|first| *first <= sequence);
    (delivered && (front || late)).then_some(Change::AckedThrough(sequence))
}

/// What subscribers to advisories and metrics are told about an acknowledgement that changes something.
fn event(
    now: Timestamp,
    consumer: &Consumer,
    acknowledgement: Acknowledgement<'_>,
    ack: &AckSubject<'_>,
) -> Option<ConsumerEvent> {
    let delivery = EventDelivery {
        consumer_seq: ack.consumer_seq,
        stream_seq: ack.stream_seq,
        deliveries: ack.delivered,
    };
    match acknowledgement {
        Acknowledgement::Again(_) => Some(ConsumerEvent::Naked(delivery)),
        Acknowledgement::Terminate(reason) => Some(ConsumerEvent::Terminated {
            delivery,
            reason: String::from_utf8_lossy(reason).into_owned(),
        }),
        Acknowledgement::Ack | Acknowledgement::Next(_) => {
            let config = &consumer.config;
            let samples = !config.sample_freq.is_empty()
                && config.ack_policy == AckPolicy::Explicit
                && is_sampled(&config.sample_freq, ack.consumer_seq);
            let waiting = consumer.state.pending().get(ack.stream_seq);
            let waiting = waiting.filter(|_| samples)?;
            let ack_time = now.since(consumer.waits_since(waiting));
            Some(ConsumerEvent::Acknowledged {
                delivery,
                ack_time: ack_time.into(),
            })
        }
        Acknowledgement::Progress | Acknowledgement::Unknown => None,
    }
}

/// The change that an acknowledgement makes; `None` when it makes none.
fn change(
    consumer: &Consumer,
    acknowledgement: Acknowledgement<'_>,
    sequence: StreamSequence,
) -> Option<Change> {
    let pending = consumer.state.pending();
    let is_pending = pending.get(sequence).is_some();
    // Delivered as often as allowed, and done after all.
    let is_exhausted = !is_pending && consumer.state.exhausted().contains(&sequence);
    match acknowledgement {
        Acknowledgement::Unknown => None,
        Acknowledgement::Ack | Acknowledgement::Next(_) | Acknowledgement::Terminate(_)
            if consumer.config.ack_policy == AckPolicy::All =>
        {
            change_through(consumer, sequence)
        }
        Acknowledgement::Ack | Acknowledgement::Next(_) | Acknowledgement::Terminate(_)
            if is_exhausted =>
        {
            Some(Change::Acked(sequence))
        }
        _ if !is_pending => None,
        Acknowledgement::Ack | Acknowledgement::Next(_) | Acknowledgement::Terminate(_) => {
            Some(Change::Acked(sequence))
        }
        Acknowledgement::Again(delay) => Some(Change::Delayed(sequence, delay)),
        Acknowledgement::Progress => Some(Change::Progress(sequence)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_say_what_happened() {
        let second = Duration::from_secs(1);
        for (body, expected) in [
            ("", Acknowledgement::Ack),
            ("+ACK", Acknowledgement::Ack),
            ("+OK", Acknowledgement::Ack),
            ("+ACKx", Acknowledgement::Unknown),
            ("foo", Acknowledgement::Unknown),
            ("+WPI", Acknowledgement::Progress),
            ("+TERM", Acknowledgement::Terminate(b"")),
            (
                "+TERM broken order",
                Acknowledgement::Terminate(b"broken order"),
            ),
            ("-NAK", Acknowledgement::Again(Duration::ZERO)),
            ("-NAK 1s", Acknowledgement::Again(second)),
            (
                "-NAK {\"delay\":1000000000}",
                Acknowledgement::Again(second),
            ),
            (
                "-NAK {\"delay\":-5}",
                Acknowledgement::Again(Duration::ZERO),
            ),
            ("-NAK {nonsense", Acknowledgement::Again(Duration::ZERO)),
            ("-NAK soon", Acknowledgement::Again(Duration::ZERO)),
            ("+NXT", Acknowledgement::Next(b"")),
            (
                "+NXT {\"batch\":2}",
                Acknowledgement::Next(b" {\"batch\":2}"),
            ),
        ] {
            assert_eq!(Acknowledgement::read(body.as_bytes()), expected, "{body}");
        }
    }
}
