//! Transcripts: commands after `>`, and what they must print below them.
//!
//! Blank lines and lines that begin with `#` are for the reader. The clock stands at 0 and moves with `wait`.
//!
//! ```text
//! > stream {"max_msgs":2}                 the stream S on s.>, fresh
//! > pub s.a hello Nats-Msg-Id=1;A=b       with reply; `put` is without, `pub@in` to another one
//! > consumer {"durable_name":"c"}         `consumer create {...}` and `consumer update {...}` name the action
//! > pull c {"batch":2}                    the reply subject is `in`; `pull c@box` names another one
//! > ack c 3 -NAK 1s                       acknowledges message 3; `ack! ` waits for an answer
//! > fc $JS.FC.S.c.xxxx                    answers a flow control request
//! > wait 5s                               timers fire one by one
//! > leave in   > join in                  nobody, somebody subscribes to `in`
//! > hold       > durable                  published messages stay undurable; make them durable
//! > checkpoint > restart                  restart prints nothing, and fails when the state changed by it; kill does not
//! > info c  > state  > get {...} > purge {...} > delete 3 > update {...} > drop c > shutdown
//! ```

use std::collections::BTreeSet;
use std::fmt::Write;

use everjet_api::{
    AckSubject, ApiError, ConsumerAction, PurgeRequest, StreamConfig, StreamInfoRequest,
};
use everjet_store::Lookup;
use everjet_stream::{
    CreateConsumer, Effect, Outgoing, Polled, Publish, Reads, ServerLimits, normalise_update,
};
use everjet_values::{ConsumerSequence, StreamSequence, Timestamp, parse_duration};
use everjet_wire::HeaderBuilder;

use crate::driver::Driver;

/// Runs a transcript and compares what it prints.
#[track_caller]
pub(crate) fn check(transcript: &str) {
    let mut script = Script::new();
    let mut shown = String::new();
    let mut wanted = String::new();
    for line in transcript.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        writeln!(wanted, "{line}").expect("memory");
        if let Some(command) = line.strip_prefix("> ") {
            writeln!(shown, "{line}").expect("memory");
            for line in script.run(command).lines() {
                writeln!(shown, "{}", line.trim_end()).expect("memory");
            }
        }
    }
    assert_eq!(shown, wanted, "\n--- shown:\n{shown}--- wanted:\n{wanted}");
}

struct Script {
    driver: Driver,
    now: Timestamp,
    absent: BTreeSet<Vec<u8>>,
    holds: bool,
    shown: String,
}

const START: i64 = 1_000_000_000_000_000_000;

impl Script {
    fn new() -> Self {
        let now = Timestamp::from_nanos(START);
        Self {
            driver: Driver::new("{}", now),
            now,
            absent: BTreeSet::new(),
            holds: false,
            shown: String::new(),
        }
    }

    fn run(&mut self, command: &str) -> String {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        match verb {
            "stream" => self.driver = Driver::new(rest, self.now),
            "pub" => self.publish(rest, b"reply"),
            "put" => self.publish(rest, b""),
            at if at.starts_with("pub@") => self.publish(rest, &at.as_bytes()[4..]),
            "consumer" => self.consumer(rest),
            "pull" => self.pull(rest),
            "ack" => self.ack(rest, b""),
            "ack!" => self.ack(rest, b"acker"),
            "fc" => self.flow_control(rest),
            "wait" => self.wait(rest),
            "leave" => {
                self.absent.insert(rest.as_bytes().to_vec());
                self.driver.stream.on_interest(rest.as_bytes());
            }
            "join" => {
                self.absent.remove(rest.as_bytes());
                self.driver.stream.on_interest(rest.as_bytes());
            }
            "hold" => self.holds = true,
            "durable" => self.holds = false,
            "checkpoint" => self.driver.checkpoint(),
            "restart" => {
                let (before, after) = self.driver.restart(self.now);
                assert_eq!(before, after, "a restart changed the state");
            }
            "kill" => {
                self.driver.restart(self.now);
            }
            "info" => self.info(rest),
            "state" => self.state(),
            "get" => self.get(rest),
            "purge" => self.purge(rest),
            "delete" => self.delete(rest),
            "update" => self.update(rest),
            "drop" => {
                let Driver { stream, output, .. } = &mut self.driver;
                let dropped = stream.delete_consumer(self.now, rest, output);
                self.show_result(dropped, |()| "dropped".to_owned());
            }
            "reset" => self.reset(rest),
            "pause" => self.pause(rest),
            "unpin" => {
                let (name, group) = rest.split_once(' ').expect("a consumer and a group");
                let unpinned = self.driver.stream.unpin_consumer(name, group);
                self.show_result(unpinned, |()| "unpinned".to_owned());
            }
            "shutdown" => {
                let Driver { stream, output, .. } = &mut self.driver;
                stream.shutdown(self.now, output);
            }
            _ => panic!("unknown command {command:?}"),
        }
        self.end_turn();
        std::mem::take(&mut self.shown)
    }

    fn publish(&mut self, rest: &str, reply: &[u8]) {
        let mut words = rest.split(' ');
        let subject = words.next().expect("a subject");
        let payload = words.next().unwrap_or("");
        let headers = words.next().map_or_else(Vec::new, |fields| {
            let fields = fields.split(';').map(|field| field.split_once('='));
            let mut builder = HeaderBuilder::new();
            for (name, value) in fields.map(|field| field.expect("Name=value")) {
                builder.push(name, value);
            }
            builder.finish()
        });
        assert_eq!(words.next(), None, "headers are joined with semicolons");
        let Driver { stream, output, .. } = &mut self.driver;
        let publish = Publish {
            subject: subject.as_bytes(),
            reply,
            headers: &headers,
            payload: payload.as_bytes(),
        };
        stream.on_publish(self.now, &publish, output);
    }

    fn consumer(&mut self, rest: &str) {
        let (action, json) = match rest.split_once(' ') {
            Some(("create", json)) => (ConsumerAction::Create, json),
            Some(("update", json)) => (ConsumerAction::Update, json),
            _ => (ConsumerAction::CreateOrUpdate, rest),
        };
        let create = CreateConsumer {
            config: serde_json::from_str(json).expect("a configuration"),
            action,
            pedantic: false,
        };
        let absent = &self.absent;
        let Driver { stream, output, .. } = &mut self.driver;
        let created = stream.create_consumer(
            self.now,
            create,
            "free".to_owned(),
            &mut |subject| !absent.contains(subject),
            output,
        );
        self.show_result(created, |info| {
            format!(
                "consumer {} from {} with {}",
                info.name,
                info.delivered.stream_seq.next(),
                info.num_pending
            )
        });
    }

    fn reset(&mut self, rest: &str) {
        let (name, sequence) = rest.split_once(' ').unwrap_or((rest, "0"));
        let sequence = sequence.parse().expect("a number");
        let Driver { stream, output, .. } = &mut self.driver;
        let reset = stream.reset_consumer(self.now, name, sequence, output);
        self.show_result(reset, |answer| {
            format!("at {} with {}", answer.reset_seq, answer.info.num_pending)
        });
    }

    fn pause(&mut self, rest: &str) {
        let (name, length) = rest.split_once(' ').unwrap_or((rest, "0s"));
        let until = self.now.plus(parse_duration(length).expect("a duration"));
        let Driver { stream, output, .. } = &mut self.driver;
        let paused = stream.pause_consumer(self.now, name, Some(until), output);
        self.show_result(paused, |answer| format!("paused {}", answer.paused));
    }

    fn pull(&mut self, rest: &str) {
        let (name, body) = rest.split_once(' ').unwrap_or((rest, ""));
        let (name, reply) = name.split_once('@').unwrap_or((name, "in"));
        let Driver { stream, output, .. } = &mut self.driver;
        let known = stream.on_pull(self.now, name, reply.as_bytes(), body.as_bytes(), output);
        if !known {
            self.shown.push_str("no such consumer\n");
        }
    }

    fn ack(&mut self, rest: &str, reply: &[u8]) {
        let mut parts = rest.splitn(3, ' ');
        let consumer = parts.next().expect("a consumer");
        let sequence = parts.next().expect("a sequence").parse().expect("a number");
        let body = parts.next().unwrap_or("");
        let ack = AckSubject {
            stream: "S",
            consumer,
            delivered: 1,
            stream_seq: StreamSequence(sequence),
            consumer_seq: ConsumerSequence(1),
            timestamp: self.now,
            pending: 0,
        };
        let Driver { stream, output, .. } = &mut self.driver;
        stream.on_ack(self.now, &ack, reply, body.as_bytes(), output);
    }

    fn flow_control(&mut self, subject: &str) {
        let consumer = subject.split('.').nth(3).expect("a consumer");
        let Driver { stream, output, .. } = &mut self.driver;
        stream.on_flow_control(self.now, consumer, subject.as_bytes(), b"", output);
    }

    fn wait(&mut self, rest: &str) {
        let until = self.now.plus(parse_duration(rest).expect("a duration"));
        for _ in 0..10_000 {
            let Some(at) = self.driver.stream.next_timer().filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(at);
            let absent = &self.absent;
            let Driver { stream, output, .. } = &mut self.driver;
            stream.on_timer(self.now, &mut |subject| !absent.contains(subject), output);
            self.end_turn();
        }
        panic!("timers fire for ever");
    }

    fn end_turn(&mut self) {
        if !self.holds {
            let last = self.driver.stream.store().last_sequence();
            self.driver.stream.on_durable(last);
        }
        loop {
            let absent = &self.absent;
            let Driver { stream, output, .. } = &mut self.driver;
            let interest = &mut |subject: &[u8]| !absent.contains(subject);
            let polled = stream.poll(self.now, interest, output, 1000, Reads::Blocking);
            assert_ne!(polled, Polled::NeedsDisk, "the disk may be read");
            if polled == Polled::Idle {
                break;
            }
        }
        self.driver.commit();
        self.show_output();
    }

    fn show_output(&mut self) {
        let Self { shown, driver, .. } = self;
        for effect in driver.output.effects.iter() {
            match effect {
                Effect::Stored {
                    sequence,
                    duplicate,
                    ..
                } => {
                    let mark = if duplicate { " duplicate" } else { "" };
                    writeln!(shown, "stored {sequence}{mark}").expect("memory");
                }
                Effect::Counted {
                    sequence, value, ..
                } => writeln!(shown, "stored {sequence} val {value}").expect("memory"),
                Effect::StoredBatch {
                    sequence,
                    id,
                    count,
                    ..
                } => {
                    writeln!(shown, "stored {sequence} batch {} of {count}", text(id))
                        .expect("memory");
                }
                Effect::Refused { error, .. } => {
                    writeln!(shown, "refused {} {}", error.err_code, error.description)
                        .expect("memory");
                }
                Effect::Respond { body, .. } => {
                    writeln!(shown, "response {}", text(body)).expect("memory");
                }
                Effect::AckReply { reply } => {
                    writeln!(shown, "answer to {}", text(reply)).expect("memory");
                }
                Effect::BatchFlow { body, .. } => {
                    writeln!(shown, "flow {}", text(body)).expect("memory");
                }
                Effect::Republish {
                    to,
                    headers,
                    payload,
                } => {
                    let (to, headers) = (text(to), one_line(headers));
                    writeln!(shown, "again {to} {:?} [{headers}]", text(payload)).expect("memory");
                }
            }
        }
        for batch in driver.stream.take_abandoned() {
            let (id, reason) = (text(&batch.id), batch.reason.as_str());
            writeln!(shown, "batch {id} abandoned: {reason}").expect("memory");
        }
        for outgoing in driver.output.sends.iter() {
            show_outgoing(shown, outgoing);
        }
        driver.output.clear();
    }

    fn info(&mut self, name: &str) {
        let info = self.driver.stream.consumer_info(self.now, name);
        self.show_result(info, |info| {
            format!(
                "delivered {}/{} floor {}/{} pending {} redelivered {} waiting {} left {}",
                info.delivered.consumer_seq,
                info.delivered.stream_seq,
                info.ack_floor.consumer_seq,
                info.ack_floor.stream_seq,
                info.num_ack_pending,
                info.num_redelivered,
                info.num_waiting,
                info.num_pending
            )
        });
    }

    fn state(&mut self) {
        let request = StreamInfoRequest {
            deleted_details: true,
            subjects_filter: ">".to_owned(),
            ..StreamInfoRequest::default()
        };
        let state = self.driver.stream.info(self.now, &request).state;
        let deleted: Vec<u64> = state.deleted.iter().map(|sequence| sequence.0).collect();
        let subjects = state.subjects.unwrap_or_default();
        assert_eq!(subjects.len() as u64, state.num_subjects);
        assert_eq!(deleted.len() as u64, state.num_deleted);
        writeln!(
            self.shown,
            "messages {} first {} last {} subjects {subjects:?} deleted {deleted:?}",
            state.messages, state.first_seq, state.last_seq
        )
        .expect("memory");
    }

    fn get(&mut self, json: &str) {
        let request = serde_json::from_str(json).expect("a request");
        let store = self.driver.stream.store();
        let message = loop {
            match self.driver.stream.message(&request) {
                Ok(Lookup::Cold(read)) => store.admit([read.run()]),
                Ok(Lookup::Ready(message)) => break Ok(message),
                Err(error) => break Err(error),
            }
        };
        store.release_reads();
        self.show_result(message, |message| {
            format!(
                "message {} {} {:?}",
                message.sequence,
                text(message.subject()),
                text(message.payload())
            )
        });
    }

    fn purge(&mut self, json: &str) {
        let request: PurgeRequest = serde_json::from_str(json).expect("a request");
        let Driver { stream, output, .. } = &mut self.driver;
        let purged = stream.purge(self.now, &request, output);
        self.show_result(purged, |count| format!("purged {count}"));
    }

    fn delete(&mut self, rest: &str) {
        let sequence = StreamSequence(rest.parse().expect("a number"));
        let Driver { stream, output, .. } = &mut self.driver;
        let deleted = stream.delete_message(self.now, sequence, true, output);
        self.show_result(deleted, |()| "deleted".to_owned());
    }

    fn update(&mut self, json: &str) {
        let mut config: StreamConfig = serde_json::from_str(json).expect("a configuration");
        config.name = "S".to_owned();
        config.subjects = vec!["s.>".to_owned()];
        let config = normalise_update(config, false, &ServerLimits::default());
        let Driver { stream, output, .. } = &mut self.driver;
        let updated = config.and_then(|config| stream.update(self.now, config, output));
        self.show_result(updated, |()| "updated".to_owned());
    }

    fn show_result<T>(&mut self, result: Result<T, ApiError>, show: impl FnOnce(T) -> String) {
        let line = match result {
            Ok(value) => show(value),
            Err(error) => format!("error {} {}", error.err_code, error.description),
        };
        writeln!(self.shown, "{line}").expect("memory");
    }
}

/// `in <- s.a seq 1 try 1 delivery 1 left 0 "hello"`, `in <- 404 No Messages`.
fn show_outgoing(shown: &mut String, outgoing: Outgoing<'_>) {
    match outgoing {
        Outgoing::Delivery {
            to,
            subject,
            ack_reply,
            headers,
            payload,
        } => {
            let ack = AckSubject::parse(ack_reply).expect("an acknowledgement subject");
            write!(
                shown,
                "{} <- {} seq {} try {} delivery {} left {} {:?}",
                text(to),
                text(subject),
                ack.stream_seq,
                ack.delivered,
                ack.consumer_seq,
                ack.pending,
                text(payload)
            )
            .expect("memory");
            if !headers.is_empty() {
                write!(shown, " [{}]", one_line(headers)).expect("memory");
            }
            shown.push('\n');
        }
        Outgoing::Status { to, reply, headers } => {
            write!(shown, "{} <- {}", text(to), one_line(headers)).expect("memory");
            if !reply.is_empty() {
                write!(shown, " reply {}", text(reply)).expect("memory");
            }
            shown.push('\n');
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn one_line(headers: &[u8]) -> String {
    let headers = text(headers);
    let lines: Vec<&str> = headers.trim_end().split("\r\n").collect();
    lines
        .join("; ")
        .replace("NATS/1.0 ", "")
        .replace("NATS/1.0; ", "")
}
