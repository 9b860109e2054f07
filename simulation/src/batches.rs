//! Messages that are stored together or not at all.

use everjet_store::StreamId;
use everjet_stream::{Output, Publish};
use everjet_values::Entropy;

use crate::Stop;
use crate::ledger::Ledger;
use crate::model::{Lifetime, SUBJECTS};
use crate::world::World;

impl World {
    /// Publishes a batch of a few messages, sometimes with an end of its own; a few are never committed.
    pub(crate) fn publish_batch(&mut self, id: StreamId) -> Result<(), Stop> {
        let count = 1 + self.below(5);
        let end = ["1", "eob", "no"][self.below(3)];
        let messages: Vec<(usize, Vec<u8>)> = (0..count)
            .map(|_| {
                let subject = self.below(self.options.subjects());
                let mut payload = self.random.next_u64().to_le_bytes().to_vec();
                payload.extend_from_slice(&[b'b', 0]);
                (subject, payload)
            })
            .collect();
        let Some(actor) = self.actors.get_mut(&id) else {
            return Ok(());
        };
        let stream = &mut actor.stream;
        let before = stream.store().last_sequence().0;
        let mut output = Output::new();
        let mut publish = |at: usize, subject: usize, payload: &[u8], commit: &str| {
            let mut headers =
                format!("NATS/1.0\r\nNats-Batch-Id: b\r\nNats-Batch-Sequence: {at}\r\n");
            if !commit.is_empty() {
                headers.push_str(&format!("Nats-Batch-Commit: {commit}\r\n"));
            }
            headers.push_str("\r\n");
            let publish = Publish {
                subject: SUBJECTS[subject].as_bytes(),
                reply: b"published",
                headers: headers.as_bytes(),
                payload,
            };
            stream.on_publish(self.now, &publish, &mut output);
        };
        for (at, (subject, payload)) in (1..).zip(&messages) {
            let is_last = at == messages.len() && end == "1";
            publish(at, *subject, payload, if is_last { "1" } else { "" });
        }
        if end == "eob" {
            publish(messages.len() + 1, 0, b"", "eob");
        }
        let stored_at = stream.store().last_time();
        let (last, entry) = (stream.store().last_sequence().0, stream.entry().0);
        let mut limited = Vec::new();
        let sequences = before + 1..=last;
        for (sequence, (subject, _)) in sequences.clone().zip(&messages) {
            limited.extend(
                actor
                    .model
                    .store(sequence, *subject, stored_at, Lifetime::Unsaid),
            );
        }
        let ledger = self.ledger(id);
        ledger.maybe_removed.extend(limited);
        if !sequences.is_empty() {
            ledger.batches.insert(before + 1, last);
        }
        for (sequence, (subject, payload)) in sequences.zip(messages) {
            ledger.sent.insert(sequence, payload);
            ledger.subjects.insert(sequence, subject);
            ledger.entries.insert(sequence, entry);
        }
        self.take(id, &mut output)?;
        self.remember_state(id)
    }
}

impl Ledger {
    /// No batch is there in part.
    ///
    /// # Errors
    /// One that is.
    pub(crate) fn check_batches(&self, stream_ends_at: u64) -> Result<(), String> {
        let torn = self
            .batches
            .iter()
            .find(|(first, last)| (**first..**last).contains(&stream_ends_at));
        match torn {
            Some((first, last)) => Err(format!(
                "the stream ends at {stream_ends_at}, in the middle of the batch from {first} to {last}"
            )),
            None => Ok(()),
        }
    }
}
