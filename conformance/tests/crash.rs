//! `kill -9` in a loop under load: what was acknowledged is there, once, and what a consumer acknowledged stays so.
//!
//! `EVERJET_CRASH_ROUNDS` sets the number of rounds (20).

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use everjet_conformance::{JetStream, Message, RawClient, ServerProcess, executable};

const PUBLISHERS: usize = 4;
/// Unacknowledged messages of one publisher.
const WINDOW: usize = 64;
/// How long a round may take to reach its number of acknowledgements.
const PATIENCE: Duration = Duration::from_secs(30);

/// What clients were told. It grows over all rounds.
#[derive(Default)]
struct Ledger {
    /// Payload by acknowledged sequence.
    stored: Mutex<HashMap<u64, String>>,
    /// Stream sequences whose acknowledgement by the consumer was confirmed.
    consumed: Mutex<HashSet<u64>>,
    /// Size of `stored`, to be read without its lock.
    count: AtomicU64,
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let rounds = std::env::var("EVERJET_CRASH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20);
    let mut server = ServerProcess::start_jetstream();
    let mut js = JetStream::connect(&server);
    js.create_stream("CRASH", r#"{"name":"CRASH","subjects":["crash.*"]}"#);
    js.create_consumer(
        "CRASH",
        "worker",
        r#""ack_policy":"explicit","max_ack_pending":1000,"ack_wait":200000000"#,
    );
    drop(js);
    let ledger = Arc::new(Ledger::default());
    let (mut floor, mut verified) = (0, 0);
    // Rounds end after between 300 and 3,300 acknowledgements: early and late in what the server writes.
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..rounds {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let target = ledger.count.load(Ordering::SeqCst) + 300 + (random >> 33) % 3_000;
        let mut clients: Vec<thread::JoinHandle<()>> = (0..PUBLISHERS)
            .map(|number| {
                let (ledger, client) = (Arc::clone(&ledger), RawClient::ready(server.port()));
                thread::spawn(move || publish(client, &format!("{round}.{number}"), &ledger))
            })
            .collect();
        let (shared, client) = (Arc::clone(&ledger), RawClient::ready(server.port()));
        clients.push(thread::spawn(move || consume(client, &shared)));
        let start = Instant::now();
        let consumed = ledger.consumed.lock().expect("no panic while held").len() + 100;
        while ledger.count.load(Ordering::SeqCst) < target
            || ledger.consumed.lock().expect("no panic while held").len() < consumed
        {
            assert!(
                start.elapsed() < PATIENCE,
                "round {round}: too few acknowledgements\n{}",
                server.log()
            );
            assert!(
                !clients.iter().all(thread::JoinHandle::is_finished),
                "round {round}: all clients failed"
            );
            thread::sleep(Duration::from_millis(1));
        }
        server.kill();
        for client in clients {
            client
                .join()
                .expect("a client saw something that must not be");
        }
        server.start_again();
        (floor, verified) = verify(&server, &ledger, round, floor, verified);
    }
    // In the end from the first message on.
    verify(&server, &ledger, rounds, floor, 0);
    let (stored, consumed) = (
        ledger.count.load(Ordering::SeqCst),
        ledger.consumed.lock().expect("no panic").len(),
    );
    println!(
        "{rounds} rounds, {stored} acknowledged messages, {consumed} confirmed acknowledgements of the consumer"
    );
    assert!(consumed > 0, "the consumer never got anything confirmed");
}

/// Publishes until the connection ends.
fn publish(mut client: RawClient, name: &str, ledger: &Ledger) {
    let mut text = format!("SUB _INBOX.{name}.* 1\r\n");
    let mut next = 0_u64;
    let mut waiting = 0;
    loop {
        while waiting < WINDOW {
            let payload = format!("{name}.{next}");
            text.push_str(&format!(
                "PUB crash.{} _INBOX.{name}.{next} {}\r\n{payload}\r\n",
                next % 10,
                payload.len()
            ));
            next += 1;
            waiting += 1;
        }
        if client.try_send(text.as_bytes()).is_err() {
            return;
        }
        text.clear();
        while waiting > WINDOW / 2 {
            let Ok(message) = client.try_message() else {
                return;
            };
            waiting -= 1;
            let number = message
                .subject
                .rsplit('.')
                .next()
                .unwrap_or_default()
                .to_owned();
            record(ledger, &format!("{name}.{number}"), &message.text());
        }
        // Many rounds, not many messages: the rest is read again and again.
        thread::sleep(Duration::from_millis(1));
    }
}

fn record(ledger: &Ledger, payload: &str, ack: &str) {
    let json: serde_json::Value = serde_json::from_str(ack).unwrap_or_default();
    let Some(sequence) = json["seq"].as_u64().filter(|&sequence| sequence > 0) else {
        // A server that is going down may refuse; what it refuses it need not keep.
        return;
    };
    let before = ledger
        .stored
        .lock()
        .expect("no panic while held")
        .insert(sequence, payload.to_owned());
    assert_eq!(before, None, "sequence {sequence} was given twice");
    ledger.count.fetch_add(1, Ordering::SeqCst);
}

/// Pulls and acknowledges until the connection ends.
fn consume(mut client: RawClient, ledger: &Ledger) {
    if client
        .try_send(b"SUB _INBOX.worker 1\r\nSUB _INBOX.done.* 2\r\n")
        .is_err()
    {
        return;
    }
    let request = br#"{"batch":100,"expires":5000000000}"#;
    let pull = [
        format!(
            "PUB $JS.API.CONSUMER.MSG.NEXT.CRASH.worker _INBOX.worker {}\r\n",
            request.len()
        )
        .as_bytes(),
        request,
        b"\r\n",
    ]
    .concat();
    loop {
        if client.try_send(&pull).is_err() {
            return;
        }
        let mut open = 0;
        let mut received = 0;
        while received < 100 || open > 0 {
            let Ok(message) = client.try_message() else {
                return;
            };
            if let Some(sequence) = message.subject.strip_prefix("_INBOX.done.") {
                let sequence = sequence.parse().expect("our own number");
                ledger
                    .consumed
                    .lock()
                    .expect("no panic while held")
                    .insert(sequence);
                open -= 1;
            } else if message.status().is_some() {
                received = 100;
            } else {
                received += 1;
                open += 1;
                if client.try_send(&acknowledgement(&message, ledger)).is_err() {
                    return;
                }
            }
        }
    }
}

fn acknowledgement(message: &Message, ledger: &Ledger) -> Vec<u8> {
    let reply = message
        .reply
        .as_deref()
        .expect("a delivery has an ack reply");
    let sequence: u64 = reply
        .split('.')
        .nth(5)
        .and_then(|token| token.parse().ok())
        .expect("the sixth token is a sequence");
    let again = ledger
        .consumed
        .lock()
        .expect("no panic while held")
        .contains(&sequence);
    // nats-server forgets acknowledgements it has confirmed (docs/differences.md).
    assert!(
        !again || executable::is_reference(),
        "message {sequence} came again after its acknowledgement was confirmed"
    );
    format!("PUB {reply} _INBOX.done.{sequence} 0\r\n\r\n").into_bytes()
}

/// Compares the restarted server with the ledger, reading the stream from behind `verified`. Returns the consumer's floor and the
/// last sequence.
fn verify(
    server: &ServerProcess,
    ledger: &Ledger,
    round: u64,
    floor: u64,
    verified: u64,
) -> (u64, u64) {
    let mut js = JetStream::connect(server);
    let stored = ledger.stored.lock().expect("no panic while held").clone();
    let found = read_stream(&mut js, round, verified);
    let mut payloads = HashSet::new();
    let mut sequences = HashMap::new();
    for (sequence, payload) in &found {
        assert!(
            payloads.insert(payload),
            "round {round}: {payload} is stored twice"
        );
        sequences.insert(*sequence, payload);
    }
    assert!(
        found.windows(2).all(|pair| pair[0].0 < pair[1].0),
        "round {round}: sequences do not grow"
    );
    for (sequence, payload) in stored.iter().filter(|(sequence, _)| **sequence > verified) {
        assert_eq!(
            sequences.get(sequence),
            Some(&payload),
            "round {round}: message {sequence} was acknowledged"
        );
    }
    let last_acknowledged = stored.keys().copied().max().unwrap_or(0);
    let last = js.api("STREAM.INFO.CRASH", "")["state"]["last_seq"]
        .as_u64()
        .expect("a number");
    assert!(
        last >= last_acknowledged,
        "round {round}: the stream ends at {last}, {last_acknowledged} was acknowledged"
    );
    let next = js.store("crash.verify", &format!("verify.{round}"));
    assert!(next > last, "round {round}: sequence {next} after {last}");
    let info = js.api("CONSUMER.INFO.CRASH.worker", "");
    let now = info["ack_floor"]["stream_seq"].as_u64().expect("a number");
    assert!(
        now >= floor || executable::is_reference(),
        "round {round}: the consumer's floor went from {floor} back to {now}"
    );
    let consumed = ledger.consumed.lock().expect("no panic while held");
    let confirmed = found
        .iter()
        .map(|(sequence, _)| *sequence)
        .take_while(|sequence| consumed.contains(sequence))
        .last();
    if verified == 0 && !executable::is_reference() {
        assert!(
            now >= confirmed.unwrap_or(0),
            "round {round}: floor {now}, confirmed up to {confirmed:?}"
        );
    }
    (now, last)
}

/// All messages behind `after`, in the order of delivery.
fn read_stream(js: &mut JetStream, round: u64, after: u64) -> Vec<(u64, String)> {
    let name = format!("reader{round}at{after}");
    let from = after + 1;
    let config = format!(
        r#""ack_policy":"none","deliver_policy":"by_start_sequence","opt_start_seq":{from}"#
    );
    let pending = js.create_consumer("CRASH", &name, &config)["num_pending"]
        .as_u64()
        .expect("a number");
    let mut found = Vec::new();
    while (found.len() as u64) < pending {
        let batch = (pending - found.len() as u64).min(500);
        js.publish(
            &format!("$JS.API.CONSUMER.MSG.NEXT.CRASH.{name}"),
            &[],
            &batch.to_string(),
        );
        for _ in 0..batch {
            let message = js.raw().message();
            assert_eq!(message.status(), None, "round {round}");
            let reply = message.reply.clone().expect("a delivery has an ack reply");
            let sequence = reply
                .split('.')
                .nth(5)
                .and_then(|token| token.parse().ok())
                .expect("a sequence");
            found.push((sequence, message.text()));
        }
    }
    assert_eq!(
        js.api(&format!("CONSUMER.DELETE.CRASH.{name}"), "")["success"],
        true
    );
    found
}
