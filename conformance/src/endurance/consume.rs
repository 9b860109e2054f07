//! A pull consumer that acknowledges, refuses and forgets.

use std::io;

use super::ledger::Ledger;
use super::session::frame;
use super::{Findings, Random};
use crate::{Message, RawClient};

/// The durable consumer of every stream that has one.
pub(super) const CONSUMER: &str = "worker";
const BATCH: usize = 50;

/// Pulls from the consumer of `stream` until the connection ends.
pub(super) fn run(port: u16, stream: &'static str, seed: u64, ledger: &Ledger) {
    // Its end is what ends a consumer.
    drop(consume(port, stream, seed, ledger));
}

fn consume(port: u16, stream: &'static str, seed: u64, ledger: &Ledger) -> io::Result<()> {
    let mut client = RawClient::try_ready(port)?;
    let mut random = Random::new(seed);
    let (work, done) = (format!("_INBOX.work.{stream}"), done(stream));
    client.try_send(format!("SUB {work} 1\r\nSUB {done}* 2\r\n").as_bytes())?;
    let pull = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{CONSUMER}");
    let body = format!(r#"{{"batch":{BATCH},"expires":1000000000}}"#);
    loop {
        client.try_send(&frame(&pull, &work, body.as_bytes()))?;
        let (mut received, mut open) = (0, 0);
        while received < BATCH || open > 0 {
            let message = client.try_message()?;
            if let Some(sequence) = message.subject.strip_prefix(&*done) {
                open -= 1;
                // A status instead says that nobody took it: the server stops.
                if message.status().is_none() {
                    ledger.on_consumed(stream, sequence.parse().expect("our own number"));
                }
            } else if message.status().is_some() {
                received = BATCH;
            } else {
                received += 1;
                open += answer(&mut client, &message, stream, &mut random, ledger)?;
            }
        }
    }
}

/// Where confirmations go, without the sequence.
fn done(stream: &str) -> String {
    format!("_INBOX.done.{stream}.")
}

/// Answers a delivery; how many confirmations that will bring.
fn answer(
    client: &mut RawClient,
    message: &Message,
    stream: &str,
    random: &mut Random,
    ledger: &Ledger,
) -> io::Result<usize> {
    let reply = message.reply.as_deref().unwrap_or_default();
    let sequence =
        sequence_of(reply).ok_or_else(|| io::Error::other("a delivery without place"))?;
    if ledger.with(stream, |facts| facts.is_consumed(sequence)) {
        ledger.on_seen(|findings: &mut Findings| {
            findings.redelivered += 1;
            findings.example(format!(
                "{stream}: {sequence} came again after its acknowledgement was confirmed: {reply}"
            ));
        });
    }
    let kind = random.below(100);
    if kind >= 10 {
        ledger.with(stream, |facts| facts.asked.insert(sequence));
    }
    match kind {
        // Left to the ack wait.
        0..5 => Ok(0),
        5..10 => {
            client.try_send(format!("PUB {reply} 4\r\n-NAK\r\n").as_bytes())?;
            Ok(0)
        }
        10..20 => {
            client.try_send(format!("PUB {reply} 4\r\n+ACK\r\n").as_bytes())?;
            Ok(0)
        }
        _ => {
            client.try_send(&frame(reply, &format!("{}{sequence}", done(stream)), b""))?;
            Ok(1)
        }
    }
}

/// The stream sequence that an acknowledgement subject names.
pub(super) fn sequence_of(reply: &str) -> Option<u64> {
    reply.split('.').nth(5)?.parse().ok()
}
