//! A publisher with a window.

use std::io;
use std::thread;

use super::ledger::{Ledger, Stored};
use super::load::Pace;
use super::session::frame;
use super::{Random, payload};
use crate::{Message, RawClient};

/// Whom a publisher publishes to.
pub(super) struct Publisher {
    /// Its number among all publishers of all rounds.
    pub(super) number: u64,
    pub(super) stream: &'static str,
    /// Messages go to `<prefix>.<key>`.
    pub(super) prefix: &'static str,
    pub(super) keys: u16,
    pub(super) window: usize,
    pub(super) pace: Pace,
}

/// What a publisher waits for: the label and the key of a message by the token of its reply subject.
type Waiting = std::collections::HashMap<u64, (String, u16)>;

impl Publisher {
    /// Publishes until the connection ends.
    pub(super) fn run(&self, port: u16, ledger: &Ledger) {
        // Its end is what ends a publisher.
        drop(self.publish(port, ledger));
    }

    fn publish(&self, port: u16, ledger: &Ledger) -> io::Result<()> {
        let mut client = RawClient::try_ready(port)?;
        let mut random = Random::new(self.number);
        let incarnation = ledger.with(self.stream, |facts| facts.incarnation);
        let inbox = format!("_INBOX.publisher{}", self.number);
        client.try_send(format!("SUB {inbox}.* 1\r\n").as_bytes())?;
        let mut waiting = Waiting::new();
        let mut next = 0_u64;
        loop {
            let mut bytes = Vec::new();
            while waiting.len() < self.window {
                let label = format!("{}/{incarnation}/{}/{next}", self.stream, self.number);
                let key = random.below(self.keys.into()) as u16;
                let subject = format!("{}.{key}", self.prefix);
                let reply = format!("{inbox}.{next}");
                bytes.extend(frame(&subject, &reply, &payload::of(&label)));
                waiting.insert(next, (label, key));
                next += 1;
            }
            client.try_send(&bytes)?;
            while waiting.len() > self.window / 2 {
                self.on_answer(&client.try_message()?, &mut waiting, ledger);
            }
            thread::sleep(self.pace.pause);
        }
    }

    fn on_answer(&self, answer: &Message, waiting: &mut Waiting, ledger: &Ledger) {
        let number = answer.subject.rsplit('.').next();
        let number = number.and_then(|number| number.parse().ok());
        let Some((label, key)) = number.and_then(|number: u64| waiting.remove(&number)) else {
            return;
        };
        // What is refused, by a server that stops or a disk that is gone, need not be kept.
        if let Some(sequence) = acknowledged(answer) {
            let hash = payload::hash(&payload::of(&label));
            ledger.on_stored(self.stream, sequence, Stored { hash, key });
        }
    }
}

/// The sequence of a publish acknowledgement.
pub(super) fn acknowledged(answer: &Message) -> Option<u64> {
    let answer: serde_json::Value = serde_json::from_slice(&answer.payload).ok()?;
    answer["seq"].as_u64().filter(|&sequence| sequence > 0)
}
