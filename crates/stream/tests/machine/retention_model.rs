//! Retention against a model that knows for each consumer which messages it is not done with, under random work of several
//! consumers that come, change and go, with restarts at random moments and, at the end, at every one.

use std::collections::{BTreeMap, BTreeSet};

use everjet_api::{AckPolicy, AckSubject, ConsumerConfig, Nanos, PurgeRequest};
use everjet_stream::{CreateConsumer, Outgoing, Publish, Reads};
use everjet_values::{
    ConsumerSequence, Entropy, EntryIndex, SeededEntropy, StreamSequence, Timestamp,
};

use crate::driver::Driver;

const SUBJECTS: [&str; 3] = ["s.a", "s.b", "s.c"];
const NAMES: [&str; 4] = ["one", "two", "three", "four"];
const START: i64 = 1_000_000_000_000_000_000;
const ACK_WAIT: i64 = 1_000;
const DELIVER_MAX: u32 = 3;

struct Consumer {
    subjects: BTreeSet<&'static str>,
    policy: AckPolicy,
    is_volatile: bool,
    /// Messages it is not done with, delivered ones with their number of deliveries and the deadline.
    waiting: BTreeMap<u64, Option<(u32, i64)>>,
    /// Delivered often enough: not delivered any more, and wanted all the same.
    exhausted: BTreeSet<u64>,
    /// The last message delivered.
    delivered: u64,
}

impl Consumer {
    /// Interest is that of the filters as they are, also in what was delivered before they changed.
    fn wants(&self, sequence: u64, subject: &str) -> bool {
        let is_done = !self.waiting.contains_key(&sequence) && !self.exhausted.contains(&sequence);
        !is_done && self.subjects.contains(subject)
    }
}

struct Run {
    driver: Driver,
    entropy: SeededEntropy,
    is_queue: bool,
    messages_max: usize,
    now: i64,
    messages: BTreeMap<u64, &'static str>,
    last: u64,
    consumers: BTreeMap<&'static str, Consumer>,
    /// What the stream was like at its entries.
    history: Vec<(EntryIndex, u64)>,
    /// Without checkpoints the journal can tell what the stream was like at every entry.
    is_journal_enough: bool,
}

impl Run {
    fn new(seed: u64) -> Self {
        let entropy = SeededEntropy::new(seed);
        let is_queue = seed.is_multiple_of(3);
        let retention = if is_queue { "workqueue" } else { "interest" };
        let messages_max = if seed.is_multiple_of(4) {
            20
        } else {
            usize::MAX
        };
        let max_msgs = i64::try_from(messages_max).unwrap_or(-1);
        let config = format!(r#"{{"retention":"{retention}","max_msgs":{max_msgs}}}"#);
        let driver = Driver::new(&config, Timestamp::from_nanos(START));
        Self {
            driver,
            entropy,
            is_queue,
            messages_max,
            now: START,
            messages: BTreeMap::new(),
            last: 0,
            consumers: BTreeMap::new(),
            history: Vec::new(),
            is_journal_enough: seed.is_multiple_of(2),
        }
    }

    fn pick(&self, choices: usize) -> usize {
        usize::try_from(self.entropy.next_u64() % choices as u64).expect("small")
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_nanos(self.now)
    }

    fn step(&mut self) {
        match self.pick(100) {
            0..35 => self.publish(),
            35..55 => self.pull(),
            55..82 => self.acknowledge(),
            82..86 => self.now += i64::try_from(self.pick(1_500)).expect("small"),
            86..90 => self.put_consumer(),
            90..92 => self.drop_consumer(),
            92..94 => self.delete(),
            94 => self.purge(),
            95..97 if !self.is_journal_enough => self.driver.checkpoint(),
            _ => self.restart(),
        }
        self.end_turn(None);
        self.compare();
    }

    fn publish(&mut self) {
        let subject = SUBJECTS[self.pick(3)];
        let now = self.time();
        let Driver { stream, output, .. } = &mut self.driver;
        let publish = Publish {
            subject: subject.as_bytes(),
            reply: b"",
            headers: b"",
            payload: b"some payload",
        };
        stream.on_publish(now, &publish, output);
        self.last += 1;
        let mut is_wanted = self.is_queue;
        for consumer in self.consumers.values_mut() {
            if consumer.subjects.contains(subject) {
                consumer.waiting.insert(self.last, None);
                is_wanted = true;
            }
        }
        if is_wanted {
            self.messages.insert(self.last, subject);
        }
        while self.messages.len() > self.messages_max {
            let first = *self.messages.keys().next().expect("there are too many");
            self.remove(first);
        }
    }

    fn pull(&mut self) {
        let Some(name) = self.any_consumer() else {
            return;
        };
        let body = format!(r#"{{"batch":{},"no_wait":true}}"#, 1 + self.pick(5));
        let now = self.time();
        let Driver { stream, output, .. } = &mut self.driver;
        assert!(stream.on_pull(now, name, b"in", body.as_bytes(), output));
        self.end_turn(Some(name));
    }

    fn acknowledge(&mut self) {
        let Some(name) = self.any_consumer() else {
            return;
        };
        let consumer = &self.consumers[name];
        let mut candidates: Vec<u64> = consumer.waiting.keys().copied().collect();
        candidates.extend(&consumer.exhausted);
        if candidates.is_empty() {
            return;
        }
        // Several at once: they share a command.
        for _ in 0..=self.pick(4) {
            let sequence = candidates[self.pick(candidates.len())];
            let body = ["", "+ACK", "+TERM", "-NAK", "+WPI"][self.pick(5)];
            self.acknowledge_one(name, sequence, body);
        }
    }

    fn acknowledge_one(&mut self, name: &'static str, sequence: u64, body: &str) {
        let ack = AckSubject {
            stream: "S",
            consumer: name,
            delivered: 1,
            stream_seq: StreamSequence(sequence),
            consumer_seq: ConsumerSequence(1),
            timestamp: self.time(),
            pending: 0,
        };
        let now = self.time();
        let Driver { stream, output, .. } = &mut self.driver;
        stream.on_ack(now, &ack, b"", body.as_bytes(), output);
        let model = self.consumers.get_mut(name).expect("it was picked");
        let is_pending = matches!(model.waiting.get(&sequence), Some(Some(_)));
        if let Some(Some((_, deadline))) = model.waiting.get_mut(&sequence) {
            match body {
                "-NAK" => *deadline = self.now,
                "+WPI" => *deadline = self.now + ACK_WAIT,
                _ => {}
            }
        }
        if matches!(body, "-NAK" | "+WPI") {
            return;
        }
        let takes_all = model.policy == AckPolicy::All && sequence <= model.delivered;
        let done: Vec<u64> = if takes_all {
            let pending = model.waiting.range(..=sequence);
            let pending = pending.filter(|(_, delivery)| delivery.is_some());
            let exhausted = model.exhausted.range(..=sequence).copied();
            pending
                .map(|(sequence, _)| *sequence)
                .chain(exhausted)
                .collect()
        } else if model.policy == AckPolicy::Explicit
            && (is_pending || model.exhausted.contains(&sequence))
        {
            vec![sequence]
        } else {
            Vec::new()
        };
        for sequence in done {
            self.done(name, sequence);
        }
    }

    fn done(&mut self, name: &str, sequence: u64) {
        let model = self.consumers.get_mut(name).expect("it exists");
        model.waiting.remove(&sequence);
        model.exhausted.remove(&sequence);
        if self.is_queue || !self.is_wanted(sequence) {
            self.remove(sequence);
        }
    }

    fn is_wanted(&self, sequence: u64) -> bool {
        let mut consumers = self.consumers.values();
        let subject = self.messages.get(&sequence);
        subject.is_some_and(|subject| consumers.any(|one| one.wants(sequence, subject)))
    }

    fn remove(&mut self, sequence: u64) {
        self.messages.remove(&sequence);
        for consumer in self.consumers.values_mut() {
            consumer.waiting.remove(&sequence);
            consumer.exhausted.remove(&sequence);
        }
    }

    /// Removes what nobody wants, of messages with these subjects.
    fn remove_unwanted(&mut self, subjects: &BTreeSet<&'static str>) {
        if !self.is_queue {
            let all: Vec<u64> = self.messages.keys().copied().collect();
            for sequence in all {
                let may_go = subjects.contains(self.messages[&sequence]);
                if may_go && !self.is_wanted(sequence) {
                    self.remove(sequence);
                }
            }
        }
    }

    /// Creates a consumer, or changes the filters of one.
    fn put_consumer(&mut self) {
        let name = NAMES[self.pick(NAMES.len())];
        let taken: BTreeSet<&str> = self
            .consumers
            .iter()
            .filter(|(other, _)| self.is_queue && **other != name)
            .flat_map(|(_, other)| other.subjects.iter().copied())
            .collect();
        let subjects: BTreeSet<&'static str> = SUBJECTS
            .into_iter()
            .filter(|subject| self.pick(2) == 0 && !taken.contains(subject))
            .collect();
        if subjects.is_empty() {
            return;
        }
        let before = self.consumers.get(name);
        let subjects_before = before.map(|before| before.subjects.clone());
        let policies = [AckPolicy::Explicit, AckPolicy::All, AckPolicy::None];
        let picked = if self.is_queue { 0 } else { self.pick(3) };
        let policy = before.map_or(policies[picked], |before| before.policy);
        let is_volatile = before.map_or(self.pick(4) == 0, |before| before.is_volatile);
        let config = ConsumerConfig {
            durable_name: name.to_owned(),
            ack_policy: policy,
            ack_wait: Nanos(if policy == AckPolicy::None {
                0
            } else {
                ACK_WAIT
            }),
            max_deliver: i64::from(DELIVER_MAX),
            mem_storage: is_volatile,
            filter_subjects: subjects.iter().map(|&subject| subject.to_owned()).collect(),
            ..ConsumerConfig::default()
        };
        let create = CreateConsumer {
            config,
            action: everjet_api::ConsumerAction::CreateOrUpdate,
            pedantic: false,
        };
        let now = self.time();
        let Driver { stream, output, .. } = &mut self.driver;
        stream
            .create_consumer(now, create, "free".to_owned(), &mut |_| true, output)
            .expect("a legal consumer");
        let model = self.consumers.entry(name).or_insert(Consumer {
            subjects: BTreeSet::new(),
            policy,
            is_volatile,
            waiting: BTreeMap::new(),
            exhausted: BTreeSet::new(),
            delivered: 0,
        });
        model.subjects = subjects;
        let Consumer {
            subjects,
            waiting,
            delivered,
            ..
        } = model;
        // What it was given is still its own, of what comes only the new subjects are.
        waiting.retain(|_, delivery| delivery.is_some());
        for (sequence, subject) in self.messages.range(*delivered + 1..) {
            if subjects.contains(subject) {
                waiting.insert(*sequence, None);
            }
        }
        self.remove_unwanted(&subjects_before.unwrap_or_default());
    }

    fn drop_consumer(&mut self) {
        let Some(name) = self.any_consumer() else {
            return;
        };
        let now = self.time();
        let Driver { stream, output, .. } = &mut self.driver;
        stream
            .delete_consumer(now, name, output)
            .expect("it exists");
        let gone = self.consumers.remove(name).expect("it was picked");
        if self.consumers.is_empty() {
            self.remove_unwanted(&SUBJECTS.into());
        } else {
            self.remove_unwanted(&gone.subjects);
        }
    }

    fn delete(&mut self) {
        let sequence = 1 + self.pick(usize::try_from(self.last).expect("small") + 2) as u64;
        let now = self.time();
        let Driver { stream, output, .. } = &mut self.driver;
        let deleted = stream.delete_message(now, StreamSequence(sequence), true, output);
        assert_eq!(deleted.is_ok(), self.messages.contains_key(&sequence));
        self.remove(sequence);
    }

    fn purge(&mut self) {
        let subject = SUBJECTS[self.pick(3)];
        let request = PurgeRequest {
            filter: subject.to_owned(),
            ..PurgeRequest::default()
        };
        let now = self.time();
        let Driver { stream, output, .. } = &mut self.driver;
        stream.purge(now, &request, output).expect("a legal purge");
        let all = self.messages.iter();
        let going: Vec<u64> = all
            .filter(|(_, of)| **of == subject)
            .map(|(sequence, _)| *sequence)
            .collect();
        for sequence in going {
            self.remove(sequence);
        }
    }

    fn restart(&mut self) {
        let had_volatile = self.consumers.values().any(|one| one.is_volatile);
        let (before, after) = self.driver.restart(self.time());
        if had_volatile {
            self.consumers.retain(|_, one| !one.is_volatile);
            let left = self.consumers.values();
            let held = left.flat_map(|one| one.subjects.iter().copied()).collect();
            self.remove_unwanted(&held);
        } else {
            assert_eq!(before, after, "a restart changed the state");
        }
    }

    fn any_consumer(&self) -> Option<&'static str> {
        let names: Vec<&'static str> = self.consumers.keys().copied().collect();
        (!names.is_empty()).then(|| names[self.pick(names.len())])
    }

    /// Fires timers, polls and journals. Only `puller` may get something.
    fn end_turn(&mut self, puller: Option<&'static str>) {
        let now = self.time();
        let Driver { stream, output, .. } = &mut self.driver;
        stream.on_durable(stream.store().last_sequence());
        for _ in 0..100 {
            if stream.next_timer().is_none_or(|at| at > now) {
                break;
            }
            stream.on_timer(now, &mut |_| true, output);
        }
        for model in self.consumers.values_mut() {
            let is_over = |delivery: &Option<(u32, i64)>| {
                delivery
                    .is_some_and(|(count, deadline)| count >= DELIVER_MAX && deadline <= self.now)
            };
            let all = model.waiting.iter();
            let over: Vec<u64> = all
                .filter(|(_, delivery)| is_over(delivery))
                .map(|(sequence, _)| *sequence)
                .collect();
            for sequence in over {
                model.waiting.remove(&sequence);
                model.exhausted.insert(sequence);
            }
        }
        stream.poll(now, &mut |_| true, output, 100, Reads::Blocking);
        self.driver.commit();
        let mut delivered = Vec::new();
        for outgoing in self.driver.output.sends.iter() {
            if let Outgoing::Delivery { ack_reply, .. } = outgoing {
                let ack = AckSubject::parse(ack_reply).expect("an acknowledgement subject");
                assert_eq!(Some(ack.consumer), puller, "nobody else asked");
                delivered.push((ack.stream_seq.0, ack.delivered));
            }
        }
        self.driver.output.clear();
        for (sequence, count) in delivered {
            self.on_delivery(puller.expect("checked above"), sequence, count);
        }
    }

    fn on_delivery(&mut self, name: &'static str, sequence: u64, count: u64) {
        assert!(self.messages.contains_key(&sequence), "{sequence} is gone");
        let model = self.consumers.get_mut(name).expect("it asked");
        let waiting = model.waiting.get(&sequence);
        let before = waiting.unwrap_or_else(|| panic!("{name} was done with {sequence}"));
        let count_before = before.map_or(0, |(count, _)| count);
        assert_eq!(count, u64::from(count_before) + 1, "{name} {sequence}");
        model.delivered = model.delivered.max(sequence);
        if model.policy == AckPolicy::None {
            self.done(name, sequence);
        } else {
            let delivery = (count_before + 1, self.now + ACK_WAIT);
            model.waiting.insert(sequence, Some(delivery));
        }
    }

    fn compare(&mut self) {
        let store = self.driver.stream.store();
        let everything = store.select(&[]);
        let mut stored = Vec::new();
        let mut next = store.next_match(&everything, StreamSequence(1));
        while let Some(sequence) = next {
            stored.push(sequence.0);
            next = store.next_match(&everything, sequence.next());
        }
        let expected: Vec<u64> = self.messages.keys().copied().collect();
        assert_eq!(stored, expected, "what is stored");
        assert_eq!(store.last_sequence().0, self.last);
        for (name, model) in &self.consumers {
            let now = Timestamp::from_nanos(self.now);
            let info = self.driver.stream.consumer_info(now, name);
            let info = info.expect("the consumer lives");
            let pending = model.waiting.values().filter(|one| one.is_some()).count();
            assert_eq!(info.num_ack_pending, pending as u64, "{name}");
            let left = model.waiting.len() - pending;
            assert_eq!(info.num_pending, left as u64, "{name}");
        }
        if self.is_journal_enough {
            let stream = &self.driver.stream;
            self.history.push((stream.entry(), stream.digest()));
        }
    }

    /// Whatever entry the journal ends with, the stream is what it was then.
    fn check_every_end(&mut self) {
        let history: BTreeMap<_, _> = std::mem::take(&mut self.history).into_iter().collect();
        let mut seen = 0;
        self.driver.recover_watched(EntryIndex(u64::MAX), |stream| {
            if let Some(digest) = history.get(&stream.entry()) {
                assert_eq!(stream.digest(), *digest, "at {}", stream.entry());
                seen += 1;
            }
        });
        // All but the one before the first entry.
        assert!(seen + 1 >= history.len(), "{seen} of {}", history.len());
    }
}

#[test]
fn retention_does_what_the_model_does() {
    for seed in 0..30 {
        let result = std::panic::catch_unwind(|| {
            let mut run = Run::new(seed);
            for _ in 0..250 {
                run.step();
            }
            run.check_every_end();
        });
        assert!(result.is_ok(), "seed {seed}");
    }
}
