//! The machine of a stream, fed with what clients send it: messages, acknowledgements, pull requests and API bodies.

use std::path::PathBuf;
use std::time::Duration;

use everjet_api::{
    AckSubject, ConsumerCreateRequest, ConsumerPauseRequest, ConsumerResetRequest, MsgGetRequest,
    PurgeRequest, StreamCreateRequest, StreamInfoRequest, decode_lenient,
};
use everjet_store::{SimDisk, StoreOptions, StreamId, StreamStore, fuzzing};
use everjet_stream::{
    CreateConsumer, Outgoing, Output, Publish, Reads, ServerLimits, Stream, normalise_config,
    normalise_update,
};
use everjet_values::{ConsumerSequence, EntryIndex, StreamSequence, Timestamp};

const START: Timestamp = Timestamp::from_nanos(1_000_000_000_000_000_000);
/// How long a run lasts at most: 146 years.
const LONGEST: Duration = Duration::from_nanos(1 << 62);
/// More turns than an input of some kilobytes can need.
const POLLS_MAX: usize = 10_000;

/// Nothing a client says makes the machine stop, loop or deliver what it should not; and what it journaled makes the same
/// stream again.
///
/// Parts are divided by zero bytes. The first is the configuration of the stream, every other an event: one letter that says
/// which, and what the client sent.
pub fn check_stream(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0);
    let config = parts.next().unwrap_or_default();
    let mut config = decode_lenient::<StreamCreateRequest>(config).unwrap_or_default();
    config.config.name = "S".to_owned();
    if config.config.subjects.is_empty() {
        config.config.subjects = vec!["s.>".to_owned()];
    }
    let Ok(config) = normalise_config(config.config, config.pedantic, &ServerLimits::default())
    else {
        return;
    };
    let mut run = Run::new(config);
    for part in parts.take(200) {
        let Some((event, body)) = part.split_first() else {
            continue;
        };
        run.take(*event, body);
        run.settle();
    }
    run.check_replay();
}

struct Run {
    stream: Stream,
    config: everjet_api::StreamConfig,
    now: Timestamp,
    output: Output,
    records: Vec<(EntryIndex, u8, Vec<u8>)>,
}

impl Run {
    fn new(config: everjet_api::StreamConfig) -> Self {
        Self {
            stream: Stream::create(StreamId(7), config.clone(), START, store(&config)),
            config,
            now: START,
            output: Output::new(),
            records: Vec::new(),
        }
    }

    fn take(&mut self, event: u8, body: &[u8]) {
        let (now, out) = (self.now, &mut self.output);
        match event {
            b'p' => {
                // The machine is asked only about what is published to its subjects.
                let mut fields = body.splitn(3, |byte| *byte == b'|');
                let mut field = || fields.next().unwrap_or_default();
                let (subject, headers, payload) = (field(), field(), field());
                let is_ours =
                    |filter: &String| everjet_subject::matches(filter.as_bytes(), subject);
                if self.stream.config().subjects.iter().any(is_ours) {
                    let publish = Publish {
                        subject,
                        reply: b"_INBOX.p",
                        headers,
                        payload,
                    };
                    self.stream.on_publish(now, &publish, out);
                }
            }
            b'a' => self.acknowledge(body),
            b'A' => {
                let (subject, body) = split(body, b'|');
                if let Some(ack) = AckSubject::parse(subject) {
                    self.stream.on_ack(now, &ack, b"_INBOX.a", body, out);
                }
            }
            b'n' => {
                self.stream.on_pull(now, "c", b"_INBOX.n", body, out);
            }
            b'f' => {
                let (name, headers) = split(body, b'|');
                self.stream.on_flow_control(now, "c", name, headers, out);
            }
            b'R' => {
                if let Ok(request) = decode_lenient::<ConsumerResetRequest>(body) {
                    let _ = self.stream.reset_consumer(now, "c", request.seq, out);
                }
            }
            b'P' => {
                if let Ok(request) = decode_lenient::<ConsumerPauseRequest>(body) {
                    let until = request.pause_until;
                    let _ = self.stream.pause_consumer(now, "c", until, out);
                }
            }
            b'U' => {
                let _ = self
                    .stream
                    .unpin_consumer("c", &String::from_utf8_lossy(body));
            }
            b'c' => {
                if let Ok(mut request) = decode_lenient::<ConsumerCreateRequest>(body) {
                    request.config.name = "c".to_owned();
                    if !request.config.durable_name.is_empty() {
                        request.config.durable_name = "c".to_owned();
                    }
                    let request = CreateConsumer {
                        config: request.config,
                        action: request.action,
                        pedantic: request.pedantic,
                    };
                    let name = "free".to_owned();
                    let _ = self
                        .stream
                        .create_consumer(now, request, name, &mut is_wanted, out);
                }
            }
            b'd' => {
                let _ = self.stream.delete_consumer(now, "c", out);
            }
            b'x' => {
                if let Ok(request) = decode_lenient::<PurgeRequest>(body) {
                    let _ = self.stream.purge(now, &request, out);
                }
            }
            b'X' => {
                if let Ok(request) = decode_lenient::<PurgeRequest>(body) {
                    let _ = self.stream.begin_purge(now, &request, None, out);
                }
            }
            b'y' => {
                self.stream.continue_purge(now, body.len(), out);
            }
            b'm' => {
                let sequence = StreamSequence(digits(body));
                let _ = self.stream.delete_message(now, sequence, true, out);
            }
            b'g' => {
                if let Ok(request) = decode_lenient::<MsgGetRequest>(body) {
                    let _ = self.stream.message(&request);
                }
            }
            b'i' => {
                if let Ok(request) = decode_lenient::<StreamInfoRequest>(body) {
                    let info = self.stream.info(now, &request);
                    serde_json::to_vec(&info).expect("an answer has string keys");
                }
                if let Ok(info) = self.stream.consumer_info(now, "c") {
                    serde_json::to_vec(&info).expect("an answer has string keys");
                }
            }
            b'u' => self.update(body),
            b't' => {
                let step = 1_u64 << (digits(body) % 62);
                // Not to the end of time, where nothing is later than anything else.
                self.now = now
                    .plus(Duration::from_nanos(step))
                    .min(START.plus(LONGEST));
                self.stream
                    .on_timer(self.now, &mut is_wanted, &mut self.output);
            }
            _ => {}
        }
    }

    /// `<sequence> <body>`.
    fn acknowledge(&mut self, body: &[u8]) {
        let (sequence, body) = split(body, b' ');
        let ack = AckSubject {
            stream: "S",
            consumer: "c",
            delivered: 1,
            stream_seq: StreamSequence(digits(sequence)),
            consumer_seq: ConsumerSequence(1),
            timestamp: START,
            pending: 0,
        };
        let reply: &[u8] = if body.len() % 2 == 0 {
            b""
        } else {
            b"_INBOX.a"
        };
        self.stream
            .on_ack(self.now, &ack, reply, body, &mut self.output);
    }

    fn update(&mut self, body: &[u8]) {
        let Ok(mut request) = decode_lenient::<StreamCreateRequest>(body) else {
            return;
        };
        request.config.name = "S".to_owned();
        request.config.storage = self.config.storage;
        if request.config.subjects.is_empty() {
            request.config.subjects = self.config.subjects.clone();
        }
        let limits = ServerLimits::default();
        if let Ok(config) = normalise_update(request.config, request.pedantic, &limits) {
            let _ = self.stream.update(self.now, config, &mut self.output);
        }
    }

    /// Ends a turn as a driver does: delivers until nothing is left to do.
    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < POLLS_MAX, "deliveries without end");
            let (now, out) = (self.now, &mut self.output);
            let polled = self
                .stream
                .poll(now, &mut is_wanted, out, 16, Reads::Blocking);
            self.commit();
            if polled == everjet_stream::Polled::Idle {
                break;
            }
        }
        self.stream.on_durable(self.stream.store().last_sequence());
    }

    fn commit(&mut self) {
        for sent in self.output.sends.iter() {
            match sent {
                Outgoing::Delivery { ack_reply, to, .. } => {
                    assert!(!to.is_empty());
                    let ack = AckSubject::parse(ack_reply);
                    assert!(ack.is_some() || ack_reply.is_empty());
                }
                // A pull request without reply subject is answered to nobody.
                Outgoing::Status { headers, .. } => assert!(headers.ends_with(b"\r\n\r\n")),
            }
        }
        let records = &mut self.records;
        fuzzing::visit_records(&self.output.journal, |entry, kind, body| {
            records.push((entry, kind, body.to_vec()));
        });
        self.output.clear();
    }

    fn check_replay(&mut self) {
        if self.config.storage == everjet_api::Storage::Memory {
            return;
        }
        let config = self.config.clone();
        let store = store(&config);
        let mut again = Stream::create(StreamId(7), config, START, store);
        for (entry, kind, body) in &self.records {
            let replayed = again.replay(*entry, *kind, body);
            assert_eq!(replayed, Ok(()), "entry {entry:?} of kind {kind}");
        }
        assert_eq!(again.digest(), self.stream.digest());
    }
}

/// Records of the journal that no stream has written: refused or applied, without harm. Parts are divided by bytes 254;
/// the first byte of each is the kind.
pub fn check_replay_records(data: &[u8]) {
    let config = everjet_api::StreamConfig {
        name: "S".to_owned(),
        subjects: vec!["s.>".to_owned()],
        ..everjet_api::StreamConfig::default()
    };
    let config = normalise_config(config, false, &ServerLimits::default()).expect("legal");
    let store = store(&config);
    let mut stream = Stream::create(StreamId(7), config, START, store);
    for part in data.split(|byte| *byte == 0xFE).take(100) {
        let Some((kind, body)) = part.split_first() else {
            continue;
        };
        let entry = stream.entry().next();
        if stream.replay(entry, kind % 10, body).is_err() {
            break;
        }
        assert_eq!(stream.entry(), entry);
    }
    stream.lead(START);
    let _ = stream.poll(
        START,
        &mut is_wanted,
        &mut Output::new(),
        16,
        Reads::Blocking,
    );
}

fn store(config: &everjet_api::StreamConfig) -> StreamStore {
    let options = StoreOptions {
        segment_bytes_max: 4096,
        tail_bytes_max: 2048,
        checkpoint_messages_min: 1,
        chunk_bytes: 1024,
    };
    if config.storage == everjet_api::Storage::Memory {
        return StreamStore::in_memory(options);
    }
    let folder = PathBuf::from("store/S");
    StreamStore::on_disk(
        SimDisk::new().shared(),
        folder,
        StreamId(7),
        &config.name,
        options,
    )
}

/// Everybody listens to everything; there is nobody where no subject is.
fn is_wanted(subject: &[u8]) -> bool {
    !subject.is_empty()
}

fn split(bytes: &[u8], at: u8) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == at) {
        Some(place) => (&bytes[..place], &bytes[place + 1..]),
        None => (bytes, &[]),
    }
}

/// A decimal number at the front, the largest when it does not fit.
fn digits(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_u64, |number, byte| {
            number
                .saturating_mul(10)
                .saturating_add(u64::from(byte - b'0'))
        })
}
