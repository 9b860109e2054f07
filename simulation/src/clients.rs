//! What clients do to a stream.

use everjet_api::{AckPolicy, AckSubject, ConsumerAction, ConsumerConfig, PurgeRequest};
use everjet_store::StreamId;
use everjet_stream::{CreateConsumer, Output, Publish, PurgeProgress};
use everjet_values::{Entropy, StreamSequence};

use crate::Stop;
use crate::model::SUBJECTS;
use crate::wishes::Wish;
use crate::world::{CONSUMER, World};

impl World {
    pub(crate) fn publish(&mut self, id: StreamId) -> Result<(), Stop> {
        let mut subject = self.below(self.options.subjects());
        if let Some(actor) = self.actors.get(&id).filter(|_| self.options.bursts) {
            let burst = actor.stream.store().last_sequence().0 / 6;
            subject = usize::try_from(burst % self.options.subjects()).expect("small");
        }
        let words = match self.options.payload_words_max {
            0 => 12,
            most => self.below(most) + 1,
        };
        let mut payload = self.random.next_u64().to_le_bytes().repeat(words);
        payload.push(0);
        let has_id = self.options.payload_words_max > 0 && self.below(4) == 0;
        let mut headers = if has_id {
            let number = self.random.next_u64() % 40;
            format!("NATS/1.0\r\nNats-Msg-Id: m{number}\r\n\r\n").into_bytes()
        } else {
            Vec::new()
        };
        let wish = Wish::any(self, id);
        if headers.is_empty() {
            headers = wish.headers();
        }
        let Some(actor) = self.actors.get_mut(&id) else {
            return Ok(());
        };
        let before = actor.stream.store().last_sequence();
        let is_wanted = actor.wants_messages();
        let mut output = Output::new();
        let publish = Publish {
            subject: SUBJECTS[subject].as_bytes(),
            reply: b"published",
            headers: &headers,
            payload: &payload,
        };
        actor.stream.on_publish(self.now, &publish, &mut output);
        let after = actor.stream.store().last_sequence();
        if after > before {
            let stored_at = actor.stream.store().last_time();
            let limited = if is_wanted {
                let wish = Wish::read(&headers);
                let mut gone = wish.roll_up(&mut actor.model, subject, after.0);
                let lifetime = wish.lifetime();
                gone.extend(actor.model.store(after.0, subject, stored_at, lifetime));
                gone
            } else {
                vec![after.0]
            };
            let entry = actor.stream.entry().0;
            let ledger = self.ledger(id);
            ledger.sent.insert(after.0, payload);
            ledger.subjects.insert(after.0, subject);
            ledger.entries.insert(after.0, entry);
            ledger.maybe_removed.extend(limited);
        }
        self.take(id, &mut output)?;
        self.remember_state(id)
    }

    pub(crate) fn create_consumer(&mut self, id: StreamId) -> Result<(), Stop> {
        let config = ConsumerConfig {
            durable_name: CONSUMER.to_owned(),
            name: CONSUMER.to_owned(),
            ack_policy: AckPolicy::Explicit,
            ..ConsumerConfig::default()
        };
        let request = CreateConsumer {
            config,
            action: ConsumerAction::CreateOrUpdate,
            pedantic: false,
        };
        let (now, mut output) = (self.now, Output::new());
        if let Some(actor) = self.actors.get_mut(&id) {
            let created = actor.stream.create_consumer(
                now,
                request,
                String::new(),
                &mut |_| true,
                &mut output,
            );
            created.expect("the same consumer again and again");
            let reply = format!("consumer.{}", self.ledger(id).consumer_generation);
            output.effects.respond(reply.as_bytes(), Vec::new());
        }
        self.take(id, &mut output)
    }

    pub(crate) fn delete_consumer(&mut self, id: StreamId) -> Result<(), Stop> {
        let (now, mut output) = (self.now, Output::new());
        if let Some(actor) = self.actors.get_mut(&id)
            && actor
                .stream
                .delete_consumer(now, CONSUMER, &mut output)
                .is_ok()
        {
            actor.deliveries.retain(|subject| {
                AckSubject::parse(subject).is_some_and(|ack| ack.consumer != CONSUMER)
            });
            let ledger = self.ledger(id);
            ledger.consumer_generation += 1;
            ledger.consumer = false;
            ledger.consumed.clear();
            self.expect_no_interest(id);
        }
        self.take(id, &mut output)
    }

    pub(crate) fn pull(&mut self, id: StreamId) -> Result<(), Stop> {
        let (now, mut output) = (self.now, Output::new());
        let batch = self.below(4) + 1;
        let body = format!("{{\"batch\":{batch},\"no_wait\":true}}");
        if let Some(actor) = self.actors.get_mut(&id) {
            actor
                .stream
                .on_pull(now, CONSUMER, b"inbox", body.as_bytes(), &mut output);
        }
        self.take(id, &mut output)
    }

    pub(crate) fn acknowledge(&mut self, id: StreamId) -> Result<(), Stop> {
        let pick = self.random.next_u64();
        let (now, mut output) = (self.now, Output::new());
        let generation = self.ledger(id).consumer_generation;
        if let Some(actor) = self.actors.get_mut(&id) {
            if actor.deliveries.is_empty() {
                return Ok(());
            }
            let index = usize::try_from(pick % actor.deliveries.len() as u64).expect("small");
            let subject = actor.deliveries.swap_remove(index);
            let ack = AckSubject::parse(&subject).expect("an acknowledgement subject");
            let reply = match ack.consumer {
                CONSUMER => format!("acked.{generation}.{}", ack.stream_seq),
                _ => "acked by another".to_owned(),
            };
            let (reply, body): (&[u8], &[u8]) = match pick % 7 {
                0 => (b"", b"-NAK"),
                // Nobody waits for the answer of a plain one.
                1 => (b"", b""),
                _ => (reply.as_bytes(), b""),
            };
            actor.stream.on_ack(now, &ack, reply, body, &mut output);
            if body.is_empty() {
                self.expect_done(id, ack.stream_seq.0);
            }
        }
        self.take(id, &mut output)
    }

    /// All messages, those of a subject, those before a sequence, or all but the newest.
    pub(crate) fn purge(&mut self, id: StreamId) -> Result<(), Stop> {
        let (now, mut output) = (self.now, Output::new());
        let subject = (self.below(2) == 0).then(|| self.below(self.options.subjects()));
        let (how, back) = (self.below(3), self.random.next_u64() % 10);
        if let Some(actor) = self.actors.get_mut(&id) {
            let last = actor.stream.store().last_sequence().0;
            let mut request = PurgeRequest {
                filter: subject.map_or("", |subject| SUBJECTS[subject]).to_owned(),
                ..PurgeRequest::default()
            };
            match how {
                0 => {}
                1 => request.seq = last.saturating_sub(back).max(1),
                _ => request.keep = back,
            }
            if back % 2 == 0 {
                let purged = actor.stream.purge(now, &request, &mut output);
                purged.expect("a purge is allowed");
            } else {
                let stream = &mut actor.stream;
                let begun = stream.begin_purge(now, &request, None, &mut output);
                begun.expect("a purge is allowed");
                // Each step is a record: a crash may leave the first of them.
                let budget = 1 + back as usize / 3;
                while stream.continue_purge(now, budget, &mut output) == PurgeProgress::Going {}
            }
            let before = if request.seq == 0 {
                last + 1
            } else {
                request.seq
            };
            let keep = usize::try_from(request.keep).expect("small");
            let gone = actor.model.purge(subject, before, keep);
            self.ledger(id).maybe_removed.extend(&gone);
            let reply = self.promise_removal(gone);
            output.effects.respond(&reply, Vec::new());
        }
        self.take(id, &mut output)
    }

    pub(crate) fn delete_message(&mut self, id: StreamId) -> Result<(), Stop> {
        let last = self.last_sequence(id);
        let sequence = self.random.next_u64() % last.max(1) + 1;
        self.delete(id, sequence)
    }

    /// Deletes many neighbours, so that segments get empty in the middle of a stream and older ones stay.
    pub(crate) fn delete_run(&mut self, id: StreamId) -> Result<(), Stop> {
        let last = self.last_sequence(id);
        let first = last / 4 + self.random.next_u64() % (last / 2 + 1) + 1;
        for sequence in first..=last.min(first + 5 + self.random.next_u64() % 16) {
            self.delete(id, sequence)?;
        }
        Ok(())
    }

    fn delete(&mut self, id: StreamId, sequence: u64) -> Result<(), Stop> {
        let (now, mut output) = (self.now, Output::new());
        if let Some(actor) = self.actors.get_mut(&id) {
            if actor
                .stream
                .delete_message(now, StreamSequence(sequence), true, &mut output)
                .is_err()
            {
                // The stream may have had something to say all the same.
                return self.take(id, &mut output);
            }
            let gone = actor.model.remove(sequence);
            self.ledger(id).maybe_removed.extend(&gone);
            let reply = self.promise_removal(gone);
            output.effects.respond(&reply, Vec::new());
        }
        self.take(id, &mut output)
    }

    fn last_sequence(&self, id: StreamId) -> u64 {
        let actor = self.actors.get(&id);
        actor.map_or(0, |actor| actor.stream.store().last_sequence().0)
    }
}
