//! What clients do, and what happens to them, in wide worlds only.

use std::time::Duration;

use everjet_api::{
    AckPolicy, Compression, ConsumerAction, ConsumerConfig, DeliverPolicy, PurgeRequest,
};
use everjet_store::{ReadError, StreamId};
use everjet_stream::{CreateConsumer, Output, ServerLimits, normalise_update};
use everjet_values::{Entropy, StreamSequence};

use crate::Stop;
use crate::questions::{FILTERS, ask};
use crate::world::World;

/// Consumers besides the one whose acknowledgements are remembered.
const HELPERS: [&str; 4] = ["all", "none", "some", "memory"];

impl World {
    /// One of these, by seed.
    pub(crate) fn do_more(&mut self, id: StreamId) -> Result<(), Stop> {
        let has_batches = self.options.wide.is_some_and(|wide| wide.batches);
        let step = self.below(if has_batches { 23 } else { 20 });
        match step {
            0..=3 => self.purge_filter(id),
            4..=5 => self.erase(id),
            6..=8 => self.create_helper(id),
            9 => self.delete_helper(id),
            10..=12 => self.pull_helper(id),
            13 => {
                self.fill_disk();
                Ok(())
            }
            14 => {
                self.disk.set_capacity(None);
                Ok(())
            }
            15 => self.read_badly(id),
            16 => {
                let hours = 1 + self.random.next_u64() % 48;
                self.now = self.now.plus(Duration::from_secs(hours * 3600));
                Ok(())
            }
            20..=22 => self.publish_batch(id),
            17 => self.switch_compression(id),
            18 => {
                self.finish_checkpoint()?;
                self.begin_checkpoint(self.offline.is_empty());
                self.finish_checkpoint()
            }
            _ => self.ask(id),
        }
    }

    /// The questions of a start, while the world runs.
    fn ask(&mut self, id: StreamId) -> Result<(), Stop> {
        let now = self.now;
        let Some(actor) = self.actors.get_mut(&id).filter(|_| self.options.is_exact) else {
            return Ok(());
        };
        let name = actor.stream.config().name.clone();
        let ledger = self.ledgers.entry(name.clone()).or_default();
        let wrong = |why| Stop::Broken(format!("stream {name}: {why}"));
        ask(&mut actor.stream, ledger, now).map_err(wrong)
    }

    /// Messages of a filter, before a sequence or all but the newest; or all before a sequence that was not given yet.
    fn purge_filter(&mut self, id: StreamId) -> Result<(), Stop> {
        let (now, mut output) = (self.now, Output::new());
        let filter = FILTERS[self.below(FILTERS.len() as u64)];
        let (how, back) = (self.below(4), self.random.next_u64() % 10);
        if let Some(actor) = self.actors.get_mut(&id) {
            let last = actor.stream.store().last_sequence().0;
            let mut request = PurgeRequest {
                filter: filter.to_owned(),
                ..PurgeRequest::default()
            };
            match how {
                0 => {}
                1 => request.seq = last.saturating_sub(back).max(1),
                2 => request.keep = back,
                _ => {
                    request.filter = String::new();
                    request.seq = last + 1 + back % 3;
                }
            }
            let purged = actor.stream.purge(now, &request, &mut output);
            purged.expect("a purge is allowed");
            let before = match request.seq {
                0 => last + 1,
                before => before,
            };
            let keep = usize::try_from(request.keep).expect("small");
            let gone = match &*request.filter {
                "" => actor.model.purge(None, before, keep),
                filter => actor.model.purge_filter(filter, before, keep),
            };
            self.ledger(id).maybe_removed.extend(&gone);
            let reply = self.promise_removal(gone);
            output.effects.respond(&reply, Vec::new());
        }
        self.take(id, &mut output)
    }

    /// A consumer of another kind than the usual one, always the same under the same name.
    fn create_helper(&mut self, id: StreamId) -> Result<(), Stop> {
        let which = self.below(HELPERS.len() as u64);
        let name = HELPERS[which].to_owned();
        let mut config = ConsumerConfig {
            durable_name: name.clone(),
            name,
            ack_policy: AckPolicy::Explicit,
            ..ConsumerConfig::default()
        };
        match which {
            0 => config.ack_policy = AckPolicy::All,
            1 => {
                config.ack_policy = AckPolicy::None;
                config.filter_subject = "order.new.*".to_owned();
            }
            2 => {
                config.filter_subjects = vec!["order.eu.>".to_owned(), "order.paid".to_owned()];
                config.deliver_policy = DeliverPolicy::New;
                config.max_ack_pending = 5;
            }
            _ => {
                config.mem_storage = true;
                config.deliver_policy = DeliverPolicy::LastPerSubject;
                config.filter_subject = "order.*".to_owned();
            }
        }
        let request = CreateConsumer {
            config,
            action: ConsumerAction::CreateOrUpdate,
            pedantic: false,
        };
        let (now, mut output) = (self.now, Output::new());
        if let Some(actor) = self.actors.get_mut(&id) {
            let stream = &mut actor.stream;
            let created =
                stream.create_consumer(now, request, String::new(), &mut |_| true, &mut output);
            created.expect("the same consumer again and again");
        }
        self.take(id, &mut output)
    }

    fn delete_helper(&mut self, id: StreamId) -> Result<(), Stop> {
        let name = HELPERS[self.below(HELPERS.len() as u64)];
        let (now, mut output) = (self.now, Output::new());
        if let Some(actor) = self.actors.get_mut(&id) {
            // There may be none.
            let _ = actor.stream.delete_consumer(now, name, &mut output);
        }
        self.take(id, &mut output)
    }

    fn pull_helper(&mut self, id: StreamId) -> Result<(), Stop> {
        let name = HELPERS[self.below(HELPERS.len() as u64)];
        let (now, mut output) = (self.now, Output::new());
        let body = format!("{{\"batch\":{},\"no_wait\":true}}", self.below(6) + 1);
        if let Some(actor) = self.actors.get_mut(&id) {
            let stream = &mut actor.stream;
            stream.on_pull(now, name, b"inbox", body.as_bytes(), &mut output);
        }
        self.take(id, &mut output)
    }

    /// There is little room from now on, until there is more again.
    fn fill_disk(&mut self) {
        let room = self.random.next_u64() % 12_000;
        self.disk.set_capacity(Some(self.disk.used_bytes() + room));
    }

    /// The disk cannot read something for a moment: what was asked for fails, and is there the next time. Rewriting goes
    /// on later.
    fn read_badly(&mut self, id: StreamId) -> Result<(), Stop> {
        self.disk.fail_read(1 + self.random.next_u64() % 6);
        self.compact(id)?;
        if let Some(actor) = self.actors.get(&id) {
            let store = actor.stream.store();
            let wrong = |sequence, why| {
                let name = &actor.stream.config().name;
                Err(Stop::Broken(format!(
                    "stream {name}: message {sequence} {why}"
                )))
            };
            // After damage the model keeps more than the limits do, which count what cannot be read.
            let may_be_gone = |sequence| {
                let is_gone = !self.options.is_exact && !store.contains(sequence);
                is_gone || actor.model.is_expiring()
            };
            for sequence in actor.model.sequences().map(StreamSequence) {
                match store.get(sequence) {
                    Ok(_) | Err(ReadError::Fault(_)) => {}
                    Err(_) if may_be_gone(sequence) => {}
                    Err(error) => return wrong(sequence, error.to_string()),
                }
            }
            self.disk.heal_reads();
            for sequence in actor.model.sequences().map(StreamSequence) {
                match store.get(sequence) {
                    Ok(_) => {}
                    Err(_) if self.disk.is_cut() => return Err(Stop::Crashed),
                    Err(_) if may_be_gone(sequence) => {}
                    Err(error) => return wrong(sequence, format!("does not come back: {error}")),
                }
            }
        }
        self.disk.heal_reads();
        Ok(())
    }

    /// Compresses what is written from now on, or no longer.
    fn switch_compression(&mut self, id: StreamId) -> Result<(), Stop> {
        let (now, mut output) = (self.now, Output::new());
        let Some(actor) = self.actors.get_mut(&id) else {
            return Ok(());
        };
        let mut config = actor.stream.config().clone();
        config.compression = match config.compression {
            Compression::None => Compression::S2,
            Compression::S2 => Compression::None,
        };
        let config = normalise_update(config, false, &ServerLimits::default());
        let config = config.expect("nothing else was changed");
        let updated = actor.stream.update(now, config, &mut output);
        updated.expect("compression can be changed");
        self.ledger(id).in_blocks = true;
        self.take(id, &mut output)
    }
}
