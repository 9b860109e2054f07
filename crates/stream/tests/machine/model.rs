//! A consumer against a model of sets and numbers, under random work, with restarts at random moments.

use std::collections::{BTreeMap, BTreeSet};

use everjet_api::{AckPolicy, AckSubject, ConsumerConfig, Nanos, PurgeRequest};
use everjet_stream::{CreateConsumer, Outgoing, Publish, Reads};
use everjet_values::{ConsumerSequence, Entropy, SeededEntropy, StreamSequence, Timestamp};

use crate::driver::Driver;

const SUBJECTS: [&str; 3] = ["s.a", "s.b", "s.c"];
const START: i64 = 1_000_000_000_000_000_000;

/// What a consumer has to do, as simply as it can be said.
struct Model {
    messages: BTreeMap<u64, &'static str>,
    last: u64,
    wanted: BTreeSet<&'static str>,
    /// Delivered before everything else.
    backlog: BTreeSet<u64>,
    /// The first message that may be delivered, after the backlog.
    next: u64,
    deliveries: u64,
    pending: BTreeMap<u64, Waiting>,
    waits: Vec<i64>,
    deliver_max: u64,
    ack_pending_max: usize,
    acks_all: bool,
    floor: (u64, u64),
}

#[derive(Clone, Copy)]
struct Waiting {
    count: u64,
    deadline: i64,
}

impl Model {
    fn new_message(&self) -> Option<u64> {
        self.backlog.first().copied().or_else(|| {
            let mut later = self.messages.range(self.next..);
            later
                .find(|(_, subject)| self.wanted.contains(*subject))
                .map(|(sequence, _)| *sequence)
        })
    }

    fn left(&self) -> u64 {
        let later = self.messages.range(self.next..);
        let wanted = later.filter(|(_, subject)| self.wanted.contains(*subject));
        (self.backlog.len() + wanted.count()) as u64
    }

    fn due(&self, now: i64) -> usize {
        let due = |waiting: &&Waiting| waiting.deadline <= now;
        self.pending.values().filter(due).count()
    }

    fn wait_after(&self, count: u64) -> i64 {
        let last = self.waits.len() - 1;
        let step = usize::try_from(count - 1).expect("small").min(last);
        self.waits[step]
    }

    fn give_up_exhausted(&mut self, now: i64) {
        let most = self.deliver_max;
        self.pending
            .retain(|_, waiting| waiting.deadline > now || waiting.count < most);
    }

    fn on_delivery(&mut self, now: i64, ack: &AckSubject<'_>) {
        let sequence = ack.stream_seq.0;
        self.deliveries += 1;
        assert_eq!(ack.consumer_seq.0, self.deliveries);
        assert!(self.messages.contains_key(&sequence), "{sequence} is gone");
        let count = match self.pending.get(&sequence) {
            Some(waiting) => {
                assert!(waiting.deadline <= now, "{sequence} is not due");
                waiting.count + 1
            }
            None => {
                assert_eq!(self.due(now), 0, "what is due comes first");
                assert_eq!(Some(sequence), self.new_message());
                assert!(
                    self.pending.len() < self.ack_pending_max,
                    "too many pending"
                );
                if !self.backlog.remove(&sequence) {
                    self.next = sequence + 1;
                }
                1
            }
        };
        assert!(count <= self.deliver_max, "{sequence} came too often");
        assert_eq!(ack.delivered, count);
        assert_eq!(ack.pending, self.left());
        let deadline = now + self.wait_after(count);
        self.pending.insert(sequence, Waiting { count, deadline });
    }

    fn postpone(&mut self, sequence: u64, deadline: i64) {
        if let Some(waiting) = self.pending.get_mut(&sequence) {
            waiting.deadline = deadline;
        }
    }

    fn remove(&mut self, sequence: u64) {
        self.messages.remove(&sequence);
        self.pending.remove(&sequence);
        self.backlog.remove(&sequence);
    }
}

struct Run {
    driver: Driver,
    model: Model,
    entropy: SeededEntropy,
    now: i64,
    per_subject_max: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let entropy = SeededEntropy::new(seed);
        let pick = |choices: u64| entropy.next_u64() % choices;
        let per_subject_max = if pick(3) == 0 { 4 } else { usize::MAX };
        let stream = match per_subject_max {
            4 => r#"{"max_msgs_per_subject":4}"#,
            _ => "{}",
        };
        let wanted: &[&str] = match pick(3) {
            0 => &SUBJECTS,
            1 => &SUBJECTS[..1],
            _ => &["s.a", "s.c"],
        };
        let waits = match pick(2) {
            0 => vec![1_000],
            _ => vec![500, 2_000, 700],
        };
        let deliver_max = if pick(2) == 0 { 4 } else { u64::MAX };
        let ack_pending_max = match pick(3) {
            0 => usize::MAX,
            1 => 3,
            _ => 10,
        };
        let model = Model {
            messages: BTreeMap::new(),
            last: 0,
            wanted: wanted.iter().copied().collect(),
            backlog: BTreeSet::new(),
            next: 1,
            deliveries: 0,
            pending: BTreeMap::new(),
            waits,
            deliver_max,
            ack_pending_max,
            acks_all: pick(4) == 0,
            floor: (0, 0),
        };
        let last_per_subject = pick(3) == 0;
        let mut run = Self {
            driver: Driver::new(stream, Timestamp::from_nanos(START)),
            model,
            entropy,
            now: START,
            per_subject_max,
        };
        for _ in 0..run.pick(20) {
            run.publish();
        }
        run.create_consumer(last_per_subject);
        run
    }

    fn pick(&self, choices: u64) -> u64 {
        self.entropy.next_u64() % choices
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_nanos(self.now)
    }

    fn create_consumer(&mut self, last_per_subject: bool) {
        let model = &mut self.model;
        let mut config = ConsumerConfig {
            durable_name: "c".to_owned(),
            ack_policy: if model.acks_all {
                AckPolicy::All
            } else {
                AckPolicy::Explicit
            },
            ack_wait: Nanos(model.waits[0]),
            max_ack_pending: i64::try_from(model.ack_pending_max)
                .unwrap_or(-1)
                .min(1_000_000),
            max_deliver: i64::try_from(model.deliver_max).unwrap_or(-1),
            filter_subjects: model
                .wanted
                .iter()
                .map(|&subject| subject.to_owned())
                .collect(),
            ..ConsumerConfig::default()
        };
        if model.waits.len() > 1 {
            config.backoff = model.waits.iter().map(|wait| Nanos(*wait)).collect();
        }
        let start = model.messages.keys().next().copied();
        model.next = start.unwrap_or(model.last + 1);
        if last_per_subject {
            config.deliver_policy = everjet_api::DeliverPolicy::LastPerSubject;
            let last_of = |subject: &&str| {
                let mut found = model.messages.iter().rev();
                found
                    .find(|(_, of)| *of == subject)
                    .map(|(sequence, _)| *sequence)
            };
            model.backlog = model.wanted.iter().filter_map(last_of).collect();
            model.next = model.last + 1;
        }
        let create = CreateConsumer {
            config,
            action: everjet_api::ConsumerAction::Create,
            pedantic: false,
        };
        let now = self.time();
        let Driver { stream, output, .. } = &mut self.driver;
        let info = stream
            .create_consumer(now, create, "free".to_owned(), &mut |_| true, output)
            .expect("a legal consumer");
        let start = (info.delivered.consumer_seq.0, info.delivered.stream_seq.0);
        self.model.floor = start;
        self.end_turn(0);
    }

    fn step(&mut self) {
        match self.pick(100) {
            0..30 => self.publish(),
            30..55 => self.pull(),
            55..85 => self.acknowledge(),
            85..92 => self.now += i64::try_from(self.pick(1_500)).expect("small"),
            92..94 => self.delete(),
            94 => self.purge(),
            95..97 => self.driver.checkpoint(),
            _ => {
                let (before, after) = self.driver.restart(self.time());
                assert_eq!(before, after, "a restart changed the state");
            }
        }
        self.end_turn(0);
        self.compare();
    }

    fn publish(&mut self) {
        let subject = SUBJECTS[usize::try_from(self.pick(3)).expect("small")];
        let now = self.time();
        let Driver { stream, output, .. } = &mut self.driver;
        let publish = Publish {
            subject: subject.as_bytes(),
            reply: b"",
            headers: b"",
            payload: b"some payload",
        };
        stream.on_publish(now, &publish, output);
        self.model.last += 1;
        self.model.messages.insert(self.model.last, subject);
        let of_subject = |(sequence, of): (&u64, &&str)| (*of == subject).then_some(*sequence);
        let held: Vec<u64> = self.model.messages.iter().filter_map(of_subject).collect();
        if held.len() > self.per_subject_max {
            self.model.remove(held[0]);
        }
        self.end_turn(0);
    }

    fn pull(&mut self) {
        let batch = 1 + self.pick(5);
        let body = format!(r#"{{"batch":{batch},"no_wait":true}}"#);
        let now = self.time();
        let Driver { stream, output, .. } = &mut self.driver;
        assert!(stream.on_pull(now, "c", b"in", body.as_bytes(), output));
        let delivered = self.end_turn(batch);
        if delivered < batch {
            assert_eq!(self.model.due(self.now), 0, "something due was left");
            let full = self.model.pending.len() >= self.model.ack_pending_max;
            assert!(
                full || self.model.new_message().is_none(),
                "something was left"
            );
            // A request that waits behind full acknowledgements would be served by surprise later.
            self.drop_requests();
        }
    }

    fn drop_requests(&mut self) {
        let now = self.time();
        let Driver { stream, output, .. } = &mut self.driver;
        stream.shutdown(now, output);
        output.clear();
    }

    fn acknowledge(&mut self) {
        let delivered: Vec<u64> = self.model.pending.keys().copied().collect();
        let sequence = match (self.pick(8), delivered.len() as u64) {
            (0, _) | (_, 0) => 1 + self.pick(self.model.last + 3),
            (_, pending) => delivered[usize::try_from(self.pick(pending)).expect("small")],
        };
        let kind = self.pick(10);
        let body = match kind {
            0..6 => "",
            6 => "-NAK",
            7 => "-NAK {\"delay\":600}",
            8 => "+WPI",
            _ => "+TERM",
        };
        let ack = AckSubject {
            stream: "S",
            consumer: "c",
            delivered: 1,
            stream_seq: StreamSequence(sequence),
            consumer_seq: ConsumerSequence(1),
            timestamp: self.time(),
            pending: 0,
        };
        let now = self.time();
        let Driver { stream, output, .. } = &mut self.driver;
        stream.on_ack(now, &ack, b"", body.as_bytes(), output);
        let model = &mut self.model;
        let Some(waiting) = model.pending.get(&sequence).copied() else {
            let delivered = sequence < model.next && model.backlog.is_empty();
            if model.acks_all && matches!(kind, 0..6 | 9) && delivered {
                let highest = self.delivered_stream();
                self.model
                    .pending
                    .retain(|pending, _| sequence > highest || *pending > sequence);
            }
            return;
        };
        let wait = model.wait_after(waiting.count);
        match kind {
            6 => model.postpone(sequence, self.now),
            7 => model.postpone(sequence, self.now + 600),
            8 => model.postpone(sequence, self.now + wait),
            _ if model.acks_all => model.pending.retain(|pending, _| *pending > sequence),
            _ => {
                model.pending.remove(&sequence);
            }
        }
    }

    fn delivered_stream(&mut self) -> u64 {
        let info = self.driver.stream.consumer_info(self.time(), "c");
        info.expect("the consumer lives").delivered.stream_seq.0
    }

    fn delete(&mut self) {
        let sequence = 1 + self.pick(self.model.last + 2);
        let now = self.time();
        let Driver { stream, output, .. } = &mut self.driver;
        let deleted = stream.delete_message(now, StreamSequence(sequence), true, output);
        assert_eq!(deleted.is_ok(), self.model.messages.contains_key(&sequence));
        self.model.remove(sequence);
    }

    fn purge(&mut self) {
        let filter = ["", "s.a", "s.*"][usize::try_from(self.pick(3)).expect("small")];
        let (seq, keep) = match self.pick(2) {
            0 => (1 + self.pick(self.model.last + 1), 0),
            _ => (0, self.pick(6)),
        };
        let matching = |(sequence, subject): (&u64, &&str)| {
            let matches = filter != "s.a" || *subject == "s.a";
            (matches && (seq == 0 || *sequence < seq)).then_some(*sequence)
        };
        let mut going: Vec<u64> = self.model.messages.iter().filter_map(matching).collect();
        let keep_len = usize::try_from(keep).expect("small");
        going.truncate(going.len().saturating_sub(keep_len));
        let request = PurgeRequest {
            filter: filter.to_owned(),
            seq,
            keep,
        };
        let now = self.time();
        let Driver { stream, output, .. } = &mut self.driver;
        let purged = stream.purge(now, &request, output).expect("a legal purge");
        assert_eq!(purged, going.len() as u64, "{request:?}");
        for sequence in going {
            self.model.remove(sequence);
        }
    }

    /// Fires timers, polls and journals; returns how many messages were delivered.
    fn end_turn(&mut self, deliveries_max: u64) -> u64 {
        let now = self.time();
        let Driver { stream, output, .. } = &mut self.driver;
        stream.on_durable(stream.store().last_sequence());
        for _ in 0..100 {
            if stream.next_timer().is_none_or(|at| at > now) {
                break;
            }
            stream.on_timer(now, &mut |_| true, output);
        }
        self.model.give_up_exhausted(self.now);
        stream.poll(now, &mut |_| true, output, 100, Reads::Blocking);
        self.driver.commit();
        let mut delivered = 0;
        for outgoing in self.driver.output.sends.iter() {
            if let Outgoing::Delivery { ack_reply, .. } = outgoing {
                let ack = AckSubject::parse(ack_reply).expect("an acknowledgement subject");
                self.model.on_delivery(self.now, &ack);
                delivered += 1;
            }
        }
        assert!(delivered <= deliveries_max, "nobody asked for that many");
        self.driver.output.clear();
        delivered
    }

    fn compare(&mut self) {
        let info = self.driver.stream.consumer_info(self.time(), "c");
        let info = info.expect("the consumer lives");
        let model = &mut self.model;
        assert_eq!(info.num_ack_pending, model.pending.len() as u64);
        assert_eq!(info.num_pending, model.left());
        let again = model.pending.values().filter(|waiting| waiting.count > 1);
        assert_eq!(info.num_redelivered, again.count() as u64);
        assert_eq!(info.delivered.consumer_seq.0, model.deliveries);
        let floor = (info.ack_floor.consumer_seq.0, info.ack_floor.stream_seq.0);
        assert!(
            floor.0 >= model.floor.0 && floor.1 >= model.floor.1,
            "the floor went back"
        );
        model.floor = floor;
        match model.pending.first_key_value() {
            Some((first, _)) => assert!(floor.1 < *first, "pending below the floor"),
            None => assert_eq!(floor.0, model.deliveries, "nothing holds the floor back"),
        }
        let state = self.driver.stream.store().state();
        assert_eq!(state.messages, model.messages.len() as u64);
        assert_eq!(state.last_sequence.0, model.last);
    }
}

#[test]
fn a_consumer_does_what_the_model_does() {
    for seed in 0..40 {
        let result = std::panic::catch_unwind(|| {
            let mut run = Run::new(seed);
            for _ in 0..300 {
                run.step();
            }
        });
        assert!(result.is_ok(), "seed {seed}");
    }
}
