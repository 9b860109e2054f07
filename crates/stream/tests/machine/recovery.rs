//! The same entries give the same state: from any checkpoint, up to any entry, and damaged records do no harm.

use std::collections::BTreeMap;

use everjet_api::{AckSubject, ConsumerAction, ConsumerConfig, PurgeRequest};
use everjet_store::{ReadError, StreamId};
use everjet_stream::{CreateConsumer, Publish, PurgeProgress, Reads, Stream};
use everjet_values::{
    ConsumerSequence, Entropy, EntryIndex, SeededEntropy, StreamSequence, Timestamp,
};
use everjet_wire::HeaderBuilder;

use crate::driver::Driver;

const START: i64 = 1_000_000_000_000_000_000;

/// Random work of every kind on one stream.
struct Work {
    driver: Driver,
    entropy: SeededEntropy,
    now: i64,
}

impl Work {
    fn new(seed: u64, config: &str) -> Self {
        Self {
            driver: Driver::new(config, Timestamp::from_nanos(START)),
            entropy: SeededEntropy::new(seed),
            now: START,
        }
    }

    fn pick(&self, choices: u64) -> u64 {
        self.entropy.next_u64() % choices
    }

    fn step(&mut self) {
        self.now += i64::try_from(self.pick(400_000_000)).expect("small");
        let now = Timestamp::from_nanos(self.now);
        let name = format!("c{}", self.pick(3));
        let any = StreamSequence(1 + self.pick(self.driver.stream.store().last_sequence().0 + 2));
        let kind = self.pick(100);
        let (choice, small) = (self.pick(4), self.pick(7));
        let Driver { stream, output, .. } = &mut self.driver;
        match kind {
            0..45 => publish(stream, now, choice, small, output),
            45..60 => {
                stream.on_pull(now, &name, b"in", b"{\"batch\":3,\"no_wait\":true}", output);
            }
            60..80 => {
                let body: &[u8] =
                    [&b""[..], b"-NAK", b"+WPI", b"+TERM"][usize::try_from(choice).expect("small")];
                let ack = AckSubject {
                    stream: "S",
                    consumer: &name,
                    delivered: 1,
                    stream_seq: any,
                    consumer_seq: ConsumerSequence(1),
                    timestamp: now,
                    pending: 0,
                };
                stream.on_ack(now, &ack, b"", body, output);
            }
            80..88 => {
                let config = format!(
                    r#"{{"durable_name":"{name}","ack_policy":"explicit","ack_wait":1000000000,"max_deliver":3,"description":"{small}"}}"#
                );
                let config: ConsumerConfig = serde_json::from_str(&config).expect("legal");
                let create = CreateConsumer {
                    config,
                    action: ConsumerAction::CreateOrUpdate,
                    pedantic: false,
                };
                let free = "free".to_owned();
                let _ = stream.create_consumer(now, create, free, &mut |_| true, output);
            }
            88..90 => {
                let _ = stream.delete_consumer(now, &name, output);
            }
            90..94 => {
                let _ = stream.delete_message(now, any, true, output);
            }
            94..96 => {
                let request = PurgeRequest {
                    filter: "s.1".to_owned(),
                    keep: small,
                    ..PurgeRequest::default()
                };
                if choice < 2 {
                    let _ = stream.begin_purge(now, &request, None, output);
                } else {
                    let _ = stream.purge(now, &request, output);
                }
            }
            96..98 => {
                let mut config = stream.config().clone();
                config.max_msgs = 10 + i64::try_from(small).expect("small");
                let _ = stream.update(now, config, output);
            }
            _ => stream.on_timer(now, &mut |_| true, output),
        }
        if choice == 3 {
            stream.continue_purge(now, 2, output);
        }
        stream.on_durable(stream.store().last_sequence());
        stream.poll(now, &mut |_| true, output, 100, Reads::Blocking);
        self.driver.commit();
        self.driver.output.clear();
    }

    /// Ends the purge that was begun, if any.
    fn end_purge(&mut self) {
        let now = Timestamp::from_nanos(self.now);
        let Driver { stream, output, .. } = &mut self.driver;
        while stream.continue_purge(now, 2, output) == PurgeProgress::Going {}
        self.driver.commit();
        self.driver.output.clear();
    }
}

fn publish(
    stream: &mut Stream,
    now: Timestamp,
    subject: u64,
    id: u64,
    output: &mut everjet_stream::Output,
) {
    let headers = HeaderBuilder::new()
        .add("Nats-Msg-Id", id.to_string())
        .finish();
    let subject = format!("s.{subject}");
    let publish = Publish {
        subject: subject.as_bytes(),
        reply: b"reply",
        headers: if id < 4 { &headers } else { b"" },
        payload: b"payload",
    };
    stream.on_publish(now, &publish, output);
}

const CONFIGS: [&str; 3] = [
    "{}",
    r#"{"max_msgs":12,"duplicate_window":1000000000}"#,
    r#"{"max_msgs_per_subject":3,"max_age":3000000000,"duplicate_window":1000000000}"#,
];

#[test]
fn every_prefix_of_the_journal_gives_the_state_of_its_last_entry() {
    for seed in 0..6 {
        let config = CONFIGS[usize::try_from(seed % 3).expect("small")];
        let mut work = Work::new(seed, config);
        let mut digests = BTreeMap::new();
        let mut from = 0;
        for step in 0..160 {
            work.step();
            digests.insert(work.driver.stream.entry().0, work.driver.stream.digest());
            if step == 60 && seed % 2 == 0 {
                work.driver.checkpoint();
                from = work.driver.stream.entry().0;
            }
        }
        assert!(digests.len() > 50, "the work changes something");
        for (entry, digest) in digests.range(from..).step_by(3) {
            work.driver.recover(EntryIndex(*entry));
            let recovered = work.driver.stream.digest();
            assert_eq!(recovered, *digest, "seed {seed} entry {entry}");
        }
    }
}

#[test]
fn a_restart_at_any_moment_changes_nothing() {
    for seed in 100..115 {
        let config = CONFIGS[usize::try_from(seed % 3).expect("small")];
        let mut work = Work::new(seed, config);
        for _ in 0..400 {
            work.step();
            match work.pick(20) {
                0 => work.driver.checkpoint(),
                1 => {
                    // A restart finishes it, which is a change.
                    work.end_purge();
                    let (before, after) = work.driver.restart(Timestamp::from_nanos(work.now));
                    assert_eq!(before, after, "seed {seed}");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_checkpoint_holds_what_has_no_record_yet() {
    let mut work = Work::new(1, "{}");
    let now = Timestamp::from_nanos(START);
    let config = r#"{"durable_name":"c","ack_policy":"explicit"}"#;
    let create = CreateConsumer {
        config: serde_json::from_str(config).expect("legal"),
        action: ConsumerAction::Create,
        pedantic: false,
    };
    let Driver { stream, output, .. } = &mut work.driver;
    publish(stream, now, 1, 9, output);
    stream
        .create_consumer(now, create, "free".to_owned(), &mut |_| true, output)
        .expect("legal");
    assert!(stream.on_pull(now, "c", b"in", b"", output));
    stream.on_durable(StreamSequence(1));
    stream.poll(now, &mut |_| true, output, 100, Reads::Blocking);
    let delivered = stream.entry();
    let ack = AckSubject {
        stream: "S",
        consumer: "c",
        delivered: 1,
        stream_seq: StreamSequence(1),
        consumer_seq: ConsumerSequence(1),
        timestamp: now,
        pending: 0,
    };
    stream.on_ack(now, &ack, b"", b"", output);
    assert_eq!(stream.entry(), delivered, "the turn has not ended");
    work.driver.commit();
    work.driver.checkpoint();
    assert_eq!(work.driver.stream.entry(), delivered.next());
    let Driver { stream, output, .. } = &mut work.driver;
    publish(stream, now, 1, 9, output);
    stream.poll(now, &mut |_| true, output, 100, Reads::Blocking);
    assert_eq!(
        output.journal.len(),
        2,
        "the acknowledgement and the message"
    );
    work.driver.commit();
    let (before, after) = work.driver.restart(now);
    assert_eq!(before, after);
}

#[test]
fn records_of_the_past_are_left_out_and_gaps_are_refused() {
    let mut work = Work::new(1, "{}");
    for _ in 0..50 {
        work.step();
    }
    let stream = &mut work.driver.stream;
    let (entry, digest) = (stream.entry(), stream.digest());
    assert_eq!(stream.replay(entry, 1, b"nonsense"), Ok(()));
    assert!(stream.replay(entry.next().next(), 9, b"\x01").is_err());
    assert_eq!(stream.digest(), digest);
}

#[test]
fn behind_a_gap_messages_are_salvaged_and_no_sequence_is_used_twice() {
    let mut work = Work::new(1, "{}");
    for _ in 0..50 {
        work.step();
    }
    let stream = &mut work.driver.stream;
    let (entry, last) = (stream.entry(), stream.store().last_sequence());
    // Time, sequence (up to 127), subject, no headers, payload: the body of kind 1.
    let published = |sequence: u64| {
        let sequence = u8::try_from(sequence).unwrap();
        assert!(sequence < 128);
        [
            &work.now.to_le_bytes()[..],
            &[sequence],
            b"\x03s.x\x00payload",
        ]
        .concat()
    };
    // Of the four entries that are missing, two were messages.
    let behind = EntryIndex(entry.0 + 5);
    assert!(stream.salvage(behind, 1, &published(last.0 + 3)));
    assert_eq!(stream.store().last_sequence().0, last.0 + 3);
    assert!(stream.store().get(StreamSequence(last.0 + 3)).is_ok());
    for missing in [last.0 + 1, last.0 + 2] {
        let read = stream.store().get(StreamSequence(missing));
        assert!(matches!(read, Err(ReadError::Damaged { .. })), "{read:?}");
    }
    // Removals build on what is missing.
    assert!(!stream.salvage(behind.next(), 7, b"\x01"));
    let later = behind.next().next();
    assert!(!stream.salvage(later, 1, &published(last.0 + 3)));
    assert!(stream.salvage(later.next(), 1, &published(last.0 + 4)));
    assert_eq!(stream.store().last_sequence().0, last.0 + 4);
}

#[test]
fn records_that_are_not_ours_never_panic() {
    let entropy = SeededEntropy::new(9);
    let mut refused = 0;
    for seed in 0..60 {
        let mut work = Work::new(seed, "{}");
        for _ in 0..30 {
            work.step();
        }
        let stream = &mut work.driver.stream;
        for _ in 0..200 {
            let kind = u8::try_from(entropy.next_u64() % 13).expect("small");
            let length = usize::try_from(entropy.next_u64() % 24).expect("small");
            let mask = if entropy.next_u64().is_multiple_of(2) {
                0x0f
            } else {
                0xff
            };
            let random = |_| entropy.next_u64().to_le_bytes()[0] & mask;
            let body: Vec<u8> = (0..length).map(random).collect();
            refused += usize::from(stream.replay(stream.entry().next(), kind, &body).is_err());
        }
        stream.lead(Timestamp::from_nanos(work.now));
        let output = &mut work.driver.output;
        let now = Timestamp::from_nanos(work.now);
        stream.poll(now, &mut |_| true, output, 100, Reads::Blocking);
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn a_damaged_snapshot_costs_one_consumer_and_not_the_stream() {
    let mut work = Work::new(5, "{}");
    while work.driver.stream.consumer_names().is_empty() {
        work.step();
    }
    let mut checkpoint = work.driver.stream.checkpoint();
    let snapshot = checkpoint.consumers.first_mut().expect("a consumer");
    snapshot.bytes.truncate(5);
    let name = snapshot.name.clone();
    let config = checkpoint.config.clone();
    let store = everjet_store::StreamStore::in_memory(everjet_store::StoreOptions::default());
    let created = Timestamp::from_nanos(START);
    let (consumers, entry) = (&checkpoint.consumers, checkpoint.entry);
    let (stream, lost) = Stream::recover(StreamId(1), config, created, store, consumers, entry);
    assert_eq!(lost, std::slice::from_ref(&name));
    assert_eq!(stream.entry(), entry);
    assert!(!stream.consumer_names().contains(&name.as_str()));
}
